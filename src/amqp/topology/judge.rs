//! Judges one queue: what it is, against what its role needs.

use serde_json::{Map, Value, json};

use super::arguments::{Argument, Version, arguments};
use super::check::{DECLARE, Finding, Site, ok, refuse, warn};
use super::model::Role;
use super::seen::{SeenQueue, Source};

/// The lowest delivery limit that is not remarked on.
const DELIVERY_LIMIT_LOW: i64 = 20;

/// Judges the queue of a role; one finding for each thing wrong, or one that says it is well. What
/// the bridge works without is never refused.
pub(super) fn judge_queue(site: &Site<'_>, role: Role, seen: Option<&SeenQueue>) -> Vec<Finding> {
    let mut findings = judge_strictly(site, role, seen);
    if role.is_optional() {
        findings.iter_mut().for_each(Finding::soften);
    }
    findings
}

fn judge_strictly(site: &Site<'_>, role: Role, seen: Option<&SeenQueue>) -> Vec<Finding> {
    let name = site.topology.queue(role);
    let thing = format!("queue {name}");
    let Some(queue) = seen else {
        if role == Role::Fence {
            let expected = "it exists: else nobody notices that an older copy of the store was put \
                            back, or that another bridge has taken over";
            return vec![refuse(&thing, "it does not exist", expected, Some(DECLARE.to_owned()))];
        }
        return vec![refuse(&thing, "it does not exist", "it exists", Some(DECLARE.to_owned()))];
    };
    let judge = Judge { site, role, name, thing, queue };
    let mut findings = judge.kind();
    if findings.is_empty() {
        findings.extend(judge.expiry());
        findings.extend(judge.overflow());
        findings.extend(judge.dead_letters());
        findings.extend(judge.delivery_limit());
        findings.extend(judge.single_consumer());
    }
    if findings.is_empty() {
        let well = match role.leg() {
            Some(_) => "quorum, durable, dead-lettered at least once",
            None => "quorum, durable",
        };
        findings.push(ok(&judge.thing, well));
    }
    findings
}

struct Judge<'a> {
    site: &'a Site<'a>,
    role: Role,
    name: &'a str,
    thing: String,
    queue: &'a SeenQueue,
}

