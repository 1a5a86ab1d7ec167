//! The daemon that histories are recorded of: the real binary in a process of its own.
//!
//! Law: it is drained at the end, and must exit with 0; a test that fails kills it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use linmemd::client::{Client, ConnectOptions, RetryPolicy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    grpc: String,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_linmemd"))
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("linmemd starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = String::new();
        let grpc = loop {
            let Some(line) = lines.next() else { panic!("linmemd does not serve:\n{said}") };
            let line = line.expect("text");
            if let Some((_, rest)) = line.split_once(" grpc=") {
                break rest.split(' ').next().expect("a word").to_owned();
            }
            said.push_str(&line);
        };
        // The rest is read too, so that the log never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, grpc }
    }

    /// On a connection of its own. Nothing is repeated: a call is sent once.
    pub(crate) async fn client(&self) -> Client {
        let endpoint = format!("http://{}", self.grpc).parse().expect("an endpoint");
        let options = ConnectOptions { retry: RetryPolicy::NONE, ..ConnectOptions::new(endpoint) };
        Client::connect(&options).await.expect("a connection")
    }

    pub(crate) fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = self.child.wait().expect("an end");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
