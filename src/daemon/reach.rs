//! [`read_later`]: which files the config names are read again after the start: itself, for a reload, and
//! those of the credentials, which are renewed.
//!
//! Law: a file that is renewed is nearly always replaced, and what replaces it is another file to the
//! kernel. So the folder that it lies in is in reach as well, both the one that the config names and the
//! one that a link there leads to; but not a folder that is shared with what is none of the daemon's:
//! a top-level one, a home, or one where anybody may make names. There, the file alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Files and folders, each once. What is not there is not reached.
pub(super) fn read_later(config: &Config, config_file: Option<&Path>) -> Vec<PathBuf> {
    let tls = &config.tls;
    let credentials = [&tls.certificate, &tls.key, &tls.client_ca, &tls.client_crl];
    let credentials = credentials.into_iter().flatten();
    let credentials = credentials.chain(config.jwt_issuers.iter().map(|one| &one.jwks_file));
    let files = config_file.into_iter().chain(credentials.map(PathBuf::as_path));
    let mut reached: Vec<PathBuf> = files.flat_map(around).collect();
    reached.sort_unstable();
    reached.dedup();
    reached
}

fn around(file: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = |file: &Path| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).canonicalize().ok()
    };
    let resolved = file.canonicalize().ok();
    let folders = [folder(file), resolved.as_deref().and_then(folder)];
    let folders = folders.into_iter().flatten().filter(|folder| !is_shared(folder));
    folders.chain(resolved)
}

fn is_shared(folder: &Path) -> bool {
    // The root itself is one component.
    let is_high = folder.components().count() <= 2;
    let is_home = folder.parent() == Some(Path::new("/home"));
    let is_everybodys = fs::metadata(folder).map_or(true, |found| found.mode() & 0o002 != 0);
    is_high || is_home || is_everybodys
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_of_a_folder_of_its_own_is_reached_with_it_and_a_shared_folder_stays_shut() {
        let own = tempfile::tempdir().unwrap();
        let own = own.path().canonicalize().unwrap();
        fs::create_dir(own.join("..now")).unwrap();
        fs::write(own.join("..now/l.toml"), "").unwrap();
        symlink("..now/l.toml", own.join("l.toml")).unwrap();
        let config = Config::default();
        let reached = read_later(&config, Some(&own.join("l.toml")));
        assert_eq!(reached, [own.clone(), own.join("..now"), own.join("..now/l.toml")]);
        fs::set_permissions(&own, fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(own.join("a.toml"), "").unwrap();
        assert_eq!(read_later(&config, Some(&own.join("a.toml"))), [own.join("a.toml")]);
        assert_eq!(read_later(&config, Some(Path::new("/etc/passwd"))), [Path::new("/etc/passwd")]);
        assert!(is_shared(Path::new("/")) && is_shared(Path::new("/home/somebody")));
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(read_later(&config, Some(&own.join("absent"))), [own]);
    }

    #[test]
    fn the_files_of_credentials_are_reached_too() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let file = |name: &str| {
            let own = folder.join(name);
            fs::create_dir(&own).unwrap();
            let file = own.join("file");
            fs::write(&file, "").unwrap();
            file
        };
        let mut config = Config::default();
        let names = ["certificate", "key", "ca", "crl", "jwks"].map(file);
        let [certificate, key, ca, crl, jwks] = names.clone().map(Some);
        config.tls.certificate = certificate;
        config.tls.key = key;
        config.tls.client_ca = ca;
        config.tls.client_crl = crl;
        let jwks_file = jwks.unwrap();
        config.jwt_issuers.push(crate::config::JwtIssuer { jwks_file, ..Default::default() });
        let reached = read_later(&config, None);
        assert_eq!(reached.len(), 10, "{reached:?}");
        assert!(names.iter().all(|name| reached.contains(name)), "{reached:?}");
    }
}
