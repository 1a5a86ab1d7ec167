//! The hooks that the config makes in a tenant, at start and anew at each reload.
//!
//! Law: all of them change in one moment, so that no growth falls between; one that stays as it was keeps
//! its streams and its questions. A tenant's own hooks are left alone, and counted apart; one that has the
//! name of the config's refuses it, for only deleting a hook removes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Failure;
use crate::model::HookId;
use crate::tenancy::hooks::{Hook, HookSpec, Hooks, MAX_HOOKS};

impl Hooks {
    /// Whether these could be the config's.
    ///
    /// # Errors
    /// HOOK_EXISTS where the tenant has one of its own by that name; QUOTA_EXCEEDED.
    pub fn fit(&self, wanted: &[(HookId, HookSpec)]) -> Result<(), Failure> {
        let is_own = |id: &HookId| {
            self.with(|board| board.after(None).any(|hook| !hook.configured && hook.id == *id))
        };
        if let Some((id, _)) = wanted.iter().find(|(id, _)| is_own(id)) {
            return Err(Failure::HookExists { hook_id: id.clone() });
        }
        let (limit, asked) = (MAX_HOOKS as u64, wanted.len() as u64);
        if asked > limit {
            return Err(Failure::QuotaExceeded { limit_name: "hooks", limit, used: 0, asked });
        }
        Ok(())
    }

    /// These are the config's from now on, and no others.
    pub fn configure(&self, wanted: Vec<(HookId, HookSpec)>) {
        let created = self.clock.wall();
        self.with(|board| {
            let is_wanted = |hook: &Arc<Hook>| {
                wanted.iter().any(|(id, spec)| hook.id == *id && *hook.spec == *spec)
            };
            let configured = board.after(None).filter(|hook| hook.configured);
            let (stay, go): (Vec<_>, Vec<_>) = configured.cloned().partition(is_wanted);
            go.iter().for_each(|hook| board.end(hook));
            for (id, spec) in wanted {
                if stay.iter().all(|hook| hook.id != id) {
                    let spec = Arc::new(spec);
                    board.replace(Arc::new(Hook { id, spec, created, configured: true }));
                }
            }
            self.count.store(board.hooks(), Ordering::Release);
        });
    }
}
