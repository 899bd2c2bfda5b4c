//! Student's t and Fisher's F, by the incomplete beta function of `statrs`.

use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::function::beta::checked_beta_reg;

/// How likely a |t| this large is by chance, with `df` degrees of freedom.
pub(crate) fn t_two_sided(t: f64, df: f64) -> Option<f64> {
    if !t.is_finite() || df <= 0.0 {
        return None;
    }
    // I_x(df/2, 1/2) at x = df / (df + t²), which keeps its digits for tiny probabilities.
    probability(checked_beta_reg(df / 2.0, 0.5, df / (df + t * t)).ok())
}

/// How likely an F this large is by chance.
pub(crate) fn f_upper(f: f64, df1: f64, df2: f64) -> Option<f64> {
    if !f.is_finite() || f < 0.0 || df1 <= 0.0 || df2 <= 0.0 {
        return None;
    }
    probability(checked_beta_reg(df2 / 2.0, df1 / 2.0, df2 / (df2 + df1 * f)).ok())
}

/// The t that is exceeded, either way, with probability 1 - `confidence`.
pub(crate) fn t_quantile(confidence: f64, df: f64) -> Option<f64> {
    let t = StudentsT::new(0.0, 1.0, df).ok()?.inverse_cdf(f64::midpoint(1.0, confidence));
    t.is_finite().then_some(t)
}

fn probability(p: Option<f64>) -> Option<f64> {
    p.filter(|p| p.is_finite()).map(|p| p.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(seen: Option<f64>, expected: f64) {
        let seen = seen.unwrap();
        assert!((seen / expected - 1.0).abs() < 1e-9, "{seen:e} is not {expected:e}");
    }

    /// Computed with R 4.3: `2 * pt(-t, df)`, `pf(f, a, b, lower = FALSE)`, `qt(.975, df)`.
    #[test]
    fn tails_and_quantiles_are_those_of_r() {
        near(t_two_sided(2.0, 10.0), 0.073_388_034_770_740_4);
        near(t_two_sided(1.0, 1.0), 0.5);
        near(f_upper(4.0, 2.0, 2.0), 0.2);
        near(t_quantile(0.95, 1.0), 12.706_204_736_174_7);
        near(t_quantile(0.95, 30.0), 2.042_272_456_301_24);
        assert_eq!(t_two_sided(f64::INFINITY, 3.0), None);
        assert_eq!(f_upper(1.0, 0.0, 3.0), None);
        near(t_two_sided(0.0, 5.0), 1.0);
    }

    #[test]
    fn a_tiny_probability_keeps_its_digits() {
        // With two degrees of freedom the tail is 1 - t / √(t² + 2), about 1 / t².
        near(t_two_sided(1e8, 2.0), 1e-16);
    }
}
