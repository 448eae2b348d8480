//! Makes what is missing on a broker. What is there stays as it is: the check judges it.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::arguments::{Argument, Version, arguments};
use super::model::{Binding, Role, Topology};
use crate::amqp::connection::{Endpoint, Link};
use crate::amqp::greeting;
use crate::amqp::headers::short;
use crate::amqp::problem::{BrokerError, reply_code};

/// What was found or made, in the order it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// For example `queue ccb.sp.request`.
    pub thing: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of declaring a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was there; whether it is as it should be, the check says.
    Exists,
    /// It was made.
    Made,
    /// It is there now; the broker does not say whether it was before.
    Bound,
    /// It may not be made by this user, and the bridge works without it.
    LeftOut,
}

impl Outcome {
    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Made => "made",
            Self::Bound => "bound",
            Self::LeftOut => "left",
        }
    }
}

/// The reply code for what does not exist (AMQP 0-9-1, `not-found`).
const NOT_FOUND: u16 = 404;

/// The reply code for what is not permitted (AMQP 0-9-1, `access-refused`).
const ACCESS_REFUSED: u16 = 403;

impl Topology {
    /// Makes the exchanges, the queues of these roles and their bindings, as far as they are
    /// missing. May be repeated at any time. Needs the permissions `configure`, `write` and `read`
    /// on all of them.
    ///
    /// A quorum queue is safe against the broker's sudden death only a second or two after it was
    /// made.
    pub async fn declare(
        &self,
        endpoint: &Endpoint,
        roles: &[Role],
    ) -> Result<Vec<Made>, BrokerError> {
        let version = greeting::greet(endpoint).await?.version.unwrap_or(Version::OLDEST);
        let link = endpoint.connect("topology").await?;
        let mut made = Vec::new();
        for (name, kind) in self.exchanges() {
            let outcome = exchange(&link, name, kind).await;
            let outcome = outcome.map_err(BrokerError::on("declare exchange", name))?;
            made.push(Made { thing: format!("exchange {name}"), outcome });
        }
        for role in roles {
            let name = self.queue(*role);
            let outcome = queue(&link, name, &arguments(self, *role, version)).await;
            let outcome = allowing(*role, outcome);
            let outcome = outcome.map_err(BrokerError::on("declare queue", name))?;
            made.push(Made { thing: format!("queue {name}"), outcome });
            point!("declare.queue");
        }
        for binding in self.bindings(roles) {
            let thing = format!("binding {} -> {}", binding.exchange, binding.queue);
            let role = roles.iter().find(|role| self.queue(**role) == binding.queue);
            let outcome = bind(&link, &binding).await.map(|()| Outcome::Bound);
            let outcome = match role {
                Some(role) => allowing(*role, outcome),
                None => outcome,
            };
            let outcome = outcome.map_err(BrokerError::on("bind queue", binding.queue))?;
            made.push(Made { thing: format!("{thing} ({})", binding.key), outcome });
        }
        link.close().await;
        Ok(made)
    }
}

/// Finds a queue without changing anything.
pub(in crate::amqp) async fn queue_exists(link: &Link, name: &str) -> lapin::Result<bool> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let channel = link.channel().await?;
    found(channel.queue_declare(short(name), passive, FieldTable::default()).await.map(|_| ()))
}

/// Finds an exchange without changing anything.
pub(super) async fn exchange_exists(link: &Link, name: &str) -> lapin::Result<bool> {
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let channel = link.channel().await?;
    let kind = ExchangeKind::Direct;
    found(channel.exchange_declare(short(name), kind, passive, FieldTable::default()).await)
}

fn found(answer: lapin::Result<()>) -> lapin::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the bridge works without may be missing, if it may not be made.
fn allowing(role: Role, outcome: lapin::Result<Outcome>) -> lapin::Result<Outcome> {
    match outcome {
        Err(error)
            if role.is_optional()
                && matches!(reply_code(&error), Some(NOT_FOUND | ACCESS_REFUSED)) =>
        {
            Ok(Outcome::LeftOut)
        }
        outcome => outcome,
    }
}

async fn exchange(link: &Link, name: &str, kind: &str) -> lapin::Result<Outcome> {
    if exchange_exists(link, name).await? {
        return Ok(Outcome::Exists);
    }
    declare_exchange(link, name, kind).await?;
    Ok(Outcome::Made)
}

/// Declares an exchange as it should be; an error if it is there and differs.
pub(super) async fn declare_exchange(link: &Link, name: &str, kind: &str) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let kind = ExchangeKind::Custom(kind.to_owned());
    link.channel().await?.exchange_declare(short(name), kind, durable, FieldTable::default()).await
}

async fn queue(
    link: &Link,
    name: &str,
    arguments: &[(&'static str, Argument)],
) -> lapin::Result<Outcome> {
    if queue_exists(link, name).await? {
        return Ok(Outcome::Exists);
    }
    declare_queue(link, name, &field_table(arguments)).await?;
    Ok(Outcome::Made)
}

/// Declares a durable queue with these arguments; an error if it is there and differs.
pub(super) async fn declare_queue(
    link: &Link,
    name: &str,
    arguments: &FieldTable,
) -> lapin::Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let channel = link.channel().await?;
    channel.queue_declare(short(name), durable, arguments.clone()).await.map(|_| ())
}

async fn bind(link: &Link, binding: &Binding<'_>) -> lapin::Result<()> {
    let (queue, exchange) = (short(binding.queue), short(binding.exchange));
    let (key, options) = (short(&binding.key), QueueBindOptions::default());
    link.channel().await?.queue_bind(queue, exchange, key, options, FieldTable::default()).await
}

/// Arguments as AMQP carries them.
pub(super) fn field_table(arguments: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Integer(number) => AMQPValue::LongLongInt(*number),
            Argument::Flag(flag) => AMQPValue::Boolean(*flag),
        };
        table.insert((*key).into(), value);
    }
    table
}
