//! [`MemorySet`]: memories of one tenant that came together and go together.
//!
//! Law: a set knows its members by name and uid, in an order that never changes; each memory lives as any
//! other does, and may end before its set. The set's own cost is paid as long as anyone has it.

use std::time::SystemTime;

use crate::model::{Id, MemoryId, Resource, SetId, Uuid};
use crate::registry::by_name::Entry;
use crate::registry::ledger::Charge;

/// Sets that a tenant may have.
pub const MOST_SETS: usize = 4_096;
/// Memories that a set may have.
pub const MOST_MEMBERS: usize = 64;

/// What a set is charged: itself, its name, its place in the order.
const SET_BYTES: u64 = 256;
/// What each of its members is charged.
const MEMBER_BYTES: u64 = 192;

/// One set.
#[derive(Debug)]
pub struct MemorySet {
    /// Its name.
    pub id: SetId,
    /// Its memories, those among them that are gone.
    pub members: Box<[Member]>,
    /// When it was created.
    pub created: SystemTime,
    /// New for every set ever made, so that a repeated create finds its own.
    pub(super) uid: Uuid,
    pub(super) _charge: Charge,
}

/// One memory of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: MemoryId,
    /// Another memory of that name is no member.
    pub uid: Uuid,
}

impl Entry for MemorySet {
    const RESOURCE: Resource = Resource::MemorySet;
    const MOST: usize = MOST_SETS;

    fn id(&self) -> &Id {
        &self.id
    }
}

/// What a set of so many is charged.
pub(super) fn set_bytes(members: usize) -> u64 {
    MEMBER_BYTES.saturating_mul(members as u64).saturating_add(SET_BYTES)
}
