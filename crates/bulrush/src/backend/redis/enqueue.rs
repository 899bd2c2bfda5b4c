//! Putting jobs in.

use super::reply::strange;
use super::script::Script;
use super::{Answer, Redis, Via, add, outbox};
use crate::core::check::check_call;
use crate::model::{NewJob, QueueName};
use crate::port::{AddReply, Added, BoxFuture, Enqueue, Result};

impl Enqueue for Redis {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let via = Via::Line(&at.feed);
            let mut added: Vec<Option<Added>> = vec![None; jobs.len()];
            let mut reply = AddReply::default();
            let mut left: Vec<usize> = (0..jobs.len()).collect();
            if jobs.is_empty() {
                return Ok(reply);
            }
            self.list(via, &at).await?;
            // One round, unless an id comes twice and its first job is not added.
            while !left.is_empty() {
                let (first, repeats) = add::split_repeats(&jobs, &left);
                let call: Vec<&NewJob> = first.iter().map(|place| &jobs[*place]).collect();
                let check = |settings: &super::Settings| {
                    check_call(jobs.iter(), &settings.config.bounds, |place| place)
                };
                let answer = self
                    .checked(via, Script::Add, &at, check, |cmd, settings| {
                        add::put_args(cmd, queue, settings, &call);
                    })
                    .await?;
                let Answer::Done(now, mut items) = answer else { return Err(strange("a moment")) };
                for (place, outcome) in first.iter().zip(add::read_refused(&mut items, &call)?) {
                    added[*place] = Some(outcome);
                }
                reply.outbox.extend(outbox::entries(&mut items)?);
                left.clear();
                for place in repeats {
                    let id = &jobs[place].spec.id;
                    let before = first.iter().find(|first| jobs[**first].spec.id == *id);
                    let found =
                        before.and_then(|first| add::of_repeat(added[*first].as_ref()?, &jobs[*first], now));
                    if found.is_some() {
                        added[place] = found;
                    } else {
                        left.push(place);
                    }
                }
            }
            reply.added = added.into_iter().flatten().collect();
            Ok(reply)
        })
    }
}
