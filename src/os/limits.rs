//! How much memory this process may have: the smallest of what its control groups and the machine
//! allow.
//!
//! Law: a limit of an ancestor binds as the own one does, so every directory from the own group up
//! to the mount point is asked, in version 2 and version 1 alike. What cannot be seen (a group above
//! a container's mount) cannot be counted. Decides nothing: a share of it is the caller's affair.
//!
//! ```text
//!   /proc/self/cgroup      0::/a/b                      where the process is
//!   /proc/self/mountinfo   root /a, at /sys/fs/cgroup   what of that tree is visible, and where
//!   so the own group is    /sys/fs/cgroup/b             and its one visible ancestor the mount point
//! ```

use std::path::{Path, PathBuf};

use crate::os::facts::{Facts, number};
use crate::os::kernel::Kernel;
use crate::units::ByteCount;

/// Version 1 says "no limit" by the largest number that is whole host pages; those have at most
/// 64 KiB.
const UNLIMITED_FROM: u64 = (i64::MAX as u64).saturating_sub(65_536);

/// A limit, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// How much.
    pub bytes: ByteCount,
    /// The file that says so.
    pub source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A control group that this process is in, itself or as an ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControlGroup {
    pub(super) version: Version,
    pub(super) directory: PathBuf,
}

/// A mounted tree of control groups that may limit memory.
#[derive(Debug)]
struct Mount {
    version: Version,
    /// Which group of the tree is seen at the mount point.
    root: PathBuf,
    point: PathBuf,
}

/// The smallest limit that can be found; `None` where there is none at all.
pub(super) fn budget(
    facts: &mut Facts<'_>,
    memory_total: Option<ByteCount>,
) -> Option<MemoryLimit> {
    let mut limits = Vec::new();
    let cgroup = facts.text("/proc/self/cgroup");
    let mountinfo = facts.text("/proc/self/mountinfo");
    if let (Some(cgroup), Some(mountinfo)) = (cgroup, mountinfo) {
        let mut seen = false;
        for file in limit_files(&cgroup, &mountinfo) {
            let Some(text) = facts.text_if_there(&file) else { continue };
            seen = true;
            match limit(&text) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    limits.push(MemoryLimit { bytes, source: file.display().to_string() });
                }
                Err(text) => facts.note(file.display(), format_args!("no limit: {text:?}")),
            }
        }
        if !seen {
            facts.note("control groups", "no memory limit is visible to this process");
        }
    }
    if let Some(bytes) = memory_total {
        limits.push(MemoryLimit { bytes, source: "MemTotal of /proc/meminfo".to_owned() });
    }
    // The first of equals: the nearest group before its ancestors, groups before the machine.
    limits.into_iter().min_by_key(|limit| limit.bytes)
}

/// Every file that may limit this process, the nearest first.
fn limit_files(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let file = |version| match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    };
    let groups = control_groups(cgroup, mountinfo).into_iter();
    groups.map(|group| group.directory.join(file(group.version))).collect()
}

/// Every group that may limit this process, the nearest first.
pub(super) fn control_groups(cgroup: &str, mountinfo: &str) -> Vec<ControlGroup> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    cgroup
        .lines()
        .filter_map(membership)
        .flat_map(|(version, own)| groups_of(&mounts, version, own))
        .collect()
}

/// The files of those groups that are read again and again while the daemon serves.
#[must_use]
pub fn files_read_later(kernel: &dyn Kernel) -> Vec<PathBuf> {
    let text = |path: &str| kernel.read_file(Path::new(path)).unwrap_or_default();
    let (cgroup, mountinfo) = (text("/proc/self/cgroup"), text("/proc/self/mountinfo"));
    let names = |version| match version {
        Version::One => {
            &["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "memory.failcnt"][..]
        }
        Version::Two => &[
            "memory.max",
            "memory.high",
            "memory.current",
            "memory.stat",
            "memory.events",
            "memory.events.local",
            "memory.pressure",
        ],
    };
    let groups = control_groups(&cgroup, &mountinfo).into_iter();
    let files = |group: ControlGroup| {
        names(group.version).iter().map(move |name| group.directory.join(name))
    };
    groups.flat_map(files).collect()
}

/// `HIERARCHY:CONTROLLERS:PATH` of a tree that may limit memory.
fn membership(line: &str) -> Option<(Version, &Path)> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    if hierarchy == "0" && controllers.is_empty() {
        Some((Version::Two, Path::new(path)))
    } else {
        let memory = controllers.split(',').any(|controller| controller == "memory");
        memory.then(|| (Version::One, Path::new(path)))
    }
}

