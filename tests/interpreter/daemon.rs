//! The daemon that the instructions call: the binary of this build, as a process of its own.
//!
//! Law: it is told of a large budget, for there are memories of 4 GiB of which a few pages are touched;
//! all else is as it comes.

use std::process::Command;

use linmemd::client::Endpoint;

use crate::serving::Serving;

pub(crate) struct Process(Serving);

impl Process {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linmemd"));
        command.env("LINMEMD_MEMORY__HOST_BUDGET", "64GiB");
        Self(Serving::start(command))
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        format!("http://{}", self.0.grpc).parse().expect("an endpoint")
    }

    /// How many accesses of a kind it says it carried out, by `/metrics`.
    pub(crate) fn accesses(&self, kind: &str) -> u64 {
        let page = self.0.scrape();
        let label = format!("operation=\"{kind}\"");
        let series = page.lines().filter(|line| line.starts_with("linmemd_accesses_total{"));
        let counts = series.filter(|line| line.contains(&label)).map(|line| {
            let (_, count) = line.rsplit_once(' ').expect("a value");
            count.parse::<u64>().expect("a number")
        });
        counts.sum()
    }

    pub(crate) fn stop(self) {
        self.0.stop();
    }
}
