//! The daemon that histories are recorded of: the real binary in a process of its own.
//!
//! Law: as `serving`'s; nothing is repeated: a call is sent once.

use std::process::Command;

use linmemd::client::{Client, ConnectOptions, RetryPolicy};

use crate::serving::Serving;

pub(crate) struct Daemon(Serving);

impl Daemon {
    pub(crate) fn start() -> Self {
        Self(Serving::start(Command::new(env!("CARGO_BIN_EXE_linmemd"))))
    }

    /// On a connection of its own.
    pub(crate) async fn client(&self) -> Client {
        let endpoint = format!("http://{}", self.0.grpc).parse().expect("an endpoint");
        let options = ConnectOptions { retry: RetryPolicy::NONE, ..ConnectOptions::new(endpoint) };
        Client::connect(&options).await.expect("a connection")
    }

    pub(crate) fn stop(self) {
        self.0.stop();
    }
}
