//! Health and metrics over HTTP: the only place that names axum.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::bridge::health::{Check, Health};

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// What the loops report.
    pub health: Arc<Health>,
    /// How the connections stand.
    pub connections: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Takes the address, so that a busy one is told at the start.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the stop.
pub async fn serve(
    listener: TcpListener,
    pages: Pages,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// How long a bridge may take to say how it is.
const ASK_WAIT_MAX: Duration = Duration::from_secs(2);

/// What a bridge at this address says of itself; nothing, if none answers there.
pub async fn ask(address: &str) -> Option<Vec<Check>> {
    #[derive(Deserialize)]
    struct Ready {
        checks: Vec<Check>,
    }
    // Only the first caller in a process sets it; the others find it set.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().timeout(ASK_WAIT_MAX).no_proxy().build().ok()?;
    let answer = client.get(format!("http://{address}/health/ready")).send().await.ok()?;
    Some(answer.json::<Ready>().await.ok()?.checks)
}

/// The process runs.
async fn live() -> &'static str {
    "live\n"
}

/// The bridge can take requests: the store works and the consumers are connected. A lane that is
/// out is shown and does not make it unready, because what comes in is kept.
async fn ready(State(pages): State<Pages>) -> Response {
    let checks: Vec<_> = pages.health.report().into_iter().chain((pages.connections)()).collect();
    let lane = |check: &Check| check.name.starts_with("lane ");
    let ready = checks.iter().filter(|check| !lane(check)).all(|check| check.ok);
    let status = match (ready, checks.iter().all(|check| check.ok)) {
        (true, true) => "ready",
        (true, false) => "degraded",
        (false, _) => "unready",
    };
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "status": status, "checks": checks }))).into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (pages.metrics)()).into_response()
}
