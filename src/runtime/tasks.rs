//! The tasks of the bridge: started in one place, and a task that ends by itself stops the others.

use tokio::task::JoinSet;

use super::assemble::RunError;
use super::shutdown::Stop;

/// The tasks of the bridge, by name.
#[derive(Default)]
pub(super) struct Tasks(JoinSet<(&'static str, Result<(), String>)>);

impl Tasks {
    pub(super) fn spawn<E: std::fmt::Display + Send + 'static>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.0.spawn(async move { (name, task.await.map_err(|error| error.to_string())) });
    }

    /// Waits for the stop and then for every task; or for the first that ends by itself.
    pub(super) async fn wait(mut self, stop: &Stop) -> Result<(), RunError> {
        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                ended = self.0.join_next() => ended,
                () = stop.hard.cancelled() => {
                    self.0.shutdown().await;
                    return outcome;
                }
            };
            let Some(ended) = ended else { return outcome };
            let (task, why) = match ended {
                Ok((task, Ok(()))) => (task, "it returned".to_owned()),
                Ok((task, Err(why))) => (task, why),
                Err(error) => ("?", error.to_string()),
            };
            if !stop.soft.is_cancelled() {
                tracing::error!(task, "ended by itself: {why}");
                outcome = Err(RunError::Ended { task, why });
                stop.soft.cancel();
            }
        }
    }
}
