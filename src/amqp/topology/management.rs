//! Looks at a broker through the management plugin's HTTP API, which shows policies and bindings.
//! <https://www.rabbitmq.com/docs/http-api-reference>

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::arguments::Argument;
use super::check::Seen;
use super::model::{Role, Topology};
use super::seen::{SeenExchange, SeenQueue, Settings};
use crate::amqp::connection::Endpoint;

/// How long an answer may take.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long it may take to find out whether there is a management plugin where it usually is.
const GUESS_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long a queue's statistics are awaited. They come every 5 s.
/// <https://www.rabbitmq.com/docs/management#statistics-interval>
const STATISTICS_WAIT_MAX: Duration = Duration::from_secs(15);

/// How often they are looked for.
const STATISTICS_PAUSE: Duration = Duration::from_millis(500);

/// The port of the management plugin.
const PORT: u16 = 15672;

/// The management plugin of a broker.
#[derive(Clone)]
pub struct Management {
    client: Client,
    base: Url,
    user: String,
    password: SecretString,
}

/// Why the management API gave no answer. Never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The URL cannot be read.
    #[error("the management URL cannot be read: expected http://user:password@host:15672")]
    Url,
    /// Nothing answers there, or nothing that is a management plugin.
    #[error("ask the management API at {at}: {why}")]
    Away {
        /// The address, without user and password.
        at: String,
        /// What happened.
        why: String,
    },
    /// The user may not ask.
    #[error("ask the management API at {at}: user '{user}' needs the tag 'monitoring' there")]
    Refused {
        /// The address, without user and password.
        at: String,
        /// The user.
        user: String,
    },
}

impl Management {
    /// The management plugin at a URL; user and password are those of the AMQP endpoint unless the
    /// URL has its own.
    pub fn new(url: &SecretString, endpoint: &Endpoint) -> Result<Self, ManagementError> {
        let mut base = Url::parse(url.expose_secret()).map_err(|_| ManagementError::Url)?;
        if !base.has_host() {
            return Err(ManagementError::Url);
        }
        let decoded = |text: &str| percent_decoded(text).ok_or(ManagementError::Url);
        let user = decoded(base.username())?;
        let password = base.password().map(decoded).transpose()?.map(SecretString::from);
        let is_own = !user.is_empty();
        base.set_username("")
            .and_then(|()| base.set_password(None))
            .map_err(|()| ManagementError::Url)?;
        let (user, password) = match password {
            Some(password) if is_own => (user, password),
            _ => (endpoint.user().to_owned(), endpoint.password()),
        };
        // Only the first caller in a process sets it; the others find it set.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder().timeout(WAIT_MAX).build();
        let client = client.map_err(|error| away(&base, error))?;
        Ok(Self { client, base, user, password })
    }

    /// The management plugin at its usual port on the broker's host, if one answers there. Not
    /// looked for where AMQP itself is encrypted: the password would travel in the clear.
    pub async fn find(endpoint: &Endpoint) -> Option<Self> {
        if endpoint.is_encrypted() {
            return None;
        }
        let address = endpoint.address();
        let (host, _) = address.rsplit_once(':')?;
        let url = SecretString::from(format!("http://{host}:{PORT}"));
        let management = Self::new(&url, endpoint).ok()?;
        let asked =
            tokio::time::timeout(GUESS_WAIT_MAX, management.get::<Value>(&["whoami"])).await;
        matches!(asked, Ok(Ok(Some(_)))).then_some(management)
    }

    /// The alarms of the broker's nodes in a sentence; none if there are none.
    pub async fn alarms(&self) -> Result<Option<String>, ManagementError> {
        let health: Option<Health> = self.get(&["health", "checks", "alarms"]).await?;
        Ok(health.and_then(|health| health.reason))
    }

