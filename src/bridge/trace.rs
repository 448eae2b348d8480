//! The trace context that a message carries from billing to the reply (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/>). It travels in the `traceparent` header and rests in the
//! store, so that one trace spans request, location, answer and reply.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::domain::RequestId;

/// A `traceparent`: which trace, and which span of it is the parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    /// The trace, not zero.
    pub trace: u128,
    /// The parent span, not zero.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceParent {
    /// The context of a request that came without one. It is derived from the request's id, so
    /// that a resend of a message carries the same.
    pub fn of_request(id: RequestId) -> Self {
        let bits = id.as_uuid().as_u128();
        let (high, _) = id.as_uuid().as_u64_pair();
        Self { trace: bits.max(1), span: high.max(1), sampled: true }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(version), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags)
        else {
            return Err(());
        };
        let sized = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if !sized || !plain || version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(());
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| ())?;
        let span = u64::from_str_radix(span, 16).map_err(|_| ())?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| ())?;
        if trace == 0 || span == 0 {
            return Err(());
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// The steps of a message that a trace shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A request was received, translated and recorded.
    ReceiveRequest,
    /// An asset location was published and confirmed.
    PublishLocation,
    /// An answer was received and recorded.
    ReceiveAnswer,
    /// A reply was published and confirmed.
    PublishReply,
}

impl Step {
    /// The span's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReceiveRequest => "receive request",
            Self::PublishLocation => "publish location",
            Self::ReceiveAnswer => "receive answer",
            Self::PublishReply => "publish reply",
        }
    }
}

/// A finished step, as a span.
#[derive(Clone, PartialEq, Debug)]
pub struct Span<'a> {
    /// What was done.
    pub step: Step,
    /// The context it belongs to.
    pub parent: TraceParent,
    /// When it began; it ends now.
    pub began_at: Timestamp,
    /// What it was about, as attributes.
    pub attributes: &'a [(&'static str, String)],
}

/// Where spans go.
pub trait Tracer: Send + Sync {
    /// Whether anybody looks; if not, callers need not put attributes together.
    fn is_on(&self) -> bool;

    /// Records a step and returns the context for what follows from it.
    fn record(&self, span: &Span<'_>) -> TraceParent;
}

/// Records nothing; the context is passed on as it came.
pub struct NoTracer;

impl Tracer for NoTracer {
    fn is_on(&self) -> bool {
        false
    }

    fn record(&self, span: &Span<'_>) -> TraceParent {
        span.parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), text);
    }

    #[test]
    fn a_broken_traceparent_is_no_context() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(()), "{text}");
        }
    }
}
