//! `tieline explain`: the page of a failure code.

use super::exit::{Exit, Failed};
use super::output;
use crate::domain::FailureCode;

macro_rules! pages {
    ($($name:ident = $file:literal;)*) => {
        /// The page of a code, as Markdown.
        fn page(code: FailureCode) -> &'static str {
            match code {
                $(FailureCode::$name => include_str!(concat!("../../docs/errors/", $file, ".md")),)*
            }
        }
    };
}

pages! {
    MalformedXml = "TL1001";
    ForbiddenXml = "TL1002";
    TooLarge = "TL1003";
    BadEncoding = "TL1004";
    UnknownMessage = "TL1005";
    NotXml = "TL1006";
    UnreadableProperties = "TL1007";
    MissingField = "TL2001";
    UnmappedValue = "TL2002";
    BadValue = "TL2003";
    TooLong = "TL2004";
    DuplicateField = "TL2005";
    UnknownField = "TL2006";
    LocationUnroutable = "TL3001";
    LocationRefused = "TL3002";
    LocationUnconfirmed = "TL3003";
    AssetsUnreachable = "TL3004";
    LocationDeadLettered = "TL3005";
    AnswerUnreadable = "TL4001";
    AnswerContradicts = "TL4002";
    AnswerOrphaned = "TL4003";
    AnswerSpoofed = "TL4004";
    AnswerDeadLettered = "TL4005";
    AnswerPropertiesUnreadable = "TL4006";
    ReplyUnroutable = "TL5001";
    ReplyRefused = "TL5002";
    ReplyUnconfirmed = "TL5003";
    BillingUnreachable = "TL5004";
    ReplyDeadLettered = "TL5005";
    RequestDeadLettered = "TL6001";
    Foreign = "TL6002";
}

/// Prints the page of a code.
pub(super) fn run(code: &str) -> Result<Exit, Failed> {
    let code: FailureCode = code.parse().map_err(|wrong: String| {
        let known: Vec<_> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        Failed::new(Exit::Usage, wrong, format!("the codes are {}", known.join(", ")))
    })?;
    output::raw(page(code).as_bytes());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_page() {
        for code in FailureCode::ALL {
            let first = page(*code).lines().next().unwrap_or_default();
            assert!(first.contains(code.as_str()), "{code}: {first}");
        }
    }
}
