//! Names and specs: what a memory is called, what was asked of it, what has happened to it.
//!
//! Law: a value of these types is valid; the checks are in the constructors. Does not know how any
//! of it is stored, sent or enforced. What is asked of the host is in `form.rs` and
//! `tagging.rs`.

mod access;
mod form;
mod partition;
mod resource;
mod tagging;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::units::{ByteCount, WasmPages};

pub use access::AccessKind;
pub use form::{
    AddressSpace, Allocator, Backing, Form, Locking, MAX_NODES, Numa, NumaPolicy, PageKind,
    Populate, Verification,
};
pub use partition::{PartitionId, PartitionSpec};
pub use resource::{
    ActiveSegment, MAX_ACTIVE_SEGMENTS, Resource, SegmentId, SetId, ShareAccess, ShareId, ViewId,
};
pub use tagging::{TagMode, TagRequirement, Tagging};
pub use uuid::Uuid;

/// Longest client-chosen id, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Labels that a memory may have.
pub const MAX_LABELS: usize = 64;
/// Longest label value, in bytes.
pub const MAX_LABEL_VALUE_BYTES: usize = 256;
/// Longest display name, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 256;
/// Shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);
/// Longest lease: ten years of 365 days.
pub const MAX_LEASE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A guard where the spec names none.
pub const DEFAULT_GUARD: ByteCount = ByteCount::new(64 * 1024);

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

/// A moment, read once at the edge and handed down: no floor below reads a clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations: never goes back.
    pub steady: Instant,
    /// For people.
    pub wall: SystemTime,
}

impl Now {
    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self {
            steady: self.steady.checked_add(time).unwrap_or(self.steady),
            wall: self.wall.checked_add(time).unwrap_or(self.wall),
        }
    }
}

/// The width of a memory's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexType {
    /// 32 bits: at most 65,536 pages.
    I32,
    /// 64 bits.
    I64,
}

impl IndexType {
    /// The most pages that such addresses reach.
    #[must_use]
    pub const fn reach(self) -> WasmPages {
        match self {
            Self::I32 => WasmPages::MAX_I32,
            Self::I64 => WasmPages::MAX,
        }
    }
}

/// Whether a memory may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Up to its maximum.
    Allowed,
    /// Never.
    Disallowed,
}

/// What may be done with bytes of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing: what bytes allow that nobody protected.
    ReadWrite,
}

impl Protection {
    /// Whether bytes allow to be read or, where `writes`, written.
    #[must_use]
    pub const fn allows(self, writes: bool) -> bool {
        match self {
            Self::None => false,
            Self::Read => !writes,
            Self::ReadWrite => true,
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "PROTECTION_NONE",
            Self::Read => "PROTECTION_READ",
            Self::ReadWrite => "PROTECTION_READ_WRITE",
        }
    }
}

/// Whether bytes of a memory may be lost while nobody uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// They may.
    Volatile,
    /// They stay, as all bytes do at first.
    Nonvolatile,
}

/// Inaccessible bytes around a reservation; multiples of the host page once effective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Before it.
    pub before: ByteCount,
    /// After it.
    pub after: ByteCount,
}

impl Guard {
    /// None on either side.
    pub const NONE: Self = Self { before: ByteCount::ZERO, after: ByteCount::ZERO };
}

impl Default for Guard {
    fn default() -> Self {
        Self { before: DEFAULT_GUARD, after: DEFAULT_GUARD }
    }
}

/// What never changes about a memory once it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size at create.
    pub initial: WasmPages,
    /// The size it may grow to.
    pub maximum: WasmPages,
    /// The width of addresses.
    pub index_type: IndexType,
    /// Whether it may grow.
    pub growth: Growth,
    /// Inaccessible bytes around it, as asked.
    pub guard: Guard,
    /// What is asked of the host for its pages.
    pub form: Arc<Form>,
}

/// What UpdateMemory may change; the etag is of exactly this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presentation {
    /// For people.
    pub display_name: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// How long it lives without KeepAlive.
    pub lease_ttl: Option<Duration>,
}

/// What CreateMemory asks.
#[derive(Clone, Debug)]
pub struct MemorySpec {
    /// Size at create.
    pub initial: WasmPages,
    /// The size it may grow to, where the caller says.
    pub maximum: Option<WasmPages>,
    /// The width of addresses.
    pub index_type: IndexType,
    /// Whether it may grow.
    pub growth: Growth,
    /// Inaccessible bytes around it.
    pub guard: Guard,
    /// What is asked of the host for its pages.
    pub form: Arc<Form>,
    /// What can be changed later.
    pub presentation: Presentation,
    /// What is put in place before anyone sees it, one after the other.
    pub segments: Vec<ActiveSegment>,
}

/// A client's UUID for one request, and a hash of everything else that it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The client's UUID.
    pub id: Uuid,
    /// SHA-256 of the message without it, cut to 128 bits.
    pub body: [u8; 16],
}

/// What has happened to a memory since it was created or that was reset; a reading, not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// Ranges read.
    pub read_count: u64,
    /// Ranges written or filled.
    pub write_count: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written or filled.
    pub write_bytes: u64,
    /// Growths by one page or more that succeeded.
    pub grow_count: u64,
    /// Growths that failed.
    pub grow_failure_count: u64,
    /// Accesses refused for their range.
    pub trap_count: u64,
    /// The longest access.
    pub largest_access_bytes: u64,
    /// Where the last access began, and how long it was.
    pub last_access: Option<(u64, u64)>,
    /// How many 64ths of the maximum were accessed.
    pub distinct_regions: u32,
    /// From when on all this was counted.
    pub since: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_exactly_those_of_the_grammar() {
        for good in ["a", "0", "A.b_c:d-e", &"x".repeat(128)] {
            assert!(Id::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "_a", "a b", "ä", "a/b", "a\n", &"x".repeat(129)] {
            assert_eq!(Id::new(bad), Err(BadId), "{bad}");
        }
        assert!(Id::is_valid(Id::random(u128::MAX).as_str()));
    }

    #[test]
    fn an_id_of_any_length_says_and_orders_as_its_text() {
        let names: Vec<String> = (1..=MAX_ID_BYTES).map(|length| "a".repeat(length)).collect();
        for pair in names.windows(2) {
            let [short, long] = [&pair[0], &pair[1]].map(|name| Id::new(name).unwrap());
            assert_eq!((short.as_str(), long.as_str()), (&*pair[0], &*pair[1]));
            assert!(short < long && short == short.clone() && short != long);
        }
    }
}
