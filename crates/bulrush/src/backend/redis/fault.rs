//! What goes wrong with a server, in the port's words.

use deadpool_redis::PoolError;
use deadpool_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::port::{Error, ServerFault};

/// A server's own words, of which so many bytes are told.
const SAID_MAX: usize = 200;

/// An error of the client library, as the port has it. What passes by itself is [`Error::Unreachable`]; what somebody must mend names the
/// setting and the cure.
pub(super) fn of(error: &RedisError) -> Error {
    let unreachable = |reason: String| Error::Unreachable { reason };
    let fault = match (error.kind(), error.code()) {
        (_, Some("OOM")) => ServerFault::Memory,
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => ServerFault::Password,
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => ServerFault::Permission,
        (
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot),
            _,
        ) => ServerFault::Cluster,
        (_, Some("MISCONF")) => ServerFault::Disk,
        (_, Some("NOREPLICAS")) => ServerFault::Replicas,
        (ErrorKind::Parse, _) if was_torn(error) => {
            return unreachable("the connection was closed in the middle of an answer".to_owned());
        }
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::RESP3NotSupported, _) => {
            ServerFault::NotRedis
        }
        (ErrorKind::Server(ServerErrorKind::BusyLoading), _) => {
            return unreachable("the server is loading its data; it answers when it has".to_owned());
        }
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => {
            return unreachable(
                "the server is a replica and takes no writes; a failover is under way, or the address names a replica".to_owned(),
            );
        }
        (_, Some("BUSY")) => {
            return unreachable("the server is busy with somebody's script (SCRIPT KILL ends it)".to_owned());
        }
        (
            ErrorKind::Server(
                ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown,
            ),
            _,
        ) => return unreachable(format!("the server cannot answer now: {}", said(error))),
        (ErrorKind::Io, _) if error.is_timeout() => {
            return unreachable("the server did not answer in time".to_owned());
        }
        (ErrorKind::Io, _) => match of_tls(&error.to_string()) {
            Some(fault) => fault,
            None => return unreachable(said(error)),
        },
        (ErrorKind::Client, _) => return unreachable(said(error)),
        _ => ServerFault::Script,
    };
    Error::Server { fault, said: said(error) }
}

/// What keeps TLS from being had, by the words of its library: the client library passes on no more.
fn of_tls(text: &str) -> Option<ServerFault> {
    if text.contains("invalid peer certificate") {
        Some(ServerFault::Certificate)
    } else if text.contains("received corrupt message") {
        Some(ServerFault::NotRedis)
    } else if text.contains("received fatal alert: CertificateRequired") {
        Some(ServerFault::ClientCertificate)
    } else {
        None
    }
}

/// Whether the server's memory is full.
pub(super) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}

/// The same for an error of the pool.
pub(super) fn of_pool(error: &PoolError) -> Error {
    match error {
        PoolError::Backend(error) => of(error),
        PoolError::Closed => Error::Closed,
        other => Error::Unreachable { reason: format!("no connection to the server could be had: {other}") },
    }
}

/// Whether the server does not know a script (any more).
pub(super) fn lacks_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the connection must not be used again: its next reply may be to another question, it is closed, or it leads to a server that
/// is not the one to ask.
pub(super) fn spoils(error: &RedisError) -> bool {
    let replica =
        matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    replica
        || error.is_timeout()
        || error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}

/// Whether the connection was closed under a call, as servers do with those that were idle for long.
pub(super) fn was_closed(error: &RedisError) -> bool {
    let dropped = error.is_connection_dropped() && !error.is_timeout() && !error.is_connection_refusal();
    dropped || was_torn(error)
}

/// Whether the connection was closed in the middle of an answer. The library tells of it as of an answer that is none, and has no other
/// sign than its words; the call was carried out, or may have been.
fn was_torn(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Parse && error.to_string().contains("end of input")
}

fn said(error: &RedisError) -> String {
    let text = error.to_string();
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    super::record::cut_to(&plain, SAID_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as the library makes it from the line that a server sends.
    fn server(line: &str) -> Error {
        let value = deadpool_redis::redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let error = match value {
            Ok(value) => value.extract_error().expect_err("an error"),
            Err(parsing) => parsing,
        };
        of(&error)
    }

    #[test]
    fn what_somebody_must_mend_names_the_cure() {
        let cases = [
            ("OOM command not allowed when used memory > 'maxmemory'.", ServerFault::Memory, "maxmemory"),
            ("NOAUTH Authentication required.", ServerFault::Password, "redis://USER:PASSWORD@HOST"),
            ("WRONGPASS invalid username-password pair", ServerFault::Password, "wrong"),
            ("NOPERM this user has no permissions", ServerFault::Permission, "ACL SETUSER"),
            ("MOVED 3999 127.0.0.1:6381", ServerFault::Cluster, "cluster"),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                ServerFault::Disk,
                "stop-writes-on-bgsave-error",
            ),
            ("NOREPLICAS Not enough good replicas to write.", ServerFault::Replicas, "min-replicas-to-write"),
            ("WRONGTYPE Operation against a key", ServerFault::Script, "namespace"),
        ];
        for (line, expected, word) in cases {
            let error = server(line);
            assert!(matches!(&error, Error::Server { fault, .. } if *fault == expected), "{line}: {error:?}");
            assert!(!error.is_transient() && error.to_string().contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn what_passes_by_itself_can_be_tried_again() {
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "BUSY Redis is busy running a script.",
            "MASTERDOWN Link with MASTER is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ] {
            let error = server(line);
            assert!(error.is_transient(), "{line}: {error:?}");
        }
    }

    #[test]
    fn long_words_are_cut_and_control_characters_left_out() {
        let error = server(&format!("ERR \u{7}{}", "x".repeat(10_000)));
        assert!(error.to_string().len() < 600 && !error.to_string().contains('\u{7}'), "{error}");
    }
}
