//! The API over real HTTP, in front of an engine in memory. One program, as each costs a link; what needs a Redis is in programs of its own.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod binary;
mod competitors;
mod document;
mod exports;
mod files;
mod hostile;
mod jobs;
mod keys;
mod live;
mod manage;
mod outcomes;
mod rollups;
mod schedules;
mod server;
mod templates;
mod tokens;
mod webhooks;
