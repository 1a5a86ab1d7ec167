//! Redis in the same rounds: GETRANGE of as many bytes, 128 in a pipeline.
//!
//! Owns: the start and end of Debian's `redis-server`, its value, and the reading of what
//! `redis-benchmark` prints. Law: what is compared is Debian's build with persistence off, driven by its
//! own client; that its bytes are right is looked at before each run. Does not: judge.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::peer::free_address;
use crate::shape::{GROUP, MEMORY, Operation, READ_BYTES, READ_OFFSET, pattern};

const PATIENCE: Duration = Duration::from_secs(15);
/// Past the read.
const VALUE_BYTES: usize = 8 << 20;

/// A server that this started.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts it and gives it its value.
    pub(crate) fn start(folder: &Path) -> Result<Self, Failure> {
        let address = free_address()?;
        let log = File::create(folder.join("redis.log"))?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("redis-server (Debian's redis-server): {error}"))?;
        let redis = Self { child, address };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err(format!("redis-server does not listen after {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let value = pattern(0, VALUE_BYTES);
        match redis.ask(&[b"SET", MEMORY.as_bytes(), &value])?.as_slice() {
            b"OK" => Ok(redis),
            other => Err(format!("redis: {}", String::from_utf8_lossy(other)).into()),
        }
    }

    /// Makes so many reads; answers reads a second.
    pub(crate) fn run(&self, operation: Operation, reads: u64) -> Result<f64, Failure> {
        let (from, to) = (READ_OFFSET.to_string(), (READ_OFFSET + READ_BYTES - 1).to_string());
        let read: [&[u8]; 4] = [b"GETRANGE", MEMORY.as_bytes(), from.as_bytes(), to.as_bytes()];
        if self.ask(&read)? != pattern(READ_OFFSET, READ_BYTES) {
            return Err("redis: other bytes".into());
        }
        let (connections, _) = operation.concurrency();
        let output = Command::new("redis-benchmark")
            .args(["-p", &self.address.port().to_string(), "--csv"])
            .args(["-P", &GROUP.to_string(), "-c", &connections.to_string()])
            .args(["-n", &reads.to_string(), "GETRANGE", MEMORY, &from, &to])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("redis-benchmark (Debian's redis-tools): {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        rate(&text).ok_or_else(|| format!("redis-benchmark printed:\n{text}").into())
    }

    /// Says a command; answers its bulk or its line.
    fn ask(&self, words: &[&[u8]]) -> Result<Vec<u8>, Failure> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            write!(command, "${}\r\n", word.len())?;
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        connection.write_all(&command)?;
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_at_checked(1) {
            Some(("$", length)) => {
                let mut bulk = vec![0; length.parse()?];
                reader.read_exact(&mut bulk)?;
                Ok(bulk)
            }
            Some((_, rest)) => Ok(rest.as_bytes().to_vec()),
            None => Err("redis said nothing".into()),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

// "test","rps","avg_latency_ms",…
// "GETRANGE bench 3149833 3149896","1234567.88","0.512",…
fn rate(csv: &str) -> Option<f64> {
    let line = csv.lines().find(|line| line.starts_with("\"GETRANGE"))?;
    line.split("\",\"").nth(1)?.parse().ok()
}
