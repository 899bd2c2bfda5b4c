//! The queues as they are in force.

use std::collections::{BTreeMap, HashMap};

use bulrush::QueueOptions;
use bulrush::model::{GroupConfig, JobId, QueueConfig, QueueName};
use serde_json::{Map, Value};

use crate::entry::{Access, Binary, JobKind, Limits, QueueEntry};
use crate::follow_ups::{FollowUp, FollowUps};
use crate::overrides::{OverrideProblems, Overrides};
use crate::payload::{Caller, PayloadProblems, Prepared, Sealer};
use crate::queues;
use crate::suggest::nearest;

/// Longest job name, bytes.
const JOB_NAME_MAX: usize = 128;

/// All queues with the limits in force.
#[derive(Debug, Clone)]
pub struct Catalog {
    queues: Vec<Queue>,
    /// Place in `queues` by name and alias.
    by_name: HashMap<&'static str, usize>,
    by_prefix: HashMap<&'static str, usize>,
}

/// One queue with the limits in force.
#[derive(Debug, Clone)]
pub struct Queue {
    entry: &'static QueueEntry,
    name: QueueName,
    limits: Limits,
}

/// No queue has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no queue {name:?}{}; queues are {}", hint(near.as_deref()), known.join(", "))]
pub struct UnknownQueue {
    /// What was asked for, cut to 80 characters.
    pub name: String,
    /// A known name that looks like it.
    pub near: Option<String>,
    /// All names.
    pub known: Vec<&'static str>,
}

/// A queue does not run jobs of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownJob {
    /// The name is not one that a job can have.
    #[error("must have 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', the first a letter or digit")]
    NotAName,
    /// The queue runs several kinds and none was named.
    #[error("is required, as the queue runs several kinds of job: {}", known.join(", "))]
    Missing {
        /// What it runs.
        known: Vec<&'static str>,
    },
    /// The queue runs several kinds and this is none of them.
    #[error("is not a job of this queue{}; its jobs are {}", hint(near.as_deref()), known.join(", "))]
    NotHere {
        /// A known name that looks like it.
        near: Option<String>,
        /// What it runs.
        known: Vec<&'static str>,
    },
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!(", did you mean {near}?")).unwrap_or_default()
}

impl Default for Catalog {
    fn default() -> Self {
        Self::assemble(&Overrides::default(), &mut Vec::new())
    }
}

impl Catalog {
    /// The queues with settings given as names and texts: see [`Overrides`].
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn with_settings(
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OverrideProblems> {
        let overrides = Overrides::parse(settings)?;
        let mut problems = Vec::new();
        let catalog = Self::assemble(&overrides, &mut problems);
        if problems.is_empty() { Ok(catalog) } else { Err(OverrideProblems(problems)) }
    }

    fn assemble(overrides: &Overrides, problems: &mut Vec<crate::OverrideProblem>) -> Self {
        let (mut by_name, mut by_prefix) = (HashMap::new(), HashMap::new());
        let mut assembled = Vec::with_capacity(queues::ALL.len());
        for (at, entry) in queues::ALL.into_iter().enumerate() {
            by_name.insert(entry.name, at);
            by_name.extend(entry.aliases.iter().map(|alias| (alias.name, at)));
            by_prefix.insert(entry.prefix, at);
            let name = QueueName::new(entry.name)
                .unwrap_or_else(|error| unreachable!("a test checks every name of the catalogue: {error}"));
            assembled.push(Queue { entry, name, limits: overrides.apply(entry, problems) });
        }
        Self { queues: assembled, by_name, by_prefix }
    }

    /// All queues.
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// The queues that a binary runs.
    pub fn of_binary(&self, binary: Binary) -> impl Iterator<Item = &Queue> {
        self.queues.iter().filter(move |queue| queue.entry.binary == binary)
    }

    /// A queue by its name or an alias.
    ///
    /// # Errors
    /// [`UnknownQueue`] lists the names, and the one that was probably meant.
    pub fn find(&self, name: &str) -> Result<&Queue, UnknownQueue> {
        if let Some(at) = self.by_name.get(name) {
            return Ok(&self.queues[*at]);
        }
        Err(UnknownQueue {
            name: name.chars().take(80).collect(),
            near: nearest(name, self.by_name.keys().copied()).map(str::to_owned),
            known: self.queues.iter().map(|queue| queue.entry.name).collect(),
        })
    }

    /// The queue whose jobs have ids like this one, by the prefix of the id.
    pub fn of_id(&self, id: &JobId) -> Option<&Queue> {
        self.by_prefix.get(id.prefix()?).map(|at| &self.queues[*at])
    }

    /// What follows jobs of `kind`, a kind of `queue`, as the queue is set: each with its queue.
    pub fn follow_ups<'c>(
        &'c self,
        queue: &Queue,
        kind: &'static JobKind,
    ) -> impl Iterator<Item = (&'static FollowUp, &'c Queue)> {
        let wanted = queue.limits.follow_ups;
        kind.follow_ups.iter().filter_map(move |next| {
            let target = &self.queues[*self.by_name.get(next.queue)?];
            let is_processed =
                || target.entry.jobs.iter().any(|kind| kind.name == next.kind && kind.prepare.is_some());
            let follows = match wanted {
                FollowUps::All => true,
                FollowUps::Nothing => false,
                FollowUps::Processed => is_processed(),
            };
            follows.then_some((next, target))
        })
    }

