//! Claims about who is let in as whom: mappings, tokens, certificates, users and signed claims.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

impl Identities {
    fn grant(&self, peer: &Peer, shown: Option<&[u8]>, now: SystemTime) -> Result<Grant, Failure> {
        self.judge(peer, shown, now, || Ok(())).map_err(|denied| denied.failure)
    }
}

fn identity(name: &str, roles: Roles) -> Identity {
    let tenant = TenantName::new(name).unwrap();
    Identity { name: name.to_owned(), tenant, roles, expires: None }
}

fn mapping(name: &str, credential: Credential) -> Mapping {
    Mapping { credential, identity: identity(name, Roles::of([Role::Reader])) }
}

fn of(mappings: Vec<Mapping>) -> Identities {
    Identities::new(mappings, Vec::new(), Unasked::default()).unwrap()
}

fn name(grant: Result<Grant, Failure>) -> Result<String, Failure> {
    grant.map(|grant| grant.identity.map_or("nobody".to_owned(), |identity| identity.name.clone()))
}

fn certificate(uris: &[&str], dns: &[&str]) -> Peer {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let not_after = NOW + Duration::from_secs(100);
    Peer::Certificate(Certificate {
        uris: owned(uris),
        dns: owned(dns),
        not_after,
        standing: Standing::default(),
    })
}

#[test]
fn where_nobody_is_mapped_anyone_is_let_in_and_a_token_is_refused() {
    let nobody = Identities::nobody();
    let grant = nobody.grant(&Peer::Anonymous, None, NOW).unwrap();
    assert!(grant.roles.has(Role::Writer) && !grant.roles.has(Role::Operator));
    let own = Peer::User { uid: 0, is_own: true };
    assert!(nobody.grant(&own, None, NOW).unwrap().roles.has(Role::Operator));
    let shown = nobody.grant(&Peer::Anonymous, Some(b"Bearer x"), NOW);
    assert!(matches!(shown, Err(Failure::CredentialsRefused)));
}

#[test]
fn once_anyone_is_mapped_user_0_is_a_user_like_any_other() {
    let all = of(vec![mapping("alice", Credential::Uid(1000))]);
    let root = Peer::User { uid: 0, is_own: true };
    assert!(matches!(all.grant(&root, None, NOW), Err(Failure::CredentialsMissing)));
    let alice = Peer::User { uid: 1000, is_own: false };
    assert_eq!(name(all.grant(&alice, None, NOW)), Ok("alice".to_owned()));
    assert!(matches!(all.grant(&Peer::Anonymous, None, NOW), Err(Failure::CredentialsMissing)));
}

#[test]
fn a_token_is_known_by_its_hash_and_by_nothing_else() {
    let token = Token::new([7; 32]);
    let all = of(vec![mapping("alice", Credential::Token(token.hash()))]);
    let grant = |shown: String| name(all.grant(&Peer::Anonymous, Some(shown.as_bytes()), NOW));
    assert_eq!(grant(format!("Bearer {}", token.reveal())), Ok("alice".to_owned()));
    assert_eq!(grant(format!("bearer  {}", token.reveal())), Ok("alice".to_owned()));
    let other = Token::new([8; 32]);
    for shown in [
        format!("Bearer {}", other.reveal()),
        format!("Bearer {:?}", token.hash()),
        format!("Basic {}", token.reveal()),
        token.reveal().to_owned(),
        "Bearer ".to_owned(),
    ] {
        assert!(matches!(grant(shown.clone()), Err(Failure::CredentialsRefused)), "{shown}");
    }
}

#[test]
fn what_has_run_out_says_so_only_to_who_holds_it() {
    let token = Token::new([7; 32]);
    let mut mapping = mapping("alice", Credential::Token(token.hash()));
    mapping.identity.expires = Some(NOW + Duration::from_secs(5));
    let all = of(vec![mapping]);
    let shown = format!("Bearer {}", token.reveal());
    let at = |seconds| {
        all.grant(&Peer::Anonymous, Some(shown.as_bytes()), NOW + Duration::from_secs(seconds))
    };
    assert!(at(4).is_ok());
    assert!(matches!(at(5), Err(Failure::CredentialsExpired)));
}

