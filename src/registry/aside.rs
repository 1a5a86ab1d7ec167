//! [`Aside`]: what a record keeps behind a lock of its own, beside what operations on bytes use.
//!
//! Law: its lock is held for no more than a look or a change, and nothing else is locked meanwhile.
//! What most memories never have is allocated when they come to have it: there may be a million.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::memory::{Held, Placed};
use crate::model::{Form, Guard, Now, Owner, ShareId};
use crate::registry::attachments::Attached;
use crate::registry::ledger::Charge;
use crate::registry::presentation::Said;
use crate::registry::record::RareStats;
use crate::registry::share::Share;
use crate::units::WasmPages;

/// What is changed now and then, and never beside an operation on bytes.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) charge: Option<Charge>,
    pub(super) said: Said,
    pub(super) rare: Option<Box<Rare>>,
}

/// What most memories never have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Size at create, where it has no room in the packed shape.
    pub(super) initial: WasmPages,
    /// As asked and as given, where they are not the usual ones.
    pub(super) guards: Option<[Guard; 2]>,
    pub(super) owner: Owner,
    /// Where it is not the usual one.
    pub(super) form: Option<Arc<Form>>,
    /// Of the active segments of its spec, where and how long.
    pub(super) segments: Box<[(u64, u64)]>,
    pub(super) observed: Option<Observation>,
    /// Of what is said.
    pub(super) version: u64,
    pub(super) stats: RareStats,
    pub(super) attached: Attached,
    /// Those given of it that are not over.
    pub(super) shares: BTreeMap<ShareId, Arc<Share>>,
}

/// A look at the host's account of a memory.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When.
    pub at: Now,
    /// What the kernel says that it holds.
    pub held: Held,
    /// What it was given.
    pub placed: Placed,
}
