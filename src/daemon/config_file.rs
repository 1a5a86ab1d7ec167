//! Who may write the config file: only root, or the daemon's own user; and whether it is still the one
//! that the daemon started with.
//!
//! Law: a file that somebody else can change decides nothing; it is refused with what to do. Looks at
//! the file itself, not at what is in it. A pipe or a device is as trustworthy as the shell that gave it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::os::process::own_user;

/// A config file that is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    path: PathBuf,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Writable { mode: u32 },
    Foreign { owner: u32 },
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.why {
            Why::Writable { mode } => write!(
                f,
                "{path}: others than its owner may write it (mode {mode:04o}): chmod go-w {path}"
            ),
            Why::Foreign { owner } => write!(
                f,
                "{path}: it is user {owner}'s, neither root's nor the daemon's own: chown it, or mount it \
                 read-only"
            ),
        }
    }
}

/// What is in a file that may be trusted: the very file that was looked at, whatever takes its name
/// meanwhile.
///
/// # Errors
/// [`Untrusted`]: who else may change it, and what to do.
pub fn read(path: &Path) -> Result<io::Result<String>, Untrusted> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    judge(path, &file)?;
    let mut text = String::new();
    // A file by itself would be asked for its position first, which the thread that reloads may not.
    Ok(file.take(u64::MAX).read_to_string(&mut text).map(|_length| text))
}

/// Looks at a file that is there; what cannot be opened is for who reads it to tell.
///
/// # Errors
/// As [`read`].
pub fn examine(path: &Path) -> Result<(), Untrusted> {
    File::open(path).map_or(Ok(()), |file| judge(path, &file))
}

fn judge(path: &Path, file: &File) -> Result<(), Untrusted> {
    let Ok(metadata) = file.metadata() else { return Ok(()) };
    if !metadata.is_file() {
        return Ok(());
    }
    let untrusted = |why| Err(Untrusted { path: path.to_owned(), why });
    if metadata.mode() & 0o022 != 0 {
        return untrusted(Why::Writable { mode: metadata.mode() & 0o7777 });
    }
    // Mounted read-only it is the word of whoever mounted it: in a container users are others.
    let read_only = || fstatvfs(file).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY));
    if metadata.uid() != 0 && metadata.uid() != own_user() && !read_only() {
        return untrusted(Why::Foreign { owner: metadata.uid() });
    }
    Ok(())
}

/// The file that the daemon started with.
#[derive(Clone, Debug)]
pub struct Original {
    path: PathBuf,
    /// Device and inode; none where nothing was there.
    known: Option<(u64, u64)>,
}

impl Original {
    /// The one that is there now.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let there = fs::metadata(path).ok();
        let known = there.map(|there| (there.dev(), there.ino()));
        Self { path: path.to_owned(), known }
    }

    /// Why a file that is there cannot be opened any more, where that is for its having been replaced:
    /// Landlock knows files, not names, and goes on refusing another file behind the same name.
    #[must_use]
    pub fn kept_out(&self) -> Option<String> {
        let there = fs::metadata(&self.path).ok()?;
        // As far as the file itself goes.
        let own = if there.uid() == own_user() { 0o400 } else { 0 };
        let is_open = there.mode() & (own | 0o044) != 0;
        if !is_open || !there.is_file() || Some((there.dev(), there.ino())) == self.known {
            return None;
        }
        let path = self.path.display();
        let refused = File::open(&self.path).err()?.kind() == io::ErrorKind::PermissionDenied;
        refused.then(|| {
            format!(
                "{path} cannot be read: it was replaced, and Landlock (confinement.landlock) keeps this \
                 daemon to the file that was there at the start, as the folder is shared with others: \
                 restart the daemon; to reload from now on, write into the file (cp, not mv), or give it a \
                 folder of its own, as /etc/linmemd/"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn a_file_that_others_may_write_is_refused_with_what_to_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, trusted) in
            [(0o600, true), (0o640, true), (0o644, true), (0o664, false), (0o646, false)]
        {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let said = examine(file.path());
            assert_eq!(said.is_ok(), trusted, "{mode:o}: {said:?}");
            if let Err(untrusted) = said {
                let said = untrusted.to_string();
                assert!(said.contains("chmod go-w") && said.contains(&format!("{mode:04o}")));
            }
        }
    }

    #[test]
    fn another_users_file_is_refused_and_what_is_no_file_is_not() {
        assert_eq!(examine(Path::new("/dev/null")), Ok(()));
        assert_eq!(examine(Path::new("/nowhere")), Ok(()));
        let file = tempfile::NamedTempFile::new().unwrap();
        // Only root can have it look so.
        if chown(file.path(), Some(12_345), None).is_ok() {
            let said = examine(file.path()).unwrap_err().to_string();
            assert!(said.contains("user 12345's"), "{said}");
        }
    }
}
