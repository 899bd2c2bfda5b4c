//! The sums of all metrics of a publisher: pages of observations from the store, folded on a thread that may be busy.
//!
//! At any time there are a few pages in memory, the values of one bucket and the rows that are made, each of which has its bound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulrush::Context;
use bulrush_store::{Point, Rollup, Scope, Store};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::AggregateError;
use crate::rollup::{Folding, RATIOS, Span};

/// Observations of one look into the store.
const PAGE: u32 = 10_000;
/// Pages that wait for the thread.
const IN_BETWEEN: usize = 2;
/// Most metrics of a publisher.
const METRICS_MAX: usize = 200;
/// Most rows of one job: a transaction's worth, and some 30 MB.
const ROWS_MAX: usize = 200_000;
/// Most values of one bucket, which are held for its percentiles: 80 MB.
const VALUES_MAX: usize = 10_000_000;

/// What a publisher's observations come to.
#[derive(Debug, PartialEq)]
pub(super) struct Sums {
    /// By bucket and metric.
    pub rows: Vec<Rollup>,
    /// The metrics that have any, by name.
    pub metrics: Vec<Arc<str>>,
    pub observations: u64,
    pub buckets: u64,
}

/// Points of one metric, a later page of the same being younger.
struct Page {
    metric: Arc<str>,
    points: Vec<Point>,
}

/// Tells the thread to stop when whoever waits for it does not any more.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads and sums; the buckets are `spans`. Ends after its thread has.
pub(super) async fn of_publisher(
    store: &Store,
    (scope, publisher): (&Scope, &str),
    spans: Arc<[Span]>,
    ctx: &Context,
) -> Result<Sums, AggregateError> {
    let mut names = store.observations().metric_names(scope, publisher, METRICS_MAX + 1).await?;
    if names.len() > METRICS_MAX {
        return Err(AggregateError::TooManyMetrics { most: METRICS_MAX });
    }
    // Databases differ in how they order names.
    names.sort_unstable();
    let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
    let (pages, incoming) = mpsc::channel(IN_BETWEEN);
    let stop = Arc::new(AtomicBool::new(false));
    let guard = StopWhenDropped(stop.clone());
    let thread = tokio::task::spawn_blocking({
        let spans = spans.clone();
        move || sum(&spans, incoming, &stop)
    });
    let fed = tokio::select! {
        biased;
        _ = ctx.stopped() => Err(AggregateError::Stopped),
        fed = feed(store, (scope, publisher), &names, &spans, pages, ctx) => fed,
    };
    if fed.is_err() {
        drop(guard);
        // Nothing of this job goes on behind its back.
        let _ = thread.await;
        return fed.and(Err(AggregateError::Stopped));
    }
    // What is still in between is soon summed; who does not wait for it any more says so.
    let summed = thread.await.map_err(|error| AggregateError::Broken(error.to_string()))?;
    drop(guard);
    summed
}

