//! [`Issuer`]: who signs JSON Web Tokens (RFC 7519) for callers, with which keys, and for whom.
//!
//! Law: a token counts only if it is signed by a key of the issuer's own set, under an algorithm that
//! is both on the issuer's list and the key's kind; names this issuer and this audience; and has an
//! expiry that has not passed. Shared secrets (HS256 and its kin) and `none` are on no list. A token
//! that wants an extension understood (`crit`) is refused. Nothing is fetched: keys come from a file.
//! Whoever shows a token has one signature verified and no second: what it says of itself ([`Outline`])
//! names one issuer and, by its `kid` or for want of another, one key.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Characters of a token's header at most: an algorithm, a key's name and room for a certificate.
const HEADER: usize = 4_096;
/// How far an issuer's clock may be before this host's: a token counts so much before its `nbf`. None
/// counts after its `exp`.
const LEEWAY: Duration = Duration::from_secs(30);

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JwtAlgorithm(Algorithm);

/// Who signs tokens.
pub struct Issuer {
    name: String,
    audience: String,
    keys: Vec<Key>,
}

/// A key, and what a token must say to be verified by it.
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// What an issuer is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// What must be in their `aud`.
    pub audience: String,
    /// How they may be signed.
    pub algorithms: Vec<JwtAlgorithm>,
}

/// Why a set of keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not a set of keys.
    #[error("is no JSON Web Key Set (RFC 7517): {0}")]
    Form(String),
    /// None of its keys can sign under an algorithm of the list.
    #[error(
        "holds {keys} keys, none of which fits the issuer's algorithms; add the algorithm of its \
         keys to the list, or keys of an algorithm that is on it"
    )]
    NoKey {
        /// How many it holds.
        keys: usize,
    },
    /// Of two of its keys no token says by which of them it is signed.
    #[error(
        "holds two keys for {algorithm} {}; give each a `kid` of its own, which the issuer's tokens name, \
         or leave one out", id.as_ref().map_or("without a `kid`".to_owned(), |id| format!("with the `kid` {id:?}"))
    )]
    Alike {
        /// The algorithm.
        algorithm: &'static str,
        /// What both are called.
        id: Option<String>,
    },
}

/// A token that counts.
pub(super) struct Claims {
    pub(super) expires: SystemTime,
    all: Map<String, Value>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// What a token says of itself, whoever wrote it: who is said to have signed it, and with which key.
#[derive(Debug)]
pub(super) struct Outline {
    issuer: String,
    algorithm: Algorithm,
    key_id: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Says {
    iss: String,
}

impl Outline {
    /// None where it is no token that anybody's could be.
    pub(super) fn read(token: &str) -> Option<Self> {
        let (header, rest) = token.split_once('.')?;
        if header.len() > HEADER {
            return None;
        }
        let header: Header = part(header)?;
        let Says { iss } = part(rest.split_once('.')?.0)?;
        let JwtAlgorithm(algorithm) = JwtAlgorithm::of(&header.alg)?;
        let outline = Self { issuer: iss, algorithm, key_id: header.kid };
        header.crit.is_none().then_some(outline)
    }
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

impl JwtAlgorithm {
    /// Those that there are, by their names in RFC 7518 and RFC 8037.
    pub const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self(Algorithm::RS256)),
        ("RS384", Self(Algorithm::RS384)),
        ("RS512", Self(Algorithm::RS512)),
        ("PS256", Self(Algorithm::PS256)),
        ("PS384", Self(Algorithm::PS384)),
        ("PS512", Self(Algorithm::PS512)),
        ("ES256", Self(Algorithm::ES256)),
        ("ES384", Self(Algorithm::ES384)),
        ("EdDSA", Self(Algorithm::EdDSA)),
    ];

