//! The table of what was run, and of the calls that it took.
//!
//! Law: it is printed whether or not the test runner shows what tests print, for it is what the test is
//! for.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::File;
use crate::calls::Counts;
use crate::script::Outcome;

/// The columns of instructions, and what each counts.
const COLUMNS: [(&str, &[&str]); 9] = [
    ("loads", &["load", "v128.load"]),
    ("stores", &["store", "v128.store"]),
    ("atomics", &["atomic.load", "atomic.store", "atomic.rmw", "atomic.cmpxchg", "atomic.fence"]),
    ("waits", &["atomic.wait", "atomic.notify"]),
    ("sizes", &["memory.size"]),
    ("grows", &["memory.grow"]),
    ("copies", &["memory.copy"]),
    ("fills", &["memory.fill"]),
    ("inits", &["memory.init", "data.drop"]),
];

/// Everything together.
pub(crate) fn sum(done: &[(File, Outcome)]) -> Counts {
    let mut all = Counts::default();
    done.iter().for_each(|(_, outcome)| all.add(&outcome.counts));
    all
}

pub(crate) fn print(done: &[(File, Outcome)]) {
    let text = table(done).expect("text");
    io::stdout().write_all(text.as_bytes()).expect("standard output");
}

fn table(done: &[(File, Outcome)]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    write!(text, "\n{:<34}{:>8}{:>8}", "file", "asserts", "passed")?;
    for (name, _) in COLUMNS {
        write!(text, "{name:>9}")?;
    }
    writeln!(text, "{:>9}", "calls")?;
    let (mut run, mut passed, mut modules, all) = (0, 0, 0, sum(done));
    for (file, outcome) in done {
        line(&mut text, &file.name, (outcome.run, outcome.passed), &outcome.counts)?;
        run += outcome.run;
        passed += outcome.passed;
        modules += outcome.modules;
    }
    line(&mut text, "all", (run, passed), &all)?;
    writeln!(text, "\n{} files, {modules} modules, {run} assertions, {passed} passed", done.len())?;
    for (file, _) in done {
        if let Some(reason) = file.without_assertion() {
            writeln!(text, "{} asserts nothing: it {reason}", file.name)?;
        }
    }
    writeln!(
        text,
        "instructions, each an operation of the daemon's:{}",
        listed(&all.instructions)
    )?;
    writeln!(text, "calls:{}", listed(&all.calls))?;
    writeln!(text, "loads asked for ahead and not reached: {}\n", all.unused)?;
    Ok(text)
}

fn line(
    text: &mut String,
    name: &str,
    (run, passed): (usize, usize),
    counts: &Counts,
) -> std::fmt::Result {
    let mark = if run == passed { "" } else { " FAILED" };
    write!(text, "{name:<34}{run:>8}{passed:>8}")?;
    for (_, kinds) in COLUMNS {
        write!(text, "{:>9}", counts.of(kinds))?;
    }
    writeln!(text, "{:>9}{mark}", counts.all_calls())
}

fn listed(counts: &std::collections::BTreeMap<&'static str, u64>) -> String {
    counts
        .iter()
        .map(|(name, count)| format!(" {name} {count},"))
        .collect::<String>()
        .trim_end_matches(',')
        .to_owned()
}
