//! `set`: memories that come and go together.

use clap::{Args, Subcommand};
use linmemd::client::proto::{CreateMemorySetRequest, MemorySet, MemorySpec, NewMember};
use serde_json::{Value, json};

use crate::failure::CtlError;
use crate::json;
use crate::session::Session;
use crate::size::{self, human_pages};
use crate::table::table;

/// Arguments of `set`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl set create guest --memory guest-main=16:256 --memory guest-stack=1
  linmemctl set show guest
  linmemctl set ls --json
  linmemctl set rm guest

A set's memories are created all or none, and each is used by its own id; `set rm` deletes them all.")]
pub(crate) struct SetArgs {
    #[command(subcommand)]
    verb: SetVerb,
}

/// What to do with sets.
#[derive(Debug, Subcommand)]
enum SetVerb {
    /// Create memories, all or none, and a set of them.
    Create {
        /// Its id: letters, digits and . _ : - up to 128.
        set_id: String,
        /// A memory, its pages and the most that it may grow to; may be given many times, in order.
        #[arg(long, required = true, value_parser = member, value_name = "ID=PAGES[:MAX]")]
        memory: Vec<NewMember>,
    },
    /// Show a set and its memories.
    #[command(visible_alias = "get")]
    Show {
        /// Its id.
        set_id: String,
    },
    /// List sets.
    #[command(visible_alias = "list")]
    Ls,
    /// Delete a set and its memories.
    #[command(visible_alias = "remove")]
    Rm {
        /// Its id.
        set_id: String,
        /// One that does not exist is as good as deleted.
        #[arg(long)]
        if_exists: bool,
    },
}

/// Does what is to be done with sets.
pub(crate) async fn run(args: SetArgs, session: &Session) -> Result<(), CtlError> {
    let (client, output) = (&session.client, &session.output);
    match args.verb {
        SetVerb::Create { set_id, memory } => {
            let (set_id, members) = (Some(set_id), memory);
            let request = CreateMemorySetRequest { set_id, members, ..Default::default() };
            let set = client.create_memory_set(request).await?;
            output.either(&json::memory_set(&set), &set.set_id)
        }
        SetVerb::Show { set_id } => {
            let set = client.memory_set(&set_id).await?;
            output.either(&json::memory_set(&set), &members(&set))
        }
        SetVerb::Ls => {
            let all = client.memory_sets().await?;
            let value = Value::Array(all.iter().map(json::memory_set).collect());
            let row = |set: &MemorySet| {
                let there = set.members.iter().filter(|member| member.exists).count();
                vec![set.set_id.clone(), set.members.len().to_string(), there.to_string()]
            };
            let rows = all.iter().map(row).collect();
            output.either(&value, &table(&["ID", "MEMORIES", "THERE"], rows))
        }
        SetVerb::Rm { set_id, if_exists } => {
            client.delete_memory_set(&set_id, if_exists).await?;
            output.either(&json!({ "set_id": set_id }), &set_id)
        }
    }
}

fn members(set: &MemorySet) -> String {
    let row = |(number, member): (usize, &linmemd::client::proto::MemorySetMember)| {
        let size = match &member.memory {
            Some(memory) => human_pages(memory.size_pages),
            None => "gone".to_owned(),
        };
        vec![number.to_string(), member.memory_id.clone(), size, member.uid.clone()]
    };
    let rows = set.members.iter().enumerate().map(row).collect();
    table(&["INDEX", "ID", "SIZE", "UID"], rows)
}

/// `ID=PAGES` or `ID=PAGES:MAX`.
fn member(text: &str) -> Result<NewMember, String> {
    let (id, sizes) = text.split_once('=').ok_or("say ID=PAGES or ID=PAGES:MAX")?;
    let pages = |text: &str| size::pages(text).map_err(|error| error.to_string());
    let (initial, maximum) = match sizes.split_once(':') {
        Some((initial, maximum)) => (initial, Some(pages(maximum)?)),
        None => (sizes, None),
    };
    let initial_pages = pages(initial)?;
    let spec = MemorySpec { initial_pages, maximum_pages: maximum, ..Default::default() };
    Ok(NewMember { memory_id: Some(id.to_owned()), spec: Some(spec) })
}
