//! Resources as JSON: the protos' own field names, so that a script reads what the contract says.
//!
//! Its law: every field is always there, null where it is absent; 64-bit numbers are numbers, enums
//! are the protos' names, times are RFC 3339 and durations seconds with an `s`, as protobuf's own
//! JSON has them. `flat` turns the same values into lines for people.

mod beside;
mod event;
mod flat;
mod hook;
mod memory;
mod partition;
mod server;
mod verification;

pub(crate) use beside::{memory_set, segment, share};
pub(crate) use event::event_item;
pub(crate) use flat::flat;
pub(crate) use hook::{hook, question};
pub(crate) use memory::{memory, stats};
pub(crate) use partition::partition;
pub(crate) use server::{host, server_info, tenant};
pub(crate) use verification::verification;

use serde_json::{Value, json};

/// An enum's name as in the proto, or its number where a newer server sent it.
fn name<E: TryFrom<i32>>(value: i32, as_str: fn(&E) -> &'static str) -> Value {
    match E::try_from(value) {
        Ok(known) => json!(as_str(&known)),
        Err(_) => json!(value),
    }
}

fn text<T: ToString>(value: &Option<T>) -> Value {
    json!(value.as_ref().map(ToString::to_string))
}
