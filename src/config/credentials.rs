//! Owns the kinds of value that identities have: hashes, claims, roles, algorithms, moments, paths.
//! A kind knows no key.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::JwtClaim;
use crate::config::kinds::{Kind, quoted};
use crate::config::raw::{Raw, Refusal};

/// The longest text of a credential, bytes.
const TEXT: usize = 1_024;

/// An absolute path of a file.
pub(super) struct FilePath;
/// Text of a credential: no control characters, not empty.
pub(super) struct Text;
/// SHA-256, 64 hexadecimal digits.
pub(super) struct Sha256;
/// A claim that identifies.
pub(super) struct Claim;
/// A moment, RFC 3339.
pub(super) struct Moment;
/// Words of a closed list, each once and at least one; the text says what they are.
pub(super) struct Words(pub(super) &'static [&'static str]);

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, raw: &Raw) -> Result<PathBuf, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        let path = PathBuf::from(text);
        let named = path.file_name().is_some() && !text.ends_with('/');
        if path.is_absolute() && named && !text.contains(char::is_control) {
            Ok(path)
        } else {
            Err(Refusal::Malformed)
        }
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }

    fn accepts(&self) -> String {
        "an absolute path of a file".to_owned()
    }
}

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
        if text.len() != 64 || !text.is_ascii() {
            return Err(Refusal::Malformed);
        }
        for (index, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or(Refusal::Malformed)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Refusal::Malformed)?;
        }
        Ok(hash)
    }

    fn show(&self, value: &[u8; 32]) -> Option<String> {
        let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(quoted(&digits))
    }

    fn accepts(&self) -> String {
        "64 hexadecimal digits, as `linmemctl token new` prints them".to_owned()
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

impl Kind for Words {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Refusal> {
        let Raw::List(items) = raw else { return Err(Refusal::WrongType) };
        let word = |item: &Raw| item.text().map(str::to_owned).ok_or(Refusal::WrongType);
        let words = items.iter().map(word).collect::<Result<Vec<_>, _>>()?;
        let known = words.iter().all(|word| self.0.contains(&word.as_str()));
        let mut each = words.clone();
        each.sort_unstable();
        each.dedup();
        let fits = known && !words.is_empty() && each.len() == words.len();
        if fits { Ok(words) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &Vec<String>) -> Option<String> {
        let words: Vec<String> = value.iter().map(|word| quoted(word)).collect();
        (!words.is_empty()).then(|| format!("[{}]", words.join(", ")))
    }

    fn accepts(&self) -> String {
        format!("an array of one or more of {}, each once", self.0.join(", "))
    }
}
