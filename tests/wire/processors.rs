//! On which processors the serving threads of a daemon run that is told of no nodes.

use std::collections::BTreeSet;
use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::process::Process;

/// The processors that who has this status may run on, as the kernel lists them.
fn allowed(status: &str) -> String {
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

fn of_serving_threads(daemon: &Process) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
    let of_each = threads.filter_map(|thread| {
        let file = |name: &str| thread.path().join(name);
        let name = fs::read_to_string(file("comm")).ok()?;
        name.starts_with("serving-").then(|| allowed(file("status").to_str().unwrap()))
    });
    of_each.collect()
}

#[expect(clippy::print_stdout, reason = "a check that is left out says so in one line")]
fn left_out(why: &str) {
    println!("left out: {why}");
}

#[test]
fn serving_threads_that_nobody_counts_have_a_processor_each() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let own = sched_getaffinity(Pid::from_raw(0)).unwrap();
    if (0..CpuSet::count()).filter(|processor| own.is_set(*processor).unwrap()).count() != cores {
        left_out("a quota of this control group is less than its processors");
        return;
    }
    let daemon = Process::start("", &[]);
    let threads = of_serving_threads(&daemon);
    assert_eq!(threads.len(), cores);
    let processors: BTreeSet<&String> = threads.iter().collect();
    assert_eq!(processors.len(), cores, "{threads:?}");
    assert!(threads.iter().all(|one| one.parse::<u32>().is_ok()), "{threads:?}");
}

#[test]
fn one_that_may_use_one_processor_has_one_serving_thread() {
    let first = allowed("/proc/self/status").split(['-', ',']).next().unwrap().to_owned();
    let daemon = Process::start(&format!("taskset -p -c {first} $$ > /dev/null;"), &[]);
    assert_eq!(of_serving_threads(&daemon), [first]);
}

#[test]
fn serving_threads_that_are_counted_run_wherever_the_kernel_puts_them() {
    let daemon = Process::start("", &[("LINMEMD_GRPC__RUNTIMES", "3")]);
    let all = allowed("/proc/self/status");
    assert_eq!(of_serving_threads(&daemon), [all.clone(), all.clone(), all]);
}
