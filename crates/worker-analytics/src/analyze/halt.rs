//! Computing on a thread that may block, for a job that may be stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulrush::Context;
use bulrush_forecasting::Stage;

use super::AnalyzeError;

/// Tells the computing thread when nobody waits any more, and whoever waits how far it is.
#[derive(Clone)]
pub(super) struct Halt {
    ctx: Context,
    /// The job's future was dropped: nobody is there to take a result.
    is_dropped: Arc<AtomicBool>,
}

/// Tells so when it goes.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Halt {
    pub fn new(ctx: Context) -> Self {
        Self { ctx, is_dropped: Arc::default() }
    }

    /// Runs `compute` on a thread of its own and waits for its end, also where it was asked to stop: it looks every few milliseconds.
    pub async fn run_blocking<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Self) -> Result<T, AnalyzeError> + Send + 'static,
    ) -> Result<T, AnalyzeError> {
        let _told = OnDrop(self.is_dropped.clone());
        let halt = self.clone();
        match tokio::task::spawn_blocking(move || compute(&halt)).await {
            Ok(computed) => computed,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and the job with it.
                Err(_) => Err(AnalyzeError::Stopped),
            },
        }
    }

    /// Whether nobody waits any more.
    pub fn is_stopped(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed) || self.ctx.stop_requested().is_some()
    }

    /// An error to leave by when nobody waits any more.
    pub fn check(&self) -> Result<(), AnalyzeError> {
        if self.is_stopped() { Err(AnalyzeError::Stopped) } else { Ok(()) }
    }

    /// How far it is.
    pub fn said(&self, percent: u8, message: &str) {
        self.ctx.progress(percent, message);
    }
}

impl bulrush_statistics::Watch for Halt {
    fn is_cancelled(&self) -> bool {
        self.is_stopped()
    }

    /// From 40 to 85 %: the trees are grown, columns are shuffled one after the other.
    fn progress(&self, done: usize, of: usize) {
        let percent = u8::try_from(40 + done * 45 / of.max(1)).unwrap_or(85);
        self.said(percent, &format!("{done} of {of} columns are compared"));
    }
}

impl bulrush_forecasting::Watch for Halt {
    fn stage(&self, stage: Stage) {
        let message = match stage {
            Stage::Preprocessing => "looking for gaps and seasons",
            Stage::Models => "fitting models",
            Stage::Ensemble => "putting models together",
            Stage::Accuracy => "measuring errors",
        };
        self.said(stage.percent(), message);
    }

    fn is_cancelled(&self) -> bool {
        self.is_stopped()
    }
}
