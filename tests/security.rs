//! What `SECURITY.md` and the lock files promise and a machine can check: that every test named there
//! exists, that no attack is left out, and that the gRPC stack is not below the versions in which it
//! has known holes.
//!
//! Law: a page about tests rots unless a test reads it. `deny.toml` says the rest; CI runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every row of the table, by the words that it begins with.
const ATTACKS: [&str; 26] = [
    "Guessing ids",
    "Cross-tenant access",
    "A share stretched or outstayed",
    "Remanence",
    "Arithmetic",
    "Giant lengths",
    "Churn",
    "Slow readers",
    "Slow senders",
    "Floods and resets",
    "Probes kept out",
    "Header bombs",
    "Malformed protobuf",
    "Decompression",
    "Destroy during a read",
    "Growth race",
    "Socket squatting",
    "Token theft",
    "Downgrade",
    "Config mistakes",
    "Label bomb",
    "Metrics leak",
    "Log injection",
    "Pressure on others",
    "An exploited daemon",
    "Error text",
];

/// The least versions of what strangers' bytes go through. Who is not in a tree is not below.
const FLOOR: [(&str, [u64; 3]); 5] = [
    ("h2", [0, 4, 19]),
    ("tonic", [0, 14, 9]),
    ("bytes", [1, 11, 1]),
    ("rustls", [0, 23, 45]),
    ("rustls-webpki", [0, 103, 13]),
];

const LOCKS: [&str; 3] = ["Cargo.lock", "conformance/Cargo.lock", "fuzz/Cargo.lock"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of all tests in these folders.
fn tests(folders: &[&str]) -> BTreeSet<String> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                let mut lines = text.lines().map(str::trim);
                while let Some(line) = lines.next() {
                    // `#[test]`, `#[tokio::test]`, and in proptest's and the tests' own macros.
                    if line.starts_with("#[") && line.contains("test") && !line.contains("cfg") {
                        let function = lines.by_ref().find(|line| !line.starts_with("#["));
                        let name = function.and_then(|line| line.split_once("fn "));
                        let name = name.map(|(_, rest)| rest.split(['(', '<']).next());
                        found.extend(name.flatten().map(str::to_owned));
                    }
                }
            }
        }
    }
    found
}

/// The rows of the table of attacks: name, required behaviour, proof.
fn rows(page: &str) -> Vec<[String; 3]> {
    let (_, table) = page.split_once("| attack |").expect("the table");
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("three cells: {cells:?}"))
    };
    lines.map(cells).collect()
}

#[test]
fn every_attack_has_a_row_that_names_its_tests() {
    let rows = rows(&text("SECURITY.md"));
    let attacks: Vec<&str> = rows.iter().map(|[attack, ..]| attack.as_str()).collect();
    assert_eq!(attacks, ATTACKS);
    let (tests, mut named, mut faults) = (tests(&["src", "tests"]), 0, Vec::new());
    for [attack, required, proof] in &rows {
        if required.is_empty() {
            faults.push(format!("{attack}: nothing is required"));
        }
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(format!("{attack}: no test"));
        }
        for name in names {
            named += 1;
            let is_file = |path: String| root().join(path).is_file();
            let exists = match name.split_once(' ') {
                Some(("hostile", shape)) => is_file(format!("tests/hostile/shapes/{shape}.rs")),
                Some(("fuzz", target)) => is_file(format!("fuzz/src/targets/{target}.rs")),
                _ => tests.contains(name),
            };
            if !exists {
                faults.push(format!("{attack}: there is no {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(named > 50, "only {named} tests were found: the reading is broken");
}

/// Name, version and source of every package of a lock file.
fn packages(lock: &str) -> Vec<[Option<String>; 3]> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .skip(1)
        .map(|package| ["name", "version", "source"].map(|key| value(package, key)))
        .collect()
}

fn version(text: &str) -> [u64; 3] {
    let numbers = text.split(['.', '-', '+']).take(3).map(|part| part.parse().expect("a number"));
    let numbers: Vec<u64> = numbers.collect();
    numbers.try_into().expect("three numbers")
}

#[test]
fn nothing_that_strangers_bytes_go_through_is_below_its_floor_in_any_lock_file() {
    let mut found = BTreeSet::new();
    for lock in LOCKS {
        for [name, have, _] in packages(&text(lock)) {
            let (name, have) = (name.expect("a name"), have.expect("a version"));
            if let Some((name, least)) = FLOOR.iter().find(|(of, _)| *of == name) {
                assert!(version(&have) >= *least, "{lock}: {name} {have} is below {least:?}");
                found.insert(*name);
            }
        }
    }
    assert!(found.is_superset(&["h2", "tonic", "bytes"].into()), "{found:?}");
}

#[test]
fn every_dependency_comes_from_the_one_registry() {
    for lock in LOCKS {
        let packages = packages(&text(lock));
        assert!(packages.len() > 100, "{lock}: the reading is broken");
        for [name, _, source] in packages {
            // Those of this repository have none.
            let own = name.as_deref().is_some_and(|name| name.starts_with("linmemd"));
            assert!(own || source.as_deref() == Some(CRATES_IO), "{lock}: {name:?} is {source:?}");
        }
    }
}
