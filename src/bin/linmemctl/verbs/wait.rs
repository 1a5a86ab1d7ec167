//! `wait` and `notify`: until somebody says that something has changed, and saying so.

use std::time::Duration;

use clap::Args;
use linmemd::client::proto::{NotifyAddressRequest, WaitOnAddressRequest, WaitOutcome};
use serde_json::json;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::size;

/// Arguments of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 0 when it was woken, when the bytes were others, and when the time was over; it says which.

Examples:
  linmemctl wait demo 0 0
  linmemctl wait demo 64 7 --width 8 --for 30s
  linmemctl wait demo 0 0 --for 500ms --json")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    target: Target,
    /// For which address: a multiple of the width.
    #[arg(value_parser = size::bytes)]
    address: u64,
    /// Only if this number is there: 7, 0x7.
    #[arg(value_parser = size::bytes)]
    expected: u64,
    /// How many bytes that number has.
    #[arg(long, default_value = "4", value_parser = ["4", "8"])]
    width: String,
    /// How long at most [default: for ever, or until --timeout ends the call].
    #[arg(long = "for", value_name = "DURATION", value_parser = size::duration)]
    time: Option<Duration>,
}

/// Arguments of `notify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl notify demo 0
  linmemctl notify demo 64 --count 1
  linmemctl notify demo 0 --json")]
pub(crate) struct NotifyArgs {
    #[command(flatten)]
    target: Target,
    /// Which address: a multiple of 4.
    #[arg(value_parser = size::bytes)]
    address: u64,
    /// How many of those who wait at most [default: all].
    #[arg(long, value_name = "NUMBER")]
    count: Option<u32>,
}

/// Waits.
pub(crate) async fn wait(args: WaitArgs, session: &Session) -> Result<(), CtlError> {
    let WaitArgs { target, address, expected, width, time } = args;
    let request = WaitOnAddressRequest {
        memory_id: target.memory_id,
        uid: target.uid,
        address,
        width: if width == "8" { 8 } else { 4 },
        expected,
        // Longer than the protocol can say is for ever.
        timeout: time.and_then(|time| time.try_into().ok()),
    };
    let outcome = session.client.wait_on_address(request).await?;
    let words = match outcome {
        WaitOutcome::NotEqual => "not equal",
        WaitOutcome::Cancelled => "cancelled",
        WaitOutcome::TimedOut => "timed out",
        WaitOutcome::Ok | WaitOutcome::Unspecified => "woken",
    };
    session.output.either(&json!({ "address": address, "outcome": outcome.as_str_name() }), words)
}

/// Wakes those who wait.
pub(crate) async fn notify(args: NotifyArgs, session: &Session) -> Result<(), CtlError> {
    let NotifyArgs { target, address, count } = args;
    let Target { memory_id, uid } = target;
    let request = NotifyAddressRequest { memory_id, uid, address, count };
    let woken_count = session.client.notify_address(request).await?;
    let object = json!({ "address": address, "woken_count": woken_count });
    session.output.either(&object, &format!("{woken_count} woken"))
}
