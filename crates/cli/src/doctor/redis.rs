//! Asks a Redis server how it is: on a connection of its own, and once through the engine for what only that knows.

use std::time::Duration;

use bulrush::backend::{REDIS_SETTINGS, RedisInfo, RedisOptions, connect_redis_with, redis_client};
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::port::{Backend, Check, Error, ServerFault};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo as _, RedisError, RedisResult, cmd,
};
use tokio::time::Instant;

use super::report::Report;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often each round trip is measured.
const ROUNDS: usize = 20;
/// A median above this makes workers wait for the way rather than for work, ms.
const ROUND_TRIP_WARN_MS: f64 = 5.0;
/// Clocks may differ so much before people are misled, ms.
const CLOCK_WARN_MS: i64 = 1_000;
/// Queues told by name.
const QUEUES_NAMED: usize = 5;
/// Queues that are counted, at most; each costs a call.
const QUEUES_MAX: usize = 1_000;
/// A script that does nothing, so that its time is that of scripts as such.
const NOTHING: &str = "#!lua flags=no-writes\nreturn 1";

/// Looks at a server.
pub async fn look(url: &str) -> Report {
    let options =
        RedisOptions { connect_within: PATIENCE, answer_within: PATIENCE, ..RedisOptions::default() };
    let options = match options.take_from(url) {
        Ok((_, options)) => options,
        Err(error) => return Report::of(subject(url), unreachable(&error)),
    };
    // The engine's own way in comes first, because its errors name the value and the cure.
    let engine = match connect_redis_with(url, options.clone()).await {
        Ok(engine) => Some(engine),
        // What else there is to say of an old server is worth saying.
        Err(Error::Server { fault: ServerFault::Version, .. }) => None,
        Err(error) => return Report::of(subject(url), unreachable(&error)),
    };
    let mut report = Report::new(subject(url));
    match connect(url).await {
        Ok(mut connection) => ask(&mut connection, &options, &mut report).await,
        Err(error) => report.checks.push(unreachable(&error)),
    }
    if let Some(engine) = engine {
        report.checks.push(queues(&*engine, &options.namespace).await);
        // What is closed here are connections that have done their work.
        let _ = engine.close().await;
    }
    report
}

/// The server by its place, without user, password and whatever else an address holds.
fn subject(url: &str) -> String {
    url.into_connection_info()
        .map_or_else(|_| "an address".to_owned(), |info| format!("Redis at {}", info.addr()))
}

fn unreachable(error: &Error) -> Check {
    let cure = match error {
        Error::Url { .. } => "correct the address",
        Error::Unreachable { .. } => {
            "see that the server runs, that host, port or socket are right, and that nothing is in between: redis-cli -h HOST -p PORT ping"
        }
        Error::Server { fault: ServerFault::Password, .. } => {
            "give user and password in the address: redis://USER:PASSWORD@HOST, unix:///PATH?user=USER&pass=PASSWORD"
        }
        Error::Server { fault: ServerFault::NotRedis, .. } => {
            "give host and port of a Redis; redis:// is without TLS, rediss:// with it"
        }
        _ => "as said above",
    };
    Check::broken("reachable", error.to_string(), cure)
}

/// A call that the server did not answer as it should.
fn refused(check: &'static str, error: &RedisError) -> Check {
    let why = if error.is_timeout() { "it did not answer in time".to_owned() } else { error.to_string() };
    let cure = if error.code() == Some("NOPERM") {
        "the user lacks a permission: ACL SETUSER <user> +@read +@write +@scripting +@connection +@blocking +info ~<namespace>:*"
    } else {
        "look into the server's log"
    };
    Check::broken(check, why, cure)
}

async fn connect(url: &str) -> Result<MultiplexedConnection, Error> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = redis_client(url)?.get_multiplexed_async_connection_with_config(&config).await;
    connection.map_err(|error| Error::Unreachable { reason: error.to_string() })
}

/// Asks all that can be asked without the engine.
async fn ask(connection: &mut MultiplexedConnection, options: &RedisOptions, report: &mut Report) {
    let ping = measure(connection, &cmd("PING")).await;
    report.checks.push(match &ping {
        Ok(trip) => trip.judge(
            "reachable",
            "an answer",
            "put the server nearer, or see what keeps it busy: SLOWLOG GET 10",
        ),
        Err(error) => refused("reachable", error),
    });
    match call::<String>(connection, &cmd("INFO")).await {
        Ok(text) => {
            let mut info = RedisInfo::parse(&text);
            for name in REDIS_SETTINGS {
                // An account that may not ask leaves the setting unverified, which the judgement says.
                if let Ok(settings) = call(connection, cmd("CONFIG").arg("GET").arg(name)).await {
                    info.learn(settings);
                }
            }
            let mut condition = info.condition(options);
            condition.checks.iter_mut().for_each(|check| name_the_primary(check, &info));
            report.checks.extend(condition.checks);
        }
        Err(error) => report.checks.push(Check::warning(
            "INFO",
            format!(
                "unverified: the server does not tell its version, role, memory and durability ({error})"
            ),
            "allow the user to ask: ACL SETUSER <user> +info +config|get",
        )),
    }
    report.checks.push(match measure(connection, cmd("EVAL").arg(NOTHING).arg(0)).await {
        Ok(trip) => {
            trip.judge("scripts", "an empty script", "see what keeps the server busy: SLOWLOG GET 10")
        }
        Err(error) => refused("scripts", &error),
    });
    report.checks.push(clock(connection).await);
}

