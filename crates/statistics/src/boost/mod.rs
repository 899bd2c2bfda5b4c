//! Gradient boosting of regression trees on histograms, for squared errors.
//!
//! As LightGBM and scikit-learn's `HistGradientBoostingRegressor` do it: columns become at most 255 bins, a tree grows leaf by leaf where it
//! gains most, the larger of two children has the histogram of its parent less the smaller one's. A value that is missing goes to the side
//! that gains more. How many trees there are is found on the last part of the rows, and the trees are then grown on all of them. Why not a
//! library: `docs/adr/0006-boosted-trees-of-our-own.md`.

mod bins;
mod tree;

use crate::StatisticsError;
use crate::watch::{Watch, check};

use bins::Bins;
use tree::Tree;

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boosting {
    /// Most trees.
    pub trees: usize,
    /// How much of what a tree says is believed, above 0 and at most 1.
    pub learning_rate: f64,
    /// Most leaves of a tree, from 2.
    pub leaves: usize,
    /// Fewest rows of a leaf.
    pub leaf_rows: usize,
    /// How much a leaf's value is pulled to zero, as so many rows of zero would.
    pub l2: f64,
    /// After so many trees that bring nothing on the last rows it is enough; none: all trees are grown.
    pub patience: Option<usize>,
}

impl Default for Boosting {
    fn default() -> Self {
        Self { trees: 300, learning_rate: 0.05, leaves: 15, leaf_rows: 10, l2: 1.0, patience: Some(20) }
    }
}

/// The share of the rows, the last ones, on which the number of trees is found.
const TAIL: f64 = 0.15;
/// Fewest rows for it.
const TAIL_ROWS_MIN: usize = 10;

/// Grown trees.
#[derive(Debug, Clone)]
pub struct Boosted {
    base: f64,
    trees: Vec<Tree>,
    bins: Vec<Bins>,
}

/// Rows as trees see them.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The bins of each column.
    pub(crate) columns: Vec<Vec<u8>>,
}

impl Boosting {
    /// Grows trees on `target` and `columns` of equally many rows, in the order of time; `None` in a column is a value that is missing.
    ///
    /// # Errors
    /// [`StatisticsError::Setting`] and [`StatisticsError::Cancelled`]; the caller has checked the figures.
    pub fn fit(
        &self,
        target: &[f64],
        columns: &[&[Option<f64>]],
        watch: &dyn Watch,
    ) -> Result<Boosted, StatisticsError> {
        self.check()?;
        let tail = ((target.len() as f64 * TAIL).ceil() as usize).max(TAIL_ROWS_MIN);
        let trees = match self.patience {
            Some(patience) if target.len() >= 4 * tail => {
                let head = target.len() - tail;
                let heads: Vec<&[Option<f64>]> = columns.iter().map(|column| &column[..head]).collect();
                let tails: Vec<&[Option<f64>]> = columns.iter().map(|column| &column[head..]).collect();
                let mut stop = EarlyStop::new(&target[head..], patience);
                self.grow(&target[..head], &heads, self.trees, Some((&tails, &mut stop)), watch)?;
                stop.best_trees
            }
            _ => self.trees,
        };
        self.grow(target, columns, trees, None, watch)
    }

    fn grow(
        &self,
        target: &[f64],
        columns: &[&[Option<f64>]],
        most: usize,
        mut tail: Option<(&[&[Option<f64>]], &mut EarlyStop<'_>)>,
        watch: &dyn Watch,
    ) -> Result<Boosted, StatisticsError> {
        let mut bins = Vec::with_capacity(columns.len());
        for column in columns {
            check(watch)?;
            bins.push(Bins::of(column));
        }
        let base = target.iter().sum::<f64>() / target.len().max(1) as f64;
        let mut grown = Boosted { base, trees: Vec::with_capacity(most), bins };
        let rows = grown.place(columns, watch)?;
        let tail_rows = match &tail {
            Some((columns, _)) => Some(grown.place(columns, watch)?),
            None => None,
        };
        let mut left: Vec<f64> = target.iter().map(|value| value - base).collect();
        if let Some((_, stop)) = &mut tail {
            stop.start(base);
        }
        for _ in 0..most {
            check(watch)?;
            let Some(tree) = Tree::grow(self, &rows.columns, &mut left, watch)? else { break };
            grown.trees.push(tree);
            if let (Some((_, stop)), Some(rows), Some(tree)) = (&mut tail, &tail_rows, grown.trees.last())
                && stop.is_enough(tree, rows)
            {
                break;
            }
        }
        Ok(grown)
    }

    fn check(&self) -> Result<(), StatisticsError> {
        let refuse = |name, value: String, accepted| Err(StatisticsError::Setting { name, value, accepted });
        if !(1..=10_000).contains(&self.trees) {
            return refuse("trees", self.trees.to_string(), "from 1 to 10000");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return refuse("learning_rate", self.learning_rate.to_string(), "above 0 and at most 1");
        }
        if !(2..=256).contains(&self.leaves) {
            return refuse("leaves", self.leaves.to_string(), "from 2 to 256");
        }
        if self.leaf_rows == 0 {
            return refuse("leaf_rows", "0".to_owned(), "at least 1");
        }
        if !(self.l2 >= 0.0 && self.l2.is_finite()) {
            return refuse("l2", self.l2.to_string(), "at least 0");
        }
        Ok(())
    }
}

impl Boosted {
    /// How many trees there are.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Puts rows into the bins of these trees.
    ///
    /// # Errors
    /// [`StatisticsError::Cancelled`].
    pub fn place(&self, columns: &[&[Option<f64>]], watch: &dyn Watch) -> Result<Fitted, StatisticsError> {
        let mut placed = Vec::with_capacity(columns.len());
        for (bins, column) in self.bins.iter().zip(columns) {
            check(watch)?;
            placed.push(column.iter().map(|value| bins.bin(*value)).collect());
        }
        Ok(Fitted { columns: placed })
    }

