//! The topology as data: which queue plays which role, and through which exchange it is reached.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::domain::Leg;

/// The topology that is built in: `queues/topology.toml` of the source tree.
const BUILT_IN: &str = include_str!("../../../queues/topology.toml");

/// The longest name that AMQP carries, in bytes (a short string).
const NAME_BYTES_MAX: usize = 255;

/// The fence's queue where the file names none: it came later than the others.
const FENCE: &str = "tieline.fence";

/// The lowest delivery limit accepted: the default of RabbitMQ since 4.0.
/// <https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>
const DELIVERY_LIMIT_MIN: u32 = 20;

/// The part a queue plays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Billing to tieline.
    Request,
    /// tieline to asset management.
    Location,
    /// Asset management to tieline.
    Answer,
    /// tieline to billing.
    Reply,
    /// Requests and asset locations that failed.
    RequestErrors,
    /// Answers and replies that failed.
    AnswerErrors,
    /// What the broker remembers of the store. No message of either side is ever on it.
    Fence,
}

impl Role {
    /// Every role, in the order of a message's walk.
    pub const ALL: [Self; 7] = [
        Self::Request,
        Self::Location,
        Self::Answer,
        Self::Reply,
        Self::RequestErrors,
        Self::AnswerErrors,
        Self::Fence,
    ];

    /// The stable name, as in `queues/topology.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Location => "location",
            Self::Answer => "answer",
            Self::Reply => "reply",
            Self::RequestErrors => "request-errors",
            Self::AnswerErrors => "answer-errors",
            Self::Fence => "fence",
        }
    }

    /// The leg whose messages wait on it; none for an error queue, which takes two legs' failures,
    /// and for the fence.
    pub fn leg(self) -> Option<Leg> {
        match self {
            Self::Request => Some(Leg::Request),
            Self::Location => Some(Leg::Location),
            Self::Answer => Some(Leg::Answer),
            Self::Reply => Some(Leg::Reply),
            Self::RequestErrors | Self::AnswerErrors | Self::Fence => None,
        }
    }

    /// Whether tieline consumes it in order, so that the broker must give it to one consumer only.
    pub(super) fn is_ordered(self) -> bool {
        matches!(self, Self::Request | Self::Answer)
    }

    /// Whether the bridge works without it: no message can be lost for want of it.
    pub(super) fn is_optional(self) -> bool {
        self == Self::Fence
    }

    /// The role of the queue that takes the failures of a leg.
    pub fn errors_of(leg: Leg) -> Self {
        match leg {
            Leg::Request | Leg::Location => Self::RequestErrors,
            Leg::Answer | Leg::Reply => Self::AnswerErrors,
        }
    }
}

/// Names of queues and exchanges, and the limits that a site may choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topology {
    exchange_in: String,
    exchange_out: String,
    exchange_errors: String,
    queues: [String; 7],
    delivery_limit: u32,
}

/// A binding that the topology asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Binding<'a> {
    pub(super) exchange: &'a str,
    pub(super) queue: &'a str,
    pub(super) key: String,
}

