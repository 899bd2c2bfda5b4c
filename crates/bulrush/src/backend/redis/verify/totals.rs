//! The counters and the rotation, compared with what the collections hold.

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::counters::{Counter, Counters};
use super::lists::{Member, Seen};
use super::{Check, Repair, shown};
use crate::backend::redis::script::Script;
use crate::backend::redis::settings::Settings;
use crate::backend::redis::{Via, put_number};
use crate::model::QueueConfig;
use crate::port::Result;

/// How often what changed meanwhile is looked at again.
const ROUNDS_MAX: usize = 3;
/// The member of the rotation that all jobs without a group are.
const PLAIN: &[u8] = b"-";

/// Sizes and last numbers, of one moment.
#[derive(Debug, PartialEq, Eq)]
struct Sums {
    counters: Vec<u8>,
    config: Vec<u8>,
    records: u64,
    listed_packs: u64,
    prioritized: u64,
    delayed: u64,
    parents: u64,
    running: u64,
    done_entries: u64,
    failed: u64,
    cancelled: u64,
    members: u64,
    seated: u64,
    held_back: u64,
    batches: u64,
    last_event: u64,
    last_entry: u64,
}

impl Sums {
    /// Jobs that must stand in lists: those in nothing else.
    fn in_lists(&self) -> u64 {
        let elsewhere =
            self.prioritized + self.delayed + self.parents + self.running + self.failed + self.cancelled;
        self.records.saturating_sub(elsewhere)
    }

    /// Whether nothing has happened between the two but time.
    fn is_still(&self, later: &Self) -> bool {
        // The first counter is the moment of the last change or look, six bytes.
        let at_rest = |sums: &Self| sums.counters.get(6..).unwrap_or_default().to_vec();
        at_rest(self) == at_rest(later)
            && Self { counters: Vec::new(), ..self.copy() } == Self { counters: Vec::new(), ..later.copy() }
    }

    fn copy(&self) -> Self {
        Self { counters: self.counters.clone(), config: self.config.clone(), ..*self }
    }
}

/// What is wrong with sums, and how they should be.
struct Verdict {
    wrong: Vec<(u8, String)>,
    counters: Counters,
    /// Members whose rows are to be written anew: name, waiting, active.
    members: Vec<(Vec<u8>, u64, u64)>,
}

