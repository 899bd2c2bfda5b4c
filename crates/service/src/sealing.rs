//! Secrets inside payloads: sealed by whoever takes a job in, opened by the worker that runs it, unreadable in between.

use bulrush_catalog::{SealError, SealedText, Sealer};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use crate::key_file::KEY_BYTES_MIN;
use crate::{ConfigError, Problems, Secret, hex};

/// What a sealed text of this version begins with.
const MARK: &str = "sealed:v1:";

/// Seals and opens with one key (ChaCha20-Poly1305, a random nonce for each text). The API and the workers hold the same key.
pub struct Sealing(LessSafeKey);

impl Sealing {
    /// A sealing by a secret of at least 32 bytes.
    ///
    /// # Errors
    /// A secret that is too short.
    pub fn new(secret: &Secret) -> Result<Self, ConfigError> {
        let bytes = secret.expose().as_bytes();
        let mut problems = Problems::default();
        if bytes.len() < KEY_BYTES_MIN {
            problems.push(
                "BULRUSH_SEAL_KEY",
                format!("has {} bytes and at least {KEY_BYTES_MIN} are needed; make one with: openssl rand -hex 32", bytes.len()),
            );
        }
        problems.finish()?;
        // The secret may be any text; the cipher wants 32 uniform bytes.
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"bulrush seal v1");
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref())
            .unwrap_or_else(|_| unreachable!("HMAC-SHA-256 gives the 32 bytes that the cipher wants"));
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// [`SealError`] if it was sealed by another key, or changed since.
    pub fn open(&self, sealed: &SealedText) -> Result<Secret, SealError> {
        let failed = || {
            SealError("the sealed secret cannot be opened; do the API and the worker have the same BULRUSH_SEAL_KEY?".into())
        };
        let bytes = sealed.as_str().strip_prefix(MARK).and_then(hex::decode).ok_or_else(failed)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut text = rest.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(MARK), &mut text).map_err(|_| failed())?;
        String::from_utf8(plain.to_vec()).map(Secret::new).map_err(|_| failed())
    }
}

impl Sealer for Sealing {
    fn seal(&self, plain: &str) -> Result<SealedText, SealError> {
        let mut bytes = [0_u8; NONCE_LEN];
        getrandom::fill(&mut bytes)
            .map_err(|_| SealError("the operating system gave no random bytes; try again".into()))?;
        let mut text = plain.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(bytes), Aad::from(MARK), &mut text)
            .map_err(|_| SealError("the secret is too long to be sealed".into()))?;
        SealedText::new(format!("{MARK}{}{}", hex::encode(&bytes), hex::encode(&text)))
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealing(byte: &str) -> Sealing {
        Sealing::new(&Secret::new(byte.repeat(32))).unwrap()
    }

    #[test]
    fn only_the_same_key_opens_what_was_sealed_and_only_unchanged() {
        let sealed = sealing("a").seal("canary-key").unwrap();
        assert!(!sealed.as_str().contains("canary"));
        assert_eq!(sealing("a").open(&sealed).unwrap().expose(), "canary-key");
        assert!(sealing("b").open(&sealed).is_err());
        let mut changed = sealed.as_str().to_owned();
        let last = changed.pop().unwrap();
        changed.push(if last == '0' { '1' } else { '0' });
        assert!(sealing("a").open(&SealedText::new(changed).unwrap()).is_err());
        for odd in ["sealed:v1:", "sealed:v1:0", "sealed:v1:zz", "sealed:v2:00", "sealed:v1:é"] {
            assert!(sealing("a").open(&SealedText::new(odd.to_owned()).unwrap()).is_err(), "{odd}");
        }
        assert_ne!(
            sealing("a").seal("x").unwrap(),
            sealing("a").seal("x").unwrap(),
            "a nonce is never used twice"
        );
    }

    #[test]
    fn a_short_key_is_refused_without_being_repeated() {
        let error = Sealing::new(&Secret::new("hunter2")).unwrap_err().to_string();
        assert!(error.contains("7 bytes") && !error.contains("hunter2"), "{error}");
    }
}
