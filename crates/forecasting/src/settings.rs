//! What is asked of a forecast.

use std::fmt;
use std::str::FromStr;

/// The longest horizon, steps: two years of days. What lies further away no model of a single series knows anything about.
pub const HORIZON_MAX: usize = 731;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
    /// The mean of the last values, after the season is taken out; how many of them is chosen by their errors. On the wire `ma`.
    MovingAverage,
    /// A regression on time and on the season's phases. On the wire `linear`.
    Linear,
    /// Exponential smoothing: the ETS model that fits best, and the Theta method beside it. On the wire `exp`.
    ExponentialSmoothing,
    /// Trend, seasons and remainder taken apart (MSTL) and continued each on its own; only where a season is found. On the wire `seasonal`.
    Seasonal,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::MovingAverage, Self::Linear, Self::ExponentialSmoothing, Self::Seasonal];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::MovingAverage => "ma",
            Self::Linear => "linear",
            Self::ExponentialSmoothing => "exp",
            Self::Seasonal => "seasonal",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// A name that no model has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no model {0:?}; models are ma, linear, exp and seasonal")]
pub struct UnknownModel(pub String);

impl FromStr for Model {
    type Err = UnknownModel;

    /// Reads the name on the wire.
    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::ALL.into_iter().find(|model| model.name() == name).ok_or_else(|| UnknownModel(name.to_owned()))
    }
}

/// What is asked of a forecast. The default: 30 steps, all models, values may be negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many steps ahead, 1 to [`HORIZON_MAX`].
    pub horizon: usize,
    /// Which models may take part; naming one twice changes nothing.
    pub models: Vec<Model>,
    /// Whether what is forecast cannot be negative, as demand cannot: means and intervals then end at 0.
    pub non_negative: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { horizon: 30, models: Model::ALL.to_vec(), non_negative: false }
    }
}
