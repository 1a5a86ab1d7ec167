//! Owns the TOML layer: walks the document, says the line of everything it finds, and goes on
//! after a syntax error with what the parser could recover. Which keys there are it asks `keys.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::draft::Draft;
use crate::config::keys::{
    HOOK, IDENTITY, JWT_ISSUER, Key, PARTITION, TABLES, TENANT, hook_keys, identity_keys,
    jwt_issuer_keys, partition_keys, tenant_keys,
};
use crate::config::mistake::{Fault, Origin};
use crate::config::raw::Raw;
use crate::config::{Hook, Identity, JwtIssuer, Partition, Tenant, words};

/// Lays the text of a file over the draft. `path` is for the messages.
pub(super) fn lay(draft: &mut Draft, path: &Path, text: &str) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let place = Place::of(path, text);
    for error in &errors {
        let reason = error.message().replace(['\n', '\r'], " ");
        let origin = error.span().map_or_else(|| place.whole(), |span| place.at(span.start));
        draft.findings.note(origin, "", Fault::Syntax { reason });
    }
    let before = draft.findings.mistakes.len();
    for (section, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Array(items) if section.get_ref() == TENANT => {
                let keys = tenant_keys();
                let tenants = lay_all(draft, &place, TENANT, items, || Tenant::named(""), &keys);
                draft.take_tenants(tenants);
            }
            DeValue::Array(items) if section.get_ref() == PARTITION => {
                let (blank, keys) = (Partition::default, partition_keys());
                draft.config.partitions = lay_all(draft, &place, PARTITION, items, blank, &keys);
            }
            DeValue::Array(items) if section.get_ref() == HOOK => {
                let (blank, keys) = (Hook::default, hook_keys());
                draft.config.hooks = lay_all(draft, &place, HOOK, items, blank, &keys);
            }
            DeValue::Array(items) if section.get_ref() == IDENTITY => {
                let (blank, keys) = (Identity::default, identity_keys());
                draft.config.identities = lay_all(draft, &place, IDENTITY, items, blank, &keys);
            }
            DeValue::Array(items) if section.get_ref() == JWT_ISSUER => {
                let (blank, keys) = (JwtIssuer::default, jwt_issuer_keys());
                draft.config.jwt_issuers = lay_all(draft, &place, JWT_ISSUER, items, blank, &keys);
            }
            DeValue::Table(table) if !TABLES.contains(&section.get_ref().as_ref()) => {
                lay_section(draft, &place, section, table);
            }
            _ => misplaced(draft, &place, section, value),
        }
    }
    forget_echoes(draft, before);
}

/// A text's name and where its lines end, so that an offset becomes a line.
struct Place {
    path: PathBuf,
    ends: Vec<usize>,
}

impl Place {
    fn of(path: &Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { path: path.to_owned(), ends: ends.map(|(offset, _)| offset).collect() }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = 1 + self.ends.partition_point(|end| *end < offset);
        Origin::File { path: self.path.clone(), line }
    }

    fn whole(&self) -> Origin {
        Origin::File { path: self.path.clone(), line: 0 }
    }
}

type Name<'a> = Spanned<toml::de::DeString<'a>>;

fn lay_section(draft: &mut Draft, place: &Place, section: &Name<'_>, table: &DeTable<'_>) {
    let known = draft.sections().contains(&section.get_ref().as_ref());
    if !known {
        return misplaced_name(draft, place, section);
    }
    for (name, value) in table {
        let origin = place.at(name.span().start);
        match draft.find(section.get_ref(), name.get_ref()) {
            Some(index) => draft.take(index, &Raw::from_toml(value.get_ref()), origin),
            None => {
                let nearest = draft.meant(section.get_ref(), name.get_ref());
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                draft.findings.note(origin, key, Fault::Unknown { nearest });
            }
        }
    }
}

/// A name at the top that is no section, or a section that is no table.
fn misplaced(draft: &mut Draft, place: &Place, section: &Name<'_>, value: &Spanned<DeValue<'_>>) {
    let name = section.get_ref().as_ref();
    if !draft.sections().contains(&name) {
        return misplaced_name(draft, place, section);
    }
    let accepted = match name {
        name if TABLES.contains(&name) => format!("an array of tables: [[{name}]]"),
        name => format!("a table: [{name}]"),
    };
    let found = Raw::from_toml(value.get_ref()).to_string();
    let origin = place.at(section.span().start);
    draft.findings.note(origin, name, Fault::WrongType { found, accepted });
}

fn misplaced_name(draft: &mut Draft, place: &Place, section: &Name<'_>) {
    let name = section.get_ref().as_ref();
    let nearest = words::nearest(name, draft.sections())
        .map(|section| match section {
            section if TABLES.contains(&section) => format!("[[{section}]]"),
            section => format!("[{section}]"),
        })
        .or_else(|| draft.meant("", name));
    draft.findings.note(place.at(section.span().start), name, Fault::Unknown { nearest });
}

/// Reads every table of an array, each over a blank one.
fn lay_all<T>(
    draft: &mut Draft,
    place: &Place,
    section: &str,
    items: &[Spanned<DeValue<'_>>],
    blank: impl Fn() -> T,
    keys: &[Key<T>],
) -> Vec<T> {
    let one = |(at, item)| lay_one(draft, place, (section, at), item, blank(), keys);
    items.iter().enumerate().map(one).collect()
}

/// Reads one table of an array over a blank one. What it needs and has not keeps its blank value, and
/// a mistake is noted.
fn lay_one<T>(
    draft: &mut Draft,
    place: &Place,
    (section, index): (&str, usize),
    item: &Spanned<DeValue<'_>>,
    mut blank: T,
    keys: &[Key<T>],
) -> T {
    let findings = &mut draft.findings;
    let head = place.at(item.span().start);
    let path = |name: &str| format!("{section}[{index}].{name}");
    let DeValue::Table(table) = item.get_ref() else {
        let found = Raw::from_toml(item.get_ref()).to_string();
        let accepted = format!("an array of tables: [[{section}]]");
        findings.note(head, format!("{section}[{index}]"), Fault::WrongType { found, accepted });
        return blank;
    };
    for (name, value) in table {
        let origin = place.at(name.span().start);
        match keys.iter().find(|key| key.name == name.get_ref()) {
            Some(key) => {
                let raw = Raw::from_toml(value.get_ref());
                findings.judge(key, path(key.name), &raw, origin, &mut blank);
            }
            None => {
                let nearest = words::nearest(name.get_ref(), keys.iter().map(|key| key.name));
                let fault = Fault::Unknown { nearest: nearest.map(str::to_owned) };
                findings.note(origin, path(name.get_ref()), fault);
            }
        }
    }
    for key in keys.iter().filter(|key| key.is_needed) {
        if !table.contains_key(key.name) {
            findings.broken.insert(path(key.name));
            findings.note(head.clone(), path(key.name), Fault::Missing { accepted: key.accepts() });
        }
    }
    blank
}

/// What the parser recovers from a line that is no TOML is a guess; only the syntax is reported.
fn forget_echoes(draft: &mut Draft, before: usize) {
    let mistakes = &mut draft.findings.mistakes;
    let judged = mistakes.split_off(before.min(mistakes.len()));
    let torn: BTreeSet<Origin> = mistakes.iter().map(|mistake| mistake.origin.clone()).collect();
    let fresh = judged.into_iter().filter(|mistake| !torn.contains(&mistake.origin));
    mistakes.extend(fresh);
}
