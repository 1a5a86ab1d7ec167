//! Credentials: what a caller shows, and the files and sections that say who is known.
//!
//! ```text
//! kind % 8:  0  an `authorization` header              1  what is said to a port instead of TLS
//!            2  a key set, TLS files and sections      3  a key set, and which token is then shown
//!            4  sections of a config                   5  | edits | TLS files, `%%` between them
//!            6  names of a certificate, one a line     7  a user id
//! ```
//!
//! Checked, and nothing of it by the daemon's code: a header lets in who shows, byte by byte, a token
//! whose SHA-256 is in the table or a token that the issuer signed, to the tenant that it is mapped to;
//! what has run out is told so to its holder only; everybody else is refused, all in the same words. A
//! key set lets its own keys' tokens in and no others; sections those whom they map; a certificate who
//! has exactly one known name. A call that lasts ends with what its caller was let in by. TLS files are taken only with a key that fits the certificate. What is
//! refused has changed nothing but what can be used of files by itself. Who does not speak TLS gets no
//! word in clear. A token and its hash are never shown.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use linmemd::config::{Config, Identity};
use linmemd::tenancy::{Certificate, Peer, Standing};
use linmemd::token::Token;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::known::{
    AUDIENCE, DNS, Gate, ISSUER, JWTS, KEYS, Outcome, PEM, TOKENS, URI, USER, hash,
};
use crate::law::Refusal;
use crate::planted;

/// Between the files of an input.
pub(crate) const NEXT_FILE: &str = "%%";
/// Stand in an input for what is only known when it runs.
pub(crate) const MARKS: [&str; 4] = ["{certificate}", "{key}", "{ca}", "{crl}"];

/// The same for the issuer's own keys, which are longer than an input.
pub(crate) const MARK_OF_KEYS: &[u8] = b"{keys}";

thread_local! {
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
    /// What who is refused was told first.
    static REFUSED: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    GATE.with_borrow_mut(|gate| {
        let gate = gate.get_or_insert_with(Gate::new);
        match kind % 8 {
            0 => header(gate, bytes),
            1 => knock(gate, bytes),
            2 => at_once(gate, bytes),
            3 => key_set(gate, bytes),
            4 => sections(gate, bytes),
            5 => files(gate, bytes),
            6 => certificate(gate, bytes),
            _ => user(gate, bytes),
        }
        gate.restore();
    });
}

/// That the answer is what must come of it.
fn is(found: Result<String, Refusal>, wanted: Outcome, what: &dyn std::fmt::Debug) {
    match (found, wanted) {
        (Ok(tenant), Outcome::LetIn(wanted)) => assert_eq!(tenant, wanted, "{what:?}"),
        (Err(refusal), wanted) => {
            let reason = match wanted {
                Outcome::Missing => "CREDENTIALS_MISSING",
                Outcome::Refused => "CREDENTIALS_REFUSED",
                Outcome::Expired => "CREDENTIALS_EXPIRED",
                Outcome::LetIn(_) => "",
            };
            assert_eq!(refusal.reason, reason, "{what:?}: {wanted:?}");
            if wanted == Outcome::Refused {
                REFUSED.with_borrow_mut(|first| {
                    assert_eq!(*first.get_or_insert_with(|| refusal.clone()), refusal, "{what:?}");
                });
            }
        }
        (Ok(tenant), wanted) => panic!("{what:?} is let in to {tenant}: {wanted:?}"),
    }
}

