//! The call of an add, and its answer.

use deadpool_redis::redis::{Cmd, RedisWrite};
use hashbrown::HashMap;

use super::extras::{Pack, Parts};
use super::outbox;
use super::packed::put_u64;
use super::record::{is_big, put_new};
use super::reply::{Items, id_of, put_ids, strange};
use super::settings::Settings;
use crate::model::{Dedup, JobState, Millis, NewJob, Owner, QueueName, When};
use crate::port::{AddOutcome, Added, Result};

/// Ids of one waiting pack: taking one of them writes the rest back, and that is logged.
const PACK_MAX: usize = 16;

/// The priority that a job has once it is in the queue.
fn priority_of(job: &NewJob, settings: &Settings) -> u32 {
    if job.default_priority { settings.config.default_priority } else { job.spec.priority }
}

/// What the index of an owner is called, after its prefix.
pub(super) fn owner_suffix(owner: &Owner) -> Vec<u8> {
    [owner.tenant.as_bytes(), b"\0", owner.user.as_bytes()].concat()
}

fn put_hash(out: &mut Vec<u8>, job: &NewJob) {
    put_u64(out, job.spec.owner.as_ref().map_or(0, |owner| owner.hash64()));
}

/// Appends the arguments of an add of these jobs, of which no two have one id.
pub(super) fn put_args(cmd: &mut Cmd, queue: &QueueName, settings: &Settings, jobs: &[&NewJob]) {
    cmd.write_arg_fmt(settings.version);
    cmd.write_arg_fmt(jobs.len());
    cmd.write_arg_fmt(jobs.len().div_ceil(PACK_MAX));
    let mut buffer = Vec::with_capacity(512);
    if jobs.iter().any(|job| job.spec.owner.is_some()) {
        for job in jobs {
            put_hash(&mut buffer, job);
        }
    }
    cmd.write_arg(&buffer);
    cmd.write_arg(&extras(queue, settings, jobs));
    for pack in jobs.chunks(PACK_MAX) {
        buffer.clear();
        put_ids(&mut buffer, pack.iter().map(|job| &job.spec.id));
        cmd.write_arg(&buffer);
    }
    for job in jobs {
        buffer.clear();
        put_new(&mut buffer, &job.spec, priority_of(job, settings), !job.children.is_empty());
        cmd.write_arg(&buffer);
    }
}

/// What only some jobs have, by place.
fn extras(queue: &QueueName, settings: &Settings, jobs: &[&NewJob]) -> Vec<u8> {
    let mut delays: Vec<(usize, u64)> = Vec::new();
    let mut moments: Vec<(usize, u64)> = Vec::new();
    let mut priorities: Vec<(usize, u64)> = Vec::new();
    let (mut heads, mut groups, mut keys, mut large, mut parents) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut owners: Vec<(&Owner, Vec<usize>)> = Vec::new();
    let mut owner_places: HashMap<&Owner, usize> = HashMap::new();
    let mut timed = false;
    for (before, job) in jobs.iter().enumerate() {
        let (place, spec) = (before + 1, &job.spec);
        match job.when {
            When::Now | When::After(0) => {}
            When::After(ms) => delays.push((place, ms)),
            When::At(at) => moments.push((place, at)),
        }
        let priority = priority_of(job, settings);
        if priority != settings.config.default_priority {
            priorities.push((place, u64::from(priority)));
        }
        if spec.lifo {
            heads.push((place, ()));
        }
        if let Some(group) = &spec.group {
            groups.push((place, group));
        }
        if let Some(dedup) = &spec.dedup {
            keys.push((place, dedup));
        }
        if is_big(spec) {
            large.push((place, &spec.data));
        }
        if !job.children.is_empty() {
            parents.push((place, *job));
        }
        timed |= spec.timeout_ms.is_some();
        if let Some(owner) = spec.owner.as_deref() {
            let at = *owner_places.entry(owner).or_insert_with(|| {
                owners.push((owner, Vec::new()));
                owners.len() - 1
            });
            owners[at].1.push(place);
        }
    }
    let mut parts = Parts::default();
    parts.by_place("w", &delays, |pack, ms| pack.number(*ms));
    parts.by_place("W", &moments, |pack, at| pack.number(*at));
    parts.by_place("p", &priorities, |pack, priority| pack.number(*priority));
    parts.by_place("l", &heads, |pack, ()| pack.flag(true));
    parts.by_place("g", &groups, |pack, group| pack.text(group.as_bytes()));
    parts.by_place("d", &keys, |pack, dedup| put_key(pack, dedup));
    if !owners.is_empty() {
        parts.one("o", |pack| {
            pack.array(owners.len());
            for (owner, places) in &owners {
                pack.array(2);
                pack.text(&owner_suffix(owner));
                pack.array(places.len());
                for place in places {
                    pack.number(*place as u64);
                }
            }
        });
    }
    parts.by_place("b", &large, |pack, data| pack.text(data));
    parts.by_place("c", &parents, |pack, job| put_children(pack, queue, job));
    if timed {
        parts.one("t", |pack| pack.flag(true));
    }
    parts.finish()
}

fn put_key(pack: &mut Pack<'_>, dedup: &Dedup) {
    pack.array(3);
    pack.text(dedup.key.as_bytes());
    pack.number(dedup.ttl_ms.map_or(0, |ttl| ttl.max(1)));
    match dedup.fingerprint {
        Some(fingerprint) => pack.text(&fingerprint.to_be_bytes()),
        None => pack.text(b""),
    }
}

