//! `share`, `shares`, `mount` and `unshare`: memories for other tenants.

use std::time::{Duration, SystemTime};

use clap::Args;
use linmemd::client::proto::{Share, ShareAccess, ShareDirection, ShareMemoryRequest};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::json;
use crate::session::{Session, Target};
use crate::size::{self, human};
use crate::table::table;

/// Arguments of `share`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl share frames red
  linmemctl share frames red --write --for 1h
  linmemctl share frames red --json | jq -r .share_id

Prints the share's id, which the other tenant mounts; nobody else can.")]
pub(crate) struct ShareArgs {
    #[command(flatten)]
    target: Target,
    /// For which tenant.
    tenant: String,
    /// It may write too.
    #[arg(long)]
    write: bool,
    /// How long [default: until it is revoked].
    #[arg(long = "for", value_parser = size::duration, value_name = "DURATION")]
    lasts: Option<Duration>,
}

/// Arguments of `shares`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl shares
  linmemctl shares --given
  linmemctl shares --received --json")]
pub(crate) struct SharesArgs {
    /// Only those that the tenant gave.
    #[arg(long, conflicts_with = "received")]
    given: bool,
    /// Only those that the tenant was given.
    #[arg(long)]
    received: bool,
}

/// Arguments of `mount`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl mount 8f14e45fceea167a5a36dedd4bea2543 their-frames
  linmemctl mount 8f14e45fceea167a5a36dedd4bea2543 && linmemctl ls")]
pub(crate) struct MountArgs {
    /// The share's id.
    share_id: String,
    /// The memory's id among the tenant's own [default: the server's choice].
    memory_id: Option<String>,
}

/// Arguments of `unshare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl unshare 8f14e45fceea167a5a36dedd4bea2543
  linmemctl unshare 8f14e45fceea167a5a36dedd4bea2543 --if-exists

For whoever gave it, and for whoever was given it.")]
pub(crate) struct UnshareArgs {
    /// The share's id.
    share_id: String,
    /// One that does not exist is as good as ended.
    #[arg(long)]
    if_exists: bool,
}

/// Gives a share.
pub(crate) async fn share(args: ShareArgs, session: &Session) -> Result<(), CtlError> {
    let ShareArgs { target: Target { memory_id, uid }, tenant, write, lasts } = args;
    let access = if write { ShareAccess::ReadWrite } else { ShareAccess::Read };
    let end = |lasts| {
        let end = SystemTime::now().checked_add(lasts);
        end.ok_or_else(|| CtlError::Usage("--for is too long".to_owned()))
    };
    let request = ShareMemoryRequest {
        memory_id,
        uid,
        grantee_tenant: tenant,
        access: access.into(),
        expire_time: lasts.map(end).transpose()?.map(Into::into),
    };
    let share = session.client.share_memory(request).await?;
    session.output.either(&json::share(&share), &share.share_id)
}

/// Lists shares.
pub(crate) async fn shares(args: SharesArgs, session: &Session) -> Result<(), CtlError> {
    let direction = match (args.given, args.received) {
        (true, _) => ShareDirection::Given,
        (_, true) => ShareDirection::Received,
        _ => ShareDirection::Unspecified,
    };
    let all = session.client.shares(direction).await?;
    let value = Value::Array(all.iter().map(json::share).collect());
    let heading = ["ID", "FROM", "TO", "ACCESS", "MEMORY", "MOUNTED", "UNTIL"];
    session.output.either(&value, &table(&heading, all.iter().map(row).collect()))
}

/// Gives a share a name.
pub(crate) async fn mount(args: MountArgs, session: &Session) -> Result<(), CtlError> {
    let MountArgs { share_id, memory_id } = args;
    let memory = session.client.mount_share(&share_id, memory_id.as_deref()).await?;
    let (name, size) = (&memory.memory_id, human(memory.size_bytes));
    let text = format!("{name}  {size} of tenant {}", memory.shared_from);
    session.output.either(&json::memory(&memory), &text)
}

/// Ends a share.
pub(crate) async fn unshare(args: UnshareArgs, session: &Session) -> Result<(), CtlError> {
    let UnshareArgs { share_id, if_exists } = args;
    session.client.revoke_share(&share_id, if_exists).await?;
    session.output.either(&json!({ "share_id": share_id }), &share_id)
}

fn row(share: &Share) -> Vec<String> {
    let access = share.access().as_str_name().trim_start_matches("SHARE_ACCESS_").to_owned();
    vec![
        share.share_id.clone(),
        share.owner_tenant.clone(),
        share.grantee_tenant.clone(),
        access,
        share.memory_id.clone(),
        if share.mounted { "yes" } else { "no" }.to_owned(),
        share.expire_time.map(|time| time.to_string()).unwrap_or_default(),
    ]
}
