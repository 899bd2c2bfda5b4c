//! Names of queues and ids of jobs, checked where they come in.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Millis;

/// Longest queue name, in bytes.
const QUEUE_NAME_MAX: usize = 63;
/// Longest job id, in bytes.
const JOB_ID_MAX: usize = 128;
/// A generated id with the longest prefix: three letters, a hyphen and a ULID.
const INLINE_MAX: usize = 30;
/// Crockford's base 32, in which ULIDs are written: sorts like the number it stands for.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Name of a queue: `[a-z0-9][a-z0-9_-]{0,62}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct QueueName(Arc<str>);

/// A queue name that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "queue name {name:?} is not allowed: use 1 to 63 characters of a-z, 0-9, '_' and '-', the first a letter or digit\
     {}", if name.contains(':') { " (a colon would clash with key separators; use '-' instead)" } else { "" }
)]
pub struct InvalidName {
    /// What was given, cut to 80 characters.
    pub name: String,
}

impl QueueName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidName`] says what is allowed.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let bytes = name.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let allowed = bytes.len() <= QUEUE_NAME_MAX
            && bytes.first().is_some_and(plain)
            && bytes.iter().all(|b| plain(b) || matches!(b, b'_' | b'-'));
        if allowed {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName { name: name.chars().take(80).collect() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id prefix of a queue that sets none: its first three letters or digits.
    pub fn default_prefix(&self) -> String {
        self.0.chars().filter(char::is_ascii_alphanumeric).take(3).collect()
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for QueueName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

/// Id of a job: URL-safe (`A-Z a-z 0-9 - . _ ~`), 1 to 128 bytes. Generated ids are `<prefix>-<ulid>`: they sort by the time
/// they were made, and the prefix tells the queue. Ids up to 30 bytes are held inline, so a clone copies no memory.
#[derive(Clone)]
pub struct JobId(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, buf: [u8; INLINE_MAX] },
    Shared(Arc<str>),
}

/// A job id that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job id {id:?} is not allowed: use 1 to 128 characters of A-Z, a-z, 0-9, '-', '.', '_' and '~'")]
pub struct InvalidId {
    /// What was given, cut to 150 characters.
    pub id: String,
}

impl JobId {
    /// Checks an id that somebody gives.
    ///
    /// # Errors
    /// [`InvalidId`] says what is allowed.
    pub fn new(id: &str) -> Result<Self, InvalidId> {
        let allowed = (1..=JOB_ID_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
        if allowed { Ok(Self::trusted(id)) } else { Err(InvalidId { id: id.chars().take(150).collect() }) }
    }

    /// Takes text that is known to be an id.
    pub(crate) fn trusted(id: &str) -> Self {
        let bytes = id.as_bytes();
        if bytes.len() <= INLINE_MAX {
            let mut buf = [0; INLINE_MAX];
            buf[..bytes.len()].copy_from_slice(bytes);
            Self(Repr::Inline { len: bytes.len() as u8, buf })
        } else {
            Self(Repr::Shared(id.into()))
        }
    }

    /// `<prefix>-<ulid>` from a time and 80 random bits.
    ///
    /// The prefix is cut to three characters; whatever is not a letter or digit is dropped.
    pub fn generate(prefix: &str, now: Millis, random: u128) -> Self {
        let ulid = (u128::from(now) << 80) | (random & ((1 << 80) - 1));
        Self::from_u128(prefix, ulid)
    }

    /// The id of something that follows from a job: the same parent and name give the same id, whoever asks and however often.
    /// It is the first 128 bits of SHA-256 over parent and name, so no two names collide by accident or on purpose.
    pub fn derive(prefix: &str, parent: &JobId, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(parent.as_bytes());
        hash.update([0]);
        hash.update(name.as_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&hash.finalize()[..16]);
        Self::from_u128(prefix, u128::from_be_bytes(bits))
    }

    fn from_u128(prefix: &str, value: u128) -> Self {
        let mut buf = [0; INLINE_MAX];
        let mut len = 0;
        for b in prefix.bytes().filter(u8::is_ascii_alphanumeric).take(3) {
            buf[len] = b;
            len += 1;
        }
        if len > 0 {
            buf[len] = b'-';
            len += 1;
        }
        for digit in (0..26).rev() {
            buf[len] = CROCKFORD[((value >> (digit * 5)) & 31) as usize];
            len += 1;
        }
        Self(Repr::Inline { len: len as u8, buf })
    }

    /// The id as bytes (ASCII).
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, buf } => &buf[..usize::from(*len)],
            Repr::Shared(s) => s.as_bytes(),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Only ASCII gets in, so the check cannot fail.
            Repr::Inline { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Repr::Shared(s) => s,
        }
    }

    /// The part before the first hyphen, by which a generated id tells its queue.
    pub fn prefix(&self) -> Option<&str> {
        self.as_str().split_once('-').map(|(prefix, _)| prefix)
    }
}

impl PartialEq for JobId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for JobId {}
impl Hash for JobId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl PartialOrd for JobId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for JobId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl Borrow<[u8]> for JobId {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for JobId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::new(s)
    }
}
impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_with_a_colon_are_refused_with_the_reason() {
        let error = QueueName::new("analytics:aggregation").expect_err("a colon is not allowed");
        assert!(error.to_string().contains("colon"), "{error}");
        for bad in ["", "-a", "_a", "A", "a b", "{x}", &"a".repeat(64), "ä"] {
            assert!(QueueName::new(bad).is_err(), "{bad:?} must be refused");
        }
        for good in ["a", "0", "analytics-heavy", "a_b", &"a".repeat(63)] {
            assert!(QueueName::new(good).is_ok(), "{good:?} must be allowed");
        }
    }

    #[test]
    fn generated_ids_sort_by_time_and_tell_their_prefix() {
        let early = JobId::generate("enr", 1_700_000_000_000, u128::MAX);
        let late = JobId::generate("enr", 1_700_000_000_001, 0);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 30);
        assert_eq!(early.prefix(), Some("enr"));
        assert_eq!(JobId::new(early.as_str()).as_ref(), Ok(&early));
    }

    #[test]
    fn derived_ids_depend_on_parent_and_name_alone() {
        let parent = JobId::trusted("enr-1");
        assert_eq!(JobId::derive("ana", &parent, "summary"), JobId::derive("ana", &parent, "summary"));
        assert_ne!(JobId::derive("ana", &parent, "summary"), JobId::derive("ana", &parent, "summary2"));
        assert_ne!(
            JobId::derive("ana", &parent, "summary"),
            JobId::derive("ana", &JobId::trusted("enr-2"), "summary")
        );
    }

    #[test]
    fn long_ids_are_kept_whole_and_hostile_ones_refused() {
        let long = "x".repeat(128);
        assert_eq!(JobId::new(&long).expect("128 bytes are allowed").as_str(), long);
        for bad in ["", "a b", "a/b", "a:b", "é", "a\0", "a\r\nb", &"x".repeat(129)] {
            assert!(JobId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
