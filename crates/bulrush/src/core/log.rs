//! The queue's stream of events, and its roll-ups over time.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Event, EventKind, EventPage, JobId, Millis, Rollup};

/// Positions per millisecond: what a queue could at most write. Positions start from the time a queue was made or opened, and after
/// all that a store knows of, so none is ever issued twice, and a reader from before a restart is told that it has missed something.
const POSITIONS_PER_MS: u64 = 1 << 12;

/// A bounded window of events.
#[derive(Debug)]
pub(super) struct EventLog {
    events: VecDeque<Event>,
    /// Position of the last event.
    last: u64,
    /// Events after this position are in the window.
    start: u64,
    max: usize,
}

impl EventLog {
    pub fn new(now: Millis, max: usize) -> Self {
        let last = now.saturating_mul(POSITIONS_PER_MS);
        Self { events: VecDeque::new(), last, start: last, max }
    }

    /// Goes on after the positions of an earlier life. One is left out, so that who has read all of them is told of the gap too.
    pub fn follow(&mut self, last: u64) {
        self.last = self.last.max(last.saturating_add(1));
        self.start = self.last;
    }

    pub fn set_max(&mut self, max: usize) {
        if self.max == 0 && max > 0 {
            // What happened while nothing was kept counts as one lost event, so that readers learn of it.
            self.last += 1;
            self.start = self.last;
        }
        self.max = max;
        self.shrink();
    }

    pub fn is_kept(&self) -> bool {
        self.max > 0
    }

    pub fn push(&mut self, at: Millis, kind: EventKind, job: Option<JobId>, owner_hash: u64) {
        if self.max == 0 {
            return;
        }
        self.last += 1;
        self.events.push_back(Event { position: self.last, at, kind, job, owner_hash });
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.events.len() > self.max {
            if let Some(event) = self.events.pop_front() {
                self.start = event.position;
            }
        }
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// Up to `limit` events after a position. From 0 on means from the start of the window.
    pub fn after(&self, after: u64, limit: usize) -> EventPage {
        let gap = after != 0 && (after < self.start || after > self.last);
        let from = if gap { self.start } else { after.max(self.start) };
        let first = self.events.partition_point(|event| event.position <= from);
        let events: Vec<Event> = self.events.range(first..).take(limit).cloned().collect();
        let next = events.last().map_or(from, |event| event.position);
        EventPage { events, next, gap }
    }
}

/// Roll-ups by the minute (24 h) and by the hour (30 days).
#[derive(Debug, Default)]
pub(super) struct History {
    minutes: BTreeMap<Millis, Rollup>,
    hours: BTreeMap<Millis, Rollup>,
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const MINUTES_KEPT: usize = 24 * 60;
const HOURS_KEPT: usize = 30 * 24;

impl History {
    /// Adds what a worker did within a minute.
    pub fn merge(&mut self, rollup: &Rollup) {
        for (spans, span_ms, kept) in
            [(&mut self.minutes, MINUTE_MS, MINUTES_KEPT), (&mut self.hours, HOUR_MS, HOURS_KEPT)]
        {
            let at = rollup.at - rollup.at % span_ms;
            spans.entry(at).or_insert_with(|| Rollup { at, ..Rollup::default() }).merge(rollup);
            while spans.len() > kept {
                spans.pop_first();
            }
        }
    }

    /// The span that a moment falls into.
    pub fn span(&self, at: Millis, hourly: bool) -> Option<&Rollup> {
        let (spans, span_ms) = if hourly { (&self.hours, HOUR_MS) } else { (&self.minutes, MINUTE_MS) };
        spans.get(&(at - at % span_ms))
    }

    /// Spans since a moment, oldest first.
    pub fn since(&self, since: Millis, hourly: bool) -> Vec<Rollup> {
        let spans = if hourly { &self.hours } else { &self.minutes };
        spans.range(since..).map(|(_, rollup)| rollup.clone()).collect()
    }

    /// A store's word on one span.
    pub fn restore(&mut self, hourly: bool, rollup: Rollup) {
        let (spans, kept) =
            if hourly { (&mut self.hours, HOURS_KEPT) } else { (&mut self.minutes, MINUTES_KEPT) };
        spans.insert(rollup.at, rollup);
        while spans.len() > kept {
            spans.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_where_it_was_and_is_told_when_it_fell_out() {
        let mut log = EventLog::new(1_000, 3);
        let base = log.last();
        assert_eq!(log.after(0, 10), EventPage { events: vec![], next: base, gap: false });
        for _ in 0..5 {
            log.push(1_000, EventKind::Paused, None, 0);
        }
        let page = log.after(0, 2);
        assert_eq!((page.events.len(), page.gap, page.next), (2, false, base + 4));
        assert_eq!(log.after(page.next, 10).events.len(), 1);
        assert!(log.after(base + 1, 10).gap, "event 2 is gone");
        assert!(!log.after(base + 2, 10).gap, "3, 4 and 5 are there");
        assert!(log.after(base + 6, 10).gap, "a position from another life");
    }
}
