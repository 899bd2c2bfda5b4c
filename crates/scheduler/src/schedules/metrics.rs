//! What Prometheus reads of schedules: labels are the queues of the catalogue.

use std::collections::HashMap;

use bulrush::TickerStats;
use bulrush::model::{HISTOGRAM_BOUNDS_MS, QueueName};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::Tickers;

/// One number of a ticker.
type Read = fn(&TickerStats) -> f64;

const COUNTERS: [(&str, &str, Read); 6] = [
    ("bulrush_schedule_fired_total", "Slots whose jobs this process has added", |stats| stats.fired as f64),
    ("bulrush_schedule_there_total", "Slots whose jobs were there already", |stats| stats.there as f64),
    ("bulrush_schedule_skipped_total", "Slots without a job because the last one had not ended", |stats| {
        stats.skipped as f64
    }),
    ("bulrush_schedule_missed_total", "Slots that nobody had fired in time", |stats| stats.missed as f64),
    ("bulrush_schedule_stale_total", "Slots that somebody else had fired or changed meanwhile", |stats| {
        stats.stale as f64
    }),
    ("bulrush_schedule_errors_total", "Calls to the engine that failed", |stats| stats.errors as f64),
];
const GAUGES: [(&str, &str, Read); 2] = [
    ("bulrush_schedule_unable", "Schedules that are due and cannot be fired as they are", |stats| {
        stats.unable as f64
    }),
    (
        "bulrush_schedule_even_timestamp_seconds",
        "The last moment at which nothing more was due, by the engine's clock; 0 before the first",
        |stats| stats.even_at.unwrap_or_default() as f64 / 1_000.0,
    ),
];
const LATENESS: (&str, &str) =
    ("bulrush_schedule_lateness_seconds", "How long after their moment slots fired");

/// What the tickers of this process have done, for a registry.
pub struct ScheduleMetrics {
    tickers: Tickers,
    descriptions: Vec<Desc>,
}

impl std::fmt::Debug for ScheduleMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScheduleMetrics").finish_non_exhaustive()
    }
}

impl ScheduleMetrics {
    pub(crate) fn new(tickers: Tickers) -> Self {
        let named = COUNTERS.iter().chain(&GAUGES).map(|(name, help, _)| (*name, *help)).chain([LATENESS]);
        // One that Prometheus would not take has no description, and a test misses it.
        let describe = |(name, help): (&str, &str)| {
            Desc::new(name.to_owned(), help.to_owned(), vec!["queue".to_owned()], HashMap::new()).ok()
        };
        let descriptions = named.filter_map(describe).collect();
        Self { tickers, descriptions }
    }
}

impl Collector for ScheduleMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.tickers.stats();
        let number = |read: Read, kind: MetricType| -> Vec<Metric> {
            let metric = |(queue, stats): &(QueueName, TickerStats)| {
                let mut metric = labelled(queue);
                if kind == MetricType::COUNTER {
                    let mut counter = Counter::default();
                    counter.set_value(read(stats));
                    metric.set_counter(counter);
                } else {
                    let mut gauge = Gauge::default();
                    gauge.set_value(read(stats));
                    metric.set_gauge(gauge);
                }
                metric
            };
            all.iter().map(metric).collect()
        };
        let counters = COUNTERS.iter().map(|(name, help, read)| {
            family(name, help, MetricType::COUNTER, number(*read, MetricType::COUNTER))
        });
        let gauges = GAUGES.iter().map(|(name, help, read)| {
            family(name, help, MetricType::GAUGE, number(*read, MetricType::GAUGE))
        });
        let mut families: Vec<MetricFamily> = counters.chain(gauges).collect();
        let lateness = all.iter().map(|(queue, stats)| {
            let mut metric = labelled(queue);
            metric.set_histogram(histogram(&stats.lateness));
            metric
        });
        families.push(family(LATENESS.0, LATENESS.1, MetricType::HISTOGRAM, lateness.collect()));
        families
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(queue: &QueueName) -> Metric {
    let mut label = LabelPair::default();
    label.set_name("queue".to_owned());
    label.set_value(queue.to_string());
    Metric::from_label(vec![label])
}

/// The engine's histogram in the form that Prometheus has it: each bucket with those below it, seconds.
fn histogram(of: &bulrush::model::Histogram) -> Histogram {
    let mut below = 0;
    let buckets = HISTOGRAM_BOUNDS_MS.iter().zip(of.buckets).map(|(bound, n)| {
        below += n;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound as f64 / 1_000.0);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(of.count());
    histogram.set_sample_sum(of.sum_ms as f64 / 1_000.0);
    histogram
}
