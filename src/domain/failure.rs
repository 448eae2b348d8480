//! Failures: a code and a sentence. Stage, leg, class and mender follow from the code, so that
//! nobody has to guess.

use std::fmt;
use std::str::FromStr;

/// Something that went wrong with one message: stored, counted and shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What kind of failure.
    pub code: FailureCode,
    /// What happened, in one sentence that names the thing, the place, what was found and what
    /// was expected.
    pub detail: String,
    /// Every defect that the translation found, in the order of the mapping.
    pub defects: Vec<Defect>,
}

impl Failure {
    /// A failure that is not one of translation.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), defects: Vec::new() }
    }

    /// A failure of translation, told by its defects. The first decides code and group.
    pub fn of_defects(defects: Vec<Defect>) -> Self {
        let code = defects.first().map_or(FailureCode::MalformedXml, |defect| defect.code);
        let detail = match defects.as_slice() {
            [] => "no defect was named".to_owned(),
            [one] => one.to_string(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        };
        Self { code, detail, defects }
    }
}

/// One thing wrong with one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defect {
    /// What kind of failure.
    pub code: FailureCode,
    /// The mapping's rule: its target path, for example `location/timeZone`.
    pub rule: Option<String>,
    /// Where in the message: the source path, for example `servicePoint/timeZone`.
    pub path: Option<String>,
    /// The line in the message, from 1.
    pub line: Option<u32>,
    /// The column in the message, from 1, counted in characters.
    pub column: Option<u32>,
    /// What was found, cut to a bounded length.
    pub value: Option<String>,
    /// What was expected, and what to do if that is known.
    pub expected: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, &self.rule) {
            (Some(path), _) => write!(f, "{path}")?,
            (None, Some(rule)) => write!(f, "{rule}")?,
            (None, None) => write!(f, "the message")?,
        }
        if let Some(line) = self.line {
            write!(f, " (line {line}")?;
            if let Some(column) = self.column {
                write!(f, ", column {column}")?;
            }
            f.write_str(")")?;
        }
        match &self.value {
            Some(value) => write!(f, ": found '{value}', expected {}", self.expected),
            None => write!(f, ": expected {}", self.expected),
        }
    }
}

/// Where on a message's way it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Reading the bytes.
    Parse,
    /// Translating what was read.
    Translate,
    /// Handing the asset location to the broker.
    Publish,
    /// Understanding what asset management said.
    Answer,
    /// Handing the reply to the broker.
    Reply,
}

/// Which leg of the bridge a failure belongs to; part of the routing key on the error exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Leg {
    /// Billing to tieline.
    Request,
    /// tieline to asset management.
    Location,
    /// Asset management to tieline.
    Answer,
    /// tieline to billing.
    Reply,
}

impl Leg {
    /// The stable name, as in routing keys and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Location => "location",
            Self::Answer => "answer",
            Self::Reply => "reply",
        }
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureClass {
    /// Yes, by itself, once the other side is there.
    Transient,
    /// Not before something is mended.
    Permanent,
    /// It may have happened; repeating it is safe.
    InDoubt,
}

/// Who can mend it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mender {
    /// Billing: the data are wrong.
    Billing,
    /// The integration: a mapping, a queue or a connection is wrong.
    Integration,
    /// Asset management: what it said is wrong, or its side is away.
    Assets,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal, $stage:ident, $leg:ident,
       $class:ident, $mender:ident;)*) => {
        /// What kind of failure. Each has a page: `tieline explain CODE`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum FailureCode { $($(#[$doc])* $name,)* }

        impl FailureCode {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, `TLnnnn`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Where on the way it happens.
            pub fn stage(self) -> Stage {
                match self { $(Self::$name => Stage::$stage,)* }
            }

            /// On which leg it happens.
            pub fn leg(self) -> Leg {
                match self { $(Self::$name => Leg::$leg,)* }
            }

            /// Whether trying again can help.
            pub fn class(self) -> FailureClass {
                match self { $(Self::$name => FailureClass::$class,)* }
            }

            /// Who can mend it.
            pub fn mender(self) -> Mender {
                match self { $(Self::$name => Mender::$mender,)* }
            }
        }
    };
}

