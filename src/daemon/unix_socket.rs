//! The Unix socket: mode 0660, taken over from a daemon that is gone, never from one that lives.
//!
//! Law: the socket appears under its name with its mode already set. Where anybody may make names, as in
//! `/tmp`, it is in a folder of the daemon's own user there, which nobody else can have made: else its
//! clients would sooner or later talk to whoever was first.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use crate::daemon::start_error::StartError;
use crate::os::process::own_user;

const MODE: u32 = 0o660;
/// Of the folder of one's own: the user, and whoever may use the socket by its group.
const FOLDER_MODE: u32 = 0o750;

/// A bound socket. Dropped, its name is gone.
#[derive(Debug)]
pub(super) struct BoundSocket {
    path: PathBuf,
}

impl BoundSocket {
    /// Where it is: not always where it was asked for.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at a path of the config's, or in a folder beside it.
///
/// # Errors
/// [`StartError::Listen`] with what the host says; `AddrInUse` where a daemon listens there,
/// `PermissionDenied` where the folder is somebody else's.
pub(super) fn listen(asked: &Path) -> Result<(UnixListener, BoundSocket), StartError> {
    bind(asked).map_err(|error| refused(asked, error))
}

/// Where the socket would be, and whether it could be made there; nothing is made.
///
/// # Errors
/// As [`listen`], but for a daemon that listens there.
pub(super) fn examine(asked: &Path) -> Result<PathBuf, StartError> {
    let seen = || {
        let (path, own) = place(asked)?;
        let folder = match own {
            Some(own) if fs::symlink_metadata(&own).is_ok() => {
                owned(&own)?;
                own
            }
            _ => folder_of(asked).to_owned(),
        };
        eaccess(&folder, AccessFlags::W_OK | AccessFlags::X_OK)?;
        Ok(path)
    };
    seen().map_err(|error| refused(asked, error))
}

fn refused(asked: &Path, error: io::Error) -> StartError {
    let address = asked.display().to_string();
    StartError::Listen { address, key: "grpc.unix_socket", error }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The path, and the folder that would be made for it.
fn place(asked: &Path) -> io::Result<(PathBuf, Option<PathBuf>)> {
    let folder = folder_of(asked);
    let there = fs::metadata(folder)?;
    let mode = there.mode();
    if mode & 0o002 == 0 {
        return Ok((asked.to_owned(), None));
    }
    if mode & libc::S_ISVTX == 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "anybody may take names away in this folder (it has no sticky bit); name another",
        ));
    }
    if ![0, own_user()].contains(&there.uid()) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "user {}, whose this folder is, may take names away in it; name another",
                there.uid()
            ),
        ));
    }
    let own = folder.join(format!("linmemd-{}", own_user()));
    let path = asked.file_name().map_or_else(|| own.clone(), |name| own.join(name));
    Ok((path, Some(own)))
}

fn bind(asked: &Path) -> io::Result<(UnixListener, BoundSocket)> {
    let (path, own) = place(asked)?;
    own.as_deref().map_or(Ok(()), have)?;
    if UnixStream::connect(&path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens on this socket",
        ));
    }
    let mut private = path.as_os_str().to_owned();
    private.push(format!(".{}", std::process::id()));
    let private = PathBuf::from(private);
    let listener = UnixListener::bind(&private)?;
    let named = fs::set_permissions(&private, fs::Permissions::from_mode(MODE))
        .and_then(|()| fs::rename(&private, &path));
    if let Err(error) = named {
        // The first error is the one to tell.
        let _gone = fs::remove_file(&private);
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok((listener, BoundSocket { path }))
}

/// Makes the folder, or looks whether the one that is there is the own user's. In a sticky folder nobody
/// else can put another in its place afterwards.
fn have(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Whatever the umask left of it, or whoever it was opened to.
    owned(folder)?.set_permissions(fs::Permissions::from_mode(FOLDER_MODE))
}

/// The folder, which is the own user's.
fn owned(folder: &Path) -> io::Result<File> {
    let there: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(folder)
        .map_err(|error| squatted(folder, &error.to_string()))?;
    match there.metadata()?.uid() {
        user if user == own_user() => Ok(there),
        user => Err(squatted(folder, &format!("user {user} has made it"))),
    }
}

