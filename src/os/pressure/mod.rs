//! [`Pressure`]: whether this process is about to run out of memory, and how soon it could be.
//!
//! ```text
//! use      of every control group with a limit, and of the machine: how far below a share of it
//! events   memory.events (version 2: high, max, oom), memory.failcnt (version 1): more than before
//! stalls   pressure stall information: 15 % of a second in which some task waited for memory
//! ```
//!
//! Law: what can tell by itself only shortens the wait; each look reads what there is, so that a host
//! where nothing tells is looked at as well, and a test's files are enough. What cannot be read is
//! noted at the start, and never guessed; without a descriptor to read with there is no look. Pages of files that the kernel would give up first are not
//! counted as used. Frees nothing. The time of a look comes in as an argument.

use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::os::facts::{Absent, Facts, amount, number};
use crate::os::kernel::Kernel;
use crate::os::limits::{self, ControlGroup, Version};
use crate::units::ByteCount;

const MEMINFO: &str = "/proc/meminfo";
const STALLS: &str = "/proc/pressure/memory";
/// So much of a window, in the kernel's words (Documentation/accounting/psi.rst) and in ours.
const TRIGGER: &str = "some 150000 1000000";
/// The same for who is not root and must ask for windows of two seconds.
const TRIGGER_FOR_ALL: &str = "some 300000 2000000";
const WINDOW: Duration = Duration::from_secs(1);
const STALLED_PERCENT: u128 = 15;
/// Nothing that is in order tells of stalls twice within this.
const TOO_SOON: Duration = Duration::from_millis(500);

/// What told of pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// More is used than the share of a limit.
    Usage,
    /// A limit was reached.
    Events,
    /// Tasks wait for memory.
    Stalls,
}

impl Sign {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Usage, Self::Events, Self::Stalls];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Events => "cgroup_events",
            Self::Stalls => "stalls",
        }
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What told of pressure, if anything did: use first.
    pub sign: Option<Sign>,
    /// Whether events or stalls told of it, whatever is used.
    pub is_told: bool,
    /// How much more is used than should be.
    pub over: ByteCount,
    /// How much more can be used before it is too much.
    pub room: ByteCount,
    /// Of the limit that is nearest, if there is one.
    pub fullest: Fullness,
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fullness {
    /// So much.
    pub used: ByteCount,
    /// Of so much.
    pub limit: ByteCount,
}

