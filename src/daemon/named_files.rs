//! [`look`]: the files and folders that the config names, looked at before any of them is used.
//!
//! Law: all that is wrong is told at once, each with its key and path. Nothing is made, read or waited
//! for. What cannot be had is refused; what others than the daemon's user and root could change is told of:
//! whoever may write a key set or an authority decides who calls, and whoever may write the audit log decides
//! what was done. So is a key that everybody may read, who can then be the daemon; its group may, as the
//! config file's.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

use crate::config::Config;
use crate::daemon::config_file;
use crate::daemon::start_error::StartError;
use crate::daemon::unix_socket;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What keeps the daemon from starting, a line each.
    pub(super) refused: Vec<String>,
    /// What others could change, and the secrets that they could read, a line each.
    pub(super) untrusted: Vec<String>,
}

/// Looks at all of them.
pub(super) fn look(config: &Config) -> Found {
    let mut found = Found::default();
    let tls = &config.tls;
    for (key, path) in [
        ("tls.certificate", &tls.certificate),
        ("tls.key", &tls.key),
        ("tls.client_ca", &tls.client_ca),
        ("tls.client_crl", &tls.client_crl),
    ] {
        path.iter().for_each(|path| found.read(key, path));
    }
    for (index, issuer) in config.jwt_issuers.iter().enumerate() {
        found.read(&format!("jwt_issuer[{index}].jwks_file"), &issuer.jwks_file);
    }
    tls.key.iter().for_each(|path| found.secret("tls.key", path));
    if let Some(path) = &config.audit.file {
        match can_append(path) {
            Err(error) => found.refuse(&StartError::Audit { path: path.clone(), error }),
            Ok(()) if !is_standard(path) => found.trust("audit.file", path),
            Ok(()) => {}
        }
    }
    let socket = config.grpc.unix_socket.as_deref().map(unix_socket::examine);
    if let Some(Err(error)) = socket {
        found.refuse(&error);
    }
    found
}

impl Found {
    /// Nothing, or what keeps the daemon from starting.
    ///
    /// # Errors
    /// [`StartError::Files`] with all of it.
    pub(super) fn judge(&self) -> Result<(), StartError> {
        if self.refused.is_empty() { Ok(()) } else { Err(StartError::Files(self.refused.clone())) }
    }

    fn refuse(&mut self, error: &StartError) {
        self.refused.push(error.to_string());
    }

    /// A file that is read.
    fn read(&mut self, key: &str, path: &Path) {
        let seen = fs::metadata(path).and_then(|there| {
            eaccess(path, AccessFlags::R_OK)?;
            if there.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(there) }
        });
        match seen {
            Err(error) => {
                let path = path.display();
                self.refused.push(format!(
                    "{key}: {path} cannot be read: {error}; put the file there, let this user read it, \
                     or name another"
                ));
            }
            Ok(_) => self.trust(key, path),
        }
    }

    /// A file that is to be nobody else's to change.
    fn trust(&mut self, key: &str, path: &Path) {
        // A pipe would be waited for.
        if fs::metadata(path).is_ok_and(|there| there.is_file()) {
            let untrusted = config_file::examine(path).err();
            self.untrusted.extend(untrusted.map(|untrusted| format!("{key}: {untrusted}")));
        }
    }

    /// A file that is not everybody's to read.
    fn secret(&mut self, key: &str, path: &Path) {
        let Ok(there) = fs::metadata(path) else { return };
        if there.is_file() && there.mode() & 0o004 != 0 {
            let (path, mode) = (path.display(), there.mode() & 0o7777);
            self.untrusted.push(format!(
                "{key}: {path}: everybody on this host may read it (mode {mode:04o}): chmod o-rwx {path}"
            ));
        }
    }
}

