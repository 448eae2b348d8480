//! How a request moves: the domain decides, and everything that follows mechanically follows here.
//!
//! The outbox has a row exactly while a request is pending; its error record is open exactly while
//! it is parked; billing gets a reply when the domain says so; what waited behind it gets its turn;
//! one line of the timeline and one log event tell of it. No other file writes `requests.state`, except
//! the insert of a birth, which uses the same pieces.

use rusqlite::{OptionalExtension as _, params};

use super::errors::Subject;
use super::rows::{self, Result, Row, row_columns};
use super::story::{self, With};
use super::work::{Freed, Work};
use crate::bridge::Lane;
use crate::domain::{
    Circumstances, Entry, ErrorId, ErrorStatus, Event, Failure, Neighbour, Outcome, Placing,
    RequestId, ServicePointId, State, Step, SyncRequestId, Tell, Told,
};

/// How many settled neighbours are asked whether they are newer. They arrive in order but for
/// late answers, so that the newest few decide.
const SETTLED_MAX: u32 = 8;

impl Work<'_> {
    /// Lets an event happen to a request. What moved or stayed, and why, is journalled; a repeated
    /// reply and a refused command are left to the caller.
    pub(super) fn take(&mut self, row: &mut Row, event: &Event, with: With<'_>) -> Result<Step> {
        let (step, around) = self.step(row, event, outdated(row, with))?;
        let (step, overtakes) = self.placed(row, step, &around)?;
        match &step {
            Step::Moved { to, tell } => {
                if let (State::Pending { .. }, Event::Answered(_)) = (&row.state, event) {
                    let detail = "the answer overtook the broker's confirm";
                    self.note_line(row.seq, &Entry::new("confirmed", detail), None)?;
                }
                self.enter(row, *to, *tell, (event, with))?;
                self.overtake(&overtakes, row.id)?;
            }
            Step::Ignored(why) => {
                self.note_line(row.seq, &story::of_ignored(event, with, *why), None)?;
            }
            Step::Repeated | Step::Refused(_) => {}
        }
        Ok(step)
    }

    /// Lets those go on that waited behind requests which are no longer under way. Called once at
    /// the end of each change, when every row stands as it will be seen.
    pub(super) fn release(&mut self) -> Result<()> {
        const WAITING: &str = "SELECT seq FROM requests \
             WHERE service_point = ?1 AND live = 1 AND state = 0 ORDER BY seq LIMIT 1";
        const WAITING_SAME: &str = "SELECT seq FROM requests \
             WHERE sync_request = ?1 AND state = 0 ORDER BY seq DESC LIMIT 1";
        while let Some(Freed { service_point, sync_request }) = self.freed.pop() {
            planted!("forgets who waits", continue);
            if let Some(id) = &service_point {
                self.turn(WAITING, id.as_str())?;
            }
            if let Some(id) = &sync_request {
                self.turn(WAITING_SAME, id.as_str())?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, sql: &'static str, key: &str) -> Result<()> {
        let first = self.statement(sql)?.query_row([key], |row| row.get(0)).optional()?;
        if let Some(seq) = first {
            let mut row = self.load(seq)?;
            self.take(&mut row, &Event::Turn, With::Nothing)?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        row: &mut Row,
        to: State,
        tell: Tell,
        (event, with): (&Event, With<'_>),
    ) -> Result<()> {
        let from = row.state;
        if from == State::Waiting && to == State::Waiting {
            return Ok(());
        }
        let failure = story::failure_of(event);
        row.state = to;
        self.fit_outbox(row)?;
        if let (State::Pending { .. }, Event::Published(Outcome::Interrupted)) = (&to, event) {
            // It goes back to where it was. An outage tries every few seconds, for hours maybe:
            // nothing changed, and there is nothing to tell.
            return self.save(row);
        }
        self.fit_error(row, from, failure, with)?;
        self.note_move(row, (event, with), &from)?;
        if tell == Tell::Billing
            && let Some(told) = self.told(&to, failure, with)?
        {
            self.tell(row, &told)?;
        }
        if rows::is_live(&from) == rows::is_live(&to) {
            self.save(row)?;
        } else {
            self.save_with_live(row)?;
        }
        self.count(Some(&from), &to);
        log(row, failure);
        if from.is_under_way() && !to.is_under_way() {
            self.freed.push(Freed {
                service_point: row.service_point.clone(),
                sync_request: row.sync_request.clone(),
            });
        }
        Ok(())
    }

    /// Tells of a move. The first confirm is told by the row itself: nearly every request has it.
    fn note_move(
        &self,
        row: &mut Row,
        (event, with): (&Event, With<'_>),
        from: &State,
    ) -> Result<()> {
        if let (State::Published { .. }, None) = (&row.state, row.confirmed_line) {
            row.confirmed_line = Some(self.next_line()?);
            row.confirmed_at_ms = Some(self.at());
            return Ok(());
        }
        let entry = story::of_move(event, with, (from, &row.state));
        self.note_line(row.seq, &entry, Some(&row.state))
    }

    /// The newer one's place is taken by nobody else: the older ones step aside.
    pub(super) fn overtake(&mut self, overtaken: &[RequestId], by: RequestId) -> Result<()> {
        for id in overtaken {
            if let Some(mut older) = self.find(*id)? {
                self.take(&mut older, &Event::Overtaken { by }, With::Nothing)?;
                point!("store.overtaken", return Err(crate::points::full()));
            }
        }
        Ok(())
    }

    /// Places what is about to be pending, or applied after all, among those of its service point.
    /// Returns what the step comes to, and whom the request overtakes.
    fn placed(
        &self,
        row: &Row,
        step: Step,
        around: &Circumstances,
    ) -> Result<(Step, Vec<RequestId>)> {
        if let Step::Moved { to: State::Applied, .. } = step
            && !(row.state.is_under_way() || row.state == State::Overdue)
        {
            return Ok((step, Placing::of_applied(&row.revision, &self.neighbours(row)?)));
        }
        let Step::Moved { to: State::Pending { .. }, .. } = step else {
            return Ok((step, Vec::new()));
        };
        let Placing { place, overtakes } = Placing::of(&row.revision, &self.neighbours(row)?);
        Ok((place.amend(step, &row.state, around), overtakes))
    }

    /// The others of the same service point or sync request that can matter, oldest first.
    pub(super) fn neighbours(&self, row: &Row) -> Result<Vec<Neighbour>> {
        const LIVE_SETTLED_AND_OF_SYNC_REQUEST: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.service_point = ?1 AND r.live = 1 \
             UNION ALL SELECT * FROM (SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.service_point = ?1 AND r.live = 0 \
             AND r.state IN (4, 5) ORDER BY r.seq DESC LIMIT ?2) \
             UNION ALL SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?3 AND r.state < 6"
        );
        let service_point = row.service_point.as_ref().map(ServicePointId::as_str);
        let sync_request = row.sync_request.as_ref().map(SyncRequestId::as_str);
        let mut found = Vec::new();
        let mut statement = self.statement(LIVE_SETTLED_AND_OF_SYNC_REQUEST)?;
        let mut rows = statement.query(params![service_point, SETTLED_MAX, sync_request])?;
        while let Some(row) = rows.next()? {
            found.push(Row::read(row)?);
        }
        found.retain(|other| other.seq != row.seq);
        found.sort_unstable_by_key(|other| other.seq);
        found.dedup_by_key(|other| other.seq);
        Ok(found.iter().map(|other| self.neighbour(row, other)).collect())
    }

    fn neighbour(&self, row: &Row, other: &Row) -> Neighbour {
        let leases = self.leases.borrow();
        Neighbour {
            id: other.id,
            revision: other.revision,
            state: other.state,
            in_flight: other.place.is_some_and(|place| leases.may_be_out(place)),
            same_sync_request: row.sync_request.is_some() && other.sync_request == row.sync_request,
            arrived_later: other.seq > row.seq,
        }
    }

    /// Makes the outbox fit the state: a row exactly while the request is pending.
    pub(super) fn fit_outbox(&self, row: &mut Row) -> Result<()> {
        let due = match row.state {
            State::Pending { due, .. } => Some(due.as_millisecond()),
            State::Waiting
            | State::Published { .. }
            | State::Overdue
            | State::Applied
            | State::Rejected
            | State::Parked
            | State::Superseded { .. }
            | State::Discarded => None,
        };
        row.place = match (row.place, due) {
            (Some(place), Some(due)) => {
                row.attempted |= self.was_attempted(row);
                self.give_back(Lane::Location, place, due)?;
                Some(place)
            }
            (None, Some(due)) => Some(self.put(Lane::Location, row.seq, row.edition, due)?),
            (Some(place), None) => {
                row.attempted |= self.was_attempted(row);
                self.take_out(Lane::Location, place)?;
                None
            }
            (None, None) => None,
        };
        Ok(())
    }

    /// Makes the error record fit the state: open exactly while the request is parked.
    fn fit_error(
        &self,
        row: &mut Row,
        from: State,
        failure: Option<&Failure>,
        with: With<'_>,
    ) -> Result<()> {
        let subject = Subject::Request { seq: row.seq };
        let status = match (row.state, failure) {
            (State::Parked, Some(failure)) => {
                row.error = Some(self.open_error(subject, Some(row.seq), failure)?);
                return Ok(());
            }
            (State::Parked, None) => ErrorStatus::Open,
            (State::Applied | State::Rejected | State::Superseded { .. }, _) => {
                ErrorStatus::Resolved
            }
            (State::Waiting | State::Pending { .. }, _) if from == State::Parked => {
                ErrorStatus::Retrying
            }
            (State::Discarded, _) => ErrorStatus::Discarded,
            (
                State::Waiting | State::Pending { .. } | State::Published { .. } | State::Overdue,
                _,
            ) => return Ok(()),
        };
        let Some(error) = row.error else { return Ok(()) };
        match with {
            With::Operator(operator) => self.set_error(error, status, Some(operator)),
            With::Nothing | With::Answer(_) => self.set_error(error, status, None),
        }
    }

    /// What billing is told when a request enters a state.
    fn told(&self, to: &State, failure: Option<&Failure>, with: With<'_>) -> Result<Option<Told>> {
        Ok(match (to, with) {
            (State::Applied, With::Answer(answer)) => Some(Told::Applied(answer.keys.clone())),
            (State::Rejected, With::Answer(answer)) => {
                Some(Told::Rejected(answer.exceptions.clone()))
            }
            (State::Parked, _) => failure.cloned().map(Told::Parked),
            (State::Superseded { by }, _) => {
                let newer = self.find(*by)?;
                Some(Told::Superseded { by: newer.and_then(|newer| newer.sync_request) })
            }
            (State::Discarded, With::Operator(operator)) => {
                Some(Told::Discarded { reason: operator.reason.clone() })
            }
            (_, With::Nothing | With::Answer(_) | With::Operator(_)) => None,
        })
    }

    /// Makes the reply, if billing's id of the request is known.
    pub(super) fn tell(&self, row: &mut Row, told: &Told) -> Result<()> {
        let Some(sync_request) = row.sync_request.clone() else { return Ok(()) };
        planted!("parks in silence" if matches!(told, Told::Parked(_)), return Ok(()));
        planted!("supersedes in silence" if matches!(told, Told::Superseded { .. }), return Ok(()));
        self.make_reply(row, sync_request, told)
    }
}

/// Whether an answer is about an older edition than today's. One that was found by its body alone
/// does not say.
fn outdated(row: &Row, with: With<'_>) -> bool {
    match with {
        With::Answer(answer) => answer
            .reference
            .message
            .is_some_and(|message| message.request() == row.id && message.edition() != row.edition),
        With::Nothing | With::Operator(_) => false,
    }
}

/// The one log event of a change of state. What goes as it should is told at the level of debug: a
/// busy bridge would write gigabytes of it a day, and the timeline has it all.
pub(super) fn log(row: &Row, failure: Option<&Failure>) {
    macro_rules! tell {
        ($level:ident, $($more:tt)+) => {
            tracing::$level!(
                request.id = %row.id,
                sync_request.id = row.sync_request.as_ref().map(tracing::field::display),
                service_point.id = row.service_point.as_ref().map(tracing::field::display),
                $($more)+
            )
        };
    }
    let state = row.state.as_str();
    match (&row.state, failure) {
        (State::Parked, Some(failure)) => tell!(
            warn,
            error.id = row.error.map(|id| tracing::field::display(ErrorId(id))),
            failure.code = failure.code.as_str(),
            "request is parked"
        ),
        (State::Waiting | State::Pending { .. } | State::Published { .. } | State::Applied, _) => {
            tell!(debug, "request is {state}");
        }
        (
            State::Overdue
            | State::Rejected
            | State::Parked
            | State::Superseded { .. }
            | State::Discarded,
            _,
        ) => tell!(info, "request is {state}"),
    }
}
