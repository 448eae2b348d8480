//! Compares a broker with the topology and refuses what could lose a message.
//!
//! What is refused, and why, stands in queues/README.md. Sources:
//! <https://www.rabbitmq.com/docs/quorum-queues>, <https://www.rabbitmq.com/docs/dlx>,
//! <https://www.rabbitmq.com/docs/maxlength>, <https://www.rabbitmq.com/docs/ttl>,
//! <https://www.rabbitmq.com/docs/ae>.

use super::arguments::Version;
use super::judge::judge_queue;
use super::management::{Management, ManagementError};
use super::model::{Binding, Role, Topology};
use super::plain;
use super::seen::{SeenExchange, SeenQueue};
use crate::amqp::connection::Endpoint;
use crate::amqp::greeting::greet;
use crate::amqp::problem::BrokerError;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but weakly, or could not be seen.
    Warn,
    /// A message can be lost, or nothing works.
    Refuse,
}

/// How the broker was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// Through the management plugin's API: everything is seen.
    Management,
    /// Over AMQP alone: arguments are seen, policies and bindings are not.
    Plain,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// For example `queue ccb.sp.request`.
    pub thing: String,
    /// What was found.
    pub found: String,
    /// What was expected, and why where that is not plain.
    pub expected: String,
    /// What to do: a command to type, where there is one.
    pub fix: Option<String>,
}

impl Finding {
    /// Turns a refusal into a warning.
    pub(super) fn soften(&mut self) {
        self.severity = self.severity.min(Severity::Warn);
    }
}

/// Everything that was looked at, in the order of the topology.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// How the broker was looked at.
    pub view: View,
    /// Its version, if it told.
    pub version: Option<Version>,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of the findings.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }

    /// The findings that are refused.
    pub fn refused(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Refuse)
    }
}

/// What both ways of looking find out.
#[derive(Default)]
pub(super) struct Seen<'t> {
    /// Per exchange of the topology; none if it is not there.
    pub(super) exchanges: Vec<Option<SeenExchange>>,
    /// Per role; none if it is not there.
    pub(super) queues: Vec<Option<SeenQueue>>,
    /// Bindings that are missing; none if they cannot be seen.
    pub(super) missing_bindings: Option<Vec<Binding<'t>>>,
}

impl Topology {
    /// Compares the queues of these roles, the exchanges and the bindings with what is on the
    /// broker. Changes nothing. Without the management API it declares each queue once more as it
    /// should be, which the broker refuses with what differs; that needs the permission
    /// `configure`.
    pub async fn check(
        &self,
        endpoint: &Endpoint,
        management: Option<&Management>,
        roles: &[Role],
    ) -> Result<Report, BrokerError> {
        let version = greet(endpoint).await?.version;
        let mut findings = Vec::new();
        let managed = match management {
            None => None,
            Some(management) => match management.look(self, endpoint.vhost(), roles).await {
                Ok(seen) => Some(seen),
                Err(error) => {
                    findings.push(unseen(&error));
                    None
                }
            },
        };
        let view = if managed.is_some() { View::Management } else { View::Plain };
        let seen = match managed {
            Some(seen) => seen,
            None => plain::look(self, endpoint, roles, version).await?,
        };
        if view == View::Plain {
            findings.push(policies_unseen());
        }
        let site = Site { topology: self, vhost: endpoint.vhost(), version };
        findings.extend(site.judge_exchanges(&seen.exchanges));
        for (role, queue) in roles.iter().zip(&seen.queues) {
            findings.extend(judge_queue(&site, *role, queue.as_ref()));
        }
        findings.extend(judge_bindings(self, seen.missing_bindings));
        Ok(Report { view, version, findings })
    }
}

/// What is judged, and where.
pub(super) struct Site<'a> {
    pub(super) topology: &'a Topology,
    pub(super) vhost: &'a str,
    pub(super) version: Option<Version>,
}

impl Site<'_> {
    fn judge_exchanges(&self, seen: &[Option<SeenExchange>]) -> Vec<Finding> {
        let exchanges = self.topology.exchanges();
        let judged = exchanges.iter().zip(seen).map(|((name, kind), seen)| {
            let thing = format!("exchange {name}");
            let Some(seen) = seen else {
                return refuse(&thing, "it does not exist", "it exists", Some(DECLARE.to_owned()));
            };
            let remake = format!(
                "take its publishers off, delete it (Exchanges page of the management plugin, or \
                 `rabbitmqadmin --vhost='{}' delete exchange name={name}`), then {DECLARE}",
                self.vhost
            );
            if seen.kind != *kind {
                let (found, expected) = (format!("type {}", seen.kind), format!("type {kind}"));
                return refuse(&thing, &found, &expected, Some(remake));
            }
            if !seen.durable {
                let expected = "durable: it must survive the broker's restart";
                return refuse(&thing, "it is transient", expected, Some(remake));
            }
            match &seen.alternate {
                Some(alternate) => {
                    let expected = "none: a message that goes there counts as routed although no \
                                    queue of ours has it";
                    let found = format!("alternate exchange {alternate}");
                    refuse(&thing, &found, expected, Some(remake))
                }
                None => ok(&thing, &format!("{kind}, durable")),
            }
        });
        judged.collect()
    }
}

fn judge_bindings(topology: &Topology, missing: Option<Vec<Binding<'_>>>) -> Vec<Finding> {
    let Some(missing) = missing else { return Vec::new() };
    if missing.is_empty() {
        return vec![ok("bindings", "all there")];
    }
    let refused = missing.into_iter().map(|Binding { exchange, queue, key }| {
        let thing = format!("binding {exchange} -> {queue}");
        let expected = format!("bound with key {key}");
        let mut finding = refuse(&thing, "it does not exist", &expected, Some(DECLARE.to_owned()));
        if queue == topology.queue(Role::Fence) {
            finding.soften();
        }
        finding
    });
    refused.collect()
}

/// The command that makes what is missing.
pub(super) const DECLARE: &str = "tieline queues declare";

pub(super) fn refuse(thing: &str, found: &str, expected: &str, fix: Option<String>) -> Finding {
    finding(Severity::Refuse, thing, found, expected, fix)
}

pub(super) fn warn(thing: &str, found: &str, expected: &str, fix: Option<String>) -> Finding {
    finding(Severity::Warn, thing, found, expected, fix)
}

pub(super) fn ok(thing: &str, found: &str) -> Finding {
    finding(Severity::Ok, thing, found, found, None)
}

fn finding(
    severity: Severity,
    thing: &str,
    found: &str,
    expected: &str,
    fix: Option<String>,
) -> Finding {
    let (thing, found, expected) = (thing.to_owned(), found.to_owned(), expected.to_owned());
    Finding { severity, thing, found, expected, fix }
}

fn unseen(error: &ManagementError) -> Finding {
    warn(
        "management API",
        &error.to_string(),
        "it answers; looking over AMQP instead",
        Some("set amqp.management_url, with a user that has the tag 'monitoring'".to_owned()),
    )
}

fn policies_unseen() -> Finding {
    warn(
        "policies and bindings",
        "they cannot be seen over AMQP",
        "seen: a policy could add a message-ttl or a max-length that drops messages, and what is \
         made safe by policies looks unsafe",
        Some("set amqp.management_url, for example http://user:password@host:15672".to_owned()),
    )
}
