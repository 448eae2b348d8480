//! `tieline simulate`: stand-ins for billing and asset management.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};
use super::output;
use crate::amqp::Endpoint;
use crate::config::Settings;
use crate::runtime::shutdown::{Asked, Signals};
use crate::runtime::sides::{Sides, topology};
use crate::runtime::{StartError, SystemClock, telemetry};
use crate::standin::answers::AnswerMix;
use crate::standin::plan::Mix;
use crate::standin::{Broker, Count, Live, Tally, assets, billing};

/// Play billing or asset management.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand, Debug)]
enum Role {
    /// Send sync requests, as billing does, and hear what is told about them.
    Billing(Box<Billing>),
    /// Take asset locations and answer them, as asset management does.
    Assets(Box<Assets>),
}

/// What both have.
#[derive(Args, Debug)]
struct Common {
    /// What all chance follows from: the same seed does the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave out every kind of fault that is not named.
    #[arg(long)]
    faultless: bool,
    /// Write everything sent and received to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print the tally as JSON.
    #[arg(long)]
    json: bool,
}

/// Shares are parts of all messages, 0.01 being one in a hundred.
#[derive(Args, Debug)]
struct Billing {
    /// How many messages.
    #[arg(long, short = 'n', default_value_t = 1_000)]
    number: u64,
    /// How many a second; as fast as the broker confirms unless told.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How many are published before their confirms are awaited.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    window: u32,
    /// End when no reply came for so long, even if some are missing.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    until_quiet: Duration,
    /// Do not end when every request was told: more may be told about it.
    #[arg(long)]
    stay: bool,
    /// Share of messages that are no XML, or not the XML that was agreed on.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    malformed: Option<f64>,
    /// Share with a value that no value map has.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    unmapped: Option<f64>,
    /// Share without a required field.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    missing: Option<f64>,
    /// Share with a value that is too long.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    too_long: Option<f64>,
    /// Share of identical resends.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    duplicate: Option<f64>,
    /// Share of corrections: other content under a sync request id sent before.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    corrected: Option<f64>,
    /// Share of newer requests of a service point sent before.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    newer: Option<f64>,
    /// Share of service points that are items.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    items: Option<f64>,
    /// Share of messages in UTF-16 or ISO-8859-1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    encodings: Option<f64>,
    /// Share of sync requests whose messages have no properties.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    bare: Option<f64>,
    #[command(flatten)]
    common: Common,
}

/// Shares are parts of all asset locations, 0.01 being one in a hundred.
#[derive(Args, Debug)]
struct Assets {
    /// The shortest time to an answer.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    delay_min: Duration,
    /// The longest time to an answer that is not late.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    delay_max: Duration,
    /// How much later a late answer comes.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    late_by: Duration,
    /// End when no asset location came for so long; at Ctrl-C unless told.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until_quiet: Option<Duration>,
    /// Share of refusals.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    negative: Option<f64>,
    /// Share answered twice.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    doubled: Option<f64>,
    /// Share answered positively, then negatively.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    positive_then_negative: Option<f64>,
    /// Share answered negatively, then positively.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    negative_then_positive: Option<f64>,
    /// Share never answered.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    silent: Option<f64>,
    /// Share answered with what is no answer.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    malformed: Option<f64>,
    /// Share answered besides an answer to somebody who never asked.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    orphan: Option<f64>,
    /// Share answered without a correlation id.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    by_body_only: Option<f64>,
    /// Share of late answers, whatever they say.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    late: Option<f64>,
    #[command(flatten)]
    common: Common,
}

/// Runs the stand-in until it is done, or until SIGTERM or Ctrl-C.
pub(super) async fn run(options: Options, settings: &Settings) -> Result<Exit, Failed> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    telemetry::log(&settings.telemetry).map_err(StartError::Telemetry)?;
    let sides = Sides::of(settings)?;
    let broker = |endpoint: Endpoint| -> Result<Broker, StartError> {
        Ok(Broker { endpoint, topology: topology(settings)? })
    };
    let stop = CancellationToken::new();
    let (live, clock) = (Arc::new(Live::new()), Arc::new(SystemClock));
    let obeying = async {
        while signals.next().await == Asked::Reload {}
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let playing = async {
        match options.role {
            Role::Billing(it) => {
                let (broker, json) = (broker(sides.billing)?, it.common.json);
                let tally = billing::run(it.options(), &broker, live, clock, stop.clone()).await;
                Ok((tally, json))
            }
            Role::Assets(it) => {
                let (broker, json) = (broker(sides.assets)?, it.common.json);
                let tally = assets::run(it.options(), &broker, live, clock, stop.clone()).await;
                Ok((tally, json))
            }
        }
    };
    let (tally, json) = tokio::select! {
        played = Box::pin(playing) => played.map_err(|error: StartError| Failed::from(error))?,
        () = obeying => return Ok(Exit::Done),
    };
    let tally = tally.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Failed::usage(format!("{error}{}", cause.unwrap_or_default()))
    })?;
    if json {
        output::json(&json!(tally));
    } else {
        output::line(tally.to_string().trim_end());
    }
    Ok(exit(&tally))
}

