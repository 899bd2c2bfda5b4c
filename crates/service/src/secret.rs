//! Texts that cannot be printed by accident.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::Problems;

/// A secret. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret that is given either as `value` (say, by the variable `name`) or as a file that holds it (`name_FILE`, as container
    /// platforms mount them); the file's last line end is not part of it. What is wrong is noted without the text.
    pub fn resolve(
        name: &str,
        value: Option<&Self>,
        file: Option<&Path>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let secret = match (value, file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                problems.push(name, format!("is given twice, also as {name}_FILE; keep one of them"));
                return None;
            }
            (Some(value), None) => value.clone(),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Self(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(error) => {
                    problems.push(
                        format!("{name}_FILE"),
                        format!(
                            "{} cannot be read: {error}; give a file that this user may read",
                            path.display()
                        ),
                    );
                    return None;
                }
            },
        };
        if secret.0.is_empty() {
            problems.push(name, "is empty; give the secret, or leave it out");
            return None;
        }
        Some(secret)
    }
}

impl FromStr for Secret {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        assert_eq!(
            format!("{0} {0:?} {1:?}", Secret::new("canary"), Some(Secret::new("canary"))),
            "*** *** Some(***)"
        );
    }

    #[test]
    fn a_secret_comes_from_a_variable_or_a_file_but_not_from_both_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from-file\r\n").unwrap();
        let value = Secret::new("from-variable");
        let mut problems = Problems::default();
        let mut resolve = |value: Option<&Secret>, path: Option<&Path>| {
            Secret::resolve("JWT_SECRET", value, path, &mut problems).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(resolve(Some(&value), None).as_deref(), Some("from-variable"));
        assert_eq!(resolve(None, Some(&path)).as_deref(), Some("from-file"));
        assert_eq!(resolve(None, None), None);
        assert_eq!(resolve(Some(&value), Some(&path)), None);
        assert_eq!(resolve(Some(&Secret::new("")), None), None);
        assert_eq!(resolve(None, Some(&folder.path().join("absent"))), None);
        let text = problems.finish().unwrap_err().to_string();
        assert!(
            text.contains("given twice") && text.contains("is empty") && text.contains("absent"),
            "{text}"
        );
        assert!(!text.contains("from-"), "{text}");
    }
}
