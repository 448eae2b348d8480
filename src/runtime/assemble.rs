//! What the bridge is made of.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;

use super::clock::SystemClock;
use super::fencing::Fencing;
use super::shutdown::{Asked, Signals, Stop};
use super::sides::{Sides, ready_queues, topology};
use super::tasks::Tasks;
use super::telemetry;
use super::two_sided::TwoSided;
use crate::amqp::{self, Endpoint, Topology};
use crate::bridge::answers::Answers;
use crate::bridge::desk::QueueDesk;
use crate::bridge::dispatch::{self, Dispatch};
use crate::bridge::fence::{Refusal, Relieved};
use crate::bridge::health::Check;
use crate::bridge::intake::Intake;
use crate::bridge::operator::Operations;
use crate::bridge::outage::{ParkAfter, Release};
use crate::bridge::ports::Rules;
use crate::bridge::sweep::Sweep;
use crate::bridge::trace::Tracer;
use crate::bridge::{Clock, Handler, Health, Lane, Publisher, Store, StoreError, Transforms};
use crate::config::{Http, Patience, ReleaseMode, Settings};
use crate::domain::{Leg, RetryPolicy};
use crate::store::{self, Role, Sqlite};
use crate::transform::{Catalog, LoadErrors};

/// How often the loops read the store when it has no news for them: what the command line put there is
/// seen after this time at the latest.
const POLL: Duration = Duration::from_millis(250);

/// How often what is late is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Why the bridge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Mappings(LoadErrors),
    #[error(transparent)]
    Topology(#[from] amqp::TopologyError),
    #[error(transparent)]
    Endpoint(#[from] amqp::EndpointError),
    /// The broker is away, or queues are missing.
    #[error("{0}")]
    Broker(String),
    /// Queues can lose a message.
    #[error("{0}")]
    Unsafe(String),
    /// The store is older than what was published from it, or another one than the fence's.
    #[error("{0}")]
    Fence(Box<Refusal>),
    #[error("setting http.listen: {0}")]
    Http(String),
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    #[error("listen to signals: {0}")]
    Signals(std::io::Error),
}

/// Why the bridge stopped without being asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("task '{task}' ended by itself: {why}")]
    Ended { task: &'static str, why: String },
    #[error(transparent)]
    Relieved(Relieved),
}

/// What every command works with that looks into the store.
pub struct Workshop {
    pub store: Arc<dyn Store>,
    pub transforms: Arc<Transforms>,
    pub operations: Arc<Operations>,
    pub clock: Arc<dyn Clock>,
}

impl Workshop {
    /// Opens the store and the mappings.
    pub fn open(settings: &Settings, role: Role) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transforms = Arc::new(Transforms::new(catalog(settings)?));
        let store: Arc<dyn Store> =
            Arc::new(open_store(settings, Arc::clone(&clock), Arc::clone(&transforms), role)?);
        let operations =
            Operations { store: Arc::clone(&store), transforms: Arc::clone(&transforms) };
        Ok(Self { store, transforms, operations: Arc::new(operations), clock })
    }
}

/// Opens the store alone.
pub fn open_store(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    transforms: Arc<Transforms>,
    role: Role,
) -> Result<Sqlite, StoreError> {
    let place = store::Settings::from_url(&settings.store.url)?;
    Sqlite::open(&place, clock, rules(settings), transforms, role)
}

/// The mappings: those of the settings, else those of the folder `transforms`, else the built-in
/// ones.
pub fn catalog(settings: &Settings) -> Result<Catalog, StartError> {
    let loaded = match folder(settings) {
        Some(folder) => Catalog::load(folder),
        None => Catalog::built_in(),
    };
    Ok(loaded.map_err(StartError::Mappings)?.with_limits(crate::transform::Limits {
        body: settings.limits.body_bytes,
        depth: settings.limits.depth,
        elements: settings.limits.elements,
        attributes: settings.limits.attributes,
        text: settings.limits.text_bytes,
        ..crate::transform::Limits::default()
    }))
}

