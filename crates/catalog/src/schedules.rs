//! Schedules as the platform has them: the names under which users' are kept, and those that are there from the start.
//!
//! Users choose names for their schedules, and two of them may choose the same. Within a queue a user's schedule is therefore kept under
//! `<tenant><user>~<name>`, both digests of 12 letters, or `<tenant><user>.<something>` where no name was chosen: so no two meet, the
//! name can be read back, and all that belongs to a user or a tenant lies side by side, which makes reading it cheap however many there are.

use bulrush::model::{
    InvalidScheduleId, JobId, NewJob, Overlap, Owner, ScheduleError, ScheduleId, ScheduleSpec,
};
use serde_json::{Map, Value};

use crate::{Catalog, JobKind};

/// Longest name of a schedule, bytes.
pub const NAME_MAX: usize = 100;
/// Letters of a digest: 60 bits.
const DIGEST_LEN: usize = 12;

/// The queue of jobs that add a job for each of many things.
pub const FAN_OUT: &str = "fan-out";

fn digest(id: &JobId) -> String {
    let text = id.as_str();
    text[text.len().saturating_sub(DIGEST_LEN)..].to_owned()
}

fn tenant_id(tenant: &str) -> JobId {
    // A constant parent: what distinguishes them is the name.
    JobId::derive("own", &JobId::generate("owner", 0, 0), tenant)
}

/// With what the ids of all schedules of a tenant begin.
pub fn tenant_prefix(tenant: &str) -> String {
    digest(&tenant_id(tenant))
}

/// With what the ids of all schedules of a user begin.
pub fn owner_prefix(owner: &Owner) -> String {
    let tenant = tenant_id(&owner.tenant);
    format!("{}{}", digest(&tenant), digest(&JobId::derive("own", &tenant, &owner.user)))
}

/// Under which id the schedule that a user calls `name` is kept.
///
/// # Errors
/// A name that is not 1 to 100 of `A-Z a-z 0-9 - . _ ~`.
pub fn named_id(owner: &Owner, name: &str) -> Result<ScheduleId, InvalidScheduleId> {
    if !(1..=NAME_MAX).contains(&name.len()) {
        return Err(InvalidScheduleId { id: name.chars().take(150).collect() });
    }
    ScheduleId::new(name)?;
    ScheduleId::new(&format!("{}~{name}", owner_prefix(owner)))
}

/// Under which id a schedule of a user is kept that has no name; `seed` tells them apart.
///
/// # Errors
/// None with a seed of letters and digits, at most 100.
pub fn unnamed_id(owner: &Owner, seed: &str) -> Result<ScheduleId, InvalidScheduleId> {
    ScheduleId::new(&format!("{}.{seed}", owner_prefix(owner)))
}

/// What its owner calls a schedule; an id that was not made here is itself a name.
pub fn name_of<'i>(id: &'i ScheduleId, owner: Option<&Owner>) -> Option<&'i str> {
    let Some(owner) = owner else { return Some(id.as_str()) };
    match id.as_str().strip_prefix(&owner_prefix(owner)) {
        Some(rest) => rest.strip_prefix('~'),
        None => Some(id.as_str()),
    }
}

/// What the jobs of a recurring line are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The job does all of it.
    Everything,
    /// Each property, account, publisher or user: a job of the queue [`FAN_OUT`] adds one for each. It is called as those are.
    Each,
}

/// Something that the platform does again and again from its first start.
#[derive(Debug, Clone, Copy)]
pub struct Recurring {
    /// The schedule's id in its queue.
    pub id: &'static str,
    /// The queue that does the work.
    pub queue: &'static str,
    /// The kind of job.
    pub job: &'static str,
    /// What that is about.
    pub about: About,
    /// When.
    pub cron: &'static str,
    /// The payload of the job that is added: of the fan-out, where there is one.
    pub data: &'static str,
}

