//! [`Party`]: for whom what a connection takes of its thread is counted.
//!
//! Law: an address, until it has called for a tenant, and that tenant from then on. What the connection's
//! calls took in vain is noted here until `manners.rs` has it paid. Counts nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::rpc::places::Origin;

/// Whom a connection's turns are counted for.
#[derive(Debug)]
pub(crate) struct Party {
    key: AtomicU64,
    /// Frames that its connection has yet to pay for.
    owed: AtomicU32,
}

impl Party {
    /// Before it is known whose it is: that of where it is from, as it is counted in `places.rs`, or one of
    /// its own.
    pub(crate) fn of(origin: Option<Origin>, connection: u64) -> Arc<Self> {
        // Addresses of tenants are even, these are not.
        let key = match origin {
            Some(Origin::Address(IpAddr::V4(address))) => u64::from(address.to_bits()),
            // All of it that is not zero.
            Some(Origin::Address(IpAddr::V6(address))) => {
                u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)
            }
            // Of networks that nothing comes from.
            Some(Origin::User(user)) => 0x0100 << 48 | u64::from(user),
            None => connection,
        };
        Arc::new(Self { key: AtomicU64::new(key << 1 | 1), owed: AtomicU32::new(0) })
    }

    /// It is the tenant that is at this address.
    pub(crate) fn belongs_to(&self, address: usize) {
        self.key.store(address as u64 & !1, Ordering::Relaxed);
    }

    /// As who it is now.
    pub(crate) fn key(&self) -> Key {
        Key(self.key.load(Ordering::Relaxed))
    }

    /// A call of its connection took as much as so many frames, in vain.
    pub(crate) fn owe(&self, frames: u32) {
        self.owed.fetch_add(frames, Ordering::Relaxed);
    }

    /// What calls took in vain since this was last asked.
    pub(crate) fn owed(&self) -> u32 {
        match self.owed.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.owed.swap(0, Ordering::Relaxed),
        }
    }
}

/// What a party is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    /// Others have no allowance.
    pub(crate) const fn is_tenants(self) -> bool {
        self.0 & 1 == 0
    }
}
