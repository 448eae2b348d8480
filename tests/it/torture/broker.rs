//! The schedule `broker`: it dies, starves, refuses, and loses bindings, queues and messages.
//!
//! Two holes of the broker itself are stepped around, for nobody could bridge them. A quorum queue
//! that is killed within a second of its declaration comes back empty: a new queue is settled by a
//! clean restart before the next kill. And messages that a fault destroys by its nature are taken
//! out one by one, so that the checker knows which they were.

use std::time::Duration;

use super::plan::{Plan, Schedule};
use super::random::Random;
use super::run::{Run, run};
use crate::support::{Gate, Message, Weather, hold, queue, until_within};

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// SIGKILL, and up again.
    Kill,
    /// Stopped cleanly, and up again.
    Restart,
    /// Low on memory for so many milliseconds: it takes no messages.
    Alarm(u32),
    /// The queue is taken from its exchange, until the bridge has noticed.
    Unbind(Lane),
    /// The queue is deleted while nothing is in it, until the bridge has noticed.
    Delete(Lane),
    /// The queue takes no more than so many messages, until the bridge has noticed.
    Refuse(u32),
    /// So many asset locations, or some more, are deleted together with their queue.
    Destroy(u32),
}

/// A queue that the bridge publishes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    Location,
    Reply,
}

impl Lane {
    fn queue(self) -> &'static str {
        match self {
            Self::Location => queue::LOCATION,
            Self::Reply => queue::REPLY,
        }
    }

    /// What the bridge says when it holds them back.
    fn paused(self) -> [&'static str; 2] {
        ["paused: ", self.named()]
    }

    /// What the bridge says when they go out again.
    fn resumed(self) -> [&'static str; 2] {
        ["resumed after ", self.named()]
    }

    fn named(self) -> &'static str {
        match self {
            Self::Location => "lane=\"location\"",
            Self::Reply => "lane=\"reply\"",
        }
    }

    /// The code when no queue takes them.
    fn unroutable(self) -> &'static str {
        match self {
            Self::Location => "TL3001",
            Self::Reply => "TL5001",
        }
    }
}

const LANES: [Lane; 2] = [Lane::Location, Lane::Reply];

/// The exchange of what goes out.
const OUT: &str = "tieline.out";

/// What the bridge says when the broker refuses an asset location.
const REFUSED: &str = "TL3002";

/// The policy of a queue that is too small.
const POLICY: &str = "torture";

/// One of each kind.
pub(super) fn deal(random: &mut Random) -> [Deed; 7] {
    [
        Deed::Kill,
        Deed::Restart,
        Deed::Alarm(random.between(500, 3_000)),
        Deed::Unbind(random.pick(&LANES)),
        Deed::Delete(random.pick(&LANES)),
        Deed::Refuse(random.between(1, 20)),
        Deed::Destroy(random.between(1, 40)),
    ]
}

impl Deed {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill of the broker",
            Self::Restart => "restart of the broker",
            Self::Alarm(_) => "memory alarm",
            Self::Unbind(_) => "queue unbound",
            Self::Delete(_) => "empty queue deleted",
            Self::Refuse(_) => "publishes refused",
            Self::Destroy(_) => "filled queue deleted",
        }
    }
}

impl Run {
    pub(super) fn disturb_broker(&mut self, deed: Deed) {
        match deed {
            Deed::Kill => self.kill_broker(),
            Deed::Restart => self.restart_broker(),
            Deed::Alarm(time) => {
                self.turn_alarm(true);
                hold(Duration::from_millis(u64::from(time)));
                self.turn_alarm(false);
            }
            Deed::Unbind(lane) => {
                let from = self.unbind(lane);
                self.site.client.bind(lane.queue(), OUT, lane.queue());
                self.until_logged(from, &lane.resumed());
            }
            Deed::Delete(lane) => {
                let from = self.unbind(lane);
                self.until_empty(lane.queue());
                // Cut off before, for the broker does not always tell a consumer that its queue is
                // gone: one was left without, while the queue was there again within 30 ms.
                self.cut_off(lane);
                self.redeclare(lane.queue());
                self.gate_of(lane).turn(Weather::Open);
                self.until_logged(from, &lane.resumed());
            }
            Deed::Refuse(most) => self.refuse(most),
            Deed::Destroy(count) => self.destroy(count),
        }
    }

    /// Whether the broker takes itself for low on memory.
    pub(super) fn turn_alarm(&self, is_on: bool) {
        self.ctl(&["set_vm_memory_high_watermark", if is_on { "0.0001" } else { "0.4" }]);
    }

    /// The network of the system that takes from a queue.
    fn gate_of(&self, lane: Lane) -> &Gate {
        match lane {
            Lane::Location => &self.gates.assets,
            Lane::Reply => &self.gates.billing,
        }
    }

    /// Ends the connections of the system that takes from a queue, until its network is open again.
    pub(super) fn cut_off(&mut self, lane: Lane) {
        match lane {
            Lane::Location => self.doubts.assets += 1,
            Lane::Reply => self.doubts.billing += 1,
        }
        self.gate_of(lane).turn(Weather::Shut);
    }

