//! Looks at a store in a folder. The disk is tried with a file of its own that has no name and goes by itself; the store's files are read
//! at most.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bulrush::backend::{FileLook, look_at_file};
use bulrush::port::{Check, size};

use super::report::Report;

/// How often the disk is asked to make something durable.
const ROUNDS: usize = 20;
/// What is written each time, bytes: a small block of the log.
const BLOCK: usize = 4_096;
/// A median above this lets a lone producer add less than fifty jobs a second, ms.
const SYNC_WARN_MS: f64 = 20.0;
/// Less free space than this is a warning, bytes.
const FREE_WARN: u64 = 1 << 30;
/// With less than this the log cannot begin its next segment, bytes.
const FREE_MIN: u64 = 64 << 20;

/// Looks at the store in a folder.
pub async fn look(dir: PathBuf) -> Report {
    let subject = format!("the store in {}", dir.display());
    let checks = tokio::task::spawn_blocking(move || checks(&dir)).await;
    let mut report = Report::new(subject);
    report.checks = checks.unwrap_or_else(|error| {
        vec![Check::broken("folder", format!("the look at it failed: {error}"), "please report this")]
    });
    report
}

fn checks(dir: &Path) -> Vec<Check> {
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return vec![Check::broken(
                "folder",
                "it is a file, and a store is a folder",
                "give another path",
            )];
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Check::broken(
                "folder",
                "it is not there",
                "check the path; the store is made when a server or a worker first opens it, if the folder above is there",
            )];
        }
        Err(error) => {
            return vec![Check::broken(
                "folder",
                format!("it cannot be looked at: {error}"),
                "let this user read it (chown, chmod)",
            )];
        }
    }
    let mut checks = vec![Check::ok("folder", "it is there")];
    match look_at_file(dir) {
        Ok(found) => checks.extend([lock(&found), format(&found), space(dir, found.bytes)]),
        Err(error) => {
            checks.push(Check::broken(
                "files",
                error.to_string(),
                "restore the folder from a backup, or give another one",
            ));
            checks.push(space(dir, 0));
        }
    }
    checks.push(disk(dir));
    checks
}

fn lock(found: &FileLook) -> Check {
    Check::ok(
        "lock",
        if found.in_use {
            "a process has the store open; a second one would be refused until it ends"
        } else {
            "no process has the store open"
        },
    )
}

fn format(found: &FileLook) -> Check {
    let FileLook { format_known: known, files, bytes, .. } = found;
    match found.format {
        None => Check::ok("format", "the store is empty"),
        Some(format) if format > *known => Check::broken(
            "format",
            format!("{format}, and this version reads formats up to {known}"),
            "use the version of bulrush that wrote it, or a newer one",
        ),
        Some(format) => Check::ok("format", format!("{format}; {files} files, {}", size(*bytes))),
    }
}

/// Free space, against what the store has: a checkpoint is written beside what it replaces.
fn space(dir: &Path, bytes: u64) -> Check {
    match free(dir) {
        Ok(free) => enough(free, bytes),
        Err(error) => {
            Check::warning("space", format!("unverified: {error}"), "make sure that the disk has room")
        }
    }
}

fn enough(free: u64, bytes: u64) -> Check {
    let found = format!("{} free", size(free));
    if free < FREE_MIN {
        Check::broken("space", format!("{found}: the log cannot go on for long"), "free space on the disk")
    } else if free < FREE_WARN.max(bytes) {
        let found = format!("{found}: little, for the store grows and is copied now and then");
        Check::warning("space", found, "free space on the disk, or keep finished jobs for less time")
    } else {
        Check::ok("space", found)
    }
}

#[cfg(unix)]
fn free(dir: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free(_dir: &Path) -> io::Result<u64> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell the free space"))
}

/// Whether the folder can be written to, and how long the disk takes to make that durable.
fn disk(dir: &Path) -> Check {
    match measure(dir) {
        Ok((median, longest)) => {
            let found = format!(
                "writable; fdatasync takes {median:.2} ms (median of {ROUNDS}), {longest:.2} ms at most"
            );
            if median > SYNC_WARN_MS {
                Check::warning("disk", found, "use a faster disk, or add jobs many at once: they share one")
            } else {
                Check::ok("disk", found)
            }
        }
        Err(error) => Check::broken(
            "disk",
            format!("the folder cannot be written to: {error}"),
            "let this user write there (chown, chmod), and see that the disk is neither full nor mounted read-only",
        ),
    }
}

fn measure(dir: &Path) -> io::Result<(f64, f64)> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut trips = [0.0; ROUNDS];
    for trip in &mut trips {
        let started = Instant::now();
        file.write_all(&[0; BLOCK])?;
        file.sync_data()?;
        *trip = started.elapsed().as_secs_f64() * 1_000.0;
    }
    trips.sort_by(f64::total_cmp);
    Ok((trips[ROUNDS / 2], trips[ROUNDS - 1]))
}

#[cfg(test)]
mod tests {
    use bulrush::port::Verdict;

    use super::*;

    #[test]
    fn room_is_judged_against_what_the_store_has() {
        assert_eq!(enough(FREE_MIN - 1, 0).verdict, Verdict::Broken);
        assert_eq!(enough(FREE_WARN - 1, 0).verdict, Verdict::Warning);
        assert_eq!(enough(FREE_WARN, 0).verdict, Verdict::Ok);
        assert_eq!(enough(FREE_WARN * 2, FREE_WARN * 3).verdict, Verdict::Warning);
    }

    #[test]
    fn a_store_that_a_newer_version_wrote_is_told_with_both_formats() {
        let found = FileLook { in_use: false, format: Some(9), format_known: 1, files: 1, bytes: 1 };
        let check = format(&found);
        assert!(check.verdict == Verdict::Broken && check.found.starts_with("9, and"), "{check:?}");
    }

    #[test]
    fn a_folder_in_which_nothing_can_be_made_is_broken() {
        let check = disk(Path::new("/proc/self"));
        assert_eq!(check.verdict, Verdict::Broken, "{check:?}");
    }

    #[test]
    fn the_look_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let verdicts: Vec<_> = checks(folder.path()).into_iter().map(|check| check.what).collect();
        assert_eq!(verdicts, ["folder", "lock", "format", "space", "disk"]);
        assert_eq!(std::fs::read_dir(folder.path()).expect("it can be listed").count(), 0);
    }
}
