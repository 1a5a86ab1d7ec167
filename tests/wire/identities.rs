//! Claims about who a caller is: certificates over TLS, tokens beside them, users of the Unix socket,
//! and files that change while the daemon runs.
//!
//! Law: real handshakes against certificates made for the test; nothing is verified by hand.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use linmemd::client::{
    BearerToken, Client, ClientError, ConnectOptions, Endpoint, RetryPolicy, TlsOptions,
};
use linmemd::config::{Config, Identity};
use linmemd::token::Token;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contract::refused;
use crate::harness::{House, eventually, pages, within};

/// An authority, and the folder where the daemon finds what it has signed.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, PEM.
pub(crate) struct Shown {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let authority = Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        authority.put("ca.pem", &authority.issuer.pem());
        authority.serve_as("localhost");
        authority
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Whole or not at all, as whoever renews certificates does it.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn sign(&self, names: Vec<SanType>, serial: u64) -> Shown {
        self.sign_with(CertificateParams::default(), names, serial)
    }

    fn sign_with(&self, params: CertificateParams, names: Vec<SanType>, serial: u64) -> Shown {
        let mut params = params;
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Shown { certificate, key: key.serialize_pem() }
    }

    /// Gives the daemon a certificate of that name.
    fn serve_as(&self, name: &str) {
        let shown = self.sign(vec![SanType::DnsName(name.try_into().unwrap())], 1);
        self.put("key.pem", &shown.key);
        self.put("certificate.pem", &shown.certificate);
    }

    pub(crate) fn client(&self, uri: &str, serial: u64) -> Shown {
        self.sign(vec![SanType::URI(uri.try_into().unwrap())], serial)
    }

    /// One whose time is over.
    pub(crate) fn former_client(&self, uri: &str, serial: u64) -> Shown {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2024, 1, 1);
        self.sign_with(params, vec![SanType::URI(uri.try_into().unwrap())], serial)
    }

    /// One until the second that this is in.
    pub(crate) fn brief(&self, end: SystemTime, uri: &str, serial: u64) -> Shown {
        let seconds = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        self.sign_with(params, vec![SanType::URI(uri.try_into().unwrap())], serial)
    }

    pub(crate) fn revoke(&self, serial: u64) {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.put("crl.pem", &params.signed_by(&self.issuer).unwrap().pem().unwrap());
    }

    pub(crate) fn configure(&self, config: &mut Config) {
        config.tls.certificate = Some(self.path("certificate.pem"));
        config.tls.key = Some(self.path("key.pem"));
        config.tls.client_ca = Some(self.path("ca.pem"));
        config.tls.reload_interval = Duration::from_millis(20);
        config.lease.sweep_interval = Duration::from_secs(3_600);
    }

    pub(crate) fn options(&self, house: &House, shown: Option<&Shown>) -> ConnectOptions {
        let endpoint = Endpoint::Https { host: "localhost".into(), port: house.grpc().port() };
        let pem = |text: &String| text.clone().into_bytes();
        let identity = shown.map(|shown| (pem(&shown.certificate), pem(&shown.key)));
        let mut options = ConnectOptions::new(endpoint);
        options.retry = RetryPolicy::NONE;
        options.tls = Some(TlsOptions { ca: pem(&self.issuer.pem()), identity, server_name: None });
        options
    }

    pub(crate) async fn connect(&self, house: &House, shown: Option<&Shown>) -> Client {
        within("connected", Client::connect(&self.options(house, shown))).await.unwrap()
    }
}

pub(crate) fn by_uri(name: &str, uri: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        tenant: "default".to_owned(),
        roles: vec!["writer".to_owned()],
        san_uri: Some(uri.to_owned()),
        ..Identity::default()
    }
}

fn token(number: u8) -> Token {
    Token::new([number; 32])
}

fn by_token(number: u8) -> Identity {
    Identity {
        name: format!("token-{number}"),
        san_uri: None,
        token_sha256: Some(*token(number).hash().bytes()),
        ..by_uri("", "")
    }
}

#[tokio::test]
async fn a_certificate_is_somebody_and_one_of_nobodys_is_refused() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let alice = authority.connect(&house, Some(&authority.client("spiffe://x/alice", 2))).await;
    alice.create(Some("m"), pages(1)).await.unwrap();
    let bob = authority.connect(&house, Some(&authority.client("spiffe://x/bob", 3))).await;
    refused(bob.memory("m").await, "CREDENTIALS_REFUSED", &[]);
    let nobody = authority.connect(&house, None).await;
    refused(nobody.memory("m").await, "CREDENTIALS_MISSING", &[]);
    alice.delete("m").await.unwrap();
    let info = alice.server_info().await.unwrap();
    assert_eq!(info.roles, ["writer"]);
}

