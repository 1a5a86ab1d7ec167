//! Claims about JSON Web Tokens over the wire: a key set that is replaced while the daemon runs, and what
//! is no token of an issuer that it trusts.
//!
//! Law: keys are made for the test and tokens are signed by another's code.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use linmemd::client::ClientError;
use linmemd::client::proto::MemorySpec;
use linmemd::config::{Config, Identity, JwtClaim, JwtIssuer};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};
use serde_json::json;
use tempfile::TempDir;

use crate::contract::refused;
use crate::grpc::Wire;
use crate::harness::{House, eventually, pages, tenant, within};

const ISSUER: &str = "https://issuer.example";

/// A key, and its name in the set.
struct Key(KeyPair, &'static str);

impl Key {
    fn new(name: &'static str) -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap(), name)
    }

    /// A token for whom the daemon knows as `blue`, for an hour.
    fn token(&self) -> String {
        self.token_until(SystemTime::now() + Duration::from_secs(3_600))
    }

    /// The same until the second that this is in.
    fn token_until(&self, end: SystemTime) -> String {
        let exp = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "iss": ISSUER, "aud": "linmemd", "sub": "blue", "exp": exp });
        let header = Header { kid: Some(self.1.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&self.0.serialize_der());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }
}

/// The issuer's file.
struct Issuer(TempDir);

impl Issuer {
    fn of(keys: &[&Key]) -> Self {
        let issuer = Self(tempfile::tempdir().unwrap());
        issuer.publish(keys);
        issuer
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("jwks.json")
    }

    fn publish(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys
            .iter()
            .map(|Key(key, name)| {
                let x = URL_SAFE_NO_PAD.encode(key.der_bytes());
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": name, "x": x })
            })
            .collect();
        self.put(&json!({ "keys": keys }).to_string());
    }

    /// Whole or not at all, as whoever replaces keys does it.
    fn put(&self, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    fn house(&self) -> House {
        self.house_with(|_config| ())
    }

    fn house_with(&self, change: impl FnOnce(&mut Config)) -> House {
        House::with(|config| {
            change(config);
            config.tenants = vec![tenant("default", None), tenant("blue", None)];
            config.tls.reload_interval = Duration::from_millis(20);
            config.lease.sweep_interval = Duration::from_secs(3_600);
            config.jwt_issuers = vec![JwtIssuer {
                issuer: ISSUER.to_owned(),
                audience: "linmemd".to_owned(),
                jwks_file: self.path(),
                algorithms: vec!["EdDSA".to_owned()],
            }];
            config.identities = vec![Identity {
                name: "blue's".to_owned(),
                tenant: "blue".to_owned(),
                roles: ["reader", "writer"].map(str::to_owned).to_vec(),
                jwt: Some(JwtClaim {
                    issuer: ISSUER.to_owned(),
                    claim: "sub".to_owned(),
                    value: "blue".to_owned(),
                }),
                ..Identity::default()
            }];
        })
    }
}

/// One connection for a tenant is all.
const FULL: [(&str, &dyn std::fmt::Display); 3] =
    [("limit_name", &"tenant_connections"), ("limit", &1), ("used", &1)];

fn is_refused(outcome: &Result<impl Sized, ClientError>) -> bool {
    matches!(outcome, Err(ClientError::Refused(it)) if it.reason == "CREDENTIALS_REFUSED")
}

#[tokio::test]
async fn a_key_that_leaves_its_set_lets_nobody_in_and_ends_what_came_by_it() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old]);
    let house = issuer.house();
    let by_old = house.client_by(&old.token()).await;
    by_old.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let by_new = house.client_by(&new.token()).await;
    assert!(is_refused(&by_new.memory("m").await), "nobody knows the key yet");
    let parked = {
        let by_old = by_old.clone();
        tokio::spawn(async move { by_old.wait32("m", 0, 0, None).await })
    };
    eventually("it waits", async || house.daemon.server.running() == 1).await;
    // Both, as long as tokens of the old one are under way.
    issuer.publish(&[&old, &new]);
    eventually("the new key counts", async || by_new.memory("m").await.is_ok()).await;
    by_old.memory("m").await.unwrap();
    assert!(!parked.is_finished(), "whose right stays is left alone");
    issuer.publish(&[&new]);
    eventually("the old key counts no more", async || is_refused(&by_old.memory("m").await)).await;
    let parked = within("the wait is ended", parked).await.unwrap();
    refused(parked, "CREDENTIALS_REFUSED", &[]);
    by_new.delete("m").await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_token_of_another_key_by_the_same_name_lets_nobody_in() {
    let (known, stranger) = (Key::new("known"), Key::new("known"));
    let issuer = Issuer::of(&[&known]);
    let house = issuer.house();
    house.client_by(&known.token()).await.list("").await.unwrap();
    assert!(is_refused(&house.client_by(&stranger.token()).await.list("").await));
    house.close().await;
}

#[tokio::test]
async fn a_flood_of_forged_tokens_ends_its_connection_and_is_in_nobodys_way() {
    let known = Key::new("known");
    let issuer = Issuer::of(&[&known]);
    let house = issuer.house();
    let honest = house.client_by(&known.token()).await;
    honest.create(Some("m"), pages(1)).await.unwrap();
    let token = known.token();
    let said = token.rsplit_once('.').unwrap().0;
    let wire = Wire::connect(house.grpc()).await;
    let mut forgeries = 0u64..;
    while !wire.connection.is_finished() {
        let mut calls = Vec::new();
        // As many as come in one poll, each signed otherwise.
        for number in forgeries.by_ref().take(96) {
            assert!(number < 960, "it is not ended");
            let signature = URL_SAFE_NO_PAD.encode([number; 8].map(u64::to_le_bytes).concat());
            let forged = format!("Bearer {said}.{signature}");
            calls.push(wire.begin("GetServerInfo", &[("authorization", &forged)]).await);
        }
        for call in calls {
            let _lost = within("it is answered or lost", call.response).await;
        }
    }
    honest.memory("m").await.unwrap();
    let another = house.client_by(&token).await;
    eventually("who comes from the same address", async || another.memory("m").await.is_ok()).await;
    honest.delete("m").await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_refused_call_gives_the_seat_of_its_signed_token_back() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old, &new]);
    let house = issuer.house_with(|config| config.grpc.max_connections_per_tenant = Some(1));
    let (by_old, by_new) =
        (house.client_by(&old.token()).await, house.client_by(&new.token()).await);
    by_old.list("").await.unwrap();
    refused(by_new.list("").await, "OVERLOADED", &FULL);
    issuer.publish(&[&new]);
    eventually("the old key counts no more", async || is_refused(&by_old.list("").await)).await;
    by_new.list("").await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn what_a_claim_opened_is_over_within_a_second_of_its_end() {
    let key = Key::new("key");
    let issuer = Issuer::of(&[&key]);
    let house = issuer.house();
    let owner = house.client_by(&key.token()).await;
    owner.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let end = SystemTime::now() + Duration::from_secs(2);
    let brief = house.client_by(&key.token_until(end)).await;
    let session = brief.session(|_notice| ()).await.unwrap();
    let attached = session.attach("m").await.unwrap();
    refused(brief.wait32("m", 0, 0, None).await, "CREDENTIALS_EXPIRED", &[]);
    assert!(SystemTime::now() < end + Duration::from_secs(1));
    let late = attached.execute_one(crate::sessions::write(0, b"late").into()).await;
    assert!(late.is_err());
    assert_eq!(owner.read("m", 0, 4).await.unwrap(), [0; 4].as_slice());
    owner.delete("m").await.unwrap();
    house.close().await;
}