/// A violation fails the run; what billing was not told of leaves it partly done.
fn exit(tally: &Tally) -> Exit {
    match (tally.is_clean(), tally.count(Count::SyncRequestsUntold)) {
        (false, _) => Exit::Failed,
        (true, 0) => Exit::Done,
        (true, _) => Exit::Partly,
    }
}

impl Billing {
    fn options(self) -> billing::Options {
        let usual = if self.common.faultless { Mix::GOOD } else { Mix::default() };
        let mix = Mix {
            malformed: self.malformed.unwrap_or(usual.malformed),
            unmapped: self.unmapped.unwrap_or(usual.unmapped),
            missing: self.missing.unwrap_or(usual.missing),
            too_long: self.too_long.unwrap_or(usual.too_long),
            duplicate: self.duplicate.unwrap_or(usual.duplicate),
            corrected: self.corrected.unwrap_or(usual.corrected),
            newer: self.newer.unwrap_or(usual.newer),
            items: self.items.unwrap_or(usual.items),
            encodings: self.encodings.unwrap_or(usual.encodings),
            bare: self.bare.unwrap_or(usual.bare),
        };
        billing::Options {
            seed: self.common.seed,
            number: self.number,
            mix,
            rate: self.rate,
            window: self.window as usize,
            quiet: self.until_quiet,
            stays: self.stay,
            history: self.common.history,
        }
    }
}

impl Assets {
    fn options(self) -> assets::Options {
        let usual = if self.common.faultless { AnswerMix::POSITIVE } else { AnswerMix::default() };
        let mix = AnswerMix {
            negative: self.negative.unwrap_or(usual.negative),
            doubled: self.doubled.unwrap_or(usual.doubled),
            positive_then_negative: self
                .positive_then_negative
                .unwrap_or(usual.positive_then_negative),
            negative_then_positive: self
                .negative_then_positive
                .unwrap_or(usual.negative_then_positive),
            silent: self.silent.unwrap_or(usual.silent),
            malformed: self.malformed.unwrap_or(usual.malformed),
            orphan: self.orphan.unwrap_or(usual.orphan),
            by_body_only: self.by_body_only.unwrap_or(usual.by_body_only),
            late: self.late.unwrap_or(usual.late),
        };
        assets::Options {
            seed: self.common.seed,
            mix,
            delay_min: self.delay_min,
            delay_max: self.delay_max,
            late: self.late_by,
            quiet: self.until_quiet,
            history: self.common.history,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1, such as 0.01".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok();
    rate.filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or_else(|| "expected messages a second, such as 50 or 0.5".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<u32>() {
        // Bare numbers are seconds, as with sleep(1).
        Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        Err(_) => jiff::SignedDuration::from_str(text)
            .map_err(|_| ())
            .and_then(|time| Duration::try_from(time).map_err(|_| ())),
    };
    time.map_err(|()| "expected a time such as 500ms, 10s, 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Role, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Ok(line.options.role)
    }

    #[test]
    fn a_named_share_counts_beside_faultless() {
        let Ok(Role::Billing(it)) =
            parse("simulate billing --faultless --malformed 0.25 --rate 50")
        else {
            panic!("not billing");
        };
        let options = it.options();
        assert_eq!(options.mix, Mix { malformed: 0.25, ..Mix::GOOD });
        assert_eq!((options.rate, options.number), (Some(50.0), 1_000));
    }

    #[test]
    fn nothing_named_means_the_defaults() {
        let Ok(Role::Billing(it)) = parse("simulate billing") else { panic!("not billing") };
        assert_eq!(it.options(), billing::Options::default());
        let Ok(Role::Assets(it)) = parse("simulate assets") else { panic!("not assets") };
        assert_eq!(it.options(), assets::Options::default());
    }

    #[test]
    fn what_is_no_share_or_time_is_refused() {
        for line in ["--malformed 1.5", "--until-quiet soon", "--rate 0", "--window 0"] {
            assert!(parse(&format!("simulate billing {line}")).is_err(), "{line}");
        }
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("15"), Ok(Duration::from_secs(15)));
    }
}
