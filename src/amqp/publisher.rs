//! Publishes one lane's messages in windows, each message confirmed by the broker or accounted for.
//!
//! On connections of its own, because a broker that is low on memory stops reading from publishers,
//! and settlements of a consumer on the same connection would wait with them
//! (<https://www.rabbitmq.com/docs/connection-blocked>).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use super::connection::Endpoint;
use super::headers::{Envelope, basic_properties, envelope};
use super::problem::sentence;
use super::session::{BLOCKED_MAX, Closed, Session, Target};
use super::topology::{Role, Topology, queue_exists};
use super::window::{self, Fate, Post};
use crate::bridge::gate::Gate;
use crate::bridge::ports::{Leased, Publisher as Port};
use crate::bridge::{Lane, Properties};
use crate::domain::{Failure, FailureCode};

/// The limits of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How long the confirms of a whole window may take; then the connection is cut and what was
    /// not confirmed is in doubt.
    pub confirm_timeout: Duration,
    /// How old a connection may be that the broker blocks, low on memory or disk, before the next
    /// takes its place.
    pub blocked_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { confirm_timeout: Duration::from_secs(30), blocked_max: BLOCKED_MAX }
    }
}

/// A message for any exchange; for stand-ins and tools.
#[derive(Clone, PartialEq, Debug)]
pub struct RawMessage {
    /// The exchange; empty is the default exchange, which routes by the name of the queue.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The properties; `exchange` and `routing_key` in them are not looked at. A `message_id` lets
    /// messages of one window be told apart; one without is published alone.
    pub properties: Properties,
    /// The bytes.
    pub payload: Vec<u8>,
    /// Whether it is a failure if no queue takes it.
    pub mandatory: bool,
}

/// Publishes for one lane.
pub struct Publisher {
    endpoint: Endpoint,
    topology: Topology,
    lane: Lane,
    settings: Settings,
    purpose: String,
    gate: Option<Guard>,
    /// Two, so that two windows can be out at a time; the second is for when the first is taken.
    sessions: [Mutex<Session>; 2],
}

/// The gate that a publisher has before it.
struct Guard {
    gate: Arc<Gate>,
    /// Whether the fence is on this broker: then a lost connection is a reason for doubt.
    is_here: bool,
}

/// The frames of a publisher. What it sends in headers fits several times; a body is cut anyway.
const FRAME_BYTES_MAX: u32 = 32 * 1024;

/// The reply code for what does not exist (AMQP 0-9-1, `not-found`).
const NOT_FOUND: u16 = 404;

/// The reply code for what is not permitted (AMQP 0-9-1, `access-refused`).
const ACCESS_REFUSED: u16 = 403;

impl Publisher {
    /// A publisher for a lane. It connects when it is first asked to do something.
    pub fn new(endpoint: Endpoint, topology: Topology, lane: Lane, settings: Settings) -> Self {
        let purpose = format!("publisher of the {} lane", lane.as_str());
        let endpoint = endpoint.with_frames_of(FRAME_BYTES_MAX);
        let sessions = [(); 2].map(|()| Mutex::new(Session::new()));
        Self { endpoint, topology, lane, settings, purpose, gate: None, sessions }
    }

    /// Publishes only what the gate lets pass. `is_here`: the fence is on this broker, so that a
    /// connection that was lost is a reason for doubt.
    #[must_use]
    pub fn behind(mut self, gate: Arc<Gate>, is_here: bool) -> Self {
        self.gate = Some(Guard { gate, is_here });
        self
    }

    /// Publishes messages in order, with the properties they have, and waits until every one is
    /// settled. One result per message, in order; the codes are those of the lane.
    pub async fn publish_raw(&self, messages: &[RawMessage]) -> Vec<Result<(), Failure>> {
        let envelopes: Vec<_> = messages.iter().map(RawMessage::envelope).collect();
        let post = |(message, envelope)| {
            let RawMessage { payload, mandatory, .. }: &RawMessage = message;
            Post { envelope, payload, mandatory: *mandatory }
        };
        self.post(&messages.iter().zip(&envelopes).map(post).collect::<Vec<_>>()).await
    }

    /// Closes the connection once everything that was published on it has been taken.
    pub async fn close(&self) {
        for session in &self.sessions {
            session.lock().await.close().await;
        }
    }