    fn kill_broker(&mut self) {
        if std::mem::take(&mut self.has_new_queues) {
            self.restart_broker();
        }
        self.doubt_everybody();
        self.node().kill().unwrap();
        self.node().restart().unwrap();
        self.site.reconnect();
    }

    pub(super) fn restart_broker(&mut self) {
        self.doubt_everybody();
        self.node().restart().unwrap();
        self.site.reconnect();
        self.has_new_queues = false;
    }

    pub(super) fn doubt_everybody(&mut self) {
        self.doubts.bridge += 1;
        self.doubts.billing += 1;
        self.doubts.assets += 1;
    }

    /// Takes a queue from its exchange and returns when the bridge has noticed: the place of its log
    /// from which to look on.
    fn unbind(&self, lane: Lane) -> usize {
        self.until_open(lane);
        let from = self.bridge().log_end();
        self.site.client.unbind(lane.queue(), OUT, lane.queue());
        self.until_logged(from, &["paused: ", lane.unroutable()]);
        from
    }

    /// Waits until the bridge does not hold a lane back, as after a fault before: it says once only
    /// that it does.
    fn until_open(&self, lane: Lane) {
        until_within(self.plan.patience(), &format!("{lane:?} to go out"), || {
            let last = |words: [&str; 2]| self.bridge().last_logged(&words);
            (last(lane.paused()) <= last(lane.resumed())).then_some(())
        });
    }

    fn until_logged(&self, from: usize, words: &[&str]) {
        until_within(self.plan.patience(), &format!("the bridge to say {words:?}"), || {
            self.bridge().has_logged(from, words).then_some(())
        });
    }

    /// Waits until a queue holds nothing, not even something that is not settled.
    fn until_empty(&self, name: &str) {
        until_within(self.plan.patience(), &format!("{name} to be empty"), || {
            (self.held(name) == Some(0)).then_some(())
        });
    }

    /// How many messages a queue holds, settled by nobody, as its own log says; nothing while no
    /// node leads it. What the broker lists is refreshed every five seconds
    /// (`quorum_tick_interval`) and begins with none after a restart: it calls queues empty that
    /// are not.
    fn held(&self, name: &str) -> Option<usize> {
        let count = format!(
            r#"{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{name}">>)),
               Count = fun rabbit_fifo:query_messages_total/1,
               case ra:consistent_query(amqqueue:get_pid(Q), Count) of
                   {{ok, N, _}} -> N;
                   No -> No
               end."#
        );
        self.ctl(&["eval", &count]).trim().parse().ok()
    }

    fn redeclare(&mut self, name: &str) {
        self.site.client.delete(name);
        self.site.cli(&["queues", "declare", "--yes", "--reason", "deleted by a test"]).ended(0);
        self.has_new_queues = true;
    }

    /// Asset management is cut off, so that the queue fills up.
    fn refuse(&mut self, most: u32) {
        self.until_open(Lane::Location);
        let from = self.bridge().log_end();
        self.limit_locations(most);
        self.cut_off(Lane::Location);
        self.until_logged(from, &["paused: ", REFUSED]);
        self.lift_limit();
        self.gates.assets.turn(Weather::Open);
        self.until_logged(from, &Lane::Location.resumed());
    }

    /// The queue of asset locations takes no more than so many.
    pub(super) fn limit_locations(&self, most: u32) {
        let pattern = queue::LOCATION.replace('.', "\\.");
        let policy = format!(r#"{{"max-length":{most},"overflow":"reject-publish"}}"#);
        self.ctl(&["set_policy", POLICY, &format!("^{pattern}$"), &policy, "--apply-to", "queues"]);
    }

    pub(super) fn lift_limit(&self) {
        self.ctl(&["clear_policy", POLICY]);
    }

    /// Asset management is cut off, so that asset locations wait; they are taken out, and the queue
    /// is deleted.
    fn destroy(&mut self, count: u32) {
        self.cut_off(Lane::Location);
        until_within(self.plan.patience(), &format!("{count} asset locations to wait"), || {
            self.site.client.depth(queue::LOCATION).filter(|depth| *depth >= count)
        });
        let from = self.unbind(Lane::Location);
        // With what asset management had and did not settle, which comes back.
        until_within(self.plan.patience(), "every asset location to be taken out", || {
            let held = self.held(queue::LOCATION)?;
            let taken = self.site.client.take(queue::LOCATION, held);
            self.destroyed.extend(taken.iter().map(Message::message_id));
            (held == 0).then_some(())
        });
        self.redeclare(queue::LOCATION);
        self.gates.assets.turn(Weather::Open);
        self.until_logged(from, &Lane::Location.resumed());
    }
}

#[test]
fn whatever_the_broker_does_every_request_ends_and_all_counts_agree() {
    drop(run(Plan::of_environment(Schedule::Broker, 2_000, 7)));
}
