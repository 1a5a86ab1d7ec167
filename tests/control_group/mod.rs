//! [`ControlGroup`]: a real control group, below the root of whichever tree has its controller here.
//!
//! Law: it is taken away by `Drop`, after what was in it has ended. What is set and read in it differs
//! between the two versions of trees, and is for who uses it to know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::say;

pub(crate) struct ControlGroup {
    directory: PathBuf,
    /// Of the tree: 1 or 2.
    pub(crate) version: u8,
}

impl ControlGroup {
    /// A group of that name, made unique by this process; or what is missing for one.
    pub(crate) fn new(controller: &str, name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let found = mounts.lines().find_map(|line| tree(line, controller));
        let (root, version) = found
            .ok_or_else(|| format!("no tree of control groups has the {controller} controller"))?;
        if version == 2 {
            write(&root.join("cgroup.subtree_control"), &format!("+{controller}"))?;
        }
        let directory = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| told(&directory, &error))?;
        Ok(Self { directory, version })
    }

    pub(crate) fn set(&self, file: &str, text: &str) -> Result<(), String> {
        write(&self.file(file), text)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A shell's words for going into it and becoming the command that follows.
    pub(crate) fn enter(&self) -> [String; 4] {
        let enter = format!("echo $$ >{} && exec \"$@\"", self.file("cgroup.procs").display());
        ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()]
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            say(&format!("{} is left: {error}", self.directory.display()));
        }
    }
}

/// Where a line of mounts shows a tree with that controller, and its version.
fn tree(line: &str, controller: &str) -> Option<(PathBuf, u8)> {
    let mut words = line.split(' ').skip(1);
    let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
    let point = PathBuf::from(point);
    let (version, has_it) = match kind {
        "cgroup" => (1, options.split(',').any(|one| one == controller)),
        "cgroup2" => {
            let controllers = fs::read_to_string(point.join("cgroup.controllers")).ok()?;
            (2, controllers.split_whitespace().any(|one| one == controller))
        }
        _ => return None,
    };
    has_it.then_some((point, version))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| told(path, &error))
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
