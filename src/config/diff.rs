//! Owns the comparison of two configurations: what differs, and one hash that says whether they are the
//! same. Both go by what is in force, not by how or where it was written.
//!
//! Its law: a table of an array is known by its name, not by its place, so that another order is no
//! difference. Token hashes are never shown whole.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::config::credentials::digits;
use crate::config::{Config, Entry, Origins, print};

/// How much of a hash is shown, its quotation mark included.
const SHOWN_OF_HASH: usize = 9;

/// One key that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `log.filter`, `tenant["blue"].quota_bytes`.
    pub key: String,
    /// The value before, as TOML; none where there was none.
    pub old: Option<String>,
    /// The value now; none where there is none.
    pub new: Option<String>,
}

impl Config {
    /// What of another configuration is not as in this one, in order of the keys.
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let (before, mut after) = (values(self), values(other));
        let mut changes = Vec::new();
        for (key, old) in before {
            let new = after.remove(&key);
            if new.as_ref() != Some(&old) {
                changes.push(change(key, Some(old), new));
            }
        }
        changes.extend(after.into_iter().map(|(key, new)| change(key, None, Some(new))));
        changes.sort_by(|left, right| left.key.cmp(&right.key));
        changes
    }

    /// SHA-256 of all effective values in order of the keys, in hexadecimal digits. Two daemons of one
    /// release that have the same are configured alike.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in values(self) {
            // No key and no value has a line's end in it: values are TOML, quoted.
            hash.update(format!("{key} = {value}\n"));
        }
        digits(&hash.finalize())
    }
}

fn change(key: String, old: Option<String>, new: Option<String>) -> Change {
    if key.ends_with(".token_sha256") {
        let begin = |hash: String| format!("{}...\"", hash.get(..SHOWN_OF_HASH).unwrap_or("\""));
        return Change { key, old: old.map(begin), new: new.map(begin) };
    }
    Change { key, old, new }
}

/// Every value that there is, by a key that does not depend on places.
fn values(config: &Config) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let entries = print::entries(config, &Origins::default());
    let names = names(&entries);
    for Entry { key, value, .. } in &entries {
        let Some(value) = value else { continue };
        let key =
            match key.rsplit_once('.').and_then(|(table, name)| Some((names.get(table)?, name))) {
                Some((table, name)) => format!("{table}.{name}"),
                None => key.clone(),
            };
        values.insert(key, value.clone());
    }
    values
}

/// For each `tenant[0]` its `tenant["blue"]`. A hook's name is its tenant's only.
fn names(entries: &[Entry]) -> BTreeMap<&str, String> {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for Entry { key, value, .. } in entries {
        let Some((table, name)) = key.rsplit_once('.') else { continue };
        let (Some((section, _)), Some(value)) = (table.split_once('['), value) else { continue };
        // The first key of every table is its name.
        match names.get_mut(table) {
            None => {
                names.insert(table, format!("{section}[{value}]"));
            }
            Some(known) if section == "hook" && name == "tenant" => {
                *known = format!("{} of {value}]", known.trim_end_matches(']'));
            }
            Some(_) => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text).unwrap()
    }

    fn changes(before: &str, after: &str) -> Vec<(String, Option<String>, Option<String>)> {
        let changes = config(before).changes_to(&config(after));
        changes.into_iter().map(|Change { key, old, new }| (key, old, new)).collect()
    }

    const TWO: &str =
        "[[tenant]]\nname = \"blue\"\nquota_bytes = \"1MiB\"\n[[tenant]]\nname = \"red\"\n";

    #[test]
    fn order_and_spelling_are_no_difference() {
        let turned = "[[tenant]]\nname = 'red'\nstate = \"active\"\n[[tenant]]\nquota_bytes = 1048576\nname = \"blue\"\n";
        assert_eq!(changes(TWO, turned), []);
        assert_eq!(config(TWO).hash(), config(turned).hash());
        assert_eq!(config("").hash().len(), 64);
    }

    #[test]
    fn what_is_new_what_is_gone_and_what_changed_are_told_by_name() {
        let after =
            "[[tenant]]\nname = \"green\"\n[[tenant]]\nname = \"blue\"\nquota_bytes = \"2MiB\"\n";
        let found = changes(TWO, after);
        let text = |text: &str| Some(text.to_owned());
        let quota = "tenant[\"blue\"].quota_bytes".to_owned();
        assert!(found.contains(&(quota, text("\"1MiB\""), text("\"2MiB\""))), "{found:?}");
        let green = "tenant[\"green\"].name".to_owned();
        assert!(found.contains(&(green, None, text("\"green\""))), "{found:?}");
        let red = "tenant[\"red\"].name".to_owned();
        assert!(found.contains(&(red, text("\"red\""), None)), "{found:?}");
        assert_ne!(config(TWO).hash(), config(after).hash());
    }

    #[test]
    fn two_hooks_of_one_name_are_told_apart_by_their_tenants() {
        let hook = |tenant: &str, rank: u32| {
            format!("[[hook]]\nname = \"h\"\ntenant = \"{tenant}\"\nrank = {rank}\n")
        };
        let before = format!("{TWO}{}{}", hook("blue", 1), hook("red", 2));
        let after = format!("{TWO}{}{}", hook("red", 3), hook("blue", 1));
        let found = changes(&before, &after);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "hook[\"h\" of \"red\"].rank");
    }

    #[test]
    fn a_token_hash_is_never_shown_whole() {
        let one = |digit: &str| {
            let hash = digit.repeat(64);
            format!(
                "[[identity]]\nname = \"i\"\ntenant = \"default\"\nroles = [\"reader\"]\ntoken_sha256 = \"{hash}\"\n"
            )
        };
        let found = changes(&one("a"), &one("b"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.as_deref(), Some("\"aaaaaaaa...\""));
        assert_eq!(found[0].2.as_deref(), Some("\"bbbbbbbb...\""));
    }
}
