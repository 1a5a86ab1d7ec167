//! [`Pinning`]: how many threads of one kind there are, and on which processors each of them runs.
//!
//! ```text
//!  [grpc] numa_nodes   runtimes             serving thread n
//!  some                any                  on a node, in turn
//!  none                absent: one a core   on a processor of its own
//!  none                a number             wherever the kernel puts it
//! ```
//!
//! Two serving threads wait for each other now and then, by milliseconds, while another processor has
//! nothing better than idle work: the kernel moves a thread that wakes so often too late. Pool threads go
//! behind, and are left to it.
//!
//! Law: what the config names and the host has not ends the start, with what to do; once the daemon
//! serves, a thread that cannot be kept there goes on elsewhere and is told of. Starts no thread. Made
//! while every file that says what processors there are can be read.

use std::sync::Arc;
use std::thread::available_parallelism;

use crate::config::{Grpc, Pool};
use crate::daemon::start_error::StartError;
use crate::os::kernel::Kernel;
use crate::os::numa::{own_processors, processors};
use crate::os::threads::run_on;

/// The threads of one kind, and the processors that they are kept on, in turn.
#[derive(Clone, Debug)]
pub(super) struct Pinning {
    kernel: Arc<dyn Kernel>,
    threads: usize,
    places: Arc<[Vec<u32>]>,
}

impl Pinning {
    /// Of the serving threads.
    pub(super) fn of_serving(kernel: &Arc<dyn Kernel>, config: &Grpc) -> Result<Self, StartError> {
        let mut pinning = Self::to(kernel, config.runtimes, &config.numa_nodes, "grpc.numa_nodes")?;
        if pinning.places.is_empty() && config.runtimes.is_none() {
            pinning.places = one_each(pinning.threads, &own_processors(&**kernel));
        }
        Ok(pinning)
    }

    /// Of the pool's threads.
    pub(super) fn of_pool(kernel: &Arc<dyn Kernel>, config: &Pool) -> Result<Self, StartError> {
        Self::to(kernel, config.threads, &config.numa_nodes, "pool.numa_nodes")
    }

    /// So many, or one a core, on these nodes; none of them leaves it to the kernel.
    fn to(
        kernel: &Arc<dyn Kernel>,
        threads: Option<u32>,
        nodes: &[u32],
        key: &'static str,
    ) -> Result<Self, StartError> {
        let usable = |node: &u32| match processors(&**kernel, *node) {
            none if none.is_empty() => Err(StartError::NoProcessors { node: *node, key }),
            some => Ok(some),
        };
        let places = nodes.iter().map(usable).collect::<Result<_, _>>()?;
        let cores = || available_parallelism().map_or(1, usize::from);
        let threads = threads.map_or_else(cores, |threads| threads as usize).max(1);
        Ok(Self { kernel: Arc::clone(kernel), threads, places })
    }

    /// How many threads of the kind there are: at least one.
    pub(super) const fn threads(&self) -> usize {
        self.threads
    }

    /// Keeps the calling thread, the one of this number, where it belongs.
    pub(super) fn pin(&self, number: usize) {
        let place = number.checked_rem(self.places.len()).and_then(|turn| self.places.get(turn));
        let Some(processors) = place else { return };
        if let Err(error) = run_on(&*self.kernel, processors) {
            tracing::warn!(%error, ?processors, "a thread runs wherever the kernel puts it");
        }
    }
}

/// A processor for each thread, where there are exactly as many: fewer threads share what a control group
/// leaves them of all the processors, and none of them is theirs.
fn one_each(threads: usize, processors: &[u32]) -> Arc<[Vec<u32>]> {
    let have_each = threads == processors.len();
    processors.iter().filter(|_| have_each).map(|processor| vec![*processor]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_a_processor_each_where_there_are_as_many_and_else_none() {
        assert_eq!(*one_each(3, &[0, 2, 5]), [[0], [2], [5]]);
        assert!(one_each(2, &[0, 2, 5]).is_empty(), "a quota of two cores on three processors");
        assert!(one_each(1, &[]).is_empty(), "the host does not tell");
    }
}