impl Topology {
    /// The topology that is built in.
    #[expect(clippy::expect_used, reason = "a test reads the same bytes")]
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN, "queues/topology.toml").expect("the built-in topology is readable")
    }

    /// Reads a topology file.
    pub fn load(path: &Path) -> Result<Self, TopologyError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(source) => Err(TopologyError::Unreadable { file, source }),
        }
    }

    /// Reads a topology from text; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, TopologyError> {
        let wrong =
            |span: Option<Range<usize>>, what: String| TopologyError::wrong(text, file, span, what);
        let raw: File =
            toml::from_str(text).map_err(|e| wrong(e.span(), e.message().to_owned()))?;
        let names = raw.names();
        for (index, (key, name)) in names.iter().enumerate() {
            let complaint = complaint(name.get_ref()).or_else(|| {
                let twin =
                    names[..index].iter().find(|(_, other)| other.get_ref() == name.get_ref());
                twin.map(|(other, _)| {
                    format!("is the name of '{other}' too; every one needs its own")
                })
            });
            if let Some(complaint) = complaint {
                let what = format!("{key}: '{}' {complaint}", name.get_ref());
                return Err(wrong(Some(name.span()), what));
            }
        }
        let limit = &raw.limits.delivery_limit;
        if *limit.get_ref() < DELIVERY_LIMIT_MIN {
            let what = format!(
                "limits.delivery-limit: {} is below {DELIVERY_LIMIT_MIN}; a consumer that crashes \
                 that often would move good messages to the error queue",
                limit.get_ref()
            );
            return Err(wrong(Some(limit.span()), what));
        }
        Ok(raw.into_topology())
    }

    /// The same topology under other names, so that it can stand beside the real one.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        let exchanges = [&mut self.exchange_in, &mut self.exchange_out, &mut self.exchange_errors];
        for name in exchanges.into_iter().chain(&mut self.queues) {
            name.insert_str(0, prefix);
        }
        self
    }

    /// The name of the queue that plays a role.
    pub fn queue(&self, role: Role) -> &str {
        &self.queues[role as usize]
    }

    /// The exchange that billing and asset management publish to. Direct; key = the queue's name.
    pub fn exchange_in(&self) -> &str {
        &self.exchange_in
    }

    /// The exchange that tieline publishes asset locations and replies to. Direct; key = the
    /// queue's name.
    pub fn exchange_out(&self) -> &str {
        &self.exchange_out
    }

    /// The exchange for failures. Topic; key = `<leg>.<code>`, `<leg>.dead` from the broker.
    pub fn exchange_errors(&self) -> &str {
        &self.exchange_errors
    }

    /// How often the broker delivers a message again before it goes to the error queue.
    pub fn delivery_limit(&self) -> u32 {
        self.delivery_limit
    }

    /// The exchanges with their types, all durable and without an alternate exchange.
    pub(super) fn exchanges(&self) -> [(&str, &'static str); 3] {
        [
            (&self.exchange_in, "direct"),
            (&self.exchange_out, "direct"),
            (&self.exchange_errors, "topic"),
        ]
    }

    /// The bindings of the queues of these roles, which are on one broker. An error queue takes the
    /// legs of its own, and those whose error queue is on the other side's broker: the broker can
    /// dead-letter to what it has only.
    pub(super) fn bindings(&self, roles: &[Role]) -> Vec<Binding<'_>> {
        let of = |role: &Role| {
            let queue = self.queue(*role);
            let (exchange, keys) = match role {
                Role::Request | Role::Answer => (&self.exchange_in, vec![queue.to_owned()]),
                Role::Location | Role::Reply | Role::Fence => {
                    (&self.exchange_out, vec![queue.to_owned()])
                }
                Role::RequestErrors | Role::AnswerErrors => {
                    (&self.exchange_errors, error_keys(*role, roles))
                }
            };
            keys.into_iter().map(move |key| Binding { exchange, queue, key }).collect::<Vec<_>>()
        };
        roles.iter().flat_map(of).collect()
    }
}

/// The keys with which an error queue takes everything of its legs, and of the legs that share the
/// broker with it but not with an error queue of theirs.
fn error_keys(queue: Role, here: &[Role]) -> Vec<String> {
    let takes = |leg: &Leg| {
        let own = Role::errors_of(*leg);
        let stranded = !here.contains(&own) && here.iter().any(|role| role.leg() == Some(*leg));
        own == queue || stranded
    };
    let legs = [Leg::Request, Leg::Location, Leg::Answer, Leg::Reply];
    legs.iter().filter(|leg| takes(leg)).map(|leg| format!("{}.#", leg.as_str())).collect()
}

/// Says what is wrong with a name, if anything.
fn complaint(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if name.len() > NAME_BYTES_MAX {
        Some(format!("is longer than {NAME_BYTES_MAX} bytes"))
    } else if name.starts_with("amq.") {
        Some("begins with 'amq.', which RabbitMQ keeps for itself".to_owned())
    } else if name.chars().any(char::is_control) {
        Some("contains a control character".to_owned())
    } else {
        None
    }
}

