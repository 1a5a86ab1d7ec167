//! [`Gate`]: a daemon that asks who calls, and those whom it knows: by tokens, by an issuer's signed
//! claims, by certificates and by user ids.
//!
//! The issuer's key set and what it has signed are in `credentials/`; nobody has its private keys any
//! more, so that whatever else is let in as signed is a forgery.
//!
//! Law: files and config are put in force by Reload, as an operator does it, and by the daemon's own look
//! at its files, which here follows each Reload; all is put back after each input.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request};
use linmemd::client::{Client, ClientError, ConnectOptions, Endpoint, RetryPolicy, TlsOptions};
use linmemd::config::{Config, Identity, JwtClaim, JwtIssuer, Loaded, Origins, Tenant};
use linmemd::daemon::Daemon;
use linmemd::os::kernel::Linux;
use linmemd::proto::v1;
use linmemd::tenancy::Peer;
use linmemd::token::Token;
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

use crate::law::{self, Refusal, Verdict};
use crate::log::{listen, ram};
use crate::rpcs::{Rpc, rpc};
use crate::talk::{Talk, exchange};
use crate::world::{OWN, PATIENCE, connect, framed, still};

/// The issuer, and for whom its tokens are.
pub(crate) const ISSUER: &str = "https://issuer";
pub(crate) const AUDIENCE: &str = "linmemd";
/// Its key set.
pub(crate) const KEYS: &str = include_str!("../credentials/keys.json");
/// The public part of its key `ed`.
pub(crate) const SIGNED: &str = include_str!("../credentials/tokens");

/// Who somebody is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Let in, to this tenant.
    LetIn(&'static str),
    Missing,
    Refused,
    Expired,
}

/// What the issuer has signed, or others as if they were it, and what comes of it.
pub(crate) static JWTS: LazyLock<Vec<(&'static str, Outcome)>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let mut words = line.split(' ');
        let (outcome, token) = (words.next().expect("a word"), words.next().expect("a token"));
        let outcome = match outcome {
            "alice" => Outcome::LetIn("default"),
            "twin" => Outcome::LetIn("other"),
            "expired" => Outcome::Expired,
            _ => Outcome::Refused,
        };
        (token, outcome)
    };
    SIGNED.lines().map(line).collect()
});

/// Bearer tokens: of `default`, of `other`, and one that has run out.
pub(crate) static TOKENS: LazyLock<[(String, Outcome); 3]> = LazyLock::new(|| {
    let token = |bits: u8| Token::new([bits; 32]).reveal().to_owned();
    [
        (token(0), Outcome::LetIn("default")),
        (token(7), Outcome::LetIn("other")),
        (token(9), Outcome::Expired),
    ]
});

/// Names in certificates that are known.
pub(crate) const URI: &str = "spiffe://x/alice";
pub(crate) const DNS: &str = "client.example";
/// A user that is known, beside the operator, who is 0.
pub(crate) const USER: u32 = 1000;

/// A token's hash, as an identity has it.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The daemon's certificate and key, the authority of clients, and its revocation list: PEM, made anew
/// for each process.
pub(crate) static PEM: LazyLock<[String; 4]> = LazyLock::new(|| MADE.0.clone());
/// Clients' certificates, one that says [`URI`] and one that says [`DNS`] and where it is, and their keys.
static CLIENTS: LazyLock<[[String; 2]; 2]> = LazyLock::new(|| MADE.1.clone());
/// Whom their certificates are of.
const TENANTS: [&str; 2] = ["default", "other"];

static MADE: LazyLock<([String; 4], [[String; 2]; 2])> = LazyLock::new(|| {
    let key = || KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let own = key();
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&own, &authority).expect("a certificate");
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2124, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority).expect("a list").pem().expect("PEM");
    let client = |names| {
        let theirs = key();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let client = params.signed_by(&theirs, &authority).expect("a certificate");
        [client.pem(), theirs.serialize_pem()]
    };
    let by_uri = client(vec![SanType::URI(URI.try_into().expect("a URI"))]);
    let place = SanType::IpAddress([127, 0, 0, 1].into());
    let by_dns = client(vec![place, SanType::DnsName(DNS.try_into().expect("a name"))]);
    let pem = [certificate.pem(), own.serialize_pem(), authority.pem(), list];
    (pem, [by_uri, by_dns])
});

/// The files of [`PEM`], in order.
const FILES: [&str; 4] = ["certificate.pem", "key.pem", "ca.pem", "crl.pem"];

/// What is shown in vain is paid for by its connection: no stranger's is asked so often that it waits.
const FEW: u32 = 8;

