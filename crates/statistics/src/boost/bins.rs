//! A column's values as few numbers.

/// The bin of what is missing.
pub(super) const MISSING: u8 = u8::MAX;
/// Most bins of values that are there.
const BINS_MAX: usize = MISSING as usize;

/// Where the bins of a column end: bin n holds what is above `edges[n - 1]` and not above `edges[n]`.
#[derive(Debug, Clone)]
pub(super) struct Bins {
    edges: Vec<f64>,
}

impl Bins {
    /// A bin for each value where there are few, bins of about equally many rows where there are many.
    pub fn of(column: &[Option<f64>]) -> Self {
        let mut known: Vec<f64> = column.iter().copied().flatten().collect();
        known.sort_unstable_by(f64::total_cmp);
        let mut distinct = known.clone();
        distinct.dedup();
        let between = |low: f64, high: f64| {
            let middle = f64::midpoint(low, high);
            // Neighbours without a number between them.
            if middle >= high { low } else { middle }
        };
        let mut edges: Vec<f64> = if distinct.len() <= BINS_MAX {
            distinct.windows(2).map(|pair| between(pair[0], pair[1])).collect()
        } else {
            (1..BINS_MAX)
                .map(|n| {
                    let place = n * known.len() / BINS_MAX;
                    between(known[place - 1], known[place])
                })
                .collect()
        };
        edges.dedup();
        Self { edges }
    }

    /// The bin of a value.
    pub fn bin(&self, value: Option<f64>) -> u8 {
        match value {
            Some(value) => self.edges.partition_point(|edge| *edge < value) as u8,
            None => MISSING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_a_bin_each_and_others_go_to_the_nearest() {
        let bins = Bins::of(&[Some(3.0), Some(1.0), None, Some(1.0), Some(10.0)]);
        let bin = |value| bins.bin(Some(value));
        assert_eq!([bin(1.0), bin(3.0), bin(10.0)], [0, 1, 2]);
        assert_eq!([bin(-5.0), bin(2.1), bin(1e9)], [0, 1, 2]);
        assert_eq!(bins.bin(None), MISSING);
        assert_eq!(Bins::of(&[None]).bin(Some(4.0)), 0);
    }

    #[test]
    fn many_values_share_bins_of_about_the_same_size_and_none_is_that_of_what_is_missing() {
        let column: Vec<Option<f64>> = (0..10_000).map(|n| Some(f64::from(n).powi(3))).collect();
        let bins = Bins::of(&column);
        let mut counts = [0_u32; 256];
        for value in &column {
            counts[bins.bin(*value) as usize] += 1;
        }
        assert_eq!(counts[MISSING as usize], 0);
        assert!(counts[..BINS_MAX].iter().all(|count| (35..=45).contains(count)), "{counts:?}");
    }

    #[test]
    fn neighbours_without_a_number_between_them_are_still_told_apart() {
        let next = 1.0_f64.next_up();
        let bins = Bins::of(&[Some(1.0), Some(next)]);
        assert_eq!((bins.bin(Some(1.0)), bins.bin(Some(next))), (0, 1));
    }
}
