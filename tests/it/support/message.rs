//! A message as a system outside the bridge sees it.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;

use super::wait::fail;
use super::xml::Element;

/// A message that was taken from a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
}

impl Message {
    pub(super) fn of(delivery: Delivery) -> Self {
        Self {
            body: delivery.data,
            properties: delivery.properties,
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
        }
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as XML.
    pub(crate) fn xml(&self) -> Element {
        Element::read(self.text())
    }

    /// The text at a path below the root; "" for an element that is not there.
    pub(crate) fn at(&self, path: &str) -> String {
        self.xml().at(path)
    }

    /// The property `message_id`; fails without one.
    pub(crate) fn message_id(&self) -> String {
        self.properties.message_id().as_ref().unwrap().to_string()
    }

    /// The property `correlation_id`; fails without one.
    pub(crate) fn correlation_id(&self) -> String {
        self.properties.correlation_id().as_ref().unwrap().to_string()
    }

    /// A header; fails if it is there and no long string, which is all that the bridge may send.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.properties.headers().as_ref()?.inner().get(name)?;
        match value {
            AMQPValue::LongString(text) => {
                Some(String::from_utf8(text.as_bytes().to_vec()).unwrap())
            }
            other => fail(&format!("header {name}: found {other:?}, expected a long string")),
        }
    }

    /// Which sync request a location, a reply or an answer is about, by its body.
    pub(crate) fn sync_request(&self) -> String {
        let root = self.xml();
        let field = match root.name.as_str() {
            "F1-UpdateAndTransitionSyncRequest" => "syncRequestId",
            _ => "externalReferenceId",
        };
        root.at(field)
    }

    /// Whether a reply is positive; fails on anything but `true` and `false`.
    pub(crate) fn is_positive(&self) -> bool {
        match self.at("hasError").as_str() {
            "false" => true,
            "true" => false,
            other => fail(&format!("hasError: found '{other}' in {}", self.text())),
        }
    }

    /// Category, number and first parameter of a negative reply's only exception.
    pub(crate) fn exception(&self) -> (String, String, String) {
        let items = self.xml().find("exceptionInfo/items");
        assert_eq!(items.len(), 1, "exceptions in {}", self.text());
        let one = &items[0];
        (
            one.at("messageCategory"),
            one.at("messageNumber"),
            one.at("messageParameters/items/messageParameterValue"),
        )
    }
}
