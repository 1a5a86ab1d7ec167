//! Pressure as a test's files tell it, of both versions of control groups, and as this host does.

use super::*;
use crate::os::failing::FailingKernel;
use crate::os::kernel::{Call, Linux};

const MIB: u64 = 1 << 20;
const V2: &str = "31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
const TWO: &str = "/sys/fs/cgroup/a/b";
const ONE: &str = "/sys/fs/cgroup/memory/a";

/// A machine with 1 GiB, half of it used, and such files beside.
struct Host {
    kernel: Arc<FailingKernel>,
    files: Vec<(String, String)>,
    begun: Instant,
    bell: (std::io::PipeReader, std::io::PipeWriter),
}

impl Host {
    fn new(cgroup: &str, mountinfo: &str) -> Self {
        let host = Self {
            kernel: Arc::new(FailingKernel::new()),
            files: Vec::new(),
            begun: Instant::now(),
            bell: std::io::pipe().unwrap(),
        };
        host.with("/proc/self/cgroup", cgroup)
            .with("/proc/self/mountinfo", mountinfo)
            .with(MEMINFO, "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n")
    }

    fn with(mut self, path: impl AsRef<str>, text: impl ToString) -> Self {
        self.set(path, text);
        self
    }

    fn set(&mut self, path: impl AsRef<str>, text: impl ToString) {
        self.files.retain(|(there, _)| there != path.as_ref());
        self.files.push((path.as_ref().to_owned(), text.to_string()));
        self.kernel.replace_files(self.files.clone());
    }

    fn watch(&self) -> Pressure {
        let kernel = Arc::<FailingKernel>::clone(&self.kernel);
        let mut pressure = Pressure::watch(kernel, 900, self.begun);
        pressure.begin(self.bell.0.as_fd(), self.begun);
        pressure
    }

    fn look(&self, pressure: &mut Pressure, after_ms: u64) -> (Option<Sign>, u64, u64) {
        let look = pressure.look(self.begun + Duration::from_millis(after_ms)).unwrap();
        (look.sign, look.over.get(), look.room.get())
    }
}

#[test]
fn use_above_the_share_of_the_own_groups_or_an_ancestors_limit_is_told_by_how_much() {
    let mut host = Host::new("0::/a/b\n", V2)
        .with(format!("{TWO}/memory.max"), "max\n")
        .with(format!("{TWO}/memory.current"), 100 * MIB)
        .with("/sys/fs/cgroup/a/memory.max", 200 * MIB)
        .with("/sys/fs/cgroup/a/memory.current", 150 * MIB);
    let mut pressure = host.watch();
    let threshold = 200 * MIB / 1000 * 900;
    assert_eq!(host.look(&mut pressure, 0), (None, 0, threshold - 150 * MIB));
    host.set("/sys/fs/cgroup/a/memory.current", 190 * MIB);
    assert_eq!(host.look(&mut pressure, 1), (Some(Sign::Usage), 190 * MIB - threshold, 0));
    // What the kernel would give up first is no use.
    host.set("/sys/fs/cgroup/a/memory.stat", format!("anon 1\ninactive_file {}\n", 20 * MIB));
    assert_eq!(host.look(&mut pressure, 2), (None, 0, threshold - 170 * MIB));
    // A limit that came later, and one that only slows down, count as well.
    host.set(format!("{TWO}/memory.high"), 100 * MIB);
    let over = 100 * MIB - 100 * MIB / 1000 * 900;
    assert_eq!(host.look(&mut pressure, 3), (Some(Sign::Usage), over, 0));
}

#[test]
fn version_1_is_watched_by_its_own_files() {
    let mut host = Host::new("4:memory:/a\n", V1)
        .with(format!("{ONE}/memory.limit_in_bytes"), 100 * MIB)
        .with(format!("{ONE}/memory.usage_in_bytes"), 50 * MIB)
        .with(format!("{ONE}/memory.failcnt"), 7)
        .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", i64::MAX as u64 - 4095)
        .with("/sys/fs/cgroup/memory/memory.usage_in_bytes", 1000 * MIB);
    let mut pressure = host.watch();
    let threshold = 100 * MIB / 1000 * 900;
    assert_eq!(host.look(&mut pressure, 0), (None, 0, threshold - 50 * MIB));
    host.set(format!("{ONE}/memory.failcnt"), 9);
    assert_eq!(host.look(&mut pressure, 1).0, Some(Sign::Events));
    assert_eq!(host.look(&mut pressure, 2).0, None, "told once");
    host.set(format!("{ONE}/memory.usage_in_bytes"), 95 * MIB);
    assert_eq!(host.look(&mut pressure, 3), (Some(Sign::Usage), 95 * MIB - threshold, 0));
    host.set(format!("{ONE}/memory.stat"), format!("total_inactive_file {}\n", 10 * MIB));
    assert_eq!(host.look(&mut pressure, 4).0, None);
}

