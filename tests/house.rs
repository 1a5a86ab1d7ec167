//! The rules of the house that a machine can check: floors, headers, lengths, names, metrics.
//!
//! Owns: the table of floors and the few exceptions, each with its reason. Law: what is only asked
//! for decays, so whatever `src/lib.rs` promises of the tree and can be read from it is read here.
//! Does not count style.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, bottom up. A module uses those before it, its own, and what `BESIDE` grants.
const FLOORS: [(&str, u8); 9] = [
    ("units", 0),
    ("model", 0),
    ("error", 0),
    ("os", 1),
    ("memory", 2),
    ("registry", 3),
    ("tenancy", 4),
    ("rpc", 5),
    ("daemon", 6),
];

/// What stands beside the floors, and who may see it.
const BESIDE: [(&str, &[&str]); 6] = [
    ("config", &["config", "daemon"]),
    ("proto", &["proto", "rpc", "client"]),
    ("metrics", &["metrics", "tenancy", "rpc", "daemon"]),
    ("client", &["client"]),
    ("checksum", &["checksum", "memory", "rpc", "client"]),
    ("token", &["token", "tenancy", "daemon", "client"]),
];

/// Who never sees what, although it stands below or outside (the design's last column).
const NEVER: [(&str, &[&str]); 10] = [
    ("units", &["tokio", "tonic", "libc", "nix"]),
    ("model", &["tokio", "tonic", "libc", "nix"]),
    ("error", &["tokio", "tonic", "libc", "nix"]),
    ("checksum", &["tokio", "tonic", "libc", "nix"]),
    ("token", &["tokio", "tonic", "libc", "nix"]),
    ("os", &["tokio", "tonic"]),
    ("memory", &["tokio", "tonic", "libc", "nix"]),
    ("registry", &["tokio", "tonic", "libc", "nix"]),
    ("tenancy", &["tonic", "libc", "nix"]),
    ("rpc", &["crate::os", "libc", "nix"]),
];

/// Files past 400 lines, each with its reason.
const LONG: [(&str, &str); 2] = [
    ("src/error.rs", "the one closed list of failures, a few lines each"),
    ("tests/wire/groups.rs", "one claim after the other about one call"),
];

/// Every family that the API's page names, without its prefix, built or not.
const FAMILIES: &[&str] = &[
    "tenant_memories",
    "tenant_size_bytes",
    "tenant_peak_bytes",
    "accesses_total",
    "access_bytes_total",
    "traps_total",
    "grows_total",
    "grow_hook_events_total",
    "grow_hook_duration_seconds",
    "quota_limit",
    "quota_used",
    "waiters",
    "events_dropped_total",
    "each_memory_size_bytes",
    "each_memory_peak_bytes",
    "each_memory_accesses_total",
    "each_memory_series_dropped_total",
    "rpc_requests_total",
    "rpc_duration_seconds",
    "rpc_in_flight",
    "streams_open",
    "stream_messages_total",
    "connections",
    "in_flight_bytes",
    "auth_failures_total",
    "calls_shed_total",
    "overload_step",
    "quarantined_memories",
    "quarantined_bytes",
    "placement_fallbacks_total",
    "huge_pages_free",
    "numa_node_free_bytes",
    "vmas",
    "vmas_limit",
    "insecure_listeners",
    "tenants_folded",
    "draining",
    "config_reload_success",
    "config_reload_timestamp_seconds",
    "tls_certificate_expiry_timestamp_seconds",
    "panics_total",
    "purges_total",
    "purged_bytes_total",
    "build_info",
    // Beside that list: what the contract leaves open.
    "tag_faults_total",
    "audit_lost_total",
    "log_lines_dropped_total",
];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module of `src/` that the file belongs to.
    fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split_once('/').map_or(rest.trim_end_matches(".rs"), |(module, _)| module))
    }

    /// Its lines without comments.
    /// Whether it is a file of tests, which may run a floor by whatever means.
    fn is_test(&self) -> bool {
        ["tests.rs", "_loom.rs"].iter().any(|ending| self.path.ends_with(ending))
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split("//").next().unwrap_or_default())
    }
}

