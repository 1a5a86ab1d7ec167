//! The targets, by name.

pub(crate) mod admin;
mod config;
pub(crate) mod connection;
pub(crate) mod credentials;
mod framing;
mod headers;
pub(crate) mod memory;
mod names;
pub(crate) mod operations;
mod packed;
mod programs;
pub(crate) mod resources;
pub(crate) mod session;
mod shares;
mod sizes;
mod spec;

/// One decoder's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `run` and the corpus call it.
    pub name: &'static str,
    /// Panics where a law of the target's does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target { name: "admin", run: admin::run },
    Target { name: "config", run: config::run },
    Target { name: "connection", run: connection::run },
    Target { name: "credentials", run: credentials::run },
    Target { name: "framing", run: framing::run },
    Target { name: "headers", run: headers::run },
    Target { name: "memory", run: memory::run },
    Target { name: "names", run: names::run },
    Target { name: "operations", run: operations::run },
    Target { name: "programs", run: programs::run },
    Target { name: "resources", run: resources::run },
    Target { name: "session", run: session::run },
    Target { name: "sizes", run: sizes::run },
    Target { name: "spec", run: spec::run },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
