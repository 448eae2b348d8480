//! The sections of the settings, with their defaults. `tieline.example.toml` says the same in
//! words; a test holds the two together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SettingsError;
use super::values::{Patience, Secret, Span};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $key:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $key: $kind,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $name {
            /// The names of its keys.
            fn keys() -> &'static [&'static str] {
                &[$(stringify!($key),)*]
            }
        }
    };
}

section! {
    /// The brokers. Billing's and asset management's side may be different brokers or vhosts.
    Amqp {
        /// The broker of both sides, unless a side has its own.
        url: Secret = Secret::new("amqp://guest:guest@127.0.0.1:5672/%2f"),
        /// A file that holds the address instead, so that the password is in no settings file.
        url_file: Option<PathBuf> = None,
        /// Billing's side, if it is another broker or vhost.
        billing_url: Option<Secret> = None,
        /// A file that holds billing's address.
        billing_url_file: Option<PathBuf> = None,
        /// Asset management's side, if it is another broker or vhost.
        assets_url: Option<Secret> = None,
        /// A file that holds asset management's address.
        assets_url_file: Option<PathBuf> = None,
        /// RabbitMQ's management API, to see policies: `http://user:password@host:15672`.
        management_url: Option<Secret> = None,
        /// Heartbeat; a silent connection counts as dead after twice this time.
        heartbeat: Span = Span::from_secs(10),
        /// How long connecting may take.
        connect_timeout: Span = Span::from_secs(10),
        /// How long the broker may take to confirm a publish.
        confirm_timeout: Span = Span::from_secs(30),
        /// How long nothing has come from a queue when the broker is asked whether messages wait
        /// there; they have to wait as long again for it to count.
        look_every: Span = Span::from_secs(30),
        /// How many messages the broker sends ahead of their settlement.
        prefetch: u16 = 1000,
        /// How many messages are recorded in one transaction.
        batch: u32 = 500,
        /// How many messages are published before their confirms are awaited.
        window: u32 = 500,
    }
}

/// What the bridge does at its start when a queue is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Declare {
    /// Declares it.
    Missing,
    /// Refuses to start and names it.
    Never,
}

section! {
    /// The topology.
    Queues {
        /// The topology file; without one, `queues/topology.toml` if it is there, else the
        /// built-in one.
        topology: Option<PathBuf> = None,
        /// What to do when a queue is missing at the start.
        declare: Declare = Declare::Missing,
    }
}

section! {
    /// The mappings.
    Transforms {
        /// The folder; without one, `transforms` if it is there, else the built-in ones.
        folder: Option<PathBuf> = None,
    }
}

section! {
    /// The message store.
    Store {
        /// `sqlite:PATH`.
        url: String = "sqlite:tieline.db".to_owned(),
        /// Whether the broker remembers how far the store was (the fence).
        fence: bool = true,
    }
}

section! {
    /// Answers of asset management.
    Answer {
        /// After this long without an answer a request is listed as overdue.
        timeout: Span = Span::from_secs(4 * 3600),
        /// The broker user that answers must come from (`user_id`); without one, any.
        user: Option<String> = None,
    }
}

/// Who takes up again what an outage parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseMode {
    /// An operator.
    Manual,
    /// The bridge, when the other side is back.
    Auto,
}

section! {
    /// What happens while the other side is away.
    Unreachable {
        /// What waits and what arrives is parked when an outage lasts longer than this; 0 means at
        /// once, "never" means never.
        park_after: Patience = Patience::For(Span::from_secs(600)),
        /// Who takes it up again.
        release: ReleaseMode = ReleaseMode::Manual,
        /// The longest wait between two tries.
        retry_max: Span = Span::from_secs(5),
    }
}

section! {
    /// A message that fails while others go through.
    Retry {
        /// How many tries it has in all.
        tries_max: u32 = 5,
        /// The delay after the first failure; it doubles.
        delay_min: Span = Span::from_secs(1),
        /// The longest delay.
        delay_max: Span = Span::from_secs(60),
    }
}

section! {
    /// The error queues.
    Errors {
        /// Whether the bridge takes in what lies on the error queues. `false` leaves them to other
        /// tools.
        desk: bool = true,
    }
}

