//! A store with a past: requests that were taken, sent, answered and told, or that still wait.
//!
//! Made by the store's own operations in large batches, from the same requests as billing's
//! stand-in makes, so that the store is as it would be after years; without a broker, which makes
//! it some hundred times faster than years.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tieline::bridge::ports::{Clock, Handover, Lane, NewAnswer, Rules, Store as _};
use tieline::bridge::{Arrival, Outgoing, Properties, Transforms, What, answers, intake};
use tieline::domain::RetryPolicy;
use tieline::runtime::SystemClock;
use tieline::standin::plan::{Mix, Plan, Planned};
use tieline::store::{Role, Settings, Sqlite};
use tieline::transform::Catalog;

use crate::Result;
use crate::load::SEED;
use crate::outside::answer_body;

/// How many requests go into one transaction.
pub(crate) const BATCH: usize = 1_000;

/// What has become of the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Past {
    /// They were applied, and billing was told.
    Applied,
    /// They were published, and are not answered.
    Published,
    /// They wait to be sent.
    Waiting,
}

/// Makes a store that holds so many requests.
pub(crate) async fn make(path: &Path, number: u64, past: Past) -> Result<()> {
    let transforms = Arc::new(Transforms::new(Catalog::built_in()?));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rules = Rules {
        retry: RetryPolicy {
            tries_max: 5,
            delay_min: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_mins(1),
        },
        answer_timeout: SignedDuration::from_hours(4),
    };
    let writer: Arc<Transforms> = Arc::clone(&transforms);
    let store =
        Sqlite::open(&Settings::new(path), Arc::clone(&clock), rules, writer, Role::Bridge)?;
    let catalog = transforms.current();
    let mut plan = Plan::new(SEED, number, Mix::GOOD);
    loop {
        let batch: Vec<_> = plan.by_ref().take(BATCH).map(arrival).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let requests = batch.into_iter().map(|arrival| intake::request(&catalog, arrival));
        store.record(requests.collect()).await?;
        if past != Past::Waiting {
            let sent = hand_over(&store, Lane::Location, clock.now()).await?;
            if past == Past::Published {
                continue;
            }
            let answers = sent.iter().filter_map(|location| answer(&catalog, location));
            store.settle(answers.collect()).await?;
            hand_over(&store, Lane::Reply, clock.now()).await?;
        }
    }
}

/// Takes what waits in a lane as a broker would, and returns it.
async fn hand_over(store: &Sqlite, lane: Lane, now: Timestamp) -> Result<Vec<Outgoing>> {
    let until = now.saturating_add(SignedDuration::from_mins(1))?;
    let limit = u32::try_from(BATCH)?;
    let leased = store.lease(lane, limit, until).await?;
    let confirmed = leased.iter().map(|leased| (leased.place, Handover::Confirmed)).collect();
    store.finish(lane, confirmed).await?;
    Ok(leased.into_iter().map(|leased| leased.message).collect())
}

/// A request as it came from billing.
fn arrival(planned: Planned) -> Arrival {
    let properties = Properties {
        content_type: Some("application/xml".into()),
        delivery_mode: Some(2),
        message_id: Some(planned.message_id()),
        correlation_id: Some(planned.correlation()),
        kind: Some("spSyncRequest".into()),
        app_id: Some("OU_CCB_01".into()),
        routing_key: "ccb.sp.request".into(),
        ..Properties::default()
    };
    Arrival { payload: planned.payload, properties }
}

/// The positive answer to an asset location.
fn answer(catalog: &Catalog, location: &Outgoing) -> Option<NewAnswer> {
    let What::Location { sync_request, .. } = &location.what else { return None };
    let asked = location.message_id.to_string();
    let properties = Properties {
        content_type: Some("application/xml".into()),
        delivery_mode: Some(2),
        message_id: Some(format!("a-{asked}")),
        correlation_id: Some(asked),
        kind: Some("syncResponse".into()),
        app_id: Some("OU_WAM_01".into()),
        routing_key: "wam.location.ack".into(),
        ..Properties::default()
    };
    let payload = answer_body(sync_request.as_str());
    Some(answers::answer(catalog, Arrival { payload, properties }, None))
}
