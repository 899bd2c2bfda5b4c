//! Who waits for what happens in a queue, whether it was made or not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::QueueName;

/// What wakes those who wait for a queue.
#[derive(Default)]
pub(super) struct Bells {
    /// There may be work.
    pub work: Notify,
    /// Workers that wait for it.
    pub idle: AtomicUsize,
    /// There are new events.
    pub events: Notify,
    /// A schedule is due sooner than the ones before.
    pub schedules: Notify,
}

impl Bells {
    /// Wakes so many workers, those who read events if there are any, and those who wait for a schedule if one is due sooner.
    pub fn ring(&self, wakes: usize, spoke: bool, sooner: bool) {
        // One stored permit is enough: who takes it and finds more than it can do passes the word on.
        for _ in 0..wakes.min(self.idle.load(Ordering::Acquire).max(1)) {
            self.work.notify_one();
        }
        if spoke {
            self.events.notify_waiters();
        }
        if sooner {
            self.schedules.notify_waiters();
        }
    }

    /// Wakes everybody.
    pub fn ring_all(&self) {
        self.work.notify_waiters();
        self.events.notify_waiters();
        self.schedules.notify_waiters();
    }
}

/// Counts a worker that waits, for as long as it does.
pub(super) struct Idle<'a>(&'a Bells);

impl<'a> Idle<'a> {
    pub fn enter(bells: &'a Bells) -> Self {
        bells.idle.fetch_add(1, Ordering::AcqRel);
        Self(bells)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Bells of queues that nobody has made and somebody waits for, with how many do. A queue that is made gets them.
#[derive(Default)]
pub(super) struct Awaited(Mutex<BTreeMap<QueueName, (Arc<Bells>, usize)>>);

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueName, (Arc<Bells>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait for a queue that is not there. Nobody may make it until this returns.
    pub fn seat(&self, queue: &QueueName) -> Seat<'_> {
        let mut awaited = self.lock();
        let (bells, seats) = awaited.entry(queue.clone()).or_default();
        *seats += 1;
        Seat { bells: bells.clone(), counted: Some((self, queue.clone())) }
    }

    /// The bells for a queue that is being made: those that somebody waits at, or new ones.
    pub fn take(&self, queue: &QueueName) -> Arc<Bells> {
        self.lock().remove(queue).map(|(bells, _)| bells).unwrap_or_default()
    }

    /// Wakes everybody.
    pub fn ring_all(&self) {
        self.lock().values().for_each(|(bells, _)| bells.ring_all());
    }

    /// Queues that somebody waits for.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }
}

/// A place to wait at. The last to leave a queue that nobody made leaves nothing behind.
pub(super) struct Seat<'a> {
    pub bells: Arc<Bells>,
    /// Where it is counted, if the queue was not there.
    counted: Option<(&'a Awaited, QueueName)>,
}

impl Seat<'_> {
    /// A place at the bells of a queue that is there.
    pub fn at(bells: Arc<Bells>) -> Self {
        Self { bells, counted: None }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let Some((awaited, queue)) = &self.counted else { return };
        let mut awaited = awaited.lock();
        // If nothing is there any more, the queue was made and has the bells.
        if let Some((_, seats)) = awaited.get_mut(queue) {
            *seats -= 1;
            if *seats == 0 {
                awaited.remove(queue);
            }
        }
    }
}
