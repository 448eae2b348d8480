//! Looks at a broker over AMQP alone.
//!
//! AMQP has no question for a queue's arguments. But a declaration that differs from what is there
//! is refused with the first difference, so a queue is declared again and again, each time with
//! what was just learnt, until the broker agrees. That changes nothing on the broker.
//! <https://www.rabbitmq.com/docs/queues#property-equivalence>

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::arguments::{Argument, Version, arguments};
use super::check::Seen;
use super::declare::{declare_exchange, exchange_exists, field_table, queue_exists};
use super::model::{Role, Topology};
use super::seen::{SeenExchange, SeenQueue, Settings};
use crate::amqp::connection::{Endpoint, Link};
use crate::amqp::headers::short;
use crate::amqp::problem::{BrokerError, reply_code, sentence};

/// The reply code for a difference (AMQP 0-9-1, `precondition-failed`).
const DIFFERS: u16 = 406;

/// The reply code for what is not permitted (AMQP 0-9-1, `access-refused`).
const ACCESS_REFUSED: u16 = 403;

/// The reply code for somebody else's exclusive queue (AMQP 0-9-1, `resource-locked`).
const LOCKED: u16 = 405;

/// How many differences are followed. A queue has at most 15 arguments that count.
const DIFFERENCES_MAX: usize = 20;

/// Looks at the exchanges and at the queues of these roles.
pub(super) async fn look<'t>(
    topology: &'t Topology,
    endpoint: &Endpoint,
    roles: &[Role],
    version: Option<Version>,
) -> Result<Seen<'t>, BrokerError> {
    let link = endpoint.connect("topology check").await?;
    let mut seen = Seen::default();
    for (name, kind) in topology.exchanges() {
        let exchange = exchange(&link, name, kind).await;
        seen.exchanges.push(exchange.map_err(BrokerError::on("look at exchange", name))?);
    }
    for role in roles {
        let name = topology.queue(*role);
        let wanted = arguments(topology, *role, version.unwrap_or(Version::OLDEST));
        let queue = match queue(&link, name, wanted.clone()).await {
            // It is there, and more about it may not be asked.
            Err(error) if role.is_optional() && reply_code(&error) == Some(ACCESS_REFUSED) => {
                Ok(Some(as_wanted(wanted)))
            }
            looked => looked,
        };
        seen.queues.push(queue.map_err(BrokerError::on("look at queue", name))?);
    }
    link.close().await;
    Ok(seen)
}

