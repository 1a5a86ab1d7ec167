//! The shapes: what is done to the daemon, by name.
//!
//! Owns: the table. Law: a shape is one file, its inputs are of a million, and it ends by itself.

mod announcements;
mod boundary_values;
mod churn;
mod continuations;
mod control_frames;
mod drips;
mod half_open_tls;
mod header_bombs;
mod mutated_frames;
mod mutated_messages;
mod readers;
mod resets;
mod silence;
mod stream_floods;
mod torn_frames;

use linmemd::client::Client;

use crate::attacker::{Attack, Order};

/// One way to attack.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Of a million.
    pub(crate) inputs: u64,
    /// Of one round.
    pub(crate) round: u64,
    /// Open at a time, at most.
    pub(crate) connections: u64,
    pub(crate) attack: fn(Order) -> Attack,
}

impl Shape {
    /// It is for a daemon that speaks TLS.
    pub(crate) fn is_of_tls(&self) -> bool {
        self.name.ends_with("_tls")
    }
}

macro_rules! shapes {
    ($($name:ident: $inputs:literal in rounds of $round:literal on $connections:literal;)*) => {
        pub(crate) const ALL: &[Shape] = &[$(Shape {
            name: stringify!($name),
            inputs: $inputs,
            round: $round,
            connections: $connections,
            attack: |order| Box::pin($name::attack(order)),
        }),*];
    };
}

shapes! {
    mutated_messages: 210_000 in rounds of 2_000 on 4;
    boundary_values: 120_000 in rounds of 2_000 on 4;
    mutated_frames: 200_000 in rounds of 640 on 8;
    stream_floods: 100_000 in rounds of 4_000 on 8;
    resets: 140_000 in rounds of 4_000 on 8;
    continuations: 50_000 in rounds of 2_000 on 8;
    header_bombs: 19_000 in rounds of 200 on 8;
    control_frames: 100_000 in rounds of 8_000 on 8;
    torn_frames: 500 in rounds of 500 on 500;
    drips: 500 in rounds of 500 on 500;
    readers: 10_000 in rounds of 1_000 on 100;
    announcements: 20_000 in rounds of 10_000 on 40;
    half_open_tls: 10_000 in rounds of 500 on 500;
    churn: 15_000 in rounds of 500 on 16;
    silence: 5_000 in rounds of 1_500 on 1_500;
}

/// Takes away what inputs may have left to the default tenant.
pub(crate) async fn clean(client: &Client) {
    for hook in client.grow_hooks().await.expect("hooks") {
        client.delete_grow_hook(&hook.hook_id, true).await.expect("a deletion");
    }
    for memory in client.list("").await.expect("memories") {
        // One whose lease is over goes by itself.
        let _gone = client.delete(&memory.memory_id).await;
    }
    for segment in client.segments().await.expect("segments") {
        client.drop_segment(&segment.segment_id, true).await.expect("a drop");
    }
}
