//! [`wrong`]: what is said of a message that is none, or not the one that is due.
//!
//! Law: INVALID_FIELD of `message`, in these words; of its bytes nothing is repeated.

use crate::error::Failure;

/// It is not decoded.
pub(crate) const MALFORMED: &str = "is not the protobuf message that this RPC takes";
/// There is none.
pub(crate) const MISSING: &str = "is missing: this RPC takes exactly one";
/// There is another.
pub(crate) const REPEATED: &str = "comes more than once: this RPC takes exactly one";
/// The request ends within it.
pub(crate) const TORN: &str = "ends before the length in its header";

/// The failure.
pub(crate) fn wrong(why: &'static str) -> Failure {
    Failure::InvalidField { field: "message", why: why.to_owned() }
}
