//! Which error records a command is about, and what every changing command takes.

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::exit::Failed;
use crate::bridge::ports::{ErrorQuery, Operator};
use crate::domain::{ErrorId, ErrorStatus, ServicePointId, SyncRequestId};

/// A selection of error records.
#[derive(Args, Debug, Default)]
pub(super) struct Select {
    /// Error records by id, as `E-1042`.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<ErrorId>,
    /// A group, as `errors groups` shows it: TL2002:location/nodeType.
    #[arg(long)]
    pub(super) group: Option<String>,
    /// A failure code, such as TL2002.
    #[arg(long)]
    pub(super) code: Option<String>,
    /// A service point.
    #[arg(long, value_name = "ID")]
    pub(super) service_point: Option<String>,
    /// A sync request of billing.
    #[arg(long, value_name = "ID")]
    pub(super) sync_request: Option<String>,
    /// Last failed at or after this time: 2026-03-14T04:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Last failed at or before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
}

impl Select {
    /// Whether nothing was named.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.group.is_none()
            && self.code.is_none()
            && self.service_point.is_none()
            && self.sync_request.is_none()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// A command about everything must say so.
    pub(super) fn named(&self, all: bool) -> Result<(), Failed> {
        if self.is_empty() && !all {
            return Err(Failed::usage(
                "which records? name ids, --group, --code, --service-point, --sync-request, \
                 --since, --until or --all",
            ));
        }
        Ok(())
    }

    /// The query for records in these states.
    pub(super) fn query(
        &self,
        statuses: Vec<ErrorStatus>,
        now: Timestamp,
    ) -> Result<ErrorQuery, Failed> {
        // A code with a typing error would select nothing, and nothing to do looks like success.
        let of_group = self.group.as_deref().and_then(|group| group.split(':').next());
        for code in self.code.as_deref().into_iter().chain(of_group) {
            code.parse::<crate::domain::FailureCode>().map_err(Failed::usage)?;
        }
        Ok(ErrorQuery {
            ids: self.ids.clone(),
            statuses,
            group: self.group.clone(),
            code: self.code.as_ref().map(|code| code.to_ascii_uppercase()),
            sync_request: sync_request(self.sync_request.as_deref())?,
            service_point: service_point(self.service_point.as_deref())?,
            since: self.since.as_deref().map(|text| time(text, now)).transpose()?,
            until: self.until.as_deref().map(|text| time(text, now)).transpose()?,
            before: None,
            limit: 0,
        })
    }
}

/// Reads a service point id of the command line.
pub(super) fn service_point(text: Option<&str>) -> Result<Option<ServicePointId>, Failed> {
    text.map(ServicePointId::new)
        .transpose()
        .map_err(|found| Failed::usage(format!("'{found}' is not a service point id")))
}

/// Reads a sync request id of the command line.
pub(super) fn sync_request(text: Option<&str>) -> Result<Option<SyncRequestId>, Failed> {
    text.map(SyncRequestId::new).transpose().map_err(|found| {
        Failed::usage(format!("'{found}' is not a sync request id of 1 to 14 characters"))
    })
}

/// Reads a time: an instant, or how long ago.
pub(super) fn time(text: &str, now: Timestamp) -> Result<Timestamp, Failed> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago = text.parse::<SignedDuration>().ok().filter(|ago| !ago.is_negative());
    ago.and_then(|ago| now.checked_sub(ago).ok()).ok_or_else(|| {
        Failed::usage(format!(
            "'{text}' is no time; expected for example 2026-03-14T04:00:00Z, or 2h for two hours ago"
        ))
    })
}

/// What every changing command takes.
#[derive(Args, Debug, Default)]
pub(super) struct Change {
    /// Show what would be touched, and touch nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Why; kept in the journal beside your name.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

impl Change {
    /// Who gives the order, and why.
    pub(super) fn operator(&self) -> Operator {
        Operator {
            name: crate::config::user_name(),
            reason: self.reason.clone().unwrap_or_else(|| "no reason given".to_owned()),
        }
    }
}
