//! `volatile` and `nonvolatile`: whether the bytes of a range may go.

use clap::Args;
use linmemd::client::proto::{SetVolatilityRequest, Volatility};
use serde_json::json;

use crate::failure::CtlError;
use crate::session::{Session, Target};
use crate::size;

/// Arguments of `volatile` and `nonvolatile`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl volatile demo 0 1GiB
  linmemctl nonvolatile demo 0 1GiB
  linmemctl nonvolatile demo 1page 1page --json")]
pub(crate) struct VolatilityArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
}

/// Lets a range's bytes go.
pub(crate) async fn let_go(args: VolatilityArgs, session: &Session) -> Result<(), CtlError> {
    set(args, session, Volatility::Volatile).await
}

/// Has a range's bytes stay.
pub(crate) async fn keep(args: VolatilityArgs, session: &Session) -> Result<(), CtlError> {
    set(args, session, Volatility::Nonvolatile).await
}

async fn set(
    args: VolatilityArgs,
    session: &Session,
    volatility: Volatility,
) -> Result<(), CtlError> {
    let VolatilityArgs { target, offset, length } = args;
    let request = SetVolatilityRequest {
        memory_id: target.memory_id,
        uid: target.uid,
        offset,
        length,
        volatility: volatility.into(),
    };
    let was_purged = session.client.set_volatility(request).await?;
    let name = volatility.as_str_name();
    let object = json!({
        "offset": offset, "length": length, "volatility": name, "was_purged": was_purged,
    });
    let words = match (volatility, was_purged) {
        (Volatility::Volatile, false) => "may go from now on",
        (Volatility::Volatile, true) => "may go from now on; some have gone before",
        (_, false) => "stay, and none had gone",
        (_, true) => "stay; those that had gone are zero now",
    };
    session.output.either(&object, &format!("{length} bytes at {offset} {words}"))
}
