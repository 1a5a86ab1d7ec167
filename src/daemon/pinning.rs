//! [`Pinning`]: on which processors the threads of one kind run.
//!
//! Law: what the config names and the host has not ends the start, with what to do; once the daemon
//! serves, a thread that cannot be kept there goes on elsewhere and is told of. Starts no thread.

use std::sync::Arc;

use crate::daemon::start_error::StartError;
use crate::os::kernel::Kernel;
use crate::os::numa::processors;
use crate::os::threads::run_on;

/// The processors of each node that threads of one kind are kept on, in turn.
#[derive(Clone, Debug)]
pub(super) struct Pinning {
    kernel: Arc<dyn Kernel>,
    nodes: Arc<[Vec<u32>]>,
}

impl Pinning {
    /// On these nodes; none of them leaves it to the kernel.
    pub(super) fn to(
        kernel: &Arc<dyn Kernel>,
        nodes: &[u32],
        key: &'static str,
    ) -> Result<Self, StartError> {
        let usable = |node: &u32| match processors(&**kernel, *node) {
            none if none.is_empty() => Err(StartError::NoProcessors { node: *node, key }),
            some => Ok(some),
        };
        let nodes = nodes.iter().map(usable).collect::<Result<_, _>>()?;
        Ok(Self { kernel: Arc::clone(kernel), nodes })
    }

    /// Keeps the calling thread, the one of this number, where it belongs.
    pub(super) fn pin(&self, number: usize) {
        let node = number.checked_rem(self.nodes.len()).and_then(|turn| self.nodes.get(turn));
        let Some(processors) = node else { return };
        if let Err(error) = run_on(&*self.kernel, processors) {
            tracing::warn!(%error, ?processors, "a thread runs wherever the kernel puts it");
        }
    }
}
