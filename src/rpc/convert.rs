//! Messages from and to the model: names, times, memories, request keys, page tokens.
//!
//! Law: checked on the way in, spelled out on the way back. Specs are in `spec.rs`.

use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::error::Failure;
use crate::memory::{GuardKind, Held, Placed};
use crate::model::{Id, MemoryId, PageKind, RequestKey, Uuid};
use crate::proto::v1;
use crate::registry::{Observation, Record};
use crate::rpc::method::Method;
use crate::rpc::{form, spec};
use crate::tenancy::Target;
use crate::units::ByteCount;

/// Of a list that does not say how long it is to be.
const DEFAULT_LIST: u32 = 100;
/// Of any list.
pub(crate) const LONGEST_LIST: u32 = 1_000;

/// The memory that a request names.
///
/// # Errors
/// INVALID_FIELD where the uid is none.
pub(crate) fn target<'a>(id: &'a str, uid: Option<&str>) -> Result<Target<'a>, Failure> {
    Ok(Target { id, uid: uid.map(|uid| uuid("uid", uid)).transpose()? })
}

/// The same where a request names two: what is wrong is told under its own field.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn target_of<'a>(
    [id_field, uid_field]: [&'static str; 2],
    memory_id: &'a str,
    uid: Option<&str>,
) -> Result<Target<'a>, Failure> {
    id(id_field, memory_id)?;
    let uid = uid.map(|uid| uuid(uid_field, uid)).transpose()?;
    Ok(Target { id: memory_id, uid })
}

/// A time that a client asks for; none where it is negative or none at all. Of the least number of
/// seconds the conversion itself would make a number that there is not.
pub(crate) fn duration(asked: &prost_types::Duration) -> Option<Duration> {
    if asked.seconds < 0 { None } else { Duration::try_from(*asked).ok() }
}

/// A name for a new memory.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn memory_id(id: &str) -> Result<MemoryId, Failure> {
    self::id("memory_id", id)
}

/// A name that a client chose.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn id(field: &'static str, id: &str) -> Result<Id, Failure> {
    Id::new(id).map_err(|bad| Failure::InvalidField { field, why: bad.to_string() })
}

/// The request's own id and a hash of everything else it says.
///
/// # Errors
/// INVALID_FIELD where the id is no UUID.
pub(crate) fn request_key<M: Message>(
    method: Method,
    request_id: Option<String>,
    without_id: &M,
) -> Result<Option<RequestKey>, Failure> {
    let Some(request_id) = request_id else { return Ok(None) };
    let id = uuid("request_id", &request_id)?;
    let mut hash = Sha256::new();
    hash.update(method.name());
    hash.update([0]);
    hash.update(without_id.encode_to_vec());
    let digest: [u8; 32] = hash.finalize().into();
    let mut body = [0; 16];
    for (slot, byte) in body.iter_mut().zip(digest) {
        *slot = byte;
    }
    Ok(Some(RequestKey { id, body }))
}

/// What a client sees of a memory.
pub(crate) fn memory(record: &Record) -> v1::Memory {
    let version = record.presentation();
    let stats = record.stats();
    let size = record.size();
    let quarantined = record.quarantined();
    v1::Memory {
        memory_id: record.id.to_string(),
        uid: record.uid.to_string(),
        etag: version.etag,
        spec: Some(v1::MemorySpec {
            segments: active_segments(record),
            ..spec::effective(
                &record.shape(),
                record.guard(),
                record.owner(),
                &version.presentation,
            )
        }),
        state: match quarantined {
            None => v1::MemoryState::Ready,
            Some(_) => v1::MemoryState::Quarantined,
        }
        .into(),
        state_reason: quarantined.unwrap_or_default().to_owned(),
        size_pages: size.get(),
        size_bytes: size.bytes().get(),
        // A memory never shrinks.
        peak_bytes: size.bytes().get(),
        stats: Some(v1::MemoryStats {
            read_count: stats.read_count,
            write_count: stats.write_count,
            access_count: stats.read_count.saturating_add(stats.write_count),
            read_bytes: stats.read_bytes,
            write_bytes: stats.write_bytes,
            grow_count: stats.grow_count,
            grow_failure_count: stats.grow_failure_count,
            trap_count: stats.trap_count,
            largest_access_bytes: stats.largest_access_bytes,
            last_access_offset: stats.last_access.map(|(offset, _)| offset),
            last_access_length: stats.last_access.map(|(_, length)| length),
            distinct_regions: stats.distinct_regions,
            since: Some(stats.since.into()),
        }),
        create_time: Some(record.created().into()),
        expire_time: version.expire_time.map(Into::into),
        shared_from: String::new(),
        resident_bytes: None,
        placement: None,
        placement_observed_time: None,
    }
}

/// How long [`memory`] is at most, also as another tenant sees it, without putting it together.
pub(crate) fn most_bytes(record: &Record) -> u64 {
    /// Uid, tag, times and counts, and the name of a partition or of an owner.
    const FIXED: u64 = 768;
    /// A segment's place and length, or a node.
    const NUMBERS: u64 = 24;
    let [said, numbers] = record.extent().map(|count| count as u64);
    // Short labels are longer as entries of a map than in a record, and there are 64 at most.
    let labels = said.saturating_mul(2).min(said.saturating_add(512));
    let names = FIXED.saturating_add(record.id.as_bytes().len() as u64);
    labels.saturating_add(numbers.saturating_mul(NUMBERS)).saturating_add(names)
}

