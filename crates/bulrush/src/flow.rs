//! Bringing what queues have to tell each other to where it belongs.
//!
//! Whoever made outbox entries delivers them at once; maintenance hands out what was left. A delivery that fails half way is
//! repeated later and harms nothing: the target knows each entry by the ids in it.

use std::collections::BTreeMap;

use crate::model::QueueName;
use crate::port::{Delivery, Maintain, OutboxEntry, Result};

/// Entries of one call: well within the bound of a call's items.
const BATCH: usize = 500;

/// Delivers entries of `source`'s outbox, and what those deliveries cause in turn, and acknowledges each.
///
/// # Errors
/// The first call that failed; what was not acknowledged stays in its outbox.
pub async fn deliver(backend: &dyn Maintain, source: &QueueName, entries: Vec<OutboxEntry>) -> Result<()> {
    let mut work: Vec<(QueueName, Vec<OutboxEntry>)> = vec![(source.clone(), entries)];
    while let Some((source, entries)) = work.pop() {
        let mut by_target: BTreeMap<QueueName, (Vec<Delivery>, Vec<u64>)> = BTreeMap::new();
        for entry in entries {
            let (deliveries, seqs) = by_target.entry(entry.target).or_default();
            deliveries.push(entry.delivery);
            seqs.push(entry.seq);
        }
        for (target, (mut deliveries, mut seqs)) in by_target {
            while !deliveries.is_empty() {
                let rest = deliveries.split_off(deliveries.len().min(BATCH));
                let rest_seqs = seqs.split_off(seqs.len().min(BATCH));
                let caused = backend.deliver(&target, deliveries).await?;
                backend.acknowledge(&source, seqs).await?;
                if !caused.is_empty() {
                    work.push((target.clone(), caused));
                }
                (deliveries, seqs) = (rest, rest_seqs);
            }
        }
    }
    Ok(())
}
