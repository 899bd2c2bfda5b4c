//! The cases, by topic. A case that the suite's list leaves out is dead code, which the lints refuse.

pub mod add;
pub mod admin;
pub mod bounds;
pub mod calls;
pub mod cancel;
pub mod close;
pub mod dedup;
pub mod delay;
pub mod events;
pub mod explain;
pub mod fencing;
pub mod flow;
pub mod groups;
pub mod history;
pub mod lease;
pub mod limits;
pub mod making;
pub mod order;
pub mod outbox;
pub mod pages;
pub mod retention;
pub mod settle;
pub mod time;
pub mod updates;
pub mod verify;
pub mod wait;
