//! `tieline run`: the bridge.

use std::sync::Arc;

use super::exit::{Exit, Failed};
use crate::config::Settings;
use crate::runtime::assemble::RunError;
use crate::runtime::shutdown::{Signals, Stop};
use crate::runtime::{Bridge, StartError, assemble, telemetry};

/// Runs the bridge until it is stopped.
pub(super) async fn run(settings: Settings) -> Result<Exit, Failed> {
    let signals = Signals::listen().map_err(StartError::Signals)?;
    telemetry::log(&settings.telemetry).map_err(StartError::Telemetry)?;
    let metrics = telemetry::metrics().map_err(StartError::Telemetry)?;
    let stop = Stop::default();
    let bridge = Bridge::start(&settings, Some(metrics)).await?;
    let transforms = Arc::clone(&bridge.workshop().transforms);
    let grace = settings.shutdown.grace.unsigned();
    let obeying = assemble::obey(signals, settings, transforms, stop.clone());
    let waiting = stop.clone();
    let ended = tokio::select! {
        ended = bridge.run(stop.clone()) => ended,
        () = async { tokio::join!(obeying, waiting.after(grace)); } => Ok(()),
    };
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(error @ RunError::Relieved(_)) => Err(Failed::new(
            Exit::Fence,
            error,
            "leave it stopped, if the other one is to go on; what only this store knows billing sends \
             again: docs/operations.md, \"Another bridge has taken over\"",
        )),
        Err(error) => Err(Failed::new(
            Exit::Failed,
            error,
            "the log names the cause; what was recorded is taken up again at the next start",
        )),
    }
}
