//! Runs the half of a test that ends or disturbs its process in a process of its own.
//!
//! Law: the child runs that one test and nothing else, and always ends in a way that no ordinary
//! end of a test binary looks like, so that a misspelt name cannot pass. For tests only.

use std::env;
use std::ffi::OsStr;
use std::process::{self, Command, ExitStatus, Stdio};

use nix::sys::resource::{Resource, setrlimit};

/// The exit code of a child that came to the end of what it was to do.
pub(super) const SURVIVED: i32 = 86;

const MARK: &str = "LINMEMD_TEST_CHILD";
const RUNNER: &str = "LINMEMD_TEST_RUNNER";

/// In the test itself: runs `test` (its whole name) again in a child, and tells how that ended. In
/// the child: does `act`, and ends.
pub(super) fn in_child(test: &str, act: impl FnOnce()) -> ExitStatus {
    if env::var_os(MARK).is_some_and(|name| name == test) {
        act();
        process::exit(SURVIVED);
    }
    // A child that is meant to die by a signal leaves no core behind: limits are inherited.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap();
    // What runs this machine's programs may have to be named: an emulator, and its arguments.
    let runner = env::var(RUNNER).unwrap_or_default();
    let own = env::current_exe().unwrap();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([own.as_os_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}
