//! From a job's name to the code that runs it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::context::{Context, result_json};
use crate::job::{Failure, Job, JobResult};

pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = JobResult<Option<Bytes>>> + Send>>;
pub(super) type Handler = Arc<dyn Fn(Context) -> HandlerFuture + Send + Sync>;

/// The handlers of a worker, by job name.
#[derive(Clone, Default)]
pub struct Handlers {
    by_name: HashMap<Arc<str>, Handler>,
    fallback: Option<Handler>,
}

impl Handlers {
    /// No handlers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs jobs of a type.
    #[must_use]
    pub fn on<J, F, Fut>(self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
    {
        self.on_name(J::NAME, typed(handler))
    }

    /// Runs jobs of a type on a blocking thread: for work that computes and does not await. The handler checks
    /// [`Context::check`] between steps; a thread cannot be stopped from outside.
    #[must_use]
    pub fn on_blocking<J, F>(self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context) -> JobResult<J::Output> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        self.on::<J, _, _>(move |payload, context| {
            let handler = handler.clone();
            async move {
                let task = tokio::task::spawn_blocking(move || handler(payload, context));
                match task.await {
                    Ok(result) => result,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => Err(Failure::retry("the runtime shut down while the job ran")),
                    },
                }
            }
        })
    }

    /// Runs jobs of a name, with their data as bytes in the context.
    #[must_use]
    pub fn on_raw<F, Fut>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobResult<Option<Bytes>>> + Send + 'static,
    {
        self.on_name(name, raw(handler))
    }

    /// Runs jobs of any name that has no handler of its own, as a type: for queues with one kind of job under many names.
    #[must_use]
    pub fn otherwise<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
    {
        self.fallback = Some(typed(handler));
        self
    }

    /// Runs jobs of any name that has no handler of its own.
    #[must_use]
    pub fn otherwise_raw<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobResult<Option<Bytes>>> + Send + 'static,
    {
        self.fallback = Some(raw(handler));
        self
    }

    /// Names that have a handler of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    fn on_name(mut self, name: &str, handler: Handler) -> Self {
        self.by_name.insert(name.into(), handler);
        self
    }

    /// What to say of a job that nobody here can run.
    pub(super) fn missing(&self, name: &str) -> String {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        format!("this worker has no handler for {name:?}; it has: {}", names.join(", "))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Handler> {
        self.by_name.get(name).or(self.fallback.as_ref())
    }
}

fn typed<J, F, Fut>(handler: F) -> Handler
where
    J: Job,
    F: Fn(J, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |context: Context| {
        let handler = handler.clone();
        Box::pin(async move {
            let payload: J = context.payload()?;
            result_json(&handler(payload, context).await?)
        })
    })
}

fn raw<F, Fut>(handler: F) -> Handler
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = JobResult<Option<Bytes>>> + Send + 'static,
{
    Arc::new(move |context| Box::pin(handler(context)))
}
