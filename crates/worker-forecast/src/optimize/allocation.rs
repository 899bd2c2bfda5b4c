//! Where the units of an order go.
//!
//! Each warehouse is brought to the same number of days of supply, as far as its capacity and what it has allow: the fair share that
//! leaves the least chance of a shortage where warehouses differ in size alone (Eppen & Schrage 1981). What one cannot take goes to the others.
//! Found as water finds its level: by the level at which all that is poured in is used up.

use bulrush_catalog::jobs::WarehouseNeed;

/// What a warehouse has and needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Need {
    pub id: String,
    /// Its part of the demand, in proportion to the others'.
    pub share: Option<f64>,
    pub on_hand: f64,
    pub capacity: Option<f64>,
}

impl From<&WarehouseNeed> for Need {
    fn from(named: &WarehouseNeed) -> Self {
        let WarehouseNeed { id, share, on_hand, capacity } = named;
        Self { id: id.clone(), share: *share, on_hand: *on_hand, capacity: *capacity }
    }
}

/// What a warehouse gets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub id: String,
    /// Its part of the demand; all add up to 1.
    pub share: f64,
    pub on_hand: f64,
    /// Units of the order.
    pub quantity: f64,
}

/// An order, allocated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Allocation {
    pub places: Vec<Place>,
    /// Units that no warehouse has room for.
    pub left: f64,
}

/// Halvings of the search for the level: past the precision of any number.
const HALVINGS: usize = 200;

impl Allocation {
    /// Allocates `quantity`, a multiple of `unit`, in whole units, to warehouses that together sell `mean` a day.
    ///
    /// # Errors
    /// What is beyond the range of numbers.
    pub fn of(quantity: f64, unit: f64, mean: f64, needs: &[Need]) -> Result<Self, &'static str> {
        let shares = shares(needs);
        let room: Vec<f64> = needs
            .iter()
            .map(|need| need.capacity.map_or(f64::INFINITY, |capacity| (capacity - need.on_hand).max(0.0)))
            .collect();
        // What each takes at a level of so many days of supply.
        let at_level = |days: f64| -> Vec<f64> {
            needs
                .iter()
                .zip(&shares)
                .zip(&room)
                .map(|((need, share), room)| (days * mean * share - need.on_hand).clamp(0.0, *room))
                .collect()
        };
        let (mut low, mut high) = (0.0, 1.0);
        // One with a share and without a bound takes everything in the end; if there is none, all are full at some level.
        while at_level(high).iter().sum::<f64>() < quantity && (high * 2.0 * mean).is_finite() {
            high *= 2.0;
        }
        for _ in 0..HALVINGS {
            let middle = low + (high - low) / 2.0;
            if at_level(middle).iter().sum::<f64>() < quantity {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut exact = at_level(high);
        if exact.iter().any(|part| !part.is_finite()) {
            return Err("the allocation");
        }
        // Where those with demand are full, those without take the rest.
        let mut rest = quantity - exact.iter().sum::<f64>();
        for (part, room) in exact.iter_mut().zip(&room) {
            let more = rest.min(room - *part).max(0.0);
            *part += more;
            rest -= more;
        }
        let parts = whole(quantity, unit, &exact, &room);
        let left = quantity - parts.iter().sum::<f64>();
        let places = needs.iter().zip(shares).zip(parts).map(|((need, share), quantity)| Place {
            id: need.id.clone(),
            share,
            on_hand: need.on_hand,
            quantity,
        });
        // What is less than a unit is the rounding of sums.
        Ok(Self { places: places.collect(), left: if left < unit / 2.0 { 0.0 } else { left } })
    }
}

/// Parts of the demand that add up to 1. One that says nothing is as large as the mean of those that do.
fn shares(needs: &[Need]) -> Vec<f64> {
    let given: Vec<f64> = needs.iter().filter_map(|need| need.share).collect();
    let usual = if given.is_empty() { 1.0 } else { given.iter().sum::<f64>() / given.len() as f64 };
    let raw: Vec<f64> = needs.iter().map(|need| need.share.unwrap_or(usual)).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|share| if sum > 0.0 { share / sum } else { 1.0 / needs.len() as f64 }).collect()
}

