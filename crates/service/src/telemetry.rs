//! Logs: lines for people on a terminal, JSON for machines everywhere else.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::args::{LogFormat, TelemetryArgs};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error(
        "the log filter {filter:?} cannot be read; write a level (info) or targets with levels (info,bulrush_api=debug)"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Another part of the process has set up logging before.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Sets up logging to standard error for the whole process. Standard output is left to what the program is asked for.
///
/// # Errors
/// [`TelemetryError`] for a filter that cannot be read, and at a second call.
pub fn init(args: &TelemetryArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|source| TelemetryError::Filter { filter: args.log.clone(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let json = match args.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    } else {
        lines.with_ansi(terminal).finish().try_init()
    };
    set.map_err(TelemetryError::Twice)
}
