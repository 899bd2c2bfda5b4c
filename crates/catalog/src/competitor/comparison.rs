//! A price among others.

/// How prices stand to each other, and where a property's own is among them. All in millionths of one currency's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Comparison {
    /// How many there are.
    pub count: usize,
    /// The lowest.
    pub min: Option<i64>,
    /// The one in the middle; between two, their mean.
    pub median: Option<i64>,
    /// The highest.
    pub max: Option<i64>,
    /// The place of the own price, the cheapest being the first; equal prices share a place. None without others, or without one's own.
    pub rank: Option<u64>,
}

impl Comparison {
    /// Compares `prices` with each other and with `ours`.
    pub fn of(mut prices: Vec<i64>, ours: Option<i64>) -> Self {
        prices.sort_unstable();
        Self {
            count: prices.len(),
            min: prices.first().copied(),
            median: median(&prices),
            max: prices.last().copied(),
            rank: ours.and_then(|ours| rank(ours, &prices)),
        }
    }
}

fn median(sorted: &[i64]) -> Option<i64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower.midpoint(upper))
}

fn rank(ours: i64, others: &[i64]) -> Option<u64> {
    let cheaper = others.iter().filter(|other| **other < ours).count();
    (!others.is_empty()).then_some(cheaper as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_prices_is_one_of_them_or_between_two() {
        assert_eq!(Comparison::of(Vec::new(), Some(1)), Comparison::default());
        for (prices, middle) in [(vec![5], 5), (vec![3, 1], 2), (vec![9, 1, 2], 2), (vec![4, 1, 9, 2], 3)] {
            assert_eq!(Comparison::of(prices, None).median, Some(middle));
        }
        let all = Comparison::of(vec![9, 1, 2], None);
        assert_eq!((all.count, all.min, all.max, all.rank), (3, Some(1), Some(9), None));
    }

    #[test]
    fn equal_prices_share_a_place() {
        for (ours, others, place) in [(5, vec![6, 7], 1), (6, vec![7, 5, 6], 2), (9, vec![5, 6, 7], 4)] {
            assert_eq!(Comparison::of(others, Some(ours)).rank, Some(place));
        }
    }
}
