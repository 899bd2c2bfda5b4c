//! Which columns matter: how much worse boosted trees tell the last part of the rows when a column is shuffled.

use serde::Serialize;

use crate::StatisticsError;
use crate::boost::{Boosted, Boosting, Fitted};
use crate::describe::{is_flat, moments};
use crate::error::check_figures;
use crate::random::Random;
use crate::watch::{Watch, check};

/// Fewest rows to learn from, and fewest to be scored on.
const LEARN_MIN: usize = 30;
const HOLDOUT_MIN: usize = 10;
/// Days of a week, and of 52 weeks: the same weekday a year ago.
const WEEK: i64 = 7;
const YEAR: i64 = 364;

/// What is to be explained, and by what: rows in the order of time.
#[derive(Debug, Clone, Copy)]
pub struct ImportanceData<'a> {
    /// The target's name.
    pub name: &'a str,
    /// Its figures.
    pub target: &'a [f64],
    /// The rows' days, rising.
    pub positions: &'a [i64],
    /// Columns that may matter, by name; `None` where a row has none.
    pub columns: &'a [(&'a str, &'a [Option<f64>])],
    /// Those of them that are shuffled together, too.
    pub groups: &'a [FeatureGroup],
}

/// Columns that are shuffled together, too: those that say nearly the same share their importance, and none of them alone shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureGroup {
    /// What it is called.
    pub name: String,
    /// The places of its columns.
    pub columns: Vec<usize>,
}

/// How importance is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceSettings {
    /// The share of the rows, the last ones, that is held out: 0.05 to 0.5.
    pub holdout: f64,
    /// How often each column is shuffled, from 1.
    pub repeats: usize,
    /// What the shuffling follows from.
    pub seed: u64,
    /// How the trees are grown.
    pub boosting: Boosting,
}

impl Default for ImportanceSettings {
    fn default() -> Self {
        Self { holdout: 0.2, repeats: 10, seed: 42, boosting: Boosting::default() }
    }
}

/// How well something tells the rows held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The share of their variance that it tells; below 0 it is worse than their mean.
    pub r2: f64,
    /// Its mean absolute error.
    pub mae: f64,
    /// The root of its mean squared error.
    pub rmse: f64,
}

/// How much a column, or a group, matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Importance {
    /// Its name.
    pub name: String,
    /// By how much R² falls on the rows held out when it is shuffled: the mean of the repeats.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
}

/// Which columns matter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportanceReport {
    /// Rows the trees have learned from: the first ones.
    pub learned_rows: usize,
    /// Rows they are scored on: the last ones.
    pub holdout_rows: usize,
    /// How many trees there are.
    pub trees: usize,
    /// How well they tell the rows held out.
    pub score: Score,
    /// How well the mean of what was learned from does.
    pub mean_score: Score,
    /// How well the last value known of the same weekday does; none where there is none.
    pub same_weekday_score: Option<Score>,
    /// How well the value 52 weeks earlier does; none where one of them is missing.
    pub year_ago_score: Option<Score>,
    /// Each column, the one that matters most first.
    pub features: Vec<Importance>,
    /// Each group, likewise.
    pub groups: Vec<Importance>,
}

