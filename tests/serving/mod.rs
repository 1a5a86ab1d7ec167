//! A daemon in a process of its own, for the tests that start the real binary and read its greeting.
//!
//! Owns: its process and its addresses. Law: it is on ports of its own, and its log is read to the end, so
//! that it never waits for it; drained, it must exit with 0 and must have counted no panic; a test that
//! fails kills it. Does not: know its configuration, nor clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) struct Serving {
    child: Child,
    /// `ADDRESS:PORT` of gRPC.
    pub(crate) grpc: String,
    http: String,
}

impl Serving {
    /// Starts a command that becomes the daemon and waits until it serves.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("linmemd starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = String::new();
        let serving = loop {
            let Some(line) = lines.next() else { panic!("linmemd does not serve:\n{said}") };
            let line = line.expect("text");
            if line.contains(" grpc=") {
                break line;
            }
            said.push_str(&line);
        };
        std::thread::spawn(move || lines.for_each(drop));
        let after = |key: &str| {
            let (_, rest) = serving.split_once(key).expect("an address");
            rest.split(' ').next().expect("a word").to_owned()
        };
        Self { child, grpc: after(" grpc="), http: after(" http=") }
    }

    /// Its number among the host's processes.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `/metrics` answers, headers and all.
    pub(crate) fn scrape(&self) -> String {
        self.timed_scrape().1
    }

    /// The same, and how long until it began to come: the whole of it was written then.
    pub(crate) fn timed_scrape(&self) -> (Duration, String) {
        let mut stream = TcpStream::connect(&self.http).expect("the metrics listener");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).expect("a request");
        stream.peek(&mut [0]).expect("a page");
        let took = begun.elapsed();
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        (took, page)
    }

    /// Drains it.
    pub(crate) fn stop(mut self) {
        let page = self.scrape();
        assert!(page.lines().any(|line| line == "linmemd_panics_total 0"), "{page}");
        let pid = Pid::from_raw(self.pid().try_into().expect("a pid"));
        kill(pid, Signal::SIGTERM).expect("a signal");
        let status = self.child.wait().expect("an end");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
