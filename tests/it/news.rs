//! A lane sends what is due as soon as the store tells it so; that it looks by itself now and then is
//! for what another process put there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tempfile::TempDir;
use tieline::bridge::dispatch::{Dispatch, Limits};
use tieline::bridge::operator::Operations;
use tieline::bridge::outage::{ParkAfter, Release};
use tieline::bridge::ports::{Leased, NewRequest, ReplyWriter, Rules};
use tieline::bridge::trace::NoTracer;
use tieline::bridge::{
    Arrival, Clock, Health, Lane, Properties, Publisher, Store, Transforms, intake,
};
use tieline::domain::{Failure, MessageId, RetryPolicy};
use tieline::runtime::SystemClock;
use tieline::standin::plan::{Mix, Plan, Planned};
use tieline::store::{Role, Settings, Sqlite};
use tieline::transform::Catalog;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a lane may take that sends at once, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker that takes everything.
struct Taker(UnboundedSender<MessageId>);

#[async_trait]
impl Publisher for Taker {
    async fn open(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn probe(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn publish(&self, window: &[Leased]) -> Vec<Result<(), Failure>> {
        window
            .iter()
            .map(|leased| self.0.send(leased.message.message_id).unwrap())
            .map(Ok)
            .collect()
    }
}

#[tokio::test]
async fn a_lane_that_would_look_once_a_day_sends_at_once() {
    let folder = TempDir::new().unwrap();
    let transforms = Arc::new(Transforms::new(Catalog::built_in().unwrap()));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let replies: Arc<dyn ReplyWriter> = Arc::<Transforms>::clone(&transforms);
    let settings = Settings::new(folder.path().join("store.db"));
    let store = Sqlite::open(&settings, Arc::clone(&clock), rules(), replies, Role::Bridge);
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let (taken, mut sent) = unbounded_channel();
    let stop = CancellationToken::new();
    let lane = Dispatch {
        lane: Lane::Location,
        store: Arc::clone(&store),
        publisher: Arc::new(Taker(taken)),
        operations: Arc::new(Operations {
            store: Arc::clone(&store),
            transforms: Arc::clone(&transforms),
        }),
        clock,
        tracer: Arc::new(NoTracer),
        health: Arc::new(Health::default()),
        limits: limits(),
    };
    let mut plan = Plan::new(7, 703, Mix::GOOD);
    let told = async {
        // One, when nothing else is to do; and more than a few rounds send.
        for number in [1, 1, 1, 700] {
            let news: Vec<_> =
                plan.by_ref().take(number).map(|it| request(&transforms, it)).collect();
            let expected: Vec<_> = news.iter().map(|new| new.id.location(1)).collect();
            store.record(news).await.unwrap();
            for id in expected {
                assert_eq!(timeout(PATIENCE, sent.recv()).await.unwrap(), Some(id));
            }
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(lane.run(stop.clone()), told);
    ended.unwrap();
}

fn request(transforms: &Transforms, planned: Planned) -> NewRequest {
    let arrival = Arrival { payload: planned.payload, properties: Properties::default() };
    intake::request(&transforms.current(), arrival)
}

fn rules() -> Rules {
    Rules {
        retry: RetryPolicy {
            tries_max: 5,
            delay_min: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_mins(1),
        },
        answer_timeout: SignedDuration::from_hours(4),
    }
}

fn limits() -> Limits {
    Limits {
        window: 10,
        lease: SignedDuration::from_hours(1),
        poll: Duration::from_hours(24),
        retry_max: Duration::from_mins(1),
        park_after: ParkAfter::Never,
        release: Release::Manual,
    }
}
