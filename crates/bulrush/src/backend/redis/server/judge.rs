//! What a server's words about itself mean for jobs. Nothing here asks anybody anything, and no address is told: what hinders is shown to
//! everybody who asks whether the service is ready.

use super::super::RedisOptions;
use super::info::Info;
use crate::port::{Check, Condition, Durability, size};

/// The oldest server that the engine's scripts run on.
const MAJOR_MIN: u32 = 7;
/// Of its memory, in percent, a server may use so much before a warning: queues that nobody drains fill the rest quickly.
const MEMORY_WARN_PERCENT: u64 = 80;
/// Of a machine's memory, in percent, a Redis may have: writing its files copies what changes meanwhile.
const MEMORY_SHARE_PERCENT: u64 = 60;
const MIB: u64 = 1 << 20;
/// What a field is called that INFO does not tell.
const UNTOLD: &str = "unverified: INFO does not tell it";

/// Everything that can be said from INFO and CONFIG alone.
pub(super) fn all(info: &Info, options: &RedisOptions) -> Condition {
    let (durability, durable) = durability(info);
    let mut checks = vec![
        version(info),
        role(info),
        cluster(info),
        loading(info),
        policy(info, options.allow_eviction),
        memory(info),
        evicted(info),
        durable,
        disk(info),
    ];
    checks.extend(replicas(info, options));
    Condition { durability, checks }
}

/// Whether enough replicas are there to confirm writes, where that is asked for.
fn replicas(info: &Info, options: &RedisOptions) -> Option<Check> {
    const CHECK: &str = "replicas";
    let asked = u64::from(options.replicas);
    if asked == 0 || info.field("role") != Some("master") {
        return None;
    }
    let there = info.number("connected_slaves")?;
    let found = format!("{there} are connected, {asked} must confirm each write (replicas={asked})");
    Some(if there < asked {
        let cure = "bring the others back, or lower replicas= in the address";
        Check::hindrance(CHECK, format!("{found}: no write is acknowledged"), cure)
    } else {
        Check::ok(CHECK, found)
    })
}

fn version(info: &Info) -> Check {
    let Some(redis) = info.field("redis_version") else {
        return Check::warning("version", UNTOLD, "make sure that it is Redis 7.0 or later, or Valkey");
    };
    let major = redis.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let named = match info.field("valkey_version") {
        Some(valkey) => format!("Valkey {valkey} (as Redis {redis})"),
        None => format!("Redis {redis}"),
    };
    match major {
        Some(major) if major >= MAJOR_MIN => Check::ok("version", named),
        Some(_) => Check::hindrance(
            "version",
            format!("{named} is too old for the engine's scripts"),
            "use Redis 7.0 or later, or Valkey",
        ),
        None => Check::warning(
            "version",
            format!("{named} is no version that is known"),
            "use Redis 7.0 or later",
        ),
    }
}

fn role(info: &Info) -> Check {
    match info.field("role") {
        Some("master") => {
            let replicas = info.number("connected_slaves").unwrap_or(0);
            Check::ok("role", format!("primary, {replicas} replicas"))
        }
        Some("slave") => Check::hindrance(
            "role",
            "a replica, which takes no writes",
            "give the address of the primary (INFO replication names it), or make this one a primary: REPLICAOF NO ONE",
        ),
        Some(other) => Check::hindrance(
            "role",
            format!("{other}, which holds no jobs"),
            "give the address of the server itself; Sentinel is not supported yet",
        ),
        None => Check::warning("role", UNTOLD, "make sure that it is a primary"),
    }
}

fn cluster(info: &Info) -> Check {
    if info.field("cluster_enabled").is_none() {
        return Check::warning("cluster-enabled", UNTOLD, "make sure that it is a single server");
    }
    if info.is_on("cluster_enabled") {
        return Check::hindrance(
            "cluster-enabled",
            "yes: a node of a cluster, which is not supported yet",
            "use a single server (cluster-enabled no in redis.conf, and a restart)",
        );
    }
    Check::ok("cluster-enabled", "no")
}

fn loading(info: &Info) -> Check {
    if info.field("loading").is_none() {
        return Check::warning("loading", UNTOLD, "make sure that it answers");
    }
    if info.is_on("loading") {
        let percent = info.field("loading_loaded_perc").unwrap_or("?");
        let left = info.field("loading_eta_seconds").unwrap_or("?");
        return Check::hindrance(
            "loading",
            format!("{percent} % of the data is read, {left} s are left; nothing is answered until then"),
            "wait; workers and the API go on by themselves when it has finished",
        );
    }
    Check::ok("loading", "no, all data is in memory")
}