/// The folder of the mappings, if one is named or there.
pub fn folder(settings: &Settings) -> Option<&Path> {
    let here = Path::new("transforms");
    settings.transforms.folder.as_deref().or_else(|| here.is_dir().then_some(here))
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        retry: RetryPolicy {
            tries_max: settings.retry.tries_max,
            delay_min: settings.retry.delay_min.signed(),
            delay_max: settings.retry.delay_max.signed(),
        },
        answer_timeout: settings.answer.timeout.signed(),
    }
}

/// The bridge, ready to run.
pub struct Bridge {
    settings: Settings,
    workshop: Workshop,
    topology: Topology,
    sides: Sides,
    tracer: Arc<dyn Tracer>,
    provider: Option<SdkTracerProvider>,
    http: Option<TcpListener>,
    metrics: Option<PrometheusHandle>,
    health: Arc<Health>,
    fence: Option<Fencing>,
}

impl Bridge {
    /// Opens everything that must be there at the start; what is missing is said at once.
    pub async fn start(
        settings: &Settings,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        Self::with_topology(settings, topology(settings)?, metrics).await
    }

    /// The same with another topology than that of the settings.
    pub async fn with_topology(
        settings: &Settings,
        topology: Topology,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        let workshop = Workshop::open(settings, Role::Bridge)?;
        point!("start.opened", return Err(crate::points::full().into()));
        let sides = Sides::of(settings)?;
        ready_queues(settings, &topology, &sides).await?;
        point!("start.queues", return Err(crate::points::full().into()));
        let health = Arc::default();
        let fence = Fencing::begin(&workshop, &topology, &sides, &health).await?;
        point!("start.fenced", return Err(crate::points::full().into()));
        let (tracer, provider) = telemetry::tracer(&settings.telemetry)?;
        Ok(Self {
            settings: settings.clone(),
            workshop,
            topology,
            sides,
            tracer,
            provider,
            http: listener(&settings.http).await?,
            metrics,
            health,
            fence,
        })
    }

    /// The store and the mappings, for a view beside the bridge.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// Where health and metrics are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Runs until it is stopped: starts every task, then waits. A task that ends by itself stops
    /// the others.
    pub async fn run(mut self, stop: Stop) -> Result<(), RunError> {
        let mut tasks = Tasks::default();
        let consumers = self.consume(&mut tasks, &stop);
        self.dispatch(&mut tasks, &stop);
        self.sweep(&mut tasks, &stop);
        tracing::info!(
            mapping = self.workshop.transforms.current().digest(),
            store = self.settings.store.url,
            http = self.http_address().map(tracing::field::display),
            "tieline runs"
        );
        self.serve(&mut tasks, &stop, consumers);
        point!("start.running");
        let ended = match self.fence.take() {
            Some(fence) => fence.around(tasks, &stop).await,
            None => tasks.wait(&stop).await,
        };
        if let Some(provider) = self.provider.take() {
            // Blocks until the last spans have left, so not on a thread of the runtime.
            drop(tokio::task::spawn_blocking(move || provider.shutdown()).await);
        }
        tracing::info!("tieline has stopped");
        ended
    }