/// `ID PARENT DEVICE ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS` of such a tree.
fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (unescaped(place.next()?), unescaped(place.next()?));
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup2" => Version::Two,
        "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => Version::One,
        _ => return None,
    };
    Some(Mount { version, root, point })
}

fn groups_of(mounts: &[Mount], version: Version, own: &Path) -> Vec<ControlGroup> {
    let of_version = || mounts.iter().filter(|mount| mount.version == version);
    let visible = of_version()
        .filter_map(|mount| Some((mount, below(&mount.root, own)?)))
        .max_by_key(|(mount, _)| mount.root.components().count());
    // A group outside of what is mounted (made by another namespace, or by a mount of some other
    // part) is not visible. What the mount point shows is then the best guess there is: in a
    // container it is the container's own group, or one above it.
    let found = visible.or_else(|| Some((of_version().next()?, Path::new(""))));
    let Some((mount, rest)) = found else { return Vec::new() };
    let nearest =
        if rest.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(rest) };
    let visible = nearest.ancestors().take_while(|group| group.starts_with(&mount.point));
    visible.map(|group| ControlGroup { version, directory: group.to_owned() }).collect()
}

/// The way from `root` down to `own`, unless `own` lies elsewhere or above what this process's
/// namespace shows (`/..`).
fn below<'p>(root: &Path, own: &'p Path) -> Option<&'p Path> {
    let rest = own.strip_prefix(root).ok()?;
    let climbs = rest.components().any(|part| part.as_os_str() == "..");
    (!climbs).then_some(rest)
}

/// What a file says: a limit, none, or something else, which is given back.
pub(super) fn limit(text: &str) -> Result<Option<ByteCount>, &str> {
    match number::<u64>(text) {
        Some(bytes) if bytes < UNLIMITED_FROM => Ok(Some(ByteCount::new(bytes))),
        Some(_) => Ok(None),
        None if text.trim() == "max" => Ok(None),
        None => Err(text.trim()),
    }
}

