//! [`Tls`]: the certificate that the daemon shows, whose certificates it asks for, and both anew when
//! their files change.
//!
//! Law: TLS 1.3 and nothing older; no early data, and no resumption, for a session that
//! goes on where another ended would not be asked for its certificate again. A connection that stands
//! keeps what it was made with, but its client's certificate counts only as long as a new connection could
//! be made with it. Files that cannot be read or do not fit change nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WantsServerCert, WebPkiClientVerifier};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::Tls as Files;
use crate::daemon::presented::{Presented, Verifier};
use crate::tenancy::{Certificate, Peer, Standing};

/// What is spoken within.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("{key}: {path}: {reason}", path = .path.display())]
    File {
        /// The config's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// They do not fit together.
    #[error("tls.certificate and tls.key do not fit together: {0}")]
    Mismatch(String),
    /// What the client's authority is made of.
    #[error("tls.client_ca cannot be used: {0}")]
    Authority(String),
}

/// What TLS is spoken with.
pub(super) struct Tls {
    files: Files,
    current: RwLock<Current>,
    presented: Presented,
}

/// What one reading of the files came to.
pub(super) struct Current {
    config: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    read: Vec<Vec<u8>>,
    not_after: SystemTime,
    verifier: Verifier,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// What these files say; none where the config names none.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn load(files: &Files) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(read) = read(files)? else { return Ok(None) };
        let current = RwLock::new(make(files, read)?);
        Ok(Some(Arc::new(Self { files: files.clone(), current, presented: Presented::default() })))
    }

    /// What the next connection is to be made with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().config)
    }

    /// The same for HTTP/1.1, where tokens are asked for and never certificates.
    pub(super) fn http_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().http)
    }

    /// When the daemon's own certificate runs out.
    pub(super) fn not_after(&self) -> SystemTime {
        self.current().not_after
    }

    /// Reads the files anew; what is new in them.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn fresh(&self) -> Result<Option<Current>, TlsError> {
        let Some(read) = read(&self.files)? else { return Ok(None) };
        if read == self.current().read {
            return Ok(None);
        }
        make(&self.files, read).map(Some)
    }

    /// The next connections are made with it, and those that stand by a certificate that it would refuse
    /// stand by none; how many those are. `tell` is called while more may follow, and after the last.
    pub(super) fn put_in_force(&self, fresh: Current, tell: impl FnMut()) -> usize {
        let verifier = fresh.verifier.clone();
        let before = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, fresh)
        };
        // A revocation list may be long: nobody waits for the end of the one of before.
        drop(before);
        self.presented.judge(&verifier, tell)
    }

    /// Who is at the other end of a handshake that is over, and was made with that.
    pub(super) fn peer(
        &self,
        connection: &rustls::ServerConnection,
        made_with: &Arc<ServerConfig>,
    ) -> Peer {
        let chain = connection.peer_certificates().unwrap_or_default();
        // One that was verified and cannot be read names nobody, and is refused as such.
        let Some(own) = chain.first() else { return Peer::Anonymous };
        let standing = self.presented.add(chain, || {
            let current = self.current();
            (!Arc::ptr_eq(&current.config, made_with)).then(|| current.verifier.clone())
        });
        let mut certificate = certificate(own, &standing).unwrap_or_else(|| Certificate {
            uris: Vec::new(),
            dns: Vec::new(),
            not_after: SystemTime::UNIX_EPOCH,
            standing,
        });
        if let Some(end) = first_end(chain.get(1..).unwrap_or_default(), SystemTime::now()) {
            certificate.not_after = certificate.not_after.min(end);
        }
        Peer::Certificate(certificate)
    }

    fn current(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the first of these runs out, of those that have not: what has was not needed.
fn first_end(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
    let end = |der: &CertificateDer<'_>| ends(&X509Certificate::from_der(der).ok()?.1);
    chain.iter().filter_map(end).filter(|end| *end > now).min()
}

fn certificate(der: &CertificateDer<'_>, standing: &Standing) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let (not_after, standing) = (ends(&parsed)?, standing.clone());
    let mut names = Certificate { uris: Vec::new(), dns: Vec::new(), not_after, standing };
    if let Ok(Some(alternatives)) = parsed.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => names.dns.push((*dns).to_owned()),
                _ => {}
            }
        }
    }
    Some(names)
}

