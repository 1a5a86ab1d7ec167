//! The log: text for people or JSON for machines, on standard error.
//!
//! Law: installed once, by `main`; a panic is one line of the log, with its place and call, and
//! never its payload, which might hold anything.

use std::io::{self, IsTerminal};
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Log, LogFormat};

/// Installs the log for the process.
pub fn install(log: &Log) {
    // The config has checked the filter.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_bad| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(io::stderr);
    // Fails where a log is installed already, as in a test: that one is kept.
    let _installed = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