fn put_children(pack: &mut Pack<'_>, queue: &QueueName, job: &NewJob) {
    pack.array(job.children.len());
    let (mut entry, mut row) = (Vec::new(), Vec::new());
    for child in &job.children {
        let sent = outbox::child_job(child, queue, &job.spec.id);
        entry.clear();
        outbox::put_add(&mut entry, &child.queue, &sent);
        row.clear();
        outbox::put_pending(&mut row, &child.queue, &sent.spec.id, child.on_failure);
        pack.array(3);
        pack.text(sent.spec.id.as_bytes());
        pack.text(&entry);
        pack.text(&row);
    }
}

/// Appends a job that another queue's outbox brings: its id, the hash of its owner, its record and what else a script must know of it.
pub(super) fn put_delivered(cmd: &mut Cmd, queue: &QueueName, settings: &Settings, job: &NewJob) {
    let mut buffer = Vec::with_capacity(256);
    cmd.write_arg(job.spec.id.as_bytes());
    put_hash(&mut buffer, job);
    cmd.write_arg(&buffer);
    put_record(cmd, queue, settings, job, &mut buffer);
}

/// Appends the job of a slot, behind what `head` tells of the slot: with that the hash of its owner, then its id, its record and what else a
/// script must know of it. `head` is used up.
pub(super) fn put_slot_job(
    cmd: &mut Cmd,
    queue: &QueueName,
    settings: &Settings,
    job: &NewJob,
    head: &mut Vec<u8>,
) {
    put_hash(head, job);
    cmd.write_arg(head);
    cmd.write_arg(job.spec.id.as_bytes());
    put_record(cmd, queue, settings, job, head);
}

fn put_record(cmd: &mut Cmd, queue: &QueueName, settings: &Settings, job: &NewJob, buffer: &mut Vec<u8>) {
    buffer.clear();
    put_new(buffer, &job.spec, priority_of(job, settings), !job.children.is_empty());
    cmd.write_arg(buffer);
    let mut parts = Parts::default();
    match job.when {
        When::Now | When::After(0) => {}
        When::After(ms) => parts.one("w", |pack| pack.number(ms)),
        When::At(at) => parts.one("W", |pack| pack.number(at)),
    }
    if let Some(dedup) = &job.spec.dedup {
        parts.one("d", |pack| put_key(pack, dedup));
    }
    if let Some(owner) = &job.spec.owner {
        parts.one("o", |pack| pack.text(&owner_suffix(owner)));
    }
    if is_big(&job.spec) {
        parts.one("b", |pack| pack.text(&job.spec.data));
    }
    if !job.children.is_empty() {
        parts.one("c", |pack| put_children(pack, queue, job));
    }
    cmd.write_arg(&parts.finish());
}

/// What became of each job of a call, by the list of those that were refused.
pub(super) fn read_refused(items: &mut Items, jobs: &[&NewJob]) -> Result<Vec<Added>> {
    let new = |job: &&NewJob| Added { id: job.spec.id.clone(), outcome: AddOutcome::New };
    let mut added: Vec<Added> = jobs.iter().map(new).collect();
    let refused = items.rows(|row| Ok((row.number()?, row.bytes()?, row.bytes()?)))?;
    for (place, code, detail) in refused {
        let slot = (place as usize).checked_sub(1).and_then(|before| added.get_mut(before));
        let slot = slot.ok_or_else(|| strange("the place of a job"))?;
        match code.as_slice() {
            b"i" => {
                let state = detail.first().and_then(|letter| JobState::from_code(*letter));
                slot.outcome = AddOutcome::SameId { state: state.ok_or_else(|| strange("a state"))? };
            }
            b"k" | b"c" => {
                slot.id = id_of(&detail)?;
                slot.outcome = if code == b"k" { AddOutcome::SameKey } else { AddOutcome::KeyConflict };
            }
            b"f" => {
                let depth_max = std::str::from_utf8(&detail).ok().and_then(|digits| digits.parse().ok());
                slot.outcome = AddOutcome::Full { depth_max: depth_max.ok_or_else(|| strange("a depth"))? };
            }
            _ => return Err(strange("what became of a job")),
        }
    }
    Ok(added)
}

/// The places of the jobs that a call can take together, and of those whose id has come before.
pub(super) fn split_repeats(jobs: &[NewJob], places: &[usize]) -> (Vec<usize>, Vec<usize>) {
    if places.len() < 2 {
        return (places.to_vec(), Vec::new());
    }
    let mut seen = hashbrown::HashSet::with_capacity(places.len());
    places.iter().partition(|place| seen.insert(jobs[**place].spec.id.as_bytes()))
}

/// What a repeat within a call finds, given what became of the one before it; nothing where that was not added either.
pub(super) fn of_repeat(first: &Added, job: &NewJob, now: Millis) -> Option<Added> {
    let state = match first.outcome {
        AddOutcome::SameId { state } => state,
        AddOutcome::New => state_of_new(job, now),
        AddOutcome::SameKey | AddOutcome::KeyConflict | AddOutcome::Full { .. } => return None,
    };
    Some(Added { id: job.spec.id.clone(), outcome: AddOutcome::SameId { state } })
}

fn state_of_new(job: &NewJob, now: Millis) -> JobState {
    let waits = match job.when {
        When::Now | When::After(0) => true,
        When::After(_) => false,
        When::At(at) => at <= now,
    };
    match (job.children.is_empty(), waits) {
        (false, _) => JobState::WaitingChildren,
        (true, true) => JobState::Waiting,
        (true, false) => JobState::Delayed,
    }
}
