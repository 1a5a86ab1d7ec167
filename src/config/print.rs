//! Owns `print-config`'s text: every effective value as TOML that reads back, with its origin as a
//! comment behind it. Absent values are comments, for TOML has no word for nothing.

use crate::config::keys::{
    HOOK, IDENTITY, JWT_ISSUER, Key, PARTITION, TENANT, hook_keys, identity_keys, jwt_issuer_keys,
    keys, partition_keys, tenant_keys,
};
use crate::config::{Config, Entry, Origins};

/// Where the origins begin, columns.
const COLUMN: usize = 48;

/// Every value in the order of the table, arrays of tables last.
pub(super) fn entries(config: &Config, origins: &Origins) -> Vec<Entry> {
    let mut copy = config.clone();
    let mut entries = Vec::new();
    for key in keys() {
        let origin = origins.of(&key.path()).clone();
        let value = key.show(&mut copy);
        entries.push(Entry { key: key.path(), value, absent: key.absent(), origin });
    }
    tables(TENANT, &mut copy.tenants, &tenant_keys(), origins, &mut entries);
    tables(PARTITION, &mut copy.partitions, &partition_keys(), origins, &mut entries);
    tables(HOOK, &mut copy.hooks, &hook_keys(), origins, &mut entries);
    tables(IDENTITY, &mut copy.identities, &identity_keys(), origins, &mut entries);
    tables(JWT_ISSUER, &mut copy.jwt_issuers, &jwt_issuer_keys(), origins, &mut entries);
    entries
}

fn tables<T>(
    section: &str,
    tables: &mut [T],
    keys: &[Key<T>],
    origins: &Origins,
    entries: &mut Vec<Entry>,
) {
    for (index, table) in tables.iter_mut().enumerate() {
        for key in keys {
            let path = format!("{section}[{index}].{}", key.name);
            let origin = origins.of(&path).clone();
            let value = key.show(table);
            entries.push(Entry { key: path, value, absent: key.absent(), origin });
        }
    }
}

/// The entries as one TOML document.
pub(super) fn print(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut open = "";
    for Entry { key, value, absent, origin } in entries {
        // Tenants' keys are `tenant[0].name`; no key's own name has a dot.
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        if section != open {
            let blank = if open.is_empty() { "" } else { "\n" };
            let header = match section.split_once('[') {
                Some((section, _)) => format!("[[{section}]]"),
                None => format!("[{section}]"),
            };
            text.push_str(&format!("{blank}{header}\n"));
            open = section;
        }
        let line = match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} is absent: {absent}"),
        };
        text.push_str(&format!("{line:<COLUMN$} # {origin}\n"));
    }
    text
}
