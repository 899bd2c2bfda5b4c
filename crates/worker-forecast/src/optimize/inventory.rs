//! Order quantity, safety stock and reorder point of one product at one place.
//!
//! - Order quantity: `sqrt(2·D·S / H)`, with D units a year, S the cost of an order, H the cost of holding a unit for a year (Harris, "How
//!   Many Parts to Make at Once", 1913).
//! - Safety stock: `z · sqrt(L·σd² + d²·σL²)`, with L days of lead time, σL its deviation, d and σd mean and deviation of a day's demand, which are
//!   taken for independent of each other and from day to day (Silver, Pyke & Thomas, "Inventory and Production Management in Supply Chains",
//!   4th ed. 2017, ch. 6; King, "Crack the Code", APICS 2011).
//! - Reorder point: `d·L + safety stock`.

use jiff::civil::Date;

use crate::failure::Trouble;
use crate::series::Series;

/// Days of a year in which things are sold.
pub(super) const DAYS_A_YEAR: f64 = 365.0;

/// A product's demand, a day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Demand {
    /// The mean, more than 0.
    pub mean: f64,
    /// The standard deviation of a sample.
    pub sd: f64,
    /// Days with a value.
    pub days: usize,
    /// The first of them.
    pub from: Date,
    /// The last of them.
    pub to: Date,
    /// What is to be known of it.
    pub notes: Vec<String>,
}

/// Costs, service level and lead time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub ordering_cost: f64,
    pub holding_cost_rate: f64,
    pub service_level_z: f64,
    pub unit_cost: f64,
    pub lead_time_days: f64,
    /// None: nobody knows it, and it is taken for 0.
    pub lead_time_sd_days: Option<f64>,
    pub order_min: Option<f64>,
    pub order_multiple: Option<f64>,
}

/// How to order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    pub eoq: f64,
    pub safety_stock: f64,
    pub reorder_point: f64,
    /// Whole units and packages.
    pub order_quantity: f64,
    pub orders_per_year: f64,
    pub ordering_per_year: f64,
    pub holding_per_year: f64,
    pub notes: Vec<String>,
}

impl Demand {
    /// Mean and deviation of the days that have a value.
    ///
    /// # Errors
    /// Fewer than two days; no demand; numbers out of range.
    pub fn of(series: &Series) -> Result<Self, Trouble> {
        let metric = &series.metric;
        let (Some((&from, _)), Some((&to, _))) =
            (series.days.first_key_value(), series.days.last_key_value())
        else {
            return Err(Trouble::NoValues { id: String::new(), metric: metric.clone(), has: Vec::new() });
        };
        let days = series.days.len();
        if days < 2 {
            return Err(Trouble::FewDays { metric: metric.clone(), days, from, to });
        }
        // A value a week or a month is no day's: what is sold a day would be many times too much.
        let apart = series.days.keys().zip(series.days.keys().skip(1));
        let nearest =
            apart.filter_map(|(one, next)| Some(one.until(*next).ok()?.get_days())).min().unwrap_or(1);
        if nearest >= 7 {
            return Err(Trouble::NotDaily { metric: metric.clone(), days: nearest });
        }
        let count = days as f64;
        // Divided first: a sum of the largest numbers is no number any more.
        let mean: f64 = series.days.values().map(|value| value / count).sum();
        // An infinite variance is told below; one value of 1e200 makes one.
        let variance: f64 = series.days.values().map(|value| (value - mean).powi(2) / (count - 1.0)).sum();
        if !mean.is_finite() || !variance.is_finite() {
            return Err(Trouble::TooLarge { what: "the demand", metric: metric.clone() });
        }
        if mean <= 0.0 {
            return Err(Trouble::NoDemand { metric: metric.clone(), mean, from, to });
        }
        let span = from.until(to).map_or(0, |span| span.get_days()).unsigned_abs() as usize + 1;
        let mut notes = Vec::new();
        if span > days {
            notes.push(format!(
                "{} of the {span} days from {from} to {to} have no value and were left out; where nothing was sold, a 0 says so",
                span - days
            ));
        }
        if days < 30 {
            notes.push(format!("the demand is known of {days} days only; its variance is a guess"));
        }
        Ok(Self { mean, sd: variance.sqrt(), days, from, to, notes })
    }
}

/// What is kept for demand and deliveries that are not as expected, units.
pub(super) fn safety_stock(demand: &Demand, terms: &Terms) -> f64 {
    let of_demand = terms.lead_time_days * demand.sd.powi(2);
    let of_deliveries = (demand.mean * terms.lead_time_sd_days.unwrap_or(0.0)).powi(2);
    terms.service_level_z * (of_demand + of_deliveries).sqrt()
}

