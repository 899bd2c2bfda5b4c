//! Events as they happen, over server-sent events.
//!
//! One task of a process reads each queue's stream of events while anybody listens, reads the jobs that its events are about in one
//! call, writes each event down once, and hands it to the streams whose callers may see it. What a client costs is a channel.

pub mod hub;
mod position;
pub mod sse;
mod tickets;
