//! Real faults for the engine on Redis, and an account of every job.
//!
//! A run starts a private Redis server, worker processes, a producer and, where a scenario asks for it, proxies between them; injects the
//! scenario's faults while jobs come and go; lets everything come to rest; and holds what the producers and the handlers have written down
//! (`journal`, outside of the store) against what the store says in the end (`ledger`, `judge`). All chance comes from one seed, which is
//! printed and replays the schedule of the faults.
//!
//! What a zero of such an account is worth is shown first: `prove` seeds bugs (`wrong`) and asks for the class under which each is caught.

#![cfg(target_os = "linux")]

pub mod cli;
pub mod clock;
pub mod door;
pub mod field;
pub mod fleet;
pub mod journal;
pub mod judge;
pub mod ledger;
pub mod process;
pub mod producer;
pub mod prove;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod server;
pub mod slots;
pub mod ticker;
pub mod worker;
pub mod wrong;
