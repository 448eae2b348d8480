//! Answers as asset management writes them.

use super::Message;

/// Why asset management refuses an asset location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) category: u32,
    pub(crate) number: u32,
    pub(crate) parameters: &'a [&'a str],
}

/// The answer that an asset location exists now under this key.
pub(crate) fn positive(sync_request: &str, key: &str) -> Vec<u8> {
    format!(
        "<syncResponse xmlns=\"urn:tieline:wam:sync-response:1\">\
           <externalReferenceId>{sync_request}</externalReferenceId>\
           <syncRequestId>10000004471812</syncRequestId>\
           <boStatus>SYNCED</boStatus>\
           <productionPkValue1>{key}</productionPkValue1>\
         </syncResponse>"
    )
    .into_bytes()
}

/// The answer that an asset location was refused.
pub(crate) fn negative(sync_request: &str, refusal: Refusal<'_>) -> Vec<u8> {
    let parameter = |(sequence, value): (i32, &&str)| {
        format!(
            "<items><parameterSequence>{sequence}</parameterSequence>\
             <messageParameterValue>{value}</messageParameterValue></items>"
        )
    };
    let parameters = (1..).zip(refusal.parameters).map(parameter).collect::<Vec<_>>().concat();
    format!(
        "<syncResponse xmlns=\"urn:tieline:wam:sync-response:1\">\
           <externalReferenceId>{sync_request}</externalReferenceId>\
           <syncRequestId>10000004471812</syncRequestId>\
           <boStatus>ERROR</boStatus>\
           <hasError>true</hasError>\
           <exceptionInfo><items>\
             <sequence>1</sequence>\
             <messageCategory>{}</messageCategory>\
             <messageNumber>{}</messageNumber>\
             <messageParameters>{parameters}</messageParameters>\
           </items></exceptionInfo>\
         </syncResponse>",
        refusal.category, refusal.number
    )
    .into_bytes()
}

/// The key that these tests give to the asset location of a sync request.
pub(super) fn key_of(location: &Message) -> String {
    format!("KEY-{}", location.sync_request())
}
