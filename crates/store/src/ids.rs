//! Identifiers of rows.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::StoreError;

/// Milliseconds since 1970 (UTC), the unit of every instant in the store.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A new identifier: a UUID version 7, so that rows made one after the other sort and store side by side.
///
/// # Errors
/// [`StoreError::Randomness`] if the operating system gives no random bytes.
pub fn new_id() -> Result<String, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(StoreError::Randomness)?;
    let stamp = now_ms().to_be_bytes();
    bytes[..6].copy_from_slice(&stamp[2..]);
    Ok(uuid_text(bytes, 7))
}

/// The identifier that belongs to `parts`: the same parts always give the same UUID (version 8), and different parts different
/// ones. With the tenant as the first part, a client may name its things as it likes and never meets another tenant's.
pub fn derived_id(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // The length goes first, so that ["ab", "c"] and ["a", "bc"] differ.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid_text(bytes, 8)
}

/// Random bytes as hex, for names of objects.
pub(crate) fn random_hex() -> Result<String, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(StoreError::Randomness)?;
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Sets version and variant (RFC 9562) and writes the usual five groups.
fn uuid_text(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_distinct_uuids_of_version_7_that_sort_by_time() {
        let first = new_id().unwrap();
        let second = new_id().unwrap();
        assert_ne!(first, second);
        assert_eq!((first.len(), &first[14..15]), (36, "7"));
        assert!(first[..13] <= second[..13]);
    }

    #[test]
    fn derived_ids_depend_on_every_part_and_on_where_it_ends() {
        assert_eq!(derived_id(&["t", "a"]), derived_id(&["t", "a"]));
        assert_ne!(derived_id(&["ab", "c"]), derived_id(&["a", "bc"]));
        assert_ne!(derived_id(&["t", "a"]), derived_id(&["u", "a"]));
        assert_eq!(&derived_id(&[])[14..15], "8");
    }
}
