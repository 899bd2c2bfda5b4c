//! Random texts that open something. They are shown once and kept as their SHA-256: with 256 random bits there is nothing to guess,
//! so a slow hash would cost every request and gain nothing.

use std::hint::black_box;

use sha2::{Digest as _, Sha256};

use crate::StoreError;
use crate::ids::hex;

/// Characters of a secret: 32 bytes as base64 for URLs, without padding.
pub(crate) const SECRET_CHARS: usize = 43;

/// A new secret.
///
/// # Errors
/// [`StoreError::Randomness`] if the operating system gives no random bytes.
pub(crate) fn new_secret() -> Result<String, StoreError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(StoreError::Randomness)?;
    Ok(base64url(&bytes))
}

/// Whether a text has the form of a secret. Whatever else it is, it is not worth a look into the database.
pub(crate) fn is_secret(text: &str) -> bool {
    text.len() == SECRET_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What is kept of a secret: its SHA-256, in hexadecimal digits. It is taken of the text, so that a second spelling of the same bytes
/// is another secret.
pub(crate) fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Whether two texts are the same; how long it takes tells only whether their lengths are.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && black_box(
            one.bytes().zip(other.bytes()).fold(0, |difference, (a, b)| black_box(difference | (a ^ b))),
        ) == 0
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_written_as_rfc_4648_says_without_padding() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff, 0xfe]), "-__-");
    }

    #[test]
    fn secrets_differ_and_have_their_form() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(one, other);
        assert!(is_secret(&one) && !is_secret(&one[1..]) && !is_secret(&format!("{one}A")));
        assert!(!is_secret(&format!("{}=", &one[1..])) && !is_secret(&"é".repeat(SECRET_CHARS)));
    }

    #[test]
    fn texts_are_the_same_only_in_every_character() {
        let text = hash("x");
        assert!(same(&text, &hash("x")));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            assert!(!same(&text, std::str::from_utf8(&other).unwrap()), "{at}");
        }
        assert!(!same(&text, &text[1..]) && !same(&text, ""));
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
