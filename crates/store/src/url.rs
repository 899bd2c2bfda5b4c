//! The database's URL.

use std::path::PathBuf;

use crate::StoreError;
use crate::db::PostgresUrl;

/// Where the database is.
#[derive(Debug)]
pub(crate) enum DatabaseUrl {
    /// A SQLite file.
    File(PathBuf),
    /// A private SQLite database that goes with the store.
    Memory,
    /// A PostgreSQL server.
    Postgres(Box<PostgresUrl>),
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `sqlite::memory:` or `postgres://…`.
    ///
    /// What is wrong is said without repeating the URL: one meant for another database holds its password.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| Err(StoreError::Url { reason });
        let Some((scheme, rest)) = url.split_once(':') else {
            return refuse(
                "it has no scheme; write postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH".into(),
            );
        };
        match scheme {
            "sqlite" => {}
            "postgres" | "postgresql" => return Ok(Self::Postgres(Box::new(PostgresUrl::parse(url)?))),
            // A scheme is short and plain; anything else may be a path or a secret and is not repeated.
            other
                if !other.is_empty()
                    && other.len() <= 20
                    && other.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                return refuse(format!(
                    "the scheme {other:?} is unknown; write postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH"
                ));
            }
            _ => {
                return refuse(
                    "its scheme is unknown; write postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH"
                        .into(),
                );
            }
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::Memory),
            "" => {
                refuse("it names no file; write postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH".into())
            }
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
        for (url, file) in [("sqlite:data/x.db", "data/x.db"), ("sqlite:///srv/x.db", "/srv/x.db")] {
            let parsed = DatabaseUrl::parse(url).unwrap();
            assert!(matches!(&parsed, DatabaseUrl::File(path) if path.to_str() == Some(file)), "{parsed:?}");
        }
        for url in ["sqlite::memory:", "sqlite://:memory:"] {
            assert!(matches!(DatabaseUrl::parse(url).unwrap(), DatabaseUrl::Memory), "{url}");
        }
        for url in ["postgres://u:p@h/d", "postgresql://h/d", "postgres://u@localhost/d?host=/run/postgresql"]
        {
            assert!(matches!(DatabaseUrl::parse(url).unwrap(), DatabaseUrl::Postgres(_)), "{url}");
        }
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
            "u:hunter2@h",
            "user name hunter2:x",
        ] {
            let text = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(text.contains("sqlite:PATH"), "{url:?}: {text}");
            assert!(!text.contains("hunter2"), "{url:?}: {text}");
        }
    }
}
