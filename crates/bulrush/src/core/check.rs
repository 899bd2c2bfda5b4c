//! What a call may carry, looked at before anything is changed. The same for every backend, so that each refuses the same calls with the
//! same words, naming the same item.

use bytes::Bytes;
use hashbrown::HashSet;

use crate::model::{
    Bound, BoundError, Bounds, CheckError, Finished, JobId, JobState, Load, NewJob, Outcome, ScheduleError,
    ScheduleSpec, Scope, When,
};
use crate::port::{AdminCommand, Error, Fire, OutboxEntry, Update, UpdateChange};

/// Checks jobs that come in together before anything is changed; `item` names the place in the call that an error tells.
pub(crate) fn check_call<'a>(
    jobs: impl Iterator<Item = &'a NewJob> + Clone,
    bounds: &Bounds,
    item: impl Fn(usize) -> usize,
) -> Result<(), Error> {
    let items = jobs.clone().map(NewJob::tree_len).sum();
    BoundError::check(Bound::CallItems, items, bounds.call_items, item(0))?;
    let bytes = jobs.clone().map(NewJob::tree_bytes).sum();
    BoundError::check(Bound::CallBytes, bytes, bounds.call_bytes.max(bounds.data_bytes), item(0))?;
    for (place, job) in jobs.enumerate() {
        let item = item(place);
        job.check(bounds, item)?;
        if !job.children.is_empty() {
            check_ids(job, item)?;
        }
    }
    Ok(())
}

/// Every job of a flow has an id of its own: two of one id would be one job, and its parent would wait for the other for ever.
fn check_ids(root: &NewJob, item: usize) -> Result<(), CheckError> {
    let mut seen: HashSet<&JobId> = HashSet::new();
    seen.insert(&root.spec.id);
    let mut left = vec![root];
    while let Some(job) = left.pop() {
        for child in &job.children {
            if !seen.insert(&child.job.spec.id) {
                return Err(CheckError::RepeatedId { item });
            }
            left.push(&child.job);
        }
    }
    Ok(())
}

/// Checks what has ended.
pub(crate) fn check_finished(finished: &[Finished], bounds: &Bounds) -> Result<(), Error> {
    let mut load = Load::new(bounds, bounds.result_bytes);
    for (item, finished) in finished.iter().enumerate() {
        if let Outcome::Complete { result, follow_ups } = &finished.outcome {
            let len = result.as_ref().map_or(0, Bytes::len);
            BoundError::check(Bound::Result, len, bounds.result_bytes, item)?;
            check_call(follow_ups.iter().map(|(_, job)| job), bounds, |_| item)?;
        }
        let (items, bytes) = finished.outcome.load();
        load.take(items, bytes, item)?;
    }
    Ok(())
}

/// Checks what running jobs write.
pub(crate) fn check_updates(updates: &[Update], bounds: &Bounds) -> Result<(), Error> {
    let mut load = Load::new(bounds, bounds.data_bytes);
    for (item, update) in updates.iter().enumerate() {
        match &update.change {
            UpdateChange::Data(data) => {
                BoundError::check(Bound::Data, data.len(), bounds.data_bytes, item)?;
            }
            UpdateChange::Log { lines, .. } => {
                let longest = lines.iter().map(String::len).max().unwrap_or(0);
                BoundError::check(Bound::LogLine, longest, bounds.log_line_bytes, item)?;
            }
            UpdateChange::Progress(progress) => {
                let len = progress.data.as_ref().map_or(0, Bytes::len);
                BoundError::check(Bound::Progress, len, bounds.progress_bytes, item)?;
            }
        }
        let (items, bytes) = update.change.load();
        load.take(items, bytes, item)?;
    }
    Ok(())
}

/// Checks entries of another queue's outbox. One alone is never too large, because it was admitted where it was made.
pub(crate) fn check_entries(entries: &[OutboxEntry], bounds: &Bounds) -> Result<(), Error> {
    if entries.len() > 1 {
        let mut load = Load::new(bounds, 0);
        for (item, entry) in entries.iter().enumerate() {
            let (items, bytes) = entry.load();
            load.take(items, bytes, item)?;
        }
    }
    Ok(())
}