/// Sends all pages to the thread.
async fn feed(
    store: &Store,
    (scope, publisher): (&Scope, &str),
    names: &[Arc<str>],
    spans: &[Span],
    pages: mpsc::Sender<Page>,
    ctx: &Context,
) -> Result<(), AggregateError> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let (begin_ms, end_ms) = (first.start_ms, last.end_ms);
    for (at, metric) in names.iter().enumerate() {
        let mut from_ms = begin_ms;
        loop {
            let points =
                store.observations().range(scope, publisher, metric, (from_ms, end_ms), PAGE).await?;
            let is_last = points.len() < PAGE as usize;
            from_ms = points.last().map_or(end_ms, |last| last.ts_ms.saturating_add(1));
            if pages.send(Page { metric: metric.clone(), points }).await.is_err() {
                // The thread has ended, and says why.
                return Ok(());
            }
            let part = if is_last { 1.0 } else { (from_ms - begin_ms) as f64 / (end_ms - begin_ms) as f64 };
            let done = (at as f64 + part) / names.len() as f64;
            ctx.progress(5 + (done * 80.0) as u8, format!("{metric} is read"));
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

/// Sums all pages that come, until there are no more or somebody says so.
fn sum(
    spans: &[Span],
    mut incoming: mpsc::Receiver<Page>,
    stop: &AtomicBool,
) -> Result<Sums, AggregateError> {
    let mut sums = Summing { spans, open: None, rows: Vec::new(), metrics: Vec::new(), observations: 0 };
    while let Some(page) = incoming.blocking_recv() {
        if stop.load(Ordering::Relaxed) {
            return Err(AggregateError::Stopped);
        }
        sums.take(page)?;
    }
    if stop.load(Ordering::Relaxed) {
        return Err(AggregateError::Stopped);
    }
    sums.finish()
}

struct Summing<'s> {
    spans: &'s [Span],
    /// The metric whose pages come.
    open: Option<(Arc<str>, Folding<'s>)>,
    rows: Vec<Rollup>,
    metrics: Vec<Arc<str>>,
    observations: u64,
}

impl Summing<'_> {
    fn take(&mut self, page: Page) -> Result<(), AggregateError> {
        let is_open = self.open.as_ref().is_some_and(|(metric, _)| *metric == page.metric);
        if !is_open {
            self.close()?;
        }
        let spans = self.spans;
        let (metric, folding) =
            self.open.get_or_insert_with(|| (page.metric, Folding::new(spans, VALUES_MAX)));
        for point in page.points {
            folding.push(point.ts_ms, point.value).map_err(|full| AggregateError::TooManyValues {
                metric: metric.to_string(),
                from: moment(full.span.start_ms),
                most: full.most,
            })?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), AggregateError> {
        let Some((metric, folding)) = self.open.take() else { return Ok(()) };
        let buckets = folding.finish();
        if self.rows.len() + buckets.len() > ROWS_MAX {
            return Err(AggregateError::TooManyRows { most: ROWS_MAX });
        }
        if !buckets.is_empty() {
            self.metrics.push(metric.clone());
        }
        for bucket in buckets {
            let (span, figures) = (bucket.span, bucket.figures);
            if !figures.sum.is_finite() {
                let from = moment(span.start_ms);
                return Err(AggregateError::TooLarge { metric: metric.to_string(), from });
            }
            self.observations += figures.count;
            self.rows.push(Rollup {
                metric: metric.clone(),
                start_ms: span.start_ms,
                end_ms: span.end_ms,
                count: figures.count,
                sum: figures.sum,
                min: figures.min,
                max: figures.max,
                p50: figures.p50,
                p90: figures.p90,
                derived: BTreeMap::new(),
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Sums, AggregateError> {
        self.close()?;
        let Self { mut rows, metrics, observations, .. } = self;
        for ratio in RATIOS {
            ratio.add_to(&mut rows);
        }
        let buckets = rows.iter().map(|row| row.start_ms).collect::<BTreeSet<_>>().len() as u64;
        rows.sort_by(|a, b| (a.start_ms, &a.metric).cmp(&(b.start_ms, &b.metric)));
        Ok(Sums { rows, metrics, observations, buckets })
    }
}

fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 2] = [Span { start_ms: 0, end_ms: 10 }, Span { start_ms: 10, end_ms: 20 }];

    fn page(metric: &str, points: &[(i64, f64)]) -> Page {
        let points = points.iter().map(|(ts_ms, value)| Point { ts_ms: *ts_ms, value: *value }).collect();
        Page { metric: metric.into(), points }
    }

    fn summed(pages: Vec<Page>, stop: bool) -> Result<Sums, AggregateError> {
        let (send, receive) = mpsc::channel(pages.len() + 1);
        for page in pages {
            send.try_send(page).ok().unwrap();
        }
        drop(send);
        sum(&SPANS, receive, &AtomicBool::new(stop))
    }

    #[test]
    fn a_metric_goes_on_over_pages_and_figures_of_two_metrics_meet_in_their_bucket() {
        let sums = summed(
            vec![
                page("clicks", &[(0, 1.0), (5, 1.0)]),
                page("clicks", &[(9, 2.0), (12, 3.0)]),
                page("impressions", &[(11, 30.0)]),
                page("nothing", &[]),
            ],
            false,
        )
        .unwrap();
        let rows: Vec<_> =
            sums.rows.iter().map(|row| (&*row.metric, row.start_ms, row.count, row.sum)).collect();
        assert_eq!(rows, [("clicks", 0, 3, 4.0), ("clicks", 10, 1, 3.0), ("impressions", 10, 1, 30.0)]);
        assert_eq!(sums.rows[1].derived, BTreeMap::from([("ctr".to_owned(), 0.1)]));
        assert_eq!((sums.observations, sums.buckets, sums.metrics.len()), (5, 2, 2));
        assert_eq!(summed(Vec::new(), false).unwrap().rows, []);
    }

    #[test]
    fn a_thread_that_is_told_to_stop_leaves_what_waits() {
        assert!(matches!(summed(vec![page("clicks", &[(0, 1.0)])], true), Err(AggregateError::Stopped)));
        assert!(matches!(summed(Vec::new(), true), Err(AggregateError::Stopped)));
    }

    #[test]
    fn a_sum_that_no_number_holds_is_told_with_its_bucket() {
        let error = summed(vec![page("revenue", &[(10, f64::MAX), (11, f64::MAX)])], false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"revenue\"") && text.contains("1970-01-01T00:00:00.01Z"), "{text}");
    }
}
