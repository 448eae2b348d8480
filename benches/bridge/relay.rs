//! The plainest loop that moves messages safely: take one, publish what follows from it, settle it
//! once the broker has that. Both stand-ins and the pass-through program are made of it.

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::Result;
use crate::wire::{Letter, Wire, next, next_now};

/// Takes every message of a queue and publishes what follows from it, for as long as it is polled.
pub(crate) async fn relay(
    wire: &Wire,
    queue: &str,
    mut follow: impl FnMut(&Delivery) -> Letter,
) -> Result<()> {
    let mut consumer = wire.consume(queue).await?;
    let mut pipeline = wire.pipeline();
    loop {
        tokio::select! {
            confirmed = pipeline.confirmed(), if !pipeline.is_empty() => {
                let mut last: u64 = confirmed?;
                while let Some(tag) = pipeline.confirmed_now()? {
                    last = tag;
                }
                wire.settle_up_to(last);
            }
            delivery = next(&mut consumer), if !pipeline.is_full() => {
                let mut delivery = Some(delivery?);
                while let Some(taken) = delivery {
                    pipeline.publish(follow(&taken), taken.delivery_tag);
                    delivery = if pipeline.is_full() { None } else { next_now(&mut consumer)? };
                }
            }
        }
    }
}

/// Takes every message of a queue and settles it, for as long as it is polled and `take` wants
/// more.
pub(crate) async fn drain(
    wire: &Wire,
    queue: &str,
    mut take: impl FnMut(&Delivery) -> Wants,
) -> Result<()> {
    let mut consumer = wire.consume(queue).await?;
    loop {
        let mut delivery = Some(next(&mut consumer).await?);
        let mut last = 0;
        while let Some(taken) = delivery {
            last = taken.delivery_tag;
            if take(&taken) == Wants::NoMore {
                return wire.settle_last(last).await;
            }
            delivery = next_now(&mut consumer)?;
        }
        wire.settle_up_to(last);
    }
}

/// Whether more messages are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    More,
    NoMore,
}

/// A message that follows from another: the parts that both programs and stand-ins share.
pub(crate) fn persistent(
    exchange: &'static str,
    key: &'static str,
    payload: &Arc<[u8]>,
    message_id: &str,
) -> Letter {
    let properties = BasicProperties::default()
        .with_content_type("application/xml".into())
        .with_delivery_mode(2)
        .with_message_id(message_id.into());
    Letter { exchange, key, properties, payload: Arc::clone(payload) }
}

/// The text of a property.
pub(crate) fn text(property: Option<&ShortString>) -> &str {
    property.map(ShortString::as_str).unwrap_or_default()
}

/// The text of a header.
pub(crate) fn header<'a>(delivery: &'a Delivery, name: &str) -> &'a str {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => str::from_utf8(text.as_bytes()).unwrap_or_default(),
        Some(_) | None => "",
    }
}

/// Headers of texts.
pub(crate) fn headers(texts: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, text) in texts {
        table.insert((*name).into(), AMQPValue::LongString(LongString::from(*text)));
    }
    table
}
