//! Hooks as their tenant sees them.
//!
//! Law: `tenancy/access.rs`'s: a caller reaches one tenant's hooks and no other's.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Failure;
use crate::model::HookId;
use crate::registry::random_id;
use crate::tenancy::access::Access;
use crate::tenancy::hooks::board::Board;
use crate::tenancy::hooks::{Decider, Hook, HookSpec};

/// A hook as it is now.
#[derive(Clone, Debug)]
pub struct HookView {
    /// Its name.
    pub id: HookId,
    /// What it is.
    pub spec: Arc<HookSpec>,
    /// When it was made.
    pub created: SystemTime,
    /// Whether the config makes it.
    pub configured: bool,
    /// Streams that are open.
    pub streams: usize,
    /// Questions that wait.
    pub open_questions: usize,
}

fn view(board: &Board, hook: &Arc<Hook>) -> HookView {
    let (streams, open_questions) = board.figures(hook);
    HookView {
        id: hook.id.clone(),
        spec: Arc::clone(&hook.spec),
        created: hook.created,
        configured: hook.configured,
        streams,
        open_questions,
    }
}

impl Access {
    /// Makes a hook.
    ///
    /// # Errors
    /// HOOK_EXISTS, QUOTA_EXCEEDED.
    pub fn create_hook(&self, id: Option<HookId>, spec: HookSpec) -> Result<HookView, Failure> {
        let hooks = &self.tenant().hooks;
        let id = id.unwrap_or_else(random_id);
        let hook = hooks.put(id, spec)?;
        Ok(hooks.with(|board| view(board, &hook)))
    }

    /// Describes a hook.
    ///
    /// # Errors
    /// HOOK_NOT_FOUND.
    pub fn hook(&self, id: &HookId) -> Result<HookView, Failure> {
        self.tenant().hooks.with(|board| board.find(id).map(|hook| view(board, hook)))
    }

    /// A page of hooks, and whether there are more.
    #[must_use]
    pub fn hooks(&self, after: Option<&HookId>, most: usize) -> (Vec<HookView>, bool) {
        self.tenant().hooks.with(|board| {
            let page = board.after(after).take(most).map(|hook| view(board, hook)).collect();
            (page, board.after(after).nth(most).is_some())
        })
    }

    /// Ends a hook.
    ///
    /// # Errors
    /// HOOK_NOT_FOUND, PROTECTED where the config makes it.
    pub fn delete_hook(&self, id: &HookId) -> Result<(), Failure> {
        self.tenant().hooks.remove(id)
    }

    /// Decides for a hook from now on.
    ///
    /// # Errors
    /// HOOK_NOT_FOUND, QUOTA_EXCEEDED.
    pub fn decide(&self, id: &HookId) -> Result<(Decider, HookView), Failure> {
        let hooks = &self.tenant().hooks;
        let (stream, view) = hooks.with(|board| {
            let stream = board.join(id)?;
            board.find(id).map(|hook| (stream, view(board, hook)))
        })?;
        let (hooks, hook) = (Arc::clone(hooks), id.clone());
        Ok((Decider { hooks, stream, hook }, view))
    }
}