/// `queues/topology.toml`, as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    exchanges: Exchanges,
    queues: Queues,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Exchanges {
    r#in: Spanned<String>,
    out: Spanned<String>,
    errors: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Queues {
    request: Spanned<String>,
    location: Spanned<String>,
    answer: Spanned<String>,
    reply: Spanned<String>,
    request_errors: Spanned<String>,
    answer_errors: Spanned<String>,
    #[serde(default = "fence")]
    fence: Spanned<String>,
}

fn fence() -> Spanned<String> {
    Spanned::new(0..0, FENCE.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Limits {
    delivery_limit: Spanned<u32>,
}

impl File {
    /// The names with the keys they stand under.
    fn names(&self) -> [(&'static str, &Spanned<String>); 10] {
        let (exchanges, queues) = (&self.exchanges, &self.queues);
        [
            ("exchanges.in", &exchanges.r#in),
            ("exchanges.out", &exchanges.out),
            ("exchanges.errors", &exchanges.errors),
            ("queues.request", &queues.request),
            ("queues.location", &queues.location),
            ("queues.answer", &queues.answer),
            ("queues.reply", &queues.reply),
            ("queues.request-errors", &queues.request_errors),
            ("queues.answer-errors", &queues.answer_errors),
            ("queues.fence", &queues.fence),
        ]
    }

    fn into_topology(self) -> Topology {
        let queues = self.queues;
        Topology {
            exchange_in: self.exchanges.r#in.into_inner(),
            exchange_out: self.exchanges.out.into_inner(),
            exchange_errors: self.exchanges.errors.into_inner(),
            queues: [
                queues.request.into_inner(),
                queues.location.into_inner(),
                queues.answer.into_inner(),
                queues.reply.into_inner(),
                queues.request_errors.into_inner(),
                queues.answer_errors.into_inner(),
                queues.fence.into_inner(),
            ],
            delivery_limit: self.limits.delivery_limit.into_inner(),
        }
    }
}

/// Why a topology file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be read.
    #[error("read the topology {file}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{file}:{line}:{column}: {what}")]
    Wrong {
        /// The file as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, counted in characters.
        column: usize,
        /// What is wrong and, where it is known, what to write instead.
        what: String,
        /// Where in the text, in bytes; for a caret.
        span: Option<Range<usize>>,
    },
}

impl TopologyError {
    fn wrong(text: &str, file: &str, span: Option<Range<usize>>, what: String) -> Self {
        let before = text.get(..span.as_ref().map_or(0, |span| span.start)).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self::Wrong { file: file.to_owned(), line, column, what, span }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(from: &str, to: &str) -> String {
        let text = BUILT_IN.replacen(from, to, 1);
        assert_ne!(text, BUILT_IN);
        Topology::parse(&text, "site.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_topology_has_the_names_of_the_contract() {
        let topology = Topology::built_in();
        let names = Role::ALL.map(|role| topology.queue(role));
        assert_eq!(
            names,
            [
                "ccb.sp.request",
                "wam.location.request",
                "wam.location.ack",
                "ccb.sp.ack",
                "ccb.sp.request.error",
                "wam.location.ack.error",
                "tieline.fence"
            ]
        );
    }

    #[test]
    fn a_file_of_before_the_fence_is_read_as_if_it_named_it() {
        let text = BUILT_IN.replace("fence = \"tieline.fence\"\n", "");
        assert_ne!(text, BUILT_IN);
        assert_eq!(Topology::parse(&text, "site.toml").unwrap(), Topology::built_in());
    }

    #[test]
    fn an_error_queue_takes_the_legs_whose_own_is_on_the_other_broker() {
        let topology = Topology::built_in();
        let keys = |queue: Role, roles: &[Role]| {
            let bindings = topology.bindings(roles).into_iter();
            let of_queue = bindings.filter(|binding| binding.queue == topology.queue(queue));
            of_queue.map(|binding| binding.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(Role::RequestErrors, &Role::ALL), ["request.#", "location.#"]);
        assert_eq!(keys(Role::AnswerErrors, &Role::ALL), ["answer.#", "reply.#"]);
        let billing = [Role::Request, Role::Reply, Role::RequestErrors];
        assert_eq!(keys(Role::RequestErrors, &billing), ["request.#", "location.#", "reply.#"]);
        let assets = [Role::Location, Role::Answer, Role::AnswerErrors];
        assert_eq!(keys(Role::AnswerErrors, &assets), ["location.#", "answer.#", "reply.#"]);
    }

    #[test]
    fn a_wrong_file_is_answered_with_line_column_and_remedy() {
        assert_eq!(
            wrong("\"ccb.sp.ack\"", "\"ccb.sp.request\""),
            "site.toml:24:9: queues.reply: 'ccb.sp.request' is the name of 'queues.request' too; \
             every one needs its own"
        );
        assert_eq!(
            wrong("\"tieline.in\"", "\"amq.direct\""),
            "site.toml:10:6: exchanges.in: 'amq.direct' begins with 'amq.', which RabbitMQ keeps \
             for itself"
        );
        assert!(wrong("= 100", "= 5").starts_with("site.toml:36:18: limits.delivery-limit: 5 is"));
        assert!(wrong("reply =", "replies =").contains("unknown field `replies`, expected one of"));
        assert!(wrong("= 100", "= \"many\"").contains("site.toml:36:18"));
    }
}