fn squatted(folder: &Path, why: &str) -> io::Error {
    let folder = folder.display();
    let why =
        format!("{folder} is no folder of this daemon's user ({why}); remove it or name another");
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // A successor replaces a name that is left over.
        let _gone = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn where_anybody_may_make_names_it_is_in_a_folder_of_its_own() {
        let shared = folder(0o1777);
        let asked = shared.path().join("l.sock");
        let own = shared.path().join(format!("linmemd-{}", own_user()));
        for _again in 0..2 {
            let (_listener, socket) = bind(&asked).unwrap();
            assert_eq!(socket.path(), own.join("l.sock"));
            assert_eq!(fs::metadata(&own).unwrap().mode() & 0o7777, FOLDER_MODE);
            assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o7777, MODE);
            assert!(!asked.exists());
        }
        assert!(!own.join("l.sock").exists(), "gone with its daemon");
    }

    #[test]
    fn elsewhere_it_is_where_it_was_asked_for() {
        let private = folder(0o755);
        let asked = private.path().join("l.sock");
        let (_listener, socket) = bind(&asked).unwrap();
        assert_eq!(socket.path(), asked);
        assert_eq!(fs::read_dir(private.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_a_link_a_file_or_open_to_all_is_not_trusted() {
        let shared = folder(0o1777);
        let own = shared.path().join(format!("linmemd-{}", own_user()));
        let elsewhere = folder(0o755);
        symlink(elsewhere.path(), &own).unwrap();
        let error = bind(&shared.path().join("l")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        fs::remove_file(&own).unwrap();
        fs::write(&own, "").unwrap();
        let error = bind(&shared.path().join("l")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        fs::remove_file(&own).unwrap();
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let (_listener, _socket) = bind(&shared.path().join("l")).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o7777, FOLDER_MODE, "shut again");
        let loose = folder(0o777);
        let error = bind(&loose.path().join("l")).unwrap_err();
        assert!(error.to_string().contains("sticky"), "{error}");
    }

    #[test]
    fn a_folder_of_everybodys_that_is_another_users_is_refused_by_name() {
        let shared = folder(0o1777);
        if std::os::unix::fs::chown(shared.path(), Some(12_345), None).is_err() {
            // Only root can have it look so.
            return;
        }
        let error = bind(&shared.path().join("l")).unwrap_err();
        assert!(error.to_string().contains("user 12345, whose this folder is"), "{error}");
    }

    #[test]
    fn a_folder_that_another_user_made_is_refused_by_name() {
        let shared = folder(0o1777);
        let own = shared.path().join(format!("linmemd-{}", own_user()));
        fs::create_dir(&own).unwrap();
        if std::os::unix::fs::chown(&own, Some(12_345), None).is_err() {
            // Only root can have it look so.
            return;
        }
        let asked = shared.path().join("l");
        let error = bind(&asked).unwrap_err();
        assert!(error.to_string().contains("user 12345 has made it"), "{error}");
        let error = examine(&asked).unwrap_err();
        assert!(error.to_string().contains("user 12345 has made it"), "{error}");
    }

    #[test]
    fn what_would_be_refused_is_seen_before_and_nothing_is_made_for_it() {
        let shared = folder(0o1777);
        let own = shared.path().join(format!("linmemd-{}", own_user()));
        assert_eq!(examine(&shared.path().join("l")).unwrap(), own.join("l"));
        assert_eq!(fs::read_dir(shared.path()).unwrap().count(), 0);
        fs::write(&own, "").unwrap();
        let error = examine(&shared.path().join("l")).unwrap_err().to_string();
        assert!(error.contains("grpc.unix_socket") && error.contains("no folder of"), "{error}");
        let absent = shared.path().join("absent");
        let error = examine(&absent.join("l")).unwrap_err().to_string();
        let words = format!("the folder {} is not there", absent.display());
        assert!(error.contains("grpc.unix_socket") && error.contains(&words), "{error}");
    }
}