fn header(gate: &mut Gate, bytes: &[u8]) {
    if bytes.is_empty() {
        return is(gate.shown(None), Outcome::Missing, &"nothing");
    }
    if HeaderValue::from_bytes(bytes).is_err() {
        return;
    }
    let mut found = gate.shown(Some(bytes));
    let shown = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' '));
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let shown = shown.map(|(_, shown)| shown.trim());
    // As if tokens were compared without regard to case.
    if shown.is_some_and(|shown| {
        planted::here(shown.eq_ignore_ascii_case(&TOKENS[1].0) && shown != TOKENS[1].0)
    }) {
        found = Ok("other".to_owned());
    }
    if let Some(token) = shown.and_then(Token::read) {
        kept_secret(&token);
    }
    let wanted = shown.map_or(Outcome::Refused, |shown| {
        let token = TOKENS.iter().find(|(token, _)| token == shown).map(|(_, outcome)| *outcome);
        let signed = || JWTS.iter().find(|(token, _)| *token == shown);
        token.or_else(|| signed().map(|(_, outcome)| *outcome)).unwrap_or(Outcome::Refused)
    });
    is(found, wanted, &String::from_utf8_lossy(bytes));
}

/// That a token is what its hash is of, and is not shown by those who show all.
fn kept_secret(token: &Token) {
    let shown = format!("{token:?}");
    let secret = token.reveal();
    assert!(!shown.contains(&secret[secret.len() - 8..]), "{shown}");
    let hash: String = hash(secret).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(format!("{:?}", token.hash()), hash);
}

/// Bytes of somebody who does not speak TLS, or not for long: the first says to which port.
fn knock(gate: &mut Gate, bytes: &[u8]) {
    /// The kinds of TLS's records.
    const RECORDS: std::ops::RangeInclusive<u8> = 20..=23;
    let Some((port, said)) = bytes.split_first() else { return };
    let answer = gate.knock(port & 1 != 0, said);
    assert!(answer.first().is_none_or(|kind| RECORDS.contains(kind)), "{answer:?}");
}

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

/// That who was known before is known still.
fn unchanged(gate: &mut Gate, refusal: &Refusal) {
    assert_eq!((refusal.reason.as_str(), refusal.fields.len()), ("INVALID_SPEC", 1));
    assert!(refusal.message.len() < 4_096, "{refusal:?}");
    let (token, outcome) = &TOKENS[0];
    is(gate.shown(Some(&bearer(token))), *outcome, token);
    let (token, outcome) = JWTS[0];
    is(gate.shown(Some(&bearer(token))), outcome, &token);
}

/// A set of keys in place of the issuer's own.
fn key_set(gate: &mut Gate, bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else { return };
    let good: Vec<_> =
        JWTS.iter().filter(|(_, outcome)| matches!(outcome, Outcome::LetIn(_))).collect();
    let (token, outcome) = good[usize::from(*which) % good.len()];
    gate.write_keys(text);
    if let Err(refusal) = gate.reload() {
        return unchanged(gate, &refusal);
    }
    match gate.shown(Some(&bearer(token))) {
        Ok(tenant) => {
            assert_eq!(
                Outcome::LetIn(if tenant == "other" { "other" } else { "default" }),
                *outcome
            );
            assert!(has_key_of(text, token), "a token by a key that is not in the set");
        }
        Err(refusal) => assert_eq!(refusal.reason, "CREDENTIALS_REFUSED"),
    }
}

/// Whether one of the issuer's own keys that may have signed this is in a key set.
fn has_key_of(text: &[u8], token: &str) -> bool {
    let keys = |text: &[u8]| -> Vec<Value> {
        let set: Value = serde_json::from_slice(text).unwrap_or_default();
        set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let public = |key: &Value| {
        ["x", "y", "n", "e"].map(|part| key.get(part).and_then(Value::as_str).map(str::to_owned))
    };
    let own = keys(crate::known::KEYS.as_bytes());
    let there: Vec<_> = keys(text).iter().map(public).collect();
    let header = token.split('.').next().and_then(|header| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).ok()
    });
    let header: Value = serde_json::from_slice(&header.expect("a header")).expect("one of ours");
    let kind = match header["alg"].as_str() {
        Some("EdDSA") => "OKP",
        Some("RS256") => "RSA",
        _ => "EC",
    };
    own.iter().filter(|key| key["kty"] == kind).any(|key| there.contains(&public(key)))
}

