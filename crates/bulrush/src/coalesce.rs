//! Natural batching: what is asked while a call is under way goes with the next one.
//!
//! No timer waits for more to come: a lone ask goes out at once, and the busier the backend is, the larger the calls become.

use std::collections::VecDeque;
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
type Waiting<B> = (<B as Batches>::Ask, oneshot::Sender<Turn<B>>);

/// What a caller that waits is told.
enum Turn<B: Batches> {
    /// Its answer.
    Answer(Result<B::Answer>),
    /// To carry out the next call, with what it asked for itself.
    Lead(B::Ask),
}

/// Gathers asks and carries them out, one call at a time.
///
/// Whoever asks while no call is under way carries one out, for itself and for those that it finds waiting, and then hands the duty to one
/// that came meanwhile. So a call runs where somebody waits for it, and nobody depends on a runtime that has gone.
pub(crate) struct Coalescer<B: Batches> {
    batches: B,
    pending: Mutex<Pending<B>>,
}

struct Pending<B: Batches> {
    waiting: VecDeque<Waiting<B>>,
    under_way: bool,
}

impl<B: Batches> Coalescer<B> {
    pub(crate) fn new(batches: B) -> Self {
        Self { batches, pending: Mutex::new(Pending { waiting: VecDeque::new(), under_way: false }) }
    }

    pub(crate) fn batches(&self) -> &B {
        &self.batches
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending<B>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, alone or with whoever asks meanwhile.
    pub(crate) async fn ask(self: &Arc<Self>, ask: B::Ask) -> Result<B::Answer> {
        let told = {
            let mut pending = self.pending();
            if std::mem::replace(&mut pending.under_way, true) {
                let (tell, told) = oneshot::channel();
                pending.waiting.push_back((ask, tell));
                Ok(told)
            } else {
                Err(ask)
            }
        };
        let own = match told {
            Err(own) => own,
            Ok(told) => match (Told { told, coalescer: self.clone() }).await {
                Some(Turn::Answer(answer)) => return answer,
                Some(Turn::Lead(own)) => own,
                None => return Err(cut_short()),
            },
        };
        let (tell, told) = oneshot::channel();
        let call = carry_out(Duty(self.clone()), (own, tell));
        Leading(Some(Box::pin(call))).await;
        match told.await {
            Ok(Turn::Answer(answer)) => answer,
            _ => Err(cut_short()),
        }
    }
}

/// A wait to be told. Who stops waiting just when it is told to lead hands the duty on, with what it asked for: others wait for it.
struct Told<B: Batches> {
    told: oneshot::Receiver<Turn<B>>,
    coalescer: Arc<Coalescer<B>>,
}

impl<B: Batches> Future for Told<B> {
    type Output = Option<Turn<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.told).poll(cx).map(std::result::Result::ok)
    }
}

impl<B: Batches> Drop for Told<B> {
    fn drop(&mut self) {
        self.told.close();
        if let Ok(Turn::Lead(own)) = self.told.try_recv() {
            let (tell, _) = oneshot::channel();
            carry_on(carry_out(Duty(self.coalescer.clone()), (own, tell)));
        }
    }
}

/// A call that is under way. If its caller stops waiting, it goes on as a task of its own: what others asked for is in it, too.
struct Leading(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Leading {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let Some(call) = self.0.as_mut() else { return std::task::Poll::Ready(()) };
        std::task::ready!(call.as_mut().poll(cx));
        self.0 = None;
        std::task::Poll::Ready(())
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            carry_on(call);
        }
    }
}

/// Goes on with a call that nobody awaits here any more. Where there is no runtime it is dropped, and its [`Duty`] goes to whoever waits.
fn carry_on(call: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(call));
    }
}

/// What a caller learns whose call went down with the runtime that carried it.
fn cut_short() -> Error {
    Error::Unreachable { reason: "the runtime that carried the call has shut down".to_owned() }
}

/// The duty to carry out what waits. It is handed on when it is dropped, at the end of a call or with its runtime.
struct Duty<B: Batches>(Arc<Coalescer<B>>);

impl<B: Batches> Drop for Duty<B> {
    fn drop(&mut self) {
        let mut pending = self.0.pending();
        // To the first that still waits; those before it have lost interest, and what they asked for goes along.
        while let Some(at) = pending.waiting.iter().position(|(_, tell)| !tell.is_closed()) {
            let Some((ask, tell)) = pending.waiting.remove(at) else { break };
            match tell.send(Turn::Lead(ask)) {
                Ok(()) => return,
                Err(Turn::Lead(ask)) => pending.waiting.insert(at, (ask, oneshot::channel().0)),
                Err(Turn::Answer(_)) => {}
            }
        }
        match pending.waiting.pop_front() {
            None => pending.under_way = false,
            Some(first) => {
                drop(pending);
                carry_on(carry_out(Duty(self.0.clone()), first));
            }
        }
    }
}

/// Carries out one call: an ask, and as many of those that wait as go with it.
async fn carry_out<B: Batches>(duty: Duty<B>, own: Waiting<B>) {
    let coalescer = duty.0.clone();
    let call = {
        let mut pending = coalescer.pending();
        pending.waiting.push_front(own);
        let waiting: Vec<Waiting<B>> = take_call(&mut pending.waiting, |(ask, _)| B::load(ask));
        waiting
    };
    let (asks, tells): (Vec<_>, Vec<_>) = call.into_iter().unzip();
    for (tell, answer) in tells.into_iter().zip(coalescer.batches.carry_out(asks).await) {
        // Whoever no longer listens has lost interest; what was asked for was done all the same.
        let _ = tell.send(Turn::Answer(answer));
    }
}

/// As many from the front as one call takes, at least one.
pub(crate) fn take_call<T>(waiting: &mut VecDeque<T>, load: impl Fn(&T) -> (usize, usize)) -> Vec<T> {
    let (mut items, mut bytes) = (0, 0);
    let fits = waiting.iter().take_while(|ask| {
        let more = load(ask);
        items += more.0;
        bytes += more.1;
        items <= CALL_ITEMS && bytes <= CALL_BYTES
    });
    let n = fits.count().max(1).min(waiting.len());
    waiting.drain(..n).collect()
}