/// All that recurs. What nobody can do yet gets no schedule: its jobs would lie in their queue for ever.
pub const RECURRING: [Recurring; 20] = {
    const fn all(id: &'static str, queue: &'static str, job: &'static str, cron: &'static str) -> Recurring {
        Recurring { id, queue, job, about: About::Everything, cron, data: "{}" }
    }
    const fn each(id: &'static str, queue: &'static str, job: &'static str, cron: &'static str) -> Recurring {
        Recurring { id, queue, job, about: About::Each, cron, data: "{}" }
    }
    [
        all("wait-times", "feeds", "sync-wait-times", "*/5 * * * *"),
        all("occupancy", "occupancy", "calculate", "*/5 * * * *"),
        all("cache-warming", "cache-warming", "warm", "*/5 * * * *"),
        each("alerts", "alerts", "check", "*/15 * * * *"),
        each("sync", "sync", "sync-account", "0 * * * *"),
        all("weather", "feeds", "sync-weather", "0 * * * *"),
        all("predictions", "prediction", "generate", "0 * * * *"),
        each("metrics", "metrics", "calculate", "0 * * * *"),
        each("daily-aggregation", "aggregation", "aggregate", "0 1 * * *"),
        each("daily-reports", "reports", "generate", "0 2 * * *"),
        all("cleanup", "cleanup", "clean", "0 2 * * *"),
        all("holidays", "feeds", "sync-holidays", "30 2 * * *"),
        all("park-metadata", "feeds", "sync-park-metadata", "45 2 * * *"),
        all("p50-baseline", "occupancy", "p50-baseline", "0 3 * * *"),
        all("percentiles", "occupancy", "percentiles", "15 3 * * *"),
        all("accuracy", "prediction", "score-accuracy", "30 3 * * *"),
        each("weekly-reports", "reports", "generate", "0 8 * * 1"),
        each("monthly-reports", "reports", "generate", "0 8 1 * *"),
        all("training", "training", "train", "0 4 * * 0"),
        // Nobody says how often competitors are to be looked at: a day is what their prices are kept by.
        each("competitor-prices", "competitor", "scrape-prices", "0 5 * * *"),
    ]
};

/// A schedule that is there from the first start.
#[derive(Debug, Clone)]
pub struct DefaultSchedule {
    /// The queue in which it is.
    pub queue: &'static str,
    /// The schedule.
    pub spec: ScheduleSpec,
}

impl Recurring {
    fn kind<'c>(
        catalog: &'c Catalog,
        queue: &str,
        job: &str,
    ) -> Option<(&'c crate::Queue, &'static JobKind)> {
        let queue = catalog.find(queue).ok()?;
        let kind = queue.entry().jobs.iter().find(|kind| kind.name == job)?;
        Some((queue, kind))
    }

    /// Whether somebody does the work.
    pub fn is_implemented(&self, catalog: &Catalog) -> bool {
        Self::kind(catalog, self.queue, self.job).is_some_and(|(_, kind)| kind.is_implemented())
    }

    /// The queue in which its schedule is.
    pub fn place(&self) -> &'static str {
        match self.about {
            About::Everything => self.queue,
            About::Each => FAN_OUT,
        }
    }

    /// Its schedule on the clock of `zone`; none while nobody does the work.
    ///
    /// # Errors
    /// None for an entry that the tests have seen.
    fn schedule(&self, catalog: &Catalog, zone: &str) -> Option<Result<DefaultSchedule, ScheduleError>> {
        if !self.is_implemented(catalog) {
            return None;
        }
        let (queue, kind) = Self::kind(catalog, self.place(), self.job)?;
        let given: Map<String, Value> = serde_json::from_str(self.data).unwrap_or_default();
        let caller = crate::Caller { user: "bulrush", may_name_others: true };
        let data = kind.check(&given, &caller, None).ok().flatten().map_or(given, |prepared| prepared.data);
        let options = queue.options();
        let id = JobId::generate(&options.prefix, 0, 0);
        let mut job = NewJob::new(id, kind.name, Value::Object(data).to_string()).attempts(options.attempts);
        job.spec.backoff = options.backoff;
        job.spec.timeout_ms = options.timeout_ms;
        let id = ScheduleId::new(self.id)
            .unwrap_or_else(|error| unreachable!("a test checks every schedule of the catalogue: {error}"));
        let spec = ScheduleSpec::cron(id, self.cron, &job);
        // What has not been done by the next slot is not to be done twice then.
        Some(spec.map(|spec| DefaultSchedule {
            queue: self.place(),
            spec: spec.zone(zone).overlap(Overlap::Skip),
        }))
    }
}

