//! Owns the kinds of value that identities have: hashes, claims, moments, text.
//! A kind knows no key.

use std::time::SystemTime;

use crate::config::JwtClaim;
use crate::config::kinds::{Kind, quoted};
use crate::config::raw::{Raw, Refusal};

/// The longest text of a credential, bytes.
const TEXT: usize = 1_024;

/// Text of a credential: no control characters, not empty.
pub(super) struct Text;
/// SHA-256, 64 hexadecimal digits.
pub(super) struct Sha256;
/// A claim that identifies.
pub(super) struct Claim;
/// A moment, RFC 3339.
pub(super) struct Moment;

impl Kind for Text {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        if text.is_empty() || text.contains(char::is_control) {
            return Err(Refusal::Malformed);
        }
        if text.len() > TEXT { Err(Refusal::OutOfRange) } else { Ok(text.to_owned()) }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn accepts(&self) -> String {
        format!("text of 1 to {TEXT} bytes")
    }
}

impl Kind for Sha256 {
    type Value = [u8; 32];

    fn read(&self, raw: &Raw) -> Result<[u8; 32], Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        let mut hash = [0; 32];
        // What reads a number would take a sign for its first digit.
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Refusal::Malformed);
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or(Refusal::Malformed)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Refusal::Malformed)?;
        }
        Ok(hash)
    }

    fn show(&self, value: &[u8; 32]) -> Option<String> {
        Some(quoted(&digits(value)))
    }

    fn accepts(&self) -> String {
        "64 hexadecimal digits, as `linmemctl token new` prints them".to_owned()
    }

    /// Never the text: it may be the token itself, put in the wrong place.
    fn found(&self, raw: &Raw) -> String {
        match raw.text() {
            Some(text) => format!("text of {} characters", text.chars().count()),
            None => raw.to_string(),
        }
    }
}

impl Kind for Claim {
    type Value = JwtClaim;

    fn read(&self, raw: &Raw) -> Result<JwtClaim, Refusal> {
        let Raw::Table(entries) = raw else { return Err(Refusal::WrongType) };
        let text = |name: &str| match entries.get(name) {
            Some(raw) => Text.read(raw),
            None => Err(Refusal::Malformed),
        };
        let claim =
            JwtClaim { issuer: text("issuer")?, claim: text("claim")?, value: text("value")? };
        if entries.len() == 3 { Ok(claim) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, JwtClaim { issuer, claim, value }: &JwtClaim) -> Option<String> {
        let [issuer, claim, value] = [issuer, claim, value].map(|text| quoted(text));
        Some(format!("{{ issuer = {issuer}, claim = {claim}, value = {value} }}"))
    }

    fn accepts(&self) -> String {
        "a table { issuer = \"...\", claim = \"...\", value = \"...\" }".to_owned()
    }

    fn found(&self, raw: &Raw) -> String {
        const NAMES: [&str; 3] = ["issuer", "claim", "value"];
        let Raw::Table(entries) = raw else { return raw.to_string() };
        let unknown = entries.keys().find(|name| !NAMES.contains(&name.as_str()));
        let refused = entries.iter().find(|(_, value)| Text.read(value).is_err());
        match (NAMES.iter().find(|name| !entries.contains_key(**name)), unknown, refused) {
            (_, Some(name), _) => format!("a table with {name:?}"),
            (Some(name), ..) => format!("a table without {name}"),
            (.., Some((name, value))) => format!("a table with {name} = {value}"),
            (None, None, None) => raw.to_string(),
        }
    }
}

impl Kind for Moment {
    type Value = SystemTime;

    fn read(&self, raw: &Raw) -> Result<SystemTime, Refusal> {
        let text = match raw {
            Raw::Date(text) | Raw::Text(text) | Raw::Bare(text) => text,
            _ => return Err(Refusal::WrongType),
        };
        humantime::parse_rfc3339(text).map_err(|_| Refusal::Malformed)
    }

    fn show(&self, value: &SystemTime) -> Option<String> {
        Some(quoted(&humantime::format_rfc3339(*value).to_string()))
    }

    fn accepts(&self) -> String {
        "a moment in UTC, as \"2027-01-31T00:00:00Z\"".to_owned()
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
