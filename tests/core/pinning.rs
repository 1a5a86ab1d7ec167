//! On which processors the daemon's threads run: those of the nodes that the config names.

use std::fs;
use std::sync::Arc;

use linmemd::config::Config;
use linmemd::daemon::{Daemon, StartError};
use linmemd::os::failing::FailingKernel;
use linmemd::os::kernel::{Call, Kernel};

const NODES: &str = "/sys/devices/system/node";

/// Two serving and two pool threads, on these nodes.
fn config(serving: &[u32], pool: &[u32]) -> Config {
    let mut config = Config::default();
    config.grpc.listen = "127.0.0.1:0".parse().unwrap();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.memory.host_budget = Some(1 << 30);
    (config.grpc.runtimes, config.pool.threads) = (Some(2), Some(2));
    (config.grpc.numa_nodes, config.pool.numa_nodes) = (serving.to_vec(), pool.to_vec());
    config
}

/// A host of two nodes, a processor on each, and one without.
fn two_nodes() -> Arc<FailingKernel> {
    let kernel = FailingKernel::new();
    let node = |node: u32, list: &str| (format!("{NODES}/node{node}/cpulist"), format!("{list}\n"));
    kernel.replace_files([node(0, "0"), node(1, "1"), node(2, "")]);
    Arc::new(kernel)
}

/// Whether a thread of this name has these processors alone. Other tests' daemons have threads of
/// the same names: the pool's on no processor alone, serving ones on that of their own number.
fn runs_on(name: &str, processors: &str) -> bool {
    fs::read_dir("/proc/self/task").unwrap().flatten().any(|thread| {
        let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let status = read("status");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        read("comm").trim() == name && allowed.is_some_and(|list| list.trim() == processors)
    })
}

#[expect(clippy::print_stdout, reason = "a check that is left out says so in one line")]
fn left_out(why: &str) {
    println!("left out: {why}");
}

#[test]
fn threads_run_on_the_processors_of_the_nodes_that_the_config_names_in_turn() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        left_out("this machine has one processor");
        return;
    }
    let kernel: Arc<dyn Kernel> = two_nodes();
    let _daemon = Daemon::start(&config(&[1, 0], &[1]), kernel).unwrap();
    for (name, processors) in
        [("serving-0", "1"), ("serving-1", "0"), ("pool-0", "1"), ("pool-1", "1")]
    {
        // The thread says so itself, once it runs.
        while !runs_on(name, processors) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_node_without_processors_ends_the_start_and_is_named() {
    for (serving, pool, key) in
        [(&[0, 7][..], &[][..], "grpc.numa_nodes"), (&[], &[2], "pool.numa_nodes")]
    {
        let refused = Daemon::start(&config(serving, pool), two_nodes()).err().unwrap();
        let told = refused.to_string();
        let StartError::NoProcessors { node, .. } = refused else { panic!("{told}") };
        assert!([2, 7].contains(&node) && told.contains(key) && told.contains("cpuset"), "{told}");
    }
}

#[test]
fn a_thread_that_cannot_be_kept_there_serves_all_the_same() {
    let kernel = two_nodes();
    kernel.fail_call(Call::SetThreadProcessors, 22, 4);
    drop(Daemon::start(&config(&[0], &[0]), kernel).unwrap());
}