/// Checks slots that are to fire, each with its job.
pub(crate) fn check_fires(fires: &[Fire], jobs: &[Option<NewJob>], bounds: &Bounds) -> Result<(), Error> {
    let mut load = Load::new(bounds, bounds.data_bytes);
    for (item, (fire, job)) in fires.iter().zip(jobs).enumerate() {
        let grows = fire.next.is_none_or(|next| next > fire.slot.max(fire.fires.unwrap_or(0)))
            && fire.fires.is_none_or(|fires| fires >= fire.slot);
        if !grows {
            let (schedule, slot) = (fire.spec.id.clone(), fire.slot);
            return Err(ScheduleError::Order { schedule, slot, fires: fire.fires, next: fire.next }.into());
        }
        if let Some(job) = job {
            job.check(bounds, item)?;
        }
        let (items, bytes) = fire.load();
        load.take(items, bytes, item)?;
    }
    Ok(())
}

/// Checks schedules that are to be put.
pub(crate) fn check_schedules(scope: &Scope, specs: &[ScheduleSpec], bounds: &Bounds) -> Result<(), Error> {
    let mut load = Load::new(bounds, bounds.data_bytes);
    let mut seen = HashSet::with_capacity(specs.len());
    for (item, spec) in specs.iter().enumerate() {
        // By number first: a call with more than it may name is not looked through.
        load.take(1, 0, item)?;
        let refused = |reason| Error::SchedulePut { schedule: spec.id.clone(), reason };
        if !scope.admits(spec.owner.as_deref()) {
            return Err(refused(ScheduleError::Owner));
        }
        spec.check(bounds).map_err(refused)?;
        if !seen.insert(&spec.id) {
            return Err(refused(ScheduleError::Repeated { schedule: spec.id.clone() }));
        }
        load.take(0, spec.job.data.len(), item)?;
    }
    Ok(())
}

/// Checks how many things a call names.
pub(crate) fn check_items(items: usize, bounds: &Bounds) -> Result<(), Error> {
    Ok(BoundError::check(Bound::CallItems, items, bounds.call_items, 0)?)
}

/// Checks what an administrator asks for, as far as the command itself tells.
pub(crate) fn check_command(scope: &Scope, command: &AdminCommand, bounds: &Bounds) -> Result<(), Error> {
    if let Some(command) = command.of_whole_queue().filter(|_| !scope.is_all()) {
        return Err(Error::Unscoped { command });
    }
    let items = |n: usize| check_items(n, bounds);
    match command {
        AdminCommand::Pause | AdminCommand::Unpause => {}
        AdminCommand::Cancel(ids)
        | AdminCommand::Remove(ids)
        | AdminCommand::Discard(ids)
        | AdminCommand::Promote(ids) => {
            items(ids.len())?;
        }
        AdminCommand::Retry { ids, data } => {
            items(ids.len())?;
            BoundError::check(Bound::Data, data.as_ref().map_or(0, Bytes::len), bounds.data_bytes, 0)?;
        }
        AdminCommand::SetData { data, .. } => {
            BoundError::check(Bound::Data, data.len(), bounds.data_bytes, 0)?;
        }
        AdminCommand::SetPriority { priority, .. } => {
            BoundError::check(Bound::Priority, *priority as usize, NewJob::PRIORITY_MAX as usize, 0)?;
        }
        AdminCommand::Reschedule { when, .. } => {
            if let When::After(ms) = when {
                BoundError::check(Bound::Delay, *ms as usize, NewJob::DELAY_MAX_MS as usize, 0)?;
            }
        }
        AdminCommand::RetryFailed { limit }
        | AdminCommand::Drain { limit, .. }
        | AdminCommand::Obliterate { limit, .. } => items(*limit)?,
        AdminCommand::Clean { state, limit, .. } => {
            items(*limit)?;
            if *state == JobState::Active {
                return Err(Error::WrongState { command: "clean", state: *state });
            }
        }
    }
    Ok(())
}
