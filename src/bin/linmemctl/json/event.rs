//! What a watch gives out, as JSON.
//!
//! Its law: that of `json/mod.rs`. An event is its own object; what is said of the watch itself stands
//! under its name.

use linmemd::client::EventItem;
use linmemd::client::proto::event::Detail;
use linmemd::client::proto::{
    Event, EventKind, EventPosition, GrowDenied, GrowFailed, MemoryCreated, MemoryGrown,
    MemoryPurged, MemoryQuarantined, MemoryShared, ShareAccess, ShareStep,
};
use serde_json::{Value, json};

use crate::json::{name, text};

/// One item of a watch.
pub(crate) fn event_item(item: &EventItem) -> Value {
    match item {
        EventItem::Event(event) | EventItem::Present(event) => self::event(event),
        EventItem::Started(at) => json!({ "started": position(at) }),
        EventItem::SnapshotEnd(at) => json!({ "snapshot_end": position(at) }),
        EventItem::Progress(at) => json!({ "progress": position(at) }),
        EventItem::Lost { first, last } => json!({ "lost": { "first": first, "last": last } }),
        EventItem::Compacted(at) => json!({ "compacted": position(at) }),
        EventItem::SnapshotAgain => json!({ "snapshot_again": {} }),
    }
}

fn position(position: &EventPosition) -> Value {
    let EventPosition { boot_id, sequence } = position;
    json!({ "boot_id": boot_id, "sequence": sequence })
}

fn event(event: &Event) -> Value {
    let Event { sequence, time, kind, memory_id, uid, detail } = event;
    let mut value = json!({
        "sequence": sequence,
        "time": text(time),
        "kind": name(*kind, EventKind::as_str_name),
        "memory_id": memory_id,
        "uid": uid,
    });
    if let (Some((name, detail)), Some(fields)) =
        (detail.as_ref().map(self::detail), value.as_object_mut())
    {
        fields.insert(name.to_owned(), detail);
    }
    value
}

fn detail(detail: &Detail) -> (&'static str, Value) {
    match detail {
        Detail::Created(MemoryCreated { size_pages, state_reason }) => {
            ("created", json!({ "size_pages": size_pages, "state_reason": state_reason }))
        }
        Detail::Grown(MemoryGrown { previous_pages, current_pages }) => {
            ("grown", json!({ "previous_pages": previous_pages, "current_pages": current_pages }))
        }
        Detail::GrowDenied(GrowDenied { delta_pages, cause, hook_id }) => (
            "grow_denied",
            json!({ "delta_pages": delta_pages, "cause": cause, "hook_id": hook_id }),
        ),
        Detail::GrowFailed(GrowFailed { delta_pages, reason }) => {
            ("grow_failed", json!({ "delta_pages": delta_pages, "reason": reason }))
        }
        Detail::Quarantined(MemoryQuarantined { reason }) => {
            ("quarantined", json!({ "reason": reason }))
        }
        Detail::Purged(MemoryPurged { offset, length }) => {
            ("purged", json!({ "offset": offset, "length": length }))
        }
        Detail::Shared(MemoryShared { share_id, tenant, access, step }) => (
            "shared",
            json!({
                "share_id": share_id,
                "tenant": tenant,
                "access": name(*access, ShareAccess::as_str_name),
                "step": name(*step, ShareStep::as_str_name),
            }),
        ),
    }
}
