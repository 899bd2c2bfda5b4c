//! Doing the work: steps, waits, hellos, writes of running jobs, signs of life.

use std::time::Duration;

use deadpool_redis::redis::{Cmd, RedisResult, RedisWrite, Value, cmd};

use super::blocking::End;
use super::keys::WAKE;
use super::packed::put_nonce;
use super::record::put_progress;
use super::reply::{Items, strange};
use super::script::Script;
use super::step::read_settled;
use super::time::left;
use super::{Answer, At, Redis, Settings, Via, fault, maintain, put_number, rollups, script, step};
use crate::core::check::{check_finished, check_updates};
use crate::model::{Millis, QueueName, Token};
use crate::port::{
    BoxFuture, Error, Renew, RenewReply, Result, Resume, ResumeReply, Settled, Step, StepReply, Update,
    UpdateChange, Work, WorkerInfo,
};
use crate::random;

/// Longest wait at the server; who wants to wait longer comes again.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// The server looks at the ends of waits only now and then, so its own end of one is a safety net behind that of this process.
const WAIT_SLACK: Duration = Duration::from_secs(1);

impl Work for Redis {
    fn step<'a>(&'a self, queue: &'a QueueName, call: Step) -> BoxFuture<'a, Result<StepReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let via = Via::Line(&at.work);
            self.list(via, &at).await?;
            let check = |settings: &Settings| check_finished(&call.finished, &settings.config.bounds);
            let answer = self
                .checked(via, Script::Step, &at, check, |cmd, settings| step::put_args(cmd, settings, &call))
                .await?;
            let asked =
                step::Asked { queue, worker: call.worker, call: call.call, finished: call.finished.len() };
            match answer {
                Answer::Done(now, items) => step::read_reply(&asked, now, items),
                Answer::Word(word, rest) => Err(late(&word, rest, call.call)),
            }
        })
    }

    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let now = match (&self.test_time, at.heard.now()) {
                (Some(time), _) => time.clock.now(),
                (None, Some(now)) => now,
                (None, None) => self.moment(Via::Pool).await?,
            };
            if until <= now {
                // Whoever does not wait has no need of the wake-up that is there.
                let mut pop = cmd("LPOP");
                pop.arg(at.keys.wake());
                return self.plain(Via::Line(&at.work), &pop).await.map(drop);
            }
            let limit = if self.test_time.is_some() { WAIT_MAX } else { left(until, now).min(WAIT_MAX) };
            let end = async {
                match &self.test_time {
                    Some(time) => time.clock.sleep_until(until).await,
                    None => tokio::time::sleep(limit).await,
                }
            };
            let longest = limit + WAIT_SLACK;
            let mut pop = cmd("BLPOP");
            let bell = at.keys.bell(random::bits64());
            pop.arg(at.keys.wake()).arg(&bell).arg(format!("{:.3}", longest.as_secs_f64()));
            tokio::select! {
                biased;
                () = self.closed.cancelled() => Err(Error::Closed),
                woken = self.blocking.call(pop, End::Bell(bell), longest, wake_another) => woken.map(drop),
                () = end => Ok(()),
            }
        })
    }

    fn resume<'a>(&'a self, queue: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let via = Via::Line(&at.work);
            self.list(via, &at).await?;
            let info = info_json(&resume.info)?;
            let arguments = |cmd: &mut Cmd| {
                cmd.write_arg(&resume.info.id.0.to_be_bytes());
                put_number(cmd, resume.call);
                cmd.write_arg(&info);
                cmd.write_arg_fmt(resume.running.len());
                for (id, token) in &resume.running {
                    cmd.write_arg(id.as_bytes());
                    put_token(cmd, token);
                }
            };
            match self.ask(via, Script::Resume, &at, arguments).await? {
                Answer::Done(_, mut items) => Ok(ResumeReply { returned: items.ids()?, lost: items.ids()? }),
                Answer::Word(word, rest) => Err(late(&word, rest, resume.call)),
            }
        })
    }

    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let check = |settings: &Settings| check_updates(&updates, &settings.config.bounds);
            let answer = self
                .checked(Via::Line(&at.feed), Script::Update, &at, check, |cmd, settings| {
                    put_updates(cmd, settings, &updates);
                })
                .await?;
            let Answer::Done(_, mut items) = answer else { return Err(strange("a moment")) };
            read_settled(&items.bytes()?, updates.len())
        })
    }

    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        self.check_open()?;
        let at = self.at(queue);
        let info = info_json(&renew.info)?;
        let mut packed = Vec::new();
        rollups::put(&mut packed, &renew.rollups);
        let arguments = |cmd: &mut Cmd| {
            cmd.write_arg(&renew.info.id.0.to_be_bytes());
            cmd.write_arg(&info);
            put_number(cmd, renew.rollup_seq);
            cmd.write_arg(&packed);
        };
        let reply =
            self.wire.with(|connection| self.call_blocking(connection, Script::Renew, &at, &arguments));
        let reply = reply.map_err(|error| fault::of(&error))?;
        let Answer::Done(_, mut items) = Answer::of(Items::of(reply)?, &at)? else {
            return Err(strange("a moment"));
        };
        let known = items.flag()?;
        let worker = renew.info.id;
        let cancel = items.rows(|row| {
            let id = row.id()?;
            let run = u32::try_from(row.number()?).unwrap_or(u32::MAX);
            Ok((id, Token { run, worker, take: row.number()? }))
        })?;
        let maintained = maintain::read_maintained(&mut items)?;
        Ok(RenewReply { known, cancel, maintained, lease_ms: items.number()? })
    }
}

