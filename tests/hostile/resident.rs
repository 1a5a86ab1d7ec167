//! What the kernel says of the daemon's memory and processor time.
//!
//! Owns: the parsing of `/proc/PID/status` and `stat`, and the thread that looks at the peak. Law: asks
//! the kernel only, for the daemon's own word is what is under test.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Resident KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Processor time used so far, in clock ticks (a hundredth of a second).
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the daemon lives");
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum()
}

/// The most that was resident while this lived.
pub(crate) struct Peak {
    over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    looks: Option<JoinHandle<()>>,
}

impl Peak {
    pub(crate) fn of(pid: u32) -> Self {
        let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let looks = thread::spawn({
            let (over, most) = (Arc::clone(&over), Arc::clone(&most));
            move || {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(resident(pid), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self { over, most, looks: Some(looks) }
    }

    pub(crate) fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        let looked = self.looks.take().map(JoinHandle::join);
        assert!(matches!(looked, Some(Ok(()))), "the daemon has died");
        self.most.load(Ordering::Relaxed)
    }
}
