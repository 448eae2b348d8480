//! The schedule `network`: what can become of a connection, at the bridge and at both systems.

use std::time::Duration;

use super::plan::{Plan, Schedule};
use super::random::Random;
use super::run::{Run, run};
use crate::support::{End, Gate, Strike, Weather, hold, until_within};

/// Whose network it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Party {
    Bridge,
    Billing,
    Assets,
}

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// All connections end.
    Cut(Party),
    /// All connections are reset.
    Reset(Party),
    /// One is reset after so many bytes.
    ResetAfter(Party, u32),
    /// No connection is possible for so many milliseconds.
    Away(Party, u32),
    /// For so many milliseconds everything is swallowed: longer than two heartbeats.
    Silence(Party, u32),
    /// For so many milliseconds what passes is delayed by so many.
    Delay(Party, u32, u32),
    /// For so many milliseconds so many bytes a second pass.
    Slow(Party, u32, u32),
    /// One is cut between a publish and its confirm.
    AtConfirm(Party, u32),
    /// One is cut between a settlement and its arrival.
    AtSettlement(Party, u32),
}

const PARTIES: [Party; 3] = [Party::Bridge, Party::Billing, Party::Assets];

/// Those that publish until the end; billing is done long before.
const PUBLISHERS: [Party; 2] = [Party::Bridge, Party::Assets];

/// One of each kind.
pub(super) fn deal(random: &mut Random) -> [Deed; 10] {
    let mut party = || random.pick(&PARTIES);
    let parties = [party(), party(), party(), party(), party(), party()];
    [
        Deed::Cut(parties[0]),
        Deed::Reset(parties[1]),
        Deed::ResetAfter(parties[2], random.between(1, 60_000)),
        Deed::Away(parties[3], random.between(100, 2_000)),
        Deed::Silence(Party::Bridge, random.between(4_000, 6_000)),
        Deed::Delay(parties[4], random.between(1_000, 3_000), random.between(20, 400)),
        Deed::Slow(parties[5], random.between(1_000, 3_000), random.between(20_000, 200_000)),
        Deed::AtConfirm(Party::Bridge, random.between(0, 50)),
        Deed::AtConfirm(random.pick(&PUBLISHERS), random.between(0, 50)),
        Deed::AtSettlement(random.pick(&PARTIES), random.between(0, 3)),
    ]
}

impl Deed {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Cut(_) => "connections cut",
            Self::Reset(_) => "connections reset",
            Self::ResetAfter(..) => "connection reset in the middle of a frame",
            Self::Away(..) => "network away",
            Self::Silence(..) => "half-open connections",
            Self::Delay(..) => "delayed network",
            Self::Slow(..) => "slow network",
            Self::AtConfirm(..) => "cut between publish and confirm",
            Self::AtSettlement(..) => "cut between settlement and arrival",
        }
    }
}

impl Run {
    pub(super) fn disturb_network(&mut self, deed: Deed) {
        let lasting = |gate: &Gate, weather, time: u32| {
            gate.turn(weather);
            hold(Duration::from_millis(u64::from(time)));
            gate.turn(Weather::Open);
        };
        match deed {
            Deed::Cut(party) => self.break_off(party).cut(End::Cut),
            Deed::Reset(party) => self.break_off(party).cut(End::Reset),
            Deed::ResetAfter(party, bytes) => {
                self.strike(party, Strike::ResetAfter(u64::from(bytes)));
            }
            Deed::Away(party, time) => lasting(self.break_off(party), Weather::Shut, time),
            Deed::Silence(party, time) => lasting(self.break_off(party), Weather::Silent, time),
            Deed::Delay(party, time, delay) => {
                let delay = Duration::from_millis(u64::from(delay));
                lasting(self.gate(party), Weather::Delayed(delay), time);
            }
            Deed::Slow(party, time, rate) => lasting(self.gate(party), Weather::Slow(rate), time),
            Deed::AtConfirm(party, skip) => self.strike(party, Strike::AtConfirm(skip)),
            Deed::AtSettlement(party, skip) => self.strike(party, Strike::AtSettlement(skip)),
        }
    }

    fn gate(&self, party: Party) -> &Gate {
        match party {
            Party::Bridge => &self.gates.bridge,
            Party::Billing => &self.gates.billing,
            Party::Assets => &self.gates.assets,
        }
    }

    /// The gate of somebody whose connections are about to end.
    fn break_off(&mut self, party: Party) -> &Gate {
        match party {
            Party::Bridge => self.doubts.bridge += 1,
            Party::Billing => self.doubts.billing += 1,
            Party::Assets => self.doubts.assets += 1,
        }
        self.gate(party)
    }

    /// Lies in wait until a connection is struck.
    fn strike(&mut self, party: Party, strike: Strike) {
        let patience = self.plan.patience();
        let gate = self.break_off(party);
        gate.arm(strike);
        until_within(patience, &format!("{strike:?} to strike {party:?}"), || {
            gate.has_struck().then_some(())
        });
    }
}

#[test]
fn whatever_becomes_of_connections_every_request_ends_and_all_counts_agree() {
    drop(run(Plan::of_environment(Schedule::Network, 2_000, 10)));
}
