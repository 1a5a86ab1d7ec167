//! What is told of a [`Record`], to whoever watches its tenant's memories, and to whom it is shared.
//!
//! Law: a change is told when it is made, under one lock; after the last event of a memory (it was
//! deleted, or its lease ran out) nothing more is told of it. Does not know who watches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::ShareId;
use crate::registry::attachments::Changed;
use crate::registry::events::{Event, EventKind, Happening};
use crate::registry::record::Record;
use crate::registry::share::{End, Share, Shares};

impl Record {
    /// What happened, now, with the labels that it has.
    pub(in crate::registry) fn event(&self, happening: Happening) -> Event {
        let said = self.aside().said.clone();
        Event::new(self.home.events.now(), self.id.clone(), self.uid, said, happening)
    }

    /// Carries a change out and, where it was one, tells of it.
    pub(in crate::registry) fn tell(&self, happening: Happening, change: impl FnOnce() -> bool) {
        // A growth or a fault may outlive the name of a memory whose lease ran out.
        let change = || change() && self.expiry.load(Ordering::Acquire) != 0;
        let is_growth = happening.kind() == EventKind::Grown;
        self.home.events.tell(|| self.event(happening), change);
        if is_growth {
            self.tell_attached(Changed::Grown);
        }
    }

    /// Its name is gone: whoever has it attached is told, and its shares are over.
    pub(in crate::registry) fn has_left(&self) {
        self.tell_attached(Changed::Gone);
        let shares = match &self.aside().rare {
            Some(rare) if !rare.shares.is_empty() => rare.shares.clone(),
            _ => return,
        };
        shares.values().for_each(|share| share.end(End::Gone));
    }

    /// It is shared.
    pub(in crate::registry) fn keep_share(&self, share: &Arc<Share>) {
        let mut aside = self.aside();
        aside.rare.get_or_insert_default().shares.insert(share.id.clone(), Arc::clone(share));
    }

    /// A share of it is over.
    pub(in crate::registry) fn forget_share(&self, id: &ShareId) -> Option<Arc<Share>> {
        self.aside().rare.as_mut()?.shares.remove(id)
    }

    /// Where shares are found.
    pub(in crate::registry) fn shares(&self) -> &Shares {
        &self.home.shares
    }
}
