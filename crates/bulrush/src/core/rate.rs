//! At most `max` starts in any window of `per` milliseconds, exact to the millisecond.

use std::collections::VecDeque;

use crate::model::{Millis, RateLimit};

/// Starts within the window, one entry per millisecond that saw any. Costs O(1) a batch: each entry comes and goes once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct RateWindow {
    starts: VecDeque<(Millis, u32)>,
    total: u64,
}

impl RateWindow {
    /// Forgets starts that no window ending now or later can see, and says how many more may start now.
    pub fn room(&mut self, limit: RateLimit, now: Millis) -> usize {
        while let Some((at, n)) = self.starts.front().copied() {
            // The window that ends now is (now - per, now].
            if at + limit.per_ms > now {
                break;
            }
            self.starts.pop_front();
            self.total -= u64::from(n);
        }
        usize::try_from(u64::from(limit.max).saturating_sub(self.total)).unwrap_or(usize::MAX)
    }

    /// Notes starts.
    pub fn record(&mut self, now: Millis, n: u32) {
        self.total += u64::from(n);
        match self.starts.back_mut() {
            Some((at, count)) if *at == now => *count += n,
            _ => self.starts.push_back((now, n)),
        }
    }

    /// When the next start leaves the window that ends now, if that is full.
    pub fn full_until(&self, limit: RateLimit, now: Millis) -> Option<Millis> {
        let mut total = self.total;
        for (at, n) in &self.starts {
            if at + limit.per_ms > now {
                return (total >= u64::from(limit.max)).then_some(at + limit.per_ms);
            }
            // Starts before the window are forgotten at the next take only.
            total -= u64::from(*n);
        }
        None
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (Millis, u32)> + '_ {
        self.starts.iter().copied()
    }

    /// The newest entry.
    pub fn newest(&self) -> Option<(Millis, u32)> {
        self.starts.back().copied()
    }

    /// A store's word on one entry: replaces the newest when it is of the same moment.
    pub fn restore(&mut self, at: Millis, n: u32) {
        if let Some((last, count)) = self.starts.back_mut().filter(|(last, _)| *last == at) {
            debug_assert_eq!(*last, at);
            self.total = self.total - u64::from(*count) + u64::from(n);
            *count = n;
        } else if self.starts.back().is_none_or(|(last, _)| *last < at) {
            self.starts.push_back((at, n));
            self.total += u64::from(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_any_alignment_sees_more_than_max_starts() {
        let limit = RateLimit { max: 5, per_ms: 10 };
        let mut window = RateWindow::default();
        let mut started = Vec::new();
        for now in 0..200_u64 {
            let n = window.room(limit, now).min(3 + (now % 4) as usize);
            if n > 0 {
                window.record(now, n as u32);
                started.extend(std::iter::repeat_n(now, n));
            }
        }
        for end in 0..220_u64 {
            let seen = started.iter().filter(|at| **at <= end && **at + 10 > end).count();
            assert!(seen <= 5, "{seen} starts in the window that ends at {end}");
        }
        assert!(started.len() >= 90, "the limit must be used up, not undercut: {}", started.len());
    }

    #[test]
    fn a_full_window_says_when_it_has_room_again() {
        let limit = RateLimit { max: 2, per_ms: 1_000 };
        let mut window = RateWindow::default();
        window.record(100, 1);
        assert_eq!(window.full_until(limit, 100), None);
        window.record(300, 1);
        assert_eq!((window.room(limit, 1_099), window.full_until(limit, 1_099)), (0, Some(1_100)));
        assert_eq!(
            window.full_until(limit, 1_100),
            None,
            "one of the two has left, though nobody has forgotten it yet"
        );
        assert_eq!(window.room(limit, 1_100), 1);
    }
}
