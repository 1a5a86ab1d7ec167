//! The end of memories whose maker is gone: at once for everyone, and given back on the pool.
//!
//! ```text
//! cut: none is tied any more, and each is as expired │ pool: names gone, then each drained, wiped, given back
//! ```

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::Failure;
use crate::registry::gate::Gate;
use crate::registry::job::turn;
use crate::registry::pool::onto_pool;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::registry::tie::Tie;
use crate::registry::waiters::Over;

/// Names that are taken away in one moment: a fraction of a millisecond.
const NAMES_AT_ONCE: usize = 256;

/// Who is told of each that ends so.
type Tell = dyn Fn(&Record) + Send + Sync;

impl Registry {
    /// Ends the memories of a maker that is gone. From this moment nobody finds them; their charges
    /// come back as their turn comes on the pool, where each is told of.
    pub fn let_go(self: &Arc<Self>, tie: &Tie, tell: impl Fn(&Record) + Send + Sync + 'static) {
        let tied = tie.cut();
        if tied.is_empty() {
            return;
        }
        let tell: Arc<Tell> = Arc::new(tell);
        let mut lanes: BTreeMap<u32, Vec<Arc<Record>>> = BTreeMap::new();
        for record in tied {
            record.let_go();
            let lane = record.namespace().map_or(0, |namespace| namespace.lane());
            lanes.entry(lane).or_default().push(record);
        }
        for (lane, records) in lanes {
            let mut end =
                Box::pin(Arc::clone(self).end_tied(lane, records.into(), Arc::clone(&tell)));
            // On its way from here on; the sweep only looks whether the pool had room for it.
            if end.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                self.put_ending(end);
            }
        }
    }

    async fn end_tied(self: Arc<Self>, lane: u32, records: Arc<[Arc<Record>]>, tell: Arc<Tell>) {
        loop {
            let (registry, all) = (Arc::clone(&self), Arc::clone(&records));
            let tell = Arc::clone(&tell);
            let job = async move {
                onto_pool().await;
                for some in all.chunks(NAMES_AT_ONCE) {
                    if let Some(namespace) = some.first().and_then(|one| one.namespace()) {
                        namespace.leave_all(some).iter().for_each(|record| tell(record));
                    }
                    some.iter().for_each(|record| registry.waiters.end(record.uid, Over::Gone));
                    turn().await;
                }
                for record in all.iter() {
                    registry.end_within(Arc::clone(record)).await;
                }
            };
            let ended = self.pool.run(lane, Gate::new(), job).await;
            if !matches!(ended, Err(Failure::Overloaded { .. })) {
                return;
            }
            next_poll().await;
        }
    }
}

/// Ready when polled again, which nobody is asked for.
pub(super) async fn next_poll() {
    let mut polled = false;
    poll_fn(|_context| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
