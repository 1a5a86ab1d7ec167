//! [`Issuer`]: who signs JSON Web Tokens (RFC 7519) for callers, with which keys, and for whom.
//!
//! Law: a token counts only if it is signed by a key of the issuer's own set, under an algorithm that
//! is both on the issuer's list and the key's kind; names this issuer and this audience; and has an
//! expiry that has not passed. Shared secrets (HS256 and its kin) and `none` are on no list. A token
//! that wants an extension understood (`crit`) is refused. Nothing is fetched: keys come from a file.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

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
    keys: Vec<(Option<String>, Algorithm, DecodingKey)>,
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

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
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
        let IssuerSettings { issuer, audience, .. } = settings.clone();
        Ok(Self { name: issuer, audience, keys })
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a token says, if it is this issuer's and counts; whether it has run out is the caller's to
    /// judge, for those that have by less than the leeway.
    pub(super) fn claims(&self, token: &str) -> Result<Claims, Unclaimed> {
        let header = header(token).ok_or(Unclaimed::Refused)?;
        let named = |kid: &Option<String>| header.kid.is_none() || *kid == header.kid;
        let mut expired = false;
        for (_, algorithm, key) in self.keys.iter().filter(|(kid, ..)| named(kid)) {
            match jsonwebtoken::decode(token, key, &self.validation(*algorithm)) {
                Ok(decoded) => return claims(decoded.claims).ok_or(Unclaimed::Refused),
                // Told only of a token whose signature was right.
                Err(error) => {
                    use jsonwebtoken::errors::ErrorKind::ExpiredSignature;
                    expired |= matches!(error.kind(), ExpiredSignature);
                }
            }
        }
        Err(if expired { Unclaimed::Expired } else { Unclaimed::Refused })
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
fn fitting(key: &Jwk, listed: &[JwtAlgorithm]) -> Vec<(Option<String>, Algorithm, DecodingKey)> {
    let own = key.common.key_algorithm.map(|own| own.to_string());
    let fits = |algorithm: &&JwtAlgorithm| match &own {
        Some(own) => own == algorithm.name(),
        None => true,
    };
    let Ok(decoding) = DecodingKey::from_jwk(key) else { return Vec::new() };
    let kind = kind(key);
    listed
        .iter()
        .filter(fits)
        .filter(|algorithm| kind.contains(&algorithm.0))
        .map(|algorithm| (key.common.key_id.clone(), algorithm.0, decoding.clone()))
        .collect()
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

fn header(token: &str) -> Option<Header> {
    let (header, _) = token.split_once('.')?;
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    header.crit.is_none().then_some(header)
}

fn claims(all: Map<String, Value>) -> Option<Claims> {
    let seconds = match all.get("exp")? {
        Value::Number(exp) => exp.as_f64()?,
        _ => return None,
    };
    let after = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Claims { expires: SystemTime::UNIX_EPOCH.checked_add(after)?, all })
}
