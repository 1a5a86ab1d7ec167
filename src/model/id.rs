//! [`Id`]: a name that a client may choose.
//!
//! Law: an `Id` matches the grammar; short ones take no allocation, for a memory has one. Does not know
//! what is called so.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest client-chosen id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// A client-chosen name: `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`.
#[derive(Clone)]
pub struct Id(Name);

/// Names up to this length, those of 32 digits among them, take no allocation.
const SHORT: usize = 38;

#[derive(Clone)]
enum Name {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

/// A memory's name within its tenant.
pub type MemoryId = Id;
/// A tenant's name.
pub type TenantName = Id;
/// A hook's name within its tenant.
pub type HookId = Id;

/// What is wrong with a would-be [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must match [A-Za-z0-9][A-Za-z0-9._:-]{{0,127}}")]
pub struct BadId;

impl Id {
    /// The name, if it is one.
    ///
    /// # Errors
    /// [`BadId`] where it does not match the grammar.
    pub fn new(name: &str) -> Result<Self, BadId> {
        if Self::is_valid(name) { Ok(Self::of(name)) } else { Err(BadId) }
    }

    /// Whether `name` matches the grammar.
    #[must_use]
    pub fn is_valid(name: &str) -> bool {
        let mut bytes = name.bytes();
        name.len() <= MAX_ID_BYTES
            && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
    }

    /// 128 random bits as 32 hexadecimal digits.
    #[must_use]
    pub fn random(bits: u128) -> Self {
        Self::of(&format!("{bits:032x}"))
    }

    fn of(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(name.as_bytes());
                Self(Name::Short { length, bytes })
            }
            _ => Self(Name::Long(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // ASCII, as was checked when it was made.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Name::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Name::Long(name) => name.as_bytes(),
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Id {}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