impl Judge<'_> {
    /// Type, durability, life time.
    fn kind(&self) -> Vec<Finding> {
        let queue = self.queue;
        let mut findings = Vec::new();
        let mut wrong = |found: &str, expected| {
            findings.push(refuse(&self.thing, found, expected, Some(self.remake())));
        };
        if queue.kind != "quorum" {
            let expected = "type quorum: survives the loss of a node, keeps the order of what \
                            comes back, dead-letters at least once";
            wrong(&format!("type {}", queue.kind), expected);
        }
        if !queue.durable {
            wrong("it is transient", "durable: it must survive the broker's restart");
        }
        if queue.auto_delete {
            wrong("auto-delete", "it stays when its last consumer goes");
        }
        if queue.exclusive {
            wrong("exclusive", "it belongs to no connection");
        }
        findings
    }

    /// Whatever deletes messages, or the queue with them, by the clock.
    fn expiry(&self) -> Vec<Finding> {
        let wrong = [
            ("message-ttl", "none: it takes away messages that nobody has dealt with"),
            ("expires", "none: it deletes the queue with its messages, and without dead-lettering"),
        ];
        let judged = wrong.into_iter().filter_map(|(key, expected)| {
            let (value, source) = self.queue.effective(key)?;
            Some(self.wrong(&format!("{key} {value} ms"), source, expected))
        });
        judged.collect()
    }

    /// What happens when a length limit is reached.
    fn overflow(&self) -> Vec<Finding> {
        if self.role == Role::Fence {
            return Vec::new();
        }
        let overflow = self.queue.effective("overflow");
        let is_safe = self.queue.text("overflow") == Some("reject-publish");
        let limit = ["max-length", "max-length-bytes"]
            .into_iter()
            .find_map(|key| self.queue.effective(key).map(|(value, source)| (key, value, source)));
        match (overflow, limit) {
            _ if is_safe => Vec::new(),
            (_, Some((key, value, source))) => {
                let expected = "overflow reject-publish: the oldest messages are dropped else";
                let found = format!("{key} {value} with overflow {}", self.overflow_text());
                vec![self.wrong(&found, source, expected)]
            }
            (_, None) if self.role.leg().is_none() => Vec::new(),
            (Some((value, source)), None) => {
                let expected = "overflow reject-publish: dead-lettering falls back to at-most-once \
                                without it";
                vec![self.wrong(&format!("overflow {value}"), source, expected)]
            }
            (None, None) => {
                let expected = "overflow reject-publish: dead-lettering falls back to at-most-once \
                                without it";
                vec![self.missing("no overflow strategy, which means drop-head", expected)]
            }
        }
    }

    /// Where rejected messages go, and how surely.
    fn dead_letters(&self) -> Vec<Finding> {
        if self.role.leg().is_none() {
            return Vec::new();
        }
        let errors = self.site.topology.exchange_errors();
        let mut findings = Vec::new();
        match self.queue.text("dead-letter-exchange") {
            None => {
                let expected =
                    format!("{errors}: what is rejected, or given back too often, is dropped else");
                findings.push(self.missing("no dead-letter exchange", &expected));
            }
            Some(found) if found != errors => {
                let expected = format!("{errors}: tieline does not see what goes elsewhere");
                let found = format!("dead-letter exchange {found}");
                findings.push(warn(&self.thing, &found, &expected, Some(self.policy())));
            }
            Some(_) => {}
        }
        match self.queue.effective("dead-letter-strategy") {
            Some((Argument::Text(strategy), _)) if strategy == "at-least-once" => {}
            Some((strategy, source)) => {
                let found = format!("dead-letter strategy {strategy}");
                findings.push(self.wrong(&found, source, AT_LEAST_ONCE));
            }
            None => {
                let found = "no dead-letter strategy, which means at-most-once";
                findings.push(self.missing(found, AT_LEAST_ONCE));
            }
        }
        findings
    }

    /// How often a message may come back.
    fn delivery_limit(&self) -> Vec<Finding> {
        let limit = self.queue.number("delivery-limit");
        let is_new = self.site.version.is_none_or(Version::limits_deliveries_by_default);
        match (self.role.leg(), limit) {
            (None, None) if !is_new => Vec::new(),
            (None, Some(limit)) if limit < 0 && is_new => Vec::new(),
            (None, limit) => {
                let found = limit.map_or("delivery limit 20 (the default)".to_owned(), |limit| {
                    format!("delivery limit {limit}")
                });
                let expected = if is_new {
                    "-1: this is the last stop, and each look at a message counts as a delivery"
                } else {
                    "none: this is the last stop, and each look at a message counts as a delivery; \
                     before RabbitMQ 4.0 a limit of -1 drops at the first"
                };
                vec![self.wrong(&found, self.source("delivery-limit"), expected)]
            }
            (Some(_), Some(limit)) if limit < 0 && !is_new => {
                let expected = "a positive limit: before RabbitMQ 4.0 this one dead-letters a \
                                message that comes back once";
                let found = format!("delivery limit {limit}");
                vec![self.wrong(&found, self.source("delivery-limit"), expected)]
            }
            (Some(_), None) if !is_new => {
                let expected = "a limit: without one a message that is given back goes to the end \
                                of the queue, behind newer ones";
                vec![warn(&self.thing, "no delivery limit", expected, Some(self.policy()))]
            }
            (Some(_), limit) => {
                let limit = limit.unwrap_or(DELIVERY_LIMIT_LOW);
                if !(0..=DELIVERY_LIMIT_LOW).contains(&limit) {
                    return Vec::new();
                }
                let expected = format!(
                    "{}: a consumer that crashes a few times takes good messages with it",
                    self.site.topology.delivery_limit()
                );
                let found = format!("delivery limit {limit}");
                vec![warn(&self.thing, &found, &expected, Some(self.policy()))]
            }
        }
    }

    fn single_consumer(&self) -> Option<Finding> {
        let active = self.queue.arguments.get("single-active-consumer");
        if !self.role.is_ordered() || active == Some(&Argument::Flag(true)) {
            return None;
        }
        let expected = "single active consumer: two instances of tieline would take messages out \
                        of order";
        Some(warn(&self.thing, "several consumers at once", expected, Some(self.remake())))
    }

    fn overflow_text(&self) -> &str {
        self.queue.text("overflow").unwrap_or("drop-head (the default)")
    }

    fn source(&self, key: &str) -> Source {
        self.queue.effective(key).map_or(Source::Policy, |(_, source)| source)
    }

    /// Refuses a value; what an argument says no policy can mend.
    fn wrong(&self, found: &str, source: Source, expected: &str) -> Finding {
        let (found, fix) = match (source, &self.queue.policy_name) {
            (Source::Argument, _) => (format!("{found} (argument)"), self.remake()),
            (Source::Policy, Some(policy)) => (format!("{found} (policy {policy})"), self.policy()),
            (Source::Policy, None) => (found.to_owned(), self.policy()),
        };
        refuse(&self.thing, &found, expected, Some(fix))
    }

    /// Refuses that something is not set; a policy can set it.
    fn missing(&self, found: &str, expected: &str) -> Finding {
        refuse(&self.thing, found, expected, Some(self.policy()))
    }

    /// Arguments cannot be changed: the queue must be made anew.
    fn remake(&self) -> String {
        format!(
            "arguments cannot be changed: stop its publishers, let it run empty, then rabbitmqctl \
             delete_queue --vhost '{}' '{}' --if-empty && {DECLARE}",
            self.site.vhost, self.name
        )
    }

    /// A policy that sets everything the role needs and the queue's arguments do not.
    fn policy(&self) -> String {
        let version = self.site.version.unwrap_or(Version::CURRENT);
        let wanted = arguments(self.site.topology, self.role, version);
        let keys = wanted.into_iter().filter_map(|(key, value)| {
            let key = key.trim_start_matches("x-");
            let by_policy = !matches!(key, "queue-type" | "single-active-consumer");
            let value = match value {
                Argument::Text(text) => json!(text),
                Argument::Integer(number) => json!(number),
                Argument::Flag(flag) => json!(flag),
            };
            by_policy.then(|| (key.to_owned(), value))
        });
        let definition = Value::Object(keys.collect::<Map<_, _>>());
        let also = self.queue.policy_name.as_ref().map_or(String::new(), |name| {
            format!("; it takes the place of policy {name}, so carry over what else that is for")
        });
        if definition.as_object().is_some_and(Map::is_empty) {
            return format!("take it out of the policy{also}");
        }
        format!(
            "rabbitmqctl set_policy --vhost '{}' --priority 100 --apply-to queues 'tieline {}' \
             '^{}$' '{definition}'{also}",
            self.site.vhost,
            self.name,
            self.name.replace('.', "\\.")
        )
    }
}

/// Why the strategy matters.
const AT_LEAST_ONCE: &str = "at-least-once: a message is lost else if the error queue cannot take \
                             it just then";
