//! Specs: a client's wishes into the model's, and the model's back with every default spelled out.
//!
//! Law: a field that is not built yet is refused by name and value unless it stands at its default;
//! an enum value that is not in the proto is INVALID_FIELD. Nothing is ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Failure;
use crate::model::{
    ActiveSegment, Allocator, DEFAULT_GUARD, Growth, Guard, Id, IndexType, MAX_DISPLAY_NAME_BYTES,
    MAX_LABEL_VALUE_BYTES, MAX_LABELS, MAX_LEASE, MIN_LEASE, MemorySpec, Owner, Presentation,
    Shape,
};
use crate::proto::v1;
use crate::rpc::{convert, form};
use crate::units::{ByteCount, WasmPages};

/// What a client asks, checked field by field.
///
/// # Errors
/// INVALID_FIELD, INVALID_SPEC, CAPABILITY_UNAVAILABLE.
pub(crate) fn wanted(spec: v1::MemorySpec) -> Result<MemorySpec, Failure> {
    refuse_unbuilt(&spec)?;
    let form = form::wanted(&spec)?;
    let initial = pages("spec.initial_pages", spec.initial_pages)?;
    let maximum =
        spec.maximum_pages.map(|maximum| pages("spec.maximum_pages", maximum)).transpose()?;
    let guard = spec.guard.unwrap_or_default();
    let absent = if form.allocator == Allocator::Heap { ByteCount::ZERO } else { DEFAULT_GUARD };
    let guard_bytes = |bytes: Option<u64>| bytes.map_or(absent, ByteCount::new);
    Ok(MemorySpec {
        initial,
        maximum,
        index_type: match known("spec.index_type", spec.index_type)? {
            v1::IndexType::Unspecified | v1::IndexType::I32 => IndexType::I32,
            v1::IndexType::I64 => IndexType::I64,
        },
        growth: match known("spec.growth", spec.growth)? {
            v1::Growth::Unspecified | v1::Growth::Allowed => Growth::Allowed,
            v1::Growth::Disallowed => Growth::Disallowed,
        },
        guard: Guard {
            before: guard_bytes(guard.before_bytes),
            after: guard_bytes(guard.after_bytes),
        },
        form,
        owner: match known("spec.owner", spec.owner)? {
            v1::Owner::Unspecified | v1::Owner::Tenant => Owner::Tenant,
            v1::Owner::Connection => Owner::Connection,
        },
        presentation: Presentation {
            display_name: display_name("spec.display_name", spec.display_name)?,
            labels: labels("spec.labels", spec.labels)?,
            lease_ttl: spec.lease_ttl.map(|ttl| lease("spec.lease_ttl", &ttl)).transpose()?,
        },
        segments: spec.segments.into_iter().map(active).collect::<Result<_, _>>()?,
    })
}

fn active(segment: v1::ActiveSegment) -> Result<ActiveSegment, Failure> {
    let v1::ActiveSegment { offset, data, length } = segment;
    if length.is_some() {
        let why = "is for answers: data says how many bytes there are".to_owned();
        return Err(Failure::InvalidField { field: "spec.segments.length", why });
    }
    Ok(ActiveSegment { offset, data })
}

/// What a memory got.
pub(crate) fn effective(
    shape: &Shape,
    guard: Guard,
    owner: Owner,
    presentation: &Presentation,
) -> v1::MemorySpec {
    let spec = v1::MemorySpec {
        initial_pages: shape.initial.get(),
        maximum_pages: Some(shape.maximum.get()),
        index_type: match shape.index_type {
            IndexType::I32 => v1::IndexType::I32,
            IndexType::I64 => v1::IndexType::I64,
        }
        .into(),
        display_name: presentation.display_name.clone(),
        labels: presentation.labels.clone(),
        lease_ttl: presentation.lease_ttl.and_then(|ttl| ttl.try_into().ok()),
        owner: match owner {
            Owner::Tenant => v1::Owner::Tenant,
            Owner::Connection => v1::Owner::Connection,
        }
        .into(),
        growth: match shape.growth {
            Growth::Allowed => v1::Growth::Allowed,
            Growth::Disallowed => v1::Growth::Disallowed,
        }
        .into(),
        guard: Some(guard_message(guard)),
        ..v1::MemorySpec::default()
    };
    form::effective(&shape.form, spec)
}

/// The guards as a message.
pub(crate) const fn guard_message(guard: Guard) -> v1::Guard {
    v1::Guard { before_bytes: Some(guard.before.get()), after_bytes: Some(guard.after.get()) }
}

/// An enum value that the proto has.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Result<E, Failure> {
    E::try_from(value).map_err(|_unknown| Failure::InvalidField {
        field,
        why: format!("has no value {value} in this version"),
    })
}

/// A display name of legal length.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn display_name(field: &'static str, name: String) -> Result<String, Failure> {
    if name.len() <= MAX_DISPLAY_NAME_BYTES {
        return Ok(name);
    }
    let why = format!("is {} bytes; at most {MAX_DISPLAY_NAME_BYTES}", name.len());
    Err(Failure::InvalidField { field, why })
}

/// Labels of legal number and form.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn labels(
    field: &'static str,
    labels: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let invalid = |why| Err(Failure::InvalidField { field, why });
    if labels.len() > MAX_LABELS {
        return invalid(format!("has {} labels; at most {MAX_LABELS}", labels.len()));
    }
    if !labels.keys().all(|key| Id::is_valid(key)) {
        return invalid(
            "has a key that does not match [A-Za-z0-9][A-Za-z0-9._:-]{0,127}".to_owned(),
        );
    }
    if labels.values().any(|value| value.len() > MAX_LABEL_VALUE_BYTES) {
        return invalid(format!("has a value of more than {MAX_LABEL_VALUE_BYTES} bytes"));
    }
    Ok(labels)
}

/// A lease of legal length.
///
/// # Errors
/// INVALID_FIELD.
pub(crate) fn lease(field: &'static str, ttl: &prost_types::Duration) -> Result<Duration, Failure> {
    convert::duration(ttl).filter(|ttl| (MIN_LEASE..=MAX_LEASE).contains(ttl)).ok_or_else(|| {
        Failure::InvalidField {
            field,
            why: format!("must be {} s to {} s", MIN_LEASE.as_secs(), MAX_LEASE.as_secs()),
        }
    })
}

fn pages(field: &'static str, count: u64) -> Result<WasmPages, Failure> {
    WasmPages::new(count).ok_or_else(|| Failure::InvalidSpec {
        field,
        why: format!("{count} pages are more than the {} that any host could have", WasmPages::MAX),
    })
}

/// Whatever is not built must stand at its default.
fn refuse_unbuilt(spec: &v1::MemorySpec) -> Result<(), Failure> {
    if !spec.attachable {
        return Ok(());
    }
    let (field, value) = ("spec.attachable", "true".to_owned());
    let why = "attaching is not built yet".into();
    Err(Failure::CapabilityUnavailable { field, value, why })
}
