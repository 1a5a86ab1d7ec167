//! A release daemon of one's own, and clients of it.
//!
//! Owns: its process, its config file and its addresses. Law: it is drained at the end, must exit
//! with 0 and must have counted no panic; a test that fails kills it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use linmemd::client::{Client, ConnectOptions};

pub(crate) struct Daemon {
    child: Child,
    grpc: String,
    http: String,
    _config: tempfile::NamedTempFile,
}

impl Daemon {
    pub(crate) fn start(program: &str, config: &str) -> Self {
        Self::start_under(&[], program, config)
    }

    /// Started by a command that runs what follows it.
    pub(crate) fn start_under(wrapper: &[&str], program: &str, config: &str) -> Self {
        let mut words = wrapper.iter().copied().chain([program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(config.as_bytes()).expect("a config");
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--config"])
            .arg(file.path())
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
        // The rest is read too, so that the log never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        let after = |key: &str| {
            let (_, rest) = serving.split_once(key).expect("an address");
            rest.split(' ').next().expect("a word").to_owned()
        };
        Self { child, grpc: after(" grpc="), http: after(" http="), _config: file }
    }

    pub(crate) async fn client(&self, tenant: &str, connections: usize) -> Client {
        let endpoint = format!("http://{}", self.grpc).parse().expect("an endpoint");
        let options = ConnectOptions {
            tenant: Some(tenant.to_owned()),
            connections,
            deadline: Some(Duration::from_secs(120)),
            ..ConnectOptions::new(endpoint)
        };
        Client::connect(&options).await.expect("a connection")
    }

    pub(crate) fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("the metrics listener");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        page
    }

    /// A sample of the page, by the beginning of its line.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let page = self.scrape();
        let sample = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        sample.unwrap_or_else(|| panic!("no {series} in\n{page}"))
    }

    /// Kibibytes of all mappings together, by the words at the beginning of their lines.
    pub(crate) fn smaps_kib(&self, keys: &[&str]) -> u64 {
        let smaps = format!("/proc/{}/smaps", self.child.id());
        let smaps = std::fs::read_to_string(smaps).expect("the daemon's mappings");
        let of_line = |line: &str| {
            let (key, value) = line.split_once(':')?;
            let value = value.trim().strip_suffix(" kB").filter(|_| keys.contains(&key))?;
            value.parse::<u64>().ok()
        };
        smaps.lines().filter_map(of_line).sum()
    }

    /// Kibibytes that are locked in RAM, as the kernel counts them.
    pub(crate) fn locked_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("the daemon's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).expect("VmLck");
        kib.trim().parse().expect("a number")
    }

    /// Mappings as the kernel counts them.
    pub(crate) fn mappings(&self) -> usize {
        let maps = format!("/proc/{}/maps", self.child.id());
        std::fs::read_to_string(maps).expect("the daemon's mappings").lines().count()
    }

    pub(crate) fn stop(mut self) {
        assert_eq!(self.metric("linmemd_panics_total "), 0.0);
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(told.success());
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
