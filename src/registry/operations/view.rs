//! Views, opened, looked at and closed. Reads are as any other; what is long is compared on the pool.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::Sources;
use crate::model::{Now, ViewId};
use crate::registry::by_name::not_found;
use crate::registry::found::Found;
use crate::registry::gate::Gate;
use crate::registry::ledger::Amount;
use crate::registry::namespace::Namespace;
use crate::registry::random::random_bits;
use crate::registry::record::Record;
use crate::registry::settings::Registry;
use crate::registry::views::{Look, Seen, Shown, VIEW_BYTES, View};
use crate::units::ByteRange;

impl Registry {
    /// Opens a view.
    ///
    /// # Errors
    /// As [`Self::read`], QUOTA_EXCEEDED, HOST_EXHAUSTED.
    pub async fn open_view(
        &self,
        namespace: &Arc<Namespace>,
        found: &Found,
        range: ByteRange,
        ttl: Duration,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<(Arc<View>, Shown), Failure> {
        let id = ViewId::random(random_bits());
        namespace.views.admit(&id)?;
        let amount = Amount::overhead(range.length().get().saturating_add(VIEW_BYTES));
        let charge = namespace.pay(&namespace.home.payer, amount)?;
        let (look, _same) = self
            .look(namespace.lane, Arc::clone(found.record()), range, Bytes::new(), gate)
            .await?;
        let end = now.steady.checked_add(ttl).unwrap_or(now.steady);
        let view = Arc::new(View {
            id,
            memory_id: found.name().clone(),
            memory_uid: found.record().uid,
            range,
            record: Arc::downgrade(found.record()),
            share: found.share().map(Arc::clone),
            namespace: Arc::downgrade(namespace),
            ttl,
            state: Mutex::new(Seen { look, version: 1, end, filed: end }),
            _charge: charge,
        });
        namespace.views.insert(&view, || gate.pass())?;
        self.views.watch(&view);
        let shown = view.first(now);
        Ok((view, shown))
    }

    /// Looks at what a view shows and starts its lease anew. `version` is the one that the caller has.
    ///
    /// # Errors
    /// As [`Self::read`], VIEW_NOT_FOUND where the lease has run out meanwhile.
    pub async fn refresh_view(
        &self,
        lane: u32,
        view: &View,
        version: Option<u64>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Shown, Failure> {
        let record = view.record(now)?;
        let (last, compared) = view.last();
        let (look, same) = self.look(lane, record, view.range, last, gate).await?;
        gate.pass()?;
        view.show(look, (compared, same), version, now)
    }

    /// Closes a view.
    ///
    /// # Errors
    /// VIEW_NOT_FOUND, and what ends any call.
    pub fn close_view(
        &self,
        namespace: &Namespace,
        id: &ViewId,
        now: Now,
        gate: &Gate,
    ) -> Result<(), Failure> {
        let view = namespace.views.remove(id, |_view| gate.pass())?;
        self.views.forget(&view);
        if view.has_expired(now) { Err(not_found::<View>(id.clone())) } else { Ok(()) }
    }

    /// Closes the views whose leases have run out.
    pub(in crate::registry) fn close_expired(&self, now: Now) {
        for view in self.views.expired(now) {
            if let Some(namespace) = view.namespace.upgrade() {
                // Closed by its caller in this moment, it is gone as well.
                let _closed = namespace.views.remove(&view.id, |_view| Ok(()));
            }
        }
    }

    /// What there is, and whether it is what there was before.
    async fn look(
        &self,
        lane: u32,
        record: Arc<Record>,
        range: ByteRange,
        before: Bytes,
        gate: &Arc<Gate>,
    ) -> Result<(Look, bool), Failure> {
        let out = Vec::with_capacity(range.length().as_usize());
        let mut out = self.read(lane, record, range, out, gate).await?;
        let judge = move || {
            // What a verified read took more for a moment is not paid for.
            out.shrink_to_fit();
            let bytes = Bytes::from(out);
            let crc32c = Sources::from(bytes.clone()).crc32c(0);
            let same = bytes == before;
            (Look { bytes, crc32c }, same)
        };
        if range.length() <= self.settings.inline {
            return Ok(judge());
        }
        self.pool.run_once(lane, Arc::clone(gate), judge).await
    }
}

impl Namespace {
    /// A view whose lease has not run out.
    ///
    /// # Errors
    /// VIEW_NOT_FOUND; INVALID_FIELD where that is no name.
    pub fn view(&self, id: &str, now: Now) -> Result<Arc<View>, Failure> {
        let view = self.views.find(id)?;
        if view.has_expired(now) { Err(not_found::<View>(view.id.clone())) } else { Ok(view) }
    }
}
