//! A release daemon of one's own, and clients of it.
//!
//! Owns: its config file, and what the kernel and its metrics say of it. Law: as `serving`'s.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use linmemd::client::{Client, ConnectOptions};

use crate::serving::Serving;

pub(crate) struct Daemon {
    serving: Serving,
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
        command.arg("--config").arg(file.path());
        Self { serving: Serving::start(command), _config: file }
    }

    pub(crate) async fn client(&self, tenant: &str, connections: usize) -> Client {
        let endpoint = format!("http://{}", self.serving.grpc).parse().expect("an endpoint");
        let options = ConnectOptions {
            tenant: Some(tenant.to_owned()),
            connections,
            deadline: Some(Duration::from_secs(120)),
            ..ConnectOptions::new(endpoint)
        };
        Client::connect(&options).await.expect("a connection")
    }

    /// A sample of the page, by the beginning of its line.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let page = self.serving.scrape();
        let sample = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        sample.unwrap_or_else(|| panic!("no {series} in\n{page}"))
    }

    /// Kibibytes of all mappings together, by the words at the beginning of their lines.
    pub(crate) fn smaps_kib(&self, keys: &[&str]) -> u64 {
        let smaps = format!("/proc/{}/smaps", self.serving.pid());
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
        let status = format!("/proc/{}/status", self.serving.pid());
        let status = std::fs::read_to_string(status).expect("the daemon's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).expect("VmLck");
        kib.trim().parse().expect("a number")
    }

    /// How often its thread of that name has gone to sleep by itself.
    pub(crate) fn sleeps(&self, thread: &str) -> u64 {
        let tasks = format!("/proc/{}/task", self.serving.pid());
        let named = |task: &std::path::Path| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
        };
        let mut tasks = std::fs::read_dir(tasks).expect("threads").flatten();
        let task = tasks.find(|task| named(&task.path())).expect("a thread of that name");
        let status = std::fs::read_to_string(task.path().join("status")).expect("its status");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.expect("a count").trim().parse().expect("a number")
    }

    /// Mappings as the kernel counts them.
    pub(crate) fn mappings(&self) -> usize {
        let maps = format!("/proc/{}/maps", self.serving.pid());
        std::fs::read_to_string(maps).expect("the daemon's mappings").lines().count()
    }

    /// The whole page, headers and all.
    pub(crate) fn timed_scrape(&self) -> (Duration, String) {
        self.serving.timed_scrape()
    }

    pub(crate) fn stop(self) {
        self.serving.stop();
    }
}
