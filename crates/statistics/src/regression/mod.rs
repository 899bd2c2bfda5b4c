//! Ordinary least squares with errors that may be robust.

mod robust;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::StatisticsError;
use crate::describe::{is_flat, moments};
use crate::distributions::{f_upper, t_quantile, t_two_sided};
use crate::error::check_figures;
use crate::orthogonal::{Orthogonal, dot};
use crate::watch::Watch;

pub use robust::bartlett_lags;

/// A named column of figures, one for each row.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// Its figures.
    pub values: Vec<f64>,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values }
    }
}

/// How the errors of coefficients are computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Errors {
    /// As if residuals were independent and equally wide.
    #[default]
    Classical,
    /// Residuals may be wider in some rows than in others (MacKinnon and White's HC3).
    Hc3,
    /// That, and residuals of rows close to each other may be alike (Newey and West, Bartlett's weights, times n / (n - k)).
    Hac {
        /// How far apart rows may be and still be alike.
        lags: usize,
        /// Where each row stands in time, rising; a gap of rows is then a gap. None: rows are equally far apart.
        positions: Option<Vec<i64>>,
    },
}

/// How a regression is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct OlsSettings {
    /// The errors of the coefficients.
    pub errors: Errors,
    /// The confidence of intervals, above 0 and below 1.
    pub confidence: f64,
    /// How little of a column may be left, when all before it are taken out, for it to count as said by them: a share of its length.
    pub tolerance: f64,
}

impl Default for OlsSettings {
    fn default() -> Self {
        Self { errors: Errors::Classical, confidence: 0.95, tolerance: 1e-9 }
    }
}

/// Which errors stand in a regression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum ErrorsUsed {
    /// [`Errors::Classical`].
    Classical,
    /// [`Errors::Hc3`].
    Hc3,
    /// [`Errors::Hac`].
    Hac {
        /// How far apart.
        lags: usize,
    },
}

/// One coefficient. Those that have no value for the data (a probability where no residual is left) are `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coefficient {
    /// The column; `intercept` is the first.
    pub name: String,
    /// How much the target changes with one more of the column, all others the same.
    pub estimate: f64,
    /// The classical standard error.
    pub classical_error: f64,
    /// The standard error of the chosen kind; t, p and interval are made of it.
    pub error: f64,
    /// Estimate by error.
    pub t: Option<f64>,
    /// How likely an estimate this far from zero is by chance, two-sided.
    pub p: Option<f64>,
    /// The interval's lower end.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// The estimate in standard deviations of target and column.
    pub beta: Option<f64>,
    /// The share of what the other columns leave that this one explains.
    pub partial_r2: Option<f64>,
    /// How many times the other columns widen the estimate's variance; 1 is not at all, above 10 is much.
    pub vif: Option<f64>,
}

/// A test of several coefficients at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FTest {
    /// The statistic.
    pub f: f64,
    /// Degrees of freedom of what is tested.
    pub df1: usize,
    /// Those of the residuals.
    pub df2: usize,
    /// How likely it is by chance.
    pub p: Option<f64>,
}

/// A column that says nothing of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// The column.
    pub name: String,
    /// The columns that say the same together; only `intercept` where it never changes, none where it is zero throughout.
    pub said_by: Vec<String>,
}

/// A regression.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Regression {
    /// Rows.
    pub rows: usize,
    /// Rows less coefficients.
    pub residual_df: usize,
    /// The intercept and each column that is kept, in their order.
    pub coefficients: Vec<Coefficient>,
    /// Columns that were left out.
    pub dropped: Vec<Dropped>,
    /// Which errors were used.
    pub errors: ErrorsUsed,
    /// The confidence of the intervals.
    pub confidence: f64,
    /// The share of the target's variance that is explained.
    pub r2: f64,
    /// The same, with a price for each column.
    pub adjusted_r2: f64,
    /// Whether all columns together explain anything; classical.
    pub f: Option<FTest>,
    /// The standard deviation of the residuals.
    pub residual_sd: f64,
    /// The sum of their squares.
    pub residual_squares: f64,
    /// 2 where a residual says nothing of the next, towards 0 where they are alike.
    pub durbin_watson: Option<f64>,
    /// How alike the residuals of neighbours are, -1 to 1.
    pub residual_autocorrelation: Option<f64>,
    /// Belsley's condition number: above 30 some columns are nearly said by others.
    pub condition_number: Option<f64>,
    /// The residuals, in the order of the rows.
    #[serde(skip)]
    pub residuals: Vec<f64>,
}

