//! The worker on a real runtime: what becomes of jobs, whatever their handlers do.

mod flows;
mod idle;
mod lease;
mod outcomes;
mod producers;
mod shutdown;
mod stopping;
mod support;
mod unanswered;
mod updates;
