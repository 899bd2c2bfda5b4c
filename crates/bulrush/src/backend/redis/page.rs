//! Reading a queue page by page.
//!
//! The order and the meaning are those of `core/inspect.rs`. Rows are found in bounded slices of the collections (`page/walk.rs`), records are
//! read for them in batches, and a job is shown only if its record says that it still is where its entry stands. Between two slices the
//! queue may move on: jobs that are added or taken meanwhile are shown or not, all others are shown once.

mod place;
mod waiting;
mod walk;

use deadpool_redis::redis::{Cmd, RedisWrite, Value};

use self::place::Place;
use self::walk::{Row, Source, Walk};
use super::inspect::read_kept;
use super::reply::{Items, strange};
use super::script::Script;
use super::settings::bad_record;
use super::{Redis, Via};
use crate::model::{JobPage, JobView, PageRequest, QueueName};
use crate::port::{Error, Result};

/// Records looked at for one page, at most.
const SCAN_MAX: usize = 10_000;
/// Jobs of one page, at most.
const PAGE_MAX: usize = 1_000;
/// Entries looked at for one page, at most, with those that jobs have left behind and those passed by in a search.
const LOOK_MAX: usize = 100_000;
/// Records read at once: at least so many, because some are of jobs that have left, and at most.
const READ_MIN: usize = 16;
const READ_MAX: usize = 200;

impl Redis {
    /// A page of jobs.
    pub(super) async fn read_page(&self, queue: &QueueName, request: PageRequest) -> Result<JobPage> {
        self.check_open()?;
        let bad_cursor = || Error::Cursor { cursor: request.cursor.clone().unwrap_or_default() };
        let place = match &request.cursor {
            Some(text) => Some(Place::parse(text).ok_or_else(bad_cursor)?),
            None => None,
        };
        let walk = Walk::new(request.state, request.owner.as_ref(), place);
        let mut walk = walk.ok_or_else(bad_cursor)?;
        let at = self.at(queue);
        let source = Source { redis: self, at: &at };
        let limit = request.limit.clamp(1, PAGE_MAX);
        let (mut page, mut looked) = (JobPage::default(), 0);
        while let Some(batch) = walk.next(source).await? {
            looked += batch.looked;
            let mut last = None;
            let mut rows = batch.rows.into_iter().peekable();
            while rows.peek().is_some() {
                let room = (limit - page.jobs.len()).min(SCAN_MAX - page.scanned);
                let enough = if request.filter.is_empty() { room } else { SCAN_MAX - page.scanned };
                let some: Vec<Row> = rows.by_ref().take(enough.clamp(READ_MIN, READ_MAX)).collect();
                for (row, view) in self.views(source, some).await? {
                    last = Some(row.place);
                    let Some(view) = view else { continue };
                    // An owner's list has ids of jobs that were removed, and others may have taken those ids.
                    if request.owner.as_ref().is_some_and(|owner| view.spec.owner.as_deref() != Some(owner)) {
                        continue;
                    }
                    page.scanned += 1;
                    let wanted = request.state.is_none_or(|state| state == view.status.state);
                    if wanted && (request.filter.is_empty() || request.filter.admits(&view)) {
                        page.jobs.push(view);
                    }
                    if page.jobs.len() == limit || page.scanned == SCAN_MAX {
                        page.next = last.map(|place| place.text());
                        return Ok(page);
                    }
                }
            }
            let stands = batch.place.or(last);
            if looked >= LOOK_MAX
                && let Some(place) = stands
            {
                page.next = Some(place.text());
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// Reads the records of rows; none for those that stand for no job.
    async fn views(&self, source: Source<'_>, rows: Vec<Row>) -> Result<Vec<(Row, Option<JobView>)>> {
        let put = |cmd: &mut Cmd| {
            for row in &rows {
                cmd.write_arg(row.id.as_bytes());
            }
        };
        let mut found = self.script(Via::Pool, Script::Get, source.at, put).await?;
        let queue = &source.at.name;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let kept = match found.next() {
                Some(Value::Nil) => None,
                Some(kept) => Some(read_kept(Items::of(kept)?)?),
                None => return Err(strange("a row for each id")),
            };
            let kept = kept.filter(|kept| row.live.admits(kept));
            let view = kept.and_then(|kept| match kept.view(queue, row.id.clone()) {
                Ok(view) => Some(view),
                Err(damaged) => {
                    // One job must not hide all others; a check of the queue finds it.
                    let error = bad_record(queue, row.id.as_str())(damaged);
                    tracing::error!(%queue, job = %row.id, %error, "a job is left out of a page");
                    None
                }
            });
            views.push((row, view));
        }
        Ok(views)
    }
}
