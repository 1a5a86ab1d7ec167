//! `ls`: the tenant's memories, all pages of the list.

use clap::Args;
use linmemd::client::proto::{Memory, MemoryState};
use serde_json::Value;

use crate::failure::CtlError;
use crate::session::Session;
use crate::size::human;
use crate::table::table;
use crate::{json, selector};

/// Arguments of `ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl ls
  linmemctl ls -l team=red,tier!=cold
  linmemctl ls -l '!team'
  linmemctl ls --quiet | xargs linmemctl rm
  linmemctl ls --json | jq -r '.[] | select(.size_bytes > 1048576) | .memory_id'")]
pub(crate) struct ListArgs {
    /// Only memories whose labels match: key, !key, key=value, key!=value, joined by commas.
    #[arg(long, short = 'l', value_parser = selector::selector, default_value = "",
        hide_default_value = true)]
    selector: String,
    /// Only their ids, one a line.
    #[arg(long, short)]
    quiet: bool,
}

/// Lists the memories.
pub(crate) async fn run(args: ListArgs, session: &Session) -> Result<(), CtlError> {
    let memories = session.client.list(&args.selector).await?;
    let output = &session.output;
    if output.json {
        return output.value(&Value::Array(memories.iter().map(json::memory).collect()));
    }
    if memories.is_empty() {
        output.note(match args.selector.is_empty() {
            true => "no memories; make one with `linmemctl create`",
            false => "no memory matches",
        });
        return Ok(());
    }
    if args.quiet {
        let ids: Vec<&str> = memories.iter().map(|memory| memory.memory_id.as_str()).collect();
        return output.line(&ids.join("\n"));
    }
    let heading = ["ID", "STATE", "PAGES", "MAX", "SIZE", "PEAK", "ACCESSES", "LABELS", "NAME"];
    output.line(&table(&heading, memories.iter().map(row).collect()))
}

fn row(memory: &Memory) -> Vec<String> {
    let spec = memory.spec.clone().unwrap_or_default();
    let labels = spec.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let state = MemoryState::try_from(memory.state).unwrap_or_default().as_str_name();
    vec![
        memory.memory_id.clone(),
        state.trim_start_matches("MEMORY_STATE_").to_owned(),
        memory.size_pages.to_string(),
        spec.maximum_pages.map(|pages| pages.to_string()).unwrap_or_default(),
        human(memory.size_bytes),
        human(memory.peak_bytes),
        memory.stats.unwrap_or_default().access_count.to_string(),
        labels.collect::<Vec<_>>().join(","),
        spec.display_name,
    ]
}
