//! A publisher's connection of the moment: opened when needed, tried out, given up when in doubt.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{BasicProperties, Channel};
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Backoff;
use super::connection::{Endpoint, Link};
use super::headers::Envelope;
use super::problem::sentence;
use super::window::{self, Fate, Post};

/// The routing key of the message that tries whether the broker takes messages. No queue has it,
/// so the message comes back.
const TRIAL_KEY: &str = "tieline.trial";

/// The id of that message; it belongs to no window.
const TRIAL_ID: &str = "tieline-trial";

/// How long a connection must have lasted for the next to be tried without much waiting.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// How old a connection may be that the broker blocks, low on memory or disk, before the next takes
/// its place. lapin keeps each heartbeat that a blocked connection may not send: 11 MiB an hour for
/// all lanes at a heartbeat of two seconds.
pub(super) const BLOCKED_MAX: Duration = Duration::from_mins(10);

/// Where and how a session connects.
pub(super) struct Target<'a> {
    /// How old a connection may be that the broker blocks; see [`BLOCKED_MAX`].
    pub(super) blocked_max: Duration,
    pub(super) endpoint: &'a Endpoint,
    /// Shown in the broker's list of connections.
    pub(super) purpose: &'a str,
    /// The exchange that a new connection is tried out on.
    pub(super) exchange: &'a str,
    /// How long the trial may take.
    pub(super) wait: Duration,
}

/// The connection of the moment, and when the next may be tried.
pub(super) struct Session {
    open: Option<Open>,
    backoff: Backoff,
    not_before: Option<Instant>,
    has_connected: bool,
}

/// An open connection with a channel in confirm mode.
pub(super) struct Open {
    pub(super) link: Link,
    pub(super) channel: Channel,
    since: Instant,
    is_tried: bool,
    /// Whether another connection was lost before this one.
    is_doubtful: bool,
}

/// Why nothing can be published now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// The broker is not there, or does not take us.
    Away(String),
    /// The broker takes no messages now: it is low on memory or disk.
    Blocked(String),
    /// The broker does not take what is published there: its reply code and text.
    Refused(u16, String),
}

#[cfg(feature = "points")]
impl Closed {
    /// What a lost connection comes to.
    pub(super) fn made_to() -> Self {
        Self::Away(crate::points::FAILED.to_owned())
    }
}

impl Open {
    /// Opens a connection. Nothing was published on it yet, so the broker does not block it.
    pub(super) async fn connect(target: &Target<'_>) -> Result<Self, Closed> {
        let connected = target.endpoint.connect(target.purpose).await;
        let link = connected.map_err(|error| Closed::Away(error.to_string()))?;
        let away = |error| Closed::Away(sentence(&error));
        let channel = link.channel().await.map_err(away)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(away)?;
        Ok(Self { link, channel, since: Instant::now(), is_tried: false, is_doubtful: false })
    }

    pub(super) fn is_usable(&self) -> bool {
        self.link.is_connected() && self.channel.status().connected()
    }

    /// Makes sure that the broker takes messages on it: tried out once, and not blocked now.
    pub(super) async fn admit(&mut self, target: &Target<'_>) -> Result<(), Closed> {
        if !self.is_tried && !self.is_blocked() {
            try_out(self, target).await?;
            self.is_tried = true;
        }
        self.link.blocked().map_or(Ok(()), |reason| Err(Closed::Blocked(reason)))
    }

    /// Has it tried out again at the next admission: a broker may be low on memory since.
    pub(super) fn forget_trial(&mut self) {
        self.is_tried = false;
    }

    /// Whether the broker blocks it, as far as is known.
    pub(super) fn is_blocked(&self) -> bool {
        self.link.blocked().is_some()
    }

    /// Whether it has been blocked for long enough that the next is to take its place.
    pub(super) fn is_worn_out(&self, target: &Target<'_>) -> bool {
        self.is_blocked() && self.since.elapsed() >= target.blocked_max
    }
}