/// Grows trees on the first rows, scores them on the last, and shuffles there one column after the other. The watch is told how many of the
/// columns and groups are done; none: the trees are grown.
///
/// # Errors
/// [`StatisticsError`] for figures, rows and settings that cannot be used.
pub fn feature_importance(
    data: &ImportanceData<'_>,
    settings: &ImportanceSettings,
    watch: &dyn Watch,
) -> Result<ImportanceReport, StatisticsError> {
    let split = check_input(data, settings)?;
    let ImportanceData { target, positions, columns, groups, .. } = *data;
    let (learned, held) = target.split_at(split);
    let first: Vec<&[Option<f64>]> = columns.iter().map(|(_, values)| &values[..split]).collect();
    let last: Vec<&[Option<f64>]> = columns.iter().map(|(_, values)| &values[split..]).collect();
    let grown = settings.boosting.fit(learned, &first, watch)?;
    let rows = grown.place(&last, watch)?;
    let said = grown.predict(&rows, watch)?;
    let score = score(held, &said);
    let steps = columns.len() + groups.len();
    watch.progress(0, steps);

    let mut shuffled = Shuffled { grown: &grown, rows, held, r2: score.r2, settings, watch };
    let mut features = Vec::with_capacity(columns.len());
    for (place, (name, _)) in columns.iter().enumerate() {
        features.push(shuffled.importance(name, &[place])?);
        watch.progress(place + 1, steps);
    }
    let mut of_groups = Vec::with_capacity(groups.len());
    for (place, group) in groups.iter().enumerate() {
        of_groups.push(shuffled.importance(&group.name, &group.columns)?);
        watch.progress(columns.len() + place + 1, steps);
    }
    for list in [&mut features, &mut of_groups] {
        list.sort_by(|a, b| b.mean.total_cmp(&a.mean).then_with(|| a.name.cmp(&b.name)));
    }
    Ok(ImportanceReport {
        learned_rows: learned.len(),
        holdout_rows: held.len(),
        trees: grown.trees(),
        score,
        mean_score: self::score(held, &vec![moments(learned).0; held.len()]),
        same_weekday_score: naive(target, positions, split, WEEK, true).map(|said| self::score(held, &said)),
        year_ago_score: naive(target, positions, split, YEAR, false).map(|said| self::score(held, &said)),
        features,
        groups: of_groups,
    })
}

/// How many rows are learned from.
fn check_input(data: &ImportanceData<'_>, settings: &ImportanceSettings) -> Result<usize, StatisticsError> {
    let ImportanceData { name, target, positions, columns, groups } = *data;
    let refuse = |name, value: String, accepted| Err(StatisticsError::Setting { name, value, accepted });
    if !(0.05..=0.5).contains(&settings.holdout) {
        return refuse("holdout", settings.holdout.to_string(), "from 0.05 to 0.5");
    }
    if settings.repeats == 0 {
        return refuse("repeats", "0".to_owned(), "at least 1");
    }
    if positions.len() != target.len() || !positions.is_sorted_by(|a, b| a < b) {
        let value = format!("{} of {} rows", positions.len(), target.len());
        return refuse("positions", value, "one for each row, each above the one before");
    }
    if let Some(place) = groups.iter().flat_map(|group| &group.columns).find(|place| **place >= columns.len())
    {
        return refuse("groups", place.to_string(), "places of columns");
    }
    check_figures(name, target)?;
    for (name, values) in columns {
        if values.len() != target.len() {
            let (name, found, expected) = ((*name).to_owned(), values.len(), target.len());
            return Err(StatisticsError::Length { name, found, expected });
        }
        let known: Vec<f64> = values.iter().copied().flatten().collect();
        check_figures(name, &known)?;
    }
    let rows = target.len();
    if rows == 0 {
        return Err(StatisticsError::Empty { name: name.to_owned(), needed: LEARN_MIN + HOLDOUT_MIN });
    }
    let flat = |values: &[f64]| {
        let (mean, squares) = moments(values);
        is_flat(mean, squares, values.len())
    };
    if flat(target) {
        return Err(StatisticsError::Constant { name: name.to_owned(), value: target[0], count: rows });
    }
    let held = ((rows as f64 * settings.holdout).ceil() as usize).max(HOLDOUT_MIN);
    if rows < held + LEARN_MIN {
        let needed =
            ((LEARN_MIN as f64 / (1.0 - settings.holdout)).ceil() as usize).max(LEARN_MIN + HOLDOUT_MIN);
        let (name, columns) = (name.to_owned(), columns.len());
        return Err(StatisticsError::TooFewRows { name, rows, columns, needed });
    }
    let split = rows - held;
    if flat(&target[split..]) {
        let (name, value) = (name.to_owned(), target[split]);
        return Err(StatisticsError::ConstantHoldout { name, value, count: held });
    }
    if columns.is_empty() {
        return Err(StatisticsError::NoColumns { name: name.to_owned() });
    }
    Ok(split)
}

struct Shuffled<'a> {
    grown: &'a Boosted,
    rows: Fitted,
    held: &'a [f64],
    r2: f64,
    settings: &'a ImportanceSettings,
    watch: &'a dyn Watch,
}