impl Redis {
    /// Calls a script from a thread that may block.
    fn call_blocking(
        &self,
        connection: &mut deadpool_redis::redis::Connection,
        script: Script,
        at: &At,
        arguments: &impl Fn(&mut Cmd),
    ) -> RedisResult<Value> {
        use std::sync::atomic::Ordering;
        if let Some(time) = &self.test_time
            && let Some((set, now)) = time.due()
        {
            set.exec(connection)?;
            time.wrote(now);
        }
        if !at.listed.load(Ordering::Acquire) {
            match self.listing(at).exec(connection) {
                Ok(()) => at.listed.store(true, Ordering::Release),
                // As in `list`.
                Err(error) if fault::is_full(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let load = |connection: &mut deadpool_redis::redis::Connection| -> RedisResult<&str> {
            let hash: String = cmd("SCRIPT").arg("LOAD").arg(self.scripts.text(script)).query(connection)?;
            Ok(self.scripts.learn(script, hash))
        };
        let hash = self.scripts.hash(script).map_or_else(|| load(connection), Ok)?;
        let mut call = script::call(script, hash, &at.keys);
        arguments(&mut call);
        match call.query(connection) {
            Err(error) if fault::lacks_script(&error) => {
                load(connection)?;
                call.query(connection)
            }
            other => other,
        }
    }
}

/// What a script says that got a call after a later one of the same worker.
fn late(word: &[u8], mut rest: Items, call: u64) -> Error {
    match (word, rest.number()) {
        (b"late", Ok(last)) => Error::StaleCall { call, last },
        _ => strange("a moment"),
    }
}

/// Gives a wake-up that nobody heard to the next who waits; what ended the wait itself is for nobody else.
fn wake_another(popped: &Value) -> Option<Cmd> {
    let Value::Array(parts) = popped else { return None };
    let [Value::BulkString(key), Value::BulkString(element)] = parts.as_slice() else { return None };
    if !key.ends_with(WAKE) {
        return None;
    }
    let mut push = cmd("LPUSH");
    push.arg(key.as_slice()).arg(element.as_slice());
    Some(push)
}

fn info_json(info: &WorkerInfo) -> Result<Vec<u8>> {
    serde_json::to_vec(info).map_err(|error| Error::Payload { reason: error.to_string() })
}

fn put_token(cmd: &mut Cmd, token: &Token) {
    let mut nonce = Vec::with_capacity(14);
    put_nonce(&mut nonce, token.worker, token.take);
    cmd.write_arg(&nonce);
}

fn put_updates(cmd: &mut Cmd, settings: &Settings, updates: &[Update]) {
    cmd.write_arg_fmt(settings.version);
    cmd.write_arg_fmt(updates.len());
    for update in updates {
        cmd.write_arg(update.id.as_bytes());
        put_token(cmd, &update.token);
        match &update.change {
            UpdateChange::Progress(progress) => {
                let mut packed = Vec::with_capacity(64);
                put_progress(&mut packed, progress, settings.message_max());
                cmd.write_arg(b"p");
                cmd.write_arg(&packed);
            }
            UpdateChange::Log { from, lines } => {
                cmd.write_arg(b"l");
                cmd.write_arg_fmt(from);
                cmd.write_arg_fmt(lines.len());
                for line in lines {
                    cmd.write_arg(line.as_bytes());
                }
            }
            UpdateChange::Data(data) => {
                cmd.write_arg(b"d");
                cmd.write_arg(data);
            }
        }
    }
}