/// The engine's judgement names no place, because readiness is told to everybody; whoever runs this may know.
fn name_the_primary(check: &mut Check, info: &RedisInfo) {
    if check.what == "role"
        && let (Some(host), Some(port)) = (info.field("master_host"), info.field("master_port"))
    {
        check.found = format!("{}; its primary is {host}:{port}", check.found);
        check.cure = check.cure.take().map(|cure| {
            cure.replace("the primary (INFO replication names it)", &format!("the primary, {host}:{port}"))
        });
    }
}

async fn call<T: FromRedisValue>(connection: &mut MultiplexedConnection, cmd: &Cmd) -> RedisResult<T> {
    cmd.query_async(connection).await
}

/// How long round trips took, ms.
struct Trip {
    median: f64,
    longest: f64,
}

impl Trip {
    fn judge(&self, check: &'static str, what: &str, cure: &str) -> Check {
        let Self { median, longest } = self;
        let found = format!("{what} takes {median:.2} ms (median of {ROUNDS}), {longest:.2} ms at most");
        if *median > ROUND_TRIP_WARN_MS {
            Check::warning(check, found, cure)
        } else {
            Check::ok(check, found)
        }
    }
}

async fn measure(connection: &mut MultiplexedConnection, cmd: &Cmd) -> RedisResult<Trip> {
    let mut trips = [0.0; ROUNDS];
    for trip in &mut trips {
        let started = Instant::now();
        call::<deadpool_redis::redis::Value>(connection, cmd).await?;
        *trip = started.elapsed().as_secs_f64() * 1_000.0;
    }
    trips.sort_by(f64::total_cmp);
    Ok(Trip { median: trips[ROUNDS / 2], longest: trips[ROUNDS - 1] })
}

async fn clock(connection: &mut MultiplexedConnection) -> Check {
    let before = SystemClock.now();
    let told = call::<(i64, i64)>(connection, &cmd("TIME")).await;
    let after = SystemClock.now();
    match told {
        Ok((seconds, micros)) => {
            let here = i64::try_from(u64::midpoint(before, after)).unwrap_or(0);
            clocks_apart(seconds * 1_000 + micros / 1_000 - here)
        }
        Err(error) => refused("clock", &error),
    }
}

/// What it means that the server's clock shows so many ms more than the one here.
fn clocks_apart(ms: i64) -> Check {
    let found = format!(
        "the server's is {} ms {} this machine's",
        ms.abs(),
        if ms < 0 { "behind" } else { "ahead of" }
    );
    if ms.abs() <= CLOCK_WARN_MS {
        return Check::ok("clock", found);
    }
    Check::warning(
        "clock",
        format!("{found}: jobs go by the server's, people and logs by this one"),
        "keep both in step with NTP (timedatectl set-ntp true, or chrony)",
    )
}

/// How much waits in the namespace.
async fn queues(engine: &dyn Backend, namespace: &str) -> Check {
    const CHECK: &str = "queues";
    let told = async {
        let names = engine.queues().await?;
        let mut depths = Vec::new();
        for name in names.iter().take(QUEUES_MAX) {
            let counts = engine.info(name).await?.counts;
            let depth = counts.waiting + counts.delayed + counts.active + counts.waiting_children;
            depths.push((depth, name));
        }
        let all: u64 = depths.iter().map(|(depth, _)| depth).sum();
        depths.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        let deepest: Vec<String> = depths
            .iter()
            .filter(|(depth, _)| *depth > 0)
            .take(QUEUES_NAMED)
            .map(|(depth, name)| format!("{name} {depth}"))
            .collect();
        let more = names.len().saturating_sub(QUEUES_MAX);
        let uncounted = if more > 0 { format!(" ({more} queues were not counted)") } else { String::new() };
        let deepest = if deepest.is_empty() { String::new() } else { format!(": {}", deepest.join(", ")) };
        let queues = names.len();
        Ok::<_, Error>(format!(
            "{queues} in the namespace {namespace}, with {all} unfinished jobs{deepest}{uncounted}"
        ))
    };
    match told.await {
        Ok(found) => Check::ok(CHECK, found),
        Err(error) => Check::broken(CHECK, error.to_string(), "as said above"),
    }
}

#[cfg(test)]
mod tests {
    use bulrush::port::Verdict;

    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(subject("redis://ada:s3cret@h:1/2"), "Redis at h:1");
        assert_eq!(subject("unix:///r.sock?pass=s3cret"), "Redis at /r.sock");
        assert_eq!(subject("s3cret"), "an address");
    }

    #[test]
    fn clocks_that_are_apart_are_told_with_the_direction() {
        assert_eq!(clocks_apart(-1_000).verdict, Verdict::Ok);
        let behind = clocks_apart(-61_000);
        assert!(behind.verdict == Verdict::Warning && behind.found.contains("61000 ms behind"), "{behind:?}");
        assert!(clocks_apart(5_000).found.contains("ahead of"));
    }
}