/// The share of order cycles without a shortage, of a normal distribution: 1.65 gives 0.95.
pub(super) fn service_level(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

impl Policy {
    /// How to order.
    ///
    /// # Errors
    /// What is beyond the range of numbers.
    pub fn of(demand: &Demand, terms: &Terms) -> Result<Self, &'static str> {
        let finite = |value: f64, what| if value.is_finite() { Ok(value) } else { Err(what) };
        let a_year = finite(demand.mean * DAYS_A_YEAR, "the demand of a year")?;
        let holding = terms.holding_cost_rate * terms.unit_cost;
        // Each root by itself: the product may be too large where its root is not.
        let eoq = (2.0 * a_year).sqrt() * (terms.ordering_cost / holding).sqrt();
        let eoq = finite(eoq, "the order quantity")
            .and_then(|eoq| if eoq > 0.0 { Ok(eoq) } else { Err("the order quantity") })?;
        let safety_stock = finite(safety_stock(demand, terms), "the safety stock")?;
        let reorder_point = finite(demand.mean * terms.lead_time_days + safety_stock, "the reorder point")?;
        let package = terms.order_multiple.unwrap_or(1.0);
        let least = terms.order_min.unwrap_or(0.0).max(eoq);
        // The nearest whole number of packages that is not below the least order.
        let packages =
            (eoq / package).round().max((terms.order_min.unwrap_or(0.0) / package).ceil()).max(1.0);
        let order_quantity = finite(packages * package, "the order quantity")?;
        let orders_per_year = finite(a_year / order_quantity, "the number of orders")?;
        let ordering_per_year = finite(orders_per_year * terms.ordering_cost, "the cost of ordering")?;
        let holding_per_year =
            finite((order_quantity / 2.0 + safety_stock) * holding, "the cost of holding")?;
        let mut notes = Vec::new();
        if terms.lead_time_sd_days.is_none() {
            notes.push(
                "nothing is known of how much the lead time varies, so it is taken for constant; give leadTimeSdDays".to_owned(),
            );
        }
        if least > eoq {
            notes.push(format!("the smallest order, {least}, is more than what costs least, {eoq:.2}"));
        }
        if order_quantity < demand.mean * terms.lead_time_days {
            notes.push(
                "an order is less than what is sold until it arrives: several orders are under way at once, and the reorder point counts \
                 what is on hand and on order"
                    .to_owned(),
            );
        }
        Ok(Self {
            eoq,
            safety_stock,
            reorder_point,
            order_quantity,
            orders_per_year,
            ordering_per_year,
            holding_per_year,
            notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn demand(mean: f64, sd: f64) -> Demand {
        let (from, to) = (date(2026, 1, 1), date(2026, 12, 31));
        Demand { mean, sd, days: 365, from, to, notes: Vec::new() }
    }

    fn terms() -> Terms {
        Terms {
            ordering_cost: 50.0,
            holding_cost_rate: 0.25,
            service_level_z: 1.65,
            unit_cost: 12.0,
            lead_time_days: 7.0,
            lead_time_sd_days: Some(2.0),
            order_min: None,
            order_multiple: None,
        }
    }

    fn near(value: f64, wanted: f64) {
        assert!((value - wanted).abs() <= wanted.abs() * 1e-9, "{value} is not {wanted}");
    }

    #[test]
    fn the_textbook_s_examples_come_out() {
        // Heizer, Render & Munson, Operations Management, example 12.3: D 1,000, S 10, H 0.50: 200 units, and 5 orders a year cost 50.
        let given = Terms { ordering_cost: 10.0, holding_cost_rate: 0.5, unit_cost: 1.0, ..terms() };
        let policy =
            Policy::of(&demand(1_000.0 / 365.0, 0.0), &Terms { service_level_z: 0.0, ..given }).unwrap();
        near(policy.eoq, 200.0);
        near(policy.orders_per_year, 5.0);
        near(policy.ordering_per_year, 50.0);
        near(policy.holding_per_year, 50.0);
        // The same, examples 12.15 and 12.16: demand 15 (5) and lead time 2 (0); demand 10 and lead time 6 (1.5), 90 %.
        let both =
            Terms { service_level_z: 1.28, lead_time_days: 2.0, lead_time_sd_days: Some(0.0), ..terms() };
        near(safety_stock(&demand(15.0, 5.0), &both), 1.28 * 5.0 * 2.0_f64.sqrt());
        let varying =
            Terms { service_level_z: 2.05, lead_time_days: 6.0, lead_time_sd_days: Some(1.5), ..terms() };
        near(safety_stock(&demand(10.0, 0.0), &varying), 2.05 * 10.0 * 1.5);
        // Both at once, example 12.17: demand 150 (16), lead time 5 (1), 95 %: 154.97 standard deviations.
        let both =
            Terms { service_level_z: 1.0, lead_time_days: 5.0, lead_time_sd_days: Some(1.0), ..terms() };
        near(safety_stock(&demand(150.0, 16.0), &both), 23_780.0_f64.sqrt());
    }

    #[test]
    fn service_levels_are_those_of_the_normal_distribution() {
        for (z, level) in [
            (0.0, 0.5),
            (1.281_551_565_544_600_4, 0.9),
            (1.644_853_626_951_472_2, 0.95),
            (2.326_347_874_040_841, 0.99),
        ] {
            near(service_level(z), level);
        }
    }

    #[test]
    fn orders_are_whole_packages_and_not_too_small() {
        let of = |order_min, order_multiple| {
            Policy::of(&demand(10.0, 2.0), &Terms { order_min, order_multiple, ..terms() }).unwrap()
        };
        let plain = of(None, None);
        near(plain.eoq, (2.0 * 3_650.0 * 50.0 / 3.0_f64).sqrt());
        assert!((plain.order_quantity - 349.0).abs() < 1e-9, "{plain:?}");
        assert!((of(None, Some(24.0)).order_quantity - 360.0).abs() < 1e-9);
        assert!((of(Some(1_000.0), Some(24.0)).order_quantity - 1_008.0).abs() < 1e-9);
        assert!(of(Some(1_000.0), None).notes.iter().any(|note| note.contains("smallest order")));
        assert!((of(None, Some(5_000.0)).order_quantity - 5_000.0).abs() < 1e-9, "one package at least");
    }

    #[test]
    fn what_has_no_demand_or_too_few_days_is_told() {
        let series = |values: &[f64]| Series {
            metric: "demand".into(),
            days: values.iter().enumerate().map(|(n, value)| (date(2026, 1, 1 + n as i8), *value)).collect(),
        };
        assert!(matches!(Demand::of(&series(&[5.0])), Err(Trouble::FewDays { days: 1, .. })));
        assert!(matches!(Demand::of(&series(&[0.0, 0.0])), Err(Trouble::NoDemand { .. })));
        let weekly = [1, 8, 15, 22].map(|day| (date(2026, 1, day), 70.0));
        let weekly = Series { metric: "demand".into(), days: weekly.into() };
        assert!(matches!(Demand::of(&weekly), Err(Trouble::NotDaily { days: 7, .. })));
        assert!(matches!(Demand::of(&series(&[-3.0, 1.0])), Err(Trouble::NoDemand { .. })));
        assert!(matches!(Demand::of(&series(&[1e200, 1.0])), Err(Trouble::TooLarge { .. })));
        let known = Demand::of(&series(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])).unwrap();
        near(known.mean, 5.0);
        near(known.sd, (32.0 / 7.0_f64).sqrt());
    }

    proptest! {
        #[test]
        fn every_number_is_one(
            mean in 1e-300..1e300_f64, sd in 0.0..1e150_f64, cost in 1e-12..1e12_f64, rate in 1e-12..100.0_f64, z in 0.0..6.0_f64,
            unit in 1e-12..1e12_f64, lead in 0.0..3_650.0_f64, lead_sd in prop::option::of(0.0..3_650.0_f64),
            least in prop::option::of(1e-12..1e12_f64), package in prop::option::of(1e-12..1e12_f64),
        ) {
            let terms = Terms {
                ordering_cost: cost, holding_cost_rate: rate, service_level_z: z, unit_cost: unit, lead_time_days: lead,
                lead_time_sd_days: lead_sd, order_min: least, order_multiple: package,
            };
            if let Ok(policy) = Policy::of(&demand(mean, sd), &terms) {
                for number in [
                    policy.eoq, policy.safety_stock, policy.reorder_point, policy.order_quantity, policy.orders_per_year,
                    policy.ordering_per_year, policy.holding_per_year,
                ] {
                    prop_assert!(number.is_finite() && number >= 0.0, "{policy:?}");
                }
                prop_assert!(policy.order_quantity > 0.0);
            }
        }
    }
}
