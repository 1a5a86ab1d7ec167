//! Hooks of growth: [`Hooks`], one tenant's, who are asked before a memory of its grows.
//!
//! ```text
//! registry ──Wish──> Hooks: policy ─> Board: one question for each hook that selects the memory
//!    ^                                  │ sayings          ^ answers
//!    └──Agreement, or GROW_DENIED       v                  │
//!                                    Decider (a stream of rpc's), of which a hook may have several
//! ```
//!
//! Law: all that is known of questions is in one [`board::Board`], a machine without time or
//! threads, behind one short mutex that is a leaf: wakers, counters and failures come out of it and are
//! acted on without it. A question that waits holds no thread. Does not know streams, messages or
//! runtimes: the time comes from a [`Clock`].

mod access;
mod asking;
mod board;
#[cfg(all(test, not(linmemd_loom)))]
mod board_tests;
mod configured;
mod decider;
mod denial;
mod inquiry;
mod policy;
mod stream;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Failure;
use crate::metrics::{HookEvent, TenantMeters};
use crate::model::HookId;
use crate::registry::{Account, Asking, Deciders, LabelSelector, Wish};
use crate::tenancy::hooks::asking::ask;
use crate::tenancy::hooks::board::Board;
use crate::tenancy::hooks::policy::Bucket;

pub use access::HookView;
pub use decider::{Decider, Saying};
pub use policy::GrowPolicy;

/// Hooks that a tenant may have.
pub const MAX_HOOKS: usize = 64;
/// Streams that one hook may have.
pub const MAX_HOOK_STREAMS: usize = 64;
/// The shortest time in which an answer can be asked for.
pub const MIN_ANSWER_TIMEOUT: Duration = Duration::from_millis(10);
/// The longest.
pub const MAX_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The time where none is given.
pub const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// What of a decider's reason is kept, in bytes.
pub(super) const MAX_REASON_BYTES: usize = 256;

/// A wait for a moment.
pub type Moment = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the time comes from: whoever has a runtime.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Instant;
    /// The same for people.
    fn wall(&self) -> SystemTime;
    /// Is over when so much time has gone.
    fn after(&self, time: Duration) -> Moment;
}

/// What decides where no decider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Nothing grows.
    FailClosed,
    /// It grows.
    FailOpen,
}

/// What a hook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// Which memories it is asked about, as it was written.
    pub selector_text: String,
    /// The same, parsed.
    pub selector: LabelSelector,
    /// What decides where no decider does.
    pub failure_policy: FailurePolicy,
    /// How long an answer is waited for.
    pub answer_timeout: Duration,
    /// Questions go out in order of it.
    pub rank: i32,
}

/// A hook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) id: HookId,
    pub(super) spec: Arc<HookSpec>,
    pub(super) created: SystemTime,
    /// The config makes it.
    pub(super) configured: bool,
}

/// One tenant's hooks, and its policy.
#[derive(Debug)]
pub struct Hooks {
    clock: Arc<dyn Clock>,
    meters: Arc<TenantMeters>,
    tenant: Arc<Account>,
    host: Arc<Account>,
    policy: RwLock<GrowPolicy>,
    bucket: Mutex<Bucket>,
    board: Mutex<Board>,
    /// How many there are, for who only asks whether there are any.
    count: AtomicUsize,
}

impl Hooks {
    pub(super) fn new(
        policy: GrowPolicy,
        [tenant, host]: [&Arc<Account>; 2],
        clock: &Arc<dyn Clock>,
        meters: Arc<TenantMeters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::new(Bucket::full(clock.now())),
            clock: Arc::clone(clock),
            meters,
            tenant: Arc::clone(tenant),
            host: Arc::clone(host),
            policy: RwLock::new(policy),
            board: Mutex::default(),
            count: AtomicUsize::new(0),
        })
    }

    /// Limits on growth from now on.
    pub(super) fn set_policy(&self, policy: GrowPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    fn policy(&self) -> GrowPolicy {
        *self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, id: HookId, spec: HookSpec) -> Result<Arc<Hook>, Failure> {
        let created = self.clock.wall();
        let hook = Arc::new(Hook { id, spec: Arc::new(spec), created, configured: false });
        self.with(|board| {
            board.put(Arc::clone(&hook))?;
            self.count.store(board.hooks(), Ordering::Release);
            Ok(hook)
        })
    }

    fn remove(&self, id: &HookId) -> Result<(), Failure> {
        self.with(|board| {
            board.remove(id)?;
            self.count.store(board.hooks(), Ordering::Release);
            Ok(())
        })
    }

    /// Does something with the board, and then what follows from it without it.
    fn with<T>(&self, work: impl FnOnce(&mut Board) -> T) -> T {
        // Nobody panics in the middle of a change.
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = work(&mut board);
        let effects = board.effects();
        drop(board);
        for (event, waited) in effects.happened {
            self.meters.happened(event);
            if let Some(waited) = waited {
                self.meters.waited(waited);
            }
        }
        effects.wakers.into_iter().for_each(std::task::Waker::wake);
        outcome
    }
}

/// What is to be done once the board is free.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) happened: Vec<(HookEvent, Option<Duration>)>,
    pub(super) wakers: Vec<std::task::Waker>,
    /// To be dropped: what a waker keeps may be the last of a task, and that end here again.
    pub(super) spent: Vec<std::task::Waker>,
}

impl Deciders for Arc<Hooks> {
    fn mind(&self) -> bool {
        self.policy() != GrowPolicy::NONE || self.count.load(Ordering::Acquire) > 0
    }

    fn ask(&self, wish: Wish) -> Asking {
        ask(self, wish)
    }
}
