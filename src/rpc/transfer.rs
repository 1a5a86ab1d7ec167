//! Streams of bytes: UploadMemory and DownloadMemory.
//!
//! Law: each message is one operation, atomic, checked and counted by itself; the memory is bound at
//! the first, so a name that is used anew never gets the rest. A failure says how many bytes stand.
//! Between two messages the deadline and the drain limit may end a stream, never within one. While
//! one message of an upload is written the next one comes in; nothing comes of it until then. An upload
//! whose messages are all there already lets others of its thread have their turn between.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming as Body;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;

use crate::checksum;
use crate::error::Failure;
use crate::memory::Sources;
use crate::model::ShareAccess;
use crate::proto::v1;
use crate::registry::{Found, Gate, Step};
use crate::rpc::admission::InFlight;
use crate::rpc::call::Call;
use crate::rpc::capability;
use crate::rpc::carrier::WithData;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::lapse::Lapse;
use crate::rpc::memory_service::{ENVELOPE_BYTES, answer, plain};
use crate::rpc::message::{Incoming, MessageLimit, Messages};
use crate::rpc::pace::Pace;
use crate::rpc::reply::{ReplyStream, Unfold, framed};
use crate::rpc::status::Refusal;
use crate::rpc::unfolding;
use crate::rpc::untaken::Departure;
use crate::rpc::until::Until;
use crate::units::{ByteCount, ByteRange};

/// Numbers of the fields of `DownloadMemoryResponse`.
const OFFSET_FIELD: u32 = 1;
const DATA_FIELD: u32 = 2;
const CRC32C_FIELD: u32 = 3;
/// Bytes of a fixed32 field with a one-byte key.
const FIXED32_BYTES: usize = 5;

pub(crate) async fn upload(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let mut upload = Upload { written: 0, crc32c: 0 };
    let outcome = upload.receive(call, body).await;
    match outcome {
        Ok(()) => answer(&v1::UploadMemoryResponse {
            bytes_written: upload.written,
            crc32c: upload.crc32c,
        }),
        Err(failure) => Err(Refusal { failure, bytes_written: Some(upload.written) }),
    }
}

/// How far an upload is.
struct Upload {
    written: u64,
    crc32c: u32,
}

/// Where an upload goes, from its first message.
struct Destination {
    found: Found,
    offset: u64,
    length: Option<u64>,
}

impl Upload {
    async fn receive(&mut self, call: &Call, body: Body) -> Result<(), Failure> {
        let gate = &call.occasion.gate;
        let limit = call.door.server.limits.max_chunk_bytes;
        let message_limit = MessageLimit {
            bytes: limit.saturating_add(ENVELOPE_BYTES),
            name: "max_chunk_bytes",
            instead: "send the data in more messages",
            parts: unfolding::NONE,
        };
        let mut messages = Messages::new(body, message_limit, Arc::clone(&call.door));
        let Some(first) = messages.next_with_data(gate).await? else {
            return Err(invalid("message", "is missing: the first one names the memory"));
        };
        received(call);
        let to = begin(call, &first.message.message)?;
        let all = self.receive_all(call, messages, first, &to);
        call.door.access.through(&to.found, ShareAccess::ReadWrite, gate, all).await
    }

    async fn receive_all(
        &mut self,
        call: &Call,
        mut messages: Messages<Body>,
        first: Incoming<WithData<v1::UploadMemoryRequest>>,
        to: &Destination,
    ) -> Result<(), Failure> {
        let gate = &call.occasion.gate;
        let limit = call.door.server.limits.max_chunk_bytes;
        let (mut wanted, mut is_first, pace) = (None, true, Pace::default());
        let mut next: Arrival = Some(first);
        while let Some(Incoming { message: WithData { message, data }, held }) = next {
            if !mem::replace(&mut is_first, false) {
                received(call);
                if wanted.is_some() {
                    return Err(invalid("crc32c", "belongs to the last message only"));
                }
                refuse_late_fields(&message)?;
            }
            wanted = message.crc32c;
            let rates = &call.door.access.tenant().rates;
            rates.take_in_time(1, data.length().get(), gate).await?;
            pace.message(data.length().get()).await;
            let write = async {
                self.write(call, to, data, limit).await?;
                gate.rearm();
                drop(held);
                // A message that is here already has no wait to be called off in.
                if gate.is_closed() { Err(Failure::DeadlinePassed) } else { Ok(()) }
            };
            next = if rates.are_limited() {
                // The next one stays with its sender until it may come.
                write.await?;
                rates.until_some_is_left(gate).await?;
                messages.next_with_data(gate).await?
            } else {
                beside(write, &mut messages, gate).await?
            };
        }
        if let Some(length) = to.length
            && length != self.written
        {
            let why = format!("announced {length} bytes, but {} came", self.written);
            return Err(Failure::InvalidField { field: "length", why });
        }
        match wanted {
            Some(wanted) if wanted != self.crc32c => {
                Err(Failure::ChecksumMismatch { wanted, found: self.crc32c })
            }
            _ => Ok(()),
        }
    }

