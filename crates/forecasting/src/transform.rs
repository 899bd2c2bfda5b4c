//! The power under which a series varies alike at every level (Box & Cox 1964), of three: none, root, logarithm.

/// How values are changed before an additive model sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    Root,
    Log,
}

impl Transform {
    /// The one under which the spread of blocks of `block` values depends least on their mean: the smallest coefficient of variation of
    /// spread / mean^(1 - lambda) (Guerrero 1993). Only for positive values, and only if it is clearly better than none.
    pub(crate) fn choose(values: &[f64], block: usize) -> Self {
        let block = block.max(2);
        if values.len() < 3 * block || values.iter().any(|value| *value <= 0.0) {
            return Self::None;
        }
        let blocks: Vec<(f64, f64)> = values.rchunks_exact(block).map(mean_and_spread).collect();
        let variation = |power: f64| {
            let ratios: Vec<f64> = blocks.iter().map(|(mean, spread)| spread / mean.powf(power)).collect();
            let (mean, spread) = mean_and_spread(&ratios);
            if mean > 0.0 { spread / mean } else { f64::INFINITY }
        };
        let (none, root, log) = (variation(0.0), variation(0.5), variation(1.0));
        if root.min(log) >= 0.95 * none || !none.is_finite() {
            Self::None
        } else if log <= root {
            Self::Log
        } else {
            Self::Root
        }
    }

    /// The value as the model sees it.
    pub(crate) fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Root => value.max(0.0).sqrt(),
            // Only positive values get here; the bound is for forecasts and fills that went through rounding.
            Self::Log => value.max(f64::MIN_POSITIVE).ln(),
        }
    }

    /// The way back. The middle of the model's distribution stays its middle.
    pub(crate) fn invert(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Root => value.max(0.0).powi(2),
            Self::Log => value.min(700.0).exp(),
        }
    }

    /// How the spread of errors follows the level: with which power of it.
    pub(crate) fn spread_power(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Root => 0.5,
            Self::Log => 1.0,
        }
    }
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square =
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0);
    (mean, square.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(swing: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..120)
            .map(|t| (100.0 + f64::from(t), f64::from(t % 12) - 5.5))
            .map(|(l, s)| l + swing(l) * s)
            .collect()
    }

    #[test]
    fn a_swing_that_grows_with_the_level_wants_a_logarithm_and_a_steady_one_nothing() {
        assert_eq!(Transform::choose(&wave(|level| level * 0.05), 12), Transform::Log);
        assert_eq!(Transform::choose(&wave(|_| 5.0), 12), Transform::None);
        let negative: Vec<f64> = wave(|level| level * 0.05).iter().map(|value| value - 150.0).collect();
        assert_eq!(Transform::choose(&negative, 12), Transform::None);
        for transform in [Transform::None, Transform::Root, Transform::Log] {
            assert!((transform.invert(transform.apply(0.37)) - 0.37).abs() < 1e-12);
        }
    }
}