/// The daemon.
pub(crate) struct Gate {
    runtime: Runtime,
    stranger: SendRequest<Bytes>,
    /// What strangers have asked.
    asked: u32,
    operator: SendRequest<Bytes>,
    folder: PathBuf,
    config: Config,
    /// What a reload finds.
    written: Arc<Mutex<Config>>,
    /// Whether an input has changed a file or the config.
    is_changed: bool,
    daemon: Daemon,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let folder = ram().join(format!("linmemd-fuzz-gate-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder in RAM");
        for (name, text) in FILES.iter().zip(&*PEM) {
            fs::write(folder.join(name), text).expect("a file in RAM");
        }
        fs::write(folder.join("keys.json"), KEYS).expect("a file in RAM");
        let config = config(&folder);
        listen();
        let daemon = Daemon::start(&config, Arc::new(Linux)).expect("a daemon");
        let written = Arc::new(Mutex::new(config.clone()));
        let found = Arc::clone(&written);
        daemon.reload_from(Box::new(move || {
            let config = found.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(Loaded { config, origins: Origins::default() })
        }));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stranger = runtime.block_on(connect(&daemon.server, Peer::Anonymous));
        let operator = runtime.block_on(connect(&daemon.server, OWN));
        let is_changed = false;
        let asked = 0;
        Self { runtime, stranger, asked, operator, folder, config, written, is_changed, daemon }
    }

    /// Whom the daemon takes a stranger for that shows this; all who are refused are told the same.
    pub(crate) fn shown(&mut self, authorization: Option<&[u8]>) -> Result<String, Refusal> {
        self.asked = self.asked.wrapping_add(1);
        if self.asked.is_multiple_of(FEW) {
            self.stranger = self.runtime.block_on(connect(&self.daemon.server, Peer::Anonymous));
        }
        let client = self.stranger.clone();
        self.ask(client, authorization)
    }

    /// The same of another peer, on a connection of its own.
    pub(crate) fn come_as(&mut self, peer: Peer) -> Result<String, Refusal> {
        let client = self.runtime.block_on(connect(&self.daemon.server, peer));
        self.ask(client, None)
    }

    /// That the daemon knows the clients that show their certificates, over TLS.
    pub(crate) fn shake_hands(&mut self) {
        let port = self.daemon.addresses.grpc.port();
        // One of them shows the authority behind its own certificate, as many do.
        let behind = ["", &PEM[2]];
        for (([certificate, key], tenant), behind) in CLIENTS.iter().zip(TENANTS).zip(behind) {
            let endpoint = Endpoint::Https { host: "localhost".into(), port };
            let mut options = ConnectOptions::new(endpoint);
            options.retry = RetryPolicy::NONE;
            let pem = |text: &String| text.clone().into_bytes();
            let identity = Some((pem(&format!("{certificate}{behind}")), pem(key)));
            options.tls = Some(TlsOptions { ca: pem(&PEM[2]), identity, server_name: None });
            let shown: Result<String, ClientError> = self.runtime.block_on(async {
                let client = Client::connect(&options).await?;
                client.server_info().await.map(|info| info.tenant)
            });
            assert_eq!(shown.expect("a handshake"), tenant);
        }
    }

    /// What one of the daemon's two ports answers to whoever says this there and no more.
    pub(crate) fn knock(&self, http: bool, bytes: &[u8]) -> Vec<u8> {
        let addresses = &self.daemon.addresses;
        let address = if http { addresses.http } else { addresses.grpc };
        say(address, bytes).unwrap_or_default()
    }

    fn ask(
        &mut self,
        client: SendRequest<Bytes>,
        authorization: Option<&[u8]>,
    ) -> Result<String, Refusal> {
        let value = authorization.map(|value| HeaderValue::from_bytes(value).expect("a value"));
        match self.call(client, "GetServerInfo", value, &v1::GetServerInfoRequest {}) {
            Verdict::Done(messages) => {
                let info = v1::GetServerInfoResponse::decode(&*messages[0]).expect("one");
                Ok(info.server_info.expect("it").tenant)
            }
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Parked => panic!("nothing to wait for"),
        }
    }

    fn call(
        &mut self,
        client: SendRequest<Bytes>,
        name: &str,
        authorization: Option<HeaderValue>,
        message: &impl Message,
    ) -> Verdict {
        let rpc = rpc(name);
        let request = head(rpc, authorization);
        let body = vec![framed(&message.encode_to_vec())];
        let answer =
            self.runtime.block_on(exchange(client, request, body, false)).expect("an answer");
        law::verdict(rpc, &answer)
    }

    /// A call of whom shows this that lasts until its client says something.
    pub(crate) fn begin(&mut self, authorization: &[u8]) -> Talk {
        let value = HeaderValue::from_bytes(authorization).expect("a value");
        let request = head(rpc("DownloadMemory"), Some(value));
        let begun = Talk::begin(self.stranger.clone(), request, false);
        let mut talk = self.runtime.block_on(begun).expect("a connection that stands");
        self.runtime.block_on(talk.until_idle()).expect("an answer or none");
        talk
    }

