//! [`StartError`]: why a daemon did not start.
//!
//! Law: closed; each says what was wanted, under which key, and what to do. Nothing is left running.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::daemon::arena::Unset;
use crate::daemon::credentials::CredentialsError;
use crate::error::Failure;
use crate::os::OsError;
use crate::os::process::own_user;

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {address} ({key}): {error}{}", listen_next(.address, .error))]
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
    #[error(
        "cannot write the audit log {path} (audit.file): {error}{next}", path = .path.display(),
        next = folder_next(.path, .error)
    )]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the host said.
        error: io::Error,
    },
    /// Files or folders that the config names are not to be had: each a line.
    #[error("{}", .0.join("\n"))]
    Files(Vec<String>),
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

/// What to do where an address or the path of a socket was refused.
fn listen_next(address: &str, error: &io::Error) -> String {
    // What was found out here says itself what to do.
    if error.raw_os_error().is_none() && error.kind() != ErrorKind::AddrInUse {
        return String::new();
    }
    match (error.kind(), address.parse::<SocketAddr>()) {
        (ErrorKind::AddrInUse, _) => "; is another linmemd running there?".to_owned(),
        (_, Err(_)) => folder_next(Path::new(address), error),
        (ErrorKind::PermissionDenied, Ok(_)) => {
            "; a port below 1024 (net.ipv4.ip_unprivileged_port_start) takes CAP_NET_BIND_SERVICE: \
             give it, or name a higher port"
                .to_owned()
        }
        (ErrorKind::AddrNotAvailable, Ok(_)) => {
            "; no interface of this host has this address: `ip address` shows those it has"
                .to_owned()
        }
        (_, Ok(_)) => String::new(),
    }
}

/// What to do where a name cannot be made in a folder.
fn folder_next(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("; the folder {folder} is not there: make it, or name another")
        }
        ErrorKind::PermissionDenied => format!(
            "; user {} may not make names in {folder}: give it write and search permission there, or \
             name another folder",
            own_user()
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, errno: i32) -> String {
        let (address, error) = (address.to_owned(), io::Error::from_raw_os_error(errno));
        StartError::Listen { address, key: "grpc.listen", error }.to_string()
    }

    #[test]
    fn another_daemon_is_suspected_only_where_the_address_is_in_use() {
        let socket = "/run/linmemd/l.sock";
        for address in ["127.0.0.1:80", socket] {
            assert!(
                refused(address, libc::EADDRINUSE).ends_with("is another linmemd running there?")
            );
            for errno in [libc::EACCES, libc::EPERM, libc::ENOENT, libc::EADDRNOTAVAIL, libc::EROFS]
            {
                let said = refused(address, errno);
                assert!(said.contains(address) && said.contains("grpc.listen"), "{said}");
                assert!(!said.contains("another linmemd"), "{said}");
            }
        }
        for errno in [libc::EACCES, libc::EPERM] {
            assert!(refused("127.0.0.1:80", errno).contains("CAP_NET_BIND_SERVICE"));
            let said = refused(socket, errno);
            assert!(said.contains("may not make names in /run/linmemd:"), "{said}");
        }
        let said = refused(socket, libc::ENOENT);
        assert!(said.contains("the folder /run/linmemd is not there"), "{said}");
    }

    #[test]
    fn what_says_itself_what_to_do_is_given_no_second_advice() {
        let error = io::Error::new(ErrorKind::PermissionDenied, "remove it or name another");
        let (address, key) = ("/tmp/l".to_owned(), "grpc.unix_socket");
        let said = StartError::Listen { address, key, error }.to_string();
        assert!(said.ends_with("remove it or name another"), "{said}");
    }
}
