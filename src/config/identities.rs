//! Owns `[tls]`, `[[identity]]` and `[[jwt_issuer]]`: whom the daemon shows itself to, who may call,
//! and the rules between them. The kinds of value that only they have are in `credentials.rs`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::contradictions::{Rule, rule};
use crate::config::draft::Findings;
use crate::config::keys::{IDENTITY, JWT_ISSUER};
use crate::config::mistake::Fault;
use crate::config::{Config, defaults};

/// `[tls]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// The daemon's certificate and those between it and a root, PEM. Default: none, which is no TLS.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM. Default: none.
    pub key: Option<PathBuf>,
    /// Authorities whose certificates callers may show, PEM. Default: none: nobody is asked for one.
    pub client_ca: Option<PathBuf>,
    /// Their revocation lists, PEM. Default: none.
    pub client_crl: Option<PathBuf>,
    /// The longest life of a connection that was let in by its certificate. Default: 1 h.
    pub max_connection_age: Duration,
    /// Between two looks at these files and at the issuers' keys. Default: 1 min.
    pub reload_interval: Duration,
}

/// One `[[identity]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// Its name, for the log; unique. No default.
    pub name: String,
    /// The tenant. No default.
    pub tenant: String,
    /// Its roles. No default.
    pub roles: Vec<String>,
    /// A URI in the certificate.
    pub san_uri: Option<String>,
    /// A DNS name in the certificate.
    pub san_dns: Option<String>,
    /// SHA-256 of the bearer token.
    pub token_sha256: Option<[u8; 32]>,
    /// A claim of a JSON Web Token.
    pub jwt: Option<JwtClaim>,
    /// A user over the Unix socket.
    pub uid: Option<u32>,
    /// Until when. Default: none, which is for good.
    pub expire_time: Option<SystemTime>,
}

/// A claim that identifies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JwtClaim {
    /// Whose token.
    pub issuer: String,
    /// The claim.
    pub claim: String,
    /// What it says.
    pub value: String,
}

/// One `[[jwt_issuer]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JwtIssuer {
    /// The `iss` of its tokens; unique. No default.
    pub issuer: String,
    /// What must be in their `aud`. No default.
    pub audience: String,
    /// Its keys, a JSON Web Key Set. No default.
    pub jwks_file: PathBuf,
    /// How its tokens may be signed. No default.
    pub algorithms: Vec<String>,
}

/// A credential: compared with others, never told.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Text(String),
    Hash([u8; 32]),
    Claim(JwtClaim),
    User(u32),
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_crl: None,
            max_connection_age: defaults::CERTIFICATE_AGE,
            reload_interval: defaults::RELOAD_INTERVAL,
        }
    }
}

impl Tls {
    /// Whether there is any.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }
}