    /// Why that call has ended meanwhile; none where it goes on, or went on until now.
    pub(crate) fn end(&mut self, mut talk: Talk) -> Option<Refusal> {
        self.runtime.block_on(talk.until_idle()).expect("an answer or none");
        let has_ended = talk.is_over();
        talk.finish();
        self.runtime.block_on(talk.until_over()).expect("an answer");
        match law::verdict(rpc("DownloadMemory"), &talk.heard()) {
            Verdict::Refused(refusal) => has_ended.then_some(refusal),
            verdict => panic!("it named no memory: {verdict:?}"),
        }
    }

    /// Puts one of the issuer's files in place of what is there.
    pub(crate) fn write_keys(&mut self, text: &[u8]) {
        self.is_changed = true;
        fs::write(self.folder.join("keys.json"), text).expect("a file in RAM");
    }

    /// Puts TLS files in place of those that are there.
    pub(crate) fn write_pem(&mut self, texts: [&[u8]; 4]) {
        self.is_changed = true;
        for (name, text) in FILES.iter().zip(texts) {
            fs::write(self.folder.join(name), text).expect("a file in RAM");
        }
    }

    /// Puts another config in place of that which is there: who may call by it, and who is asked.
    pub(crate) fn write_config(&mut self, other: Config) {
        self.is_changed = true;
        let mut config = self.config.clone();
        let named = config.tenants.iter().map(|tenant| tenant.name.clone()).collect::<Vec<_>>();
        let new = other.tenants.into_iter().filter(|tenant| !named.contains(&tenant.name));
        config.tenants.extend(new.map(|tenant| Tenant::named(&tenant.name)));
        config.jwt_issuers = other.jwt_issuers;
        for issuer in &mut config.jwt_issuers {
            issuer.jwks_file = self.folder.join("keys.json");
        }
        // Who reloads is always known.
        let operator = config.identities.remove(0);
        config.identities = other.identities;
        config.identities.retain(|one| one.uid != operator.uid && one.name != operator.name);
        config.identities.insert(0, operator);
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Puts what is in the files in force.
    pub(crate) fn reload(&mut self) -> Result<(), Refusal> {
        let client = self.operator.clone();
        match self.call(client, "Reload", None, &v1::ReloadRequest::default()) {
            Verdict::Done(_) | Verdict::Parked => Ok(()),
            Verdict::Refused(refusal) => Err(refusal),
        }
    }

    /// Puts everything back as it was.
    pub(crate) fn restore(&mut self) {
        assert_eq!(self.daemon.server.panics(), 0, "a handler panicked");
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        for (name, text) in FILES.iter().zip(&*PEM) {
            fs::write(self.folder.join(name), text).expect("a file in RAM");
        }
        fs::write(self.folder.join("keys.json"), KEYS).expect("a file in RAM");
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = self.config.clone();
        self.reload().expect("what was in force before");
    }
}

/// The head of a call that shows this.
fn head(rpc: &Rpc, authorization: Option<HeaderValue>) -> Request<()> {
    let mut request = Request::post(format!("http://localhost{}", rpc.path))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(()).expect("a request")
}

/// What comes back until the connection ends; none where it is lost, as by who has heard enough.
fn say(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(late) if late.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("a connection goes on that its client has ended")
        }
        _ => Ok(answer),
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

fn config(folder: &std::path::Path) -> Config {
    let mut config = still();
    config.tls.reload_interval = Duration::ZERO;
    config.http.tls = true;
    let file = |place: usize| Some(folder.join(FILES[place]));
    (config.tls.certificate, config.tls.key) = (file(0), file(1));
    (config.tls.client_ca, config.tls.client_crl) = (file(2), file(3));
    config.tenants = ["default", "other"].map(Tenant::named).to_vec();
    config.jwt_issuers = vec![JwtIssuer {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks_file: folder.join("keys.json"),
        algorithms: ["EdDSA", "ES256", "ES384", "RS256"].map(str::to_owned).to_vec(),
    }];
    let known = |name: &str, tenant: &str| Identity {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
        roles: vec!["reader".to_owned()],
        ..Identity::default()
    };
    let claim = |claim: &str, value: &str| {
        let [issuer, claim, value] = [ISSUER, claim, value].map(str::to_owned);
        Some(JwtClaim { issuer, claim, value })
    };
    let token = |place: usize| Some(hash(&TOKENS[place].0));
    let long_ago = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    let roles = vec!["operator".to_owned()];
    // The operator comes first.
    config.identities = vec![
        Identity { uid: Some(0), roles, ..known("operator", "default") },
        Identity { token_sha256: token(0), ..known("one", "default") },
        Identity { token_sha256: token(1), ..known("two", "other") },
        Identity { token_sha256: token(2), expire_time: long_ago, ..known("late", "other") },
        Identity { jwt: claim("sub", "alice"), ..known("alice", "default") },
        Identity { jwt: claim("role", "twin"), ..known("twin", "other") },
        Identity { san_uri: Some(URI.to_owned()), ..known("uri", "default") },
        Identity { san_dns: Some(DNS.to_owned()), ..known("dns", "other") },
        Identity { uid: Some(USER), ..known("user", "other") },
    ];
    config
}
