//! Progress, log lines and data of running jobs on their way to the backend. What comes while a call is under way goes with the next
//! one, and only the latest progress of each job is sent, so a handler may report as often as it likes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::context::{Run, Stop};
use crate::model::{Bounds, Load, QueueName};
use crate::port::{Backend, Error, Result, Settled, Update, UpdateChange};

/// Updates that wait to be sent, at most; beyond, new ones are dropped with a note.
const WAITING_MAX: usize = 10_000;

/// Updates of all jobs of a worker.
pub(super) struct Updates {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    state: Mutex<State>,
    /// The worker's runtime and tasks: handlers report from threads of their own too.
    runtime: Handle,
    tasks: TaskTracker,
    /// Something was sent.
    moved: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Arc<Run>, UpdateChange)>,
    under_way: bool,
    /// Updates taken in and sent so far, in the same order.
    taken: u64,
    sent: u64,
}

impl Updates {
    /// Must be called on the worker's runtime.
    pub fn new(backend: Arc<dyn Backend>, queue: QueueName, tasks: TaskTracker) -> Arc<Self> {
        let (state, runtime, moved) = (Mutex::default(), Handle::current(), Notify::new());
        Arc::new(Self { backend, queue, state, runtime, tasks, moved })
    }

    /// Takes an update in. Log lines are cut to what the default bounds take, and numbered.
    pub fn post(self: &Arc<Self>, run: &Arc<Run>, mut change: UpdateChange) {
        let lead = {
            let mut state = self.lock();
            if let UpdateChange::Log { from, lines } = &mut change {
                lines.iter_mut().for_each(fit_line);
                // Under the lock, so that the numbers rise in the order in which the lines are sent.
                *from = run.lines.fetch_add(lines.len() as u32, Ordering::Relaxed);
            }
            let is_progress = |change: &UpdateChange| matches!(change, UpdateChange::Progress(_));
            let same =
                |(other, waiting): &(Arc<Run>, UpdateChange)| Arc::ptr_eq(other, run) && is_progress(waiting);
            let older = if is_progress(&change) { state.waiting.iter().rposition(same) } else { None };
            match older {
                Some(at) => state.waiting[at].1 = change,
                None if state.waiting.len() < WAITING_MAX => {
                    state.waiting.push((run.clone(), change));
                    state.taken += 1;
                }
                None => tracing::warn!(
                    queue = %self.queue, job = %run.job.spec.id,
                    "the backend cannot keep up with log lines and progress; one was dropped"
                ),
            }
            !std::mem::replace(&mut state.under_way, true)
        };
        if lead {
            self.tasks.spawn_on(self.clone().send_all(), &self.runtime);
        }
    }

    /// Resolves when everything taken in before has been sent; what others add meanwhile is not waited for.
    pub async fn flush(&self) {
        let target = self.lock().taken;
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            {
                let state = self.lock();
                if state.sent >= target {
                    return;
                }
            }
            moved.await;
        }
    }

    /// Writes one update and tells what became of it.
    pub async fn write(&self, run: &Arc<Run>, change: UpdateChange) -> Result<Settled> {
        let update = Update { id: run.job.spec.id.clone(), token: run.job.token, change };
        let mut answers = self.backend.update(&self.queue, vec![update]).await?;
        Ok(answers.pop().unwrap_or(Settled::Unknown))
    }

    async fn send_all(self: Arc<Self>) {
        loop {
            let batch = {
                let mut state = self.lock();
                if state.waiting.is_empty() {
                    state.under_way = false;
                    return;
                }
                let loads = state.waiting.iter().map(|(_, change)| change.load());
                let fits = Load::fits(&Bounds::default(), loads);
                let rest = state.waiting.split_off(fits);
                std::mem::replace(&mut state.waiting, rest)
            };
            let n = batch.len() as u64;
            self.send(batch).await;
            self.lock().sent += n;
            self.moved.notify_waiters();
        }
    }

    async fn send(&self, batch: Vec<(Arc<Run>, UpdateChange)>) {
        let updates = |batch: &[(Arc<Run>, UpdateChange)]| -> Vec<Update> {
            let update = |(run, change): &(Arc<Run>, UpdateChange)| Update {
                id: run.job.spec.id.clone(),
                token: run.job.token,
                change: change.clone(),
            };
            batch.iter().map(update).collect()
        };
        let mut answer = self.backend.update(&self.queue, updates(&batch)).await;
        if answer.as_ref().is_err_and(Error::is_transient) {
            // Its answer may have been lost: sent again, it writes nothing twice.
            answer = self.backend.update(&self.queue, updates(&batch)).await;
        }
        match answer {
            Ok(answers) => heed(&batch, &answers),
            Err(Error::Bound(_)) if batch.len() > 1 => {
                // One that is too large must not take the others with it.
                for one in batch {
                    let one = std::slice::from_ref(&one);
                    match self.backend.update(&self.queue, updates(one)).await {
                        Ok(answers) => heed(one, &answers),
                        Err(error) => self.lament(&error),
                    }
                }
            }
            // Progress and log lines are worth telling, not worth holding a job for.
            Err(error) => self.lament(&error),
        }
    }

    fn lament(&self, error: &Error) {
        tracing::warn!(queue = %self.queue, %error, "progress or log lines could not be written");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the runs whose token was refused: somebody else may run the job.
fn heed(batch: &[(Arc<Run>, UpdateChange)], answers: &[Settled]) {
    for ((run, _), answer) in batch.iter().zip(answers) {
        if *answer != Settled::Ok {
            run.request_stop(Stop::Lost);
        }
    }
}

/// Cuts a line to what the default bounds take.
fn fit_line(line: &mut String) {
    let max = Bounds::default().log_line_bytes;
    if line.len() > max {
        line.truncate(line.floor_char_boundary(max));
    }
}