    /// Looks at the exchanges, the queues of these roles and their bindings.
    pub(super) async fn look<'t>(
        &self,
        topology: &'t Topology,
        vhost: &str,
        roles: &[Role],
    ) -> Result<Seen<'t>, ManagementError> {
        let mut seen = Seen::default();
        let mut bound = Vec::new();
        for (name, _) in topology.exchanges() {
            seen.exchanges.push(self.exchange(vhost, name).await?);
            let path = ["exchanges", vhost, name, "bindings", "source"];
            bound.extend(self.get::<Vec<BindingView>>(&path).await?.unwrap_or_default());
        }
        let has_policies = self.has_policies(vhost).await?;
        for role in roles {
            let queue = self.queue(vhost, topology.queue(*role), has_policies).await?;
            seen.queues.push(queue.map(QueueView::seen));
        }
        let wanted = topology.bindings(roles).into_iter();
        let missing = wanted.filter(|wanted| {
            !bound.iter().any(|found| {
                found.destination_type == "queue"
                    && found.source == wanted.exchange
                    && found.destination == wanted.queue
                    && found.routing_key == wanted.key
            })
        });
        seen.missing_bindings = Some(missing.collect());
        Ok(seen)
    }

    /// Whether there is any policy in the virtual host that could apply to a queue.
    async fn has_policies(&self, vhost: &str) -> Result<bool, ManagementError> {
        for kind in ["policies", "operator-policies"] {
            let policies: Option<Vec<Value>> = self.get(&[kind, vhost]).await?;
            if policies.is_some_and(|policies| !policies.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A queue. The plugin tells which policy applies with the queue's statistics, so some seconds
    /// after the queue was made or the broker started; where there are policies, that is awaited.
    async fn queue(
        &self,
        vhost: &str,
        name: &str,
        has_policies: bool,
    ) -> Result<Option<QueueView>, ManagementError> {
        let deadline = Instant::now() + STATISTICS_WAIT_MAX;
        loop {
            let queue: Option<QueueView> = self.get(&["queues", vhost, name]).await?;
            let is_told = |queue: &QueueView| queue.effective_policy_definition.is_some();
            if !has_policies || queue.as_ref().is_none_or(is_told) {
                return Ok(queue);
            }
            if Instant::now() > deadline {
                let why = "it keeps no statistics, so it does not tell which policies apply";
                let (at, why) = (self.base.to_string(), why.to_owned());
                return Err(ManagementError::Away { at, why });
            }
            sleep(STATISTICS_PAUSE).await;
        }
    }

    async fn exchange(
        &self,
        vhost: &str,
        name: &str,
    ) -> Result<Option<SeenExchange>, ManagementError> {
        let exchange: Option<ExchangeView> = self.get(&["exchanges", vhost, name]).await?;
        let Some(exchange) = exchange else { return Ok(None) };
        let mut settings = exchange.arguments;
        if let Some(policy) = exchange.policy {
            let policy: Option<PolicyView> = self.get(&["policies", vhost, &policy]).await?;
            settings.extend(policy.map(|policy| policy.definition).unwrap_or_default());
        }
        let alternate = settings.get("alternate-exchange").and_then(Value::as_str);
        let alternate = alternate.map(str::to_owned);
        Ok(Some(SeenExchange { kind: exchange.kind, durable: exchange.durable, alternate }))
    }

    /// Asks for a thing; none if it is not there.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, ManagementError> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().push("api").extend(path)),
            Err(()) => return Err(ManagementError::Url),
        }
        let call = self.client.get(url).basic_auth(&self.user, Some(self.password.expose_secret()));
        let answer = call.send().await.map_err(|error| away(&self.base, error))?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(ManagementError::Refused { at: self.base.to_string(), user: self.user.clone() })
            }
            // The health checks answer with the trouble they found.
            status if status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE => {
                answer.json().await.map(Some).map_err(|error| away(&self.base, error))
            }
            status => {
                let (at, why) = (self.base.to_string(), format!("it answered {status}"));
                Err(ManagementError::Away { at, why })
            }
        }
    }
}

fn away(base: &Url, error: reqwest::Error) -> ManagementError {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        why = format!("{why}: {error}");
        source = error.source();
    }
    ManagementError::Away { at: base.to_string(), why }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            let digits = [*high, *low];
            bytes.push(u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[derive(Deserialize)]
struct Health {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct BindingView {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
}

#[derive(Deserialize)]
struct ExchangeView {
    #[serde(rename = "type")]
    kind: String,
    durable: bool,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Deserialize)]
struct PolicyView {
    definition: Map<String, Value>,
}

#[derive(Deserialize)]
struct QueueView {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    durable: bool,
    auto_delete: bool,
    exclusive: bool,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    operator_policy: Option<String>,
    /// A map; an empty list where no policy applies; absent without statistics.
    #[serde(default)]
    effective_policy_definition: Option<Value>,
}

impl QueueView {
    fn seen(self) -> SeenQueue {
        let none = Map::new();
        let policy = self.effective_policy_definition.as_ref();
        let policy = policy.and_then(Value::as_object).unwrap_or(&none);
        SeenQueue {
            kind: self.kind.unwrap_or_else(|| "classic".to_owned()),
            durable: self.durable,
            auto_delete: self.auto_delete,
            exclusive: self.exclusive,
            arguments: settings(&self.arguments),
            policy: settings(policy),
            policy_name: self.policy.or(self.operator_policy).filter(|name| !name.is_empty()),
        }
    }
}

fn settings(map: &Map<String, Value>) -> Settings {
    let setting = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Bool(flag) => Argument::Flag(*flag),
            Value::Number(number) => Argument::Integer(number.as_i64().unwrap_or(i64::MAX)),
            Value::String(text) => Argument::Text(text.clone()),
            other => Argument::Text(other.to_string()),
        };
        (key.trim_start_matches("x-").to_owned(), value)
    };
    map.iter().map(setting).collect()
}
