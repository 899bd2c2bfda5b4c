//! Natural batching: what is asked while a call is under way goes with the next one.
//!
//! No timer waits for more to come: a lone ask goes out at once, and the busier the backend is, the larger the calls become.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::port::{Error, Result};

/// Items of one call.
pub(crate) const CALL_ITEMS: usize = 1_000;
/// Payload bytes of one call.
pub(crate) const CALL_BYTES: usize = 4 << 20;

/// What can be asked many at a time.
pub(crate) trait Batches: Send + Sync + 'static {
    /// One caller's part of a call.
    type Ask: Send + 'static;
    /// What that caller learns.
    type Answer: Send + 'static;
    /// Items and payload bytes that an ask adds to a call.
    fn load(ask: &Self::Ask) -> (usize, usize);
    /// Carries out one call. One answer for each ask, in the order given.
    fn carry_out(&self, asks: Vec<Self::Ask>) -> impl Future<Output = Vec<Result<Self::Answer>>> + Send;
}

/// An ask, and where its answer is waited for.
type Waiting<B> = (<B as Batches>::Ask, oneshot::Sender<Result<<B as Batches>::Answer>>);

/// Gathers asks and carries them out, one call at a time.
pub(crate) struct Coalescer<B: Batches> {
    batches: B,
    pending: Mutex<Pending<B>>,
}

struct Pending<B: Batches> {
    waiting: Vec<Waiting<B>>,
    under_way: bool,
}

impl<B: Batches> Coalescer<B> {
    pub(crate) fn new(batches: B) -> Self {
        Self { batches, pending: Mutex::new(Pending { waiting: Vec::new(), under_way: false }) }
    }

    pub(crate) fn batches(&self) -> &B {
        &self.batches
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending<B>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, alone or with whoever asks meanwhile.
    pub(crate) async fn ask(self: &Arc<Self>, ask: B::Ask) -> Result<B::Answer> {
        let (tell, mut told) = oneshot::channel();
        let lead = {
            let mut pending = self.pending();
            pending.waiting.push((ask, tell));
            !std::mem::replace(&mut pending.under_way, true)
        };
        if lead {
            let calls = carry_out_all(Lead { coalescer: self.clone(), done: false });
            let mut leading = Leading(Some(Box::pin(calls)));
            tokio::select! {
                biased;
                () = &mut leading => {}
                // Answered: whoever came meanwhile is served without us.
                answer = &mut told => return answer.unwrap_or_else(|_| Err(cut_short())),
            }
        }
        told.await.unwrap_or_else(|_| Err(cut_short()))
    }
}

/// The carrying out of calls, by whoever came first. If that caller stops waiting (or has its answer while others still wait), the
/// rest goes on as a task of its own: what they asked for must still go out.
struct Leading(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Leading {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let Some(calls) = self.0.as_mut() else { return std::task::Poll::Ready(()) };
        std::task::ready!(calls.as_mut().poll(cx));
        self.0 = None;
        std::task::Poll::Ready(())
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        if let Some(calls) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(calls));
        }
    }
}

/// What a caller learns whose ask went down with the runtime that carried it.
fn cut_short() -> Error {
    Error::Unreachable { reason: "the runtime that carried the call has shut down".to_owned() }
}

/// The duty to carry out what waits. If it goes down with its runtime, whoever waits is told, and the next ask leads anew.
struct Lead<B: Batches> {
    coalescer: Arc<Coalescer<B>>,
    done: bool,
}

impl<B: Batches> Drop for Lead<B> {
    fn drop(&mut self) {
        if !self.done {
            let mut pending = self.coalescer.pending();
            pending.under_way = false;
            // Dropping the senders tells their callers.
            pending.waiting.clear();
        }
    }
}

/// Carries out calls until nothing waits.
async fn carry_out_all<B: Batches>(mut lead: Lead<B>) {
    let coalescer = lead.coalescer.clone();
    loop {
        let call = {
            let mut pending = coalescer.pending();
            if pending.waiting.is_empty() {
                pending.under_way = false;
                lead.done = true;
                return;
            }
            take_call(&mut pending.waiting, |(ask, _)| B::load(ask))
        };
        let (asks, tells): (Vec<_>, Vec<_>) = call.into_iter().unzip();
        for (tell, answer) in tells.into_iter().zip(coalescer.batches.carry_out(asks).await) {
            // Whoever no longer listens has lost interest; what was asked for was done all the same.
            let _ = tell.send(answer);
        }
    }
}

/// As many from the front as one call takes, at least one.
pub(crate) fn take_call<T>(waiting: &mut Vec<T>, load: impl Fn(&T) -> (usize, usize)) -> Vec<T> {
    let (mut items, mut bytes) = (0, 0);
    let fits = waiting.iter().take_while(|ask| {
        let more = load(ask);
        items += more.0;
        bytes += more.1;
        items <= CALL_ITEMS && bytes <= CALL_BYTES
    });
    let n = fits.count().max(1);
    let rest = waiting.split_off(n.min(waiting.len()));
    std::mem::replace(waiting, rest)
}