    async fn write(
        &mut self,
        call: &Call,
        to: &Destination,
        data: Sources,
        limit: u64,
    ) -> Result<(), Failure> {
        call.door.server.registry.overload.admit(Step::ShedCalls)?;
        let length = data.length().get();
        if length > limit {
            return Err(Failure::TooLarge {
                field: "data",
                length,
                limit_name: "max_chunk_bytes",
                limit,
                instead: "send it in more messages",
            });
        }
        let after = self.written.saturating_add(length);
        if to.length.is_some_and(|announced| after > announced) {
            return Err(invalid("data", "is more than the length announced"));
        }
        // Past 2^64 there is no memory, and u64::MAX says so to the bounds check.
        let offset = to.offset.saturating_add(self.written);
        let record = Arc::clone(to.found.record());
        self.crc32c =
            call.door.access.upload(&call.occasion, record, offset, data, self.crc32c).await?;
        self.written = after;
        Ok(())
    }
}

/// What comes of one message of an upload.
type Arrival = Option<Incoming<WithData<v1::UploadMemoryRequest>>>;

/// Writes one message while the next one comes in. A failure to write is told at once; one of the
/// next message only when the write is over, so that what is said to stand does.
async fn beside(
    write: impl Future<Output = Result<(), Failure>>,
    messages: &mut Messages<Body>,
    gate: &Gate,
) -> Result<Arrival, Failure> {
    let mut write = pin!(write);
    let ahead = {
        let mut coming = pin!(messages.ahead_with_data(gate));
        tokio::select! {
            biased;
            written = &mut write => {
                written?;
                coming.await
            }
            came = &mut coming => {
                write.await?;
                came
            }
        }
    };
    match ahead {
        Err(Failure::Overloaded { .. }) => messages.next_with_data(gate).await,
        ahead => ahead,
    }
}

fn received(call: &Call) {
    if let Some(meters) = call.meters() {
        meters.received();
    }
}

fn begin(call: &Call, first: &v1::UploadMemoryRequest) -> Result<Destination, Failure> {
    capability::require(call.door.server.host.capabilities(), &first.required_capabilities)?;
    let Some(memory_id) = &first.memory_id else {
        return Err(invalid("memory_id", "is missing: the first message names the memory"));
    };
    let target = convert::target(memory_id, first.uid.as_deref())?;
    let found = call.door.access.reach(target, call.occasion.now)?;
    let offset = first.offset.unwrap_or(0);
    if let Some(length) = first.length {
        call.door.access.within(found.record(), offset, length)?;
    }
    Ok(Destination { found, offset, length: first.length })
}

fn refuse_late_fields(message: &v1::UploadMemoryRequest) -> Result<(), Failure> {
    let late = [
        ("memory_id", message.memory_id.is_some()),
        ("uid", message.uid.is_some()),
        ("offset", message.offset.is_some()),
        ("length", message.length.is_some()),
        ("required_capabilities", !message.required_capabilities.is_empty()),
    ];
    match late.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(invalid(field, "belongs to the first message only")),
        None => Ok(()),
    }
}

/// What a download has still to send.
pub(crate) struct Download {
    found: Found,
    rest: ByteRange,
    chunk: ByteCount,
    checksum: bool,
    /// The message that was handed over last, on its way.
    last: Option<Departure>,
}

