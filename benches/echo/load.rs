//! One run of h2load.
//!
//! Owns: its arguments and the reading of what it prints. Law: every call must have ended with 200
//! and every reply must have the length of the checked one (a failed call's is shorter), or the run
//! is an error. Does not: decide how many calls, or know whose server it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::check::body;
use crate::shape::{FRAME_BYTES, Operation};

// 2^30 - 1 bytes: h2load never makes a server wait for it.
const WINDOW_BITS: &str = "30";

/// The load of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    operation: Operation,
    body: PathBuf,
}

impl Load {
    /// Writes the body that every call sends.
    pub(crate) fn new(operation: Operation, folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(format!("{}.body", operation.name()));
        fs::write(&path, body(operation)?)?;
        Ok(Self { operation, body: path })
    }

    /// Makes so many calls; answers calls a second. `reply_bytes` is the checked reply's DATA.
    pub(crate) fn run(&self, url: &str, calls: u64, reply_bytes: usize) -> Result<f64, Failure> {
        let (connections, streams) = self.operation.concurrency();
        let output = Command::new("h2load")
            .args(["-t", "1", "-w", WINDOW_BITS, "-W", WINDOW_BITS])
            .args(["-f", &FRAME_BYTES.to_string()])
            .args(["-c", &connections.to_string(), "-m", &streams.to_string()])
            .args(["-n", &calls.to_string()])
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .arg("-d")
            .arg(&self.body)
            .arg(format!("{url}{}", self.operation.path()))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("h2load (Debian's nghttp2-client): {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let seen = Seen::read(&text).ok_or_else(|| {
            let error = String::from_utf8_lossy(&output.stderr);
            format!("h2load ({}) printed what is not understood:\n{text}{error}", output.status)
        })?;
        let expected = calls * reply_bytes as u64;
        if seen.succeeded != calls || seen.ok != calls || seen.data_bytes != expected {
            return Err(format!(
                "of {calls} calls {} succeeded, {} with 200; {} bytes of replies instead of \
                 {expected}",
                seen.succeeded, seen.ok, seen.data_bytes
            )
            .into());
        }
        Ok(seen.calls_per_second)
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    calls_per_second: f64,
    succeeded: u64,
    ok: u64,
    data_bytes: u64,
}

impl Seen {
    // finished in 1.00s, 110000.00 req/s, 7.50MB/s
    // requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout
    // status codes: 9 2xx, 0 3xx, 0 4xx, 0 5xx
    // traffic: 1.2KB (1234) total, 126B (126) headers (space savings 90.0%), 1.1KB (1100) data
    fn read(text: &str) -> Option<Self> {
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let before = |line: &str, word: &str| {
            line.split(", ").find_map(|part| part.trim().strip_suffix(word)).map(str::to_owned)
        };
        let data = before(line("traffic: ")?, " data")?;
        let data = data.split_once('(')?.1.trim_end_matches(')').to_owned();
        Some(Self {
            calls_per_second: before(line("finished in ")?, " req/s")?.parse().ok()?,
            succeeded: before(line("requests: ")?, " succeeded")?.parse().ok()?,
            ok: before(line("status codes: ")?, " 2xx")?.parse().ok()?,
            data_bytes: data.parse().ok()?,
        })
    }
}
