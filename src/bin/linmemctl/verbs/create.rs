//! `create`: a new memory. Every field of the spec that a server may one day grant can be asked
//! for; what this server refuses, it refuses by name.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use linmemd::client::proto::{
    ActiveSegment, Allocator, Backing, CreateMemoryRequest, Growth, Guard, HugePages, IndexType,
    Locking, MemorySpec, Numa, NumaPolicy, Populate, Reservation, Tagging, TaggingMode,
    TaggingRequirement, Verification,
};

use crate::failure::CtlError;
use crate::session::Session;
use crate::size::human_pages;
use crate::{json, selector, size};

/// Arguments of `create`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  linmemctl create                                   an id of the server's choice, 0 pages
  linmemctl create scratch 16 --max 256              by position, as `grow` takes its pages
  linmemctl create cache 1MiB --label team=red --label tier=hot
  linmemctl create guest 16 --segment 1KiB=rodata.bin --segment 0x8000=data.bin
  linmemctl create session 1 --lease 10m --name 'one user session'
  linmemctl create --pages 4 --growth disallowed --json")]
pub(crate) struct CreateArgs {
    /// Its id: letters, digits and . _ : - up to 128 [default: one of the server's].
    #[arg(value_name = "ID")]
    memory_id: Option<String>,
    /// Its size: 3, 3pages or whole pages in bytes such as 1MiB [default: 0].
    #[arg(value_name = "PAGES", value_parser = size::pages)]
    size: Option<u64>,
    /// Its size where the id is left to the server.
    #[arg(long, short, value_parser = size::pages, conflicts_with = "size")]
    pages: Option<u64>,
    /// The size that it may grow to [default: the server's default_maximum_pages].
    #[arg(long, short, value_parser = size::pages, value_name = "PAGES")]
    max: Option<u64>,
    /// A name for people.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// A label; may be given many times.
    #[arg(long, short, value_parser = selector::label, value_name = "KEY=VALUE")]
    label: Vec<(String, String)>,
    /// How long it lives without `keepalive`: 30s, 10m, 2h [default: until it is deleted].
    #[arg(long, value_parser = size::duration, value_name = "DURATION")]
    lease: Option<Duration>,
    /// The width of addresses.
    #[arg(long, value_parser = ["i32", "i64"], value_name = "WIDTH")]
    index_type: Option<String>,
    /// Whether it may ever grow.
    #[arg(long, value_parser = ["allowed", "disallowed"], value_name = "WORD")]
    growth: Option<String>,
    /// Inaccessible bytes before it.
    #[arg(long, value_parser = size::bytes, value_name = "BYTES")]
    guard_before: Option<u64>,
    /// Inaccessible bytes after it.
    #[arg(long, value_parser = size::bytes, value_name = "BYTES")]
    guard_after: Option<u64>,
    /// Put a file's bytes at an offset before anyone can see the memory; may be given many times.
    #[arg(long, value_parser = placed, value_name = "OFFSET=FILE")]
    segment: Vec<(u64, PathBuf)>,
    /// Fail unless the server can do this; may be given many times (see `info`).
    #[arg(long, value_name = "CAPABILITY")]
    require: Vec<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// What is asked of the host.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Host options (a server may not have them: see `info`)")]
struct HostArgs {
    /// What gets pages from the host.
    #[arg(long, value_parser = ["mmap", "heap", "fixed"], value_name = "WORD")]
    allocator: Option<String>,
    /// What is behind the mapping.
    #[arg(long, value_parser = ["anonymous", "memfd"], value_name = "WORD")]
    backing: Option<String>,
    /// How much address space is set aside.
    #[arg(long, value_parser = ["exact", "wasm32-full"], value_name = "WORD")]
    reservation: Option<String>,
    /// Page kinds in order of preference, joined by commas.
    #[arg(
        long, value_parser = ["1g", "2m", "transparent", "base"], value_delimiter = ',',
        value_name = "KINDS"
    )]
    huge_pages: Vec<String>,
    /// On which NUMA nodes pages are placed.
    #[arg(long, value_parser = ["local", "preferred", "bind", "interleave"], value_name = "POLICY")]
    numa: Option<String>,
    /// The nodes that --numa names, joined by commas.
    #[arg(long, value_delimiter = ',', requires = "numa", value_name = "NODES")]
    numa_nodes: Vec<u32>,
    /// Fail rather than fall back to other nodes.
    #[arg(long, requires = "numa")]
    numa_strict: bool,
    /// When pages are taken before they are touched.
    #[arg(long, value_parser = ["none", "initial", "on-grow", "maximum"], value_name = "WORD")]
    populate: Option<String>,
    /// Whether pages are kept from being swapped out.
    #[arg(long, value_parser = ["none", "locked", "locked-no-swap"], value_name = "WORD")]
    locking: Option<String>,
    /// The partition that it lives in [default: the host].
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    partition: String,
    /// How much the daemon checks of what it stored.
    #[arg(
        long, value_name = "WORD",
        value_parser = ["off", "basic", "standard", "sampling", "full", "redundant"]
    )]
    verification: Option<String>,
    /// Whether its bytes carry tags, which an access must have too.
    #[arg(long, value_parser = ["off", "prefer", "require"], value_name = "WORD")]
    tagging: Option<String>,
    /// When a wrong tag is told of.
    #[arg(
        long, requires = "tagging", value_parser = ["synchronous", "asynchronous"],
        value_name = "WORD"
    )]
    tagging_mode: Option<String>,
    /// The tags that may be given out, 0 to 15, joined by commas [default: all but 0].
    #[arg(
        long, requires = "tagging", value_delimiter = ',', value_name = "TAGS",
        value_parser = clap::value_parser!(u32).range(..16)
    )]
    tags: Vec<u32>,
    /// Whether clients may wait on it (`linmemctl wait`); needs --max.
    #[arg(long)]
    shared: bool,
    /// Whether clients on the host may map it.
    #[arg(long)]
    attachable: bool,
}

