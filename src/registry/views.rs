//! [`View`]: a window on a range of one memory, kept open by being looked at; [`ViewEnds`], when each is to
//! be closed.
//!
//! Law: a view is bound to one memory, not to its name, and keeps nothing of it alive. What it showed last
//! is kept whole, so that a change is told by comparing bytes with bytes: no two contents are ever taken
//! for one. An entry of [`ViewEnds`] goes with its view. Time is an argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::error::Failure;
use crate::model::{Id, MemoryId, Now, Resource, Uuid, ViewId};
use crate::registry::by_name::{Entry, not_found};
use crate::registry::ledger::Charge;
use crate::registry::namespace::Namespace;
use crate::registry::record::Record;
use crate::registry::share::Share;
use crate::units::ByteRange;

/// Views that a tenant may have.
pub const MOST_VIEWS: usize = 1_024;
/// The shortest lease of a view.
pub const MIN_VIEW_TTL: Duration = Duration::from_secs(1);
/// The longest.
pub const MAX_VIEW_TTL: Duration = Duration::from_secs(3600);
/// That of a view whose caller does not say.
pub const DEFAULT_VIEW_TTL: Duration = Duration::from_secs(60);
/// What a view is charged beside the bytes that it keeps.
pub(super) const VIEW_BYTES: u64 = 512;

/// One view.
#[derive(Debug)]
pub struct View {
    /// Its name.
    pub id: ViewId,
    /// The memory's name.
    pub memory_id: MemoryId,
    /// The memory's uid.
    pub memory_uid: Uuid,
    /// What it shows of the memory.
    pub range: ByteRange,
    pub(super) record: Weak<Record>,
    /// What it goes by, where the memory is another tenant's.
    pub(super) share: Option<Arc<Share>>,
    pub(super) namespace: Weak<Namespace>,
    pub(super) ttl: Duration,
    pub(super) state: Mutex<Seen>,
    pub(super) _charge: Charge,
}

/// What a view showed last, and until when it lives.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) look: Look,
    pub(super) version: u64,
    pub(super) end: Instant,
    /// Under which moment its end is looked for.
    pub(super) filed: Instant,
}

/// Bytes of a memory, as they were at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) bytes: Bytes,
    pub(super) crc32c: u32,
}

/// What a view answers.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What there is.
    pub bytes: Bytes,
    /// CRC-32C of it.
    pub crc32c: u32,
    /// Whether it is not what the caller has.
    pub changed: bool,
    /// One more than before wherever the bytes are others than before.
    pub version: u64,
    /// When the view's lease runs out, for people.
    pub expire_time: Option<SystemTime>,
}

impl Entry for View {
    const RESOURCE: Resource = Resource::View;
    const MOST: usize = MOST_VIEWS;

    fn id(&self) -> &Id {
        &self.id
    }
}

impl View {
    pub(super) fn has_expired(&self, now: Now) -> bool {
        now.steady >= self.state().end
    }

    /// What it goes by, where the memory is another tenant's.
    #[must_use]
    pub const fn share(&self) -> Option<&Arc<Share>> {
        self.share.as_ref()
    }

    /// The memory, while it is there.
    pub(super) fn record(&self, now: Now) -> Result<Arc<Record>, Failure> {
        let record = self.record.upgrade();
        let there = record.filter(|record| !record.has_ended() && !record.has_expired(now));
        there.ok_or_else(|| Failure::MemoryNotFound { memory_id: self.memory_id.clone() })
    }

    /// What it showed last, and the version of that.
    pub(super) fn last(&self) -> (Bytes, u64) {
        let state = self.state();
        (state.look.bytes.clone(), state.version)
    }

    /// Shows what was looked at, of which `same` says whether it is what that version was, and starts the
    /// lease anew; `has` is the version that the caller has.
    pub(super) fn show(
        &self,
        look: Look,
        (compared, same): (u64, bool),
        has: Option<u64>,
        now: Now,
    ) -> Result<Shown, Failure> {
        let mut state = self.state();
        if now.steady >= state.end {
            return Err(not_found::<Self>(self.id.clone()));
        }
        let before = state.version;
        // Another may have been answered meanwhile.
        let same = if compared == before { same } else { look.bytes == state.look.bytes };
        if !same {
            state.version = before.saturating_add(1);
            state.look = look;
        }
        let end = now.steady.checked_add(self.ttl).unwrap_or(state.end);
        state.end = state.end.max(end);
        Ok(self.shown(&state, state.version != has.unwrap_or(before), now))
    }

    /// What it shows at first.
    pub(super) fn first(&self, now: Now) -> Shown {
        self.shown(&self.state(), false, now)
    }

    fn shown(&self, state: &Seen, changed: bool, now: Now) -> Shown {
        let Look { bytes, crc32c } = state.look.clone();
        let expire_time = now.wall.checked_add(self.ttl);
        Shown { bytes, crc32c, changed, version: state.version, expire_time }
    }

    fn state(&self) -> MutexGuard<'_, Seen> {
        // Nobody panics in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All views of all tenants, by when to look whether they are to be closed: never late, and early where
/// a lease was started anew.
#[derive(Debug, Default)]
pub(super) struct ViewEnds(Mutex<BTreeMap<(Instant, Id), Weak<View>>>);

impl ViewEnds {
    /// Looks for this view's end when its lease runs out.
    pub(super) fn watch(&self, view: &Arc<View>) {
        let end = {
            let mut state = view.state();
            state.filed = state.end;
            state.filed
        };
        self.entries().insert((end, view.id.clone()), Arc::downgrade(view));
    }

    /// The view is closed.
    pub(super) fn forget(&self, view: &View) {
        let filed = view.state().filed;
        // Not there while the sweep has it, which then files it for a last time.
        self.entries().remove(&(filed, view.id.clone()));
    }

    /// The views whose leases have run out.
    pub(super) fn expired(&self, now: Now) -> Vec<Arc<View>> {
        let due = {
            let mut entries = self.entries();
            let later = entries.split_off(&(now.steady, Id::random(0)));
            std::mem::replace(&mut *entries, later)
        };
        let mut expired = Vec::new();
        for view in due.into_values().filter_map(|view| view.upgrade()) {
            if view.has_expired(now) {
                expired.push(view);
            } else {
                self.watch(&view);
            }
        }
        expired
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(Instant, Id), Weak<View>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
