//! [`Certificate`]: what a daemon that speaks TLS shows, and how its clients know it.
//!
//! Owns: a folder with a key and a certificate that is its own authority, which goes with it.

use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

pub(crate) struct Certificate(TempDir);

impl Certificate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).expect("a file");
        fs::write(folder.path().join("certificate.pem"), certificate).expect("a file");
        Self(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    /// What the daemon is told of it.
    pub(crate) fn config(&self) -> String {
        let (certificate, key) = (self.path(), self.0.path().join("key.pem"));
        format!("\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    }
}
