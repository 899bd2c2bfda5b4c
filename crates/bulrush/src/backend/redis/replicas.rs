//! Writes that replicas must have taken in before they are acknowledged.
//!
//! `WAIT` answers how many replicas have all that its connection has written. A repeat that finds its work done writes nothing, and newer
//! servers would then wait for nothing; so between the script and `WAIT` stands a `PUBLISH` to nobody, which replicas are sent as they are
//! sent writes, in order. All three go in one round trip.

use std::time::Duration;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use deadpool_redis::redis::{Cmd, Pipeline, RedisResult, Value, cmd};

use super::RedisOptions;
use super::connect::{Failed, Server};
use crate::port::{Error, Result};

/// How many replicas, and how long they may take.
pub(super) struct Confirm {
    asked: u32,
    within: Duration,
    publish: Cmd,
}

impl Confirm {
    /// None where no replica is asked for.
    pub fn new(options: &RedisOptions) -> Option<Self> {
        let mut publish = cmd("PUBLISH");
        publish.arg(format!("{}:replicas", options.namespace)).arg("");
        let (asked, within) = (options.replicas, options.replicas_within);
        (asked > 0).then_some(Self { asked, within, publish })
    }

    /// Finds out now, rather than with the first write, whether the account may do this.
    pub async fn try_out(&self, server: &Server) -> Result<()> {
        let mut wait = cmd("WAIT");
        wait.arg(0).arg(1);
        for call in [&self.publish, &wait] {
            server.call(call).await.map_err(|failed| match Error::from(failed) {
                Error::Server { fault, said } => Error::Server {
                    fault,
                    said: format!(
                        "{said}; replicas= needs WAIT and PUBLISH to NAMESPACE:replicas: +wait +publish &*"
                    ),
                },
                other => other,
            })?;
        }
        Ok(())
    }

    /// Makes a call and waits for the replicas.
    pub async fn call(&self, connection: &mut MultiplexedConnection, call: &Cmd) -> RedisResult<Answered> {
        let mut calls = Pipeline::with_capacity(3);
        calls.add_command(call.clone()).add_command(self.publish.clone());
        let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
        calls.cmd("WAIT").arg(self.asked).arg(within);
        let mut replies = connection.req_packed_commands(&calls, 0, 3).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Value::Nil).extract_error();
        let reply = next()?;
        next()?;
        let replicas = match next()? {
            Value::Int(replicas) => u32::try_from(replicas).unwrap_or(0),
            _ => 0,
        };
        Ok(Answered { reply, replicas })
    }
}

/// A reply, and how many replicas have what it answers.
pub(super) struct Answered {
    reply: Value,
    replicas: u32,
}

impl Answered {
    /// A reply that no replica was asked about.
    pub fn plain(reply: Value) -> Self {
        Self { reply, replicas: 0 }
    }

    /// The reply, if as many replicas have it as are asked for.
    pub fn confirmed(self, confirm: Option<&Confirm>) -> Result<Value, Failed> {
        match confirm {
            Some(Confirm { asked, within, .. }) if self.replicas < *asked => {
                let (asked, within) = (*asked, *within);
                Err(Failed::Unheard(Error::Unconfirmed { asked, confirmed: self.replicas, within }))
            }
            _ => Ok(self.reply),
        }
    }
}
