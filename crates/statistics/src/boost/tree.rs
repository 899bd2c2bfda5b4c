//! One tree.

use super::Boosting;
use super::bins::MISSING;
use crate::StatisticsError;
use crate::watch::{Watch, check};

/// Bins of a column, the one of missing values included.
const BINS: usize = MISSING as usize + 1;
/// A gain below this share of what there is to gain is rounding.
const GAIN_MIN: f64 = 1e-12;

#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(f64),
    Split { column: usize, last_left: u8, missing_left: bool, left: usize, right: usize },
}

/// Sums of what is left of the target, and rows, of each bin.
type Histogram = Vec<(f64, u32)>;

/// The best split of a leaf.
#[derive(Debug, Clone, Copy)]
struct Split {
    gain: f64,
    column: usize,
    last_left: u8,
    missing_left: bool,
}

/// A leaf that may grow.
struct Open {
    node: usize,
    rows: Vec<u32>,
    /// Of each column.
    histograms: Vec<Histogram>,
    best: Option<Split>,
}

impl Tree {
    /// Grows a tree on what is left of the target, and takes what it says from it. None where no split gains anything.
    pub fn grow(
        how: &Boosting,
        columns: &[Vec<u8>],
        left: &mut [f64],
        watch: &dyn Watch,
    ) -> Result<Option<Self>, StatisticsError> {
        let all: Vec<u32> = (0..left.len()).map(|row| row as u32).collect();
        let least = GAIN_MIN * left.iter().map(|left| left * left).sum::<f64>();
        let histograms = histograms(columns, &all, left, watch)?;
        let best = best_split(how, &histograms, least);
        let mut open = vec![Open { node: 0, rows: all, histograms, best }];
        let mut nodes = vec![Node::Leaf(0.0)];
        while open.len() < how.leaves {
            let gain = |leaf: &Open| leaf.best.map_or(0.0, |best| best.gain);
            // Of equal gains the first leaf: the order is always the same.
            let Some(at) = (0..open.len()).reduce(|a, b| if gain(&open[b]) > gain(&open[a]) { b } else { a })
            else {
                break;
            };
            let Some(split) = open[at].best else { break };
            let leaf = open.swap_remove(at);
            let goes_left = |row: &u32| match columns[split.column][*row as usize] {
                MISSING => split.missing_left,
                bin => bin <= split.last_left,
            };
            let (to_left, to_right): (Vec<u32>, Vec<u32>) = leaf.rows.iter().partition(|row| goes_left(row));
            let (small, large) =
                if to_left.len() <= to_right.len() { (&to_left, &to_right) } else { (&to_right, &to_left) };
            debug_assert_eq!(small.len() + large.len(), leaf.rows.len());
            let of_small = self::histograms(columns, small, left, watch)?;
            let mut of_large = leaf.histograms;
            for (large, small) in of_large.iter_mut().flatten().zip(of_small.iter().flatten()) {
                large.0 -= small.0;
                large.1 -= small.1;
            }
            let (of_left, of_right) =
                if to_left.len() <= to_right.len() { (of_small, of_large) } else { (of_large, of_small) };
            let Split { column, last_left, missing_left, .. } = split;
            let children = (nodes.len(), nodes.len() + 1);
            nodes[leaf.node] =
                Node::Split { column, last_left, missing_left, left: children.0, right: children.1 };
            for (node, rows, histograms) in [(children.0, to_left, of_left), (children.1, to_right, of_right)]
            {
                nodes.push(Node::Leaf(0.0));
                let best = best_split(how, &histograms, least);
                open.push(Open { node, rows, histograms, best });
            }
        }
        if nodes.len() == 1 {
            return Ok(None);
        }
        for leaf in open {
            let sum: f64 = leaf.rows.iter().map(|row| left[*row as usize]).sum();
            let value = how.learning_rate * sum / (leaf.rows.len() as f64 + how.l2);
            nodes[leaf.node] = Node::Leaf(value);
            for row in leaf.rows {
                left[row as usize] -= value;
            }
        }
        Ok(Some(Self { nodes }))
    }

    /// What it says of a row whose bins `bin` tells by column.
    pub fn value(&self, bin: impl Fn(usize) -> u8) -> f64 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Split { column, last_left, missing_left, left, right } => {
                    let goes_left = match bin(*column) {
                        MISSING => *missing_left,
                        bin => bin <= *last_left,
                    };
                    at = if goes_left { *left } else { *right };
                }
            }
        }
    }
}

fn histograms(
    columns: &[Vec<u8>],
    rows: &[u32],
    left: &[f64],
    watch: &dyn Watch,
) -> Result<Vec<Histogram>, StatisticsError> {
    let mut made = Vec::with_capacity(columns.len());
    for column in columns {
        check(watch)?;
        let mut histogram = vec![(0.0, 0); BINS];
        for row in rows {
            let bin = &mut histogram[usize::from(column[*row as usize])];
            bin.0 += left[*row as usize];
            bin.1 += 1;
        }
        made.push(histogram);
    }
    Ok(made)
}

/// The split that gains most, if one gains more than `least` and leaves enough rows on either side. Of equal ones the first.
fn best_split(how: &Boosting, histograms: &[Histogram], least: f64) -> Option<Split> {
    let worth = |sum: f64, rows: u32| sum * sum / (f64::from(rows) + how.l2);
    let enough = |rows: u32| rows as usize >= how.leaf_rows;
    let mut best: Option<Split> = None;
    for (column, histogram) in histograms.iter().enumerate() {
        let missing = histogram[usize::from(MISSING)];
        let all = histogram.iter().fold((0.0, 0), |all, bin| (all.0 + bin.0, all.1 + bin.1));
        let whole = worth(all.0, all.1);
        let mut below = (0.0, 0_u32);
        for (bin, here) in histogram[..usize::from(MISSING)].iter().enumerate() {
            if here.1 == 0 {
                continue;
            }
            below = (below.0 + here.0, below.1 + here.1);
            let sides: &[bool] = if missing.1 > 0 { &[false, true] } else { &[false] };
            for missing_left in sides {
                let low = if *missing_left { (below.0 + missing.0, below.1 + missing.1) } else { below };
                let high = (all.0 - low.0, all.1 - low.1);
                if !enough(low.1) || !enough(high.1) {
                    continue;
                }
                let gain = worth(low.0, low.1) + worth(high.0, high.1) - whole;
                if gain > least && best.is_none_or(|best| gain > best.gain) {
                    best = Some(Split { gain, column, last_left: bin as u8, missing_left: *missing_left });
                }
            }
        }
    }
    best
}
