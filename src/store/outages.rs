//! Long outages of a lane, kept so that a restart does not forget when they began.

use rusqlite::{Connection, params};

use super::rows::{self, Result};
use super::work::Work;
use crate::bridge::Lane;
use crate::bridge::ports::Outage;
use crate::domain::Failure;

impl Work<'_> {
    pub(super) fn set_outage(&self, lane: Lane, outage: Option<&Outage>) -> Result<()> {
        const END: &str = "DELETE FROM outages WHERE lane = ?1";
        const SET: &str =
            "INSERT OR REPLACE INTO outages (lane, since_ms, code, detail) VALUES (?1, ?2, ?3, ?4)";
        let lane = rows::lane_code(lane);
        match outage {
            None => self.statement(END)?.execute([lane])?,
            Some(Outage { since, failure }) => self.statement(SET)?.execute(params![
                lane,
                since.as_millisecond(),
                failure.code.as_str(),
                failure.detail
            ])?,
        };
        Ok(())
    }
}

pub(super) fn outage(connection: &Connection, lane: Lane) -> Result<Option<Outage>> {
    const READ: &str = "SELECT since_ms, code, detail FROM outages WHERE lane = ?1";
    let mut statement = connection.prepare_cached(READ)?;
    let mut found = statement.query([rows::lane_code(lane)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let failure = Failure::new(rows::failure_code(row, 1)?, row.get::<_, String>(2)?);
    Ok(Some(Outage { since: rows::time(row, 0)?, failure }))
}