#[test]
fn a_certificate_is_known_by_exactly_one_of_its_names() {
    let all = of(vec![
        mapping("uri", Credential::SanUri("spiffe://x/uri".to_owned())),
        mapping("dns", Credential::SanDns("Client.Example".to_owned())),
    ]);
    let grant = |peer: Peer| name(all.grant(&peer, None, NOW));
    assert_eq!(grant(certificate(&["spiffe://x/uri"], &["other"])), Ok("uri".to_owned()));
    assert_eq!(grant(certificate(&[], &["client.EXAMPLE"])), Ok("dns".to_owned()));
    for peer in [
        certificate(&["spiffe://x/uri"], &["client.example"]),
        certificate(&["spiffe://x/uri", "spiffe://x/uri"], &[]),
        certificate(&["spiffe://x/"], &["*.example"]),
        certificate(&[], &[]),
    ] {
        assert!(matches!(grant(peer.clone()), Err(Failure::CredentialsRefused)), "{peer:?}");
    }
    let late =
        all.grant(&certificate(&["spiffe://x/uri"], &[]), None, NOW + Duration::from_secs(101));
    assert!(matches!(late, Err(Failure::CredentialsExpired)));
}

#[test]
fn what_a_call_shows_counts_before_what_its_connection_showed() {
    let token = Token::new([7; 32]);
    let all = of(vec![
        mapping("uri", Credential::SanUri("spiffe://x/uri".to_owned())),
        mapping("token", Credential::Token(token.hash())),
    ]);
    let peer = certificate(&["spiffe://x/uri"], &[]);
    let shown = format!("Bearer {}", token.reveal());
    assert_eq!(name(all.grant(&peer, Some(shown.as_bytes()), NOW)), Ok("token".to_owned()));
    assert!(all.grant(&peer, Some(b"Bearer wrong"), NOW).is_err());
}

#[test]
fn one_credential_is_mapped_once() {
    let twice = |credential: Credential| {
        let mappings = vec![mapping("first", credential.clone()), mapping("second", credential)];
        Identities::new(mappings, Vec::new(), Unasked::default()).unwrap_err()
    };
    let hash = Token::new([1; 32]).hash();
    let jwt = |text: &str| text.to_owned();
    for credential in [
        Credential::Uid(1),
        Credential::SanUri("u".to_owned()),
        Credential::SanDns("d".to_owned()),
        Credential::Token(hash),
        Credential::Jwt { issuer: jwt("i"), claim: jwt("c"), value: jwt("v") },
    ] {
        let error = twice(credential);
        assert_eq!((error.first.as_str(), error.second.as_str()), ("first", "second"));
    }
}

/// A key of the curve P-256 and its public half as a JWK.
struct Signer {
    key: rcgen::KeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { key, kid }
    }

    fn jwk(&self) -> Value {
        // An uncompressed point: 4, then x and y.
        let point = self.key.public_key_raw();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": part(1..33), "y": part(33..65) })
    }

    fn sign(&self, header: Value, claims: Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let said = format!("{}.{}", encode(&header), encode(&claims));
        let key = jsonwebtoken::EncodingKey::from_ec_der(&self.key.serialize_der());
        let algorithm = jsonwebtoken::Algorithm::ES256;
        let signature = jsonwebtoken::crypto::sign(said.as_bytes(), &key, algorithm).unwrap();
        format!("{said}.{signature}")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "iss": "https://issuer", "aud": "linmemd", "sub": "alice", "exp": now() + 600
    });
    change(&mut claims);
    claims
}

fn with_issuer(signer: &Signer) -> Identities {
    let settings = IssuerSettings {
        issuer: "https://issuer".to_owned(),
        audience: "linmemd".to_owned(),
        algorithms: vec![JwtAlgorithm::of("ES256").unwrap()],
    };
    let keys = json!({ "keys": [{ "kty": "unheard of" }, signer.jwk()] }).to_string();
    let issuer = Issuer::new(&settings, &keys).unwrap();
    let text = |text: &str| text.to_owned();
    let credential = Credential::Jwt {
        issuer: text("https://issuer"),
        claim: text("sub"),
        value: text("alice"),
    };
    Identities::new(vec![mapping("alice", credential)], vec![issuer], Unasked::default()).unwrap()
}

#[test]
fn a_signed_claim_is_somebody_until_it_runs_out() {
    let signer = Signer::new("one");
    let all = with_issuer(&signer);
    let header = json!({ "alg": "ES256", "kid": "one" });
    let shown = format!("Bearer {}", signer.sign(header, claims(|_| ())));
    let grant = |at| all.grant(&Peer::Anonymous, Some(shown.as_bytes()), at);
    let granted = grant(SystemTime::now()).unwrap();
    assert_eq!(granted.identity.unwrap().name, "alice");
    assert!(granted.expires.is_some());
    let later = SystemTime::now() + Duration::from_secs(601);
    assert!(matches!(grant(later), Err(Failure::CredentialsExpired)));
}