/// Whether a file can be appended to, or made. A pipe is not opened: its reader would see the end of it.
fn can_append(path: &Path) -> io::Result<()> {
    if is_standard(path) {
        return Ok(());
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(eaccess(path, AccessFlags::W_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            Ok(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(error) => Err(error),
    }
}

/// Open already, whatever it may be: the word of whoever started the daemon.
fn is_standard(path: &Path) -> bool {
    ["/dev/stdout", "/dev/stderr"].map(Path::new).contains(&path)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::JwtIssuer;

    /// A config that names a file of each kind in a folder.
    fn naming(folder: &Path) -> Config {
        let mut config = Config::default();
        let file = |name: &str| Some(folder.join(name));
        config.tls.certificate = file("certificate");
        config.tls.key = file("key");
        config.tls.client_ca = file("ca");
        config.tls.client_crl = file("crl");
        config.jwt_issuers =
            vec![JwtIssuer { jwks_file: folder.join("jwks"), ..JwtIssuer::default() }];
        config.audit.file = file("audit/log");
        config.grpc.unix_socket = file("run/socket");
        config
    }

    const KEYS: [(&str, &str); 7] = [
        ("tls.certificate", "certificate"),
        ("tls.key", "key"),
        ("tls.client_ca", "ca"),
        ("tls.client_crl", "crl"),
        ("jwt_issuer[0].jwks_file", "jwks"),
        ("audit.file", "audit"),
        ("grpc.unix_socket", "run"),
    ];

    #[test]
    fn everything_that_is_not_there_is_told_at_once_by_key_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let found = look(&naming(folder.path()));
        assert_eq!(found.refused.len(), KEYS.len(), "{found:#?}");
        for ((key, name), said) in KEYS.iter().zip(&found.refused) {
            let path = folder.path().join(name).display().to_string();
            assert!(said.contains(key) && said.contains(&path), "{key}: {said}");
        }
        assert!(found.judge().is_err_and(|error| error.to_string().lines().count() == KEYS.len()));
    }

    #[test]
    fn a_key_that_others_may_read_is_told_of_and_one_that_its_group_may_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "").unwrap();
        let mut config = Config::default();
        config.tls.key = Some(key.clone());
        for (mode, is_told) in
            [(0o400, false), (0o600, false), (0o640, false), (0o604, true), (0o644, true)]
        {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            let found = look(&config);
            assert!(found.refused.is_empty(), "{found:#?}");
            assert_eq!(found.untrusted.len(), usize::from(is_told), "{mode:o}: {found:#?}");
            for said in &found.untrusted {
                assert!(said.starts_with("tls.key: ") && said.contains("chmod o-rwx"), "{said}");
            }
        }
        // What it signs for is no secret.
        config.tls.certificate = config.tls.key.take();
        assert!(look(&config).untrusted.is_empty());
    }

    #[test]
    fn an_audit_file_that_others_may_write_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        fs::write(&file, "").unwrap();
        let mut config = Config::default();
        config.audit.file = Some(file.clone());
        for (mode, is_told) in [(0o600, false), (0o644, false), (0o660, true), (0o602, true)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = look(&config);
            assert!(found.refused.is_empty(), "{found:#?}");
            assert_eq!(found.untrusted.len(), usize::from(is_told), "{mode:o}: {found:#?}");
            for said in &found.untrusted {
                assert!(said.starts_with("audit.file: ") && said.contains("chmod go-w"), "{said}");
            }
        }
        config.audit.file = Some("/dev/stdout".into());
        assert!(look(&config).untrusted.is_empty(), "whoever started the daemon gave it");
    }

    #[test]
    fn what_is_there_and_the_daemons_own_is_nothing_to_tell_of_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        for (_, name) in &KEYS[..5] {
            let file = folder.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        }
        for (_, name) in &KEYS[5..] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = naming(folder.path());
        let found = look(&config);
        assert!(found.refused.is_empty() && found.untrusted.is_empty(), "{found:#?}");
        for (_, name) in &KEYS[5..] {
            assert_eq!(fs::read_dir(folder.path().join(name)).unwrap().count(), 0);
        }
        // Whoever may write them decides who calls.
        for (_, name) in &KEYS[..5] {
            let mode = Permissions::from_mode(if *name == "key" { 0o620 } else { 0o666 });
            fs::set_permissions(folder.path().join(name), mode).unwrap();
        }
        let found = look(&config);
        assert!(found.refused.is_empty(), "{found:#?}");
        assert_eq!(found.untrusted.len(), 5, "{found:#?}");
        for ((key, _), said) in KEYS.iter().zip(&found.untrusted) {
            assert!(said.starts_with(key) && said.contains("chmod go-w"), "{said}");
        }
    }
}