/// Where a memory's active segments were put; their bytes are the memory's own.
fn active_segments(record: &Record) -> Vec<v1::ActiveSegment> {
    let shown = |(offset, length): &(u64, u64)| v1::ActiveSegment {
        offset: *offset,
        length: Some(*length),
        ..v1::ActiveSegment::default()
    };
    record.active_segments().iter().map(shown).collect()
}

/// The same with what the host holds. `nodes` are the host's.
pub(crate) fn memory_in_full(
    record: &Record,
    observation: &Observation,
    nodes: Vec<u32>,
) -> v1::Memory {
    let Observation { at, held, placed } = observation;
    let form = record.form();
    let (given, evidence) = pages_given(held, placed);
    let pages = v1::PagePlacement {
        asked: form::page_kind_messages(&form.page_kinds),
        given: form::page_kind_messages(&given),
        evidence: evidence.into(),
        granule_bytes: placed.granule.get(),
    };
    let by_node =
        |(node, bytes): &(u32, ByteCount)| v1::NodeBytes { node: *node, bytes: bytes.get() };
    let on_nodes = v1::NodePlacement {
        asked: Some(form::numa_message(&form.numa)),
        given: match &held.nodes {
            Some(held) => held.iter().map(|(node, _)| *node).collect(),
            None if placed.on_nodes && !form.numa.nodes.is_empty() => form.numa.nodes.clone(),
            None => nodes,
        },
        evidence: observed(held.nodes.is_some()).into(),
        held: held.nodes.iter().flatten().map(by_node).collect(),
        policy_in_force: placed.on_nodes,
    };
    v1::Memory {
        resident_bytes: Some(held.resident.get()),
        placement: Some(v1::Placement {
            pages: Some(pages),
            nodes: Some(on_nodes),
            guard: Some(v1::GuardPlacement {
                asked: Some(spec::guard_message(record.shape().guard)),
                given: Some(spec::guard_message(record.guard())),
                kind: guard_kind(placed.guard).into(),
                evidence: v1::Evidence::PolicyOnly.into(),
            }),
            tagging: Some(v1::TaggingPlacement {
                asked: Some(form::tagging_message(&form.tagging)),
                given: placed.tags.map(|mode| form::tag_mode(mode).into()),
            }),
        }),
        placement_observed_time: Some(at.wall.into()),
        ..memory(record)
    }
}

/// Which kinds of pages there are, and how that is known.
fn pages_given(held: &Held, placed: &Placed) -> (Vec<PageKind>, v1::Evidence) {
    let given = match (placed.pages, held.huge) {
        (PageKind::Transparent, Some(huge)) if huge == ByteCount::ZERO => vec![PageKind::Base],
        (PageKind::Transparent, Some(huge)) if huge < held.resident => {
            vec![PageKind::Transparent, PageKind::Base]
        }
        (kind, _) => vec![kind],
    };
    (given, observed(held.huge.is_some()))
}

const fn observed(is: bool) -> v1::Evidence {
    if is { v1::Evidence::Observed } else { v1::Evidence::PolicyOnly }
}

/// What guards are made of.
pub(crate) const fn guard_kind(kind: GuardKind) -> v1::GuardKind {
    match kind {
        GuardKind::ProtNone => v1::GuardKind::ProtNone,
        GuardKind::GuardInstall => v1::GuardKind::GuardInstall,
        GuardKind::None => v1::GuardKind::None,
    }
}

/// How many a page of a list has at most.
pub(crate) fn page_size(asked: u32) -> usize {
    match asked {
        0 => DEFAULT_LIST as usize,
        size => size.min(LONGEST_LIST) as usize,
    }
}

/// The token of the page after `last`, of a list by this selector; none where that was the last of all.
pub(crate) fn page_token(selector: &str, last: Option<&MemoryId>) -> String {
    last.map(|last| format!("{}.{last}", fingerprint(selector))).unwrap_or_default()
}

/// Where a page of a list by this selector begins.
///
/// # Errors
/// PAGE_TOKEN_INVALID.
pub(crate) fn page_start(selector: &str, token: &str) -> Result<Option<MemoryId>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let Some((of, last)) = token.split_once('.') else {
        return Err(Failure::PageTokenInvalid { why: "is no token of this server" });
    };
    if of != fingerprint(selector) {
        return Err(Failure::PageTokenInvalid { why: "belongs to another label_selector" });
    }
    MemoryId::new(last)
        .map(Some)
        .map_err(|_bad| Failure::PageTokenInvalid { why: "is no token of this server" })
}

fn fingerprint(selector: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(selector).into();
    let [a, b, c, d, ..] = digest;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// A UUID.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn uuid(field: &'static str, text: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(text)
        .map_err(|_bad| Failure::InvalidField { field, why: "must be a UUID".to_owned() })
}