    /// Settings for the engine, by queue.
    pub fn configs(&self) -> BTreeMap<QueueName, QueueConfig> {
        self.queues.iter().map(|queue| (queue.name.clone(), queue.config())).collect()
    }
}

impl Queue {
    /// What the platform ships.
    pub fn entry(&self) -> &'static QueueEntry {
        self.entry
    }

    /// Its name.
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether only administrators and the platform's own code may add to it.
    pub fn is_internal(&self) -> bool {
        self.entry.access == Access::Internal
    }

    /// The engine's settings of it.
    pub fn config(&self) -> QueueConfig {
        QueueConfig {
            rate: self.limits.rate,
            concurrency: self.limits.concurrency_global,
            retention: self.limits.retention,
            depth_max: self.limits.depth_max,
            group_default: GroupConfig {
                concurrency: self.limits.concurrency_group,
                ..GroupConfig::default()
            },
            ..QueueConfig::default()
        }
    }

    /// What its jobs get unless they say otherwise, for [`bulrush::Client::queue_with`].
    pub fn options(&self) -> QueueOptions {
        QueueOptions {
            prefix: self.entry.prefix.to_owned(),
            attempts: self.limits.attempts,
            backoff: Some(std::sync::Arc::new(self.limits.backoff.backoff())),
            timeout_ms: Some(self.limits.timeout_ms),
        }
    }

    /// The name under which a job is added and its kind. `asked` is what the client says, `via` the name by which it called the queue.
    ///
    /// A queue with one kind takes any valid name as a label; one with several must be told which, unless `via` tells.
    ///
    /// # Errors
    /// [`UnknownJob`] says what is accepted.
    pub fn job<'n>(
        &self,
        asked: Option<&'n str>,
        via: &str,
    ) -> Result<(&'n str, &'static JobKind), UnknownJob>
    where
        'static: 'n,
    {
        let kinds: &'static [JobKind] = self.entry.jobs;
        let known = || kinds.iter().map(|kind| kind.name).collect::<Vec<_>>();
        let find = |name: &str| kinds.iter().find(|kind| kind.name == name);
        let Some(name) = asked else {
            let told = self.entry.aliases.iter().find(|alias| alias.name == via).and_then(|alias| alias.job);
            return match (told.and_then(find), kinds) {
                (Some(kind), _) | (None, [kind]) => Ok((kind.name, kind)),
                (None, _) => Err(UnknownJob::Missing { known: known() }),
            };
        };
        if !is_job_name(name) {
            return Err(UnknownJob::NotAName);
        }
        match (find(name), kinds) {
            (Some(kind), _) | (None, [kind]) => Ok((name, kind)),
            (None, _) => Err(UnknownJob::NotHere {
                near: nearest(name, kinds.iter().map(|kind| kind.name)).map(str::to_owned),
                known: known(),
            }),
        }
    }

    /// Removes from a job's data what is never shown: of every kind of the queue, as a name is only a label where there is one kind.
    pub fn hide_secrets(&self, data: &mut Value) {
        if let Value::Object(fields) = data {
            for kind in self.entry.jobs {
                for name in kind.hidden {
                    if let Some(secret) = fields.get_mut(*name) {
                        *secret = Value::from("***");
                    }
                }
            }
        }
    }

    /// Whether data of this queue's jobs can hold what is never shown.
    pub fn has_secrets(&self) -> bool {
        self.entry.jobs.iter().any(|kind| !kind.hidden.is_empty())
    }
}

