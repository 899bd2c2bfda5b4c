//! A sandbox, and clients that point at it and do not wait between retries.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::time::Duration;

use bulrush_sandbox::{Fault, FaultPlan, Sandbox, SandboxConfig};
use bulrush_upstream::{
    Coordinates, CountryCode, DateRange, HttpOptions, RetryPolicy, UpstreamConfig, Upstreams,
};

pub struct World {
    pub sandbox: Sandbox,
    pub upstreams: Upstreams,
}

impl World {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With other options than those of the tests.
    pub fn with(change: impl FnOnce(&mut UpstreamConfig)) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).expect("a free port");
        let base = sandbox.base_url().parse().expect("a base URL");
        let mut config = UpstreamConfig::all_at(&base);
        config.http = HttpOptions { retry: RetryPolicy::without_delay(2), ..HttpOptions::default() };
        change(&mut config);
        Self { sandbox, upstreams: Upstreams::new(config).expect("clients") }
    }

    /// Lets the next `count` requests fail so.
    pub fn fail(&self, count: u32, fault: Fault) {
        self.sandbox.fail(FaultPlan { path: None, count, fault }).expect("a good plan");
    }

    /// Requests that reached the sandbox.
    pub fn asked(&self) -> u64 {
        self.sandbox.requests().total
    }
}

pub fn seattle() -> Coordinates {
    Coordinates::new(47.45, -122.31).expect("a place")
}

pub fn range(start: &str, end: &str) -> DateRange {
    DateRange::new(start.parse().expect("a day"), end.parse().expect("a day")).expect("a range")
}

pub fn country(code: &str) -> CountryCode {
    code.parse().expect("a country")
}

/// Long enough that a test machine under load does not reach it, short enough for a hanging test to end.
pub const PATIENCE: Duration = Duration::from_secs(20);
