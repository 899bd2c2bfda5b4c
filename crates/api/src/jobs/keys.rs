//! Names that clients choose, made into the engine's ids and keys.
//!
//! Each is derived from the owner and the client's text: two owners that choose the same text never meet, neither by accident nor to
//! find out what the other has. The derived form has a fixed length and plain characters, whatever the text.

use bulrush::model::{JobId, Owner};
use sha2::{Digest, Sha256};

use crate::http::auth::Principal;

/// The id of the job that `owner` calls `name`, in the queue whose ids begin with `prefix`.
pub fn client_job_id(prefix: &str, owner: &Owner, name: &str) -> JobId {
    // A constant parent: what distinguishes the ids is in the name, with lengths so that no two differ only in where a part ends.
    let parent = JobId::generate("client", 0, 0);
    let name = format!("{}:{}:{}:{}:{name}", owner.tenant.len(), owner.tenant, owner.user.len(), owner.user);
    JobId::derive(prefix, &parent, &name)
}

/// What a dedup key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A client's own `dedup` option.
    Dedup,
    /// An `Idempotency-Key`.
    Idempotency,
}

/// The engine's dedup key for a client's one.
pub fn dedup_key(kind: KeyKind, owner: &Owner, key: &str) -> String {
    let mark = match kind {
        KeyKind::Dedup => "d",
        KeyKind::Idempotency => "i",
    };
    let mut hash = Sha256::new();
    for part in [mark, &owner.tenant, &owner.user, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let digits: String = digest[..20].iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect();
    format!("{mark}:{digits}")
}

/// What a request stands for: 64 bits of a hash of where it went and what it said.
pub fn fingerprint(place: &str, body: &[u8]) -> u64 {
    let mut hash = Sha256::new();
    hash.update((place.len() as u64).to_be_bytes());
    hash.update(place.as_bytes());
    hash.update(body);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(bytes)
}

/// A client's group within its tenant: another tenant's group of the same name takes turns of its own.
pub fn group(principal: &Principal, name: &str) -> String {
    format!("{}/{name}", principal.owner.tenant)
}

/// The first 64 bits of a hash as 16 digits, for ETags.
pub fn digest_text(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(tenant: &str, user: &str) -> Owner {
        Owner { tenant: tenant.into(), user: user.into() }
    }

    #[test]
    fn the_same_text_of_two_owners_is_two_keys_wherever_their_parts_end() {
        let owners = [owner("ab", "c"), owner("a", "bc"), owner("ab", "d"), owner("1:ab", "c")];
        for (n, a) in owners.iter().enumerate() {
            assert_eq!(client_job_id("for", a, "x"), client_job_id("for", a, "x"));
            for b in &owners[n + 1..] {
                assert_ne!(client_job_id("for", a, "x"), client_job_id("for", b, "x"));
                assert_ne!(dedup_key(KeyKind::Dedup, a, "x"), dedup_key(KeyKind::Dedup, b, "x"));
            }
        }
        let a = &owners[0];
        assert_ne!(dedup_key(KeyKind::Dedup, a, "x"), dedup_key(KeyKind::Idempotency, a, "x"));
        assert!(dedup_key(KeyKind::Idempotency, a, &"é\n".repeat(5_000)).len() < 64);
    }
}
