//! Logs, metrics and traces.

use std::sync::Arc;
use std::time::SystemTime;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_subscriber::EnvFilter;

use crate::bridge::trace::{NoTracer, Span, Step, TraceParent, Tracer};
use crate::config::{LogFormat, Telemetry};

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter has a mistake.
    #[error("setting telemetry.log: '{filter}' is no filter: {why}")]
    Filter { filter: String, why: String },
    /// The exporter cannot be built.
    #[error("setting telemetry.otlp_endpoint: {0}")]
    Otlp(String),
    /// Something else has set it up already.
    #[error("set up {0} twice")]
    Twice(&'static str),
}

/// The client library logs the messages it handles, payloads included, and as errors what the
/// bridge expects and tells in its own words.
const QUIET: &str = "lapin=off";

/// Sends log lines to standard error.
pub fn log(settings: &Telemetry) -> Result<(), TelemetryError> {
    let filter = format!("{QUIET},{}", settings.log);
    let filter = EnvFilter::try_new(filter).map_err(|error| TelemetryError::Filter {
        filter: settings.log.clone(),
        why: error.to_string(),
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match settings.log_format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice("logs"))
}

/// Collects metrics for `/metrics`, and describes them.
pub fn metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|_| TelemetryError::Twice("metrics"))?;
    for (name, text) in METRICS {
        if name.ends_with("_total") {
            metrics::describe_counter!(*name, *text);
        } else {
            metrics::describe_gauge!(*name, *text);
        }
    }
    Ok(handle)
}

/// Every metric and what it counts; docs/telemetry.md tabulates them.
pub const METRICS: &[(&str, &str)] = &[
    ("tieline_requests_received_total", "requests taken from the request queue, by result"),
    ("tieline_answers_received_total", "answers taken from the answer queue, by result"),
    ("tieline_messages_published_total", "messages published, by lane and result"),
    ("tieline_answers_overdue_total", "requests whose answer became overdue"),
    ("tieline_desk_total", "messages taken from the error queues, by leg and result"),
    ("tieline_read_with_care_total", "messages read one by one, by queue and result"),
    ("tieline_requests", "requests in the store, by state"),
    ("tieline_outbox", "messages that wait to be published, by lane"),
    ("tieline_errors", "error records in the store, by status"),
    ("tieline_errors_open", "open error records, by failure code"),
    ("tieline_lane_open", "1 while the other side of a lane is reachable, else 0"),
    ("tieline_fence_age_seconds", "seconds since the fence last told of all that is in the store"),
];

/// Where spans go: to a collector if one is set. The provider must be shut down at the end, so
/// that the last spans leave.
pub fn tracer(
    settings: &Telemetry,
) -> Result<(Arc<dyn Tracer>, Option<SdkTracerProvider>), TelemetryError> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok((Arc::new(NoTracer), None)) };
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .build()
        .map_err(|error| TelemetryError::Otlp(error.to_string()))?;
    let resource = Resource::builder().with_service_name(settings.service_name.clone()).build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = Otlp { tracer: provider.tracer("tieline") };
    Ok((Arc::new(tracer), Some(provider)))
}

struct Otlp {
    tracer: SdkTracer,
}

impl Tracer for Otlp {
    fn is_on(&self) -> bool {
        true
    }

    fn record(&self, span: &Span<'_>) -> TraceParent {
        let flags = if span.parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        let parent = SpanContext::new(
            TraceId::from_bytes(span.parent.trace.to_be_bytes()),
            SpanId::from_bytes(span.parent.span.to_be_bytes()),
            flags,
            true,
            TraceState::NONE,
        );
        let kind = match span.step {
            Step::ReceiveRequest | Step::ReceiveAnswer => SpanKind::Consumer,
            Step::PublishLocation | Step::PublishReply => SpanKind::Producer,
        };
        let attributes =
            span.attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
        let mut recorded = self
            .tracer
            .span_builder(span.step.as_str())
            .with_kind(kind)
            .with_start_time(SystemTime::from(span.began_at))
            .with_attributes(attributes.collect::<Vec<_>>())
            .start_with_context(&self.tracer, &Context::new().with_remote_span_context(parent));
        recorded.end();
        let context = recorded.span_context();
        TraceParent {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        }
    }
}
