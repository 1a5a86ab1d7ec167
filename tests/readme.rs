//! The README's tour and the daemon's greeting, run as they stand against a real daemon.
//!
//! Owns: fenced blocks marked `sh tour`, the lines that `linmemd` suggests, and the metric names
//! that the README mentions. Law: what a newcomer is told to type works, and ends with 0. Does not
//! run blocks that need more than Rust and a shell.

mod serving;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use crate::serving::Serving;

const README: &str = include_str!("../README.md");
const MAIN: &str = include_str!("../src/main.rs");
const STATUS: &str = include_str!("../src/rpc/status.rs");
const LINMEMCTL: &str = env!("CARGO_BIN_EXE_linmemctl");

/// A daemon, and a shell beside it.
struct Daemon(Serving);

impl Daemon {
    fn start() -> Self {
        Self(Serving::start(Command::new(env!("CARGO_BIN_EXE_linmemd"))))
    }

    /// Runs a script as a newcomer's shell does, in the checkout.
    fn shell(&self, script: &str) -> Output {
        let folder = Path::new(LINMEMCTL).parent().expect("a folder");
        let mut path = OsString::from(folder);
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        Command::new("sh")
            .args(["-eu", "-c", script])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", path)
            .env("LINMEMCTL_ENDPOINT", format!("http://{}", self.0.grpc))
            .env("XDG_CONFIG_HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()
            .expect("a shell")
    }
}

fn succeeds(output: &Output, script: &str) -> String {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// The bodies of fenced blocks with this mark.
fn blocks<'a>(mark: &str) -> Vec<&'a str> {
    let opening = format!("```{mark}\n");
    let rest = README.split(opening.as_str()).skip(1);
    rest.map(|block| block.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn the_tour_works_as_it_is_printed() {
    let daemon = Daemon::start();
    let blocks = blocks("sh tour");
    assert!(blocks.len() >= 5, "{blocks:?}");
    let mut said = String::new();
    for block in blocks {
        // Line by line, so that a failure names its line.
        for line in block.lines() {
            said.push_str(&succeeds(&daemon.shell(line), line));
        }
    }
    assert!(said.contains("68656c6c6f2c206d656d6f7279"), "{said}");
    assert!(!said.contains("18446744073709551615"), "a limit that is none is a word:\n{said}");
    let left = succeeds(&daemon.shell("linmemctl ls --quiet"), "ls");
    assert_eq!(left, "", "the tour leaves nothing behind");
    daemon.0.stop();
}

#[test]
fn the_dump_that_the_readme_shows_is_the_one_that_is_printed() {
    let daemon = Daemon::start();
    let script = "linmemctl create demo 1 && linmemctl write demo 0 --text 'hello, memory'";
    succeeds(&daemon.shell(script), script);
    let dump = succeeds(&daemon.shell("linmemctl dump demo 0 64"), "dump");
    assert_eq!(blocks("text"), [dump]);
    daemon.0.stop();
}

#[test]
fn every_metric_that_the_readme_names_is_on_the_page() {
    let daemon = Daemon::start();
    succeeds(&daemon.shell("linmemctl create m 1"), "create");
    let page = daemon.0.scrape();
    let named = README.split('`').filter(|word| word.starts_with("linmemd_"));
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is not in\n{page}");
    }
    daemon.0.stop();
}

#[test]
fn the_table_of_failures_is_the_one_that_the_daemon_answers_by() {
    // As `("OUT_OF_BOUNDS", Code::OutOfRange, AfterChange)` in the one map there is.
    let mut mapped: Vec<(String, String, String)> = Vec::new();
    for entry in STATUS.split("(\"").skip(1) {
        let Some((reason, rest)) = entry.split_once("\", Code::") else { continue };
        let Some((code, rest)) = rest.split_once(", ") else { continue };
        let retry = rest.split([')', ',']).next().unwrap_or_default();
        mapped.push((reason.to_owned(), shouted(code), shouted(retry)));
    }
    let mut told: Vec<(String, String, String)> = Vec::new();
    let (_, table) = README.split_once("| reason ").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [reasons, code, retry] = cells[..] else { panic!("{row}") };
        let retry = retry.split(',').next().unwrap_or_default();
        let rows = reasons.split(", ").filter(|reason| *reason != "reason");
        told.extend(rows.map(|reason| (reason.to_owned(), code.to_owned(), retry.to_owned())));
    }
    mapped.sort();
    // One reason may be of several failures.
    mapped.dedup();
    told.sort();
    assert!(mapped.len() > 20, "{mapped:?}");
    assert_eq!(told, mapped);
}

/// `AfterChange` as `AFTER_CHANGE`.
fn shouted(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

#[test]
fn the_first_screen_says_what_ends_with_the_process() {
    let screen: String = README.lines().take(24).collect::<Vec<_>>().join("\n");
    for needed in ["live in RAM and end with the process", "cargo run --release", "cargo test"] {
        assert!(screen.contains(needed), "{needed}");
    }
}

#[test]
fn the_commands_that_the_greeting_suggests_work() {
    let daemon = Daemon::start();
    let lines: Vec<&str> = MAIN
        .lines()
        .filter_map(|line| line.split_once("{run} {endpoint}"))
        .map(|(_, c)| c)
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        let command = line.split("\\n").next().unwrap_or_default();
        succeeds(&daemon.shell(&format!("linmemctl {command}")), command);
    }
    daemon.0.stop();
}