codes! {
    /// The XML is not well formed.
    MalformedXml = "TL1001", "the XML is not well formed", Parse, Request, Permanent, Billing;
    /// The XML uses what is never read: a document type, an entity, XML 1.1.
    ForbiddenXml = "TL1002", "the XML uses a document type, an entity or a version that is refused", Parse, Request, Permanent, Billing;
    /// A size, depth or count exceeds its limit.
    TooLarge = "TL1003", "the message exceeds a limit", Parse, Request, Permanent, Billing;
    /// The bytes are not in the character encoding they claim.
    BadEncoding = "TL1004", "the bytes are not in the character encoding they claim", Parse, Request, Permanent, Billing;
    /// It is XML, but no message that a mapping knows.
    UnknownMessage = "TL1005", "no mapping knows this kind of message", Parse, Request, Permanent, Integration;
    /// The content type or encoding says that it is not XML.
    NotXml = "TL1006", "the message is not XML", Parse, Request, Permanent, Billing;
    /// The message's properties cannot be read.
    UnreadableProperties = "TL1007", "the properties of the message cannot be read", Parse, Request, Permanent, Billing;
    /// A required field is missing or empty.
    MissingField = "TL2001", "a required field is missing", Translate, Request, Permanent, Billing;
    /// A value map with `miss = "refuse"` has no entry for a value.
    UnmappedValue = "TL2002", "a value map has no entry for a value", Translate, Request, Permanent, Integration;
    /// A value is no date, number or identity as the mapping expects it.
    BadValue = "TL2003", "a value is not of the expected form", Translate, Request, Permanent, Billing;
    /// A value is longer than the target takes.
    TooLong = "TL2004", "a value is longer than its target takes", Translate, Request, Permanent, Billing;
    /// A field that stands once was found twice.
    DuplicateField = "TL2005", "a field that stands once was found twice", Translate, Request, Permanent, Billing;
    /// An element that the mapping does not know, in a mapping that refuses such.
    UnknownField = "TL2006", "an element is unknown to a strict mapping", Translate, Request, Permanent, Integration;
    /// The location queue does not exist or is not bound.
    LocationUnroutable = "TL3001", "no queue takes the asset location", Publish, Location, Transient, Integration;
    /// The broker refused the asset location.
    LocationRefused = "TL3002", "the broker refused the asset location", Publish, Location, Transient, Assets;
    /// The broker did not confirm the asset location in time.
    LocationUnconfirmed = "TL3003", "the broker did not confirm the asset location", Publish, Location, InDoubt, Assets;
    /// Asset management's broker or vhost is away.
    AssetsUnreachable = "TL3004", "asset management's side is unreachable", Publish, Location, Transient, Assets;
    /// The asset location came back: its consumer rejected it too often.
    LocationDeadLettered = "TL3005", "the broker dead-lettered the asset location", Publish, Location, Permanent, Assets;
    /// The answer cannot be read.
    AnswerUnreadable = "TL4001", "the answer cannot be read", Answer, Answer, Permanent, Assets;
    /// A negative answer after a positive one.
    AnswerContradicts = "TL4002", "the answer contradicts an earlier one", Answer, Answer, Permanent, Assets;
    /// Nobody asked: the answer matches no request.
    AnswerOrphaned = "TL4003", "the answer matches no request", Answer, Answer, Permanent, Assets;
    /// The answer's sender is not asset management.
    AnswerSpoofed = "TL4004", "the answer's sender is not asset management", Answer, Answer, Permanent, Integration;
    /// The broker dead-lettered the answer before the bridge could record it.
    AnswerDeadLettered = "TL4005", "the broker dead-lettered the answer", Answer, Answer, Permanent, Integration;
    /// The properties of the answer cannot be read.
    AnswerPropertiesUnreadable = "TL4006", "the properties of the answer cannot be read", Answer, Answer, Permanent, Assets;
    /// The reply queue does not exist or is not bound.
    ReplyUnroutable = "TL5001", "no queue takes the reply", Reply, Reply, Transient, Integration;
    /// The broker refused the reply.
    ReplyRefused = "TL5002", "the broker refused the reply", Reply, Reply, Transient, Billing;
    /// The broker did not confirm the reply in time.
    ReplyUnconfirmed = "TL5003", "the broker did not confirm the reply", Reply, Reply, InDoubt, Billing;
    /// Billing's broker or vhost is away.
    BillingUnreachable = "TL5004", "billing's side is unreachable", Reply, Reply, Transient, Billing;
    /// The reply came back: billing's consumer rejected it.
    ReplyDeadLettered = "TL5005", "the broker dead-lettered the reply", Reply, Reply, Permanent, Billing;
    /// The broker dead-lettered a request before the bridge could record it.
    RequestDeadLettered = "TL6001", "the broker dead-lettered the request", Parse, Request, Transient, Integration;
    /// Somebody put a message on the error queue that the bridge did not send there.
    Foreign = "TL6002", "a message on the error queue that the bridge does not know", Parse, Request, Permanent, Integration;
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| format!("'{text}' is not a failure code such as TL2002"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_read_as_shown() {
        assert!(FailureCode::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        assert!(FailureCode::ALL.iter().all(|code| code.as_str().parse() == Ok(*code)));
    }

    #[test]
    fn a_failure_tells_its_first_defect_and_counts_the_rest() {
        let defect = Defect {
            code: FailureCode::UnmappedValue,
            rule: Some("location/nodeType".into()),
            path: Some("servicePoint/spType".into()),
            line: Some(20),
            column: Some(13),
            value: Some("E-NEW".into()),
            expected: "an entry of maps/sp-type.toml".into(),
        };
        let failure = Failure::of_defects(vec![defect.clone(), defect]);
        assert_eq!(
            failure.detail,
            "servicePoint/spType (line 20, column 13): found 'E-NEW', expected an entry of \
             maps/sp-type.toml; and 1 more"
        );
    }
}
