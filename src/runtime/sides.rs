//! The brokers of both sides and their queues: where they are, whether they are there and safe.

use std::path::Path;

use super::assemble::StartError;
use crate::amqp::topology::{Finding, Management, Report, Severity};
use crate::amqp::{self, Endpoint, FenceQueue, Topology};
use crate::config::{Declare, Settings};

/// The names of the two sides.
const BILLING: &str = "billing";
const ASSETS: &str = "asset management";

/// The topology: that of the settings, else `queues/topology.toml`, else the built-in one.
pub fn topology(settings: &Settings) -> Result<Topology, StartError> {
    let here = Path::new("queues/topology.toml");
    match settings.queues.topology.as_deref().or_else(|| here.is_file().then_some(here)) {
        Some(path) => Ok(Topology::load(path)?),
        None => Ok(Topology::built_in()),
    }
}

/// The brokers of both sides; often one and the same.
pub struct Sides {
    pub billing: Endpoint,
    pub assets: Endpoint,
    /// Whether they are the same broker and vhost.
    pub same: bool,
    /// Whether there is to be a fence, on billing's broker.
    pub fence: bool,
}

impl Sides {
    /// Reads the addresses.
    pub fn of(settings: &Settings) -> Result<Self, StartError> {
        let amqp = &settings.amqp;
        let endpoint = |name, url: Option<&crate::config::Secret>| {
            let url = url.unwrap_or(&amqp.url);
            Endpoint::new(name, url.secret()).map(|endpoint| {
                endpoint
                    .with_heartbeat(amqp.heartbeat.unsigned())
                    .with_connect_timeout(amqp.connect_timeout.unsigned())
            })
        };
        Ok(Self {
            billing: endpoint(BILLING, amqp.billing_url.as_ref())?,
            assets: endpoint(ASSETS, amqp.assets_url.as_ref())?,
            same: amqp.billing_url.as_ref().unwrap_or(&amqp.url)
                == amqp.assets_url.as_ref().unwrap_or(&amqp.url),
            fence: settings.store.fence,
        })
    }
}

impl Sides {
    /// Which queues are on which broker.
    pub fn roles(&self) -> Vec<(&Endpoint, Vec<amqp::Role>)> {
        use amqp::Role;
        let is_wanted = |role: &Role| self.fence || *role != Role::Fence;
        if self.same {
            return vec![(&self.billing, Role::ALL.into_iter().filter(is_wanted).collect())];
        }
        let of_billing = [Role::Request, Role::Reply, Role::RequestErrors, Role::Fence];
        let of_assets = vec![Role::Location, Role::Answer, Role::AnswerErrors];
        let of_billing = of_billing.into_iter().filter(is_wanted).collect();
        vec![(&self.billing, of_billing), (&self.assets, of_assets)]
    }
}

/// Declares what is missing, and refuses what can lose a message.
pub(super) async fn ready_queues(
    settings: &Settings,
    topology: &Topology,
    sides: &Sides,
) -> Result<(), StartError> {
    for (endpoint, roles) in sides.roles() {
        match ready_side(settings, topology, endpoint, &roles).await {
            Ok(()) => {}
            // Billing's requests can be taken while asset management is away.
            Err(StartError::Broker(why)) if endpoint.name() == ASSETS => {
                tracing::warn!("asset management's queues were not looked at: {why}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn ready_side(
    settings: &Settings,
    topology: &Topology,
    endpoint: &Endpoint,
    roles: &[amqp::Role],
) -> Result<(), StartError> {
    let broker = |error: amqp::BrokerError| StartError::Broker(error.to_string());
    if settings.queues.declare == Declare::Missing {
        topology.declare(endpoint, roles).await.map_err(broker)?;
    }
    let management = management(settings, endpoint).await?;
    let report = topology.check(endpoint, management.as_ref(), roles).await.map_err(broker)?;
    for finding in report.findings.iter().filter(|f| f.severity == Severity::Warn) {
        tracing::info!("{}: {}; expected {}", finding.thing, finding.found, finding.expected);
    }
    let refused: Vec<_> = report.refused().map(refusal).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let refused = refused.join("\n  ");
    Err(StartError::Unsafe(format!("queues that can lose a message:\n  {refused}")))
}

fn refusal(finding: &Finding) -> String {
    let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!("; fix: {fix}"));
    format!("{}: found {}, expected {}{fix}", finding.thing, finding.found, finding.expected)
}

/// The fence's queue, on billing's broker.
pub fn fence_queue(settings: &Settings) -> Result<FenceQueue, StartError> {
    Ok(FenceQueue::new(Sides::of(settings)?.billing, &topology(settings)?))
}

/// Compares each side's broker with the topology.
pub async fn check_queues(settings: &Settings) -> Result<Vec<(String, Report)>, StartError> {
    let topology = topology(settings)?;
    let sides = Sides::of(settings)?;
    let mut reports = Vec::new();
    for (endpoint, roles) in sides.roles() {
        let management = management(settings, endpoint).await?;
        let report = topology.check(endpoint, management.as_ref(), &roles).await;
        let report = report.map_err(|error| StartError::Broker(error.to_string()))?;
        let name = if sides.same { "both sides" } else { endpoint.name() };
        reports.push((name.to_owned(), report));
    }
    Ok(reports)
}

/// The management API that is set, else the one at its usual port beside AMQP's usual port. Beside
/// another port it may be that of another broker.
pub async fn management(
    settings: &Settings,
    endpoint: &Endpoint,
) -> Result<Option<Management>, StartError> {
    match &settings.amqp.management_url {
        Some(url) => Management::new(url.secret(), endpoint)
            .map(Some)
            .map_err(|error| StartError::Broker(format!("setting amqp.management_url: {error}"))),
        None if endpoint.address().ends_with(":5672") => Ok(Management::find(endpoint).await),
        None => Ok(None),
    }
}