impl Identity {
    /// What it is shown by: each of these that is given.
    fn shown_by(&self) -> Vec<(&'static str, Shown)> {
        let dns = self.san_dns.as_ref().map(|dns| dns.to_ascii_lowercase());
        [
            ("san_uri", self.san_uri.clone().map(Shown::Text)),
            ("san_dns", dns.map(Shown::Text)),
            ("token_sha256", self.token_sha256.map(Shown::Hash)),
            ("jwt", self.jwt.clone().map(Shown::Claim)),
            ("uid", self.uid.map(Shown::User)),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

/// Notes every contradiction that is about who calls.
pub(super) fn note(config: &Config, findings: &mut Findings, rules: &mut Vec<Rule>) {
    files(config, rules);
    let mut names = BTreeMap::new();
    let tenants: BTreeSet<&str> = config.tenants.iter().map(|one| one.name.as_str()).collect();
    let mut shown: BTreeMap<(&str, Shown), (usize, &Identity)> = BTreeMap::new();
    for (index, one) in config.identities.iter().enumerate() {
        once(&mut names, one.name.clone(), path(IDENTITY, index, "name"), findings);
        known(index, one, &tenants, config, findings);
        let ways = one.shown_by();
        let broken = |key: &&str| findings.broken.contains(&path(IDENTITY, index, key));
        if WAYS.iter().any(broken) {
            continue;
        }
        if ways.len() != 1 {
            let found = match ways.as_slice() {
                [] => "none of them".to_owned(),
                ways => ways.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(" and "),
            };
            let key = path(IDENTITY, index, "name");
            let accepted = format!("exactly one of {}", WAYS.join(", "));
            findings.note(findings.origin(&key), key, Fault::Malformed { found, accepted });
            continue;
        }
        for (way, value) in ways {
            match shown.entry((way, value)) {
                Entry::Vacant(free) => {
                    free.insert((index, one));
                }
                Entry::Occupied(taken) => mapped_twice(way, (index, one), *taken.get(), findings),
            }
        }
    }
    let mut issuers = BTreeMap::new();
    for (index, one) in config.jwt_issuers.iter().enumerate() {
        once(&mut issuers, one.issuer.clone(), path(JWT_ISSUER, index, "issuer"), findings);
    }
}

/// What an identity can be shown by.
const WAYS: [&str; 5] = ["san_uri", "san_dns", "token_sha256", "jwt", "uid"];

fn files(config: &Config, rules: &mut Vec<Rule>) {
    let tls = &config.tls;
    let both = tls.certificate.is_some() == tls.key.is_some();
    rules.push(rule(
        "tls.certificate",
        "tls.key",
        both,
        "both tls.certificate and tls.key, or none",
    ));
    for (key, given, other, needs) in [
        ("tls.client_ca", tls.client_ca.is_some(), "tls.certificate", tls.is_on()),
        ("tls.client_crl", tls.client_crl.is_some(), "tls.client_ca", tls.client_ca.is_some()),
    ] {
        rules.push(rule(key, other, !given || needs, format!("{key} together with {other}")));
    }
    rules.push(rule(
        "http.tls",
        "tls.certificate",
        !config.http.tls || tls.is_on(),
        "http.tls = true together with tls.certificate",
    ));
}

fn known(
    index: usize,
    one: &Identity,
    tenants: &BTreeSet<&str>,
    config: &Config,
    findings: &mut Findings,
) {
    let mut refuse = |name: &str, found: &str, accepted: &str| {
        let key = path(IDENTITY, index, name);
        if findings.broken.contains(&key) {
            return;
        }
        let (found, accepted) = (format!("{found:?}"), accepted.to_owned());
        findings.note(findings.origin(&key), key, Fault::Malformed { found, accepted });
    };
    if !tenants.contains(one.tenant.as_str()) {
        refuse("tenant", &one.tenant, "the name of a [[tenant]]");
    }
    if let Some(jwt) = &one.jwt
        && !config.jwt_issuers.iter().any(|issuer| issuer.issuer == jwt.issuer)
    {
        refuse("jwt", &jwt.issuer, "the issuer of a [[jwt_issuer]]");
    }
    if (one.san_uri.is_some() || one.san_dns.is_some()) && config.tls.client_ca.is_none() {
        refuse("name", &one.name, "tls.client_ca, by which certificates are verified");
    }
    if one.uid.is_some() && config.grpc.unix_socket.is_none() {
        refuse("uid", &one.name, "grpc.unix_socket, where users are known");
    }
}

/// Names both by what a reader can find in the file, and the credential by nothing.
fn mapped_twice(
    way: &str,
    (index, one): (usize, &Identity),
    (before, other): (usize, &Identity),
    findings: &mut Findings,
) {
    let key = path(IDENTITY, index, way);
    let fault = Fault::SharedCredential {
        identity: format!("identity {:?}", one.name),
        other: format!("identity[{before}] {:?}", other.name),
        first: findings.origin(&path(IDENTITY, before, way)),
    };
    findings.note(findings.origin(&key), key, fault);
}

fn once(first: &mut BTreeMap<String, String>, found: String, key: String, findings: &mut Findings) {
    if found.is_empty() {
        return;
    }
    match first.get(&found) {
        Some(before) => {
            let (first, found) = (findings.origin(before), format!("{found:?}"));
            findings.note(findings.origin(&key), key, Fault::Duplicate { found, first });
        }
        None => {
            first.insert(found, key);
        }
    }
}

fn path(section: &str, index: usize, name: &str) -> String {
    format!("{section}[{index}].{name}")
}