impl Session {
    pub(super) fn new() -> Self {
        Self { open: None, backoff: Backoff::new(), not_before: None, has_connected: false }
    }

    /// Makes sure that there is a connection on which the broker takes messages now. Waits out the
    /// time between two attempts, at most 30 s, the opening, at most the connect timeout, and the
    /// trial.
    pub(super) async fn ready(&mut self, target: &Target<'_>) -> Result<&Open, Closed> {
        if self.open.as_ref().is_some_and(|open| !open.is_usable()) {
            self.give_up();
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect(target).await?,
        };
        match open.admit(target).await {
            Ok(()) => Ok(self.open.insert(open)),
            Err(Closed::Blocked(reason)) => {
                let is_worn_out = open.is_worn_out(target);
                self.open = Some(open);
                if is_worn_out {
                    self.give_up();
                }
                Err(Closed::Blocked(reason))
            }
            Err(closed) => Err(closed),
        }
    }

    /// Whether the connection of the moment took the place of one that was lost, and nobody has
    /// looked into that yet.
    pub(super) fn is_doubtful(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_doubtful)
    }

    /// Somebody has looked into it.
    pub(super) fn trust(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_doubtful = false;
        }
    }

    /// Cuts the connection: nothing that waits in a buffer goes out later.
    pub(super) fn give_up(&mut self) {
        if let Some(open) = self.open.take()
            && open.since.elapsed() >= HEALTHY_AFTER
        {
            self.backoff.reset();
            self.not_before = None;
        }
    }

    /// Opens another channel on the same connection, or gives the connection up. A quorum queue that
    /// was full tells a channel once when it refuses and once when it has drained; when its limit is
    /// taken away instead, the channel is refused for ever (RabbitMQ 3.10).
    pub(super) async fn renew(&mut self, wait: Duration) {
        let Some(mut open) = self.open.take() else { return };
        let renewing = async {
            open.channel.close(200, "refused".into()).await?;
            open.channel = open.link.channel().await?;
            open.channel.confirm_select(ConfirmSelectOptions::default()).await
        };
        if let Ok(Ok(())) = timeout(wait, renewing).await {
            self.open = Some(open);
        }
    }

    /// Closes the connection once everything that was published on it has been taken.
    pub(super) async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.link.close().await;
        }
    }

    async fn connect(&mut self, target: &Target<'_>) -> Result<Open, Closed> {
        if let Some(not_before) = self.not_before {
            sleep_until(not_before).await;
        }
        let connected = Open::connect(target).await;
        self.not_before = Some(Instant::now() + self.backoff.next_wait());
        let mut open = connected?;
        point!("session.connected", return Err(Closed::made_to()));
        open.is_doubtful = std::mem::replace(&mut self.has_connected, true);
        Ok(open)
    }
}

/// Publishes a message that no queue takes, twice. A broker that is low on memory or disk says so
/// only once something is published, and takes nothing after that until it is over; but what was
/// published may be confirmed before it says so (seen with RabbitMQ 4.0.5), and so proves nothing.
/// <https://www.rabbitmq.com/docs/connection-blocked>
async fn try_out(open: &Open, target: &Target<'_>) -> Result<(), Closed> {
    let envelope = Envelope {
        exchange: target.exchange.to_owned(),
        routing_key: TRIAL_KEY.to_owned(),
        properties: BasicProperties::default().with_message_id(TRIAL_ID.into()),
    };
    let post = [(); 2].map(|()| Post { envelope: &envelope, payload: b"", mandatory: true });
    let fates = tokio::select! {
        fates = window::publish(&open.channel, &post, target.wait) => fates,
        _ = open.link.until_blocked() => return Ok(()),
    };
    for fate in fates {
        match fate {
            Fate::Closed(code, text) => return Err(Closed::Refused(code, text)),
            Fate::Unconfirmed(why) | Fate::Unsent(why) => return Err(Closed::Away(why)),
            Fate::Confirmed | Fate::Returned | Fate::Nacked => {}
        }
    }
    Ok(())
}