/// Whole units by the largest remainders (Hamilton), none above its room.
fn whole(quantity: f64, unit: f64, exact: &[f64], room: &[f64]) -> Vec<f64> {
    let mut units: Vec<f64> = exact.iter().map(|part| (part / unit + 1e-9).floor()).collect();
    let mut left = (quantity / unit).round() - units.iter().sum::<f64>();
    let mut order: Vec<usize> = (0..exact.len()).collect();
    let remainder = |at: usize| exact[at] / unit - (exact[at] / unit + 1e-9).floor();
    order.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)).then(a.cmp(b)));
    // A second round: one that had no remainder may have the room that another lacks.
    for at in order.iter().chain(&order).copied() {
        if left >= 1.0 && (units[at] + 1.0) * unit <= room[at] {
            units[at] += 1.0;
            left -= 1.0;
        }
    }
    // What is left goes to whoever has room for whole packages of it, whatever its share.
    for at in order {
        let more = left.min(((room[at] - units[at] * unit) / unit).floor()).max(0.0);
        units[at] += more;
        left -= more;
    }
    units.into_iter().map(|count| count * unit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(id: &str, share: impl Into<Option<f64>>, on_hand: f64, capacity: impl Into<Option<f64>>) -> Need {
        Need { id: id.into(), share: share.into(), on_hand, capacity: capacity.into() }
    }

    fn parts(quantity: f64, unit: f64, mean: f64, needs: &[Need]) -> (Vec<i64>, i64) {
        let allocation = Allocation::of(quantity, unit, mean, needs).unwrap();
        let parts = allocation.places.iter().map(|place| place.quantity.round() as i64).collect();
        (parts, allocation.left.round() as i64)
    }

    #[test]
    fn everybody_gets_the_same_days_of_supply() {
        // Two thirds and one third of 10 a day; the level is 33 days: 220 and 110 less what is there.
        let needs = [need("north", 2.0, 20.0, None), need("south", 1.0, 10.0, None)];
        assert_eq!(parts(300.0, 1.0, 10.0, &needs), (vec![200, 100], 0));
        // One that has more than the level gets nothing, and the others share the rest.
        let needs = [need("a", 1.0, 500.0, None), need("b", 1.0, 0.0, None), need("c", 1.0, 40.0, None)];
        assert_eq!(parts(100.0, 1.0, 3.0, &needs), (vec![0, 70, 30], 0));
        // Nobody says how large they are: all alike.
        let needs = [need("a", None, 0.0, None), need("b", None, 0.0, None)];
        assert_eq!(parts(101.0, 1.0, 3.0, &needs), (vec![51, 50], 0));
    }

    #[test]
    fn what_one_has_no_room_for_goes_to_the_others_or_is_left() {
        let needs = [need("a", 1.0, 10.0, 40.0), need("b", 1.0, 0.0, None)];
        assert_eq!(parts(100.0, 1.0, 5.0, &needs), (vec![30, 70], 0));
        let needs = [need("a", 1.0, 10.0, 40.0), need("b", 1.0, 90.0, 80.0)];
        assert_eq!(parts(100.0, 1.0, 5.0, &needs), (vec![30, 0], 70));
        // One without demand takes what those with demand have no room for.
        let needs = [need("shop", 1.0, 0.0, 25.0), need("hall", 0.0, 0.0, None)];
        assert_eq!(parts(100.0, 1.0, 5.0, &needs), (vec![25, 75], 0));
    }

    #[test]
    fn packages_stay_whole() {
        let needs = [need("a", 2.0, 0.0, None), need("b", 1.0, 0.0, None)];
        assert_eq!(parts(360.0, 24.0, 10.0, &needs), (vec![240, 120], 0));
        assert_eq!(parts(48.0, 24.0, 10.0, &needs), (vec![24, 24], 0));
        // What the small ones have no room for goes to the one that has, whole package by package.
        let mut needs: Vec<Need> = (0..6).map(|n| need(&n.to_string(), None, 0.0, 20.0)).collect();
        needs.push(need("hall", None, 0.0, None));
        assert_eq!(parts(240.0, 24.0, 10.0, &needs), (vec![0, 0, 0, 0, 0, 0, 240], 0));
        // A whole package does not fit where half of one would.
        let needs = [need("a", 1.0, 0.0, 30.0), need("b", 1.0, 0.0, 30.0)];
        assert_eq!(parts(72.0, 24.0, 10.0, &needs), (vec![24, 24], 24));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_and_nobody_is_overfilled(
            quantity in 1_u32..100_000,
            unit in 1_u32..50,
            mean in 0.001..10_000.0_f64,
            needs in prop::collection::vec((prop::option::of(0.0..10.0_f64), 0.0..5_000.0_f64, prop::option::of(0.0..9_000.0_f64)), 1..20),
        ) {
            let needs: Vec<Need> = needs
                .into_iter()
                .enumerate()
                .map(|(n, (share, on_hand, capacity))| need(&n.to_string(), share, on_hand, capacity))
                .collect();
            let (unit, order) = (f64::from(unit), f64::from(quantity) * f64::from(unit));
            let allocation = Allocation::of(order, unit, mean, &needs).unwrap();
            let sum: f64 = allocation.places.iter().map(|place| place.quantity).sum();
            prop_assert!((sum + allocation.left - order).abs() < unit / 2.0, "{sum} and {} of {order}", allocation.left);
            for (place, need) in allocation.places.iter().zip(&needs) {
                let room = need.capacity.map_or(f64::INFINITY, |capacity| capacity - place.on_hand - place.quantity);
                prop_assert!(allocation.left == 0.0 || room < unit, "{} is left, and {place:?} has room", allocation.left);
                prop_assert!(place.quantity >= 0.0 && place.quantity.is_finite());
                let packages = place.quantity / unit;
                prop_assert!((packages - packages.round()).abs() < 1e-6, "{place:?}");
                if let Some(capacity) = need.capacity {
                    prop_assert!(place.quantity == 0.0 || place.on_hand + place.quantity <= capacity + 1e-6, "{place:?} in {capacity}");
                }
            }
        }
    }
}
