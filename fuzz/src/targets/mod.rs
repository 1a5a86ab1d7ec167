//! The targets, by name.

pub(crate) mod admin;
mod config;
pub(crate) mod connection;
pub(crate) mod credentials;
mod deciders;
pub(crate) mod framing;
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
pub(crate) mod spec;
mod watches;

use crate::mutate::Form;

/// One decoder's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `run` and the corpus call it.
    pub name: &'static str,
    /// What its inputs are.
    pub form: Form,
    /// Panics where a law of the target's does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target { name: "admin", form: Form::Messages, run: admin::run },
    Target { name: "config", form: Form::Bytes, run: config::run },
    Target { name: "connection", form: Form::Bytes, run: connection::run },
    Target { name: "credentials", form: Form::Bytes, run: credentials::run },
    Target { name: "framing", form: Form::Bytes, run: framing::run },
    Target { name: "headers", form: Form::Bytes, run: headers::run },
    Target { name: "memory", form: Form::Messages, run: memory::run },
    Target { name: "names", form: Form::Bytes, run: names::run },
    Target { name: "operations", form: Form::Message, run: operations::run },
    Target { name: "programs", form: Form::Bytes, run: programs::run },
    Target { name: "resources", form: Form::Messages, run: resources::run },
    Target { name: "session", form: Form::Messages, run: session::run },
    Target { name: "sizes", form: Form::Bytes, run: sizes::run },
    Target { name: "spec", form: Form::Message, run: spec::run },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
