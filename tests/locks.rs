//! What the lock files agree on.
//!
//! Owns: the comparison of the product's with those of the packages beside it. Law: whoever adds a
//! dependency hears here that another lock file has to know it. Builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The versions of a lock file, by package.
fn locked(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_matches([' ', '=', '"']).to_owned())
        };
        if let (Some(name), Some(version)) = (value("name"), value("version")) {
            found.entry(name).or_default().insert(version);
        }
    }
    found
}

#[test]
fn conformance_is_locked_to_the_products_own_dependencies() {
    is_locked_to_the_products("conformance");
}

#[test]
fn fuzz_is_locked_to_the_products_own_dependencies() {
    is_locked_to_the_products("fuzz");
}

/// CI builds these packages with `--locked`, and in the product's own folder.
fn is_locked_to_the_products(package: &str) {
    let (product, other) = (locked("Cargo.lock"), locked(&format!("{package}/Cargo.lock")));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    let section = manifest.split("\n[dependencies]\n").nth(1).expect("dependencies");
    let mut faults = Vec::new();
    for line in section.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(' ').next().unwrap_or_default();
        let has = other.get(name).is_some_and(|versions| {
            versions
                .iter()
                .all(|version| product.get(name).is_some_and(|own| own.contains(version)))
        });
        if !has {
            faults.push(format!("{name}: cargo update --workspace in {package}/"));
        }
    }
    assert!(other.len() > 100 && product.len() > 100);
    assert!(faults.is_empty(), "{faults:#?}");
}