impl Fullness {
    /// The share that is used, in millionths.
    #[must_use]
    pub fn millionths(self) -> u64 {
        let millionths = u128::from(self.used.get()).saturating_mul(1_000_000);
        let share = millionths.checked_div(self.limit.get().into()).unwrap_or(0);
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

/// Watches for pressure.
pub struct Pressure {
    kernel: Arc<dyn Kernel>,
    per_mille: u64,
    groups: Vec<Group>,
    stalls: Option<PathBuf>,
    watched: Vec<Watched>,
    absent: Vec<Absent>,
    /// The sum of all events at the last look.
    events: u64,
    /// The stalls at the beginning of a window.
    stalled: (Instant, u64),
    /// When stalls were told of last, and whether that has been seen.
    told: Option<(Instant, bool)>,
    /// Whether there was no descriptor to read a file with.
    blind: Cell<bool>,
}

#[derive(Debug)]
struct Watched {
    sign: Sign,
    file: OwnedFd,
}

/// The files of a group.
#[derive(Debug)]
struct Group {
    limits: Vec<PathBuf>,
    used: PathBuf,
    stat: PathBuf,
    /// The line of `stat` with what the kernel would give up first.
    idle: &'static str,
    events: PathBuf,
    /// Whether that file can tell by itself. Those of version 1 are read.
    tells: bool,
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Group {
    fn of(group: &ControlGroup, nearest: bool) -> Self {
        let file = |name: &str| group.directory.join(name);
        match group.version {
            Version::One => Self {
                limits: vec![file("memory.limit_in_bytes")],
                used: file("memory.usage_in_bytes"),
                stat: file("memory.stat"),
                idle: "total_inactive_file",
                events: file("memory.failcnt"),
                tells: false,
            },
            Version::Two => Self {
                limits: vec![file("memory.max"), file("memory.high")],
                used: file("memory.current"),
                stat: file("memory.stat"),
                idle: "inactive_file",
                // An ancestor's other file counts what happened to its other children.
                events: file(if nearest { "memory.events" } else { "memory.events.local" }),
                tells: true,
            },
        }
    }
}

impl Pressure {
    /// Watches what this host lets be watched, for use above so many thousandths of a limit.
    #[must_use]
    pub fn watch(kernel: Arc<dyn Kernel>, per_mille: u64, now: Instant) -> Self {
        let mut facts = Facts::of(&*kernel);
        // Where these cannot be read, the limits on this process say so (`limits.rs`).
        let text = |path: &str| kernel.read_file(Path::new(path)).unwrap_or_default();
        let (cgroup, mountinfo) = (text("/proc/self/cgroup"), text("/proc/self/mountinfo"));
        let all = limits::control_groups(&cgroup, &mountinfo);
        let mut groups = Vec::new();
        for (at, group) in all.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| all.get(before));
            let nearest = before.is_none_or(|before| before.version != group.version);
            let group = Group::of(group, nearest);
            // A tree without the controller, and the root of one, have no such file.
            if facts.text_if_there(&group.used).is_some() {
                groups.push(group);
            }
        }
        let own = all.iter().find(|group| group.version == Version::Two);
        let own = own.map(|group| group.directory.join("memory.pressure"));
        let stalls = own.filter(|file| facts.text_if_there(file).is_some());
        let stalls = stalls.or_else(|| facts.text(STALLS).map(|_text| STALLS.into()));
        let absent = facts.into_absent();
        let mut pressure = Self {
            kernel,
            per_mille,
            groups,
            stalls,
            watched: Vec::new(),
            absent,
            events: 0,
            stalled: (now, 0),
            told: None,
            blind: Cell::new(false),
        };
        pressure.ask_to_be_told();
        pressure
    }

    fn ask_to_be_told(&mut self) {
        if let Some(stalls) = &self.stalls {
            let watch = |trigger| self.kernel.watch(stalls, Some(trigger));
            match watch(TRIGGER).or_else(|_errno| watch(TRIGGER_FOR_ALL)) {
                Ok(file) => self.watched.push(Watched { sign: Sign::Stalls, file }),
                Err(errno) => self.absent.push(read_instead(stalls, errno)),
            }
        }
        for group in self.groups.iter().filter(|group| group.tells) {
            match self.kernel.watch(&group.events, None) {
                Ok(file) => self.watched.push(Watched { sign: Sign::Events, file }),
                Err(libc::ENOENT) => {}
                Err(errno) => self.absent.push(read_instead(&group.events, errno)),
            }
        }
    }

    /// From how many thousandths of a limit on use is too much.
    #[must_use]
    pub const fn per_mille(&self) -> u64 {
        self.per_mille
    }

    /// What is watched, for people.
    #[must_use]
    pub fn sources(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| group.used.display().to_string());
        let stalls = self.stalls.iter().map(|stalls| stalls.display().to_string());
        groups.chain([format!("MemAvailable of {MEMINFO}")]).chain(stalls).collect()
    }

    /// What cannot be watched, or has to be read again and again.
    #[must_use]
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Forgets what happened before now. To be called before the first look.
    pub fn begin(&mut self, bell: BorrowedFd<'_>, now: Instant) {
        self.told = None;
        self.wait(bell, Duration::ZERO);
        self.events = self.count_events();
        self.stalled = (now, self.stalled_micros());
        self.told = None;
    }

    /// Looks; none without the descriptors for it, and what happens meanwhile is told by the next one.
    pub fn look(&mut self, now: Instant) -> Option<Look> {
        self.blind.set(false);
        let before = (self.events, self.stalled, self.told);
        let look = Some(self.seen(now)).filter(|_| !self.blind.get());
        if look.is_none() {
            (self.events, self.stalled, self.told) = before;
        }
        look
    }

    fn seen(&mut self, now: Instant) -> Look {
        let (fullest, over, room) = self.distance();
        let events = self.count_events();
        let more_events = events > std::mem::replace(&mut self.events, events);
        let stalls = self.has_stalled(now);
        let sign = if over > ByteCount::ZERO {
            Some(Sign::Usage)
        } else if more_events {
            Some(Sign::Events)
        } else {
            stalls.then_some(Sign::Stalls)
        };
        Look { sign, is_told: more_events || stalls, over, room, fullest }
    }

    /// Waits until something tells of pressure, `bell` can be read, or the time is over.
    pub fn wait(&mut self, bell: BorrowedFd<'_>, at_most: Duration) {
        let watched: Vec<BorrowedFd<'_>> =
            self.watched.iter().map(|watched| watched.file.as_fd()).collect();
        let Ok(told) = self.kernel.wait(&watched, bell, Some(at_most)) else {
            // Interrupted, or no memory for it: looked at again soon.
            std::thread::sleep(at_most.min(Duration::from_millis(10)));
            return;
        };
        let (mut told, now) = (told.into_iter(), Instant::now());
        let (kernel, before) = (&self.kernel, self.told);
        let mut stalls = false;
        self.watched.retain(|watched| match (told.next(), watched.sign) {
            (Some(true), Sign::Stalls) => {
                stalls = true;
                before.is_none_or(|(at, _)| now.saturating_duration_since(at) >= TOO_SOON)
            }
            (Some(true), _) => kernel.reread(&watched.file).is_ok(),
            _ => true,
        });
        if stalls {
            self.told = Some((now, false));
        }
    }

