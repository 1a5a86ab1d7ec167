//! The specification's own tests of memories, with linmemd's memories under them.
//!
//! `cargo test --manifest-path conformance/Cargo.toml -- --nocapture` prints, for each file, its
//! assertions and the memories that the creator made for it on each variant, and the sums.

#![expect(clippy::print_stdout, reason = "the table is what one runs this for")]

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use linmemd::os::fault;
use linmemd_conformance::creator::{self, Tally};
use linmemd_conformance::testsuite::{self, File};
use linmemd_conformance::variant::{Room, VARIANTS, Variant};
use wasmtime_wast::{Async, SpectestConfig, WastContext};
use wast::WastDirective;
use wast::parser::{self, ParseBuffer};

/// What one file did on one variant.
struct Outcome {
    file: File,
    created: u64,
    in_slabs: u64,
    /// In words; none where every assertion held.
    failure: Option<String>,
}

#[test]
fn every_official_file_passes_on_every_kind_of_memory() {
    let runs: Vec<(&Variant, Vec<Outcome>)> = thread::scope(|scope| {
        let present = VARIANTS.iter().filter(|variant| match variant.absence() {
            Some(reason) => {
                println!("left out: {}: {reason}", variant.name);
                false
            }
            None => true,
        });
        let run = |variant| testsuite::files().map(|file| outcome(variant, file)).collect();
        let runs: Vec<_> =
            present.map(|variant| (variant, scope.spawn(move || run(variant)))).collect();
        runs.into_iter().map(|(variant, run)| (variant, run.join().expect("no panic"))).collect()
    });
    print(&runs);
    for (variant, file) in VARIANTS.iter().flat_map(|v| testsuite::files().map(move |f| (v, f))) {
        if let Some(reason) = variant.leaves_out(file) {
            println!("left out: {file} on {}: {reason}", variant.name);
        }
    }
    for (variant, outcomes) in &runs {
        let in_slabs = outcomes.iter().any(|outcome| outcome.in_slabs > 0);
        assert_eq!(in_slabs, variant.room == Room::Small, "{}: in slabs", variant.name);
    }
    let failures: Vec<String> = runs
        .iter()
        .flat_map(|(variant, outcomes)| outcomes.iter().map(move |outcome| (variant, outcome)))
        .filter_map(|(variant, Outcome { file, failure, .. })| {
            failure.as_ref().map(|failure| format!("{} on {}: {failure}", file, variant.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn what_is_vendored_is_what_is_listed() {
    let listed: BTreeSet<_> = testsuite::files().map(|file| file.path()).collect();
    let mut found = BTreeSet::new();
    let mut folders = vec![testsuite::root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wast") {
                found.insert(path);
            }
        }
    }
    let missing: Vec<_> = listed.difference(&found).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty() && unlisted.is_empty(), "{missing:?} {unlisted:?}");
    for (file, reason) in testsuite::LEFT_OUT {
        let here = testsuite::files().any(|here| here.to_string() == file);
        assert!(!here && !reason.is_empty(), "{file} is not left out");
    }
}

fn outcome(variant: &'static Variant, file: File) -> Outcome {
    if variant.leaves_out(file).is_some() {
        return Outcome { file, created: 0, in_slabs: 0, failure: None };
    }
    let room = if file.grows_far() { Room::Ample } else { variant.room };
    let (run, tally) = creator::hand_out(variant, room, || {
        let engine = variant.engine(file.modules());
        // After the engine's own handler, as in a process that has both: what is not ours goes on.
        fault::install().map_err(|error| wasmtime::Error::msg(format!("{error:?}")))?;
        let mut context = WastContext::new(engine, Async::No, |_| ());
        // How a module is said to be invalid is the engine's, and its own affair.
        context.ignore_error_messages(true);
        context.register_spectest(&SpectestConfig {
            use_shared_memory: true,
            suppress_prints: true,
        })?;
        context.run_wast(&file.to_string(), file.text().as_bytes())
    });
    let failure = run.err().map(|error| format!("{error:?}")).or_else(|| unfit(file, &tally));
    Outcome { file, created: tally.created(), in_slabs: tally.in_slabs(), failure }
}

/// What is wrong with how many memories were made, or with what became of them.
fn unfit(file: File, tally: &Tally) -> Option<String> {
    match (tally.created(), file.without_memory()) {
        (0, None) => Some("it made no memory of ours, so it tested none".to_owned()),
        (1.., Some(reason)) => Some(format!("it made memories, but is listed as: {reason}")),
        _ if !tally.is_settled() => Some(format!("memories were not given back: {tally:?}")),
        _ => None,
    }
}

fn print(runs: &[(&Variant, Vec<Outcome>)]) {
    print!("{:<40}{:>11}", "file", "assertions");
    for (variant, _) in runs {
        print!("{:>20}", variant.name);
    }
    println!("\n{:<51}{:>20}", "", "memories (in slabs)");
    let mut assertions = 0;
    for (place, file) in testsuite::files().enumerate() {
        let own = assertions_of(file);
        assertions += own;
        print!("{:<40}{own:>11}", file.to_string());
        for (_, outcomes) in runs {
            let Outcome { created, in_slabs, failure, .. } = &outcomes[place];
            let mark = if failure.is_some() { " FAILED" } else { "" };
            print!("{:>20}", format!("{created} ({in_slabs}){mark}"));
        }
        println!();
    }
    let files = testsuite::files().count();
    println!();
    for (variant, outcomes) in runs {
        let passed = outcomes.iter().filter(|outcome| {
            outcome.failure.is_none() && variant.leaves_out(outcome.file).is_none()
        });
        let held: usize = passed.clone().map(|outcome| assertions_of(outcome.file)).sum();
        let created: u64 = outcomes.iter().map(|outcome| outcome.created).sum();
        let in_slabs: u64 = outcomes.iter().map(|outcome| outcome.in_slabs).sum();
        println!(
            "{:<12} {} of {files} files, {held} of {assertions} assertions passed; \
             {created} memories, {in_slabs} in slabs",
            variant.name,
            passed.count(),
        );
    }
}

fn assertions_of(file: File) -> usize {
    let text = file.text();
    let buffer = ParseBuffer::new(&text).expect("tokens");
    let wast = parser::parse::<wast::Wast<'_>>(&buffer).expect("a whole file of tests");
    assertions(&wast.directives)
}

fn assertions(directives: &[WastDirective<'_>]) -> usize {
    let own = |directive: &WastDirective<'_>| match directive {
        WastDirective::Thread(thread) => assertions(&thread.directives),
        WastDirective::Module(_)
        | WastDirective::ModuleDefinition(_)
        | WastDirective::ModuleInstance { .. }
        | WastDirective::Register { .. }
        | WastDirective::Invoke(_)
        | WastDirective::Wait { .. } => 0,
        _ => 1,
    };
    directives.iter().map(own).sum()
}
