//! Owns `[log]` and `[audit]`: where lines are written of what happens, and of who did what. What they say
//! is the other floors' business.

use std::path::PathBuf;

use crate::config::defaults;

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Shape of a line. Default: text.
    pub format: LogFormat,
    /// Levels, in the syntax of `tracing_subscriber::EnvFilter`. Default: `info`.
    pub filter: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The file. Default: none, which is no audit log.
    pub file: Option<PathBuf>,
    /// Entries that may wait to be written. Default: 8,192.
    pub queue: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: defaults::LOG_FORMAT, filter: defaults::LOG_FILTER.to_owned() }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { file: None, queue: defaults::AUDIT_QUEUE }
    }
}