impl Check<'_> {
    /// The lists, the counters and the rotation.
    pub(super) async fn totals(&mut self) -> Result<()> {
        let Some((sums, seen)) = self.look_at_rest().await? else { return self.sizes().await };
        for text in &seen.damaged {
            self.find(1, None, text.clone(), None).await?;
        }
        let mut mended = false;
        for id in seen.twice.clone() {
            let repair = Some(Repair::Job(id.clone(), true));
            mended |= self.find(1, Some(id), "it stands twice in the lists".to_owned(), repair).await?;
        }
        for (id, state) in seen.missing.clone() {
            let repair = Some(Repair::Job(id.clone(), true));
            mended |= self.find(1, Some(id), format!("it is {state} and in no list"), repair).await?;
        }
        let again = if mended { self.look_at_rest().await? } else { None };
        let (sums, seen) = again.unwrap_or((sums, seen));
        let Ok(settings) = Settings::read(&self.at.name, &sums.config, 0) else {
            self.find(1, None, "the settings cannot be read".to_owned(), None).await?;
            return Ok(());
        };
        let counters = match sums.counters.as_slice() {
            [] => Some(Counters::none(settings.config.default_priority)),
            packed => Counters::decode(packed),
        };
        let Some(counters) = counters else {
            self.find(1, None, "the counters cannot be read".to_owned(), None).await?;
            return Ok(());
        };
        let verdict = judge(&sums, &seen, &counters, &settings.config);
        if verdict.wrong.is_empty() {
            return Ok(());
        }
        let repaired = self.repair && self.rewrite(&sums.counters, &verdict).await?;
        for (invariant, text) in verdict.wrong {
            self.page.findings.push(crate::port::Finding { invariant, job: None, text, repaired });
        }
        Ok(())
    }

    /// Looks at everything, unless the queue does not rest.
    async fn look_at_rest(&mut self) -> Result<Option<(Sums, Seen)>> {
        for _ in 0..ROUNDS_MAX {
            let before = self.sums().await?;
            let seen = self.look(before.in_lists()).await?;
            let after = self.sums().await?;
            if before.is_still(&after) {
                return Ok(Some((after, seen)));
            }
        }
        Ok(None)
    }

    /// The counters of a queue that does not rest, as far as sizes of one moment tell them. Which of those that wait in lists and those
    /// that are completed is wrong takes a walk.
    async fn sizes(&mut self) -> Result<()> {
        tracing::debug!(queue = %self.at.name, "the queue does not rest, so its lists were not compared");
        let sums = self.sums().await?;
        // Settings and counters that cannot be read are found by a look at rest, and by every command before.
        let Some(counters) = Counters::decode(&sums.counters) else { return Ok(()) };
        for (what, found, counted) in wrong_sizes(&sums, &counters) {
            let text = format!("{what}: {found} entries, {counted} counted");
            self.find(1, None, text, Some(Repair::Recount)).await?;
        }
        let counted = counters.get(Counter::Waiting) + counters.get(Counter::Completed);
        let found = sums
            .records
            .saturating_sub(sums.delayed + sums.parents + sums.running + sums.failed + sums.cancelled);
        if found != counted {
            let text = format!(
                "waiting and completed: {found} records, {counted} counted; pause the queue and check again to have it put right"
            );
            self.find(1, None, text, None).await?;
        }
        Ok(())
    }

    async fn sums(&self) -> Result<Sums> {
        let mut items = self.read("totals", |_| {}).await?;
        Ok(Sums {
            counters: items.bytes()?,
            config: items.bytes()?,
            records: items.number()?,
            listed_packs: items.number()?,
            prioritized: items.number()?,
            delayed: items.number()?,
            parents: items.number()?,
            running: items.number()?,
            done_entries: items.number()?,
            failed: items.number()?,
            cancelled: items.number()?,
            members: items.number()?,
            seated: items.number()?,
            held_back: items.number()?,
            batches: items.number()?,
            last_event: items.number()?,
            last_entry: items.number()?,
        })
    }

    /// Writes the counters anew, if they still are what was judged.
    async fn rewrite(&self, expected: &[u8], verdict: &Verdict) -> Result<bool> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg(b"counters");
            cmd.write_arg(expected);
            cmd.write_arg(&verdict.counters.encode());
            put_number(cmd, verdict.members.len() as u64);
            for (name, waiting, active) in &verdict.members {
                cmd.write_arg(name);
                put_number(cmd, *waiting);
                put_number(cmd, *active);
            }
        };
        self.redis.script(Via::Pool, Script::Repair, self.at, put).await?.flag()
    }
}

/// What counters say otherwise than the sizes of their collections: what, how many there are, how many are counted.
fn wrong_sizes(sums: &Sums, counters: &Counters) -> Vec<(&'static str, u64, u64)> {
    let sizes = [
        (Counter::Prioritized, "prioritized", sums.prioritized),
        (Counter::Delayed, "delayed", sums.delayed),
        (Counter::Parents, "waiting-children", sums.parents),
        (Counter::Active, "active", sums.running),
        (Counter::Failed, "failed", sums.failed),
        (Counter::Cancelled, "cancelled", sums.cancelled),
    ];
    let compared = sizes.into_iter().map(|(counter, what, found)| (what, found, counters.get(counter)));
    compared.filter(|(_, found, counted)| found != counted).collect()
}

