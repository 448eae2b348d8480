//! Prepared statements, each prepared once.
//!
//! rusqlite's own cache looks a statement up by its text, at a cost that is felt when a statement
//! takes a microsecond. Every text here is a constant, so the place where it stands says which it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use rusqlite::{Connection, Statement};

/// The statements of a connection that are not in use.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    idle: RefCell<Vec<Option<Statement<'c>>>>,
    slots: RefCell<HashMap<Place, usize>>,
}

/// Where a text stands, and its length: a text may be the beginning of another.
type Place = (usize, usize);

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, idle: RefCell::default(), slots: RefCell::default() }
    }

    /// A statement; prepared, if this is the first time or the other one is in use.
    pub(super) fn of(&self, sql: &'static str) -> rusqlite::Result<Prepared<'_, 'c>> {
        let mut idle = self.idle.borrow_mut();
        let place = (sql.as_ptr().addr(), sql.len());
        let slot = *self.slots.borrow_mut().entry(place).or_insert_with(|| {
            idle.push(None);
            idle.len() - 1
        });
        let statement = match idle.get_mut(slot).and_then(Option::take) {
            Some(statement) => statement,
            None => self.connection.prepare(sql)?,
        };
        Ok(Prepared { home: self, slot, statement: Some(statement) })
    }
}

/// A statement in use.
pub(super) struct Prepared<'s, 'c> {
    home: &'s Statements<'c>,
    slot: usize,
    // There until this is dropped.
    statement: Option<Statement<'c>>,
}

impl<'c> Deref for Prepared<'_, 'c> {
    type Target = Statement<'c>;

    fn deref(&self) -> &Self::Target {
        match &self.statement {
            Some(statement) => statement,
            None => unreachable!("a statement is given back when it is dropped"),
        }
    }
}

impl DerefMut for Prepared<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match &mut self.statement {
            Some(statement) => statement,
            None => unreachable!("a statement is given back when it is dropped"),
        }
    }
}

impl Drop for Prepared<'_, '_> {
    fn drop(&mut self) {
        if let Some(home) = self.home.idle.borrow_mut().get_mut(self.slot) {
            *home = self.statement.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_in_use_can_be_had_a_second_time() {
        const ROWS: &str = "SELECT column1 FROM (VALUES (1), (2), (3))";
        let connection = Connection::open_in_memory().unwrap();
        let statements = Statements::new(&connection);
        let mut sum = 0;
        let mut outer = statements.of("SELECT 1 UNION ALL SELECT 2").unwrap();
        let mut rows = outer.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let factor: i64 = row.get(0).unwrap();
            let mut first = statements.of(ROWS).unwrap();
            let mut second = statements.of(ROWS).unwrap();
            let mut firsts = first.query([]).unwrap();
            firsts.next().unwrap();
            let mut seconds = second.query([]).unwrap();
            while let Some(row) = seconds.next().unwrap() {
                sum += factor * row.get::<_, i64>(0).unwrap();
            }
        }
        assert_eq!(sum, 3 * 6);
        let idle = statements.idle.borrow().iter().flatten().count();
        assert_eq!(idle, 1, "the outer one is in use");
    }
}
