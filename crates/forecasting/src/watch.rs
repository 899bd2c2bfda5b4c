//! Who waits for a forecast: told how far it is, and asked whether it is still wanted.

/// How far a forecast is. Each stage is told once, in this order, as it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The history is checked and cleaned, its seasons are looked for.
    Preprocessing,
    /// The models are fitted and judged on parts of the history.
    Models,
    /// Their forecasts are put together.
    Ensemble,
    /// Errors and intervals are computed.
    Accuracy,
}

impl Stage {
    /// How much of a forecast job is done as this stage begins, percent.
    pub fn percent(self) -> u8 {
        match self {
            Self::Preprocessing => 20,
            Self::Models => 30,
            Self::Ensemble => 60,
            Self::Accuracy => 80,
        }
    }
}

/// Who waits for a forecast. Both are called on the thread that computes, so they must be quick.
pub trait Watch: Sync {
    /// A stage begins.
    fn stage(&self, stage: Stage);

    /// Whether nobody wants the forecast any more. Asked every few milliseconds of work; the first `true` ends the forecast with
    /// [`ForecastError::Cancelled`](crate::ForecastError::Cancelled).
    fn is_cancelled(&self) -> bool;
}

/// Nobody watches: stages are told to nobody, nothing is cancelled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn stage(&self, _: Stage) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody wants the forecast any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;

impl From<Cancelled> for crate::ForecastError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// What the computing parts see of a watch: they can ask whether to stop, and nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(pub(crate) &'a dyn Watch);

impl Stop<'_> {
    pub(crate) fn check(self) -> Result<(), Cancelled> {
        if self.0.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}