#[test]
fn a_machine_without_groups_is_watched_as_a_whole() {
    let mut host = Host::new("", "");
    let mut pressure = host.watch();
    let threshold = (1 << 30) / 1000 * 900;
    assert_eq!(host.look(&mut pressure, 0), (None, 0, threshold - 512 * MIB));
    host.set(MEMINFO, "MemTotal: 1048576 kB\nMemAvailable: 1024 kB\n");
    assert_eq!(host.look(&mut pressure, 1), (Some(Sign::Usage), 1023 * MIB - threshold, 0));
    host.set(MEMINFO, "nonsense\n");
    assert_eq!(
        host.look(&mut pressure, 2),
        (None, 0, u64::MAX),
        "what is not known is no pressure"
    );
}

#[test]
fn events_of_limits_that_were_reached_are_told_once_and_others_never() {
    let events = |high: u64, max: u64, oom: u64| {
        format!("low 3\nhigh {high}\nmax {max}\noom {oom}\noom_kill 0\n")
    };
    let mut host = Host::new("0::/a/b\n", V2)
        .with(format!("{TWO}/memory.current"), MIB)
        .with(format!("{TWO}/memory.events"), events(1, 2, 3))
        .with("/sys/fs/cgroup/a/memory.current", MIB)
        .with("/sys/fs/cgroup/a/memory.events.local", events(0, 0, 0));
    let mut pressure = host.watch();
    assert_eq!(host.look(&mut pressure, 0).0, None, "what was before is not new");
    host.set(format!("{TWO}/memory.events"), events(1, 3, 3));
    assert_eq!(host.look(&mut pressure, 1).0, Some(Sign::Events));
    assert_eq!(host.look(&mut pressure, 2).0, None);
    host.set("/sys/fs/cgroup/a/memory.events.local", events(0, 0, 1));
    assert_eq!(host.look(&mut pressure, 3).0, Some(Sign::Events));
    host.set(format!("{TWO}/memory.events"), events(1, 3, 3).replace("low 3", "low 4"));
    assert_eq!(host.look(&mut pressure, 4).0, None);
    host.set(format!("{TWO}/memory.events"), events(9, 9, 9));
    pressure.begin(host.bell.0.as_fd(), host.begun);
    assert_eq!(host.look(&mut pressure, 5).0, None, "forgotten");
}

#[test]
fn stalls_that_nothing_tells_of_are_found_by_reading_a_window_at_a_time() {
    let stalls =
        |micros: u64| format!("some avg10=0.00 total={micros}\nfull avg10=99.00 total=99000000\n");
    let mut host = Host::new("", "").with(STALLS, stalls(1_000_000));
    let mut pressure = host.watch();
    assert_eq!(pressure.absent().len(), 1, "{:?}", pressure.absent());
    host.set(STALLS, stalls(1_500_000));
    assert_eq!(host.look(&mut pressure, 500).0, None, "no window has passed");
    assert_eq!(host.look(&mut pressure, 1_000).0, Some(Sign::Stalls));
    host.set(STALLS, stalls(1_640_000));
    assert_eq!(host.look(&mut pressure, 2_000).0, None, "14 % of a second");
    host.set(STALLS, stalls(1_940_000));
    assert_eq!(host.look(&mut pressure, 4_000).0, Some(Sign::Stalls), "15 % of two");
    host.set(STALLS, "nonsense\n");
    assert_eq!(host.look(&mut pressure, 5_000).0, None);
}

#[test]
fn the_own_groups_stalls_go_before_the_machines() {
    let host = Host::new("0::/a/b\n", V2)
        .with(STALLS, "some total=0\n")
        .with(format!("{TWO}/memory.pressure"), "some total=0\n");
    let sources = host.watch().sources();
    assert!(sources.contains(&format!("{TWO}/memory.pressure")), "{sources:?}");
    assert!(!sources.contains(&STALLS.to_owned()), "{sources:?}");
}

