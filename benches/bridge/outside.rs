//! The two systems outside, as fast as they can be: asset management answers every location
//! positively and at once, billing hears the replies.

use std::sync::Arc;

use lapin::message::Delivery;
use tieline::bridge::message::header;

use crate::Result;
use crate::relay::{self, Wants};
use crate::site::queue;
use crate::wire::{Letter, Wire};

/// Both systems, each with a connection of its own.
pub(crate) struct Outside {
    assets: Wire,
    billing: Wire,
}

impl Outside {
    /// Connects both.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Ok(Self { assets: Wire::connect(url).await?, billing: Wire::connect(url).await? })
    }

    /// Answers every location, for as long as billing wants to hear more replies; `located` hears
    /// of every location, `told` of every reply.
    pub(crate) async fn play(
        &self,
        mut located: impl FnMut(),
        told: impl FnMut(&Delivery) -> Wants,
    ) -> Result<()> {
        let answering = relay::relay(&self.assets, queue::LOCATION, |location| {
            located();
            answer(location)
        });
        let hearing = relay::drain(&self.billing, queue::REPLY, told);
        tokio::select! {
            ended = answering => ended,
            ended = hearing => ended,
        }
    }

    /// Closes both connections.
    pub(crate) async fn close(self) -> Result<()> {
        self.assets.close().await?;
        self.billing.close().await
    }
}

/// The positive answer to an asset location, found by its message id and its sync request id.
fn answer(location: &Delivery) -> Letter {
    let asked = relay::text(location.properties.message_id().as_ref());
    let sync_request = relay::header(location, header::SYNC_REQUEST);
    let payload: Arc<[u8]> = answer_body(sync_request).into();
    let letter = relay::persistent("", queue::ANSWER, &payload, &format!("a-{asked}"));
    let properties = letter
        .properties
        .with_correlation_id(asked.into())
        .with_type("syncResponse".into())
        .with_app_id("OU_WAM_01".into());
    Letter { properties, ..letter }
}

/// What a positive answer says.
pub(crate) fn answer_body(sync_request: &str) -> Vec<u8> {
    format!(
        "<syncResponse xmlns=\"urn:tieline:wam:sync-response:1\">\
           <externalReferenceId>{sync_request}</externalReferenceId>\
           <syncRequestId>10000004471812</syncRequestId>\
           <boStatus>SYNCED</boStatus>\
           <productionPkValue1>KEY-{sync_request}</productionPkValue1>\
         </syncResponse>"
    )
    .into_bytes()
}
