//! The log: text for people or JSON for machines, on standard error.
//!
//! Law: installed once, by `main`; a panic is one line of the log, with its place and call, and
//! never its payload, which might hold anything. Until the daemon is confined a line is written by who tells
//! it; from then on by a thread of its own, so that a sink that takes nothing holds nobody up
//! (`log_queue.rs`), and at the end what is left is written, for a second at most.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::reload;

use crate::config::{Log, LogFormat};
use crate::daemon::confinement::Confinement;
use crate::daemon::log_queue::LogQueue;
use crate::os::confine::Role;

/// For what is queued when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// There is one standard error.
static QUEUE: LogQueue = LogQueue::new();

thread_local! {
    /// Whether this is the thread that writes what is queued.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// Dropped, it ends the log: what is queued is written.
#[derive(Debug)]
#[must_use = "what is queued at the end is lost without it"]
pub struct LastWords(());

impl Drop for LastWords {
    fn drop(&mut self) {
        QUEUE.end(LAST_WORDS);
    }
}

/// Where lines go, each by a write of its own.
#[derive(Clone, Copy, Debug)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if IS_WRITER.get() || !QUEUE.tell(line) {
            // Nobody reads it where standard error is closed.
            let _unread = io::stderr().write_all(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text for whoever started the process, after the lines that were told before.
pub fn say(text: &str) {
    // Never fails.
    let _said = Lines.write_all(text.as_bytes());
}

/// From now on a thread writes what is told, where this process's log is ours.
pub(super) fn start(confinement: &Confinement) -> io::Result<()> {
    if FILTER.get().is_none() || !QUEUE.open() {
        return Ok(());
    }
    let thread = confinement.spawn("log".to_owned(), Role::Log, || {}, write_out);
    // Ended by `LastWords`, not by a daemon's end, which is told too.
    thread.map(drop).inspect_err(|_none| QUEUE.shut())
}

/// Lines that were lost so far.
pub(super) fn lost() -> u64 {
    QUEUE.lost()
}

fn write_out() {
    IS_WRITER.set(true);
    while let Some(batch) = QUEUE.next() {
        // One by one: the audit log may have the same sink, and a short write is a whole one in a pipe.
        for line in batch.lines.split_inclusive(|byte| *byte == b'\n') {
            if io::stderr().write_all(line).is_err() {
                QUEUE.lose();
            }
        }
        if batch.lost > 0 {
            tracing::error!(lines = batch.lost, "standard error took nothing; lines are lost");
        }
    }
}

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

/// Installs the log for the process, until what comes back is dropped.
pub fn install(log: &Log) -> LastWords {
    // The config has checked the filter.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_bad| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(|| Lines);
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
    LastWords(())
}
