//! The ways in: what each shows beyond this host, for GetHost and the log.
//!
//! Law: tells of what the config allows by name; decides nothing.

use crate::config::Config;
use crate::daemon::start::Addresses;
use crate::rpc::Listener;

/// The ways in, as GetHost shows them.
pub(super) fn listeners(config: &Config, addresses: &Addresses) -> Vec<Listener> {
    let insecure = |key: &str| config.insecure_listeners().iter().any(|found| found.key == key);
    let mut listeners = vec![
        Listener {
            address: addresses.grpc.to_string(),
            protocol: "grpc",
            insecure: insecure("grpc.listen"),
        },
        Listener {
            address: addresses.http.to_string(),
            protocol: "http",
            insecure: insecure("http.listen"),
        },
    ];
    if let Some(path) = &addresses.unix_socket {
        let address = format!("unix://{}", path.display());
        listeners.push(Listener { address, protocol: "grpc", insecure: false });
    }
    listeners
}

/// Warns of what lets in more than it should, or fewer.
pub(super) fn warn_of(config: &Config, open_files: u64, untrusted: &[String]) {
    for file in untrusted {
        tracing::warn!(file, "others may change a file that this daemon goes by");
    }
    for listener in config.insecure_listeners() {
        tracing::warn!(
            key = listener.key, address = %listener.address,
            anyone = listener.is_anonymous, plaintext = listener.is_plaintext,
            "this listener is open beyond this host (allow_anonymous, allow_plaintext)"
        );
    }
    let wanted = u64::from(config.grpc.max_connections).saturating_add(256);
    if open_files < wanted {
        tracing::warn!(
            limit = open_files,
            wanted,
            "fewer files may be open than grpc.max_connections needs; raise RLIMIT_NOFILE"
        );
    }
}