fn ends(certificate: &X509Certificate<'_>) -> Option<SystemTime> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The files' bytes, those of absent ones empty; none where there is to be no TLS.
fn read(files: &Files) -> Result<Option<Vec<Vec<u8>>>, TlsError> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
        return Ok(None);
    };
    let optional = |key, path: &Option<PathBuf>| match path {
        Some(path) => bytes(key, path),
        None => Ok(Vec::new()),
    };
    Ok(Some(vec![
        bytes("tls.certificate", certificate)?,
        bytes("tls.key", key)?,
        optional("tls.client_ca", &files.client_ca)?,
        optional("tls.client_crl", &files.client_crl)?,
    ]))
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| refused(key, path, error.to_string()))
}

fn refused(key: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::File { key, path: path.to_owned(), reason }
}

fn make(files: &Files, read: Vec<Vec<u8>>) -> Result<Current, TlsError> {
    let at = |index: usize| read.get(index).map(Vec::as_slice).unwrap_or_default();
    let chain: Vec<CertificateDer<'static>> = items("tls.certificate", &files.certificate, at(0))?;
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let not_after = chain.first().and_then(|first| {
        X509Certificate::from_der(first).ok().and_then(|(_, parsed)| ends(&parsed))
    });
    let not_after = not_after.ok_or_else(|| {
        refused("tls.certificate", &path(&files.certificate), "is no certificate".to_owned())
    })?;
    let key = PrivateKeyDer::from_pem_slice(at(1))
        .map_err(|error| refused("tls.key", &path(&files.key), error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TlsError::Mismatch(error.to_string()))
    };
    let verifier: Verifier = if files.client_ca.is_some() {
        let mut roots = rustls::RootCertStore::empty();
        for root in items("tls.client_ca", &files.client_ca, at(2))? {
            roots.add(root).map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                // Who shows none may show a token; who shows neither is told so by the call's answer.
                .allow_unauthenticated();
        if files.client_crl.is_some() {
            let lists: Vec<CertificateRevocationListDer<'static>> =
                items("tls.client_crl", &files.client_crl, at(3))?;
            verifier = verifier.with_crls(lists).only_check_end_entity_revocation();
        }
        Some(verifier.build().map_err(|error| TlsError::Authority(error.to_string()))?)
    } else {
        None
    };
    let secured = match &verifier {
        Some(verifier) => builder()?.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder()?.with_no_client_auth(),
    };
    let config = shown(secured, chain.clone(), key.clone_key(), HTTP_2)?;
    let http = shown(builder()?.with_no_client_auth(), chain, key, HTTP_1)?;
    Ok(Current { config, http, read, not_after, verifier })
}

fn shown(
    builder: rustls::ConfigBuilder<ServerConfig, WantsServerCert>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    within: &[u8],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Mismatch(error.to_string()))?;
    config.alpn_protocols = vec![within.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Every item of a file of them; at least one.
fn items<T: PemObject>(
    key: &'static str,
    path: &Option<PathBuf>,
    pem: &[u8],
) -> Result<Vec<T>, TlsError> {
    let path = path.clone().unwrap_or_default();
    let items = T::pem_slice_iter(pem)
        .collect::<Result<Vec<T>, _>>()
        .map_err(|error| refused(key, &path, error.to_string()))?;
    if items.is_empty() {
        return Err(refused(key, &path, "holds nothing of the kind, in PEM".to_owned()));
    }
    Ok(items)
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn of_what_came_with_a_certificate_the_first_to_run_out_counts_and_what_has_run_out_does_not() {
        let key = rcgen::KeyPair::generate().unwrap();
        let until = |year| {
            let mut params = rcgen::CertificateParams::default();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            params.self_signed(&key).unwrap().der().clone()
        };
        let at = |year: u64| {
            let days = (year - 1970) * 365 + (year - 1969) / 4;
            SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 60 * 60)
        };
        let chain = [until(2050), until(2030), until(2040)];
        assert_eq!(first_end(&chain, at(2026)), Some(at(2030)));
        assert_eq!(first_end(&chain, at(2035)), Some(at(2040)));
        assert_eq!(first_end(&chain, at(2050)), None);
        assert_eq!(first_end(&[], at(2026)), None);
    }
}