fn judge(sums: &Sums, seen: &Seen, counters: &Counters, config: &QueueConfig) -> Verdict {
    let named = || seen.members.iter().filter(|(name, _)| name.as_slice() != PLAIN);
    let in_groups: u64 = named().map(|(_, member)| member.entries.live).sum();
    let left_in_groups: u64 = named().map(|(_, member)| member.entries.dead).sum();
    let running_in_groups: u64 = named().map(|(_, member)| member.running).sum();
    let mut verdict = Verdict { wrong: Vec::new(), counters: counters.clone(), members: Vec::new() };
    let plain = (seen.wait.live + sums.prioritized, sums.running.saturating_sub(running_in_groups));
    let exact = [
        (1, Counter::Waiting, "waiting", plain.0 + in_groups),
        (1, Counter::Listed, "listed", seen.wait.live),
        (1, Counter::Prioritized, "prioritized", sums.prioritized),
        (1, Counter::Delayed, "delayed", sums.delayed),
        (1, Counter::Parents, "waiting-children", sums.parents),
        (1, Counter::Active, "active", sums.running),
        (1, Counter::Completed, "completed", seen.done.live),
        (1, Counter::Failed, "failed", sums.failed),
        (1, Counter::Cancelled, "cancelled", sums.cancelled),
        (2, Counter::Cancels, "asked to stop", seen.cancels),
        (5, Counter::Started, "started in the rate window", seen.started),
    ];
    for (invariant, counter, what, found) in exact {
        let counted = counters.get(counter);
        if found != counted {
            verdict.wrong.push((invariant, format!("{what}: {found} entries, {counted} counted")));
            verdict.counters.set(counter, found);
        }
    }
    // More may be counted than there are: then some are looked for in vain. Fewer, and dead entries would be taken for live ones.
    let left_behind = [
        (Counter::Tombs, "waiting", seen.wait.dead + left_in_groups),
        (Counter::DoneTombs, "completed", seen.done.dead),
    ];
    for (counter, what, found) in left_behind {
        let counted = counters.get(counter);
        verdict.counters.set(counter, found);
        if found > counted {
            verdict.wrong.push((
                7,
                format!("{found} entries were left behind among the {what}, {counted} are counted"),
            ));
        }
    }
    // A stream takes no number twice, and every later command would fail.
    let numbers = [
        (Counter::Position, "event", sums.last_event),
        (Counter::Outbox, "entry of the outbox", sums.last_entry),
    ];
    for (counter, what, last) in numbers {
        let counted = counters.get(counter);
        if last > counted {
            verdict.wrong.push((8, format!("the last {what} has number {last}, counted are {counted}")));
            verdict.counters.set(counter, last);
        }
    }
    judge_rotation(seen, plain, counters, config, &mut verdict);
    verdict
}

fn judge_rotation(
    seen: &Seen,
    plain: (u64, u64),
    counters: &Counters,
    config: &QueueConfig,
    verdict: &mut Verdict,
) {
    let is_group = |member: &Member| member.known || member.entries.live > 0 || member.running > 0;
    let groups =
        seen.members.iter().filter(|(name, member)| name.as_slice() != PLAIN && is_group(member)).count();
    let counted = counters.get(Counter::Groups);
    if groups as u64 != counted {
        verdict.wrong.push((5, format!("{groups} groups, {counted} counted")));
        verdict.counters.set(Counter::Groups, groups as u64);
    }
    let mut members = seen.members.clone();
    if groups > 0 {
        members.entry(PLAIN.to_vec()).or_default();
    }
    for (name, member) in &members {
        let is_plain = name.as_slice() == PLAIN;
        let (waiting, active) = if is_plain { plain } else { (member.entries.live, member.running) };
        let text = name.strip_prefix(b"+").map_or_else(|| "(none)".to_owned(), shown);
        let before = verdict.wrong.len();
        let mut wrong = |what: String| verdict.wrong.push((5, format!("group {text}{what}")));
        if groups == 0 || !is_plain && !is_group(member) {
            wrong(" has a place in the rotation, and there is no such group".to_owned());
        } else if !member.known {
            wrong(" is unknown and has jobs".to_owned());
        } else if (member.waiting, member.active) != (waiting, active) {
            wrong(format!(
                ": {waiting} waiting and {active} active jobs, {} and {} counted",
                member.waiting, member.active
            ));
        } else {
            let cap = std::str::from_utf8(name.strip_prefix(b"+").unwrap_or_default())
                .ok()
                .filter(|_| !is_plain)
                .map_or(config.group_default, |name| config.group(name))
                .concurrency;
            let startable =
                waiting > 0 && !member.held_back && cap.is_none_or(|cap| member.active < u64::from(cap));
            if startable && !member.seated {
                wrong(" could start jobs and is not in the ring".to_owned());
            } else if member.seated && !startable {
                wrong(" is in the ring and cannot start jobs".to_owned());
            }
        }
        if verdict.wrong.len() > before && (is_plain || is_group(member)) && groups > 0 {
            verdict.members.push((name.clone(), waiting, active));
        }
    }
}