/// The schedules that are there from the first start, on the clock of `zone`: of all that recurs, what somebody does.
///
/// # Errors
/// A zone that is none.
pub fn defaults(catalog: &Catalog, zone: &str) -> Result<Vec<DefaultSchedule>, ScheduleError> {
    let bounds = bulrush::model::Bounds::default();
    let all = RECURRING.iter().filter_map(|recurring| recurring.schedule(catalog, zone));
    let all: Vec<DefaultSchedule> = all.collect::<Result<_, _>>()?;
    all.iter().try_for_each(|default| default.spec.check(&bounds))?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn owner(tenant: &str, user: &str) -> Owner {
        Owner { tenant: tenant.into(), user: user.into() }
    }

    #[test]
    fn the_same_name_of_two_owners_is_two_ids_that_lie_with_their_owner_s() {
        let owners = [owner("ab", "c"), owner("a", "bc"), owner("ab", "d"), owner("", "abc")];
        for (n, a) in owners.iter().enumerate() {
            let id = named_id(a, "nightly").unwrap();
            assert!(id.as_str().starts_with(&owner_prefix(a)));
            assert!(id.as_str().starts_with(&tenant_prefix(&a.tenant)));
            assert_eq!(name_of(&id, Some(a)), Some("nightly"));
            assert_eq!(name_of(&unnamed_id(a, "01h").unwrap(), Some(a)), None);
            for b in &owners[n + 1..] {
                assert_ne!(id, named_id(b, "nightly").unwrap());
            }
        }
        assert_eq!(tenant_prefix("ab"), owner_prefix(&owners[0])[..DIGEST_LEN]);
        let own = ScheduleId::new("nightly").unwrap();
        assert_eq!(name_of(&own, None), Some("nightly"));
        assert_eq!(name_of(&own, Some(&owners[0])), Some("nightly"));
        assert!(named_id(&owners[0], &"x".repeat(NAME_MAX)).is_ok());
        for bad in ["", "a b", "a/b", "é", &"x".repeat(NAME_MAX + 1)] {
            assert!(named_id(&owners[0], bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_that_recurs_and_that_somebody_does_has_a_schedule_and_nothing_else() {
        let catalog = Catalog::default();
        let defaults = defaults(&catalog, "Europe/Berlin").unwrap();
        let there: HashSet<_> = defaults.iter().map(|default| default.spec.id.as_str().to_owned()).collect();
        for recurring in &RECURRING {
            let kind = Recurring::kind(&catalog, recurring.queue, recurring.job);
            assert!(kind.is_some(), "{} names no kind of job", recurring.id);
            assert_eq!(there.contains(recurring.id), recurring.is_implemented(&catalog), "{}", recurring.id);
            if !recurring.is_implemented(&catalog) {
                continue;
            }
            let place = Recurring::kind(&catalog, recurring.place(), recurring.job);
            let (_, kind) = place.unwrap_or_else(|| {
                panic!("{}: somebody does it now, so it needs a fan-out of its name", recurring.id)
            });
            let data = serde_json::from_str(recurring.data).unwrap();
            let caller = crate::Caller { user: "bulrush", may_name_others: true };
            assert!(kind.check(&data, &caller, None).is_ok(), "{}: its payload is refused", recurring.id);
        }
        let ids: HashSet<_> = RECURRING.iter().map(|recurring| (recurring.place(), recurring.id)).collect();
        assert_eq!(ids.len(), RECURRING.len(), "two have one id");
        assert!(there.contains("competitor-prices"));
    }

    #[test]
    fn every_schedule_of_the_list_could_fire_whoever_does_its_work() {
        for recurring in &RECURRING {
            let job = NewJob::new(JobId::generate("x", 0, 0), recurring.job, recurring.data);
            let spec =
                ScheduleSpec::cron(ScheduleId::new(recurring.id).unwrap(), recurring.cron, &job).unwrap();
            spec.check(&bulrush::model::Bounds::default()).unwrap();
            assert_eq!(spec.preview(1_700_000_000_000, 2).unwrap().len(), 2, "{}", recurring.id);
        }
        assert!(matches!(defaults(&Catalog::default(), "Mars/Base"), Err(ScheduleError::Zone { .. })));
    }

    #[test]
    fn a_fan_out_adds_jobs_that_somebody_does() {
        let catalog = Catalog::default();
        for kind in catalog.find(FAN_OUT).unwrap().entry().jobs {
            let line = RECURRING.iter().find(|line| line.about == About::Each && line.job == kind.name);
            assert!(
                line.is_some_and(|line| line.is_implemented(&catalog)),
                "{} fans out to nobody",
                kind.name
            );
        }
    }
}
