//! `tenant`: who is in the daemon's config, and what each has.

use clap::{Args, Subcommand};
use linmemd::client::proto::{Tenant, TenantState};
use serde_json::Value;

use crate::failure::CtlError;
use crate::json;
use crate::session::Session;
use crate::table::table;
use crate::verbs::server::amount;

/// Arguments of `tenant`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl tenant ls
  linmemctl tenant ls --json | jq -r '.[] | select(.state == \"TENANT_STATE_CLOSED\") | .tenant'
  linmemctl --tenant blue info             all that one of them has and may have")]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    verb: TenantVerb,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
enum TenantVerb {
    /// List tenants with what they use.
    #[command(visible_alias = "list")]
    Ls,
}

/// What is shown of each, of what it may have.
const SHOWN: [&str; 4] = ["committed_bytes", "memories", "connections", "in_flight_bytes"];

/// Does what is to be done with tenants.
pub(crate) async fn run(args: TenantArgs, session: &Session) -> Result<(), CtlError> {
    match args.verb {
        TenantVerb::Ls => {
            let all = session.client.tenants().await?;
            let value = Value::Array(all.iter().map(json::tenant).collect());
            let heading =
                ["TENANT", "STATE", "COMMITTED", "OF", "MEMORIES", "CONNECTIONS", "IN FLIGHT"];
            session.output.either(&value, &table(&heading, all.iter().map(row).collect()))
        }
    }
}

fn row(tenant: &Tenant) -> Vec<String> {
    let quota = |resource: &str| tenant.quotas.iter().find(|quota| quota.resource == resource);
    let used = SHOWN.map(|resource| {
        quota(resource).map_or_else(|| "-".to_owned(), |quota| amount(resource, quota.used))
    });
    let [committed, memories, connections, in_flight] = used;
    let state = TenantState::try_from(tenant.state).unwrap_or_default().as_str_name();
    let most = quota("committed_bytes")
        .map_or_else(|| "-".to_owned(), |quota| amount("committed_bytes", quota.limit));
    vec![
        tenant.tenant.clone(),
        state.trim_start_matches("TENANT_STATE_").to_lowercase(),
        committed,
        most,
        memories,
        connections,
        in_flight,
    ]
}
