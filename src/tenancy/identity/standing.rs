//! [`Standing`]: whether the certificate that somebody came by still stands.
//!
//! Law: it stands until it is withdrawn, and never again. Whoever withdraws it says so to the tenants, who
//! then judge anew what was let in by it. Verifies nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// One certificate's, shared by whoever goes by it.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<AtomicBool>);

/// The same for whoever can withdraw it; gone with the last one who goes by it.
#[derive(Clone, Debug)]
pub struct Withdrawal(Weak<AtomicBool>);

impl Standing {
    /// To withdraw it by.
    #[must_use]
    pub fn withdrawal(&self) -> Withdrawal {
        Withdrawal(Arc::downgrade(&self.0))
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Withdrawal {
    /// Whether nothing is left to withdraw: nobody goes by it any more, or it stands no more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.upgrade().is_none_or(|withdrawn| withdrawn.load(Ordering::Acquire))
    }

    /// It stands no more.
    pub fn withdraw(&self) {
        if let Some(withdrawn) = self.0.upgrade() {
            withdrawn.store(true, Ordering::Release);
        }
    }
}