impl Regression {
    /// The coefficient of a column, if it is kept.
    pub fn coefficient(&self, name: &str) -> Option<&Coefficient> {
        self.coefficients.iter().find(|coefficient| coefficient.name == name)
    }

    /// Whether the columns that this regression has and `without` lacks explain anything, and the share of what `without` leaves that they
    /// explain. Both are of the same rows; `without` has some of the columns. None where nothing is left to test by.
    pub fn beyond(&self, without: &Self) -> Option<(FTest, f64)> {
        let df1 = without.residual_df.checked_sub(self.residual_df).filter(|df| *df > 0)?;
        let explained = (without.residual_squares - self.residual_squares).max(0.0);
        let test = f_test(explained, df1, self.residual_squares, self.residual_df)?;
        let share = explained / without.residual_squares;
        share.is_finite().then_some((test, share))
    }
}

/// The name of the constant.
const INTERCEPT: &str = "intercept";

/// Explains `target` by a constant and `columns`, of equally many rows; rows in the order of time where errors or the Durbin-Watson statistic
/// look at neighbours.
///
/// # Errors
/// [`StatisticsError::NotANumber`] and [`StatisticsError::Length`] for a column that cannot be used, [`StatisticsError::Constant`] for a
/// target that never changes, [`StatisticsError::TooFewRows`] where rows do not outnumber coefficients,
/// [`StatisticsError::NoColumns`] where every column was left out, [`StatisticsError::Setting`].
pub fn ols(
    name: &str,
    target: &[f64],
    columns: &[Column],
    settings: &OlsSettings,
    watch: &dyn Watch,
) -> Result<Regression, StatisticsError> {
    check_input(name, target, columns, settings)?;
    let (mean, squares) = moments(target);
    if target.is_empty() || is_flat(mean, squares, target.len()) {
        return match target.first() {
            None => Err(StatisticsError::Empty { name: name.to_owned(), needed: 3 }),
            Some(value) => {
                Err(StatisticsError::Constant { name: name.to_owned(), value: *value, count: target.len() })
            }
        };
    }
    let ones = vec![1.0; target.len()];
    let mut given: Vec<&[f64]> = vec![&ones];
    given.extend(columns.iter().map(|column| column.values.as_slice()));
    let made = Orthogonal::of(&given, settings.tolerance, watch)?;
    let size = made.kept.len();
    let column_name = |place: usize| match place {
        0 => INTERCEPT,
        place => columns[place - 1].name.as_str(),
    };
    let rows = target.len();
    if rows <= size {
        let (name, columns, needed) = (name.to_owned(), columns.len(), columns.len() + 2);
        return Err(StatisticsError::TooFewRows { name, rows, columns, needed });
    }
    if size < 2 {
        return Err(StatisticsError::NoColumns { name: name.to_owned() });
    }

    // Twice, as the columns were: what the first pass lost to rounding the second one finds.
    let mut residuals = target.to_vec();
    let mut z = made.take_out(&mut residuals);
    for (z, more) in z.iter_mut().zip(made.take_out(&mut residuals)) {
        *z += more;
    }
    let scaled = made.solve(z);
    let inverse = made.inverse();
    let residual_squares = dot(&residuals, &residuals);
    let residual_df = rows - size;
    let variance = residual_squares / residual_df as f64;
    let robust = robust::variances(&settings.errors, &made, &inverse, &residuals, watch)?;
    let quantile = t_quantile(settings.confidence, residual_df as f64);

    let sd_of = |squares: f64| (squares / (rows as f64 - 1.0)).sqrt();
    let coefficients = made.kept.iter().enumerate().map(|(at, place)| {
        let scale = made.scale[at];
        let estimate = scaled[at] / scale;
        let widening = dot(&inverse[at], &inverse[at]);
        let classical_error = (variance * widening).sqrt() / scale;
        let error = robust.as_ref().map_or(classical_error, |robust| robust[at].sqrt() / scale);
        let t = Some(estimate / error).filter(|t| t.is_finite());
        let classical_t = Some(estimate / classical_error).filter(|t| t.is_finite());
        let margin = quantile.map(|quantile| quantile * error);
        let deviations = (*place > 0).then(|| moments(given[*place]).1);
        Coefficient {
            name: column_name(*place).to_owned(),
            estimate,
            classical_error,
            error,
            t,
            p: t.and_then(|t| t_two_sided(t, residual_df as f64)),
            low: margin.map(|margin| estimate - margin),
            high: margin.map(|margin| estimate + margin),
            beta: deviations.map(|own| estimate * sd_of(own) / sd_of(squares)),
            partial_r2: classical_t.filter(|_| *place > 0).map(|t| t * t / (t * t + residual_df as f64)),
            vif: deviations.map(|own| widening / (scale * scale) * own).map(|vif| vif.max(1.0)),
        }
    });
    let coefficients = coefficients.collect();
    let dropped = made.dropped.iter().map(|(place, said_by)| Dropped {
        name: column_name(*place).to_owned(),
        said_by: said_by.iter().map(|place| column_name(*place).to_owned()).collect(),
    });
    let r2 = (1.0 - residual_squares / squares).clamp(0.0, 1.0);
    let (durbin_watson, residual_autocorrelation) = neighbours(&residuals, residual_squares);
    Ok(Regression {
        rows,
        residual_df,
        coefficients,
        dropped: dropped.collect(),
        errors: match &settings.errors {
            Errors::Classical => ErrorsUsed::Classical,
            Errors::Hc3 => ErrorsUsed::Hc3,
            Errors::Hac { lags, .. } => ErrorsUsed::Hac { lags: *lags },
        },
        confidence: settings.confidence,
        r2,
        adjusted_r2: 1.0 - (1.0 - r2) * (rows as f64 - 1.0) / residual_df as f64,
        f: f_test((squares - residual_squares).max(0.0), size - 1, residual_squares, residual_df),
        residual_sd: variance.sqrt(),
        residual_squares,
        durbin_watson,
        residual_autocorrelation,
        condition_number: made.condition(watch)?,
        residuals,
    })
}