    /// The consumers: requests, answers, and the desks of both error queues.
    fn consume(
        &self,
        tasks: &mut Tasks,
        stop: &Stop,
    ) -> Vec<(String, Arc<amqp::consumer::Health>)> {
        let intake = Intake {
            store: Arc::clone(&self.workshop.store),
            transforms: Arc::clone(&self.workshop.transforms),
            tracer: Arc::clone(&self.tracer),
            clock: Arc::clone(&self.workshop.clock),
        };
        let answers = Answers {
            store: Arc::clone(&self.workshop.store),
            transforms: Arc::clone(&self.workshop.transforms),
            tracer: Arc::clone(&self.tracer),
            clock: Arc::clone(&self.workshop.clock),
            user: self.settings.answer.user.clone(),
        };
        let mut legs: Vec<(&'static str, amqp::Role, &Endpoint, Arc<dyn Handler>)> = vec![
            ("requests", amqp::Role::Request, &self.sides.billing, Arc::new(intake)),
            ("answers", amqp::Role::Answer, &self.sides.assets, Arc::new(answers)),
        ];
        if self.settings.errors.desk {
            let desk = |leg| -> Arc<dyn Handler> {
                Arc::new(QueueDesk {
                    store: Arc::clone(&self.workshop.store),
                    transforms: Arc::clone(&self.workshop.transforms),
                    leg,
                })
            };
            let errors = &self.sides.billing;
            legs.push(("request desk", amqp::Role::RequestErrors, errors, desk(Leg::Request)));
            let errors = &self.sides.assets;
            legs.push(("answer desk", amqp::Role::AnswerErrors, errors, desk(Leg::Answer)));
        }
        let limits = amqp::consumer::Settings {
            prefetch: self.settings.amqp.prefetch,
            batch_max: self.settings.amqp.batch as usize,
            look_every: self.settings.amqp.look_every.unsigned(),
        };
        let mut health = Vec::new();
        for (name, role, endpoint, handler) in legs {
            let queue = self.topology.queue(role);
            let consumer = amqp::Consumer::new(endpoint.clone(), queue, limits);
            health.push((format!("consumer {queue}"), consumer.health()));
            let soft = stop.soft.clone();
            tasks.spawn(name, async move {
                consumer.run(handler, soft).await;
                Ok::<(), StoreError>(())
            });
        }
        health
    }

    /// The lanes: locations, replies, notes.
    fn dispatch(&self, tasks: &mut Tasks, stop: &Stop) {
        for lane in [Lane::Location, Lane::Reply, Lane::Note] {
            let dispatch = Dispatch {
                lane,
                store: Arc::clone(&self.workshop.store),
                publisher: self.publisher(lane),
                operations: Arc::clone(&self.workshop.operations),
                clock: Arc::clone(&self.workshop.clock),
                tracer: Arc::clone(&self.tracer),
                health: Arc::clone(&self.health),
                limits: self.limits(),
            };
            tasks.spawn(lane.as_str(), dispatch.run(stop.soft.clone()));
        }
    }

    fn publisher(&self, lane: Lane) -> Arc<dyn Publisher> {
        let settings = amqp::publisher::Settings {
            confirm_timeout: self.settings.amqp.confirm_timeout.unsigned(),
            ..amqp::publisher::Settings::default()
        };
        let publisher = |endpoint: &Endpoint| -> Arc<dyn Publisher> {
            let topology = self.topology.clone();
            let publisher = amqp::Publisher::new(endpoint.clone(), topology, lane, settings);
            let is_here = self.sides.same || endpoint.name() == self.sides.billing.name();
            match &self.fence {
                Some(fence) => Arc::new(publisher.behind(fence.gate(), is_here)),
                None => Arc::new(publisher),
            }
        };
        match lane {
            Lane::Location => publisher(&self.sides.assets),
            Lane::Reply => publisher(&self.sides.billing),
            Lane::Note if self.sides.same => publisher(&self.sides.billing),
            Lane::Note => Arc::new(TwoSided {
                billing: publisher(&self.sides.billing),
                assets: publisher(&self.sides.assets),
            }),
        }
    }

    fn limits(&self) -> dispatch::Limits {
        let unreachable = &self.settings.unreachable;
        let confirm = self.settings.amqp.confirm_timeout.signed();
        dispatch::Limits {
            window: self.settings.amqp.window,
            // A lease must outlive the longest publish; a dead process's leases are given up at
            // the next start anyway.
            lease: confirm.saturating_mul(4),
            poll: POLL,
            retry_max: unreachable.retry_max.unsigned(),
            park_after: match unreachable.park_after {
                Patience::For(span) => ParkAfter::After(span.signed()),
                Patience::Never => ParkAfter::Never,
            },
            release: match unreachable.release {
                ReleaseMode::Manual => Release::Manual,
                ReleaseMode::Auto => Release::Auto,
            },
        }
    }

