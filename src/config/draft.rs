//! Owns a configuration while its layers are laid over one another: the values so far, where each
//! came from, and every mistake met. A mistake never stops the reading: the value below stays, and
//! the key is noted as broken, so that no contradiction is reported on a value nobody gave.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::keys::{Key, TABLES};
use crate::config::mistake::{Fault, Mistake, Origin};
use crate::config::raw::{Raw, Refusal};
use crate::config::{Config, Tenant, keys, words};

/// The configuration so far.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) keys: Vec<Key<Config>>,
    pub(super) findings: Findings,
}

/// What is known about the values beside the values.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By key; a key that is not here has its default.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Keys to which some layer gave a value that they do not take.
    pub(super) broken: BTreeSet<String>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Draft {
    pub(super) fn of_defaults() -> Self {
        Self { config: Config::default(), keys: keys::keys(), findings: Findings::default() }
    }

    /// Takes a value from a layer for the key at `index` of the table.
    pub(super) fn take(&mut self, index: usize, raw: &Raw, origin: Origin) {
        if let Some(key) = self.keys.get(index) {
            self.findings.judge(key, key.path(), raw, origin, &mut self.config);
        }
    }

    /// Where the key stands in the table.
    pub(super) fn find(&self, section: &str, name: &str) -> Option<usize> {
        self.keys.iter().position(|key| key.section == section && key.name == name)
    }

    /// The sections of the file, each once, in the table's order, arrays of tables last.
    pub(super) fn sections(&self) -> Vec<&'static str> {
        let mut sections: Vec<&str> = self.keys.iter().map(|key| key.section).collect();
        sections.dedup();
        sections.extend(TABLES);
        sections
    }

    /// What a key that does not exist was meant to be: the same name in another section, or the
    /// nearest in its own, or the nearest anywhere.
    pub(super) fn meant(&self, section: &str, name: &str) -> Option<String> {
        let named = |key: &&Key<Config>| key.name == name;
        let elsewhere = self.keys.iter().find(named).map(Key::path);
        elsewhere.or_else(|| {
            let own = self.keys.iter().filter(|key| key.section == section);
            let near = words::nearest(name, own.map(|key| key.name));
            near.map(|near| format!("{section}.{near}")).or_else(|| {
                let near = words::nearest(name, self.keys.iter().map(|key| key.name));
                let near = self.keys.iter().find(|key| Some(key.name) == near);
                near.map(Key::path)
            })
        })
    }

    /// Takes the tenants of the file, if it names any. Those without a usable name keep their
    /// place, so that an index means the same in every message.
    pub(super) fn take_tenants(&mut self, tenants: Vec<Tenant>) {
        if !tenants.is_empty() {
            self.config.tenants = tenants;
        }
    }
}

impl Findings {
    /// Lets the key read the value into its place, or notes why it does not.
    pub(super) fn judge<T>(
        &mut self,
        key: &Key<T>,
        path: String,
        raw: &Raw,
        origin: Origin,
        into: &mut T,
    ) {
        let refusal = match key.read(raw, into) {
            Ok(()) => {
                self.origins.insert(path, origin);
                return;
            }
            Err(refusal) => refusal,
        };
        let (found, accepted) = (key.found(raw), key.accepts());
        let fault = match refusal {
            Refusal::WrongType => Fault::WrongType { found, accepted },
            Refusal::Malformed => Fault::Malformed { found, accepted },
            Refusal::OutOfRange => Fault::OutOfRange { found, accepted },
        };
        self.broken.insert(path.clone());
        self.note(origin, path, fault);
    }

    pub(super) fn note(&mut self, origin: Origin, key: impl Into<String>, fault: Fault) {
        self.mistakes.push(Mistake { origin, key: key.into(), fault });
    }

    /// Where the key's value came from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}
