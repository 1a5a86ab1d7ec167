//! The configuration: a file's TOML, environment variables and flags, with their sizes and times.
//!
//! ```text
//! TOML … %% NAME=value lines … %% --flag=value lines
//! ```
//!
//! Checked: reading twice finds the same; what is accepted prints as a file that reads back to the
//! same configuration, every value of it; what is refused is refused with mistakes of one printable
//! line each, in the order of their layers.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use linmemd::config::{Config, FlagLayer, Loaded, Mistakes, load};

use crate::planted;

/// Between the layers of an input.
pub(crate) const LAYER: &str = "%%";

/// In RAM, where there is such a place.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let shm = PathBuf::from("/dev/shm");
    let folder = if shm.is_dir() { shm } else { std::env::temp_dir() };
    folder.join(format!("linmemd-fuzz-{}.toml", std::process::id()))
});

pub(super) fn run(input: &[u8]) {
    let mut layers = split(input).into_iter();
    let mut next = || layers.next().unwrap_or_default();
    let (file, environment, flags) = (next(), variables(next()), flags(next()));
    fs::write(&*FILE, file).expect("a file in RAM");
    let read = || load(Some(FILE.as_path()), environment.clone(), &flags);
    let found = read();
    assert_eq!(found, read(), "read twice");
    fs::remove_file(&*FILE).expect("it is there");
    match found {
        Ok(loaded) => accepted(&loaded),
        Err(mistakes) => refused(&mistakes),
    }
}

fn split(input: &[u8]) -> Vec<&[u8]> {
    let (mut layers, mut begin) = (Vec::new(), 0);
    for at in 0..input.len().saturating_sub(LAYER.len() - 1) {
        if &input[at..at + LAYER.len()] == LAYER.as_bytes() && at >= begin {
            layers.push(&input[begin..at]);
            begin = at + LAYER.len();
        }
    }
    layers.push(&input[begin..]);
    layers
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((&line[..at], &line[at + 1..]))
    })
}

fn variables(text: &[u8]) -> Vec<(OsString, OsString)> {
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    // As the environment has them: each name once.
    let mut found: Vec<(OsString, OsString)> = Vec::new();
    for (name, value) in pairs(text) {
        if !found.iter().any(|(known, _)| *known == owned(name)) {
            found.push((owned(name), owned(value)));
        }
    }
    found
}

fn flags(text: &[u8]) -> FlagLayer {
    let mut flags = FlagLayer::default();
    for (name, value) in pairs(text) {
        let value = Some(String::from_utf8_lossy(value).into_owned());
        match name {
            b"--listen" => flags.listen = value,
            b"--metrics-listen" => flags.metrics_listen = value,
            b"--unix-socket" => flags.unix_socket = value,
            _ => {}
        }
    }
    flags
}

fn accepted(loaded: &Loaded) {
    let mut text = loaded.print();
    let odd = loaded.config.pool.inline_bytes % 2 == 1;
    if planted::here(odd) {
        text = text.replace("inline_bytes", "slice_bytes");
    }
    let again = Config::from_toml(&text);
    assert_eq!(again.as_ref(), Ok(&loaded.config), "{text}");
    for entry in loaded.entries() {
        assert!(entry.value.is_some() || !entry.absent.is_empty(), "{entry:?} says nothing");
        assert_eq!(*loaded.origins.of(&entry.key), entry.origin);
    }
}

fn refused(mistakes: &Mistakes) {
    let found: Vec<_> = mistakes.iter().collect();
    assert!(!found.is_empty(), "refused for nothing");
    assert!(found.is_sorted_by(|one, other| one.origin <= other.origin));
    for mistake in &found {
        let line = mistake.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    assert_eq!(mistakes.to_string().lines().count(), found.len());
}