impl Shuffled<'_> {
    /// Shuffles columns, all in the same order, again and again. The order follows from the seed and the repeat alone, so that a column's
    /// importance does not depend on which others there are.
    fn importance(&mut self, name: &str, columns: &[usize]) -> Result<Importance, StatisticsError> {
        let mut random = Random::new(self.settings.seed);
        let mut order: Vec<usize> = (0..self.held.len()).collect();
        let kept: Vec<Vec<u8>> = columns.iter().map(|column| self.rows.columns[*column].clone()).collect();
        let mut falls = Vec::with_capacity(self.settings.repeats);
        for _ in 0..self.settings.repeats {
            check(self.watch)?;
            random.shuffle(&mut order);
            for (column, kept) in columns.iter().zip(&kept) {
                self.rows.columns[*column] = order.iter().map(|row| kept[*row]).collect();
            }
            let said = self.grown.predict(&self.rows, self.watch)?;
            falls.push(self.r2 - score(self.held, &said).r2);
        }
        for (column, kept) in columns.iter().zip(kept) {
            self.rows.columns[*column] = kept;
        }
        let (mean, squares) = moments(&falls);
        Ok(Importance { name: name.to_owned(), mean, sd: (squares / falls.len() as f64).sqrt() })
    }
}

/// The last value of the same place in the period that was learned from; `may_repeat` says whether it may be several periods back.
fn naive(target: &[f64], positions: &[i64], split: usize, period: i64, may_repeat: bool) -> Option<Vec<f64>> {
    let known = &positions[..split];
    let of_row = |at: &i64| {
        let mut wanted = at.checked_sub(period)?;
        loop {
            // Where the period before is held out as well, the one before that.
            match known.binary_search(&wanted) {
                Ok(place) => return Some(target[place]),
                Err(_) if may_repeat && wanted >= *known.first()? => wanted -= period,
                Err(_) => return None,
            }
        }
    };
    positions[split..].iter().map(of_row).collect()
}

