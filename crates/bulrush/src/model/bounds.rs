//! Sizes and counts that a queue holds everybody to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a queue accepts. Beyond a bound there is a [`BoundError`] that names it, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bounds {
    /// A job's data, bytes.
    pub data_bytes: usize,
    /// A job's result, bytes.
    pub result_bytes: usize,
    /// The JSON of a progress report, bytes.
    pub progress_bytes: usize,
    /// Log lines kept per job.
    pub log_lines: usize,
    /// One log line, bytes.
    pub log_line_bytes: usize,
    /// Failed attempts kept per job; the oldest go first.
    pub errors: usize,
    /// An error's or a progress message, bytes; longer ones are cut.
    pub message_bytes: usize,
    /// Tags per job.
    pub tags: usize,
    /// A name, tag, group, key or owner, bytes.
    pub label_bytes: usize,
    /// Items of one call: jobs, a flow's children and follow-ups included; log lines; ids.
    pub call_items: usize,
    /// All payloads of one call, bytes.
    pub call_bytes: usize,
    /// Shortest time between two slots of a schedule, ms.
    pub schedule_interval_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            data_bytes: 1 << 20,
            result_bytes: 1 << 20,
            progress_bytes: 16 << 10,
            log_lines: 1_000,
            log_line_bytes: 4_096,
            errors: 10,
            message_bytes: 4_096,
            tags: 16,
            label_bytes: 256,
            call_items: 1_000,
            call_bytes: 4 << 20,
            schedule_interval_ms: 1_000,
        }
    }
}

/// A bound by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// [`Bounds::data_bytes`].
    Data,
    /// [`Bounds::result_bytes`].
    Result,
    /// [`Bounds::progress_bytes`].
    Progress,
    /// [`Bounds::log_line_bytes`].
    LogLine,
    /// [`Bounds::tags`].
    Tags,
    /// [`Bounds::label_bytes`].
    Label,
    /// [`Bounds::call_items`].
    CallItems,
    /// [`Bounds::call_bytes`].
    CallBytes,
    /// Priorities go from 0 to 2^21.
    Priority,
    /// Attempts go from 1 to 1,000.
    Attempts,
    /// Delays and time-outs are at most ten years.
    Delay,
    /// A flow is at most 16 levels deep.
    FlowDepth,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data bytes",
            Self::Result => "result bytes",
            Self::Progress => "bytes of a progress report",
            Self::LogLine => "log line bytes",
            Self::Tags => "tags per job",
            Self::Label => "bytes of a name, tag, group, key or owner",
            Self::CallItems => "items per call",
            Self::CallBytes => "payload bytes per call",
            Self::Priority => "priority",
            Self::Attempts => "attempts",
            Self::Delay => "delay or time-out in ms",
            Self::FlowDepth => "levels of a flow",
        })
    }
}

/// Something is larger than the queue accepts; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too large: {seen} {bound}, at most {max} are accepted (item {item} of the call)")]
pub struct BoundError {
    /// Which bound.
    pub bound: Bound,
    /// What was given.
    pub seen: u64,
    /// What is accepted.
    pub max: u64,
    /// Which item of the call, from 0.
    pub item: usize,
}

impl BoundError {
    /// An error unless `seen` is within `max`.
    pub(crate) fn check(bound: Bound, seen: usize, max: usize, item: usize) -> Result<(), Self> {
        if seen <= max { Ok(()) } else { Err(Self { bound, seen: seen as u64, max: max as u64, item }) }
    }
}

/// What a call carries so far, held against the bounds of a call.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    items: usize,
    items_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Load {
    /// An empty call one part of which may be `one` bytes large, whatever a call may be otherwise.
    pub fn new(bounds: &Bounds, one: usize) -> Self {
        Self { items: 0, items_max: bounds.call_items, bytes: 0, bytes_max: bounds.call_bytes.max(one) }
    }

    /// Takes another part of the call in; the error names its place.
    pub fn take(&mut self, items: usize, bytes: usize, item: usize) -> Result<(), BoundError> {
        let (items, bytes) = (self.items.saturating_add(items), self.bytes.saturating_add(bytes));
        BoundError::check(Bound::CallItems, items, self.items_max, item)?;
        BoundError::check(Bound::CallBytes, bytes, self.bytes_max, item)?;
        (self.items, self.bytes) = (items, bytes);
        Ok(())
    }

    /// How many of these parts, given as items and bytes, fit into one call; at least one, so that whoever splits gets on.
    pub fn fits(bounds: &Bounds, parts: impl Iterator<Item = (usize, usize)>) -> usize {
        let mut load = Self::new(bounds, 0);
        parts.take_while(|(items, bytes)| load.take(*items, *bytes, 0).is_ok()).count().max(1)
    }
}

impl BoundError {
    /// Whether the call as a whole was too large: in parts it may be taken.
    pub(crate) fn is_of_call(&self) -> bool {
        matches!(self.bound, Bound::CallItems | Bound::CallBytes)
    }
}
