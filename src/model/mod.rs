//! Names and specs: what a memory is called, what was asked of it, what has happened to it.
//!
//! Law: a value of these types is valid; the checks are in the constructors. Does not know how any
//! of it is stored, sent or enforced. What is asked of the host is in `form.rs` and
//! `tagging.rs`.

mod access;
mod form;
mod id;
mod partition;
mod resource;
mod tagging;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::units::{ByteCount, WasmPages};

pub use access::AccessKind;
pub use form::{
    AddressSpace, Allocator, Backing, Form, Locking, MAX_NODES, Numa, NumaPolicy, PageKind,
    Populate, Verification,
};
pub use id::{BadId, HookId, Id, MAX_ID_BYTES, MemoryId, TenantName};
pub use partition::{PartitionId, PartitionLimits, PartitionSpec};
pub use resource::{
    ActiveSegment, MAX_ACTIVE_SEGMENTS, Resource, SegmentId, SetId, ShareAccess, ShareId, ViewId,
};
pub use tagging::{TagMode, TagRequirement, Tagging};
pub use uuid::Uuid;

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

/// Whose life a memory shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Its tenant's: until it is deleted or its lease runs out.
    #[default]
    Tenant,
    /// That of the connection that made it, too.
    Connection,
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
    /// Whose life it shares.
    pub owner: Owner,
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