/// A queue that is as it should be.
fn as_wanted(wanted: Vec<(&'static str, Argument)>) -> SeenQueue {
    let arguments =
        wanted.into_iter().map(|(key, value)| (key.trim_start_matches("x-").to_owned(), value));
    let kind = "quorum".to_owned();
    SeenQueue { kind, durable: true, arguments: arguments.collect(), ..SeenQueue::default() }
}

async fn exchange(link: &Link, name: &str, kind: &str) -> lapin::Result<Option<SeenExchange>> {
    if !exchange_exists(link, name).await? {
        return Ok(None);
    }
    let mut seen = SeenExchange { kind: kind.to_owned(), durable: true, alternate: None };
    if let Err(error) = declare_exchange(link, name, kind).await {
        let difference = difference(&error).ok_or(error)?;
        let value = difference.value.map_or(String::new(), |value| value.to_string());
        match difference.key.as_str() {
            "type" => seen.kind = value,
            "durable" => seen.durable = value == "true",
            "alternate-exchange" => seen.alternate = Some(value),
            other => seen.kind = format!("{kind} with {other} {value}"),
        }
    }
    Ok(Some(seen))
}

async fn queue(
    link: &Link,
    name: &str,
    wanted: Vec<(&'static str, Argument)>,
) -> lapin::Result<Option<SeenQueue>> {
    if !queue_exists(link, name).await? {
        return Ok(None);
    }
    let mut seen = SeenQueue { durable: true, ..SeenQueue::default() };
    let mut arguments: Settings =
        wanted.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    for _ in 0..DIFFERENCES_MAX {
        let Err(error) = declare(link, name, &seen, &arguments).await else { break };
        if reply_code(&error) == Some(LOCKED) {
            seen.exclusive = true;
            break;
        }
        let Difference { key, value } = difference(&error).ok_or(error)?;
        let is_true = value == Some(Argument::Text("true".to_owned()));
        match (key.as_str(), value) {
            ("durable", _) => seen.durable = is_true,
            ("auto_delete", _) => seen.auto_delete = is_true,
            ("exclusive", _) => seen.exclusive = is_true,
            ("x-queue-type", found) => {
                // Another type does not know the arguments of ours; this alone decides.
                seen.kind = found.map_or("classic".to_owned(), |kind| kind.to_string());
                return Ok(Some(seen));
            }
            (_, Some(value)) => {
                arguments.insert(key, value);
            }
            (_, None) => {
                arguments.remove(&key);
                if key == "x-dead-letter-exchange" {
                    // One without the other is refused for itself; the key cannot be there.
                    arguments.remove("x-dead-letter-routing-key");
                }
            }
        }
    }
    seen.kind = arguments.remove("x-queue-type").map_or(String::new(), |kind| kind.to_string());
    seen.arguments = arguments
        .into_iter()
        .map(|(key, value)| (key.trim_start_matches("x-").to_owned(), value))
        .collect();
    Ok(Some(seen))
}

async fn declare(
    link: &Link,
    name: &str,
    seen: &SeenQueue,
    arguments: &Settings,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        durable: seen.durable,
        auto_delete: seen.auto_delete,
        exclusive: seen.exclusive,
        ..QueueDeclareOptions::default()
    };
    let table = arguments.iter().fold(FieldTable::default(), |mut table, (key, value)| {
        table.insert(short(key), amqp_value(value));
        table
    });
    let channel = link.channel().await?;
    channel.queue_declare(short(name), options, table).await.map(|_| ())
}

fn amqp_value(value: &Argument) -> AMQPValue {
    let one = field_table(&[("x", value.clone())]);
    one.inner().get("x").cloned().unwrap_or(AMQPValue::Void)
}

/// The first difference between what was declared and what is there.
#[derive(PartialEq, Eq, Debug)]
struct Difference {
    key: String,
    /// What is there; none if the key is not set.
    value: Option<Argument>,
}

/// Reads a refusal such as `inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received
/// none but current is the value '5000' of type 'long'`.
fn difference(error: &lapin::Error) -> Option<Difference> {
    if reply_code(error) == Some(DIFFERS) { read_difference(&sentence(error)) } else { None }
}

fn read_difference(text: &str) -> Option<Difference> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (key, rest) = rest.split_once('\'')?;
    let (_, current) = rest.rsplit_once("but current is ")?;
    let quoted = |text: &str| Some(text.split_once('\'')?.1.split_once('\'')?.0.to_owned());
    let value = if current.starts_with("none") {
        None
    } else {
        let value = quoted(current)?;
        Some(match value.parse() {
            Ok(number) => Argument::Integer(number),
            Err(_) if current.contains("of type 'bool'") => Argument::Flag(value == "true"),
            Err(_) => Argument::Text(value),
        })
    };
    Some(Difference { key: key.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_is_there() {
        let read = |text: &str| {
            let refusal = format!(
                "PRECONDITION_FAILED - inequivalent arg 'k' for queue 'q' in vhost '/': {text}"
            );
            read_difference(&refusal).unwrap().value
        };
        assert_eq!(read("received the value '100' of type 'long' but current is none"), None);
        assert_eq!(
            read("received none but current is the value '5000' of type 'long'"),
            Some(Argument::Integer(5000))
        );
        assert_eq!(
            read("received none but current is the value 'true' of type 'bool'"),
            Some(Argument::Flag(true))
        );
        assert_eq!(
            read("received 'at-least-once' but current is 'at-most-once'"),
            Some(Argument::Text("at-most-once".to_owned()))
        );
        assert_eq!(read_difference("NOT_FOUND - no queue 'q' in vhost '/'"), None);
    }
}
