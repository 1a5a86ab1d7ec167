//! `partition`: pools of budget with a minimum that is set aside.

use clap::{Args, Subcommand};
use linmemd::client::proto::{HugePages, Partition, PartitionSpec};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::json;
use crate::session::Session;
use crate::size::{self, human};
use crate::table::{pairs, table};

/// Arguments of `partition`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl partition create batch --max 4GiB
  linmemctl partition create live --max 8GiB --min 2GiB --locked --allow blue
  linmemctl partition create live-a --parent live --max 2GiB --min 1GiB
  linmemctl create m 16 --partition live
  linmemctl partition ls
  linmemctl partition get live --json
  linmemctl partition rm live-a

On a listener without credentials partitions are made and deleted over the Unix socket only, by the
daemon's own user or root; or they stand in the daemon's config.")]
pub(crate) struct PartitionArgs {
    #[command(subcommand)]
    verb: PartitionVerb,
}

/// What to do with partitions.
#[derive(Debug, Subcommand)]
enum PartitionVerb {
    /// Make a partition, its minimum set aside.
    Create(CreateArgs),
    /// Show one partition.
    Get {
        /// Its id.
        partition_id: String,
    },
    /// List partitions.
    #[command(visible_alias = "list")]
    Ls,
    /// Delete a partition that nothing lives in.
    #[command(visible_alias = "delete")]
    Rm {
        /// Its id.
        partition_id: String,
        /// One that does not exist is as good as deleted.
        #[arg(long)]
        if_exists: bool,
    },
}

/// What is asked of a partition.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Its id: letters, digits and . _ : - up to 128 [default: one of the server's].
    partition_id: Option<String>,
    /// The most that everything in it may cost.
    #[arg(long, value_parser = size::bytes, value_name = "BYTES")]
    max: u64,
    /// What of that is set aside for it.
    #[arg(long, value_parser = size::bytes, value_name = "BYTES", default_value = "0")]
    min: u64,
    /// The partition that it is a part of [default: the host].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    parent: String,
    /// The NUMA nodes that it is isolated to, joined by commas [default: its parent's, or all].
    #[arg(long, value_delimiter = ',', value_name = "NODES")]
    nodes: Vec<u32>,
    /// The kind of pages that is set aside.
    #[arg(long, value_parser = ["base", "2m", "1g"], value_name = "KIND")]
    page_kind: Option<String>,
    /// Lock its memories in RAM.
    #[arg(long)]
    locked: bool,
    /// A tenant whose memories may live in it; may be given many times [default: all].
    #[arg(long, value_name = "TENANT")]
    allow: Vec<String>,
    /// Memories that may be in it [default: any number].
    #[arg(long, value_name = "COUNT")]
    memories: Option<u64>,
    /// Mappings of theirs [default: any number].
    #[arg(long, value_name = "COUNT")]
    mappings: Option<u64>,
    /// Address space of theirs: 1TiB, 512GiB [default: any].
    #[arg(long, value_parser = size::bytes, value_name = "SIZE")]
    reserved: Option<u64>,
}

/// Does what is to be done with partitions.
pub(crate) async fn run(args: PartitionArgs, session: &Session) -> Result<(), CtlError> {
    let (client, output) = (&session.client, &session.output);
    match args.verb {
        PartitionVerb::Create(args) => {
            let id = args.partition_id.clone();
            let made = client.create_partition(id.as_deref(), spec(args)).await?;
            output.either(&json::partition(&made), &made.partition_id)
        }
        PartitionVerb::Get { partition_id } => {
            let value = json::partition(&client.partition(&partition_id).await?);
            output.either(&value, &pairs(&json::flat(&value)))
        }
        PartitionVerb::Ls => {
            let all = client.partitions().await?;
            let value = Value::Array(all.iter().map(json::partition).collect());
            let heading =
                ["ID", "PARENT", "USED", "BORROWED", "MIN", "SET ASIDE", "MAX", "MEMORIES"];
            output.either(&value, &table(&heading, all.iter().map(row).collect()))
        }
        PartitionVerb::Rm { partition_id, if_exists } => {
            client.delete_partition(&partition_id, if_exists).await?;
            output.either(&json!({ "partition_id": partition_id }), &partition_id)
        }
    }
}

fn spec(args: CreateArgs) -> PartitionSpec {
    let kind = match args.page_kind.as_deref() {
        None => HugePages::Unspecified,
        Some("2m") => HugePages::HugePages2m,
        Some("1g") => HugePages::HugePages1g,
        Some(_base) => HugePages::Base,
    };
    PartitionSpec {
        parent: args.parent,
        maximum_bytes: args.max,
        minimum_bytes: args.min,
        nodes: args.nodes,
        page_kind: kind.into(),
        locked: args.locked,
        tenants: args.allow,
        memories: args.memories,
        mappings: args.mappings,
        reserved_bytes: args.reserved,
    }
}

fn row(partition: &Partition) -> Vec<String> {
    let spec = partition.spec.clone().unwrap_or_default();
    vec![
        partition.partition_id.clone(),
        spec.parent,
        human(partition.used_bytes),
        human(partition.borrowed_bytes),
        human(spec.minimum_bytes),
        human(partition.set_aside_bytes),
        human(spec.maximum_bytes),
        partition.memories.to_string(),
    ]
}
