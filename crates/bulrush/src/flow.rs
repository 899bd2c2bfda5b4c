//! Bringing what queues have to tell each other to where it belongs.
//!
//! Whoever made outbox entries delivers them at once; maintenance hands out what was left. A delivery that fails half way is
//! repeated later and harms nothing: the target knows each entry by its source, number and time.

use std::collections::BTreeMap;

use crate::model::{Bounds, CheckError, Load, QueueName};
use crate::port::{Error, Maintain, OutboxEntry, Result};

/// Delivers entries of `source`'s outbox, and what those deliveries cause in turn, and acknowledges each.
///
/// # Errors
/// The first call that failed; what was not acknowledged stays in its outbox.
pub async fn deliver(backend: &dyn Maintain, source: &QueueName, entries: Vec<OutboxEntry>) -> Result<()> {
    let mut work: Vec<(QueueName, Vec<OutboxEntry>)> = vec![(source.clone(), entries)];
    while let Some((source, entries)) = work.pop() {
        let mut by_target: BTreeMap<QueueName, Vec<OutboxEntry>> = BTreeMap::new();
        for entry in entries {
            by_target.entry(entry.target.clone()).or_default().push(entry);
        }
        for (target, entries) in by_target {
            let mut parts = split(entries);
            while let Some(mut part) = parts.pop() {
                let seqs: Vec<u64> = part.iter().map(|entry| entry.seq).collect();
                let delivered = backend.deliver(&target, &source, part.clone()).await;
                let told = match delivered {
                    Ok(caused) => {
                        if !caused.is_empty() {
                            work.push((target.clone(), caused));
                        }
                        backend.acknowledge(&source, seqs).await
                    }
                    Err(error) => Err(error),
                };
                match told {
                    Ok(()) => {}
                    // One of the two queues takes less in one call than others do.
                    Err(error) if is_too_large(&error) && part.len() > 1 => {
                        let rest = part.split_off(part.len() / 2);
                        parts.extend([rest, part]);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// Splits entries into calls within the default bounds, the first one last.
fn split(mut entries: Vec<OutboxEntry>) -> Vec<Vec<OutboxEntry>> {
    let bounds = Bounds::default();
    let mut parts = Vec::new();
    while !entries.is_empty() {
        let fits = Load::fits(&bounds, entries.iter().map(OutboxEntry::load));
        let rest = entries.split_off(fits);
        parts.push(std::mem::replace(&mut entries, rest));
    }
    parts.reverse();
    parts
}

fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Bound(bound) | Error::Check(CheckError::Bound(bound)) if bound.is_of_call())
}