section! {
    /// What a message may be.
    Limits {
        /// The largest body, in bytes.
        body_bytes: usize = 8 * 1024 * 1024,
        /// How deep elements may nest.
        depth: usize = 64,
        /// How many elements a message may have.
        elements: usize = 100_000,
        /// How many attributes an element may have.
        attributes: usize = 64,
        /// The longest text of an element, in bytes.
        text_bytes: usize = 1024 * 1024,
    }
}

section! {
    /// Health and metrics over HTTP.
    Http {
        /// Where to listen; "" for nowhere.
        listen: String = "127.0.0.1:9420".to_owned(),
    }
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, one object a line.
    Json,
}

section! {
    /// Logs and traces.
    Telemetry {
        /// What is logged, as `tracing` filters: `info`, `tieline=debug`, …
        log: String = "info".to_owned(),
        /// How log lines look.
        log_format: LogFormat = LogFormat::Text,
        /// An OpenTelemetry collector (OTLP over HTTP), for example `http://127.0.0.1:4318`;
        /// without one no traces are sent.
        otlp_endpoint: Option<String> = None,
        /// The service name in traces.
        service_name: String = "tieline".to_owned(),
    }
}

section! {
    /// Stopping.
    Shutdown {
        /// How long what is under way may take to finish after a SIGTERM.
        grace: Span = Span::from_secs(20),
    }
}

/// All settings.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub amqp: Amqp,
    pub queues: Queues,
    pub transforms: Transforms,
    pub store: Store,
    pub answer: Answer,
    pub unreachable: Unreachable,
    pub retry: Retry,
    pub errors: Errors,
    pub limits: Limits,
    pub http: Http,
    pub telemetry: Telemetry,
    pub shutdown: Shutdown,
}

impl Settings {
    /// The keys of every section.
    pub fn keys(&self) -> Vec<(&'static str, &'static [&'static str])> {
        vec![
            ("amqp", Amqp::keys()),
            ("queues", Queues::keys()),
            ("transforms", Transforms::keys()),
            ("store", Store::keys()),
            ("answer", Answer::keys()),
            ("unreachable", Unreachable::keys()),
            ("retry", Retry::keys()),
            ("errors", Errors::keys()),
            ("limits", Limits::keys()),
            ("http", Http::keys()),
            ("telemetry", Telemetry::keys()),
            ("shutdown", Shutdown::keys()),
        ]
    }

    /// Puts the contents of the `*_file` settings in place.
    pub(super) fn read_secrets(&mut self) -> Result<(), SettingsError> {
        let amqp = &mut self.amqp;
        if let Some(secret) = read("amqp.url_file", amqp.url_file.as_ref())? {
            amqp.url = secret;
        }
        if let Some(secret) = read("amqp.billing_url_file", amqp.billing_url_file.as_ref())? {
            amqp.billing_url = Some(secret);
        }
        if let Some(secret) = read("amqp.assets_url_file", amqp.assets_url_file.as_ref())? {
            amqp.assets_url = Some(secret);
        }
        Ok(())
    }

    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let positive = [
            ("amqp.prefetch", u64::from(self.amqp.prefetch)),
            ("amqp.batch", u64::from(self.amqp.batch)),
            ("amqp.window", u64::from(self.amqp.window)),
            ("retry.tries_max", u64::from(self.retry.tries_max)),
        ];
        for (key, value) in positive {
            if value == 0 {
                let message = "found 0, expected at least 1".to_owned();
                return Err(SettingsError::Contradiction { key, message });
            }
        }
        let times = [
            ("amqp.connect_timeout", self.amqp.connect_timeout),
            ("amqp.confirm_timeout", self.amqp.confirm_timeout),
            ("amqp.look_every", self.amqp.look_every),
            ("answer.timeout", self.answer.timeout),
            ("unreachable.retry_max", self.unreachable.retry_max),
        ];
        for (key, value) in times {
            if value.is_zero() {
                let message = "found 0, expected a time such as \"10s\"".to_owned();
                return Err(SettingsError::Contradiction { key, message });
            }
        }
        Ok(())
    }
}

fn read(key: &'static str, path: Option<&PathBuf>) -> Result<Option<Secret>, SettingsError> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Secret {
        key,
        path: path.clone(),
        source,
    })?;
    Ok(Some(Secret::new(text.trim())))
}
