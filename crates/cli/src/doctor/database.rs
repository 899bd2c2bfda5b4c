//! Looks at a database: whether it can be reached, is of a version that the store is made for, has its tables, and agrees about the time.

use bulrush::port::Check;
use bulrush_store::{DatabaseLook, Store, StoreError, now_ms};
use tokio::time::Instant;

use super::report::Report;

/// Clocks may differ so much before people are misled, ms.
const CLOCK_WARN_MS: i64 = 1_000;
/// A round trip above this makes every request wait for the way, ms.
const ROUND_TRIP_WARN_MS: f64 = 20.0;

/// Looks at the database; a file must be there, as a look makes none.
pub async fn look(url: &str) -> Report {
    let subject = if url.starts_with("postgres") { "PostgreSQL" } else { "the database" };
    let file = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    if let Some(path) = file
        && path != ":memory:"
        && !std::path::Path::new(path).is_file()
    {
        let cure = "give the path of the database, or let `bulrush migrate` make it";
        return Report::of(subject, Check::broken("database", format!("there is no file {path}"), cure));
    }
    let store = match Store::open(url).await {
        Ok(store) => store,
        Err(error) => return Report::of(subject, unreachable(&error)),
    };
    let (before_ms, look) = (now_ms(), store.look().await);
    let found = match look {
        Ok(look) => {
            let mut report = Report::new(format!("{} {}", look.kind, look.version));
            report.checks = checks(&look, before_ms, now_ms());
            report.checks.push(round_trip(&store).await);
            report
        }
        Err(error) => Report::of(subject, unreachable(&error)),
    };
    store.close().await;
    found
}

fn checks(look: &DatabaseLook, before_ms: i64, after_ms: i64) -> Vec<Check> {
    let mut checks = Vec::new();
    let name = format!("{} {}", look.kind, look.version);
    checks.push(if look.is_supported {
        Check::ok("version", name)
    } else {
        Check::broken("version", format!("{name} is too old"), "use PostgreSQL 14 or newer")
    });
    checks.push(match look.missing_migrations {
        0 => Check::ok("tables", "up to date"),
        count => Check::broken("tables", format!("{count} migrations are missing"), "run bulrush migrate"),
    });
    if look.is_read_only {
        let cure = "give the address of the primary server, or turn default_transaction_read_only off";
        checks.push(Check::broken("writable", "it only reads", cure));
    }
    if !look.is_utf8 {
        let cure = "make the database with ENCODING 'UTF8'";
        checks.push(Check::broken("encoding", "it does not keep texts as UTF-8", cure));
    }
    if let Some(clock_ms) = look.clock_ms {
        // Somewhere between the question and the answer.
        let ahead_ms = (clock_ms - after_ms).max(0) - (before_ms - clock_ms).max(0);
        let found = format!("{ahead_ms} ms ahead of this machine's");
        checks.push(if ahead_ms.abs() > CLOCK_WARN_MS {
            Check::warning(
                "clock",
                found,
                "let both machines follow the same time servers (chrony, systemd-timesyncd)",
            )
        } else {
            Check::ok("clock", found)
        });
    }
    checks
}

async fn round_trip(store: &Store) -> Check {
    let mut best_ms = f64::MAX;
    for _ in 0..5 {
        let sent = Instant::now();
        if let Err(error) = store.ping().await {
            return unreachable(&error);
        }
        best_ms = best_ms.min(sent.elapsed().as_secs_f64() * 1e3);
    }
    let found = format!("{best_ms:.2} ms");
    if best_ms > ROUND_TRIP_WARN_MS {
        Check::warning(
            "round-trip",
            found,
            "run the programs near their database: each request makes several trips",
        )
    } else {
        Check::ok("round-trip", found)
    }
}

fn unreachable(error: &StoreError) -> Check {
    let cure = match error {
        StoreError::Url { .. } => "correct the address",
        StoreError::NoEntry(_) => {
            "see what the server says with the same address: psql \"$DATABASE_URL\"; make the user and the database, or correct them"
        }
        StoreError::Unavailable(_) => {
            "see that the server runs, that host and port are right and nothing is in between: pg_isready -h HOST -p PORT"
        }
        _ => "as said",
    };
    Check::broken("reachable", told(error), cure)
}

/// The error and its causes. The store keeps secrets out of them.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use bulrush::port::Verdict;

    use super::*;

    fn good() -> DatabaseLook {
        DatabaseLook {
            kind: "PostgreSQL",
            version: "15.1".into(),
            is_supported: true,
            clock_ms: Some(10_000),
            is_read_only: false,
            is_utf8: true,
            missing_migrations: 0,
        }
    }

    fn worst(look: &DatabaseLook, at_ms: i64) -> (Verdict, Vec<&'static str>) {
        let checks = checks(look, at_ms, at_ms + 3);
        let bad: Vec<_> = checks.iter().filter(|it| it.verdict != Verdict::Ok).map(|it| it.what).collect();
        (checks.iter().map(|it| it.verdict).max().unwrap(), bad)
    }

    #[test]
    fn each_thing_that_is_wrong_is_named_and_a_clock_is_only_a_warning() {
        assert_eq!(worst(&good(), 9_999).0, Verdict::Ok);
        for (look, what) in [
            (DatabaseLook { is_supported: false, ..good() }, "version"),
            (DatabaseLook { missing_migrations: 2, ..good() }, "tables"),
            (DatabaseLook { is_read_only: true, ..good() }, "writable"),
            (DatabaseLook { is_utf8: false, ..good() }, "encoding"),
        ] {
            assert_eq!(worst(&look, 9_999), (Verdict::Broken, vec![what]));
        }
        for at_ms in [8_000, 12_000] {
            assert_eq!(worst(&good(), at_ms), (Verdict::Warning, vec!["clock"]));
        }
    }
}
