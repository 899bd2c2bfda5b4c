//! The secret that a sender and a receiver share.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// What the text of a secret begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "whsec_";
/// Fewest and most bytes of a secret, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a new secret: as strong as the signature.
const NEW_LENGTH: usize = 32;

/// A secret of a webhook. `Debug` prints `***`; [`WebhookSecret::expose`] is the only way to the text.
#[derive(Clone)]
pub struct WebhookSecret {
    text: Arc<str>,
    key: hmac::Key,
}

/// Why a text is no secret. The text is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookSecretError {
    /// Another beginning.
    #[error("a secret of a webhook begins with \"{PREFIX}\"; this one does not")]
    Prefix,
    /// Not base64 after the prefix.
    #[error("after \"{PREFIX}\" a secret of a webhook is base64; this one is not")]
    Encoding,
    /// Too short to be safe, or longer than the specification has it.
    #[error("a secret of a webhook has 24 to 64 bytes; this one has {0}")]
    Length(usize),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers, so no secret can be made")]
    NoRandomness,
}

impl WebhookSecret {
    /// A new secret, for one webhook alone.
    ///
    /// # Errors
    /// [`WebhookSecretError::NoRandomness`] if the system gives none.
    pub fn generate() -> Result<Self, WebhookSecretError> {
        let mut bytes = [0; NEW_LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| WebhookSecretError::NoRandomness)?;
        Ok(Self::of(&bytes, &format!("{PREFIX}{}", STANDARD.encode(bytes))))
    }

    fn of(bytes: &[u8], text: &str) -> Self {
        Self { text: text.into(), key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// The text, for the receiver and for whoever seals it; nobody else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(WebhookSecretError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| WebhookSecretError::Encoding)?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(WebhookSecretError::Length(bytes.len()));
        }
        Ok(Self::of(&bytes, text))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::secret::MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_secrets_are_secrets_and_differ() {
        let (one, other) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().parse::<WebhookSecret>().unwrap().expose(), one.expose());
        assert_eq!(format!("{one:?}"), "***");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        let of_length = |n| format!("{PREFIX}{}", STANDARD.encode(vec![7; n]));
        for length in [24, 64] {
            assert!(of_length(length).parse::<WebhookSecret>().is_ok());
        }
        for (text, expected) in [
            (String::new(), WebhookSecretError::Prefix),
            ("canary".to_owned(), WebhookSecretError::Prefix),
            ("WHSEC_AAAA".to_owned(), WebhookSecretError::Prefix),
            (format!("{PREFIX}canary!"), WebhookSecretError::Encoding),
            (format!("{PREFIX} "), WebhookSecretError::Encoding),
            (PREFIX.to_owned(), WebhookSecretError::Length(0)),
            (of_length(23), WebhookSecretError::Length(23)),
            (of_length(65), WebhookSecretError::Length(65)),
        ] {
            let error = text.parse::<WebhookSecret>().unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("canary"));
        }
    }
}
