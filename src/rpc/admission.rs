//! Admission: how many calls and how many bytes may be in flight, in all and for each tenant.
//!
//! Law: a call is admitted before its first message is read, bytes before they are buffered, reply
//! bytes before they are copied; each is given back by `Drop`, with the call, the message or the
//! reply. Quotas on memories are the ledger's business.

use std::sync::Arc;

use crate::error::Failure;
use crate::tenancy::{Budget, Held, Tenant};

/// The two budgets that a call's bytes count against.
#[derive(Clone, Debug)]
pub(crate) struct InFlightBytes {
    tenant: Arc<Budget>,
    all: Arc<Budget>,
}

/// Bytes in flight. Given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    _tenant: Held,
    _all: Held,
}

impl InFlightBytes {
    pub(crate) fn new(tenant: &Tenant, all: &Arc<Budget>) -> Self {
        Self { tenant: Arc::clone(&tenant.in_flight_bytes), all: Arc::clone(all) }
    }

    /// Holds so many bytes.
    ///
    /// # Errors
    /// OVERLOADED naming the limit.
    pub(crate) fn hold(&self, bytes: u64) -> Result<InFlight, Failure> {
        Ok(InFlight { _tenant: self.tenant.hold(bytes)?, _all: self.all.hold(bytes)? })
    }
}
