//! Time, processor time and memory of this process, as the operating system counts them.

use std::time::Instant;

/// What something cost.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Wall clock.
    pub seconds: f64,
    /// User and system time of all threads; none where the system does not tell.
    pub cpu_seconds: Option<f64>,
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    cpu: Option<f64>,
}

impl Meter {
    /// Starts measuring.
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds() }
    }

    /// What it cost so far.
    pub fn read(&self) -> Usage {
        let cpu_seconds = cpu_seconds().zip(self.cpu).map(|(now, then)| now - then);
        Usage { seconds: self.started.elapsed().as_secs_f64(), cpu_seconds }
    }
}

/// Processor time of this process from `/proc/self/stat`, in units of 10 ms.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end; utime and stime are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Resident memory of this process, bytes.
pub fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<f64>().ok()? * 4_096.0)
}

/// Bytes of all files under a directory.
pub fn directory_bytes(path: &std::path::Path) -> f64 {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len() as f64).sum()
}

/// Median time of one small write and its `fdatasync` in a directory, s: what a durable acknowledgement costs at least.
pub fn fdatasync_seconds(directory: &std::path::Path) -> Option<f64> {
    use std::io::Write;
    let path = directory.join("fdatasync-probe");
    let mut file = std::fs::File::create(&path).ok()?;
    let mut times: Vec<f64> = (0..100)
        .filter_map(|_| {
            let started = Instant::now();
            file.write_all(&[0; 4_096]).and_then(|()| file.sync_data()).ok()?;
            Some(started.elapsed().as_secs_f64())
        })
        .collect();
    // A probe that stays behind is only untidy.
    let _ = std::fs::remove_file(path);
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// The value below which a share `q` of the sorted samples lies.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied()
}

/// What the figures were measured on.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("", |(_, m)| m.trim());
    format!("{cores} cores, {model}, bulrush {}, {}", env!("CARGO_PKG_VERSION"), profile())
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug build: not for figures" } else { "release build" }
}
