//! The daemon that the instructions call: the binary of this build, as a process of its own.
//!
//! Law: it is told of a large budget, for there are memories of 4 GiB of which a few pages are touched;
//! all else is as it comes. Dropped, it is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use linmemd::client::Endpoint;
use tempfile::TempDir;

pub(crate) struct Process {
    child: Child,
    folder: TempDir,
    http: String,
}

impl Process {
    /// Starts it and waits until it serves.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_linmemd"))
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--unix-socket"])
            .arg(folder.path().join("l.sock"))
            .env("LINMEMD_MEMORY__HOST_BUDGET", "64GiB")
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
        let (_, http) = serving.split_once(" http=").expect("an address");
        let http = http.split(' ').next().expect("a word").to_owned();
        // The rest is read too, so that the log never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, http }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.folder.path().join("l.sock"))
    }

    /// How many accesses of a kind it says it carried out, by `/metrics`.
    pub(crate) fn accesses(&self, kind: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.http).expect("the metrics listener");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        let label = format!("operation=\"{kind}\"");
        let series = page.lines().filter(|line| line.starts_with("linmemd_accesses_total{"));
        let counts = series.filter(|line| line.contains(&label)).map(|line| {
            let (_, count) = line.rsplit_once(' ').expect("a value");
            count.parse::<u64>().expect("a number")
        });
        counts.sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
