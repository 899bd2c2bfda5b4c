//! A URL of PostgreSQL.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::StoreError;

/// What a PostgreSQL URL may hold beside its address. The names are libpq's, but for the last.
const LIBPQ: [&str; 13] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
    "statement-cache-capacity",
];
/// And what the store itself is told there.
const OURS: [&str; 4] = ["connections", "acquire_timeout_ms", "statement_timeout_ms", "lock_timeout_ms"];
/// What the server calls the program.
const APPLICATION_NAME: &str = "bulrush";
/// Longest of the times that may be set.
const TIME_MS_MAX: u32 = 3_600_000;

/// How long and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections at most, half of which read.
    pub connections: u32,
    /// How long a call waits for a connection, a new one's making included.
    pub acquire: Duration,
    /// How long the server lets a statement run.
    pub statement: Duration,
    /// How long the server lets it wait for a lock.
    pub lock: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10,
            acquire: Duration::from_secs(5),
            statement: Duration::from_secs(15),
            lock: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// How long a call waits for the answer to a statement. The server ends it before; what takes longer is lost on the way.
    pub fn call(&self) -> Duration {
        self.statement + Duration::from_secs(2)
    }
}

/// A URL of PostgreSQL, read. It may hold a password, which `Debug` does not show.
pub(crate) struct PostgresUrl {
    pub(super) options: PgConnectOptions,
    pub(super) limits: Limits,
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl PostgresUrl {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…`; see [`crate::Store::open`].
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Url { reason };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if base.contains('#') || query.contains('#') {
            return Err(refuse("it has a #; in a password or a name write it as %23".into()));
        }
        let mut limits = Limits::default();
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if LIBPQ.contains(&key) {
                theirs.push(pair);
                continue;
            }
            let time = || number(key, value, 1, TIME_MS_MAX).map(|ms| Duration::from_millis(ms.into()));
            match key {
                "connections" => limits.connections = number(key, value, 2, 1_000)?,
                "acquire_timeout_ms" => limits.acquire = time()?,
                "statement_timeout_ms" => limits.statement = time()?,
                "lock_timeout_ms" => limits.lock = time()?,
                _ => {
                    let known = LIBPQ.iter().chain(&OURS).copied().collect::<Vec<_>>().join(", ");
                    return Err(refuse(format!("a parameter after the ? is unknown; known are {known}")));
                }
            }
        }
        let rest = if theirs.is_empty() { base.to_owned() } else { format!("{base}?{}", theirs.join("&")) };
        let mut options = PgConnectOptions::from_str(&rest).map_err(|_| {
            // What the library says may repeat a part of the URL.
            refuse(
                "it cannot be read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE with the special characters of each part \
                 percent-encoded, sslmode one of disable, allow, prefer, require, verify-ca and verify-full"
                    .into(),
            )
        })?;
        if options.get_application_name().is_none() {
            options = options.application_name(APPLICATION_NAME);
        }
        let given = options.get_options().unwrap_or_default().to_owned();
        let own = [
            ("statement_timeout", limits.statement),
            ("lock_timeout", limits.lock),
            // A transaction is open while the program works on, for a while longer than a statement may run at most.
            ("idle_in_transaction_session_timeout", limits.statement + Duration::from_secs(45)),
        ];
        let own = own.into_iter().filter(|(name, _)| !given.contains(name));
        let options = options.options(own.map(|(name, time)| (name, time.as_millis().to_string())));
        Ok(Self { options, limits })
    }
}

fn number(key: &str, text: &str, least: u32, most: u32) -> Result<u32, StoreError> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(StoreError::Url { reason: format!("its {key} must be a number from {least} to {most}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_s_own_limits_are_read_and_told_to_the_server() {
        let url = PostgresUrl::parse(
            "postgres://u:hunter2@h:1/d?sslmode=require&connections=4&lock_timeout_ms=700&statement_timeout_ms=900",
        )
        .unwrap();
        assert_eq!((url.limits.connections, url.limits.lock), (4, Duration::from_millis(700)));
        let told = url.options.get_options().unwrap();
        assert!(told.contains("lock_timeout=700") && told.contains("statement_timeout=900"), "{told}");
        assert_eq!(url.options.get_application_name(), Some("bulrush"));
        assert!(!format!("{url:?}").contains("hunter2"));
        let own =
            PostgresUrl::parse("postgres://h/d?options=-c%20lock_timeout%3D5&application_name=x").unwrap();
        assert!(!own.options.get_options().unwrap().contains("lock_timeout=5000"));
        assert_eq!(own.options.get_application_name(), Some("x"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_the_password() {
        for url in [
            "postgres://u:hunter2@h:x/d",
            "postgres://u:hunt#er2@h/d",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2@h/d?connections=1",
            "postgres://u:hunter2@h/d?connections=hunter2",
            "postgres://u:hunter2@h/d?lock_timeout_ms=0",
            "postgres://u:hunter2@h/d?pool_max_hunter2",
        ] {
            let text = PostgresUrl::parse(url).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{url:?}: {text}");
        }
    }
}