fn policy(info: &Info, allowed: bool) -> Check {
    const CHECK: &str = "maxmemory-policy";
    const CURE: &str = "CONFIG SET maxmemory-policy noeviction";
    let found = match info.field("maxmemory_policy") {
        Some("noeviction") => return Check::ok(CHECK, "noeviction"),
        Some(policy) if policy.starts_with("volatile") => {
            format!("{policy} deletes keys that expire, such as the history of queues, when memory is full")
        }
        Some(policy) => format!("{policy} silently deletes jobs when memory is full"),
        None => return Check::warning(CHECK, UNTOLD, format!("make sure of it: {CURE}")),
    };
    if allowed {
        Check::warning(CHECK, format!("{found}; the address allows it (allow-eviction=yes)"), CURE)
    } else {
        Check::hindrance(CHECK, found, CURE)
    }
}

fn memory(info: &Info) -> Check {
    const CHECK: &str = "maxmemory";
    let (Some(used), Some(max)) = (info.number("used_memory"), info.number("maxmemory")) else {
        return Check::warning(CHECK, UNTOLD, "make sure that it is set");
    };
    if max == 0 {
        let machine = info.number("total_system_memory").unwrap_or(0);
        let limit = (machine / 100 * MEMORY_SHARE_PERCENT / MIB).max(256);
        return Check::warning(
            CHECK,
            format!(
                "no limit ({} used): a queue that nobody drains ends with the machine's memory",
                size(used)
            ),
            format!("CONFIG SET maxmemory {limit}mb"),
        );
    }
    let found = format!("{} of {} used", size(used), size(max));
    let raise = format!("CONFIG SET maxmemory {}mb", (used.max(max) * 2).div_ceil(MIB));
    if used >= max {
        let cure =
            format!("let workers drain the queues, keep finished jobs for less time, or raise it: {raise}");
        Check::broken(CHECK, format!("{found}: it is full, and new jobs are refused"), cure)
    } else if used / MEMORY_WARN_PERCENT >= max / 100 {
        let cure = format!("add workers, keep finished jobs for less time, or raise it: {raise}");
        Check::warning(CHECK, format!("{found}: when it is full, new jobs are refused"), cure)
    } else {
        Check::ok(CHECK, found)
    }
}

fn evicted(info: &Info) -> Check {
    match info.number("evicted_keys") {
        Some(0) => Check::ok("evicted_keys", "0 since it was started"),
        Some(keys) => Check::warning(
            "evicted_keys",
            format!("{keys} keys were deleted for want of memory; jobs may be among them"),
            "CONFIG SET maxmemory-policy noeviction; then bulrush queue verify on each queue (CONFIG RESETSTAT sets this to 0)",
        ),
        None => Check::warning("evicted_keys", UNTOLD, "look at the server's maxmemory-policy"),
    }
}

fn durability(info: &Info) -> (Durability, Check) {
    const CHECK: &str = "durability";
    const APPEND: &str = "CONFIG SET appendonly yes";
    if info.field("aof_enabled").is_none() {
        let untold = Check::warning(CHECK, UNTOLD, format!("make sure of it: {APPEND}"));
        return (Durability::Unverified, untold);
    }
    if !info.is_on("aof_enabled") {
        let lost = match info.setting("save") {
            Some("") => "it keeps nothing on disk: a restart loses every job".to_owned(),
            Some(_) => {
                let changes = info.number("rdb_changes_since_last_save").unwrap_or(0);
                format!(
                    "snapshots only: a crash loses every job since the last one ({changes} changes so far)"
                )
            }
            None => "no append-only file: a crash loses every job since the last snapshot, if there are any"
                .to_owned(),
        };
        let none = Check::warning(CHECK, format!("none (appendonly no): {lost}"), APPEND);
        return (Durability::Volatile, none);
    }
    let unsynced = info.setting("no-appendfsync-on-rewrite") == Some("yes");
    match info.setting("appendfsync") {
        Some("always") if unsynced => {
            let check = Check::warning(
                CHECK,
                "durable (appendfsync always), but not while the file is rewritten (no-appendfsync-on-rewrite yes)",
                "CONFIG SET no-appendfsync-on-rewrite no",
            );
            (Durability::Weak, check)
        }
        Some("everysec") if unsynced => {
            let check = Check::warning(
                CHECK,
                "standard (appendfsync everysec), but not while the file is rewritten (no-appendfsync-on-rewrite yes)",
                "CONFIG SET no-appendfsync-on-rewrite no",
            );
            (Durability::Weak, check)
        }
        Some("always") => {
            let found = "durable (appendonly yes, appendfsync always): no acknowledged job is lost";
            (Durability::Durable, Check::ok(CHECK, found))
        }
        Some("everysec") => {
            let found = "standard (appendonly yes, appendfsync everysec): if the machine dies, up to 2 s of acknowledged jobs go with \
                 it; CONFIG SET appendfsync always makes it durable";
            (Durability::Standard, Check::ok(CHECK, found))
        }
        Some(other) => {
            let check = Check::warning(
                CHECK,
                format!(
                    "less than standard (appendonly yes, appendfsync {other}): if the machine dies, what it had not written goes with \
                     it, some 30 s of acknowledged jobs"
                ),
                "CONFIG SET appendfsync everysec, or always",
            );
            (Durability::Weak, check)
        }
        None => {
            let check = Check::warning(
                CHECK,
                "standard or durable (appendonly yes): unverified, for the user may not ask CONFIG GET appendfsync",
                "ask who runs the server, or allow it: ACL SETUSER <user> +config|get",
            );
            (Durability::Unverified, check)
        }
    }
}

