//! What fuzzing begins with: for each target a handful of inputs that mean something, made of the
//! generated types, so that they follow the protos.
//!
//! Law: made, never kept; what is kept is in `corpus/`, which fuzzing has made of these.

use crate::script::all;

mod admin;
mod credentials;
mod groups;
mod memory;
mod resources;
mod specs;
mod texts;
mod transport;

/// A target's seeds.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "admin" => admin::admin(),
        "config" => texts::config(),
        "connection" => transport::connection(),
        "credentials" => credentials::credentials(),
        "framing" => transport::framing(),
        "headers" => transport::headers(),
        "memory" => memory::memory(),
        "names" => texts::names(),
        "operations" => groups::groups(),
        "programs" => texts::programs(),
        "resources" => resources::resources(),
        "session" => [groups::sessions(), groups::lent()].concat(),
        "sizes" => texts::sizes(),
        "spec" => specs::specs(),
        _ => Vec::new(),
    }
}

fn name(text: &str) -> String {
    text.to_owned()
}

/// Inputs of one message each, by the number of its RPC.
fn each(messages: &[(u8, Vec<u8>)]) -> Vec<Vec<u8>> {
    messages.chunks(1).map(all).collect()
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 5 })
}