fn score(actual: &[f64], said: &[f64]) -> Score {
    let n = actual.len().max(1) as f64;
    let squares: f64 = actual.iter().zip(said).map(|(actual, said)| (actual - said).powi(2)).sum();
    let sizes: f64 = actual.iter().zip(said).map(|(actual, said)| (actual - said).abs()).sum();
    Score { r2: 1.0 - squares / moments(actual).1, mae: sizes / n, rmse: (squares / n).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> f64 {
        ((n as f64 * 12.9898).sin() * 43_758.545_3).fract()
    }

    fn some(count: usize, value: impl Fn(usize) -> f64) -> Vec<Option<f64>> {
        (0..count).map(|n| Some(value(n))).collect()
    }

    fn days(count: usize) -> Vec<i64> {
        (0..count as i64).collect()
    }

    fn run(target: &[f64], columns: &[(&str, &[Option<f64>])]) -> Result<ImportanceReport, StatisticsError> {
        let groups = [FeatureGroup { name: "all".into(), columns: (0..columns.len()).collect() }];
        let positions = days(target.len());
        let data = ImportanceData { name: "price", target, positions: &positions, columns, groups: &groups };
        feature_importance(&data, &ImportanceSettings::default(), &())
    }

    #[test]
    fn what_moves_the_target_matters_in_its_order_and_noise_does_not() {
        let strong = some(500, noise);
        let weak = some(500, |n| noise(n * 3 + 1));
        let idle = some(500, |n| noise(n * 5 + 2));
        let target: Vec<f64> = (0..500)
            .map(|n| 10.0 * strong[n].unwrap() + 3.0 * weak[n].unwrap() + 0.2 * noise(n * 7))
            .collect();
        let seen = run(&target, &[("idle", &idle), ("weak", &weak), ("strong", &strong)]).unwrap();
        let names: Vec<&str> = seen.features.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["strong", "weak", "idle"], "{seen:?}");
        assert!(seen.score.r2 > 0.9 && seen.features[2].mean.abs() < 0.02, "{seen:?}");
        assert!(seen.groups[0].mean > seen.features[0].mean && seen.features[0].sd > 0.0, "{seen:?}");
        assert!(seen.mean_score.r2 < 0.1 && seen.mean_score.rmse > 3.0 * seen.score.rmse, "{seen:?}");
        assert_eq!((seen.learned_rows, seen.holdout_rows), (400, 100));
        assert_eq!(run(&target, &[("idle", &idle), ("weak", &weak), ("strong", &strong)]).unwrap(), seen);
    }

    #[test]
    fn a_column_s_importance_does_not_depend_on_the_place_it_has() {
        let (a, b) = (some(200, noise), some(200, |n| noise(n * 3 + 1)));
        let target: Vec<f64> = (0..200).map(|n| 5.0 * a[n].unwrap() + b[n].unwrap()).collect();
        let one = run(&target, &[("a", &a), ("b", &b)]).unwrap();
        let other = run(&target, &[("b", &b), ("a", &a)]).unwrap();
        assert_eq!(one.features, other.features);
    }

    #[test]
    fn the_naive_ways_are_right_about_what_comes_back() {
        let column = some(900, noise);
        let target: Vec<f64> = (0..900).map(|n| f64::from(n % 7)).collect();
        let seen = run(&target, &[("x", &column)]).unwrap();
        assert_eq!(seen.same_weekday_score.unwrap(), Score { r2: 1.0, mae: 0.0, rmse: 0.0 });
        assert_eq!(seen.year_ago_score.unwrap().rmse, 0.0);
        let short = run(&target[..100], &[("x", &column[..100])]).unwrap();
        assert!(short.same_weekday_score.is_some() && short.year_ago_score.is_none());
    }

    /// Says yes from one question on, and counts them.
    struct After(std::sync::atomic::AtomicUsize, usize);

    impl Watch for After {
        fn is_cancelled(&self) -> bool {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= self.1
        }
    }

    #[test]
    fn the_first_yes_ends_it_wherever_it_is_and_it_asks_all_along() {
        let (a, b) = (some(300, noise), some(300, |n| noise(n * 3 + 1)));
        let target: Vec<f64> = (0..300).map(|n| 5.0 * a[n].unwrap() + b[n].unwrap()).collect();
        let (positions, settings) = (days(300), ImportanceSettings::default());
        let columns: [(&str, &[Option<f64>]); 2] = [("a", &a), ("b", &b)];
        let data = ImportanceData {
            name: "price",
            target: &target,
            positions: &positions,
            columns: &columns,
            groups: &[],
        };
        let run = |after| {
            let watch = After(0.into(), after);
            let ended = feature_importance(&data, &settings, &watch).map(|_| ());
            (ended, watch.0.into_inner())
        };
        let (whole, asked) = run(usize::MAX);
        assert_eq!(whole, Ok(()));
        // For each tree of either fit, each of its leaves, and each tree of each shuffle.
        assert!(asked > 1_000, "{asked}");
        for after in [0, 1, 7, asked / 3, asked / 2, asked - 1] {
            assert_eq!(run(after), (Err(StatisticsError::Cancelled), after + 1));
        }
    }

    #[test]
    fn data_that_cannot_be_scored_are_refused_with_what_to_do() {
        let column = some(100, noise);
        let say = |target: &[f64]| run(target, &[("x", &column[..target.len()])]).unwrap_err().to_string();
        let target: Vec<f64> = (0..100).map(noise).collect();
        assert!(say(&[]).contains("give at least 40"), "{}", say(&[]));
        assert!(say(&target[..39]).contains("at least 40 are needed"), "{}", say(&target[..39]));
        assert!(say(&[2.5; 60]).contains("\"price\" is 2.5 in all of the 60 rows"));
        let mut still = target.clone();
        still[80..].fill(7.0);
        assert!(say(&still).contains("all of the 20 rows that are held out"), "{}", say(&still));
        assert!(run(&target, &[]).unwrap_err().to_string().contains("no column"));
        let nan = some(100, |n| if n == 3 { f64::NAN } else { 0.0 });
        assert!(run(&target, &[("rain", &nan)]).unwrap_err().to_string().starts_with("value 4 of \"rain\""));
    }
}
