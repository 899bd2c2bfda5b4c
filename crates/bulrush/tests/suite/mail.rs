//! Who carries what one queue has to tell another, well or badly.

use std::collections::HashSet;

use bulrush::model::QueueName;
use bulrush::port::OutboxEntry;

use super::Rig;

/// How the outboxes are emptied. Every way must lead to the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mail {
    /// Each entry once, in order.
    Once,
    /// Each entry twice.
    Twice,
    /// The newest first.
    Reversed,
    /// Delivered, but the first acknowledgement of each is lost.
    AckLost,
    /// The first delivery of each is lost.
    Lost,
}

impl Rig {
    /// Lets maintenance hand out what is left in any outbox, and carries it until nothing is.
    pub async fn flush(&self, mail: Mail) {
        let mut seen = HashSet::new();
        for _ in 0..64 {
            // Younger entries are still in the hands of whoever made them.
            self.advance(2_000);
            let mut bag: Vec<(QueueName, OutboxEntry)> = Vec::new();
            let mut left = 0;
            for name in self.backend.queues().await.expect("queues can be listed") {
                let queue = self.queue(name.as_str());
                bag.extend(queue.maintain().await.outbox.into_iter().map(|entry| (name.clone(), entry)));
                left += queue.info().await.outbox;
            }
            if left == 0 {
                return;
            }
            if mail == Mail::Reversed {
                bag.reverse();
            }
            for (source, entry) in bag {
                let first = seen.insert((source.clone(), entry.seq));
                if first && mail == Mail::Lost {
                    continue;
                }
                for _ in 0..if mail == Mail::Twice { 2 } else { 1 } {
                    self.hand_over(&source, &entry).await;
                }
                if !(first && mail == Mail::AckLost) {
                    self.backend.acknowledge(&source, vec![entry.seq]).await.expect("can be acknowledged");
                }
            }
        }
        panic!("the outboxes never become empty");
    }

    /// Delivers one entry and leaves what follows from it to maintenance.
    pub async fn hand_over(&self, source: &QueueName, entry: &OutboxEntry) {
        self.backend.deliver(&entry.target, source, vec![entry.clone()]).await.expect("can be delivered");
    }
}
