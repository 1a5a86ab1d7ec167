//! Segments, put and dropped. What is long is copied and summed on the pool.
//!
//! Law: paid before the copy is made; a segment that can be found is whole.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::Sources;
use crate::model::{Now, RequestKey, SegmentId, Uuid};
use crate::registry::by_name::not_found;
use crate::registry::counter::Full;
use crate::registry::gate::Gate;
use crate::registry::ledger::Amount;
use crate::registry::namespace::Namespace;
use crate::registry::overload::{Overload, Step};
use crate::registry::random::random_bits;
use crate::registry::record::Record;
use crate::registry::requests::{Begun, Led};
use crate::registry::segments::{SEGMENT_BYTES, Segment};
use crate::registry::settings::Registry;

impl Registry {
    /// Keeps bytes as a segment. A repeat of a remembered request, the `body` of which need not cover
    /// the bytes, gets the first one's.
    ///
    /// # Errors
    /// SEGMENT_EXISTS, OVERLOADED, QUOTA_EXCEEDED, HOST_EXHAUSTED, REQUEST_ID_REUSED, and what ends any
    /// call; nothing is kept.
    pub async fn put_segment(
        &self,
        namespace: &Arc<Namespace>,
        id: Option<SegmentId>,
        data: Sources,
        request: Option<RequestKey>,
        now: Now,
        gate: &Arc<Gate>,
    ) -> Result<Arc<Segment>, Failure> {
        if data.length() <= self.settings.inline {
            return put(namespace, &self.overload, id, &data, request, now, gate);
        }
        let (home, job_gate) = (Arc::clone(namespace), Arc::clone(gate));
        let overload = Arc::clone(&self.overload);
        let job = move || {
            let segment = put(&home, &overload, id, &data, request, now, &job_gate);
            // The sources go back to be freed by the thread that allocated them.
            (segment, data)
        };
        let (segment, _data) = self.pool.run_once(namespace.lane, Arc::clone(gate), job).await?;
        segment
    }

    /// Ends a segment. Its charge is back once nobody is putting it into a memory.
    ///
    /// # Errors
    /// SEGMENT_NOT_FOUND, and what ends any call.
    pub fn drop_segment(
        &self,
        namespace: &Namespace,
        id: &SegmentId,
        gate: &Gate,
    ) -> Result<(), Failure> {
        namespace.segments.remove(id, |_segment| gate.pass()).map(drop)
    }
}

impl Namespace {
    /// A segment, to be shared.
    ///
    /// # Errors
    /// SEGMENT_NOT_FOUND; INVALID_FIELD where that is no name.
    pub fn segment(&self, id: &str) -> Result<Arc<Segment>, Failure> {
        self.segments.find(id)
    }

    /// Up to `most` of its segments after a name, in order, and whether there are more.
    #[must_use]
    pub fn list_segments(
        &self,
        after: Option<&SegmentId>,
        most: usize,
    ) -> (Vec<Arc<Segment>>, bool) {
        self.segments.list(after, most)
    }
}

impl Record {
    /// A part of a segment that is to be put into this memory.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, naming the segment and counted as this memory's trap.
    pub fn source(
        &self,
        segment: &Arc<Segment>,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, Failure> {
        segment.part(offset, length).inspect_err(|_trap| self.note_trap())
    }
}

fn put(
    namespace: &Namespace,
    overload: &Overload,
    id: Option<SegmentId>,
    data: &Sources,
    request: Option<RequestKey>,
    now: Now,
    gate: &Gate,
) -> Result<Arc<Segment>, Failure> {
    let payer = &namespace.home.payer;
    let request = request.map(|key| with_data(key, data));
    let running = match namespace.requests.begin(request, now, [payer; 2])? {
        Begun::Run(running) => running,
        Begun::Done(led) => return repeated(namespace, led),
    };
    let id = id.unwrap_or_else(|| SegmentId::random(random_bits()));
    namespace.segments.admit(&id)?;
    overload.admit(Step::RefuseCreates)?;
    let amount = Amount::overhead(data.length().get().saturating_add(SEGMENT_BYTES));
    let length = data.length().get();
    let full = |Full { limit, used }| Failure::QuotaExceeded {
        limit_name: "segment_bytes",
        limit,
        used,
        asked: length,
    };
    let bytes = namespace.segment_bytes.take(length).map_err(full)?;
    let charge = namespace.pay(payer, amount)?;
    let segment = Arc::new(Segment {
        id,
        bytes: data.joined(),
        crc32c: data.crc32c(0),
        created: now.wall,
        uid: uuid::Builder::from_random_bytes(random_bits().to_le_bytes()).into_uuid(),
        _charge: charge,
        _bytes: bytes,
    });
    namespace.segments.insert(&segment, || namespace.stays().and_then(|()| gate.pass()))?;
    running.led_to(Led::Created { id: segment.id.clone(), uid: segment.uid });
    Ok(segment)
}

/// A key that covers the bytes too.
fn with_data(key: RequestKey, data: &Sources) -> RequestKey {
    let sums = u128::from(data.crc64()) << 64 | u128::from(data.length().get());
    RequestKey { body: (u128::from_le_bytes(key.body) ^ sums).to_le_bytes(), ..key }
}

fn repeated(namespace: &Namespace, led: Led) -> Result<Arc<Segment>, Failure> {
    match led {
        Led::Created { id, uid } => match namespace.segments.find(id.as_str()) {
            Ok(segment) if segment.uid == uid => Ok(segment),
            _ => Err(not_found::<Segment>(id)),
        },
        // The hash of the body covers the kind of request, so this is another request.
        _ => Err(Failure::RequestIdReused { request_id: Uuid::nil() }),
    }
}