#[test]
fn a_claim_that_is_not_this_issuers_for_us_is_refused() {
    let (signer, other) = (Signer::new("one"), Signer::new("one"));
    let all = with_issuer(&signer);
    let header = json!({ "alg": "ES256", "kid": "one" });
    let own = |change: fn(&mut Value)| signer.sign(header.clone(), claims(change));
    let mut cut = own(|_| ());
    cut.pop();
    let none = {
        let signed = signer.sign(json!({ "alg": "none" }), claims(|_| ()));
        signed.rsplit_once('.').unwrap().0.to_owned() + "."
    };
    let refused = [
        ("another signer", other.sign(header.clone(), claims(|_| ()))),
        ("another audience", own(|claims| claims["aud"] = json!("other"))),
        ("no audience", own(|claims| claims["aud"] = Value::Null)),
        ("another issuer", own(|claims| claims["iss"] = json!("https://other"))),
        ("another subject", own(|claims| claims["sub"] = json!("bob"))),
        ("a subject that is no text", own(|claims| claims["sub"] = json!(["alice"]))),
        ("no expiry", own(|claims| claims["exp"] = Value::Null)),
        ("not yet", own(|claims| claims["nbf"] = json!(now() + 600))),
        ("another key's id", signer.sign(json!({ "alg": "ES256", "kid": "two" }), claims(|_| ()))),
        ("an extension", signer.sign(json!({ "alg": "ES256", "crit": ["x"] }), claims(|_| ()))),
        ("another algorithm", signer.sign(json!({ "alg": "ES384" }), claims(|_| ()))),
        ("no algorithm", none),
        ("a cut signature", cut),
        ("no token", "a.b.c".to_owned()),
    ];
    for (why, token) in refused {
        let shown = format!("Bearer {token}");
        let grant = all.grant(&Peer::Anonymous, Some(shown.as_bytes()), SystemTime::now());
        assert!(matches!(grant, Err(Failure::CredentialsRefused)), "{why}: {grant:?}");
    }
    let shown = format!("Bearer {}", own(|claims| claims["exp"] = json!(now() - 600)));
    let grant = all.grant(&Peer::Anonymous, Some(shown.as_bytes()), SystemTime::now());
    assert!(matches!(grant, Err(Failure::CredentialsExpired)), "{grant:?}");
}

#[test]
fn a_set_without_a_key_that_fits_is_told_at_once() {
    let settings = IssuerSettings {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        algorithms: vec![JwtAlgorithm::of("EdDSA").unwrap()],
    };
    let keys = json!({ "keys": [Signer::new("one").jwk()] }).to_string();
    assert_eq!(Issuer::new(&settings, &keys).unwrap_err(), KeySetError::NoKey { keys: 1 });
    assert!(matches!(Issuer::new(&settings, "[]"), Err(KeySetError::Form(_))));
}

/// What is found out about who shows this token, and how often leave was asked to verify it.
fn judged(all: &Identities, token: &str) -> (Result<Grant, Denied>, u32) {
    let mut asked = 0;
    let shown = format!("Bearer {token}");
    let leave = || {
        asked += 1;
        Ok(())
    };
    let judged = all.judge(&Peer::Anonymous, Some(shown.as_bytes()), SystemTime::now(), leave);
    (judged, asked)
}

fn issuer(name: &str, signers: &[&Signer]) -> Issuer {
    let settings = IssuerSettings {
        issuer: name.to_owned(),
        audience: "linmemd".to_owned(),
        algorithms: vec![JwtAlgorithm::of("ES256").unwrap(); 2],
    };
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    Issuer::new(&settings, &json!({ "keys": keys }).to_string()).unwrap()
}

