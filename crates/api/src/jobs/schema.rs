//! What a job may look like on its way in, for the API's document. The parsers next door decide; a test holds the two together.

#![allow(dead_code, reason = "these types stand for bodies in the document")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A job to add.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddJob {
    /// Which of the queue's jobs; a queue with one kind takes any name as a label.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: Option<String>,
    /// The same, as some clients call it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub job_name: Option<String>,
    /// What the job works on; at most 1 MiB. Kept byte for byte where the queue has no type of its own for it.
    pub data: Option<Map<String, Value>>,
    /// How it runs.
    pub options: Option<JobOptions>,
}

/// How a job runs. What is left out is the queue's default.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobOptions {
    /// 0 runs first, 2097152 last.
    #[schemars(range(min = 0, max = 2_097_152))]
    pub priority: Option<u32>,
    /// Not before so many ms from now; at most a year.
    #[schemars(range(min = 0, max = 31_536_000_000_u64))]
    pub delay: Option<u64>,
    /// Not before this moment: ms since 1970, or RFC 3339; at most a year ahead.
    pub run_at: Option<Moment>,
    /// Total tries.
    #[schemars(range(min = 1, max = 1_000))]
    pub attempts: Option<u32>,
    /// The pause before the next try.
    pub backoff: Option<BackoffOption>,
    /// Longest run of one attempt, ms; at most a week.
    #[schemars(range(min = 1, max = 604_800_000))]
    pub timeout: Option<u64>,
    /// A name of your own: adding it again gives the same job.
    #[schemars(length(min = 1, max = 200))]
    pub job_id: Option<String>,
    /// One job for each key, while it is held.
    pub dedup: Option<DedupOption>,
    /// Groups take turns; not together with a priority.
    #[schemars(length(min = 1, max = 50))]
    pub group: Option<String>,
    /// Words to find it by.
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub tags: Option<Vec<String>>,
    /// Before the others of its priority.
    pub lifo: Option<bool>,
}

/// A moment.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Moment {
    /// ms since 1970.
    Ms(u64),
    /// RFC 3339.
    Text(String),
}

/// A pause in ms, or how pauses grow.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum BackoffOption {
    /// The same pause each time, ms.
    Pause(#[schemars(range(min = 1, max = 86_400_000))] u64),
    /// How pauses grow.
    Curve(BackoffCurve),
}

/// How pauses grow.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackoffCurve {
    /// `fixed`, `exponential` or `table`.
    #[schemars(rename = "type")]
    pub kind: BackoffKind,
    /// The first pause, ms; required unless there is a table.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub delay: Option<u64>,
    /// By what each further pause is multiplied; 2 if left out.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub factor: Option<f64>,
    /// The pauses of a table, ms.
    #[schemars(length(min = 1, max = 100), inner(range(min = 0, max = 31_536_000_000_u64)))]
    pub delays: Option<Vec<u64>>,
    /// No pause is longer, ms.
    #[schemars(range(min = 1, max = 31_536_000_000_u64))]
    pub cap: Option<u64>,
    /// Whether pauses are spread: `full` from 0 on, `equal` from their half on.
    pub jitter: Option<JitterKind>,
}

#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum BackoffKind {
    Fixed,
    Exponential,
    Table,
}

#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum JitterKind {
    None,
    Full,
    Equal,
}

/// A key, or a key with a time.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum DedupOption {
    /// Held until the job ends.
    Key(#[schemars(length(min = 1, max = 1024))] String),
    /// Held for a time.
    Timed(TimedKey),
}

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TimedKey {
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
    /// How long, ms; at most 30 days. Until the job ends if left out.
    #[schemars(range(min = 1, max = 2_592_000_000_u64))]
    pub ttl: Option<u64>,
}