pub(crate) async fn download(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DownloadMemoryRequest>(call, body).await?.message;
    capability::require(call.door.server.host.capabilities(), &request.required_capabilities)?;
    let limits = &call.door.server.limits;
    let chunk = request.chunk_bytes.unwrap_or(limits.default_chunk_bytes);
    if !(limits.min_chunk_bytes..=limits.max_chunk_bytes).contains(&chunk) {
        let (least, most) = (limits.min_chunk_bytes, limits.max_chunk_bytes);
        let why = format!("is {chunk}; must be {least} to {most}");
        return Err(Failure::InvalidField { field: "chunk_bytes", why }.into());
    }
    let target = convert::target(&request.memory_id, request.uid.as_deref())?;
    let found = call.door.access.reach(target, call.occasion.now)?;
    // An offset past the end leaves nothing, and is a trap below like any other.
    let size = found.record().size().bytes().get();
    let length = request.length.unwrap_or_else(|| size.saturating_sub(request.offset));
    let rest = call.door.access.within(found.record(), request.offset, length)?;
    Ok(Reply::Download(Box::new(Download {
        found,
        rest,
        chunk: ByteCount::new(chunk),
        checksum: request.checksum,
        last: None,
    })))
}

/// The messages of a download, until its deadline.
pub(crate) fn stream(
    download: Download,
    call: Call,
    deadline: Option<Instant>,
) -> impl ReplyStream + 'static {
    let late = call.clone();
    let over = download.over();
    let messages =
        Unfold::new((download, call), |(mut download, call): (Download, Call)| async move {
            match download.next(&call).await {
                Ok(message) => Ok(((download, call), message)),
                Err(None) => Err(Status::ok("")),
                Err(Some(failure)) => Err(call.refuse(&failure.into())),
            }
        });
    Until::new(messages, deadline, late).nor_after(over)
}

impl Download {
    /// When what it goes by is over, where that is a share.
    pub(crate) fn over(&self) -> Option<Lapse> {
        self.found.share().map(|share| Box::pin(share.over()) as Lapse)
    }

    /// The next message, framed; `Err(None)` when all has been sent.
    async fn next(&mut self, call: &Call) -> Result<Bytes, Option<Failure>> {
        if self.rest.length() == ByteCount::ZERO {
            return Err(None);
        }
        let (here, after) = self.rest.split(self.chunk);
        let length = here.length();
        let rates = &call.door.access.tenant().rates;
        rates.take_in_time(1, length.get(), &call.occasion.gate).await?;
        let held = self.hold(call, length.get()).await?;
        let mut before = Vec::with_capacity(11);
        if here.start() > 0 {
            encode_key(OFFSET_FIELD, WireType::Varint, &mut before);
            encode_varint(here.start(), &mut before);
        }
        let checksum_bytes = if self.checksum { FIXED32_BYTES } else { 0 };
        let out = framed(&before, DATA_FIELD, length.as_usize(), checksum_bytes);
        let data_begins = out.len();
        let mut out = call.door.access.download(&call.occasion, &self.found, here, out).await?;
        if self.checksum {
            let crc32c = checksum::crc32c(out.get(data_begins..).unwrap_or_default());
            encode_key(CRC32C_FIELD, WireType::ThirtyTwoBit, &mut out);
            out.extend_from_slice(&crc32c.to_le_bytes());
        }
        if let Some(meters) = call.meters() {
            meters.sent();
        }
        let end = ByteRange::within(here.end(), 0, ByteCount::new(u64::MAX));
        self.rest = after.or(end.ok()).unwrap_or(self.rest);
        let limit = call.door.server.limits.stall_timeout;
        let (message, departure) = call.door.untaken.charge(out.into(), Some(held), limit);
        self.last = Some(departure);
        Ok(message)
    }

    /// A message is read ahead of the last one's departure only where that is in nobody's way: who is
    /// slow to take a download gets its bytes read as it takes them.
    async fn hold(&mut self, call: &Call, bytes: u64) -> Result<InFlight, Failure> {
        if let Some(last) = self.last.take() {
            if let Ok(held) = call.door.hold_ahead(bytes) {
                return Ok(held);
            }
            last.await;
        }
        call.hold(bytes)
    }
}

fn invalid(field: &'static str, why: &str) -> Failure {
    Failure::InvalidField { field, why: why.to_owned() }
}
