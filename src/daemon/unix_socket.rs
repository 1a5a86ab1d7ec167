//! The Unix socket: mode 0660, taken over from a daemon that is gone, never from one that lives.
//!
//! Law: the socket appears under its name with its mode already set.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const MODE: u32 = 0o660;

/// A bound socket. Dropped, its name is gone.
#[derive(Debug)]
pub(super) struct BoundSocket {
    path: PathBuf,
}

/// Binds the socket.
///
/// # Errors
/// What the host says; `AddrInUse` where a daemon listens there.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, BoundSocket)> {
    if UnixStream::connect(path).is_ok() {
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
        .and_then(|()| fs::rename(&private, path));
    if let Err(error) = named {
        // The first error is the one to tell.
        let _gone = fs::remove_file(&private);
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok((listener, BoundSocket { path: path.to_owned() }))
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // A successor replaces a name that is left over.
        let _gone = fs::remove_file(&self.path);
    }
}