impl JobKind {
    /// Checks a payload and makes of it what is stored. A kind without a payload type keeps what is sent.
    ///
    /// # Errors
    /// Every bad field.
    pub fn check(
        &self,
        data: &Map<String, Value>,
        caller: &Caller<'_>,
        sealer: Option<&dyn Sealer>,
    ) -> Result<Option<Prepared>, PayloadProblems> {
        if let Some(prepare) = self.prepare {
            return prepare(data, caller, sealer).map(Some);
        }
        let mut problems = PayloadProblems::default();
        // Whoever reads the stream of a user's jobs trusts this field, so nobody may put another's name there.
        crate::payload::Fields::new(data, "data", &mut problems).user_id(caller);
        problems.into_result().map(|()| None)
    }
}

/// Whether a text can be a job's name.
fn is_job_name(name: &str) -> bool {
    (1..=JOB_NAME_MAX).contains(&name.len())
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_alias_and_prefix_finds_one_queue_and_the_engine_takes_every_setting() {
        let (mut names, mut prefixes) = (HashSet::new(), HashSet::new());
        for queue in Catalog::default().queues() {
            let entry = queue.entry();
            for name in entry.aliases.iter().map(|alias| alias.name).chain([entry.name]) {
                assert!(names.insert(name), "{name} stands twice");
            }
            assert!(prefixes.insert(entry.prefix), "{} stands twice", entry.prefix);
            assert!(
                (1..=3).contains(&entry.prefix.len()) && entry.prefix.bytes().all(|b| b.is_ascii_lowercase())
            );
            assert_eq!(queue.config().problems(), Vec::<String>::new(), "{}", entry.name);
            assert!(!entry.jobs.is_empty(), "{} runs nothing", entry.name);
            let kinds: HashSet<_> = entry.jobs.iter().map(|kind| kind.name).collect();
            assert_eq!(kinds.len(), entry.jobs.len(), "{} names a job twice", entry.name);
            for job in entry.aliases.iter().filter_map(|alias| alias.job) {
                assert!(
                    kinds.contains(job),
                    "an alias of {} stands for {job}, which it does not run",
                    entry.name
                );
            }
        }
        assert_eq!(prefixes.len(), 22);
    }

    #[test]
    fn the_seeds_names_find_their_queues() {
        let catalog = Catalog::default();
        for (alias, name) in [
            ("analytics:aggregation", "aggregation"),
            ("data:export", "export"),
            ("report:generation", "reports"),
            ("metrics:calculation", "metrics"),
            ("cache:warming", "cache-warming"),
            ("forecast-queue", "forecast"),
            ("manual-sync", "sync"),
            ("model-training", "training"),
        ] {
            assert_eq!(catalog.find(alias).expect(alias).name().as_str(), name);
        }
        let error = catalog.find("forecasts").expect_err("no such queue");
        assert_eq!(error.near.as_deref(), Some("forecast"));
        assert!(error.to_string().contains("analytics-heavy"), "{error}");
    }

    #[test]
    fn an_id_tells_its_queue() {
        let catalog = Catalog::default();
        for queue in catalog.queues() {
            let id = JobId::generate(queue.entry().prefix, 1_700_000_000_000, 7);
            assert_eq!(catalog.of_id(&id).map(Queue::name), Some(queue.name()));
        }
        assert!(catalog.of_id(&"zzz-1".parse().expect("an id")).is_none());
    }

    #[test]
    fn a_queue_with_one_kind_takes_any_valid_name_and_one_with_several_asks_which() {
        let catalog = Catalog::default();
        let aggregation = catalog.find("aggregation").expect("a queue");
        assert_eq!(
            aggregation.job(Some("custom-aggregation"), "aggregation").map(|(n, k)| (n, k.name)),
            Ok(("custom-aggregation", "aggregate"))
        );
        assert_eq!(aggregation.job(None, "aggregation").map(|(n, _)| n), Ok("aggregate"));
        let feeds = catalog.find("weather").expect("a queue");
        assert_eq!(feeds.job(None, "weather").map(|(n, _)| n), Ok("sync-weather"));
        assert!(matches!(feeds.job(None, "feeds"), Err(UnknownJob::Missing { .. })));
        assert!(matches!(
            feeds.job(Some("sync-wether"), "feeds"),
            Err(UnknownJob::NotHere { near: Some(_), .. })
        ));
        for bad in ["", "a:b", "../x", "<b>", "a b", "a\n", "é", &"x".repeat(129)] {
            assert_eq!(
                aggregation.job(Some(bad), "aggregation").map(|_| ()),
                Err(UnknownJob::NotAName),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn what_is_never_shown_is_hidden_whatever_the_job_is_called() {
        let mut data = serde_json::json!({"propertyId": "p", "calendarificApiKey": "sealed:v1:abc"});
        Catalog::default().find("enrichment").expect("a queue").hide_secrets(&mut data);
        assert_eq!(data, serde_json::json!({"propertyId": "p", "calendarificApiKey": "***"}));
    }
}