/// Every file with this ending below these folders, in order of path.
fn sources(folders: &[&str], ending: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                let text = fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(root).expect("below the root");
                found.push(Source { path: path.display().to_string(), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no .{ending} in {folders:?}");
    found
}

/// The top-level modules that a file's code names after `root`, groups in braces included.
fn named(source: &Source, root: &str) -> BTreeSet<String> {
    let code: String = source.code().collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split(root).skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(first_word(rest));
            continue;
        };
        // Only the words at the group's own depth are modules of the root.
        let (mut depth, mut begin) = (1, 0);
        for (place, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    found.insert(first_word(&group[begin..place]));
                    begin = place + 1;
                }
                _ => (),
            }
            if depth == 0 {
                found.insert(first_word(&group[begin..place]));
                break;
            }
        }
    }
    found.remove("");
    found
}

fn first_word(text: &str) -> String {
    let word = text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next();
    word.unwrap_or_default().to_owned()
}

#[test]
fn a_path_is_read_in_every_form() {
    let text = "use crate::os::copy;\nuse crate::{rpc::Front, units, tenancy::{Access, Tenants}};\n\
                // crate::client\nlet x = crate::model::MemoryId::new(crate::metrics::CODES);";
    let source = Source { path: "src/x.rs".to_owned(), text: text.to_owned() };
    let found = named(&source, "crate::");
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["metrics", "model", "os", "rpc", "tenancy", "units"]);
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_floor_uses_one_above_it() {
    let floors: BTreeMap<_, _> = FLOORS.into();
    let beside: BTreeMap<_, _> = BESIDE.into();
    let (mut faults, mut paths) = (Vec::new(), 0);
    for source in sources(&["src"], "rs") {
        let Some(module) =
            source.module().filter(|module| !["lib", "main", "bin"].contains(module))
        else {
            continue;
        };
        for used in named(&source, "crate::") {
            paths += 1;
            let granted = match (floors.get(module), floors.get(used.as_str())) {
                (Some(own), Some(other)) => own >= other,
                _ => {
                    used == module || beside.get(used.as_str()).is_some_and(|s| s.contains(&module))
                }
            };
            if !granted {
                faults.push(format!("{}: {module} may not use crate::{used}", source.path));
            }
        }
        if !floors.contains_key(module) && !beside.contains_key(module) {
            faults.push(format!("{}: {module} is on no floor", source.path));
        }
    }
    assert!(paths > 200, "only {paths} paths were found: the reading is broken");
    none(&faults);
}

