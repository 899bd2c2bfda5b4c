//! A queue's settings as this process knows them, and as the scripts read them.
//!
//! A call is checked against the settings that are known here and says which version that was. If the queue has others by now the script
//! changes nothing and tells them; the call is checked again, and sent again.

use std::sync::{Arc, PoisonError, RwLock};

use super::extras::Pack;
use super::packed::{MAX_48, put_u16, put_u24, put_u32, put_u48};
use super::reply::{Items, unreadable};
use crate::model::{Keep, QueueConfig, QueueName};
use crate::port::{Error, Result};

/// Longest message that the record of a job holds, bytes.
const MESSAGE_MAX: usize = 60_000;

/// Settings, and their version: 0 for a queue that was never configured.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub version: u32,
    pub config: QueueConfig,
}

impl Settings {
    /// Settings from their JSON; those of a queue that was never configured have none.
    pub fn read(queue: &QueueName, json: &[u8], version: u64) -> Result<Self> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let config = serde_json::from_slice(json).map_err(|error| Error::Unreadable {
            what: format!("the settings of queue {queue}"),
            reason: error.to_string(),
        })?;
        Ok(Self { version: u32::try_from(version).unwrap_or(u32::MAX), config })
    }

    /// Longest message of an error or a progress report, bytes.
    pub fn message_max(&self) -> usize {
        self.config.bounds.message_bytes.min(MESSAGE_MAX)
    }

    /// Failed attempts kept for each job.
    pub fn errors_max(&self) -> usize {
        self.config.bounds.errors.clamp(1, usize::from(u16::MAX))
    }
}

/// What is known here of a queue's settings.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Arc<Settings>>);

impl Known {
    /// The settings to check a call with.
    pub fn get(&self) -> Arc<Settings> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what a script has told: settings and version. The word that comes last counts: a queue that was removed by hand begins again.
    pub fn learn(&self, queue: &QueueName, mut told: Items) -> Result<()> {
        let json = told.bytes_or_none()?.unwrap_or_default();
        let settings = Settings::read(queue, &json, told.number()?)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        Ok(())
    }
}

/// Settings as scripts read them, of version 0: the script of a change gives them theirs.
///
/// `version u32 | rate max u32 (0 none) | rate per ms u48 | concurrency u32 (0 none) | depth max u48 | kept completed: count u48, age u48 |
/// failed: the same | cancelled: the same | events max u32 | lease ms u48 | stalls max u32 | default priority u24 | call bytes u32 |
/// call items u32 | log lines u32 | errors u16 | message bytes u16 | default weight u32 | default group concurrency u32 (0 none)`, then a
/// MessagePack map of the groups that differ: name → [weight, concurrency or 0], nothing where none does. The most that six bytes hold is
/// no bound.
pub(super) fn pack(config: &QueueConfig) -> Vec<u8> {
    let settings = Settings { version: 0, config: config.clone() };
    let none = |bound: Option<u64>| bound.unwrap_or(MAX_48);
    let clamp = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(128);
    put_u32(&mut out, 0);
    put_u32(&mut out, config.rate.map_or(0, |rate| rate.max));
    put_u48(&mut out, config.rate.map_or(0, |rate| rate.per_ms));
    put_u32(&mut out, config.concurrency.unwrap_or(0));
    put_u48(&mut out, none(config.depth_max));
    let retention = config.retention;
    for Keep { age_ms, count } in [retention.completed, retention.failed, retention.cancelled] {
        put_u48(&mut out, none(count));
        put_u48(&mut out, none(age_ms));
    }
    put_u32(&mut out, clamp(config.events_max));
    put_u48(&mut out, config.lease_ms);
    put_u32(&mut out, config.stalls_max);
    put_u24(&mut out, config.default_priority);
    put_u32(&mut out, clamp(config.bounds.call_bytes));
    put_u32(&mut out, clamp(config.bounds.call_items));
    put_u32(&mut out, clamp(config.bounds.log_lines));
    put_u16(&mut out, settings.errors_max() as u16);
    put_u16(&mut out, settings.message_max() as u16);
    put_u32(&mut out, config.group_default.weight);
    put_u32(&mut out, config.group_default.concurrency.unwrap_or(0));
    if !config.groups.is_empty() {
        let mut pack = Pack(&mut out);
        pack.map(config.groups.len());
        for (name, group) in &config.groups {
            pack.text(name.as_bytes());
            pack.array(2);
            pack.number(u64::from(group.weight));
            pack.number(u64::from(group.concurrency.unwrap_or(0)));
        }
    }
    out
}

/// Settings as JSON.
pub(super) fn to_json(config: &QueueConfig) -> Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|error| Error::Config { problems: vec![error.to_string()] })
}

/// An error for a record of a queue.
pub(super) fn bad_record(queue: &QueueName, job: &str) -> impl FnOnce(super::packed::Damaged) -> Error {
    unreadable(format!("job {job} of queue {queue}"))
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::Value;

    use super::*;
    use crate::model::{Bounds, GroupConfig, RateLimit, Retention};

    #[test]
    fn settings_are_packed_as_the_scripts_read_them() {
        let plain = pack(&QueueConfig::default());
        // Lua's format '>I4I4I6I4I6I6I6I6I6I6I6I4I6I4I3I4I4I4I2I2I4I4'.
        assert_eq!(plain.len(), 4 + 4 + 6 + 4 + 6 + 36 + 4 + 6 + 4 + 3 + 4 + 4 + 4 + 2 + 2 + 4 + 4);
        assert_eq!(&plain[..24], &[0; 18].into_iter().chain([0xff; 6]).collect::<Vec<u8>>()[..]);
        let config = QueueConfig {
            rate: Some(RateLimit { max: 3, per_ms: 1_000 }),
            concurrency: Some(7),
            depth_max: Some(0),
            retention: Retention { completed: Keep::NOTHING, failed: Keep::ALL, cancelled: Keep::ALL },
            events_max: usize::MAX,
            bounds: Bounds { errors: 0, message_bytes: usize::MAX, ..Bounds::default() },
            groups: [("a\0b".to_owned(), GroupConfig { weight: 2, concurrency: None })].into(),
            ..QueueConfig::default()
        };
        let packed = pack(&config);
        assert_eq!(&packed[4..24], &[0, 0, 0, 3, 0, 0, 0, 0, 3, 232, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&packed[24..30], &[0; 6], "nothing completed is kept");
        assert_eq!(&packed[60..64], &[0xff; 4], "all events are kept");
        assert_eq!(&packed[plain.len()..], b"\x81\xa3a\0b\x92\x02\x00");
        assert_eq!(&packed[89..91], &[0, 1], "one error is always kept");
    }

    #[test]
    fn what_a_script_tells_replaces_what_was_known() {
        let queue = QueueName::new("mail").expect("a good name");
        let known = Known::default();
        assert_eq!(known.get().version, 0);
        let config = QueueConfig { default_priority: 9, ..QueueConfig::default() };
        let json = to_json(&config).expect("it can be written");
        let tell = |json: Vec<u8>, version| {
            known.learn(&queue, Items::of(Value::Array(vec![Value::BulkString(json), Value::Int(version)]))?)
        };
        tell(json, 4).expect("it can be read");
        assert_eq!((known.get().version, &known.get().config), (4, &config));
        assert!(tell(b"{".to_vec(), 5).is_err());
        tell(Vec::new(), 0).expect("a queue without settings has the defaults");
        assert_eq!((known.get().version, &known.get().config), (0, &QueueConfig::default()));
    }
}
