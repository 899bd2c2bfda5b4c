//! The handlers.

use std::sync::Arc;
use std::time::Duration;

use bulrush::{Client, Context, Failure, JobResult};
use bytes::Bytes;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::load::follow_up_of;
use super::process::Process;
use super::random::{Random, hash};
use super::store::LEASE_MS;

/// What the handlers of a process have at hand.
#[derive(Clone)]
pub struct Desk {
    pub seed: u64,
    pub ledger: Arc<Ledger>,
    pub process: Arc<Process>,
    pub client: Client,
}

impl Desk {
    /// Works, and half of the time heeds who asks it to stop. Job and run decide everything, so that a repeat is the same.
    pub async fn handle(self, ctx: Context) -> JobResult<Option<Bytes>> {
        let running = self.ledger.start(ctx.id(), ctx.token(), &self.process);
        let dice = Random::new(hash(self.seed, &format!("{} {}", ctx.id(), ctx.token().run)));
        let heeds = dice.percent(50);
        let result = tokio::select! {
            biased;
            result = self.work(&ctx, &dice) => result,
            _ = ctx.stopped(), if heeds => Err(Failure::Cancelled),
        };
        // A process that stands still does not heed anything either.
        self.process.runs().await;
        if result.is_ok() {
            running.succeeded();
        }
        result
    }

    /// Takes some time, writes its effect, and ends in one of all ways.
    async fn work(&self, ctx: &Context, dice: &Random) -> JobResult<Option<Bytes>> {
        let token = ctx.token();
        let steps = dice.below(4);
        for step in 0..steps {
            let long = if dice.percent(5) { 2 * LEASE_MS } else { 200 };
            sleep(Duration::from_millis(dice.below(long))).await;
            self.process.runs().await;
            if dice.percent(30) {
                ctx.progress((step * 25) as u8, "on");
                ctx.log("a step");
            }
        }
        match dice.below(100) {
            0..10 => return Err(Failure::retry("bad luck")),
            10..12 => return Err(Failure::unrecoverable("worse luck")),
            12..16 => panic!("simulated"),
            16..22 => return Err(Failure::Snooze { after: Duration::from_millis(dice.below(1_000)) }),
            22..24 => {
                return Err(Failure::RateLimited { retry_after: Duration::from_millis(dice.below(500)) });
            }
            _ => {}
        }
        if !self.ledger.write_effect(ctx.id(), token) {
            return Err(Failure::retry("a later run has written"));
        }
        let depth: u32 = ctx.payload()?;
        if let Some(target) = follow_up_of(self.seed, ctx.id(), depth) {
            let target = self.client.queue(target)?;
            let data = (depth + 1).to_string();
            ctx.follow_up(&target, "next", target.job("work", data).attempts(4));
        }
        Ok(Some(format!("\"{token}\"").into()))
    }
}