#[tokio::test]
async fn a_certificate_of_another_authority_ends_the_handshake() {
    let (authority, other) = (Authority::new(), Authority::new());
    let house = House::with(|config| {
        authority.configure(config);
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let forged = other.client("spiffe://x/alice", 2);
    let options = authority.options(&house, Some(&forged));
    // TLS 1.3 tells a client of its own certificate only after its handshake is over.
    let outcome = match Client::connect(&options).await {
        Ok(client) => client.server_info().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(outcome, Err(ClientError::Transport { .. })), "{outcome:?}");
    eventually("it is counted", async || {
        let labels = [("reason", "TLS_HANDSHAKE")];
        house.scrape().await.value("linmemd_auth_failures_total", &labels) >= 1.0
    })
    .await;
}

#[tokio::test]
async fn a_token_counts_over_tls_and_goes_before_the_certificate() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.tenants.push(crate::harness::tenant("other", None));
        let other = Identity { tenant: "other".to_owned(), ..by_token(1) };
        config.identities = vec![by_uri("alice", "spiffe://x/alice"), other];
    });
    let shown = authority.client("spiffe://x/alice", 2);
    let mut options = authority.options(&house, Some(&shown));
    options.token = Some(BearerToken::new(token(1).reveal()).unwrap());
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(client.server_info().await.unwrap().tenant, "other");
    options.token = Some(BearerToken::new(token(2).reveal()).unwrap());
    let client = Client::connect(&options).await.unwrap();
    refused(client.server_info().await, "CREDENTIALS_REFUSED", &[]);
}

#[tokio::test]
async fn plain_http_2_on_a_listener_with_tls_is_closed_without_a_word() {
    let authority = Authority::new();
    let house = House::with(|config| authority.configure(config));
    let mut stream = tokio::net::TcpStream::connect(house.grpc()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _reset = within("it is closed", stream.read_to_end(&mut said)).await;
    // An alert at most.
    assert!(said.len() <= 7, "{said:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_is_closed() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.grpc.tls_timeout = Duration::from_millis(50);
    });
    let mut stream = tokio::net::TcpStream::connect(house.grpc()).await.unwrap();
    // The beginning of a record, and nothing more.
    stream.write_all(&[22, 3, 1]).await.unwrap();
    let mut said = Vec::new();
    let _reset = within("it is closed", stream.read_to_end(&mut said)).await;
    assert!(said.is_empty(), "{said:?}");
    eventually("its place is free", async || house.daemon.server.connections() == 0).await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_no_old_one_is_dropped() {
    let authority = Authority::new();
    let house = House::with(|config| authority.configure(config));
    let before = authority.connect(&house, None).await;
    before.create(Some("m"), pages(1)).await.unwrap();
    authority.serve_as("renewed.example");
    let mut options = authority.options(&house, None);
    options.tls.as_mut().unwrap().server_name = Some("renewed.example".to_owned());
    eventually("the new one is shown", async || Client::connect(&options).await.is_ok()).await;
    before.memory("m").await.unwrap();
    // What cannot be used changes nothing.
    authority.put("certificate.pem", "no certificate");
    let renewed = Client::connect(&options).await.unwrap();
    renewed.memory("m").await.unwrap();
    before.delete("m").await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_revoked_opens_no_new_connection() {
    let authority = Authority::new();
    authority.revoke(77);
    let house = House::with(|config| {
        authority.configure(config);
        config.tls.client_crl = Some(authority.path("crl.pem"));
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let shown = authority.client("spiffe://x/alice", 78);
    authority.connect(&house, Some(&shown)).await.server_info().await.unwrap();
    authority.revoke(78);
    eventually("it is refused", async || {
        match Client::connect(&authority.options(&house, Some(&shown))).await {
            Ok(client) => client.server_info().await.is_err(),
            Err(_refused) => true,
        }
    })
    .await;
}

#[tokio::test]
async fn over_the_unix_socket_a_user_is_who_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let own = nix::unistd::getuid().as_raw();
    for (uid, outcome) in [(own, Ok(())), (own + 1, Err("CREDENTIALS_MISSING"))] {
        let path = folder.path().join(format!("socket-{uid}"));
        let house = House::with(|config| {
            config.grpc.unix_socket = Some(path.clone());
            let by_uid = Identity { san_uri: None, uid: Some(uid), ..by_uri("user", "") };
            config.identities = vec![by_uid];
        });
        let client = over(&path).await;
        match outcome {
            Ok(()) => assert_eq!(client.server_info().await.unwrap().roles, ["writer"]),
            Err(reason) => drop(refused(client.server_info().await, reason, &[])),
        }
        refused(
            client.drain().await,
            if uid == own { "ROLE_MISSING" } else { "CREDENTIALS_MISSING" },
            role(uid == own),
        );
        house.close().await;
    }
}

fn role(is_known: bool) -> &'static [(&'static str, &'static dyn std::fmt::Display)] {
    if is_known { &[("role", &"operator")] } else { &[] }
}

async fn over(path: &Path) -> Client {
    let mut options = ConnectOptions::new(Endpoint::Unix(path.to_owned()));
    options.retry = RetryPolicy::NONE;
    Client::connect(&options).await.unwrap()
}

#[tokio::test]
async fn the_page_is_read_over_tls_where_it_is_asked_to() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.http.tls = true;
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(house.daemon.addresses.http).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = Vec::new();
    let _closed = within("a page is whole", stream.read_to_end(&mut page)).await;
    let page = String::from_utf8_lossy(&page);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("linmemd_tls_certificate_expiry_timestamp_seconds "));
}
