//! The official tests of WebAssembly's memories, with every memory instruction a call on a running daemon.
//!
//! An interpreter of locals, control flow, calls and arithmetic, in tests only: the product runs no
//! code. Its memories are the daemon's, reached through the product's own client; what an instruction
//! answers, and whether it traps, is the daemon's to say. The files are those of
//! `conformance/testsuite`, every one that is there, whole.
//!
//! ```text
//! main   files, table      module    a module, read             machine   control, locals, calls
//! script directives        access    an instruction, read       memories  memory instructions
//! daemon the process       store     instances                  tables, numeric, lanes: the others
//! calls  the client        link      imports, spectest          ahead     loads asked for ahead
//! ```
//!
//! Law: nothing is left out in silence: a directive, an instruction or an import that is not known
//! fails, and so does a file that asserts nothing and is not listed for it.

mod access;
mod ahead;
mod calls;
mod daemon;
mod lanes;
mod link;
mod machine;
mod memories;
mod module;
mod numeric;
mod report;
mod script;
#[path = "../serving/mod.rs"]
mod serving;
mod store;
mod tables;
mod value;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use linmemd::client::Endpoint;
use wasmparser::WasmFeatures;

use crate::daemon::Process;
use crate::script::Outcome;

/// Files without an assertion, each with its reason. Their modules are made instances of.
const WITHOUT_ASSERTION: [(&str, &str); 3] = [
    ("multi-memory/data0", "has modules with data segments only, which must be instances"),
    ("multi-memory/exports0", "has modules that export memories only, which must be instances"),
    ("simd/simd_memory-multi", "has one module only, which must be valid"),
];

/// Files that hold a second memory of a module to be an error: they are older than that proposal.
const ONE_MEMORY: [&str; 3] = ["core/imports", "threads/exports", "threads/memory"];

/// Modules that a file's assertions are about and that it does not have: they import a table and a memory
/// of 32 bits under names that nothing has registered, and hold it to be of the wrong type.
const MISSING: (&str, &str) = (
    "memory64/memory64-imports",
    "(module (table (export \"table-10-inf\") 10 funcref)) (register \"test-table-10-inf\") \
     (module (table (export \"table-10-20\") 10 20 funcref)) (register \"test-table-10-20\") \
     (module (memory (export \"memory-2-inf\") 2)) (register \"test-memory-2-inf\") \
     (module (memory (export \"memory-2-4\") 2 4)) (register \"test-memory-2-4\") ",
);

/// Files at work at a time: as many as there are ends of a call.
const AT_A_TIME: usize = 2;

/// A file of tests.
#[derive(Clone, Debug)]
struct File {
    /// Its folder and name, without its ending.
    name: String,
    text: String,
}

impl File {
    fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).expect("below the root").with_extension("");
        let name = name.display().to_string();
        let mut text = fs::read_to_string(path).expect("a file of tests");
        if name == MISSING.0 {
            text.insert_str(0, MISSING.1);
        }
        // The threads proposal's last modules import a memory under a name that only their threads
        // have registered; here a registration is a thread's own, so it is said once more for them.
        let text = text.replace("\n(module $Check", "\n(register \"mem\" $Mem)\n(module $Check");
        Self { name, text }
    }

    fn features(&self) -> WasmFeatures {
        let mut features = WasmFeatures::default();
        features.set(WasmFeatures::MULTI_MEMORY, !ONE_MEMORY.contains(&self.name.as_str()));
        features
    }

    fn without_assertion(&self) -> Option<&'static str> {
        WITHOUT_ASSERTION.iter().find(|(name, _)| *name == self.name).map(|(_, reason)| *reason)
    }

    /// What is wrong with what came of it.
    fn wrong(&self, outcome: &Outcome) -> Vec<String> {
        let mut wrong: Vec<String> =
            outcome.failures.iter().map(|failure| format!("{}, {failure}", self.name)).collect();
        match (outcome.run, self.without_assertion()) {
            (0, None) => wrong.push(format!("{}: it asserts nothing", self.name)),
            (1.., Some(_)) => wrong.push(format!("{}: it asserts something", self.name)),
            _ => {}
        }
        if outcome.counts.calls.is_empty() {
            wrong.push(format!("{}: it called nobody", self.name));
        }
        wrong
    }
}

/// Every file that is there.
fn files() -> Vec<File> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/testsuite");
    let (mut folders, mut found) = (vec![root.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wast") {
                found.insert(path);
            }
        }
    }
    found.iter().map(|path| File::read(&root, path)).collect()
}

/// Runs them side by side, the longest first.
fn run(endpoint: &Endpoint, files: &[File]) -> Vec<(File, Outcome)> {
    let mut waiting = files.to_vec();
    waiting.sort_by_key(|file| file.text.len());
    let waiting = Arc::new(Mutex::new(waiting));
    let workers: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let (waiting, endpoint) = (Arc::clone(&waiting), endpoint.clone());
            script::spawn(move || {
                let mut done = Vec::new();
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some(file) = next() {
                    let outcome = script::run(&endpoint, file.text.clone(), file.features());
                    done.push((file, outcome));
                }
                done
            })
        })
        .collect();
    let done = workers.into_iter().flat_map(|worker| worker.join().expect("no panic"));
    let mut done: Vec<_> = done.collect();
    done.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    done
}

#[test]
fn every_official_assertion_holds_where_memory_instructions_are_calls_on_a_daemon() {
    let process = Process::start();
    let files = files();
    let done = run(&process.endpoint(), &files);
    report::print(&done);
    // What the client saw carried out is what the daemon counted, kind for kind.
    for (kind, count) in report::sum(&done).carried_out {
        assert_eq!(process.accesses(kind), count, "{kind}");
    }
    process.stop();
    assert_eq!(done.len(), files.len());
    for (name, _) in WITHOUT_ASSERTION {
        assert!(files.iter().any(|file| file.name == name), "{name} is not there");
    }
    let wrong: Vec<String> = done.iter().flat_map(|(file, outcome)| file.wrong(outcome)).collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