    /// What the trees say of each row.
    ///
    /// # Errors
    /// [`StatisticsError::Cancelled`].
    pub fn predict(&self, rows: &Fitted, watch: &dyn Watch) -> Result<Vec<f64>, StatisticsError> {
        let count = rows.columns.first().map_or(0, Vec::len);
        let mut said = vec![self.base; count];
        for tree in &self.trees {
            check(watch)?;
            for (row, said) in said.iter_mut().enumerate() {
                *said += tree.value(|column| rows.columns[column][row]);
            }
        }
        Ok(said)
    }
}

/// Finds after which tree the rows of the tail were told best.
struct EarlyStop<'t> {
    target: &'t [f64],
    said: Vec<f64>,
    best: f64,
    best_trees: usize,
    trees: usize,
    patience: usize,
}

impl<'t> EarlyStop<'t> {
    fn new(target: &'t [f64], patience: usize) -> Self {
        Self { target, said: Vec::new(), best: f64::INFINITY, best_trees: 1, trees: 0, patience }
    }

    fn start(&mut self, base: f64) {
        self.said = vec![base; self.target.len()];
    }

    fn is_enough(&mut self, tree: &Tree, rows: &Fitted) -> bool {
        self.trees += 1;
        let mut squares = 0.0;
        for (row, (said, target)) in self.said.iter_mut().zip(self.target).enumerate() {
            *said += tree.value(|column| rows.columns[column][row]);
            squares += (target - *said).powi(2);
        }
        if squares < self.best {
            self.best = squares;
            self.best_trees = self.trees;
        }
        self.trees - self.best_trees >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> f64 {
        ((n as f64 * 12.9898).sin() * 43_758.545_3).fract()
    }

    fn some(values: impl Iterator<Item = f64>) -> Vec<Option<f64>> {
        values.map(Some).collect()
    }

    #[test]
    fn steps_bends_and_what_goes_together_are_learned() {
        let a = some((0..600).map(|n| f64::from(n % 10)));
        let b = some((0..600).map(|n| noise(n as usize)));
        let truth = |a: f64, b: f64| if b > 0.0 { a * a } else { 20.0 - a };
        let target: Vec<f64> = a.iter().zip(&b).map(|(a, b)| truth(a.unwrap(), b.unwrap())).collect();
        let columns = [a.as_slice(), b.as_slice()];
        let grown = Boosting::default().fit(&target, &columns, &()).unwrap();
        let said = grown.predict(&grown.place(&columns, &()).unwrap(), &()).unwrap();
        let mean = target.iter().sum::<f64>() / 600.0;
        let squares = |values: &[f64]| -> f64 {
            target.iter().zip(values).map(|(target, value)| (target - value).powi(2)).sum()
        };
        assert!(1.0 - squares(&said) / squares(&[mean; 600]) > 0.99);
    }

    #[test]
    fn what_is_missing_is_a_value_of_its_own() {
        let column: Vec<Option<f64>> = (0..200).map(|n| (n % 4 != 0).then_some(noise(n))).collect();
        let target: Vec<f64> = column.iter().map(|value| if value.is_none() { 50.0 } else { 1.0 }).collect();
        let grown = Boosting::default().fit(&target, &[&column], &()).unwrap();
        let rows = grown.place(&[&[None, Some(0.2)]], &()).unwrap();
        let said = grown.predict(&rows, &()).unwrap();
        assert!((said[0] - 50.0).abs() < 1.0 && (said[1] - 1.0).abs() < 1.0, "{said:?}");
    }

    #[test]
    fn the_same_rows_make_the_same_trees_and_noise_makes_few() {
        let column = some((0..400).map(noise));
        let target: Vec<f64> = (0..400).map(|n| noise(n * 7 + 3)).collect();
        let grow = || Boosting::default().fit(&target, &[&column], &()).unwrap();
        let (first, second) = (grow(), grow());
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
        assert!(first.trees() < 60, "{}", first.trees());
    }

    #[test]
    fn a_target_or_columns_that_do_not_change_make_no_tree() {
        let column = some((0..50).map(noise));
        assert_eq!(Boosting::default().fit(&[3.0; 50], &[&column], &()).unwrap().trees(), 0);
        let target: Vec<f64> = (0..50).map(noise).collect();
        assert_eq!(Boosting::default().fit(&target, &[&[Some(1.0); 50]], &()).unwrap().trees(), 0);
        assert_eq!(Boosting::default().fit(&target, &[&[None; 50]], &()).unwrap().trees(), 0);
        assert_eq!(Boosting::default().fit(&target, &[], &()).unwrap().trees(), 0);
    }

    #[test]
    fn settings_out_of_range_are_told_and_a_cancel_is_heard() {
        let wrong = Boosting { learning_rate: f64::NAN, ..Boosting::default() };
        let error = wrong.fit(&[1.0, 2.0], &[], &()).unwrap_err();
        assert_eq!(error.to_string(), "learning_rate is NaN; it must be above 0 and at most 1");
        let flag = std::sync::atomic::AtomicBool::new(true);
        let column = some((0..50).map(noise));
        let target: Vec<f64> = (0..50).map(noise).collect();
        let error = Boosting::default().fit(&target, &[&column], &flag).unwrap_err();
        assert_eq!(error, StatisticsError::Cancelled);
    }
}
