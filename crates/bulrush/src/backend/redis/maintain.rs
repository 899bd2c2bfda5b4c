//! Keeping a queue in order, and doing what an administrator asks.

use deadpool_redis::redis::{Cmd, RedisWrite, cmd};

use super::outbox::{child_state, entries};
use super::reply::{Items, strange};
use super::script::Script;
use super::{Answer, Redis, Settings, Via, add, put_number, settings};
use crate::core::check::{check_command, check_entries, check_items};
use crate::model::{CheckError, JobId, JobState, QueueConfig, QueueName, Scope, When};
use crate::port::{
    AdminCommand, AdminReply, AdminResult, BoxFuture, Delivery, Error, Maintain, Maintained, OutboxEntry,
    Result,
};

impl Maintain for Redis {
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let (_, mut items) = self.done(Via::Pool, Script::Maintain, &at, |_| {}).await?;
            read_maintained(&mut items)
        })
    }

    fn configure<'a>(&'a self, queue: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            let problems = config.problems();
            if !problems.is_empty() {
                return Err(Error::Config { problems });
            }
            let at = self.at(queue);
            let (packed, json) = (settings::pack(&config), settings::to_json(&config)?);
            self.list(Via::Pool, &at).await?;
            let arguments = |cmd: &mut Cmd| {
                cmd.write_arg(&packed);
                cmd.write_arg(&json);
            };
            self.done(Via::Pool, Script::Configure, &at, arguments).await.map(drop)
        })
    }

    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            self.list(Via::Pool, &at).await?;
            let check = |settings: &Settings| check_command(scope, &command, &settings.config.bounds);
            let answer = self
                .checked(Via::Pool, Script::Admin, &at, check, |cmd, settings| {
                    cmd.write_arg_fmt(settings.version);
                    put_command(cmd, &command);
                    put_scope(cmd, scope);
                })
                .await?;
            match answer {
                Answer::Done(_, mut items) => read_admin(&mut items),
                Answer::Word(word, mut rest) => Err(match word.as_slice() {
                    b"busy" => Error::Busy { active: rest.number()? },
                    b"grouped" => CheckError::PriorityInGroup { item: 0 }.into(),
                    _ => strange("a moment"),
                }),
            }
        })
    }

    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        delivered: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let via = Via::Line(&at.feed);
            if delivered.is_empty() {
                return Ok(Vec::new());
            }
            self.list(via, &at).await?;
            let check = |settings: &Settings| check_entries(&delivered, &settings.config.bounds);
            let answer = self
                .checked(via, Script::Deliver, &at, check, |cmd, settings| {
                    put_entries(cmd, queue, settings, source, &delivered);
                })
                .await?;
            let Answer::Done(_, mut items) = answer else { return Err(strange("a moment")) };
            entries(&mut items)
        })
    }

    fn acknowledge<'a>(&'a self, queue: &'a QueueName, seqs: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let via = Via::Line(&at.feed);
            if let Err(error) = check_items(seqs.len(), &at.settings.get().config.bounds) {
                // What is known here may be old.
                self.refresh(via, &at).await?;
                if check_items(seqs.len(), &at.settings.get().config.bounds).is_err() {
                    return Err(error);
                }
            }
            if seqs.is_empty() {
                return Ok(());
            }
            let mut delete = cmd("XDEL");
            delete.arg(at.keys.outbox());
            for seq in &seqs {
                delete.write_arg_fmt(format_args!("{seq}-0"));
            }
            self.plain(via, &delete).await.map(drop)
        })
    }
}

/// Reads what a pass of maintenance did.
pub(super) fn read_maintained(items: &mut Items) -> Result<Maintained> {
    let mut items = items.items()?;
    Ok(Maintained {
        promoted: items.number()? as usize,
        rescued: items.number()? as usize,
        trimmed: items.number()? as usize,
        more: items.flag()?,
        outbox: entries(&mut items)?,
    })
}

fn read_admin(items: &mut Items) -> Result<AdminReply> {
    let read = |letter: u8| match letter {
        b'D' => Ok(AdminResult::Done),
        b'R' => Ok(AdminResult::Requested),
        b'U' => Ok(AdminResult::Unknown),
        other => JobState::from_code(other).map(AdminResult::WrongState).ok_or_else(|| strange("a state")),
    };
    Ok(AdminReply {
        results: items.bytes()?.into_iter().map(read).collect::<Result<_>>()?,
        changed: items.number()? as usize,
        more: items.flag()?,
        outbox: entries(items)?,
    })
}

fn put_ids(cmd: &mut Cmd, ids: &[JobId]) {
    cmd.write_arg_fmt(ids.len());
    for id in ids {
        cmd.write_arg(id.as_bytes());
    }
}

