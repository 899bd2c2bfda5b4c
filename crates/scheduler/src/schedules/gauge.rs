//! The tickers of a process, and what they have done: while they run, and to the end.

use std::sync::{Arc, Mutex, PoisonError};

use bulrush::model::QueueName;
use bulrush::{Ticker, TickerOptions, TickerStats};
use futures_util::future::join_all;

use crate::Dependencies;

/// A ticker for each queue of the catalogue. Cheap to clone; the last one that is dropped stops them.
#[derive(Clone)]
pub(crate) struct Tickers(Arc<Mutex<Vec<(QueueName, One)>>>);

enum One {
    Running(Ticker),
    Ended(Box<TickerStats>),
}

impl Tickers {
    /// Starts them. To be called within a tokio runtime.
    pub fn start(deps: &Dependencies) -> Self {
        let start = |queue: &bulrush_catalog::Queue| {
            let name = queue.name().clone();
            let ticker = Ticker::start(&deps.backend, [name.clone()], TickerOptions::default());
            (name, One::Running(ticker))
        };
        Self(Arc::new(Mutex::new(deps.catalog.queues().iter().map(start).collect())))
    }

    /// What each has done so far.
    pub fn stats(&self) -> Vec<(QueueName, TickerStats)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = |one: &One| match one {
            One::Running(ticker) => ticker.stats(),
            One::Ended(stats) => TickerStats::clone(stats),
        };
        all.iter().map(|(queue, one)| (queue.clone(), stats(one))).collect()
    }

    /// Fires nothing more, and waits until the calls under way have ended.
    pub async fn shutdown(&self) {
        let running: Vec<(usize, Ticker)> = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let take = |(n, (_, one)): (usize, &mut (QueueName, One))| match one {
                One::Ended(_) => None,
                One::Running(ticker) => {
                    ticker.stop();
                    let ended = One::Ended(Box::new(ticker.stats()));
                    match std::mem::replace(one, ended) {
                        One::Running(ticker) => Some((n, ticker)),
                        One::Ended(_) => None,
                    }
                }
            };
            all.iter_mut().enumerate().filter_map(take).collect()
        };
        let ends = join_all(running.into_iter().map(async |(n, ticker)| (n, ticker.shutdown().await))).await;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (n, stats) in ends {
            all[n].1 = One::Ended(Box::new(stats));
        }
    }
}
