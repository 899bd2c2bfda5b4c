//! Ids of schedules as clients have them: the queue's prefix, a dot, the id within the queue.

use bulrush::model::ScheduleId;
use bulrush_catalog::{Catalog, Queue};

/// As a client has it.
pub fn write(queue: &Queue, id: &ScheduleId) -> String {
    format!("{}.{id}", queue.entry().prefix)
}

/// The queue and the id within it; none for what was not written here.
pub fn read<'c>(catalog: &'c Catalog, asked: &str) -> Option<(&'c Queue, ScheduleId)> {
    let (prefix, id) = asked.split_once('.')?;
    let queue = catalog.queues().iter().find(|queue| queue.entry().prefix == prefix)?;
    Some((queue, ScheduleId::new(id).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_queue_and_no_other_text_does() {
        let catalog = Catalog::default();
        for queue in catalog.queues() {
            for text in ["nightly", "a.b~c", ".", "for.x"] {
                let id = ScheduleId::new(text).expect("a good id");
                let (found, back) = read(&catalog, &write(queue, &id)).expect("it was written here");
                assert_eq!((found.name(), &back), (queue.name(), &id));
            }
        }
        for text in ["", ".", "for", "for.", "FOR.x", "xyz.x", "for.a b", "for.a/b", "for.é"] {
            assert!(read(&catalog, text).is_none(), "{text}");
        }
        assert!(read(&catalog, &format!("for.{}", "x".repeat(129))).is_none());
    }
}
