//! The log: text for people or JSON for machines, on standard error.
//!
//! Law: installed once, by `main`; a panic is one line of the log, with its place and call, and
//! never its payload, which might hold anything.

use std::io::{self, IsTerminal};
use std::panic;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::reload;

use crate::config::{Log, LogFormat};

/// What the log's filter is changed by; none where this process's log is not ours.
static FILTER: OnceLock<Box<Change>> = OnceLock::new();

type Change = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

fn keep(change: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static) {
    // There is one log, and it is installed once.
    let _first = FILTER.set(Box::new(change));
}

/// The log tells what passes this filter from now on.
pub(super) fn set_filter(filter: &str) {
    // The config has checked the filter.
    if let (Some(change), Ok(filter)) = (FILTER.get(), EnvFilter::try_new(filter))
        && let Err(error) = change(filter)
    {
        tracing::warn!(%error, "the log's filter stays as it is");
    }
}

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
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| keep(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| keep(move |filter| handle.reload(filter)))
        }
    };
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
