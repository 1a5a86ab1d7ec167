//! `view`: a window on a memory, and what changes in it.

use std::time::Duration;

use clap::Args;
use linmemd::client::proto::{OpenViewRequest, RefreshViewRequest};
use serde_json::json;

use crate::failure::CtlError;
use crate::hex::{self, HexView};
use crate::session::{Session, Target};
use crate::size;
use crate::verbs::create::lease;

/// Arguments of `view`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl view demo 0 64
  linmemctl view demo 0 64 --every 200ms
  linmemctl view demo 1page 16 --looks 10 --json

Shows the range as `hexdump -C` does, looks at it again and again, and shows it anew whenever its bytes
are others than at the look before, until it is interrupted.")]
pub(crate) struct ViewArgs {
    #[command(flatten)]
    target: Target,
    /// From where.
    #[arg(value_parser = size::bytes)]
    offset: u64,
    /// How many bytes.
    #[arg(value_parser = size::bytes)]
    length: u64,
    /// Between two looks.
    #[arg(long, value_parser = size::duration, value_name = "DURATION", default_value = "1s")]
    every: Duration,
    /// Look so often and end [default: until interrupted].
    #[arg(long, value_name = "COUNT")]
    looks: Option<u64>,
}

/// Shows a range and its changes.
pub(crate) async fn run(args: ViewArgs, session: &Session) -> Result<(), CtlError> {
    let ViewArgs { target: Target { memory_id, uid }, offset, length, every, looks } = args;
    // Some looks may be late.
    let ttl = every.saturating_mul(4).max(Duration::from_secs(5));
    let ttl = Some(lease(ttl)?);
    let request = OpenViewRequest { memory_id, uid, offset, length, ttl };
    let opened = session.client.open_view(request).await?;
    let view_id = opened.view.unwrap_or_default().view_id;
    let show = |data: &[u8], version: u64, crc32c: u32| {
        let output = &session.output;
        if output.json {
            let digits = hex::digits(data);
            return output.value(&json!({
                "offset": offset, "version": version, "crc32c": crc32c, "data_hex": digits,
            }));
        }
        let mut view = HexView::new(offset, output.color());
        output.raw(view.push(data).as_bytes())?;
        output.raw(view.finish().as_bytes())
    };
    show(&opened.data, opened.version, opened.crc32c)?;
    let (mut version, mut look) = (opened.version, 1);
    while looks.is_none_or(|looks| look < looks) {
        tokio::time::sleep(every).await;
        look += 1;
        let message = RefreshViewRequest {
            view_id: view_id.clone(),
            only_if_changed: true,
            version: Some(version),
        };
        let seen = session.client.refresh_view(message).await?;
        if seen.changed {
            version = seen.version;
            show(&seen.data, seen.version, seen.crc32c)?;
        }
    }
    Ok(session.client.close_view(&view_id, true).await?)
}
