//! The store against the core, on a disk that loses power, on damaged files, and under `kill -9`.

mod crash;
mod damage;
mod kill;
mod observe;
mod open;
mod random;
mod sim;
mod workload;
