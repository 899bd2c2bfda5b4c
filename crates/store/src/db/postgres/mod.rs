//! PostgreSQL: a server, reached by two pools of connections.
//!
//! One pool reads and one writes, so that writers that wait for a lock do not keep readers out. Each call ends: by the server's
//! `lock_timeout` and `statement_timeout`, and where the way to the server is broken by a limit of our own ([`lease`]).

mod fault;
mod lease;
mod url;

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, SqlSafeStr as _,
};
use tokio::time::timeout;

use crate::StoreError;

pub(in crate::db) use fault::classify;
use lease::Suspicion;
pub(crate) use lease::{Lease, Side};
use url::Limits;
pub(crate) use url::PostgresUrl;

/// A connection that was idle for so long is asked for a sign of life before it is lent.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long it may take to give one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Connections are made anew after so long, so that changes of names and servers behind proxies are followed.
const LIFETIME_MAX: Duration = Duration::from_mins(30);
const IDLE_MAX: Duration = Duration::from_mins(10);
/// "bulrush" as a number: whoever brings the tables up to date holds the advisory lock of this name.
const MIGRATION_LOCK: i64 = 0x0062_756c_7275_7368;
/// How long one process waits for another one's migration, and its own may take.
const MIGRATION_MAX: Duration = Duration::from_mins(15);

/// The connections to a PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Sides {
    pub readers: Side,
    pub writers: Side,
    /// How connections that are no pool's are made. Never printed: it holds the password.
    options: Private<PgConnectOptions>,
    limits: Limits,
}

/// What `Debug` does not show.
struct Private<T>(T);

impl<T> std::fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Opens both pools, and asks the server for an answer.
pub(super) async fn open(url: PostgresUrl) -> Result<Sides, StoreError> {
    let PostgresUrl { options, limits } = url;
    let suspicion = Suspicion::default();
    let side = |connections: u32| {
        let watched = suspicion.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(limits.acquire)
            .max_lifetime(LIFETIME_MAX)
            .idle_timeout(IDLE_MAX)
            // Done below, with an end.
            .test_before_acquire(false)
            .before_acquire(move |connection, about| {
                let watched = watched.clone();
                Box::pin(async move {
                    if watched.falls_on(about.age) {
                        return Ok(false);
                    }
                    if about.idle_for < TRUSTED_FOR {
                        return Ok(true);
                    }
                    let answer = timeout(SIGN_OF_LIFE, connection.ping()).await;
                    if answer.is_err() {
                        watched.arise();
                    }
                    Ok(matches!(answer, Ok(Ok(()))))
                })
            })
            .connect_lazy_with(options.clone());
        Side::new(pool, limits, suspicion.clone())
    };
    let writers = (limits.connections / 2).max(1);
    let sides = Sides {
        readers: side(limits.connections - writers),
        writers: side(writers),
        options: Private(options.clone()),
        limits,
    };
    sides.readers.lease().await?.execute(crate::db::query("SELECT 1")).await?;
    Ok(sides)
}

/// Brings the tables up to date, on a connection of its own: it has other limits, and whatever happens to it, the pools have nothing to do
/// with it.
pub(super) async fn migrate(sides: &Sides, mut migrations: Migrator) -> Result<(), StoreError> {
    // Texts are compared byte by byte, as SQLite does, whatever the database's language: lists are read on from an identifier.
    for migration in migrations.migrations.to_mut() {
        migration.sql = AssertSqlSafe(with_byte_order(migration.sql.as_str())).into_sql_str();
    }
    // A transaction of our own lock takes the place of the library's.
    migrations.set_locking(false);
    let connect = timeout(sides.limits.acquire, sides.options.0.connect());
    let mut connection = connect
        .await
        .map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut))?
        .map_err(fault::on_the_way)?;
    let run = timeout(MIGRATION_MAX, migrate_on(&mut connection, &migrations)).await;
    run.map_err(|_| StoreError::Busy(sqlx::Error::PoolTimedOut))??;
    // The work is done and kept.
    let _ = timeout(SIGN_OF_LIFE, connection.close()).await;
    Ok(())
}

async fn migrate_on(connection: &mut PgConnection, migrations: &Migrator) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    tx.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *tx).await?;
    migrations.run_direct(None, &mut *tx, false).await?;
    Ok(tx.commit().await?)
}

/// The migration with `TEXT COLLATE "C"` for every `TEXT` outside of comments and quotes.
fn with_byte_order(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() * 2);
    for line in sql.split_inclusive('\n') {
        let (line, comment) = line.find("--").map_or((line, ""), |at| line.split_at(at));
        for (index, piece) in line.split('\'').enumerate() {
            if index > 0 {
                text.push('\'');
            }
            if index % 2 == 1 {
                text.push_str(piece);
            } else {
                push_with_byte_order(&mut text, piece);
            }
        }
        text.push_str(comment);
    }
    text
}

fn push_with_byte_order(text: &mut String, piece: &str) {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut rest = piece;
    while let Some(at) = rest.find("TEXT") {
        let end = at + "TEXT".len();
        let alone = !is_word(rest.as_bytes()[..at].last()) && !is_word(rest.as_bytes().get(end));
        text.push_str(&rest[..end]);
        if alone {
            text.push_str(" COLLATE \"C\"");
        }
        rest = &rest[end..];
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_get_their_byte_order_outside_of_comments_and_quotes() {
        assert_eq!(
            with_byte_order(
                "-- TEXT\nCREATE TABLE t (\n  a TEXT NOT NULL,\n  b TEXT, -- a TEXT's\n  c_TEXT BIGINT CHECK (a <> 'TEXT')\n);"
            ),
            "-- TEXT\nCREATE TABLE t (\n  a TEXT COLLATE \"C\" NOT NULL,\n  b TEXT COLLATE \"C\", -- a TEXT's\n  c_TEXT BIGINT CHECK (a <> 'TEXT')\n);"
        );
    }
}