/// Creates the memory and prints its id, or all of it as JSON.
pub(crate) async fn run(args: CreateArgs, session: &Session) -> Result<(), CtlError> {
    let mut spec = spec(&args)?;
    for (offset, path) in &args.segment {
        let data = tokio::fs::read(path).await.map_err(|source| {
            let path = path.display().to_string();
            CtlError::File { action: "read", path, source }
        })?;
        spec.segments.push(ActiveSegment { offset: *offset, data: data.into(), length: None });
    }
    let request = CreateMemoryRequest {
        memory_id: args.memory_id,
        spec: Some(spec),
        request_id: None,
        required_capabilities: args.require,
    };
    let memory = session.client.create_memory(request).await?;
    let maximum = memory.spec.as_ref().and_then(|spec| spec.maximum_pages).unwrap_or_default();
    session.output.note(&format!(
        "created with {}, at most {}",
        human_pages(memory.size_pages),
        human_pages(maximum)
    ));
    session.output.either(&json::memory(&memory), &memory.memory_id)
}

fn spec(args: &CreateArgs) -> Result<MemorySpec, CtlError> {
    let host = &args.host;
    let guard = Guard { before_bytes: args.guard_before, after_bytes: args.guard_after };
    let numa = match &host.numa {
        None => None,
        Some(policy) => Some(Numa {
            policy: word("NUMA_POLICY", Some(policy), NumaPolicy::from_str_name)?,
            nodes: host.numa_nodes.clone(),
            strict: host.numa_strict,
        }),
    };
    let tagging = match &host.tagging {
        None => None,
        Some(requirement) => Some(Tagging {
            requirement: word(
                "TAGGING_REQUIREMENT",
                Some(requirement),
                TaggingRequirement::from_str_name,
            )?,
            mode: word("TAGGING_MODE", host.tagging_mode.as_ref(), TaggingMode::from_str_name)?,
            tag_mask: host.tags.iter().fold(0, |mask, tag| mask | 1 << tag),
        }),
    };
    let huge_page = |kind| word("HUGE_PAGES", Some(kind), HugePages::from_str_name);
    Ok(MemorySpec {
        initial_pages: args.size.or(args.pages).unwrap_or_default(),
        maximum_pages: args.max,
        index_type: word("INDEX_TYPE", args.index_type.as_ref(), IndexType::from_str_name)?,
        shared: host.shared,
        display_name: args.name.clone(),
        labels: args.label.iter().cloned().collect(),
        lease_ttl: args.lease.map(lease).transpose()?,
        allocator: word("ALLOCATOR", host.allocator.as_ref(), Allocator::from_str_name)?,
        backing: word("BACKING", host.backing.as_ref(), Backing::from_str_name)?,
        attachable: host.attachable,
        growth: word("GROWTH", args.growth.as_ref(), Growth::from_str_name)?,
        guard: (guard != Guard::default()).then_some(guard),
        reservation: word("RESERVATION", host.reservation.as_ref(), Reservation::from_str_name)?,
        huge_pages: host.huge_pages.iter().map(huge_page).collect::<Result<_, _>>()?,
        numa,
        populate: word("POPULATE", host.populate.as_ref(), Populate::from_str_name)?,
        locking: word("LOCKING", host.locking.as_ref(), Locking::from_str_name)?,
        partition: host.partition.clone(),
        verification: word(
            "VERIFICATION",
            host.verification.as_ref(),
            Verification::from_str_name,
        )?,
        tagging,
        ..Default::default()
    })
}

