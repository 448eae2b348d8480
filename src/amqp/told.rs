//! What the broker says of a queue: how many messages wait, and how many consumers it serves.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Queue};
use tokio::time::sleep;

use super::headers::short;

/// How often the broker is asked before it is believed that there is nothing at all.
const LOOKS_MAX: usize = 20;

/// The wait between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What the broker says, asked once. A refusal closes the channel.
pub(super) async fn told(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(queue), passive, FieldTable::default()).await
}

/// What the broker says for certain.
///
/// Of a quorum queue that does not say within 250 ms how it is, or has no leader at the moment, the
/// broker says that it has no messages and no consumers (`stat/2` of RabbitMQ's
/// `rabbit_quorum_queue`). So that is believed only when it has been said for two seconds.
pub(super) async fn told_for_certain(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    for _ in 1..LOOKS_MAX {
        let said = told(channel, queue).await?;
        if said.message_count() > 0 || said.consumer_count() > 0 {
            return Ok(said);
        }
        sleep(LOOK_PAUSE).await;
    }
    told(channel, queue).await
}