    /// A connection that no window is out on.
    async fn free(&self) -> MutexGuard<'_, Session> {
        let [first, second] = &self.sessions;
        match first.try_lock() {
            Ok(session) => session,
            Err(_) => second.lock().await,
        }
    }

    async fn post(&self, posts: &[Post<'_>]) -> Vec<Result<(), Failure>> {
        let mut session = self.free().await;
        let mut results = Vec::with_capacity(posts.len());
        for window in window::windows(posts) {
            let fates = match self.publish_window(&mut session, window).await {
                Ok(fates) => fates,
                Err(closed) => {
                    let failure = self.closed(closed);
                    results.extend(window.iter().map(|_| Err(failure.clone())));
                    continue;
                }
            };
            for (post, fate) in window.iter().zip(fates) {
                results.push(self.told(post, fate));
            }
        }
        results
    }

    /// Publishes a window. If the broker closed the channel over one of its messages, those that
    /// it said nothing about are published again one by one, under the same ids, so that one
    /// message that no broker takes does not hold up the others for ever.
    async fn publish_window(
        &self,
        session: &mut MutexGuard<'_, Session>,
        window: &[Post<'_>],
    ) -> Result<Vec<Fate>, Closed> {
        let mut fates = self.publish_once(session, window).await?;
        let is_one_to_blame = |fate: &Fate| match fate {
            Fate::Closed(code, _) => !matches!(*code, NOT_FOUND | ACCESS_REFUSED),
            _ => false,
        };
        if window.len() > 1 && fates.iter().any(is_one_to_blame) {
            for (post, fate) in window.iter().zip(&mut fates) {
                if !fate.is_settled() {
                    let again = self.publish_once(session, std::slice::from_ref(post)).await?;
                    if let Some(one) = again.into_iter().next() {
                        *fate = one;
                    }
                }
            }
        }
        Ok(fates)
    }

    async fn publish_once(
        &self,
        session: &mut MutexGuard<'_, Session>,
        window: &[Post<'_>],
    ) -> Result<Vec<Fate>, Closed> {
        self.admit(session).await?;
        let open = session.ready(&self.target()).await?;
        point!("publisher.ready" @ self.lane.as_str(), return Err(Closed::made_to()));
        planted!("publishes twice", {
            window::publish(&open.channel, window, self.settings.confirm_timeout).await;
        });
        let fates = window::publish(&open.channel, window, self.settings.confirm_timeout).await;
        if !fates.iter().all(Fate::is_settled) {
            session.give_up();
        } else if fates.contains(&Fate::Nacked) {
            session.renew(self.endpoint.connect_timeout()).await;
        }
        Ok(fates)
    }

    /// Waits until the gate lets pass what is to be published on the connection of the moment.
    async fn admit(&self, session: &mut MutexGuard<'_, Session>) -> Result<(), Closed> {
        let Some(Guard { gate, is_here }) = &self.gate else { return Ok(()) };
        loop {
            session.ready(&self.target()).await?;
            if !*is_here || !session.is_doubtful() {
                gate.pass().await;
                return Ok(());
            }
            gate.look().await;
            session.trust();
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            blocked_max: self.settings.blocked_max,
            endpoint: &self.endpoint,
            purpose: &self.purpose,
            exchange: self.topology.exchange_out(),
            wait: self.endpoint.connect_timeout(),
        }
    }

    /// The queues that the lane's messages end up on.
    fn roles(&self) -> &'static [Role] {
        match self.lane {
            Lane::Location => &[Role::Location],
            Lane::Reply => &[Role::Reply],
            Lane::Note => &[Role::RequestErrors, Role::AnswerErrors],
        }
    }

    /// Says what a message's fate means for the lane.
    ///
    /// Without the message's id: what parks one message in an outage parks all, with the same words.
    fn told(&self, post: &Post<'_>, fate: Fate) -> Result<(), Failure> {
        let Envelope { exchange, routing_key, .. } = post.envelope;
        let place = || format!("exchange '{exchange}', key '{routing_key}', at {}", self.endpoint);
        let codes = Codes::of(self.lane);
        let (code, what) = match fate {
            Fate::Confirmed => return Ok(()),
            Fate::Returned => (
                codes.unroutable,
                format!("{}: no queue takes it; bind one with `tieline queues declare`", place()),
            ),
            Fate::Nacked => (
                codes.refused,
                format!("{}: the broker refused it; its queue is full or has no leader", place()),
            ),
            Fate::Closed(NOT_FOUND, text) => (
                codes.unroutable,
                format!("{}: {text}; make it with `tieline queues declare`", place()),
            ),
            Fate::Closed(_, text) => (codes.refused, format!("{}: {text}", place())),
            Fate::Unconfirmed(why) => {
                let wait = self.settings.confirm_timeout.as_secs_f32();
                (codes.unconfirmed, format!("{}: no confirm within {wait} s: {why}", place()))
            }
            Fate::Unsent(why) => (codes.away, format!("{}: not sent: {why}", place())),
        };
        Err(Failure::new(code, what))
    }

    /// Says why nothing can be published now.
    fn closed(&self, closed: Closed) -> Failure {
        let codes = Codes::of(self.lane);
        let endpoint = &self.endpoint;
        match closed {
            Closed::Away(why) => Failure::new(codes.away, why),
            Closed::Blocked(reason) => Failure::new(
                codes.away,
                format!("the broker at {endpoint} takes no messages now: {reason}"),
            ),
            Closed::Refused(NOT_FOUND, text) => Failure::new(
                codes.unroutable,
                format!("{text} at {endpoint}; make it with `tieline queues declare`"),
            ),
            Closed::Refused(_, text) => {
                Failure::new(codes.refused, format!("{text} at {endpoint}"))
            }
        }
    }
}

#[async_trait]
impl Port for Publisher {
    async fn open(&self) -> Result<(), Failure> {
        let mut session = self.free().await;
        session.ready(&self.target()).await.map(|_| ()).map_err(|closed| self.closed(closed))
    }

    async fn probe(&self) -> Result<(), Failure> {
        let mut session = self.free().await;
        let ready = session.ready(&self.target()).await;
        let open = ready.map_err(|closed| self.closed(closed))?;
        for role in self.roles() {
            let name = self.topology.queue(*role);
            match queue_exists(&open.link, name).await {
                Ok(true) => {}
                Ok(false) => {
                    let why = format!(
                        "queue '{name}' does not exist at {}; make it with `tieline queues declare`",
                        self.endpoint
                    );
                    return Err(Failure::new(Codes::of(self.lane).unroutable, why));
                }
                Err(error) => {
                    let why = format!(
                        "look for queue '{name}' at {}: {}",
                        self.endpoint,
                        sentence(&error)
                    );
                    return Err(Failure::new(Codes::of(self.lane).away, why));
                }
            }
        }
        Ok(())
    }

    async fn publish(&self, window: &[Leased]) -> Vec<Result<(), Failure>> {
        let envelopes: Vec<_> =
            window.iter().map(|leased| envelope(&self.topology, &leased.message)).collect();
        let post = |(leased, envelope)| {
            let Leased { message, .. }: &Leased = leased;
            Post { envelope, payload: &message.payload, mandatory: true }
        };
        self.post(&window.iter().zip(&envelopes).map(post).collect::<Vec<_>>()).await
    }
}

impl RawMessage {
    fn envelope(&self) -> Envelope {
        Envelope {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            properties: basic_properties(&self.properties),
        }
    }
}

/// The failure codes of a lane.
struct Codes {
    unroutable: FailureCode,
    refused: FailureCode,
    unconfirmed: FailureCode,
    away: FailureCode,
}

impl Codes {
    /// Notes have no codes of their own: they fail as what they stand for, on the way out.
    fn of(lane: Lane) -> Self {
        match lane {
            Lane::Location | Lane::Note => Self {
                unroutable: FailureCode::LocationUnroutable,
                refused: FailureCode::LocationRefused,
                unconfirmed: FailureCode::LocationUnconfirmed,
                away: FailureCode::AssetsUnreachable,
            },
            Lane::Reply => Self {
                unroutable: FailureCode::ReplyUnroutable,
                refused: FailureCode::ReplyRefused,
                unconfirmed: FailureCode::ReplyUnconfirmed,
                away: FailureCode::BillingUnreachable,
            },
        }
    }
}
