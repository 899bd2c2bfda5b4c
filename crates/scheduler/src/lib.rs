//! What runs beside the workers, in any number of instances: schedules are fired (`schedules`) and what they ask for each of many things is
//! added (`fan_out`), queues are kept in order (`maintenance`), webhooks are told what happened (`webhooks`), and jobs that were
//! written down beside their data come to the engine (`outbox`).
//!
//! [`start`] runs all of it in the caller's process, so the binary beside this library and `bulrush serve` run the same code.
//!
//! # Invariants
//! - **Nothing rests on being the only one.** One instance reads events for webhooks at a time, by a claim, because two would do the same
//!   work twice; what keeps each event told once is the identifier of its deliveries and the place that moves with them.
//! - **Nothing rests on going on.** A place in a stream moves in the transaction that keeps what was read there; what a dead instance left
//!   undone is found and done by another.
//! - **A store that is away is waited for**, with pauses that grow and differ between instances.

mod dependencies;
mod fan_out;
mod forgetting;
mod maintenance;
mod outbox;
mod pause;
mod scheduler;
mod schedules;
mod settings;
mod webhooks;

pub use dependencies::{Dependencies, Pace};
pub use scheduler::{Scheduler, start};
pub use schedules::ScheduleMetrics;
pub use settings::ScheduleArgs;