    /// The limit of which most is used, how far some limit's use is above the share, and how far below
    /// the nearest.
    fn distance(&self) -> (Fullness, ByteCount, ByteCount) {
        let groups = self.groups.iter().filter_map(|group| self.group(group));
        let (mut fullest, mut most_over, mut room) = (Fullness::default(), 0_u64, u64::MAX);
        for full in groups.chain(self.machine()) {
            let (used, threshold) = (full.used.get(), self.part(full.limit.get()));
            most_over = most_over.max(used.saturating_sub(threshold));
            room = room.min(threshold.saturating_sub(used));
            if full.millionths() >= fullest.millionths() {
                fullest = full;
            }
        }
        (fullest, ByteCount::new(most_over), ByteCount::new(room))
    }

    /// What is used of a group with a limit; from half of the share on without what the kernel would
    /// give up first.
    fn group(&self, group: &Group) -> Option<Fullness> {
        let limits = group.limits.iter().filter_map(|file| self.text(file));
        let limit = limits.filter_map(|text| limits::limit(&text).ok()?).min()?;
        let used = number(&self.text(&group.used)?)?;
        if used <= self.part(limit.get()) / 2 {
            return Some(Fullness { used: ByteCount::new(used), limit });
        }
        let stat = self.text(&group.stat).unwrap_or_default();
        let idle = line(&stat, group.idle).unwrap_or(0);
        Some(Fullness { used: ByteCount::new(used.saturating_sub(idle)), limit })
    }

    fn machine(&self) -> Option<Fullness> {
        let meminfo = self.text(Path::new(MEMINFO))?;
        let limit = amount(&meminfo, "MemTotal")?;
        let available = amount(&meminfo, "MemAvailable")?;
        Some(Fullness { used: limit.checked_sub(available).unwrap_or(ByteCount::ZERO), limit })
    }

    fn part(&self, limit: u64) -> u64 {
        (limit / 1000).saturating_mul(self.per_mille)
    }

    fn count_events(&self) -> u64 {
        let texts = self.groups.iter().filter_map(|group| self.text(&group.events));
        let counts = texts.map(|text| {
            let lines = ["high", "max", "oom"].iter().filter_map(|key| line(&text, key));
            number(&text).unwrap_or_else(|| lines.fold(0, u64::saturating_add))
        });
        counts.fold(0, u64::saturating_add)
    }

    /// Whether it was told of stalls, or finds them where nothing tells.
    fn has_stalled(&mut self, now: Instant) -> bool {
        if let Some((_, seen @ false)) = &mut self.told {
            *seen = true;
            return true;
        }
        let (since, before) = self.stalled;
        let passed = now.saturating_duration_since(since);
        let is_told = self.watched.iter().any(|watched| watched.sign == Sign::Stalls);
        if is_told || passed < WINDOW {
            return false;
        }
        let micros = self.stalled_micros();
        self.stalled = (now, micros);
        u128::from(micros.saturating_sub(before)).saturating_mul(100)
            >= passed.as_micros().saturating_mul(STALLED_PERCENT)
    }

    /// Microseconds in which some task waited for memory, since the machine's start.
    fn stalled_micros(&self) -> u64 {
        let text = self.stalls.as_ref().and_then(|stalls| self.text(stalls)).unwrap_or_default();
        let some = text.lines().find(|line| line.starts_with("some "));
        some.and_then(|some| number(some.split_once("total=")?.1)).unwrap_or(0)
    }

    fn text(&self, path: &Path) -> Option<String> {
        let read = self.kernel.read_file(path);
        if let Err(libc::EMFILE | libc::ENFILE) = read {
            self.blind.set(true);
        }
        read.ok()
    }
}

fn read_instead(file: &Path, errno: i32) -> Absent {
    let error = std::io::Error::from_raw_os_error(errno);
    Absent {
        what: file.display().to_string(),
        reason: format!("does not tell by itself ({error}) and is read now and then"),
    }
}

/// The number of the line `KEY N`.
fn line(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(key)?.strip_prefix(' ')?))
}

#[cfg(test)]
mod tests;