#[test]
fn what_a_floor_never_sees_is_not_in_it() {
    let mut faults = Vec::new();
    for (module, unseen) in NEVER {
        for source in sources(&["src"], "rs") {
            if source.module() != Some(module) || source.is_test() {
                continue;
            }
            for (number, line) in source.code().enumerate() {
                for name in unseen {
                    let used = [format!("{name}::"), format!("use {name};")];
                    if used.iter().any(|used| line.contains(used.as_str())) {
                        faults.push(format!("{}:{}: sees {name}", source.path, number + 1));
                    }
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn the_command_line_is_a_client_like_any_other() {
    let mut faults = Vec::new();
    for source in sources(&["src/bin"], "rs") {
        for used in named(&source, "linmemd::") {
            if used != "client" {
                faults.push(format!("{}: uses linmemd::{used}", source.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_file_says_what_it_owns() {
    let mut faults = Vec::new();
    let rust = sources(&["src", "tests", "benches"], "rs");
    faults.extend(rust.iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path.clone()));
    let python = sources(&["tests"], "py");
    let opens = |s: &&Source| s.text.starts_with("\"\"\"") || s.text.contains("\n\"\"\"");
    faults.extend(python.iter().filter(|s| !opens(s)).map(|s| s.path.clone()));
    none(&faults);
}

#[test]
fn no_file_is_past_400_lines_without_a_reason() {
    let mut faults = Vec::new();
    let listed: BTreeMap<_, _> = LONG.into();
    for source in sources(&["src", "tests", "benches"], "rs") {
        let lines = source.text.lines().count();
        if lines > 400 && !listed.contains_key(source.path.as_str()) {
            faults.push(format!("{}: {lines} lines; split it", source.path));
        }
        if lines <= 400 && listed.contains_key(source.path.as_str()) {
            faults.push(format!("{}: {lines} lines; take it off the list", source.path));
        }
    }
    none(&faults);
}

#[test]
fn serde_stays_in_the_config_the_command_line_and_signed_claims() {
    let mut faults = Vec::new();
    for source in sources(&["src"], "rs") {
        // The config, what the command line prints, and what a signed claim says.
        let homes = ["src/config/", "src/bin/linmemctl/", "src/tenancy/identity/"];
        if homes.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        // Tests may read JSON anywhere; they stand last in a file.
        let shipped = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        if shipped.contains("serde") {
            faults.push(source.path);
        }
    }
    none(&faults);
}

#[test]
fn no_name_says_nothing() {
    const HOLLOW: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "manager"];
    let mut faults = Vec::new();
    for source in sources(&["src", "tests", "benches"], "rs") {
        let words = source.path.trim_end_matches(".rs").split(['/', '_']);
        if words.into_iter().any(|word| HOLLOW.contains(&word)) {
            faults.push(source.path.clone());
        }
        for line in source.code() {
            let name = ["struct ", "enum ", "trait ", "mod "].iter().find_map(|kind| {
                let (_, rest) = line.split_once(kind)?;
                rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
            });
            let name = name.unwrap_or_default().to_lowercase();
            if HOLLOW.iter().any(|hollow| name.ends_with(hollow)) {
                faults.push(format!("{}: {name}", source.path));
            }
        }
    }
    none(&faults);
}

/// Constants and names of the families that `src/metrics/mod.rs` declares.
fn declared(text: &str) -> Vec<(String, String)> {
    let (_, rest) = text.split_once("\nfamilies! {").expect("the list of families");
    let block = rest.split("\n}").next().expect("its end");
    let family = |line: &str| {
        let (head, rest) = line.split_once('"')?;
        let (name, _) = rest.split_once('"')?;
        Some((head.split_whitespace().next()?.to_owned(), name.to_owned()))
    };
    block.lines().filter_map(family).collect()
}

#[test]
fn every_metric_family_is_one_of_the_apis_and_is_moved() {
    let all = sources(&["src"], "rs");
    let metrics: Vec<&Source> = all.iter().filter(|s| s.module() == Some("metrics")).collect();
    let list = metrics.iter().find(|source| source.path == "src/metrics/mod.rs").expect("mod.rs");
    let mut faults = Vec::new();
    let families = declared(&list.text);
    assert!(families.len() > 25, "{families:?}");
    for (constant, name) in &families {
        if !FAMILIES.contains(&name.as_str()) {
            faults.push(format!("linmemd_{name} is not on the API's list"));
        }
        let lines = metrics.iter().flat_map(|source| source.code());
        let uses = lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
        // The list, and an import or a use: an import that nothing uses is denied.
        if uses.filter(|word| word == constant).count() < 2 {
            faults.push(format!("linmemd_{name} has no handle"));
        }
    }
    // A handle moves its family only where somebody calls it.
    for line in metrics.iter().flat_map(|source| source.code()) {
        let Some((_, rest)) = line.split_once("pub fn ") else { continue };
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let call = format!("{name}(");
        let called =
            |s: &Source| s.module() != Some("metrics") && s.code().any(|l| l.contains(&call));
        if !all.iter().any(called) {
            faults.push(format!("src/metrics: nobody calls {name}"));
        }
    }
    none(&faults);
}
