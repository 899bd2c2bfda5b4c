//! `faultbench`: see the library.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<std::process::ExitCode> {
    bulrush_faultbench::cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("faultbench injects its faults by means of Linux; run it there")
}
