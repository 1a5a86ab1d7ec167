//! Who is asked before a memory grows: [`Deciders`], the seam by which those above have their say.
//!
//! ```text
//! charge ──> Deciders::ask(Wish) ──> Asking ──> Agreement ──> pages, size ──> Agreement::done
//!                                      └─> a failure: the charge is back   └─ dropped: it did not grow
//! ```
//!
//! Law: what is asked is paid and has not begun; nothing but the growth ticket is held while an answer is
//! waited for, and a wait that is dropped is a question withdrawn. Does not know who decides.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::Failure;
use crate::model::{MemoryId, Uuid};
use crate::units::WasmPages;

/// A growth that is paid and not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The memory's name.
    pub memory_id: MemoryId,
    /// The memory.
    pub uid: Uuid,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its size; none where it is being created.
    pub previous: WasmPages,
    /// Its size afterwards.
    pub current: WasmPages,
    /// The most that it may have.
    pub maximum: WasmPages,
}

/// The wait for those who are asked. Dropped, it asks no longer.
pub type Asking = Pin<Box<dyn Future<Output = Result<Agreement, Failure>> + Send>>;

/// Those who have a say in growth.
pub trait Deciders: Send + Sync {
    /// Whether anyone may want to be asked. Where nobody does, a growth costs this look.
    fn mind(&self) -> bool;

    /// Asks all who want to be. The wait fails with GROW_DENIED.
    fn ask(&self, wish: Wish) -> Asking;
}

/// Nobody.
impl Deciders for () {
    fn mind(&self) -> bool {
        false
    }

    fn ask(&self, _wish: Wish) -> Asking {
        Box::pin(std::future::ready(Ok(Agreement::given())))
    }
}

/// That a growth may go on, and who is to hear what came of it.
#[must_use = "dropped, it says that nothing grew"]
pub struct Agreement {
    waited: Duration,
    told: Option<Box<dyn FnOnce(bool) + Send>>,
}

impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreement").field("waited", &self.waited).finish_non_exhaustive()
    }
}

impl Agreement {
    /// One for which nobody had to be asked.
    pub const fn given() -> Self {
        Self { waited: Duration::ZERO, told: None }
    }

    /// One that took so long to have. `told` hears, once, whether the memory has grown.
    pub fn after(waited: Duration, told: impl FnOnce(bool) + Send + 'static) -> Self {
        Self { waited, told: Some(Box::new(told)) }
    }

    /// How long it took to have.
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// It has grown.
    pub fn done(mut self) {
        self.tell(true);
    }

    fn tell(&mut self, grown: bool) {
        if let Some(told) = self.told.take() {
            told(grown);
        }
    }
}

impl Drop for Agreement {
    fn drop(&mut self) {
        self.tell(false);
    }
}