    /// The algorithm of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(word, _)| *word == name).map(|(_, algorithm)| algorithm)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}

impl Issuer {
    /// An issuer whose keys are in this set: the text of a file. Keys of other kinds are passed over.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn new(settings: &IssuerSettings, key_set: &str) -> Result<Self, KeySetError> {
        let set: KeySet =
            serde_json::from_str(key_set).map_err(|error| KeySetError::Form(error.to_string()))?;
        let count = set.keys.len();
        let keys: Vec<_> = set
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .filter(|key| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption)))
            .flat_map(|key| fitting(&key, &settings.algorithms))
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoKey { keys: count });
        }
        for (index, key) in keys.iter().enumerate() {
            let before = keys.iter().take(index);
            if before.clone().any(|other| key.is_like(other)) {
                let (algorithm, id) = (JwtAlgorithm(key.algorithm).name(), key.id.clone());
                return Err(KeySetError::Alike { algorithm, id });
            }
        }
        let IssuerSettings { issuer, audience, .. } = settings.clone();
        Ok(Self { name: issuer, audience, keys })
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one key that a token of this outline can be signed with: that of its `kid`, or where it names
    /// none, the only one of its algorithm.
    pub(super) fn key(&self, outline: &Outline) -> Option<&Key> {
        if outline.issuer != self.name {
            return None;
        }
        let of_algorithm = self.keys.iter().filter(|key| key.algorithm == outline.algorithm);
        let mut fitting =
            of_algorithm.filter(|key| outline.key_id.is_none() || key.id == outline.key_id);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// What a token says, if it is signed with this key and counts; whether it has run out is the caller's
    /// to judge, for those that have by less than the leeway.
    pub(super) fn claims(&self, token: &str, key: &Key) -> Result<Claims, Unclaimed> {
        use jsonwebtoken::errors::ErrorKind::ExpiredSignature;
        match jsonwebtoken::decode(token, &key.decoding, &self.validation(key.algorithm)) {
            Ok(decoded) => claims(decoded.claims).ok_or(Unclaimed::Refused),
            // Told only of a token whose signature was right.
            Err(error) if matches!(error.kind(), ExpiredSignature) => Err(Unclaimed::Expired),
            Err(_) => Err(Unclaimed::Refused),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        validation
    }
}

impl Key {
    /// Whether no token can tell them apart.
    fn is_like(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.id == other.id
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys.len();
        f.debug_struct("Issuer").field("name", &self.name).field("keys", &keys).finish()
    }
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclaimed {
    Refused,
    Expired,
}

impl Claims {
    /// A claim that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name).and_then(Value::as_str)
    }
}

/// A key under each algorithm of the list that is of its kind, and its own where it names one.
fn fitting(key: &Jwk, listed: &[JwtAlgorithm]) -> Vec<Key> {
    let own = key.common.key_algorithm.map(|own| own.to_string());
    let Ok(decoding) = DecodingKey::from_jwk(key) else { return Vec::new() };
    // Each once, however often it is listed.
    let fits = kind(key).iter().copied().filter(|algorithm| {
        let name = JwtAlgorithm(*algorithm).name();
        listed.contains(&JwtAlgorithm(*algorithm)) && own.as_ref().is_none_or(|own| own == name)
    });
    let id = || key.common.key_id.clone();
    fits.map(|algorithm| Key { id: id(), algorithm, decoding: decoding.clone() }).collect()
}

/// What a key of that kind can sign under.
fn kind(key: &Jwk) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            EllipticCurve::P521 | EllipticCurve::Ed25519 => &[],
        },
        AlgorithmParameters::OctetKeyPair(_) => &[EdDSA],
        AlgorithmParameters::OctetKey(_) => &[],
    }
}

fn claims(all: Map<String, Value>) -> Option<Claims> {
    let seconds = match all.get("exp")? {
        Value::Number(exp) => exp.as_f64()?,
        _ => return None,
    };
    let after = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Claims { expires: SystemTime::UNIX_EPOCH.checked_add(after)?, all })
}
