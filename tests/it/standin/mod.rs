//! The stand-ins against each other, on a real broker, with a relay between them that does what the
//! bridge does in the plainest way, and wrongly when told to.
#![expect(clippy::disallowed_methods, reason = "a test starts what it tests")]

mod mappings;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use tieline::bridge::ports::Clock;
use tieline::standin::answers::AnswerMix;
use tieline::standin::plan::Mix;
use tieline::standin::{Broker, Count, Ended, Live, Tally, Violation, assets, billing};
use tokio_util::sync::CancellationToken;

use self::relay::{Conduct, Relay};
use crate::amqp::bench::{has_rabbitmq, site};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

/// Good messages of every kind; the relay cannot refuse.
const MIX: Mix = Mix { duplicate: 0.1, corrected: 0.1, newer: 0.2, items: 0.2, ..Mix::GOOD };

/// By body alone a relay that sends all at once could not tell a correction from what it corrects.
const ANSWERS: AnswerMix =
    AnswerMix { negative: 0.1, doubled: 0.05, orphan: 0.05, late: 0.05, ..AnswerMix::POSITIVE };

/// Runs both stand-ins with a relay between them until everything is settled.
async fn run(test: &str, conduct: Conduct, billing: billing::Options) -> (Tally, Tally) {
    let (_vhost, endpoint) = site(test).await;
    let topology = tieline::amqp::Topology::built_in();
    let broker = Broker { endpoint: endpoint.clone(), topology };
    let clock: Arc<dyn Clock> = Arc::new(Stopped);
    let stop = CancellationToken::new();
    let relay = Relay::start(&endpoint, conduct, &stop);
    let options = assets::Options {
        mix: ANSWERS,
        late: Duration::from_millis(300),
        ..assets::Options::default()
    };
    let answering = {
        let (broker, clock, stop) = (broker.clone(), Arc::clone(&clock), stop.clone());
        let live = Arc::new(Live::new());
        tokio::spawn(async move { assets::run(options, &broker, live, clock, stop).await })
    };
    let never = CancellationToken::new();
    let told = billing::run(billing, &broker, Arc::new(Live::new()), clock, never).await.unwrap();
    stop.cancel();
    let answered = answering.await.unwrap().unwrap();
    relay.end().await;
    (told, answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_agree_on_what_passed_between_them() {
    if !has_rabbitmq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("billing.jsonl");
    let history = Some(file.clone());
    let options = billing::Options { number: 600, mix: MIX, history, ..Default::default() };
    let (billing, assets) = run("standin-agree", Conduct::Well, options).await;
    assert!(billing.is_clean() && assets.is_clean(), "{billing}{assets}");
    assert_eq!(billing.ended, Ended::Settled, "{billing}");
    assert_eq!((billing.count(Count::Sent), billing.count(Count::Confirmed)), (600, 600));
    let contents = 600 - billing.count(Count::Duplicate);
    assert_eq!(billing.count(Count::RequestsTold), contents, "{billing}");
    assert_eq!(assets.count(Count::LocationsNew), contents, "{assets}");
    assert_eq!(billing.count(Count::Rejected), assets.count(Count::AnsweredNegative));
    let lines = std::fs::read_to_string(file).unwrap();
    let sent = lines.lines().filter(|line| line.contains("\"event\":\"sent\"")).count();
    assert_eq!(sent, 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bridge_does_wrong_is_seen() {
    if !has_rabbitmq() {
        return;
    }
    let options = billing::Options { number: 300, mix: MIX, ..Default::default() };
    let (billing, assets) = run("standin-wrong", Conduct::Badly, options).await;
    let seen = |tally: &Tally| -> Vec<_> {
        tally.violations.iter().map(|violated| violated.violation).collect()
    };
    assert_eq!(seen(&billing), [Violation::MessageIdReused, Violation::NeverSent], "{billing}");
    assert_eq!(seen(&assets), [Violation::MessageIdReused, Violation::OlderAfterNewer], "{assets}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn billing_gives_up_when_nothing_comes_any_more() {
    if !has_rabbitmq() {
        return;
    }
    let quiet = Duration::from_millis(500);
    let options = billing::Options {
        number: 20,
        mix: Mix::GOOD,
        quiet,
        rate: Some(100.0),
        ..Default::default()
    };
    let (billing, _) = run("standin-quiet", Conduct::Not, options).await;
    assert_eq!(billing.ended, Ended::Quiet);
    assert_eq!(billing.count(Count::SyncRequestsUntold), 20);
    assert_eq!(billing.untold.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn billing_may_stay_when_every_request_was_told() {
    if !has_rabbitmq() {
        return;
    }
    let quiet = Duration::from_millis(500);
    let options =
        billing::Options { number: 20, mix: Mix::GOOD, quiet, stays: true, ..Default::default() };
    let (billing, _) = run("standin-stays", Conduct::Well, options).await;
    assert_eq!(billing.ended, Ended::Quiet);
    assert_eq!(billing.count(Count::SyncRequestsUntold), 0);
}
