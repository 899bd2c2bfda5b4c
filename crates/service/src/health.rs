//! Whether a process is alive, ready and well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a part may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer is good for: anybody may ask, and asking must not become a load.
const REPORT_GOOD_FOR: Duration = Duration::from_millis(500);

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It answers, and its parts are not there yet.
    Starting,
    /// It works.
    Ready,
    /// It finishes what it has begun; send it nothing more.
    Stopping,
}

/// Asks a part whether it is well; the error is logged, not shown.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the parts said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where the process is in its life.
    pub phase: Phase,
    /// Each part by name, and whether it is up.
    pub parts: BTreeMap<&'static str, bool>,
}

impl Report {
    /// Whether the process works and all of its parts are up.
    pub fn is_well(&self) -> bool {
        self.phase == Phase::Ready && self.parts.values().all(|up| *up)
    }
}

/// The health of a process. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    phase: RwLock<Phase>,
    checks: RwLock<Vec<(&'static str, Check)>>,
    last: Mutex<Option<(Instant, Report)>>,
    /// What was wrong with each part when it was last asked: told once, however often somebody asks.
    problems: RwLock<BTreeMap<&'static str, String>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner {
            phase: RwLock::new(Phase::Starting),
            checks: RwLock::default(),
            last: Mutex::default(),
            problems: RwLock::default(),
        }))
    }
}

impl Health {
    /// A process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the process is in its life.
    pub fn phase(&self) -> Phase {
        *self.0.phase.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on.
    pub fn set_phase(&self, phase: Phase) {
        *self.0.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Adds a part, or replaces the one of that name.
    pub fn watch(&self, name: &'static str, check: Check) {
        let mut checks = self.0.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|(known, _)| *known != name);
        checks.push((name, check));
    }

    /// Asks all parts, at most every half second. A part that does not answer in time is down.
    pub async fn report(&self) -> Report {
        let mut last = self.0.last.lock().await;
        let phase = self.phase();
        if let Some((at, report)) = &*last
            && at.elapsed() < REPORT_GOOD_FOR
            && report.phase == phase
        {
            return report.clone();
        }
        let checks = self.0.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = checks.into_iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
            let problem = match answer {
                Ok(Ok(())) => None,
                Ok(Err(problem)) => Some(problem),
                Err(_) => Some(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
            };
            (name, problem)
        });
        let answers = join_all(asked).await;
        let parts = answers.iter().map(|(name, problem)| (*name, problem.is_none())).collect();
        self.log_changes(answers);
        let report = Report { phase, parts };
        *last = Some((Instant::now(), report.clone()));
        report
    }

    fn log_changes(&self, answers: Vec<(&'static str, Option<String>)>) {
        let mut problems = self.0.problems.write().unwrap_or_else(PoisonError::into_inner);
        for (part, problem) in answers {
            match problem {
                Some(problem) if problems.get(part) == Some(&problem) => {}
                Some(problem) => {
                    tracing::warn!(part, problem, "a part of the service is down");
                    problems.insert(part, problem);
                }
                None => {
                    if problems.remove(part).is_some() {
                        tracing::info!(part, "a part of the service is up again");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: Result<(), String>) -> Check {
        Arc::new(move || {
            let answer = answer.clone();
            Box::pin(async move { answer })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_part_that_is_down_or_silent_makes_the_whole_unwell() {
        let health = Health::new();
        health.watch("engine", check(Ok(())));
        assert!(!health.report().await.is_well(), "it is starting");
        health.set_phase(Phase::Ready);
        assert!(health.report().await.is_well());
        health.watch("store", check(Err("gone".into())));
        tokio::time::advance(Duration::from_secs(1)).await;
        let report = health.report().await;
        assert_eq!((report.parts["engine"], report.parts["store"], report.is_well()), (true, false, false));
        health.watch("store", Arc::new(|| Box::pin(std::future::pending())));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!health.report().await.parts["store"]);
        health.watch("store", check(Ok(())));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(health.report().await.is_well(), "it recovers by itself");
    }
}
