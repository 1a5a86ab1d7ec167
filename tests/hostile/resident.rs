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
    ticks_in(&stat)
}

/// The same of those of its threads that were seen running, by their names, the busiest first.
pub(crate) fn ticks_by_thread(pid: u32) -> Vec<(u64, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon lives");
    // One may end while this looks.
    let texts = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let named = texts.filter_map(|stat| {
        let (before, _) = stat.rsplit_once(')')?;
        Some((ticks_in(&stat), before.split_once('(')?.1.to_owned()))
    });
    let mut threads: Vec<_> = named.filter(|(ticks, _)| *ticks > 0).collect();
    threads.sort_unstable_by(|one, other| other.cmp(one));
    threads
}

fn ticks_in(stat: &str) -> u64 {
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
