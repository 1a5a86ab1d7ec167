//! Owns what a listener shows beyond this host: who is asked, who may listen in, and the rules that
//! refuse what nobody has allowed by name.

use std::net::{IpAddr, SocketAddr};

use crate::config::Config;
use crate::config::contradictions::{Rule, rule};

/// A listener beyond this host that asks for no credentials or speaks no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsecureListener {
    /// The key that opened it: `grpc.listen` or `http.listen`.
    pub key: &'static str,
    /// Its address, as configured.
    pub address: SocketAddr,
    /// Whether anyone who reaches it may call.
    pub is_anonymous: bool,
    /// Whether everybody on the way may listen in.
    pub is_plaintext: bool,
}

impl Config {
    /// The listeners that are not on loopback and ask for no credentials or speak no TLS: one warning
    /// each, at every start. `load` refuses them unless their section allows it.
    pub fn insecure_listeners(&self) -> Vec<InsecureListener> {
        let (grpc, http) = (&self.grpc, &self.http);
        [
            ("grpc.listen", grpc.listen, self.is_grpc_anonymous(), !self.tls.is_on()),
            ("http.listen", http.listen, self.is_http_anonymous(), !http.tls),
        ]
        .into_iter()
        .filter(|(_, address, is_anonymous, is_plaintext)| {
            !is_loopback(address.ip()) && (*is_anonymous || *is_plaintext)
        })
        .map(|(key, address, is_anonymous, is_plaintext)| InsecureListener {
            key,
            address,
            is_anonymous,
            is_plaintext,
        })
        .collect()
    }

    /// Whether whoever shows nothing may call over TCP.
    pub fn is_grpc_anonymous(&self) -> bool {
        self.identities.is_empty() || self.grpc.allow_anonymous
    }

    /// Whether whoever shows nothing may read the metrics page.
    pub fn is_http_anonymous(&self) -> bool {
        !self.has_role("metrics") || self.http.allow_anonymous
    }

    /// Whether anybody has that role.
    pub fn has_role(&self, role: &str) -> bool {
        self.identities.iter().any(|one| one.roles.iter().any(|has| has == role))
    }
}

/// Beyond loopback somebody is asked who calls, and nobody listens in; or the listener says otherwise.
pub(super) fn note(config: &Config, rules: &mut Vec<Rule>) {
    let Config { grpc, http, .. } = config;
    let grpc_known = !config.identities.is_empty();
    let http_known = config.has_role("metrics");
    for (section, listen, allowed, known, role) in [
        ("grpc", grpc.listen, grpc.allow_anonymous, grpc_known, ""),
        ("http", http.listen, http.allow_anonymous, http_known, " with the role \"metrics\""),
    ] {
        rules.push(rule(
            format!("{section}.listen"),
            &format!("{section}.allow_anonymous"),
            allowed || known || is_loopback(listen.ip()),
            format!(
                "a loopback address, or an [[identity]]{role}, or {section}.allow_anonymous = true to \
                 let anyone who reaches this address call it without credentials"
            ),
        ));
    }
    for (section, listen, allowed, secured) in [
        ("grpc", grpc.listen, grpc.allow_plaintext, config.tls.is_on()),
        ("http", http.listen, http.allow_plaintext, http.tls),
    ] {
        let tls = if section == "http" { "http.tls = true" } else { "tls.certificate" };
        rules.push(rule(
            format!("{section}.listen"),
            &format!("{section}.allow_plaintext"),
            allowed || secured || is_loopback(listen.ip()),
            format!(
                "a loopback address, or {tls}, or {section}.allow_plaintext = true to let everybody \
                 on the way read and change what is said"
            ),
        ));
    }
}

/// Canonical first: `::ffff:127.0.0.1` is loopback too.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
