//! `bulrush-sandbox`: the outside world on one port, until it is told to stop.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use bulrush_sandbox::{Sandbox, SandboxConfig};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A local stand-in for the outside world: weather and holidays in the upstreams' own formats, with failures on request.
#[derive(Debug, Parser)]
#[command(name = "bulrush-sandbox", version)]
struct Arguments {
    /// Address to listen on. Anyone who reaches it can make it fail, so keep it on loopback or in a private network.
    #[arg(long, env = "SANDBOX_HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, env = "SANDBOX_PORT", default_value_t = 8090)]
    port: u16,
    /// Write the hotels to this file, as bulrush-worker-competitor takes competitors (BULRUSH_COMPETITORS_FILE).
    #[arg(long, env = "SANDBOX_COMPETITORS_FILE", value_name = "FILE")]
    competitors_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let sandbox = Sandbox::start(SandboxConfig { host: arguments.host, port: arguments.port })?;
    if let Some(path) = &arguments.competitors_file {
        std::fs::write(path, sandbox.competitors().to_string())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    // Who waits for this line finds the file whole.
    println!("{}", sandbox.base_url());
    stop_signal().await.context("the signals that stop the program cannot be watched")?;
    sandbox.shutdown().await;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM, which is how containers are stopped.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
