//! How each queue must be made so that it cannot lose a message.
//!
//! Everything that safety needs stands in the queue's arguments, not in policies, so that it can
//! be made and checked over plain AMQP, without the management plugin and without administrator
//! rights. An operator who prefers policies, as RabbitMQ recommends
//! (<https://www.rabbitmq.com/docs/parameters#policies>), makes the queues with type and single
//! active consumer only and sets the rest by policy: the check accepts both.

use std::fmt;
use std::str::FromStr;

use super::model::{Role, Topology};

/// The value of a queue's argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// A long string.
    Text(String),
    /// A 64-bit integer.
    Integer(i64),
    /// A boolean.
    Flag(bool),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// The version of a RabbitMQ broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// For example 4 of 4.1.3.
    pub major: u16,
    /// For example 1 of 4.1.3.
    pub minor: u16,
    /// For example 3 of 4.1.3.
    pub patch: u16,
}

impl Version {
    /// The form in which definitions are exported unless another is asked for.
    pub const CURRENT: Self = Self { major: 4, minor: 0, patch: 0 };
    /// The oldest broker that dead-letters at least once.
    /// <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>
    pub const OLDEST: Self = Self { major: 3, minor: 10, patch: 0 };

    /// Whether a quorum queue without a delivery limit of its own has one of 20, after which it
    /// drops the message or dead-letters it.
    /// <https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>
    pub fn limits_deliveries_by_default(self) -> bool {
        self.major >= 4
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `3.10.8`, `4.1.0-beta.2`, `4.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split(['.', '-', '+']).map(str::parse::<u16>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), patch) => {
                Ok(Self { major, minor, patch: patch.and_then(Result::ok).unwrap_or(0) })
            }
            _ => Err(format!("'{text}' is not a version such as 3.10.8")),
        }
    }
}

/// The arguments with which the queue of a role is made on a broker of this version.
pub(super) fn arguments(
    topology: &Topology,
    role: Role,
    version: Version,
) -> Vec<(&'static str, Argument)> {
    let text = |value: &str| Argument::Text(value.to_owned());
    let mut arguments = vec![("x-queue-type", text("quorum"))];
    if role.is_ordered() {
        // Of several bridges only one gets deliveries; another takes over when it is gone.
        // https://www.rabbitmq.com/docs/consumers#single-active-consumer
        arguments.push(("x-single-active-consumer", Argument::Flag(true)));
    }
    if let Some(leg) = role.leg() {
        // At-least-once dead-lettering is silently given up unless overflow is reject-publish.
        // https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
        arguments.extend([
            ("x-delivery-limit", Argument::Integer(i64::from(topology.delivery_limit()))),
            ("x-dead-letter-exchange", text(topology.exchange_errors())),
            ("x-dead-letter-routing-key", Argument::Text(format!("{}.dead", leg.as_str()))),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
    }
    if role == Role::Fence {
        // The one place where the oldest may be dropped: the newest says all.
        arguments
            .extend([("x-max-length", Argument::Integer(1)), ("x-overflow", text("drop-head"))]);
    }
    if role.leg().is_none() && version.limits_deliveries_by_default() {
        // The last stop: people look into it, and each look counts as a delivery. The fence is read
        // and given back at each start.
        arguments.push(("x-delivery-limit", Argument::Integer(-1)));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_brokers_tell_them() {
        let version = |text: &str| text.parse::<Version>().unwrap().to_string();
        assert_eq!(version("3.10.8"), "3.10.8");
        assert_eq!(version("4.1.0-beta.2"), "4.1.0");
        assert_eq!(version("4.0"), "4.0.0");
        assert!("unknown".parse::<Version>().is_err());
    }

    #[test]
    fn an_error_queue_never_limits_deliveries() {
        let topology = Topology::built_in();
        let limit = |version: &str| {
            let arguments = arguments(&topology, Role::RequestErrors, version.parse().unwrap());
            arguments.into_iter().find(|(key, _)| *key == "x-delivery-limit")
        };
        assert_eq!(limit("3.10.8"), None);
        assert_eq!(limit("4.0.5"), Some(("x-delivery-limit", Argument::Integer(-1))));
    }
}
