//! A job as it stands in the store's outbox: what the program that wrote it and the relay agree on.

use std::sync::Arc;

use bulrush::model::{Dedup, JobId, NewJob};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::Queue;

/// How long the engine remembers that a row was handed over, ms: longer than anybody who has read a row before another handed it over can
/// still be about to do the same.
const KEY_MS: u64 = 24 * 3_600 * 1_000;

/// A job that is written down beside the data that it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutboxJob {
    /// Its name.
    pub name: String,
    /// Its data, as they are stored: checked, secrets sealed.
    pub data: Map<String, Value>,
    /// Whose it is.
    pub tenant: String,
    /// The user within the tenant.
    pub user: String,
    /// The W3C trace context that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl OutboxJob {
    /// Reads one as it was written.
    ///
    /// # Errors
    /// What is no such job.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The id of the job that comes of the row `row`, in `queue`: always the same one.
    pub fn id(queue: &Queue, row: &str) -> JobId {
        let prefix = queue.entry().prefix;
        JobId::derive(prefix, &JobId::generate(prefix, 0, 0), &format!("outbox {row}"))
    }

    /// The job that comes of the row `row`, with the queue's options. Adding it again adds nothing, even if it has ended meanwhile and is
    /// not kept any more.
    pub fn into_job(self, queue: &Queue, row: &str) -> NewJob {
        let limits = queue.limits();
        let data = Value::Object(self.data).to_string();
        let mut job = NewJob::new(Self::id(queue, row), self.name, data)
            .owner(self.tenant, self.user)
            .attempts(limits.attempts)
            .backoff(limits.backoff.backoff())
            .timeout_ms(limits.timeout_ms);
        let key = format!("outbox:{row}");
        job.spec.dedup = Some(Arc::new(Dedup { key: key.into(), ttl_ms: Some(KEY_MS), fingerprint: None }));
        job.spec.traceparent = self.traceparent.map(Into::into);
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    #[test]
    fn a_row_is_one_job_whoever_makes_it_and_nobody_else_s() {
        let catalog = Catalog::default();
        let queue = catalog.find("enrichment").expect("a queue");
        let text =
            r#"{"name": "enrich-property", "data": {"propertyId": "inn"}, "tenant": "acme", "user": "ada"}"#;
        let read = OutboxJob::from_text(text).expect("a job");
        let (one, again) = (read.clone().into_job(queue, "row-1"), read.clone().into_job(queue, "row-1"));
        assert_eq!((&one.spec.id, &one.spec.dedup), (&again.spec.id, &again.spec.dedup));
        assert_eq!(one.spec.id, OutboxJob::id(queue, "row-1"));
        assert_eq!(one.spec.id.prefix(), Some("enr"));
        assert_eq!(one.spec.attempts, queue.limits().attempts);
        let other = read.into_job(queue, "row-2");
        assert!(other.spec.id != one.spec.id && other.spec.dedup != one.spec.dedup);
        assert!(OutboxJob::from_text(r#"{"name": "x", "data": []}"#).is_err());
    }
}
