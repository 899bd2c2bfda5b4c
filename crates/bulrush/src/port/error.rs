//! What can go wrong with a call, and what to do about it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    BoundError, CheckError, InvalidId, InvalidName, InvalidScheduleId, JobState, ScheduleError, ScheduleId,
};

/// Result of a call to a backend.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a call. Nothing was changed unless a variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job of the call cannot be added as it is.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Something is too large.
    #[error(transparent)]
    Bound(#[from] BoundError),
    /// A queue name is not allowed.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A job id is not allowed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An id of a schedule is not allowed.
    #[error(transparent)]
    ScheduleId(#[from] InvalidScheduleId),
    /// A schedule cannot be as it is asked for.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// One of the schedules of a call cannot be as it is asked for.
    #[error("schedule {schedule}: {reason}")]
    SchedulePut {
        /// Which.
        schedule: ScheduleId,
        /// Why not.
        reason: ScheduleError,
    },
    /// Queue settings that cannot be used.
    #[error("the queue cannot be set like this: {}", problems.join("; "))]
    Config {
        /// All that is wrong.
        problems: Vec<String>,
    },
    /// A payload that JSON cannot say.
    #[error("the payload cannot be written as JSON: {reason}")]
    Payload {
        /// Why.
        reason: String,
    },
    /// A cursor that this queue did not issue.
    #[error("cursor {cursor:?} was not issued by this queue; start again without one")]
    Cursor {
        /// What was given.
        cursor: String,
    },
    /// A call that arrived after a later one of the same worker.
    #[error("call {call} of the worker arrived after call {last}; it was not carried out")]
    StaleCall {
        /// The late call.
        call: u64,
        /// The last one carried out.
        last: u64,
    },
    /// The command does not apply to jobs in this state.
    #[error("{command} does not apply to {state} jobs")]
    WrongState {
        /// What was asked.
        command: &'static str,
        /// The state.
        state: JobState,
    },
    /// A command that concerns the whole queue was given a scope.
    #[error(
        "{command} concerns the whole queue and cannot be limited to somebody's jobs; name the jobs instead"
    )]
    Unscoped {
        /// What was asked.
        command: &'static str,
    },
    /// Live workers run jobs of the queue.
    #[error("{active} jobs are running under live workers; stop them first, or force it")]
    Busy {
        /// How many.
        active: u64,
    },
    /// A backend address that is not understood.
    #[error("backend address {url:?} is not understood: {reason}")]
    Url {
        /// What was given, without a password.
        url: String,
        /// What is wrong with it, or what is understood.
        reason: String,
    },
    /// The store's directory is in use.
    #[error("the store {} is in use by another process; stop that one first, or give another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The store's files are not what was written.
    #[error(
        "the store is damaged: {} at byte {offset}: {reason}; nothing was changed. Restore the directory from a backup, or move it \
         away to start empty", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A newer version wrote the store.
    #[error(
        "{} has format {found}, this version reads formats up to {known}; upgrade before you open this store. Nothing was changed",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// The disk is full. The call may or may not be found carried out after a restart; what was acknowledged will be.
    #[error(
        "no space is left for the store's file {}: free some and restart; nothing that was acknowledged is lost", path.display()
    )]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The store could not be read or written. A failed write may or may not be found after a restart; until then every call fails
    /// like this one.
    #[error("the store could not {action} {}", path.display())]
    Storage {
        /// What was attempted.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The server refuses, and will until somebody changes something there. Nothing was changed.
    #[error("the Redis server refuses: {fault} (it said: {said})")]
    Server {
        /// What keeps it from doing what was asked, and the cure.
        fault: ServerFault,
        /// Its own words.
        said: String,
    },
    /// What was read is not what was written, or was written by a newer version.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What was to be read.
        what: String,
        /// Why it cannot be.
        reason: String,
    },
    /// Other calls changed the queue's settings again and again while this one was made; it was not carried out.
    #[error("the settings of the queue keep changing; send the call again when they rest")]
    Unsettled,
    /// Fewer replicas than asked for have confirmed a write in time. It was carried out on the primary, and may be lost with it.
    #[error(
        "{confirmed} of the {asked} replicas asked for confirmed the write within {} ms; what was written is there, but not safe until \
         they have it: send the same call again, which adds nothing twice, or lower replicas= in the address", within.as_millis()
    )]
    Unconfirmed {
        /// How many must confirm.
        asked: u32,
        /// How many did.
        confirmed: u32,
        /// How long they had.
        within: Duration,
    },
    /// The backend was closed.
    #[error("the backend is closed")]
    Closed,
    /// The backend did not answer; the call may or may not have been carried out. Repeat it: every call may be repeated.
    #[error("the backend is unreachable: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// What keeps a Redis server from doing what it is asked, and the cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// `OOM`.
    #[error(
        "its memory is full; let workers drain the queue, keep finished jobs for less time, or raise its maxmemory"
    )]
    Memory,
    /// `NOAUTH`, `WRONGPASS`.
    #[error("user or password are missing or wrong; check those in the address, redis://USER:PASSWORD@HOST")]
    Password,
    /// `NOPERM`.
    #[error(
        "its user may not do this; allow it the keys of the namespace and the commands of scripts, streams, lists, hashes and sorted \
         sets (ACL SETUSER)"
    )]
    Permission,
    /// `MOVED`, `CROSSSLOT`.
    #[error("it is a node of a cluster, which is not supported yet; give the address of a single server")]
    Cluster,
    /// `MISCONF`.
    #[error(
        "it cannot save to its disk and takes no writes; free space there, or set its stop-writes-on-bgsave-error to no and accept that \
         a crash may lose jobs"
    )]
    Disk,
    /// `NOREPLICAS`.
    #[error("too few of its replicas answer; bring them back, or lower its min-replicas-to-write")]
    Replicas,
    /// It is older than 7.0.
    #[error("it is too old; use Redis 7.0 or later, or Valkey")]
    Version,
    /// What answers speaks another protocol.
    #[error(
        "what answers is not a Redis server; check host and port of the address, and redis:// against rediss://"
    )]
    NotRedis,
    /// TLS: who vouches for its certificate is not known here, or the certificate is for another name or has run out.
    #[error(
        "its certificate is not trusted; give the certificates (PEM) of who vouches for it with ?ca=PATH in the address or SSL_CERT_FILE \
         in the environment, and the host by the name that the certificate is for"
    )]
    Certificate,
    /// TLS: it wants a certificate of its clients.
    #[error(
        "it asks its clients for a certificate, which is not supported yet; set its tls-auth-clients to no or optional"
    )]
    ClientCertificate,
    /// A script failed, or a key holds something else than it should.
    #[error(
        "a script of the queue failed; check that nothing else writes to the namespace, and report this if nothing does"
    )]
    Script,
}

impl Error {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unsettled | Self::Unconfirmed { .. })
    }

    /// What is said of one schedule of many, where there is but one.
    pub(crate) fn of_one_schedule(self) -> Self {
        match self {
            Self::SchedulePut { schedule: _, reason } => Self::Schedule(reason),
            other => other,
        }
    }
}
