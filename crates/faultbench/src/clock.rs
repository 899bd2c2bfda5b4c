//! The clock of the ledgers: one for all processes of a run, and untouched by faults that play with the time of day.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of the machine's monotonic clock. It is asked for by the system call and not through the C library, so a process whose
/// clock is faked tells the same time as the others.
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// Milliseconds from one moment to another, 0 where the second one is earlier.
pub fn ms_between(from_us: u64, to_us: u64) -> u64 {
    to_us.saturating_sub(from_us) / 1_000
}