fn disk(info: &Info) -> Check {
    const CHECK: &str = "writing to disk";
    let failed = |field: &str| info.field(field).is_some_and(|status| status != "ok");
    if info.is_on("aof_enabled") && failed("aof_last_write_status") {
        return Check::hindrance(
            CHECK,
            "the append-only file could not be written, and all writes are refused until it can",
            "free space on the server's disk and look into its log",
        );
    }
    if failed("rdb_last_bgsave_status") {
        let (found, cure) =
            ("the last snapshot failed", "free space on the server's disk and look into its log");
        let stops = info.setting("stop-writes-on-bgsave-error") != Some("no");
        return if stops && info.setting("save") != Some("") {
            Check::hindrance(
                CHECK,
                format!("{found}, and stop-writes-on-bgsave-error has the server refuse all writes"),
                format!(
                    "{cure}, then BGSAVE; where the append-only file is kept, snapshots are not needed: CONFIG SET save \"\""
                ),
            )
        } else {
            Check::warning(CHECK, found, format!("{cure}, then BGSAVE"))
        };
    }
    if info.is_on("aof_enabled") && failed("aof_last_bgrewrite_status") {
        return Check::warning(
            CHECK,
            "the last rewrite of the append-only file failed, so the file grows",
            "free space and memory on the server, then BGREWRITEAOF",
        );
    }
    if info.field("rdb_last_bgsave_status").is_none() {
        return Check::warning(CHECK, UNTOLD, "look into the server's log");
    }
    Check::ok(CHECK, "no error at the last snapshot, write and rewrite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Verdict;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nconnected_slaves:1\r\nloading:0\r\ncluster_enabled:0\r\n\
         used_memory:1000000\r\nmaxmemory:100000000\r\nmaxmemory_policy:noeviction\r\nevicted_keys:0\r\naof_enabled:1\r\n\
         aof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\nrdb_last_bgsave_status:ok\r\ntotal_system_memory:1000000000\r\n";

    fn server(changes: &[(&str, &str)], settings: &[(&str, &str)]) -> Info {
        let mut text = GOOD.to_owned();
        for (name, value) in changes {
            let kept: Vec<&str> =
                text.lines().filter(|line| !line.starts_with(&format!("{name}:"))).collect();
            text = format!("{}\r\n{name}:{value}\r\n", kept.join("\r\n"));
        }
        let mut info = Info::parse(&text);
        info.learn(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        info
    }

    /// Judged for somebody with no wishes of their own.
    fn judged(info: &Info) -> Condition {
        all(info, &RedisOptions::default())
    }

    fn one(info: &Info, check: &str) -> Check {
        judged(info).checks.into_iter().find(|it| it.what == check).expect("it is looked at")
    }

    #[test]
    fn a_good_server_has_nothing_to_put_right() {
        let info = server(&[], &[("appendfsync", "always"), ("save", "")]);
        let condition = judged(&info);
        assert!(condition.checks.iter().all(|check| check.verdict == Verdict::Ok), "{condition:?}");
        assert_eq!((condition.is_ready(), condition.durability), (true, Durability::Durable));
    }

    /// Fields of INFO that differ from a good server's, the check that sees them, its verdict, and a part of the cure.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Verdict, &'a str);

    #[test]
    fn every_fault_is_told_with_the_setting_and_the_cure() {
        let cases: [Case<'_>; 14] = [
            (&[("redis_version", "6.2.14")], "version", Verdict::Broken, "7.0"),
            (&[("redis_version", "unstable")], "version", Verdict::Warning, "7.0"),
            (
                &[("role", "slave"), ("master_host", "db"), ("master_port", "1")],
                "role",
                Verdict::Broken,
                "REPLICAOF NO ONE",
            ),
            (&[("role", "sentinel")], "role", Verdict::Broken, "Sentinel"),
            (&[("cluster_enabled", "1")], "cluster-enabled", Verdict::Broken, "single server"),
            (&[("loading", "1")], "loading", Verdict::Broken, "wait"),
            (&[("maxmemory_policy", "allkeys-lru")], "maxmemory-policy", Verdict::Broken, "noeviction"),
            (&[("maxmemory_policy", "volatile-ttl")], "maxmemory-policy", Verdict::Broken, "noeviction"),
            (&[("maxmemory", "0")], "maxmemory", Verdict::Warning, "CONFIG SET maxmemory 572mb"),
            (&[("used_memory", "100000000")], "maxmemory", Verdict::Broken, "CONFIG SET maxmemory 191mb"),
            (&[("used_memory", "85000000")], "maxmemory", Verdict::Warning, "CONFIG SET maxmemory"),
            (&[("evicted_keys", "7")], "evicted_keys", Verdict::Warning, "queue verify"),
            (&[("aof_last_write_status", "err")], "writing to disk", Verdict::Broken, "free space"),
            (&[("rdb_last_bgsave_status", "err")], "writing to disk", Verdict::Broken, "CONFIG SET save"),
        ];
        for (changes, check, verdict, cure) in cases {
            let found = one(&server(changes, &[("appendfsync", "always")]), check);
            assert_eq!(found.verdict, verdict, "{changes:?}: {found:?}");
            assert!(found.cure.as_ref().is_some_and(|text| text.contains(cure)), "{changes:?}: {found:?}");
            assert!(!found.to_string().contains("db:1"), "what is told to everybody names no place: {found}");
            // Workers drain a server that is full, and they need it to be ready.
            assert_eq!(found.hinders, verdict == Verdict::Broken && check != "maxmemory", "{found:?}");
        }
    }

    #[test]
    fn eviction_that_is_allowed_is_a_warning_and_hinders_nobody() {
        let info = server(&[("maxmemory_policy", "allkeys-lru")], &[]);
        assert!(!judged(&info).is_ready());
        let allowed = all(&info, &RedisOptions { allow_eviction: true, ..RedisOptions::default() });
        let policy = allowed.checks.iter().find(|check| check.what == "maxmemory-policy").expect("looked at");
        assert!(allowed.is_ready() && policy.verdict == Verdict::Warning, "{policy:?}");
    }

    #[test]
    fn durability_is_the_class_that_the_settings_give() {
        let class = |changes: &[(&str, &str)], settings: &[(&str, &str)]| {
            let condition = judged(&server(changes, settings));
            let check = condition.checks.iter().find(|it| it.what == "durability").expect("it is looked at");
            (check.verdict, condition.durability)
        };
        let (ok, warning) = (Verdict::Ok, Verdict::Warning);
        assert_eq!(class(&[], &[("appendfsync", "always")]), (ok, Durability::Durable));
        assert_eq!(class(&[], &[("appendfsync", "everysec")]), (ok, Durability::Standard));
        assert_eq!(class(&[], &[("appendfsync", "no")]), (warning, Durability::Weak));
        assert_eq!(class(&[], &[]), (warning, Durability::Unverified));
        assert_eq!(class(&[("aof_enabled", "0")], &[]), (warning, Durability::Volatile));
        for fsync in ["always", "everysec"] {
            let rewriting = [("appendfsync", fsync), ("no-appendfsync-on-rewrite", "yes")];
            assert_eq!(class(&[], &rewriting), (warning, Durability::Weak));
        }
        let forbidden = one(&server(&[], &[]), "durability");
        assert!(
            forbidden.verdict == Verdict::Warning && forbidden.found.contains("unverified"),
            "{forbidden:?}"
        );
    }

    #[test]
    fn replicas_are_counted_where_they_must_confirm() {
        let asked = |replicas| {
            all(&server(&[], &[]), &RedisOptions { replicas, ..RedisOptions::default() }).is_ready()
        };
        assert_eq!([asked(0), asked(1), asked(2)], [true, true, false]);
    }

    #[test]
    fn what_a_server_does_not_tell_is_unverified_and_not_broken() {
        for check in judged(&Info::default()).checks {
            assert_ne!(check.verdict, Verdict::Broken, "{check:?}");
        }
    }

    #[test]
    fn valkey_goes_by_its_own_name() {
        let found = one(&server(&[("redis_version", "7.2.4"), ("valkey_version", "8.0.1")], &[]), "version");
        assert_eq!((found.verdict, found.found.as_str()), (Verdict::Ok, "Valkey 8.0.1 (as Redis 7.2.4)"));
    }
}