    fn sweep(&self, tasks: &mut Tasks, stop: &Stop) {
        let sweep = Sweep {
            store: Arc::clone(&self.workshop.store),
            health: Arc::clone(&self.health),
            every: SWEEP,
        };
        tasks.spawn("sweep", sweep.run(stop.soft.clone()));
    }

    fn serve(
        &mut self,
        tasks: &mut Tasks,
        stop: &Stop,
        consumers: Vec<(String, Arc<amqp::consumer::Health>)>,
    ) {
        let Some(listener) = self.http.take() else { return };
        let metrics = self.metrics.clone();
        let health = Arc::clone(&self.health);
        let pages = crate::http::Pages {
            health: Arc::clone(&self.health),
            connections: Arc::new(move || consumers.iter().map(connection).collect()),
            metrics: Arc::new(move || {
                health.tell_ages();
                metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()
            }),
        };
        let soft = stop.soft.clone();
        tasks.spawn("http", crate::http::serve(listener, pages, soft.cancelled_owned()));
    }
}

/// Reads the mappings again when SIGHUP comes, and stops when SIGTERM or SIGINT comes. A new
/// mapping with a mistake is refused, and the one in force stays.
pub async fn obey(
    mut signals: Signals,
    settings: Settings,
    transforms: Arc<Transforms>,
    stop: Stop,
) {
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = stop.hard.cancelled() => return,
        };
        match asked {
            Asked::Reload => reload(&settings, &transforms),
            Asked::Stop if stop.soft.is_cancelled() => {
                tracing::warn!("asked to stop twice; what is under way is cut short");
                stop.hard.cancel();
            }
            Asked::Stop => {
                tracing::info!("asked to stop; what is under way is finished first");
                stop.soft.cancel();
            }
        }
    }
}

fn reload(settings: &Settings, transforms: &Transforms) {
    match catalog(settings) {
        Ok(catalog) => {
            let new = catalog.digest().to_owned();
            let old = transforms.swap(catalog);
            tracing::info!(before = old.digest(), now = new, "the mappings were read again");
        }
        Err(error) => {
            tracing::error!(
                now = transforms.current().digest(),
                "the mappings were not taken, those before stay in force: {error}"
            );
            if let StartError::Mappings(errors) = &error {
                errors.problems.iter().for_each(|problem| tracing::error!("{problem}"));
            }
        }
    }
}

/// How a consumer stands.
fn connection((name, health): &(String, Arc<amqp::consumer::Health>)) -> Check {
    let facts = health.facts();
    let mut detail = match facts.standby {
        Some(count) => format!("standby: another consumer is active; {count} messages wait"),
        None => format!("connected, generation {}", facts.generation),
    };
    if facts.read_with_care > 0 {
        let (count, unreadable) = (facts.read_with_care, facts.unreadable);
        detail = format!("{detail}; read with care: {count}, of them unreadable: {unreadable}");
    }
    if let Some(why) = &facts.careful {
        detail = format!("{detail}; reading with care now: {why}");
    }
    // Connected and in trouble: the store refuses what arrives.
    let trouble = facts.trouble.or_else(|| {
        let undelivered =
            |count| format!("{count} messages wait, and the broker delivers none here");
        facts.undelivered.map(undelivered)
    });
    let ok = facts.connected_since.is_some() && trouble.is_none();
    let detail = trouble.unwrap_or(if ok { detail } else { "not connected yet".to_owned() });
    Check { name: name.clone(), ok, detail }
}

/// Takes the address of the settings. One that nobody chose may be taken by another bridge on this
/// machine; then any free port will do.
async fn listener(http: &Http) -> Result<Option<TcpListener>, StartError> {
    let listen = http.listen.as_str();
    if listen.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = listen.parse().map_err(|_| {
        StartError::Http(format!("found '{listen}', expected an address such as 127.0.0.1:9420"))
    })?;
    let bound = match crate::http::bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse && *http == Http::default() => {
            crate::http::bind(SocketAddr::new(address.ip(), 0)).await
        }
        bound => bound,
    };
    bound.map(Some).map_err(|error| StartError::Http(format!("listen on {listen}: {error}")))
}