/// `[[identity]]` and `[[jwt_issuer]]` of another config.
fn sections(gate: &mut Gate, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = Config::from_toml(text) else { return };
    let (identities, issuers) = (config.identities.clone(), config.jwt_issuers.clone());
    gate.write_config(config);
    let lasting = gate.begin(&bearer(&TOKENS[0].0));
    let reloaded = gate.reload();
    let ended = gate.end(lasting);
    if let Err(refusal) = reloaded {
        assert!(ended.is_none(), "{ended:?}");
        return unchanged(gate, &refusal);
    }
    let now = SystemTime::now();
    let is_late = |one: &Identity| one.expire_time.is_some_and(|until| until <= now);
    // Whoever is mapped to the operator's name is left out.
    let known = |one: &&Identity| one.name != "operator";
    let mut holds = identities.iter().filter(known);
    let holds = holds.any(|one| one.token_sha256 == Some(hash(&TOKENS[0].0)) && !is_late(one));
    match ended {
        None => assert!(holds, "whoever is not known any more goes on"),
        Some(refusal) => {
            let why =
                ["CREDENTIALS_REFUSED", "CREDENTIALS_EXPIRED", "ROLE_MISSING", "TENANT_MISMATCH"];
            assert!(why.contains(&refusal.reason.as_str()), "{refusal:?}");
        }
    }
    for (token, _) in &*TOKENS {
        let mapped = identities.iter().filter(known);
        let mapped = mapped.clone().find(|one| one.token_sha256 == Some(hash(token)));
        told(gate.shown(Some(&bearer(token))), mapped.map(|one| (one, is_late(one))));
    }
    let (token, _) = JWTS[0];
    let claims = [("iss", ISSUER), ("aud", AUDIENCE), ("sub", "alice")];
    let issuer = issuers.iter().find(|one| {
        let listed = one.algorithms.iter().any(|name| name == "EdDSA");
        one.issuer == ISSUER && one.audience == AUDIENCE && listed
    });
    let mut mapped = identities.iter().filter(known).filter(|one| {
        one.jwt.as_ref().is_some_and(|jwt| {
            let said = claims.contains(&(jwt.claim.as_str(), jwt.value.as_str()));
            jwt.issuer == ISSUER && said && issuer.is_some()
        })
    });
    let only = mapped.next().filter(|_| mapped.next().is_none());
    told(gate.shown(Some(&bearer(token))), only.map(|one| (one, is_late(one))));
}

/// Who is mapped, and whether that has run out.
fn told(found: Result<String, Refusal>, mapped: Option<(&Identity, bool)>) {
    match (found, mapped) {
        (Ok(tenant), Some((one, false))) => assert_eq!(tenant, one.tenant),
        (Err(refusal), Some((_, true))) => assert_eq!(refusal.reason, "CREDENTIALS_EXPIRED"),
        (Err(refusal), None) => assert_eq!(refusal.reason, "CREDENTIALS_REFUSED"),
        (found, mapped) => panic!("{found:?} of {mapped:?}"),
    }
}

