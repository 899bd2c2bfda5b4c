//! Every record, with the places that hold its job.

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::{Check, PART, Repair, row};
use crate::backend::redis::active::Active;
use crate::backend::redis::outbox::read_row;
use crate::backend::redis::put_number;
use crate::backend::redis::record::{Kept, Record};
use crate::backend::redis::reply::{Items, id_of};
use crate::model::{ChildState, JobId, JobState, JobView};
use crate::port::Result;

/// What the server tells of a job.
struct Facts {
    record: Vec<u8>,
    active: Option<Vec<u8>>,
    /// Letters of the sorted sets that hold it.
    sets: String,
    due: Option<u64>,
    deadline: Option<u64>,
    large: bool,
    children: Option<u64>,
    group_known: bool,
    worker_known: bool,
}

impl Check<'_> {
    /// A slice of the records.
    pub(super) async fn jobs(&mut self, cursor: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg_fmt(cursor);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("jobs", put).await?;
        let (next, list_priority, mut rows) = (items.number()?, items.number()?, items.items()?);
        let seen = rows.len();
        while let Some(job) = rows.next() {
            self.page.checked += 1;
            let mut job = row(job)?;
            let id = job.bytes()?;
            let facts = Facts {
                record: job.bytes()?,
                active: job.bytes_or_none()?,
                sets: job.text()?,
                due: number_or_none(&mut job)?,
                deadline: number_or_none(&mut job)?,
                large: job.flag()?,
                children: number_or_none(&mut job)?,
                group_known: job.flag()?,
                worker_known: job.flag()?,
            };
            if let Ok(id) = id_of(&id) {
                self.job(id, facts, list_priority).await?;
            } else {
                let text = format!("record {} is under no job id", super::shown(&id));
                self.find(1, None, text, None).await?;
            }
        }
        Ok((seen, Some(next).filter(|next| *next != 0)))
    }

    async fn job(&mut self, id: JobId, facts: Facts, list_priority: u64) -> Result<()> {
        let big = facts.large.then(Vec::new);
        let record = match Record::decode(id.clone(), facts.record.clone(), big.clone()) {
            Ok(record) => record,
            Err(damaged) => {
                self.find(1, Some(id), format!("its record cannot be read: {damaged}"), None).await?;
                return Ok(());
            }
        };
        let state = record.status.state;
        let mut wrong: Vec<(u8, String, Option<Repair>)> = Vec::new();
        let put_in_place = || Some(Repair::Job(id.clone(), false));
        let entry = facts.active.as_deref().map(Active::decode);
        let is_active = entry.is_some() && state == JobState::Waiting;
        if let Some(Err(damaged)) = &entry {
            wrong.push((2, format!("its token cannot be read: {damaged}"), None));
        }
        if entry.is_some() && state != JobState::Waiting {
            wrong.push((2, format!("it is {state} but has a token"), put_in_place()));
        }
        if let (Some(Ok(entry)), true) = (&entry, is_active) {
            if entry.group != record.spec.group.as_deref().unwrap_or_default() {
                wrong.push((2, format!("it runs as one of group {:?}", entry.group), None));
            }
            if !facts.worker_known {
                let worker =
                    facts.active.as_deref().and_then(|entry| entry.get(..8)).unwrap_or_default().to_vec();
                let text = format!("worker {} runs it and is not listed", entry.worker);
                wrong.push((2, text, Some(Repair::Worker(worker))));
            }
        }
        let deadline = match &entry {
            Some(Ok(entry)) if is_active => entry.run(0).deadline,
            _ => None,
        };
        if deadline != facts.deadline {
            let say = |at: Option<u64>| at.map_or("none".to_owned(), |at| at.to_string());
            let text = format!("its deadline is {}, listed is {}", say(deadline), say(facts.deadline));
            wrong.push((2, text, put_in_place()));
        }
        // The set that must hold it; the lists are looked through at the end.
        let home = match state {
            JobState::Waiting if is_active || record.spec.group.is_some() => "",
            JobState::Waiting if u64::from(record.spec.priority) == list_priority => "",
            JobState::Waiting => "w",
            JobState::Delayed => "d",
            JobState::WaitingChildren => "p",
            JobState::Failed => "f",
            JobState::Cancelled => "x",
            JobState::Active | JobState::Completed => "",
        };
        if facts.sets != home {
            let names = |letters: &str| match letters {
                "" => "no sorted set".to_owned(),
                letters => format!("sorted sets {letters:?}"),
            };
            let text = format!("it is {state} and in {}, not in {}", names(&facts.sets), names(home));
            wrong.push((1, text, put_in_place()));
        } else if facts
            .due
            .is_some_and(|due| due < crate::backend::redis::packed::MAX_48 && due != record.status.run_at)
        {
            let text =
                format!("it runs at {}, listed is {}", record.status.run_at, facts.due.unwrap_or_default());
            wrong.push((1, text, put_in_place()));
        }
        if !facts.group_known && matches!(state, JobState::Waiting) {
            wrong.push((5, "its group is unknown".to_owned(), put_in_place()));
        }
        let has_family = facts.children.is_some();
        if state == JobState::WaitingChildren && !has_family {
            let text = "it waits for children and has none".to_owned();
            wrong.push((6, text, Some(Repair::Family(id.clone()))));
        }
        // Entries that cannot be read have been told.
        let readable = is_active && matches!(entry, Some(Ok(_)));
        let active = facts.active.clone().filter(|_| readable);
        let kept = Kept { record: facts.record, active, big, ..Kept::default() };
        if let Ok(view) = kept.view(&self.at.name, id.clone()) {
            wrong.extend(counts(&view).into_iter().map(|text| (4, text, None)));
        }
        for (invariant, text, repair) in wrong {
            self.find(invariant, Some(id.clone()), text, repair).await?;
        }
        if has_family {
            self.family(id).await?;
        }
        Ok(())
    }

    /// A parent's children.
    async fn family(&mut self, id: JobId) -> Result<()> {
        let mut items = self.read("family", |cmd| cmd.write_arg(id.as_bytes())).await?;
        let record = items.bytes_or_none()?;
        let waits = record.is_some_and(|record| record.get(1) == Some(&JobState::WaitingChildren.code()));
        let mut fields = items.items()?;
        let (mut pending, mut counted) = (0_u64, None);
        let mut unreadable = None;
        while fields.len() > 0 {
            let (field, value) = (fields.bytes()?, fields.bytes()?);
            match field.as_slice() {
                b"n" => {
                    counted = std::str::from_utf8(&value).ok().and_then(|digits| digits.parse::<u64>().ok());
                }
                index if index.iter().all(u8::is_ascii_digit) => match read_row(&value) {
                    Ok(child) => pending += u64::from(child.state == ChildState::Pending),
                    Err(damaged) => unreadable = Some(damaged),
                },
                _ => {}
            }
        }
        if let Some(damaged) = unreadable {
            let text = format!("a child of it cannot be read: {damaged}");
            self.find(6, Some(id), text, None).await?;
        } else if counted != Some(pending) {
            let counted = counted.map_or("nothing".to_owned(), |n| n.to_string());
            let text = format!("{pending} children are pending, counted is {counted}");
            self.find(6, Some(id.clone()), text, Some(Repair::Family(id))).await?;
        } else if waits && pending == 0 {
            let text = "it waits for children, and all have settled".to_owned();
            self.find(6, Some(id.clone()), text, Some(Repair::Family(id))).await?;
        }
        Ok(())
    }
}

/// What a record counts wrong.
fn counts(view: &JobView) -> Vec<String> {
    let status = &view.status;
    let mut wrong = Vec::new();
    if status.state == JobState::Failed && status.errors.is_empty() {
        wrong.push("it failed without an error".to_owned());
    }
    if status.attempts_made > view.spec.attempts {
        wrong
            .push(format!("{} attempts were made, {} are allowed", status.attempts_made, view.spec.attempts));
    }
    // As in core/verify.rs: each run is counted once at most, but a job's last one may be both an attempt and a stall.
    let counted = u64::from(status.attempts_made) + u64::from(status.stalls);
    if counted > u64::from(status.run) + u64::from(status.state.is_terminal()) {
        wrong.push(format!(
            "{} attempts and {} stalls are counted in {} runs",
            status.attempts_made, status.stalls, status.run
        ));
    }
    wrong
}

/// The next item, a number or nothing.
fn number_or_none(items: &mut Items) -> Result<Option<u64>> {
    let digits = items.bytes_or_none()?;
    Ok(digits.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok()))
}