fn put_flag(cmd: &mut Cmd, flag: bool) {
    cmd.write_arg(if flag { b"1" } else { b"0" });
}

/// Appends whose jobs a command may touch: a letter, a tenant, a user.
pub(super) fn put_scope(cmd: &mut Cmd, scope: &Scope) {
    let (letter, tenant, user) = match scope {
        Scope::All => (b"a", "", ""),
        Scope::Tenant(tenant) => (b"t", tenant.as_str(), ""),
        Scope::Owner(owner) => (b"o", owner.tenant.as_str(), owner.user.as_str()),
    };
    cmd.write_arg(letter);
    cmd.write_arg(tenant.as_bytes());
    cmd.write_arg(user.as_bytes());
}

/// Appends the name of a command and what belongs to it.
fn put_command(cmd: &mut Cmd, command: &AdminCommand) {
    match command {
        AdminCommand::Pause => cmd.write_arg(b"pause"),
        AdminCommand::Unpause => cmd.write_arg(b"unpause"),
        AdminCommand::Cancel(ids) => {
            cmd.write_arg(b"cancel");
            put_ids(cmd, ids);
        }
        AdminCommand::Remove(ids) => {
            cmd.write_arg(b"remove");
            put_ids(cmd, ids);
        }
        AdminCommand::Discard(ids) => {
            cmd.write_arg(b"discard");
            put_ids(cmd, ids);
        }
        AdminCommand::Promote(ids) => {
            cmd.write_arg(b"promote");
            put_ids(cmd, ids);
        }
        AdminCommand::Retry { ids, data } => {
            cmd.write_arg(b"retry");
            put_ids(cmd, ids);
            put_flag(cmd, data.is_some());
            cmd.write_arg(data.as_deref().unwrap_or_default());
        }
        AdminCommand::RetryFailed { limit } => {
            cmd.write_arg(b"retryfailed");
            cmd.write_arg_fmt(limit);
        }
        AdminCommand::Reschedule { id, when } => {
            cmd.write_arg(b"reschedule");
            cmd.write_arg(id.as_bytes());
            let (mode, ms): (&[u8], u64) = match when {
                When::Now => (b"in", 0),
                When::After(ms) => (b"in", *ms),
                When::At(at) => (b"at", *at),
            };
            cmd.write_arg(mode);
            put_number(cmd, ms);
        }
        AdminCommand::SetPriority { id, priority } => {
            cmd.write_arg(b"priority");
            cmd.write_arg(id.as_bytes());
            cmd.write_arg_fmt(priority);
        }
        AdminCommand::SetData { id, data } => {
            cmd.write_arg(b"data");
            cmd.write_arg(id.as_bytes());
            cmd.write_arg(data);
        }
        AdminCommand::Clean { state, older_ms, limit } => {
            cmd.write_arg(b"clean");
            cmd.write_arg(&[state.code()]);
            put_number(cmd, *older_ms);
            cmd.write_arg_fmt(limit);
        }
        AdminCommand::Drain { delayed, limit } => {
            cmd.write_arg(b"drain");
            put_flag(cmd, *delayed);
            cmd.write_arg_fmt(limit);
        }
        AdminCommand::Obliterate { force, limit } => {
            cmd.write_arg(b"obliterate");
            put_flag(cmd, *force);
            cmd.write_arg_fmt(limit);
        }
    }
}

/// Appends entries of another queue's outbox.
fn put_entries(
    cmd: &mut Cmd,
    queue: &QueueName,
    settings: &Settings,
    source: &QueueName,
    delivered: &[OutboxEntry],
) {
    cmd.write_arg_fmt(settings.version);
    cmd.write_arg(source.as_str().as_bytes());
    cmd.write_arg_fmt(delivered.len());
    for entry in delivered {
        put_number(cmd, entry.seq);
        put_number(cmd, entry.at);
        match &entry.delivery {
            Delivery::Add(job) => {
                cmd.write_arg(b"1");
                add::put_delivered(cmd, queue, settings, job);
            }
            Delivery::ChildSettled { parent, child, state } => {
                let (letter, text) = child_state(state);
                cmd.write_arg(b"2");
                cmd.write_arg(parent.as_bytes());
                cmd.write_arg(child.as_bytes());
                cmd.write_arg(&[letter]);
                cmd.write_arg(text);
            }
            Delivery::CancelChild { child, parent } => {
                cmd.write_arg(b"3");
                cmd.write_arg(child.as_bytes());
                cmd.write_arg(parent.as_bytes());
            }
        }
    }
}