/// A key set, TLS files and sections at once: where they are refused, the daemon's own look at its files
/// finds what can be used of them.
fn at_once(gate: &mut Gate, bytes: &[u8]) {
    let text = filled(bytes);
    let mut parts = split(&text).into_iter();
    let keys = parts.next().unwrap_or_default();
    let texts: [&[u8]; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let sections = parts.next().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    gate.write_keys(if keys == MARK_OF_KEYS { KEYS.as_bytes() } else { keys });
    gate.write_pem(texts);
    if let Ok(config) = Config::from_toml(sections) {
        gate.write_config(config);
    }
    // The second comes after the look that follows the first.
    for _time in 0..2 {
        if let Err(refusal) = gate.reload() {
            assert_eq!((refusal.reason.as_str(), refusal.fields.len()), ("INVALID_SPEC", 1));
            let (token, outcome) = &TOKENS[0];
            is(gate.shown(Some(&bearer(token))), *outcome, token);
        }
    }
}

/// TLS files in place of the daemon's own.
fn files(gate: &mut Gate, bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let Some((edits, text)) = rest.split_at_checked(usize::from(count % 4) * 3) else { return };
    let mut text = filled(text);
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        if let Some(byte) = text.get_mut(at) {
            *byte ^= edit[2];
        }
    }
    let mut parts = split(&text).into_iter();
    let texts: [&[u8]; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    gate.write_pem(texts);
    match gate.reload() {
        Ok(()) => {
            assert!(fit(texts[0], texts[1]), "a key that is not the certificate's");
            if texts.iter().zip(&*PEM).all(|(text, pem)| *text == pem.as_bytes()) {
                gate.shake_hands();
            }
        }
        Err(refusal) => unchanged(gate, &refusal),
    }
}

/// Whether a certificate and a key hold the daemon's own key: no other pair can be found by chance.
fn fit(certificate: &[u8], key: &[u8]) -> bool {
    const BYTES: usize = 32;
    // The last bytes of an Ed25519 key as PKCS #8 has it are the public ones.
    let own = PrivateKeyDer::from_pem_slice(PEM[1].as_bytes()).expect("our own");
    let public = &own.secret_der()[own.secret_der().len() - BYTES..];
    let secret = &own.secret_der()[16..16 + BYTES];
    let holds = |der: &[u8], part: &[u8]| der.windows(BYTES).any(|window| window == part);
    let shown = CertificateDer::from_pem_slice(certificate);
    let key = PrivateKeyDer::from_pem_slice(key);
    shown.is_ok_and(|shown| holds(&shown, public))
        && key.is_ok_and(|key| holds(key.secret_der(), secret))
}

fn filled(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    'next: while at < text.len() {
        for (mark, pem) in MARKS.iter().zip(&*PEM) {
            if text[at..].starts_with(mark.as_bytes()) {
                out.extend_from_slice(pem.as_bytes());
                at += mark.len();
                continue 'next;
            }
        }
        out.push(text[at]);
        at += 1;
    }
    out
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        if text[at..].starts_with(NEXT_FILE.as_bytes()) {
            parts.push(&text[begin..at]);
            begin = at + NEXT_FILE.len();
            at = begin;
        } else {
            at += 1;
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// A certificate that was verified, with these names: `u` before a URI, `d` before a DNS name.
fn certificate(gate: &mut Gate, bytes: &[u8]) {
    let Some((when, lines)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(lines) else { return };
    let of = |sign: char| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(sign));
        lines.map(str::to_owned).collect()
    };
    let (uris, dns, is_late) = (of('u'), of('d'), when & 1 != 0);
    let count = uris.iter().filter(|uri| *uri == URI).count();
    let by_dns = dns.iter().filter(|name| name.eq_ignore_ascii_case(DNS)).count();
    let wanted = match (count, by_dns, is_late) {
        (1, 0, false) => Outcome::LetIn("default"),
        (0, 1, false) => Outcome::LetIn("other"),
        (1, 0, true) | (0, 1, true) => Outcome::Expired,
        _ => Outcome::Refused,
    };
    let end = Duration::from_secs(if is_late { 1 } else { 4_102_444_800 });
    let not_after = SystemTime::UNIX_EPOCH + end;
    let found = gate.come_as(Peer::Certificate(Certificate {
        uris,
        dns,
        not_after,
        standing: Standing::default(),
    }));
    is(found, wanted, &text);
}

fn user(gate: &mut Gate, bytes: &[u8]) {
    let [a, b, c, d, own, ..] = bytes else { return };
    let uid = u32::from_le_bytes([*a, *b, *c, *d]);
    let wanted = match uid {
        0 => Outcome::LetIn("default"),
        USER => Outcome::LetIn("other"),
        _ => Outcome::Missing,
    };
    is(gate.come_as(Peer::User { uid, is_own: own & 1 != 0 }), wanted, &uid);
}
