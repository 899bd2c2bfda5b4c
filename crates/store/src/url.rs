//! The database's URL.

use std::path::PathBuf;

use crate::StoreError;

/// Where the database is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// A SQLite file.
    File(PathBuf),
    /// A private SQLite database that goes with the store.
    Memory,
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH` or `sqlite::memory:`.
    ///
    /// What is wrong is said without repeating the URL: one meant for another database holds its password.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| Err(StoreError::Url { reason });
        let Some((scheme, rest)) = url.split_once(':') else {
            return refuse(
                "it has no scheme; write sqlite:PATH for a file or sqlite::memory: for none".into(),
            );
        };
        match scheme {
            "sqlite" => {}
            "postgres" | "postgresql" => {
                return refuse(
                    "PostgreSQL comes with a later version; until then write sqlite:PATH (one server, several processes on \
                     the same disk)"
                        .into(),
                );
            }
            // A scheme is short and plain; anything else may be a path or a secret and is not repeated.
            other
                if !other.is_empty()
                    && other.len() <= 20
                    && other.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                return refuse(format!(
                    "the scheme {other:?} is unknown; write sqlite:PATH or sqlite::memory:"
                ));
            }
            _ => return refuse("its scheme is unknown; write sqlite:PATH or sqlite::memory:".into()),
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::Memory),
            "" => refuse("it names no file; write sqlite:PATH or sqlite::memory:".into()),
            _ if path.contains(['?', '\0']) => refuse(
                "it has parameters or a character that no path has; write sqlite:PATH and nothing after it"
                    .into(),
            ),
            _ => Ok(Self::File(path.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_memory_are_read_in_both_spellings() {
        assert_eq!(DatabaseUrl::parse("sqlite:data/x.db").unwrap(), DatabaseUrl::File("data/x.db".into()));
        assert_eq!(DatabaseUrl::parse("sqlite:///srv/x.db").unwrap(), DatabaseUrl::File("/srv/x.db".into()));
        assert_eq!(DatabaseUrl::parse("sqlite::memory:").unwrap(), DatabaseUrl::Memory);
        assert_eq!(DatabaseUrl::parse("sqlite://:memory:").unwrap(), DatabaseUrl::Memory);
    }

    #[test]
    fn what_cannot_be_opened_is_refused_with_what_to_write_and_without_its_password() {
        for url in [
            "",
            "data.db",
            "sqlite:",
            "sqlite://",
            "sqlite:x.db?mode=rwc",
            "sqlite:x\0y",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d",
            "postgresql://u:hunter2@h/d",
            "u:hunter2@h",
            "user name hunter2:x",
        ] {
            let text = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(text.contains("sqlite:PATH"), "{url:?}: {text}");
            assert!(!text.contains("hunter2"), "{url:?}: {text}");
        }
        assert!(DatabaseUrl::parse("postgres://h/d").unwrap_err().to_string().contains("later version"));
    }
}
