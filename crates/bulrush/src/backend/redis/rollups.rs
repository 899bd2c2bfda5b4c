//! Roll-ups on their way to the server and back. A counter is a field of its own, `<start of the span, ms>:<counter>`, because many workers
//! add to it: `c` completed, `f` failed, `r` retried, `x` cancelled, `w0` … `w19` and `u0` … `u19` the buckets of waiting and running
//! times, `ws` and `us` their sums.

use std::collections::BTreeMap;

use super::extras::Pack;
use super::reply::{Items, strange};
use crate::model::{Histogram, Millis, Rollup};
use crate::port::Result;

/// Appends roll-ups: `[[start of the minute, {counter: n}]…]`; nothing where there are none.
pub(super) fn put(out: &mut Vec<u8>, rollups: &[Rollup]) {
    if rollups.is_empty() {
        return;
    }
    let mut pack = Pack(out);
    pack.array(rollups.len());
    for rollup in rollups {
        let counters = counters(rollup);
        pack.array(2);
        pack.number(rollup.at);
        pack.map(counters.len());
        for (name, count) in counters {
            pack.text(name.as_bytes());
            pack.number(count);
        }
    }
}

fn counters(rollup: &Rollup) -> Vec<(String, u64)> {
    let sums = [
        ("c", rollup.completed),
        ("f", rollup.failed),
        ("r", rollup.retried),
        ("x", rollup.cancelled),
        ("ws", rollup.wait.sum_ms),
        ("us", rollup.run.sum_ms),
    ];
    let mut counters: Vec<(String, u64)> = sums.map(|(name, count)| (name.to_owned(), count)).into();
    for (letter, histogram) in [('w', &rollup.wait), ('u', &rollup.run)] {
        let buckets = histogram.buckets.iter().enumerate();
        counters.extend(buckets.map(|(bucket, count)| (format!("{letter}{bucket}"), *count)));
    }
    counters.retain(|(_, count)| *count > 0);
    counters
}

/// Takes the fields of one key in.
pub(super) fn read(mut fields: Items, spans: &mut BTreeMap<Millis, Rollup>) -> Result<()> {
    while fields.len() > 0 {
        let (field, count) = (fields.text()?, fields.number()?);
        let (at, name) = field.split_once(':').ok_or_else(|| strange("a counter"))?;
        let at: Millis = at.parse().map_err(|_| strange("a counter"))?;
        let rollup = spans.entry(at).or_insert_with(|| Rollup { at, ..Rollup::default() });
        // What a later version counts besides is left out.
        if let Some(counter) = counter_mut(rollup, name) {
            *counter += count;
        }
    }
    Ok(())
}

fn counter_mut<'a>(rollup: &'a mut Rollup, name: &str) -> Option<&'a mut u64> {
    match name {
        "c" => Some(&mut rollup.completed),
        "f" => Some(&mut rollup.failed),
        "r" => Some(&mut rollup.retried),
        "x" => Some(&mut rollup.cancelled),
        _ => {
            let histogram: &mut Histogram =
                if name.starts_with('w') { &mut rollup.wait } else { &mut rollup.run };
            match name.strip_prefix(['w', 'u'])? {
                "s" => Some(&mut histogram.sum_ms),
                bucket => histogram.buckets.get_mut(bucket.parse::<usize>().ok()?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::Value;

    use super::*;

    #[test]
    fn what_is_counted_is_read_back_and_workers_add_up() {
        let mut rollup = Rollup { at: 60_000, completed: 3, cancelled: 1, ..Rollup::default() };
        rollup.wait.record(5);
        rollup.run.record(u64::from(u32::MAX));
        let field = |(name, count): (String, u64)| {
            [
                Value::BulkString(format!("60000:{name}").into_bytes()),
                Value::BulkString(count.to_string().into_bytes()),
            ]
        };
        let mut spans = BTreeMap::new();
        for _ in 0..2 {
            let mut fields: Vec<Value> = counters(&rollup).into_iter().flat_map(field).collect();
            fields.extend([Value::BulkString(b"60000:w99".to_vec()), Value::BulkString(b"7".to_vec())]);
            read(Items::of(Value::Array(fields)).expect("an array"), &mut spans).expect("it can be read");
        }
        let mut twice = rollup.clone();
        twice.merge(&rollup);
        assert_eq!(spans.into_values().collect::<Vec<_>>(), [twice]);
    }

    #[test]
    fn nothing_is_packed_as_nothing() {
        let mut out = Vec::new();
        put(&mut out, &[]);
        assert_eq!(out, b"");
        put(&mut out, &[Rollup { at: 1, failed: 2, ..Rollup::default() }]);
        assert_eq!(out, b"\x91\x92\x01\x81\xa1f\x02");
    }
}