fn check_input(
    name: &str,
    target: &[f64],
    columns: &[Column],
    settings: &OlsSettings,
) -> Result<(), StatisticsError> {
    let setting = |name, value: f64, accepted| {
        Err(StatisticsError::Setting { name, value: value.to_string(), accepted })
    };
    if !(settings.confidence > 0.0 && settings.confidence < 1.0) {
        return setting("confidence", settings.confidence, "above 0 and below 1");
    }
    if !(settings.tolerance > 0.0 && settings.tolerance < 1.0) {
        return setting("tolerance", settings.tolerance, "above 0 and below 1");
    }
    if let Errors::Hac { positions: Some(positions), .. } = &settings.errors
        && (positions.len() != target.len() || !positions.is_sorted_by(|a, b| a < b))
    {
        let value = format!("{} of {} rows", positions.len(), target.len());
        let accepted = "one for each row, each above the one before";
        return Err(StatisticsError::Setting { name: "positions", value, accepted });
    }
    check_figures(name, target)?;
    for column in columns {
        if column.values.len() != target.len() {
            return Err(StatisticsError::Length {
                name: column.name.clone(),
                found: column.values.len(),
                expected: target.len(),
            });
        }
        check_figures(&column.name, &column.values)?;
    }
    Ok(())
}

fn f_test(explained: f64, df1: usize, left: f64, df2: usize) -> Option<FTest> {
    let f = explained / df1 as f64 / (left / df2 as f64);
    f.is_finite().then(|| FTest { f, df1, df2, p: f_upper(f, df1 as f64, df2 as f64) })
}

/// Durbin and Watson's statistic, and the correlation of a residual with the next.
fn neighbours(residuals: &[f64], squares: f64) -> (Option<f64>, Option<f64>) {
    let pairs = || residuals.windows(2);
    let steps: f64 = pairs().map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    let products: f64 = pairs().map(|pair| pair[1] * pair[0]).sum();
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    (finite(steps / squares), finite(products / squares))
}
