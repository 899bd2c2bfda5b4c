//! Pauses after trouble: they grow, and instances that met the same trouble do not come back together.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);

/// The pauses of one task.
pub(crate) struct Pause {
    next: Duration,
    max: Duration,
}

impl Pause {
    /// Pauses up to `max`.
    pub fn up_to(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    /// Whether the last thing went wrong, too.
    pub fn is_troubled(&self) -> bool {
        self.next > FIRST.min(self.max)
    }

    /// All is well again.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }

    /// Waits, between half of the pause and all of it; false if it is to stop.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let pause = spread(self.next);
        self.next = (self.next * 2).min(self.max.max(FIRST));
        sleep(pause, stop).await
    }
}

/// Between half of `duration` and all of it.
pub(crate) fn spread(duration: Duration) -> Duration {
    let mut byte = [0_u8];
    // Without randomness all pauses are whole.
    let share = if getrandom::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 1.0 };
    duration.mul_f64(0.5 + share / 2.0)
}

/// Sleeps; false if it is to stop.
pub(crate) async fn sleep(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_bound_and_begin_anew_when_all_is_well() {
        let (stop, mut pause) = (CancellationToken::new(), Pause::up_to(Duration::from_secs(1)));
        assert!(!pause.is_troubled());
        for bound in [0.25, 0.5, 1.0, 1.0] {
            let begun = tokio::time::Instant::now();
            assert!(pause.wait(&stop).await);
            let waited = begun.elapsed().as_secs_f64();
            assert!((bound / 2.0 - 0.001..=bound + 0.002).contains(&waited), "{waited} of {bound}");
        }
        assert!(pause.is_troubled());
        pause.reset();
        assert!(!pause.is_troubled());
        stop.cancel();
        assert!(!pause.wait(&stop).await);
    }
}
