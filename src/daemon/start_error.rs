//! [`StartError`]: why a daemon did not start.
//!
//! Law: closed; each says what was wanted, under which key, and what to do. Nothing is left running.

use std::io;
use std::path::PathBuf;

use crate::daemon::arena::Unset;
use crate::daemon::credentials::CredentialsError;
use crate::error::Failure;
use crate::os::OsError;

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {address} ({key}): {error}; is another linmemd running there?")]
    Listen {
        /// The address or path.
        address: String,
        /// The config's key.
        key: &'static str,
        /// What the host said.
        error: io::Error,
    },
    /// A thread or runtime could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The fault handler could not be installed.
    #[error("cannot install the fault handler: {0}")]
    Fault(#[from] OsError),
    /// It could not be learnt who may call.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The audit log could not be opened.
    #[error("cannot write the audit log {path} (audit.file): {error}", path = .path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the host said.
        error: io::Error,
    },
    /// A configured partition could not be made.
    #[error("cannot make [[partition]] {id:?}: {failure}")]
    Partition {
        /// Its name.
        id: String,
        /// Why not.
        failure: Failure,
    },
    /// A configured hook could not be made.
    #[error("cannot make [[hook]] {id:?}: {why}")]
    Hook {
        /// Its name.
        id: String,
        /// Why not.
        why: String,
    },
    /// The arena of fixed memories could not be set aside.
    #[error(transparent)]
    Arena(#[from] Unset),
    /// A measure of confinement that the config requires could not be taken.
    #[error("cannot serve without {measure} (confinement.require): {reason}; see `linmemd check`")]
    Unconfined {
        /// Its name.
        measure: &'static str,
        /// Why not.
        reason: String,
    },
    /// A node to run threads on is not to be had.
    #[error(
        "{key} names node {node}, of which this process may use no processor; the nodes and their \
         processors are in /sys/devices/system/node, the process's in its cpuset (cpuset.cpus)"
    )]
    NoProcessors {
        /// The node.
        node: u32,
        /// The config's key.
        key: &'static str,
    },
    /// The compiled-in descriptors are broken.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}
