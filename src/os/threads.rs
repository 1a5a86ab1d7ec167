//! What a thread asks of the scheduler.
//!
//! Law: it is asked for the calling thread alone, by itself. Does not start threads and does not
//! know what they do.

use crate::os::OsError;
use crate::os::kernel::Kernel;

/// Makes the calling thread this nice: up to 19, and then it runs when little else wants to.
///
/// # Errors
/// EACCES where the process may not be less nice than it is.
pub fn set_nice(kernel: &dyn Kernel, nice: i32) -> Result<(), OsError> {
    kernel.set_thread_nice(nice).map_err(|errno| OsError { call: "setpriority", errno, bytes: 0 })
}

/// Keeps the calling thread on these processors.
///
/// # Errors
/// EINVAL where the process may use none of them (its cpuset).
pub fn run_on(kernel: &dyn Kernel, processors: &[u32]) -> Result<(), OsError> {
    let kept = kernel.set_thread_processors(processors);
    kept.map_err(|errno| OsError { call: "sched_setaffinity", errno, bytes: 0 })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::os::failing::FailingKernel;
    use crate::os::kernel::{Call, Linux};

    /// Field 19 of `/proc/thread-self/stat`, counted after the name, which may have spaces.
    fn nice() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_becomes_nice_alone() {
        let before = nice();
        let wanted = (before + 3).min(19);
        let became = std::thread::spawn(move || {
            set_nice(&Linux, wanted).unwrap();
            nice()
        });
        assert_eq!(became.join().unwrap(), wanted);
        assert_eq!(nice(), before);
    }

    #[test]
    fn a_thread_keeps_to_its_processors_alone() {
        let allowed = || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            line.unwrap().trim().to_owned()
        };
        let before = allowed();
        let first: u32 = before.split(['-', ',']).next().unwrap().parse().unwrap();
        let became = std::thread::spawn(move || {
            run_on(&Linux, &[first]).unwrap();
            allowed()
        });
        assert_eq!(became.join().unwrap(), first.to_string());
        assert_eq!(allowed(), before);
        assert_eq!(run_on(&Linux, &[1 << 20]).unwrap_err().errno, libc::EINVAL);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let kernel = FailingKernel::new();
        kernel.fail_call(Call::SetThreadNice, libc::EACCES, 1);
        assert_eq!(
            set_nice(&kernel, -5).unwrap_err().to_string(),
            "setpriority: Permission denied (os error 13)"
        );
    }
}
