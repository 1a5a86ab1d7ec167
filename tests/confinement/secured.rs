//! The real program over TLS: it shakes hands, and reads its files anew, in confined threads.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use linmemd::client::{BearerToken, Client, ConnectOptions, Endpoint, RetryPolicy, TlsOptions};
use linmemd::token::Token;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::serving::Serving;

/// Puts a certificate that is its own authority where the daemon looks, as whoever renews one does.
fn renew(folder: &Path, ends: i32) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(ends, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    for (name, text) in [("key.pem", key.serialize_pem()), ("certificate.pem", certificate.clone())]
    {
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
    certificate.into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ends(daemon: &Serving) -> String {
    let page = daemon.scrape();
    let line = page
        .lines()
        .find(|line| line.starts_with("linmemd_tls_certificate_expiry_timestamp_seconds "));
    line.unwrap_or_else(|| panic!("{page}")).to_owned()
}

async fn connect(daemon: &Serving, ca: Vec<u8>, token: &Token) -> Client {
    let port = daemon.grpc.rsplit_once(':').unwrap().1.parse().unwrap();
    let endpoint = Endpoint::Https { host: "localhost".into(), port };
    let mut options = ConnectOptions::new(endpoint);
    options.retry = RetryPolicy::NONE;
    options.tls = Some(TlsOptions { ca, identity: None, server_name: None });
    options.token = Some(BearerToken::new(token.reveal()).unwrap());
    Client::connect(&options).await.unwrap()
}

#[tokio::test]
async fn a_renewed_certificate_is_read_and_shown_by_the_confined_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new([7; 32]);
    let first = renew(folder.path(), 2098);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\nreload_interval = \"100ms\"\n\
         [lease]\nsweep_interval = \"10ms\"\n\
         [[identity]]\nname = \"one\"\ntenant = \"default\"\nroles = [\"writer\"]\n\
         token_sha256 = \"{}\"\n",
        path("certificate.pem"),
        path("key.pem"),
        hex(token.hash().bytes()),
    );
    fs::write(folder.path().join("linmemd.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_linmemd"));
    command.arg("--config").arg(path("linmemd.toml"));
    let daemon = Serving::start(command);
    let before = ends(&daemon);
    let client = connect(&daemon, first, &token).await;
    client.server_info().await.unwrap();
    let second = renew(folder.path(), 2099);
    let late = Instant::now() + Duration::from_secs(20);
    while ends(&daemon) == before {
        assert!(Instant::now() < late, "the renewed certificate is not in force");
    }
    connect(&daemon, second, &token).await.server_info().await.unwrap();
    client.server_info().await.unwrap();
    daemon.stop();
}
