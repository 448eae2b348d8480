//! The yardstick of a round: a program in the bridge's place that does the same queue operations
//! and nothing else. It forwards fixed bytes of the same sizes under the same kinds of properties:
//! no translation, no correlation, no store.

use std::fmt;
use std::process::Command;
use std::sync::Arc;

use lapin::message::Delivery;
use tieline::bridge::message::header;
use tieline::domain::{ExternalKey, Reply, Told};
use tieline::transform::{Catalog, ContentType};
use tokio::signal::unix::{SignalKind, signal};

use crate::Result;
use crate::load::Load;
use crate::relay::{self, relay};
use crate::site::queue;
use crate::wire::{Letter, Wire};

/// The word by which this binary is started as the pass-through program.
pub(crate) const NAME: &str = "pass-through";

/// The exchange on which the bridge publishes.
const EXCHANGE: &str = "tieline.out";

/// The length of a message id of the bridge.
const ID_LENGTH: usize = 36;

/// What fills an id up to that length.
const FILL: char = '.';

/// What is forwarded: as many bytes as the bridge would write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sizes {
    location: usize,
    reply: usize,
}

impl Sizes {
    /// The sizes of what the bridge makes of these requests: those of the first.
    pub(crate) fn of(load: &Load) -> Result<Self> {
        let catalog = Catalog::built_in()?;
        let first = load.requests().first().ok_or("no request to take the sizes from")?;
        let translated = catalog.translate(&first.payload, &ContentType::default());
        let location = translated.outcome.map_err(|failure| failure.detail)?.outgoing.len();
        let sync_request = translated.sync_request.ok_or("a request without its id")?;
        let (entity, value) = ("ASSET-LOCATION".to_owned(), format!("KEY-{sync_request}"));
        let told = Told::Applied(vec![ExternalKey { entity, value }]);
        let reply = catalog.write_reply(&Reply { sync_request, told }).len();
        Ok(Self { location, reply })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "locations of {} and replies of {} bytes", self.location, self.reply)
    }
}

/// The command that runs the pass-through program.
pub(crate) fn command(url: &str, sizes: Sizes) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([NAME, url, &sizes.location.to_string(), &sizes.reply.to_string()]);
    Ok(command)
}

/// Runs as the pass-through program until SIGTERM.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let [url, location, reply] = arguments else {
        return Err(format!("{NAME}: expected URL LOCATION_BYTES REPLY_BYTES").into());
    };
    let fixed = |size: &str| -> Result<Arc<[u8]>> { Ok(vec![b'x'; size.parse()?].into()) };
    let (location, reply) = (fixed(location)?, fixed(reply)?);
    let (requests, answers) = (Wire::connect(url).await?, Wire::connect(url).await?);
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = relay(&requests, queue::REQUEST, |request| as_location(request, &location)) => ended,
        ended = relay(&answers, queue::ANSWER, |answer| as_reply(answer, &reply)) => ended,
        _ = end.recv() => Ok(()),
    }?;
    requests.close().await?;
    answers.close().await
}

/// What goes to asset management. The correlation id of the request is carried as the message id,
/// so that nothing has to be remembered.
fn as_location(request: &Delivery, payload: &Arc<[u8]>) -> Letter {
    let correlation = relay::text(request.properties.correlation_id().as_ref());
    let id = format!("{correlation:.<ID_LENGTH$}");
    let letter = relay::persistent(EXCHANGE, queue::LOCATION, payload, &id);
    let properties = letter
        .properties
        .with_app_id("tieline".into())
        .with_type("asset-location".into())
        .with_correlation_id(id.as_str().into())
        .with_reply_to(queue::ANSWER.into())
        .with_headers(relay::headers(&[
            (header::REQUEST, &id),
            (header::SYNC_REQUEST, "85810617092033"),
            (header::SERVICE_POINT, "8581061709"),
        ]));
    Letter { properties, ..letter }
}

/// What goes to billing.
fn as_reply(answer: &Delivery, payload: &Arc<[u8]>) -> Letter {
    let id = relay::text(answer.properties.correlation_id().as_ref());
    let letter = relay::persistent(EXCHANGE, queue::REPLY, payload, id);
    let properties = letter
        .properties
        .with_app_id("tieline".into())
        .with_type("sync-ack".into())
        .with_correlation_id(id.trim_end_matches(FILL).into())
        .with_headers(relay::headers(&[
            (header::REQUEST, id),
            (header::SYNC_REQUEST, "85810617092033"),
            (header::SERVICE_POINT, "8581061709"),
            (header::OUTCOME, "applied"),
        ]));
    Letter { properties, ..letter }
}