/// Spaces, tabs, line ends and backslashes in a mount's paths are written `\ooo`.
fn unescaped(field: &str) -> PathBuf {
    let mut plain = field.to_owned();
    // The backslash last, lest it make new escapes.
    for (escape, letter) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(escape, letter);
    }
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failing::FailingKernel;

    const V2: &str =
        "31 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/cpu rw shared:6 - cgroup cgroup rw,cpu\n";

    fn files(cgroup: &str, mountinfo: &str) -> Vec<String> {
        limit_files(cgroup, mountinfo).iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn version_2_asks_the_own_group_and_every_ancestor() {
        assert_eq!(
            files("0::/system.slice/linmemd.service\n", V2),
            [
                "/sys/fs/cgroup/system.slice/linmemd.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn a_namespaced_container_asks_its_mount_point() {
        let inside = "1063 1052 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        assert_eq!(files("0::/\n", inside), ["/sys/fs/cgroup/memory.max"]);
        // The mount was made outside of the namespace, which shows its root as above one's own.
        let outside = "1063 1052 0:26 /.. /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        assert_eq!(files("0::/\n", outside), ["/sys/fs/cgroup/memory.max"]);
        // The process was moved out of its namespace's root.
        assert_eq!(files("0::/../other\n", inside), ["/sys/fs/cgroup/memory.max"]);
    }

    #[test]
    fn version_1_asks_the_memory_tree_and_no_other() {
        assert_eq!(
            files("9:name=systemd:/\n4:cpuacct,memory:/a/b\n1:cpu:/c\n", V1),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }

    #[test]
    fn a_version_1_container_without_a_namespace_is_found_below_its_mounts_root() {
        let inside = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(
            files("4:memory:/docker/abc/inner\n", inside),
            [
                "/sys/fs/cgroup/memory/inner/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        // A nested container sees its path from the outermost host, which the mount does not show.
        assert_eq!(
            files("4:memory:/kubelet/docker/abc\n", inside),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        // A name is not a prefix of another name.
        assert_eq!(files("4:memory:/docker/abcd\n", inside).len(), 1);
    }

    #[test]
    fn of_two_mounts_of_a_tree_the_one_nearest_to_the_group_is_asked() {
        let both = format!("{V2}40 23 0:26 /a /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n");
        assert_eq!(
            files("0::/a/b\n", &both),
            ["/mnt/my groups/b/memory.max", "/mnt/my groups/memory.max"]
        );
    }

    #[test]
    fn both_versions_at_once_are_both_asked_and_nonsense_is_passed_over() {
        let hybrid =
            format!("{V1}nonsense\n41 31 0:38 / /unified rw - cgroup2 cgroup2 rw\n1 2 -\n");
        let asked = files("4:memory:/a\nnonsense\n0::/\n", &hybrid);
        assert_eq!(asked.len(), 3);
        assert_eq!(asked.last().map(String::as_str), Some("/unified/memory.max"));
        assert!(files("", &hybrid).is_empty());
        assert!(files("0::/a\n", "").is_empty());
    }

    #[test]
    fn no_limit_is_told_from_a_limit_and_from_nonsense() {
        assert_eq!(limit("max\n"), Ok(None));
        assert_eq!(limit("9223372036854771712\n"), Ok(None));
        assert_eq!(limit("9223372036854710272\n"), Ok(None));
        assert_eq!(limit("1073741824\n"), Ok(Some(ByteCount::new(1 << 30))));
        assert_eq!(limit("0\n"), Ok(Some(ByteCount::ZERO)));
        assert_eq!(limit("much\n"), Err("much"));
    }

    fn found(files: &[(&str, &str)], memory_total: Option<u64>) -> (Option<(u64, String)>, usize) {
        let kernel = FailingKernel::new();
        kernel.replace_files(files.iter().copied());
        let mut facts = Facts::of(&kernel);
        let limit = budget(&mut facts, memory_total.map(ByteCount::new));
        (limit.map(|limit| (limit.bytes.get(), limit.source)), facts.into_absent().len())
    }

    #[test]
    fn the_smallest_limit_wins_and_names_its_file() {
        let mut files = vec![
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/proc/self/mountinfo", V2),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "4096\n"),
        ];
        let ancestor = (4096, "/sys/fs/cgroup/a/memory.max".to_owned());
        assert_eq!(found(&files, Some(8192)), (Some(ancestor), 0));
        let machine = (1024, "MemTotal of /proc/meminfo".to_owned());
        assert_eq!(found(&files, Some(1024)), (Some(machine), 0));
        files[2].1 = "4096\n";
        let nearest = (4096, "/sys/fs/cgroup/a/b/memory.max".to_owned());
        assert_eq!(found(&files, Some(4096)), (Some(nearest), 0));
        files[3].1 = "nonsense\n";
        assert_eq!(found(&files, None).1, 1);
    }

    #[test]
    fn a_host_without_groups_has_its_memory_and_says_what_was_missing() {
        let machine = (512, "MemTotal of /proc/meminfo".to_owned());
        assert_eq!(found(&[("/x", "")], Some(512)), (Some(machine.clone()), 2));
        let empty = [("/proc/self/cgroup", ""), ("/proc/self/mountinfo", "")];
        assert_eq!(found(&empty, Some(512)), (Some(machine), 1));
        assert_eq!(found(&empty, None), (None, 1));
    }
}