#[test]
fn a_token_is_verified_with_the_one_key_that_it_can_be_signed_with_or_with_none() {
    let signers = [Signer::new("one"), Signer::new("two")];
    let [one, two] = &signers;
    let jwt = |issuer: &str| Credential::Jwt {
        issuer: issuer.to_owned(),
        claim: "sub".to_owned(),
        value: "alice".to_owned(),
    };
    let issuers = vec![issuer("https://issuer", &[one, two]), issuer("https://other", &[one])];
    let mappings =
        vec![mapping("alice", jwt("https://issuer")), mapping("b", jwt("https://other"))];
    let all = Identities::new(mappings, issuers, Unasked::default()).unwrap();
    let header = |kid: &str| json!({ "alg": "ES256", "kid": kid });
    let of_other = || claims(|claims| claims["iss"] = json!("https://other"));
    let let_in = [
        ("its key", one.sign(header("one"), claims(|_| ())), "alice"),
        ("its key", two.sign(header("two"), claims(|_| ())), "alice"),
        ("the only key of its issuer", one.sign(json!({ "alg": "ES256" }), of_other()), "b"),
    ];
    for (why, token, who) in let_in {
        let (found, asked) = judged(&all, &token);
        let found = name(found.map_err(|denied| denied.failure));
        assert_eq!((found, asked), (Ok(who.to_owned()), 1), "{why}");
    }
    let long = json!({ "alg": "ES256", "kid": "one", "x": "x".repeat(4_096) });
    let refused = [
        ("another's key", two.sign(header("one"), claims(|_| ())), 1),
        ("no key's name, of two", one.sign(json!({ "alg": "ES256" }), claims(|_| ())), 0),
        ("a name that no key has", one.sign(header("three"), claims(|_| ())), 0),
        ("a name that no key of its issuer has", two.sign(header("two"), of_other()), 0),
        (
            "an issuer that nobody is",
            { one.sign(header("one"), claims(|claims| claims["iss"] = json!("https://third"))) },
            0,
        ),
        (
            "an algorithm of no key",
            one.sign(json!({ "alg": "ES384", "kid": "one" }), claims(|_| ())),
            0,
        ),
        ("a header as long as a letter", one.sign(long, claims(|_| ())), 0),
    ];
    for (why, token, verified) in refused {
        let (found, asked) = judged(&all, &token);
        let denied = found.expect_err(why);
        assert_eq!((&denied.failure, asked), (&Failure::CredentialsRefused, verified), "{why}");
        assert_eq!((denied.is_signed, denied.who.is_none()), (verified == 1, true), "{why}");
    }
}

#[test]
fn a_verdict_says_who_is_refused_and_nothing_is_verified_without_leave() {
    let signer = Signer::new("one");
    let mut all = with_issuer(&signer);
    let header = || json!({ "alg": "ES256", "kid": "one" });
    let late = signer.sign(header(), claims(|claims| claims["exp"] = json!(now() - 5)));
    let (found, _asked) = judged(&all, &late);
    let denied = found.expect_err("it is over");
    assert_eq!((denied.who.as_ref().unwrap().name.as_str(), denied.is_signed), ("alice", true));
    assert!(!denied.is_of_a_stranger() && matches!(denied.failure, Failure::CredentialsExpired));
    let long_over = signer.sign(header(), claims(|claims| claims["exp"] = json!(now() - 600)));
    assert!(!judged(&all, &long_over).0.expect_err("so is this").is_of_a_stranger());
    let unmapped = signer.sign(header(), claims(|claims| claims["sub"] = json!("bob")));
    let denied = judged(&all, &unmapped).0.expect_err("nobody who is mapped");
    assert!(denied.is_of_a_stranger() && denied.is_signed);
    let good = format!("Bearer {}", signer.sign(header(), claims(|_| ())));
    let shown = Some(good.as_bytes());
    let without = all.judge(&Peer::Anonymous, shown, NOW, || Err(Failure::Draining));
    assert_eq!(without.unwrap_err(), Denied::from(Failure::Draining));
    all.by_claim.clear();
    assert!(judged(&all, "a.b.c").0.is_err_and(|denied| !denied.is_signed));
}

#[test]
fn a_set_with_two_keys_that_no_token_tells_apart_is_told_at_once() {
    let settings = IssuerSettings {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        algorithms: vec![JwtAlgorithm::of("ES256").unwrap()],
    };
    let told = |keys: &[Value]| {
        let refused = Issuer::new(&settings, &json!({ "keys": keys }).to_string());
        refused.map(drop).map_err(|error| error.to_string())
    };
    let unnamed = || {
        let mut key = Signer::new("").jwk();
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let named = |kid| Signer::new(kid).jwk();
    assert!(
        told(&[named("one"), named("one")]).unwrap_err().contains("ES256 with the `kid` \"one\"")
    );
    assert!(told(&[unnamed(), unnamed()]).unwrap_err().contains("ES256 without a `kid`"));
    told(&[named("one"), named("two"), unnamed()]).unwrap();
}
