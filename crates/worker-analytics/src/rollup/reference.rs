//! The same computed in another way: each value by itself is asked, of the rules of its zone, for the bucket that it is in.

use std::collections::BTreeMap;

use bulrush_catalog::jobs::Granularity;
use jiff::civil::{Date, Weekday};
use jiff::tz::{self, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::{fold, spans};

/// The day of a moment: the latest that the calendar has shown by then. It shows an earlier one only for the hours after a clock was set
/// back over midnight.
fn day_of(zone: &TimeZone, at: Timestamp) -> Date {
    let next = at.checked_add(1.nanosecond()).unwrap();
    let recent = zone.preceding(next).take_while(|change| change.timestamp() > at - 72.hours());
    let before = recent.map(|change| zone.to_datetime(change.timestamp() - 1.nanosecond()).date());
    before.chain([zone.to_datetime(at).date()]).max().unwrap()
}

/// What tells the bucket of a moment from all others.
fn key_of(zone: &TimeZone, granularity: Granularity, at: Timestamp) -> String {
    let day = day_of(zone, at);
    match granularity {
        Granularity::Day => day.to_string(),
        Granularity::Week => {
            let mut monday = day;
            while monday.weekday() != Weekday::Monday {
                monday = monday.yesterday().unwrap();
            }
            monday.to_string()
        }
        Granularity::Month => format!("{}-{:02}", day.year(), day.month()),
        Granularity::Hour => {
            let shown = zone.to_datetime(at);
            let since = i64::from(shown.minute()) * 60 + i64::from(shown.second());
            let full = Timestamp::from_second(at.as_second() - since).unwrap();
            let next = at.checked_add(1.nanosecond()).unwrap();
            let set = zone
                .preceding(next)
                .take_while(|change| change.timestamp() > full)
                .find(|change| zone.to_offset(change.timestamp() - 1.nanosecond()) != change.offset());
            set.map_or(full, |change| change.timestamp()).to_string()
        }
    }
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * (place - place.floor())
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn buckets_are_those_that_asking_for_each_value_gives_in_any_zone_and_range() {
    let zones: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    assert!(zones.len() > 400, "{}", zones.len());
    for seed in 0..400_u64 {
        let mut random = Random(seed);
        let name = &zones[random.below(zones.len() as u64) as usize];
        let zone = TimeZone::get(name).unwrap();
        let granularity = Granularity::ALL[random.below(4) as usize].0;
        let days = random.below(if granularity == Granularity::Hour { 20 } else { 200 }) as i64;
        let mut first = Date::new(1970, 1, 2).unwrap() + (random.below(24_800) as i64).days();
        if random.below(2) == 0 {
            // Near a moment at which the clock is set, if there is one later.
            let from = first.to_zoned(TimeZone::UTC).unwrap().timestamp();
            if let Some(change) = zone
                .following(from)
                .next()
                .filter(|change| change.timestamp() < "2040-01-01T00:00Z".parse().unwrap())
            {
                first = zone.to_datetime(change.timestamp()).date()
                    - (random.below(days as u64 + 2) as i64).days();
            }
        }
        let last = first + days.days();
        let what = format!("seed {seed}: {name} {granularity:?} {first} to {last}");

        let (begin, end) = (first - 40.days(), last + 40.days());
        let begin_ms = begin.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let end_ms = end.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let step = 60_000 * (1 + random.below(if granularity == Granularity::Hour { 90 } else { 700 }));
        let mut series = Vec::new();
        let mut at = begin_ms;
        while at < end_ms {
            series.push((at, random.below(1_000_000) as f64 / 1_000.0));
            at += 1 + random.below(step) as i64;
        }

        let whole = granularity.widen(first, last);
        let mut naive: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for (ts_ms, value) in &series {
            let moment = Timestamp::from_millisecond(*ts_ms).unwrap();
            if !(whole.0..=whole.1).contains(&day_of(&zone, moment)) {
                continue;
            }
            let key = key_of(&zone, granularity, moment);
            if order.last() != Some(&key) {
                order.push(key.clone());
            }
            naive.entry(key).or_default().push(*value);
        }
        assert_eq!(order.len(), naive.len(), "{what}: a bucket comes again");

        let laid_out = spans(&zone, granularity, first, last).unwrap();
        let found = fold(series, &laid_out, usize::MAX).unwrap();
        let keys: Vec<String> = found
            .iter()
            .map(|bucket| {
                let start = Timestamp::from_millisecond(bucket.span.start_ms).unwrap();
                key_of(&zone, granularity, start)
            })
            .collect();
        assert_eq!(keys, order, "{what}");
        for (key, bucket) in keys.iter().zip(&found) {
            let values = naive.get_mut(key).unwrap();
            values.sort_by(f64::total_cmp);
            let figures = bucket.figures;
            assert_eq!(figures.count, values.len() as u64, "{what} {key}");
            assert_eq!((figures.min, figures.max), (values[0], values[values.len() - 1]), "{what} {key}");
            assert!(close(figures.sum, values.iter().sum()), "{what} {key}");
            assert!(close(figures.p50, percentile(values, 0.5)), "{what} {key}");
            assert!(close(figures.p90, percentile(values, 0.9)), "{what} {key}");
        }
    }
}
