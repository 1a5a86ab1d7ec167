//! Owns the environment's layer: which variables are ours, which Kubernetes puts beside them, and
//! which are mistakes. It reads no variable itself: the environment comes in as an argument.

use std::ffi::OsString;

use crate::config::draft::Draft;
use crate::config::keys::{Key, TABLES};
use crate::config::mistake::{Fault, Origin};
use crate::config::raw::Raw;
use crate::config::words;

/// What all our variables start with.
const PREFIX: &str = "LINMEMD_";

/// Lays the environment over the draft. Variables without our prefix are not looked at.
pub(super) fn lay(draft: &mut Draft, environment: impl IntoIterator<Item = (OsString, OsString)>) {
    for (name, value) in environment {
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let shown = name.to_string_lossy().into_owned();
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else {
            draft.findings.note(Origin::Env { name: shown }, "", Fault::NotUtf8);
            continue;
        };
        lay_variable(draft, name, value);
    }
}

fn lay_variable(draft: &mut Draft, name: String, value: String) {
    if is_service_name(&name, &value) {
        return;
    }
    match draft.keys.iter().position(|key| key.variable() == name) {
        Some(index) => draft.take(index, &Raw::Bare(value), Origin::Env { name }),
        None => {
            let fault = if is_table(&name) {
                Fault::FileOnly
            } else {
                Fault::Unknown { nearest: meant(draft, &name) }
            };
            draft.findings.note(Origin::Env { name }, "", fault);
        }
    }
}

/// Names that Kubernetes injects into every pod for the services beside it: `LINMEMD_SERVICE_*` and
/// `LINMEMD_PORT*` for a service `linmemd`, and their like for `linmemd-metrics`. None of ours
/// lacks the double underscore.
fn is_service_name(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    if rest.starts_with("SERVICE_") || rest.starts_with("PORT") {
        return true;
    }
    let with_port = rest.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut words = rest.split('_');
        let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        number && words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
    });
    let link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    !rest.contains("__")
        && (rest.ends_with("_SERVICE_HOST")
            || rest.ends_with("_SERVICE_PORT")
            || rest.contains("_SERVICE_PORT_")
            || with_port
            || (rest.ends_with("_PORT") && link))
}

fn is_table(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let section = rest.split("__").next().unwrap_or_default();
    TABLES.iter().any(|table| section.eq_ignore_ascii_case(table))
}

/// The variable that was meant: one underscore for two and lower case are the common slips.
fn meant(draft: &Draft, name: &str) -> Option<String> {
    let variables: Vec<String> = draft.keys.iter().map(Key::variable).collect();
    let flat = |name: &str| name.to_ascii_uppercase().replace("__", "_");
    let same = variables.iter().find(|variable| flat(variable) == flat(name));
    same.cloned().or_else(|| {
        let rest = name.strip_prefix(PREFIX)?;
        let rests = variables.iter().filter_map(|variable| variable.strip_prefix(PREFIX));
        words::nearest(&rest.to_ascii_uppercase(), rests).map(|rest| format!("{PREFIX}{rest}"))
    })
}
