//! Time, processor time and memory of this process, as the operating system counts them.

use std::time::Instant;

use bulrush::port::{Backend, Result, ServerUsage};

/// What something cost.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Wall clock.
    pub seconds: f64,
    /// User and system time of all threads; none where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// What the backend's server used, where there is one: processor time, µs, and growth of its memory, bytes.
    pub server: Option<(f64, f64)>,
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    cpu: Option<f64>,
    server: Option<ServerUsage>,
}

impl Meter {
    /// Starts measuring.
    pub async fn start(backend: &dyn Backend) -> Result<Self> {
        let server = backend.server_usage().await?;
        Ok(Self { started: Instant::now(), cpu: cpu_seconds(), server })
    }

    /// What it cost so far.
    pub async fn read(&self, backend: &dyn Backend) -> Result<Usage> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds().zip(self.cpu).map(|(now, then)| now - then);
        let server = backend.server_usage().await?.zip(self.server).map(|(now, then)| {
            let cpu = now.cpu_us.saturating_sub(then.cpu_us) as f64;
            (cpu, now.memory_bytes as f64 - then.memory_bytes as f64)
        });
        Ok(Usage { seconds, cpu_seconds, server })
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
