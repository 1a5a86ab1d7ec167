//! Owns the daemon's configuration: defaults, then the file, then the environment, then flags, each
//! layer over the one before.
//!
//! Its law: nothing is guessed and nothing is dropped. A name that does not exist is a mistake in
//! every layer, all mistakes of all layers are reported together, each with its place, and every
//! effective value knows where it came from. A lower layer's mistake is one even where an upper
//! layer hides it.
//!
//! It opens no socket, asks the host nothing and reads no process-wide state: the environment is
//! an argument. What a value means to a floor is `daemon/`'s translation; no floor sees `Config`.

mod confinement;
mod contradictions;
mod credentials;
pub mod defaults;
mod diff;
mod draft;
mod environment;
mod exposure;
mod file;
mod growth;
#[cfg(test)]
mod growth_tests;
mod identities;
#[cfg(test)]
mod identities_tests;
mod keys;
mod kinds;
mod lists;
mod logs;
mod mistake;
mod partitions;
#[cfg(test)]
mod partitions_tests;
mod print;
mod quota;
mod raw;
mod sections;
mod tenant_state;
#[cfg(test)]
mod tests;
mod units;
mod words;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

pub use crate::config::confinement::{Confinement, Measure, Seccomp};
pub use crate::config::diff::Change;
pub use crate::config::exposure::{InsecureListener, is_loopback};
pub use crate::config::growth::{FailurePolicy, GrowPolicy, Hook};
pub use crate::config::identities::{Identity, JwtClaim, JwtIssuer, Tls};
pub use crate::config::logs::{Audit, Log, LogFormat};
pub use crate::config::mistake::{Fault, Mistake, Mistakes, Origin};
pub use crate::config::partitions::{PageKind, Partition};
pub use crate::config::quota::Quota;
pub use crate::config::sections::{
    Config, Drain, Grpc, Http, Lease, Memory, Metrics, Pool, Requests, Tenant,
};
pub use crate::config::tenant_state::TenantState;

use crate::config::draft::Draft;
use crate::config::raw::Raw;

/// What the command line said, not yet judged: its mistakes are reported with all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagLayer {
    /// `--listen ADDR`: `grpc.listen`. Default: not given.
    pub listen: Option<String>,
    /// `--metrics-listen ADDR`: `http.listen`. Default: not given.
    pub metrics_listen: Option<String>,
    /// `--unix-socket PATH`: `grpc.unix_socket`; empty for none. Default: not given.
    pub unix_socket: Option<String>,
}

/// A configuration without mistakes, and where each value came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// Where each came from.
    pub origins: Origins,
}

/// Where values came from, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `grpc.listen`, `tenant[0].name`.
    pub key: String,
    /// The value as TOML; none where it is absent.
    pub value: Option<String>,
    /// What absence means; empty for a key that always has a value.
    pub absent: &'static str,
    /// Where the value came from.
    pub origin: Origin,
}

/// Lays all layers over one another and checks the result. Without a file the other layers stand
/// alone. Of `environment` only names that start with `LINMEMD_` are looked at.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &FlagLayer,
) -> Result<Loaded, Mistakes> {
    load_read(file.map(|path| (path, std::fs::read_to_string(path))), environment, flags)
}

/// The same of a file that has been read, or could not be.
///
/// # Errors
/// As [`load`].
pub fn load_read(
    file: Option<(&Path, io::Result<String>)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &FlagLayer,
) -> Result<Loaded, Mistakes> {
    let mut draft = Draft::of_defaults();
    if let Some((path, read)) = file {
        match read {
            Ok(text) => file::lay(&mut draft, path, &text),
            Err(error) => {
                let origin = Origin::File { path: path.to_owned(), line: 0 };
                let fault = Fault::Unreadable { reason: error.to_string() };
                draft.findings.note(origin, "", fault);
            }
        }
    }
    environment::lay(&mut draft, environment);
    lay_flags(&mut draft, flags);
    finish(draft)
}

impl Config {
    /// Reads the text of a file over the defaults, without environment and flags. Lines in
    /// mistakes are of a file `config`.
    pub fn from_toml(text: &str) -> Result<Self, Mistakes> {
        let mut draft = Draft::of_defaults();
        file::lay(&mut draft, Path::new("config"), text);
        finish(draft).map(|loaded| loaded.config)
    }
}

impl Loaded {
    /// Every effective value in the order of the file, for a diff or a hash of two loads.
    pub fn entries(&self) -> Vec<Entry> {
        print::entries(&self.config, &self.origins)
    }

    /// The effective configuration as TOML, each value with its origin behind it. Read back as a
    /// file it gives the same configuration.
    pub fn print(&self) -> String {
        print::print(&self.entries())
    }
}

impl Origins {
    /// Where the value of `grpc.listen` or `tenant[0].name` came from.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }
}

impl FlagLayer {
    fn value(&self, flag: &str) -> Option<&str> {
        match flag {
            "--listen" => self.listen.as_deref(),
            "--metrics-listen" => self.metrics_listen.as_deref(),
            "--unix-socket" => self.unix_socket.as_deref(),
            _ => None,
        }
    }
}

fn lay_flags(draft: &mut Draft, flags: &FlagLayer) {
    for index in 0..draft.keys.len() {
        let Some(name) = draft.keys.get(index).and_then(|key| key.flag) else { continue };
        if let Some(value) = flags.value(name) {
            draft.take(index, &Raw::Bare(value.to_owned()), Origin::Flag { name });
        }
    }
}

fn finish(draft: Draft) -> Result<Loaded, Mistakes> {
    let Draft { config, mut findings, .. } = draft;
    let torn = |mistake: &Mistake| {
        matches!(mistake.fault, Fault::Syntax { .. } | Fault::Unreadable { .. })
    };
    // Of a file that was not read whole, what it does not say proves nothing.
    if !findings.mistakes.iter().any(torn) {
        let origins = Origins(findings.origins.clone());
        let entries = print::entries(&config, &origins);
        contradictions::note(&config, &entries, &mut findings);
    }
    Mistakes::collect(findings.mistakes)?;
    Ok(Loaded { config, origins: Origins(findings.origins) })
}
