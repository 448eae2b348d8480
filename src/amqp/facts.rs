//! What `tieline doctor` tells about a broker.

use super::connection::Endpoint;
use super::greeting::{Greeting, greet};
use super::problem::ConnectError;
use super::topology::Management;

/// What is known about a broker that can be logged in to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerFacts {
    /// Product, version, cluster.
    pub greeting: Greeting,
    /// Whether it is short of memory or disk.
    pub alarms: Alarms,
}

/// Whether a broker is short of memory or disk, so that it takes no messages.
/// <https://www.rabbitmq.com/docs/alarms>
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarms {
    /// It is not.
    None,
    /// It is: the broker's words.
    Raised(String),
    /// It cannot be seen: there is no management API, or it does not answer, and why.
    Unseen(String),
}

/// Asks a broker what it is, logs in, and looks for alarms.
pub async fn facts(
    endpoint: &Endpoint,
    management: Option<&Management>,
) -> Result<BrokerFacts, ConnectError> {
    let greeting = greet(endpoint).await?;
    endpoint.connect("doctor").await?.close().await;
    let alarms = match management {
        None => Alarms::Unseen("no management API is configured".to_owned()),
        Some(management) => match management.alarms().await {
            Ok(None) => Alarms::None,
            Ok(Some(raised)) => Alarms::Raised(raised),
            Err(error) => Alarms::Unseen(error.to_string()),
        },
    };
    Ok(BrokerFacts { greeting, alarms })
}