/// An offset, and the file whose bytes go there.
fn placed(text: &str) -> Result<(u64, PathBuf), String> {
    let (offset, path) = text.split_once('=').ok_or("say OFFSET=FILE")?;
    let offset = size::bytes(offset).map_err(|error| error.to_string())?;
    Ok((offset, path.into()))
}

/// A lease as the protos hold it.
pub(crate) fn lease(lease: Duration) -> Result<prost_types::Duration, CtlError> {
    lease.try_into().map_err(|_| CtlError::Usage("that lease is too long".to_owned()))
}

/// A word of the command line as the enum's number; an absent one is the documented default.
fn word<E: Into<i32>>(
    prefix: &str,
    word: Option<&String>,
    from_name: fn(&str) -> Option<E>,
) -> Result<i32, CtlError> {
    let Some(word) = word else { return Ok(0) };
    let name = format!("{prefix}_{}", word.to_ascii_uppercase().replace('-', "_"));
    from_name(&name).map(Into::into).ok_or_else(|| CtlError::Usage(format!("no `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{FromArgMatches, Parser};

    fn parsed(line: &str) -> Result<MemorySpec, CtlError> {
        #[derive(Parser)]
        struct One {
            #[command(flatten)]
            args: CreateArgs,
        }
        let words = std::iter::once("create").chain(line.split_whitespace());
        let matches = <One as clap::CommandFactory>::command().get_matches_from(words);
        spec(&One::from_arg_matches(&matches).unwrap().args)
    }

    #[test]
    fn nothing_asked_is_the_default_spec() {
        assert_eq!(parsed("").unwrap(), MemorySpec::default());
    }

    #[test]
    fn every_word_on_offer_is_a_name_of_the_protos() {
        use clap::CommandFactory;
        let command = crate::args::Cli::command();
        let create = command.find_subcommand("create").unwrap();
        let mut words = 0;
        for argument in create.get_arguments() {
            for value in argument.get_possible_values() {
                let flag = argument.get_long().unwrap();
                if ["json", "numa-strict", "shared", "attachable"].contains(&flag) {
                    continue;
                }
                let needs = if flag == "tagging-mode" { "--tagging prefer" } else { "" };
                parsed(&format!("{needs} --{flag} {}", value.get_name())).unwrap();
                words += 1;
            }
        }
        assert!(words > 25, "{words}");
    }

    #[test]
    fn a_size_is_said_by_position_or_by_flag() {
        for line in ["m 3", "m 192KiB", "m --pages 3", "--pages 3pages"] {
            assert_eq!(parsed(line).unwrap().initial_pages, 3, "{line}");
        }
    }

    #[test]
    fn what_is_asked_is_in_the_spec() {
        let spec = parsed("--pages 1MiB --max 32 --label a=b --lease 90 --guard-after 0").unwrap();
        assert_eq!((spec.initial_pages, spec.maximum_pages), (16, Some(32)));
        assert_eq!(spec.labels["a"], "b");
        assert_eq!(spec.lease_ttl.unwrap().seconds, 90);
        assert_eq!(spec.guard, Some(Guard { before_bytes: None, after_bytes: Some(0) }));
        let tagging = parsed("--tagging prefer --tags 1,15").unwrap().tagging.unwrap();
        assert_eq!((tagging.mode, tagging.tag_mask), (0, 0x8002));
    }
}
