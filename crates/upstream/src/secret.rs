//! API keys that cannot be printed by accident.

use std::fmt;
use std::sync::Arc;

/// Longest key accepted; real ones have 32 to 64 characters.
const LENGTH_MAX: usize = 512;

/// What stands in the place of a secret in every text.
pub(crate) const MASK: &str = "***";

/// An API key. `Debug` and `Display` print `***`; [`Secret::expose`] is the only way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// Why a text cannot be an API key. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no text.
    #[error("the API key is empty; leave it out or give a key")]
    Empty,
    /// The text is too long to be a key.
    #[error("the API key has {length} characters; at most {LENGTH_MAX} are accepted")]
    TooLong {
        /// Characters seen.
        length: usize,
    },
    /// A blank, quote, backslash or a character outside ASCII.
    #[error(
        "the API key has an unusable character at position {position}; keys are visible ASCII without quotes"
    )]
    Character {
        /// Position of the first such character, counted from 0.
        position: usize,
    },
}

impl Secret {
    /// Takes a key as the provider handed it out.
    ///
    /// The characters are restricted to those that look the same in a URL (but for percent-encoding) and in JSON, so that an
    /// echo of the key is found and masked in whatever an upstream answers.
    ///
    /// # Errors
    /// [`SecretError`] if the text cannot be a key.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(SecretError::TooLong { length: text.chars().count() });
        }
        match text.chars().position(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '\\')) {
            Some(position) => Err(SecretError::Character { position }),
            None => Ok(Self(text.into())),
        }
    }

    /// The key itself, for the request it belongs to and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("canary-1234").unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    }

    #[test]
    fn keys_that_no_provider_hands_out_are_refused() {
        assert_eq!(Secret::new(""), Err(SecretError::Empty));
        assert_eq!(Secret::new("a b"), Err(SecretError::Character { position: 1 }));
        assert_eq!(Secret::new("key\r\nX-Evil: 1"), Err(SecretError::Character { position: 3 }));
        assert_eq!(Secret::new(&"k".repeat(513)), Err(SecretError::TooLong { length: 513 }));
    }
}