#[test]
fn this_host_is_watched_and_the_bell_ends_a_wait() {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let now = Instant::now();
    let mut pressure = Pressure::watch(Arc::new(Linux), 1000, now);
    pressure.begin(reader.as_fd(), now);
    assert!(pressure.look(Instant::now()).unwrap().room < ByteCount::new(u64::MAX));
    writer.write_all(b"x").unwrap();
    pressure.wait(reader.as_fd(), Duration::MAX);
}

#[test]
fn who_may_not_be_told_of_stalls_reads_them_and_says_so() {
    let kernel = Arc::new(FailingKernel::new());
    kernel.fail_call(Call::Watch, libc::EPERM, u64::MAX);
    let pressure = Pressure::watch(kernel, 900, Instant::now());
    if pressure.stalls.is_some() {
        let told = pressure.absent().iter().map(Absent::to_string).collect::<String>();
        assert!(told.contains("Operation not permitted"), "{told}");
    }
    assert!(pressure.watched.is_empty());
}

#[test]
fn the_fullest_limit_is_told_by_its_use_less_what_the_kernel_would_give_up_first() {
    let mut host = Host::new("0::/a/b\n", V2)
        .with(format!("{TWO}/memory.max"), 200 * MIB)
        .with(format!("{TWO}/memory.current"), 100 * MIB)
        .with(format!("{TWO}/memory.stat"), format!("inactive_file {}\n", 30 * MIB));
    let mut pressure = host.watch();
    let mut fullest = |host: &Host| {
        let Fullness { used, limit } = pressure.look(host.begun).unwrap().fullest;
        (used.get() / MIB, limit.get() / MIB)
    };
    assert_eq!(fullest(&host), (512, 1024), "the machine's, of which half is used");
    host.set(format!("{TWO}/memory.current"), 150 * MIB);
    assert_eq!(fullest(&host), (120, 200), "below the share, and closely");
    host.set(MEMINFO, "MemTotal: 1048576 kB\nMemAvailable: 104857 kB\n");
    assert_eq!(fullest(&host).1, 1024);
    let full = |used, limit| Fullness { used: ByteCount::new(used), limit: ByteCount::new(limit) };
    assert_eq!(full(950, 1000).millionths(), 950_000);
    assert_eq!(full(u64::MAX, u64::MAX).millionths(), 1_000_000);
    assert_eq!(full(1, 0).millionths(), 0, "what has no limit is not full");
}

#[test]
fn a_limit_that_is_reached_is_told_of_however_much_is_used() {
    let mut host = Host::new("0::/a/b\n", V2)
        .with(format!("{TWO}/memory.max"), 100 * MIB)
        .with(format!("{TWO}/memory.current"), 95 * MIB)
        .with(format!("{TWO}/memory.stat"), "inactive_file 0\n")
        .with(format!("{TWO}/memory.events"), "max 1\n");
    let mut pressure = host.watch();
    let mut look = |host: &Host| {
        let look = pressure.look(host.begun).unwrap();
        (look.sign, look.is_told)
    };
    assert_eq!(look(&host), (Some(Sign::Usage), false));
    host.set(format!("{TWO}/memory.events"), "max 2\n");
    assert_eq!(look(&host), (Some(Sign::Usage), true));
    host.set(format!("{TWO}/memory.current"), MIB);
    host.set(format!("{TWO}/memory.events"), "max 3\n");
    assert_eq!(look(&host), (Some(Sign::Events), true));
    assert_eq!(look(&host), (None, false));
}

#[test]
fn without_descriptors_there_is_no_look_and_what_happens_meanwhile_is_told_by_the_next() {
    let mut host = Host::new("0::/a/b\n", V2)
        .with(format!("{TWO}/memory.max"), 100 * MIB)
        .with(format!("{TWO}/memory.current"), MIB)
        .with(format!("{TWO}/memory.events"), "max 9\n");
    let mut pressure = host.watch();
    assert_eq!(host.look(&mut pressure, 0).0, None);
    for errno in [libc::EMFILE, libc::ENFILE] {
        host.kernel.fail_call(Call::ReadFile, errno, 1);
        assert_eq!(pressure.look(host.begun), None);
    }
    assert_eq!(host.look(&mut pressure, 1).0, None, "what there was is not new");
    host.set(format!("{TWO}/memory.events"), "max 10\n");
    host.kernel.fail_call(Call::ReadFile, libc::EMFILE, 1);
    assert_eq!(pressure.look(host.begun), None);
    assert_eq!(host.look(&mut pressure, 2).0, Some(Sign::Events));
}
