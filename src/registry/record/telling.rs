//! What is told of a [`Record`], to whoever watches its tenant's memories.
//!
//! Law: a change is told when it is made, under one lock; after the last event of a memory (it was
//! deleted, or its lease ran out) nothing more is told of it. Does not know who watches.

use std::sync::atomic::Ordering;

use crate::registry::attachments::Changed;
use crate::registry::events::{Event, EventKind, Happening};
use crate::registry::record::Record;

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
}
