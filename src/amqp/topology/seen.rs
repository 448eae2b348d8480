//! What a queue or exchange on a broker is, as far as it can be seen.

use std::collections::BTreeMap;

use super::arguments::Argument;

/// Properties by their name without `x-`: `delivery-limit`, `message-ttl`.
pub(super) type Settings = BTreeMap<String, Argument>;

/// A queue as it was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct SeenQueue {
    /// `quorum`, `classic`, `stream`.
    pub(super) kind: String,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) exclusive: bool,
    /// What it was made with.
    pub(super) arguments: Settings,
    /// What policies add; none where they cannot be seen.
    pub(super) policy: Settings,
    /// The policy that applies.
    pub(super) policy_name: Option<String>,
}

/// An exchange as it was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct SeenExchange {
    pub(super) kind: String,
    pub(super) durable: bool,
    /// From an argument or a policy.
    pub(super) alternate: Option<String>,
}

/// Where a setting of a queue comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Argument,
    Policy,
}

impl SeenQueue {
    /// The value that is in force, and where it comes from.
    ///
    /// Of two numbers the smaller is in force, but a delivery limit wins over none (-1); of two
    /// overflow strategies the policy's on newer brokers and the argument's on older ones, so the
    /// one that is not safe is assumed; of everything else the argument (`gather_policy_config` in
    /// RabbitMQ's `rabbit_quorum_queue.erl`; <https://www.rabbitmq.com/docs/parameters#policies>).
    pub(super) fn effective(&self, key: &str) -> Option<(&Argument, Source)> {
        let argument = self.arguments.get(key).map(|value| (value, Source::Argument));
        let policy = self.policy.get(key).map(|value| (value, Source::Policy));
        match (argument, policy) {
            (Some((Argument::Integer(ours), _)), Some((Argument::Integer(theirs), _))) => {
                let unlimited = key == "delivery-limit" && (*ours < 0 || *theirs < 0);
                let argument_wins = if unlimited { ours >= theirs } else { ours <= theirs };
                if argument_wins { argument } else { policy }
            }
            (Some((ours, _)), Some(_)) if key == "overflow" && is_safe_overflow(ours) => policy,
            (argument, policy) => argument.or(policy),
        }
    }

    /// The text that is in force.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.effective(key) {
            Some((Argument::Text(text), _)) => Some(text),
            _ => None,
        }
    }

    /// The number that is in force.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.effective(key) {
            Some((Argument::Integer(number), _)) => Some(*number),
            _ => None,
        }
    }
}

fn is_safe_overflow(value: &Argument) -> bool {
    matches!(value, Argument::Text(text) if text == "reject-publish")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(argument: Option<i64>, policy: Option<i64>) -> SeenQueue {
        let settings = |value: Option<i64>| {
            value.map(|value| ("delivery-limit".to_owned(), Argument::Integer(value))).into_iter()
        };
        let (arguments, policy) = (settings(argument).collect(), settings(policy).collect());
        SeenQueue { arguments, policy, ..SeenQueue::default() }
    }

    #[test]
    fn the_stricter_of_two_limits_is_in_force_unless_one_lifts_it() {
        assert_eq!(queue(Some(100), Some(5)).number("delivery-limit"), Some(5));
        assert_eq!(queue(Some(5), Some(100)).number("delivery-limit"), Some(5));
        assert_eq!(queue(Some(-1), Some(5)).number("delivery-limit"), Some(5));
        assert_eq!(queue(None, Some(-1)).number("delivery-limit"), Some(-1));
        assert_eq!(queue(None, None).number("delivery-limit"), None);
    }
}
