//! Reload: the config anew, by whoever may read files, and what came of it.
//!
//! Law: a serving thread leaves the order and waits for the answer as a task, until the call's gate closes;
//! what takes effect is one thread's, one reload after the other, and passes that gate. What is refused has
//! changed nothing.

use std::fmt;
use std::sync::Arc;

use hyper::body::Incoming as Body;
use tokio::sync::oneshot;

use crate::error::Failure;
use crate::proto::v1;
use crate::registry::Gate;
use crate::rpc::call::Call;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::status::Refusal;

/// Changes that one answer tells: no answer is larger than a stock client takes.
const MOST_TOLD: usize = 1_000;

/// Who carries reloads out.
pub trait Reloads: Send + Sync + fmt::Debug {
    /// Leaves one to be carried out after those before it.
    fn reload(&self, wish: ReloadWish);
}

/// A reload that is asked for.
#[derive(Debug)]
pub struct ReloadWish {
    /// The call that asks; none: a signal does.
    pub by: Option<String>,
    /// Whether nothing is to change.
    pub validate_only: bool,
    /// The call's point of no return.
    pub gate: Arc<Gate>,
    /// Where the outcome goes. Dropped, the daemon ends.
    pub outcome: oneshot::Sender<Result<Reloaded, Failure>>,
}

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is not as it was, in order of the keys.
    pub changes: Vec<ConfigChange>,
    /// The hash of the config that was read.
    pub config_hash: String,
    /// The hash of the one before.
    pub previous_config_hash: String,
}

/// One key that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// Its value before, where there was one.
    pub old: Option<String>,
    /// Its value now, where there is one.
    pub new: Option<String>,
}

pub(crate) async fn reload(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let asked = plain::<v1::ReloadRequest>(call, body).await?;
    let (outcome, answered) = oneshot::channel();
    call.door.server.host.reloads().reload(ReloadWish {
        by: Some(call.id.to_string()),
        validate_only: asked.message.validate_only,
        gate: Arc::clone(&call.occasion.gate),
        outcome,
    });
    // Dropped unanswered: nobody is there to carry it out any more.
    let answered = call.occasion.gate.wait(answered).await?;
    let reloaded = answered.map_err(|_dropped| Failure::Draining)??;
    answer(&message(reloaded, asked.message.validate_only))
}

fn message(reloaded: Reloaded, validate_only: bool) -> v1::ReloadResponse {
    let Reloaded { mut changes, config_hash, previous_config_hash } = reloaded;
    let more_changes = changes.len().saturating_sub(MOST_TOLD);
    changes.truncate(MOST_TOLD);
    let changes = changes.into_iter().map(|change| v1::ConfigChange {
        kind: match (&change.old, &change.new) {
            (None, _) => v1::ConfigChangeKind::Added,
            (Some(_), None) => v1::ConfigChangeKind::Removed,
            (Some(_), Some(_)) => v1::ConfigChangeKind::Changed,
        }
        .into(),
        key: change.key,
        old_value: change.old,
        new_value: change.new,
    });
    v1::ReloadResponse {
        changes: changes.collect(),
        more_changes: more_changes as u64,
        config_hash,
        previous_config_hash,
        applied: !validate_only,
    }
}
