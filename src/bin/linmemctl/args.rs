//! The command line: global flags, the list of verbs, and how a slip of the pen is answered.
//!
//! Its law: wrong usage ends with 2, and with `--json` it too is a JSON object. Each verb's own
//! arguments stand in the verb's file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use linmemd::client::Endpoint;

use crate::bench::BenchArgs;
use crate::context::ContextArgs;
use crate::credentials::Credentials;
use crate::failure::{CtlError, EXIT_CODES};
use crate::output::Output;
use crate::size;
use crate::verbs;

/// Linear memories over gRPC, from the shell.
///
/// Every offset, length and size takes units: 4096, 0x1000, 64KiB, 1.5MiB, 2GB, 3pages (a page is
/// 64 KiB). Page counts take 3, 3pages or a size of whole pages such as 1MiB.
#[derive(Debug, Parser)]
#[command(
    name = "linmemctl",
    version,
    arg_required_else_help = true,
    after_help = EXIT_CODES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Where the daemon is: https://HOST:PORT, http://HOST:PORT or unix:///PATH [default: http://127.0.0.1:7420].
    #[arg(long, global = true, env = "LINMEMCTL_ENDPOINT", value_name = "URL")]
    pub(crate) endpoint: Option<Endpoint>,
    /// For which tenant [default: as the server decides].
    #[arg(long, global = true, env = "LINMEMCTL_TENANT", value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// The named context whose endpoint and tenant to use where none are given.
    #[arg(long, global = true, env = "LINMEMCTL_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Results and failures as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The time that each call may take: 500ms, 30s, 5m (a number alone is seconds).
    #[arg(
        long, global = true, env = "LINMEMCTL_TIMEOUT", value_name = "DURATION",
        value_parser = size::duration
    )]
    pub(crate) timeout: Option<Duration>,
    /// The config file [default: $XDG_CONFIG_HOME/linmemctl/config.toml].
    #[arg(long, global = true, env = "LINMEMCTL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// No colour, even on a terminal (NO_COLOR does the same).
    #[arg(
        long = "no-color", global = true, env = "NO_COLOR", hide_env = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_name = "ANY", hide_possible_values = true
    )]
    pub(crate) no_color: Option<OsString>,
    /// Read from the environment only: this binary looks at the environment in one place, here.
    #[arg(long, global = true, env = "XDG_CONFIG_HOME", hide = true)]
    pub(crate) xdg_config_home: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a memory.
    Create(Box<verbs::create::CreateArgs>),
    /// List memories.
    Ls(verbs::list::ListArgs),
    /// Show everything about a memory.
    Show(verbs::show::ShowArgs),
    /// Change a memory's name, labels or lease.
    Update(verbs::update::UpdateArgs),
    /// Add pages to a memory.
    Grow(verbs::grow::GrowArgs),
    /// Write a range's bytes to standard output or a file.
    Read(verbs::read::ReadArgs),
    /// Write bytes into a memory.
    Write(verbs::write::WriteArgs),
    /// Set every byte of a range to one value.
    Fill(verbs::write::FillArgs),
    /// Copy a range to the same memory or another.
    Copy(verbs::copy::CopyArgs),
    /// Load a number, as a WebAssembly instruction does.
    Load(verbs::scalar::LoadArgs),
    /// Store a number, as a WebAssembly instruction does.
    Store(verbs::scalar::StoreArgs),
    /// Load, store or change a number atomically.
    Atomic(verbs::scalar::AtomicArgs),
    /// Carry lines of operations out in one session, as a pipeline.
    Session(verbs::pipeline::SessionArgs),
    /// Make a range zero and give its RAM back to the host.
    Discard(verbs::write::DiscardArgs),
    /// Set what may be done with a range: nothing, reading, or reading and writing.
    Protect(verbs::protect::ProtectArgs),
    /// Let the bytes of a range go when the host is short of memory.
    Volatile(verbs::volatility::VolatilityArgs),
    /// Have the bytes of a range stay, and tell whether any had gone.
    Nonvolatile(verbs::volatility::VolatilityArgs),
    /// Check a memory as far as its verification level says.
    Verify(verbs::verify::VerifyArgs),
    /// Wait until somebody notifies an address of a shared memory.
    Wait(verbs::wait::WaitArgs),
    /// Wake those who wait for an address.
    Notify(verbs::wait::NotifyArgs),
    /// Stream a file into a memory.
    Upload(verbs::upload::UploadArgs),
    /// Stream a memory into a file.
    Download(verbs::download::DownloadArgs),
    /// Show bytes as `hexdump -C` does.
    Dump(verbs::read::DumpArgs),
    /// Delete memories.
    Rm(verbs::remove::RemoveArgs),
    /// Start a memory's lease anew.
    Keepalive(verbs::remove::KeepaliveArgs),
    /// Tell what happens to memories, as it happens.
    Watch(verbs::watch::WatchArgs),
    /// Show the server: version, capabilities, limits, the tenant's quotas.
    Info(verbs::server::InfoArgs),
    /// Show the host (for operators).
    Host(verbs::server::HostArgs),
    /// Who is in the config, and what each has (for operators).
    Tenant(verbs::tenant::TenantArgs),
    /// Pools of budget with a minimum that is set aside (for operators).
    Partition(Box<verbs::partition::PartitionArgs>),
    /// Bytes kept beside memories, to be put into them.
    Segment(verbs::segment::SegmentArgs),
    /// Put a part of a segment into a memory.
    Init(verbs::segment::InitArgs),
    /// Memories that come and go together.
    Set(verbs::set::SetArgs),
    /// Show a range and what changes in it.
    View(verbs::view::ViewArgs),
    /// Give another tenant a share of a memory.
    Share(verbs::share::ShareArgs),
    /// List the shares that the tenant gave and was given.
    Shares(verbs::share::SharesArgs),
    /// Give a share an id among the tenant's memories.
    Mount(verbs::share::MountArgs),
    /// End a share.
    Unshare(verbs::share::UnshareArgs),
    /// What has happened to a memory, and beginning that anew.
    Stats(verbs::stats::StatsArgs),
    /// Who is asked before memories grow.
    Hook(Box<verbs::hook::HookArgs>),
    /// Have the daemon read its config anew (for operators).
    Reload(verbs::reload::ReloadArgs),
    /// Begin the daemon's drain (for operators).
    Drain(verbs::server::DrainArgs),
    /// Measure a daemon.
    Bench(BenchArgs),
    /// Make bearer tokens.
    Token(verbs::token::TokenArgs),
    /// Print a shell's completion script.
    Completions(verbs::completions::CompletionsArgs),
    /// Named endpoints and tenants.
    Context(ContextArgs),
}

/// Which settings were typed, rather than read from the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed {
    pub(crate) endpoint: bool,
    pub(crate) tenant: bool,
}

/// A command line, read.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) cli: Cli,
    pub(crate) typed: Typed,
}

impl Globals {
    /// Whether colour was refused; by the convention of NO_COLOR an empty value does not.
    pub(crate) fn no_color(&self) -> bool {
        self.no_color.as_ref().is_some_and(|value| !value.is_empty())
    }
}

/// Reads the command line, or says what was wrong with it and gives the exit code.
pub(crate) fn read() -> Result<Command, u8> {
    parse(std::env::args_os().collect()).map_err(|(error, json)| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => said(&error),
        _ if json => {
            let text = error.render().to_string();
            let text = text.trim_start_matches("error: ").trim_end().to_owned();
            Output { json, no_color: true }.failure(&CtlError::Usage(text))
        }
        _ => said(&error),
    })
}

const EXAMPLES: &str = "\
Examples:
  linmemctl create scratch 16 --max 256
  echo hello | linmemctl write scratch 0
  linmemctl dump scratch 0 64
  linmemctl upload model weights.bin --create
  linmemctl ls -l team=red --json
  linmemctl --endpoint unix:///run/linmemd.sock info";

fn parse(arguments: Vec<OsString>) -> Result<Command, (clap::Error, bool)> {
    let json = arguments.iter().any(|argument| argument == "--json");
    let matches = Cli::command().try_get_matches_from(arguments).map_err(|error| (error, json))?;
    let on_line = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
    let typed = Typed { endpoint: on_line("endpoint"), tenant: on_line("tenant") };
    let cli = Cli::from_arg_matches(&matches).map_err(|error| (error, json))?;
    Ok(Command { cli, typed })
}

fn said(error: &clap::Error) -> u8 {
    // clap chooses the stream; where that is gone there is nobody to tell.
    drop(error.print());
    u8::try_from(error.exit_code()).unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, (clap::Error, bool)> {
        parse(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples_in_its_help() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = verb.get_name();
            assert!(help.contains(&format!("linmemctl {name}")), "{name}: {help}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_verb() {
        for line in ["linmemctl --tenant t ls --json", "linmemctl ls --json --tenant t"] {
            let command = read(line).unwrap();
            assert_eq!(command.cli.globals.tenant.as_deref(), Some("t"));
            assert!(command.cli.globals.json && command.typed.tenant && !command.typed.endpoint);
        }
    }

    #[test]
    fn no_color_takes_no_word_from_the_line() {
        let command = read("linmemctl --no-color ls").unwrap();
        assert!(command.cli.globals.no_color());
    }

    #[test]
    fn a_slip_of_the_pen_says_what_is_accepted() {
        let (error, json) = read("linmemctl read m 0 64K --json").unwrap_err();
        assert!(json && error.to_string().contains("say 64KiB"), "{error}");
        let (error, json) = read("linmemctl --endpoint ftp://h ls").unwrap_err();
        assert!(!json && error.to_string().contains("https://HOST:PORT"), "{error}");
    }

    #[test]
    fn every_documented_form_parses() {
        for line in [
            "linmemctl create",
            "linmemctl create m 1",
            "linmemctl create m --pages 3pages --max 1MiB --label a=b",
            "linmemctl grow m 1",
            "linmemctl read m 0 64KiB -o f",
            "linmemctl write m 0 --hex 00",
            "linmemctl fill m 0 1MiB 0xff",
            "linmemctl discard m 1page 1MiB",
            "linmemctl protect m 0 1page read",
            "linmemctl copy a 0 b 1page 64KiB",
            "linmemctl load m i32.load8_s 0",
            "linmemctl store m i32.store 0 -1",
            "linmemctl atomic m 8 --width 4 cmpxchg 0 0xff",
            "linmemctl atomic m 8 add 1",
            "linmemctl volatile m 0 1page",
            "linmemctl nonvolatile m 0 1page",
            "linmemctl tenant ls",
            "linmemctl partition create p --max 1GiB --min 64MiB --nodes 0,1 --allow blue",
            "linmemctl partition ls",
            "linmemctl partition rm p --if-exists",
            "linmemctl create m --partition p",
            "linmemctl hook create h -l env=prod --fail-open --answer-timeout 250ms --rank -1",
            "linmemctl hook list",
            "linmemctl hook show h",
            "linmemctl hook remove h --if-exists",
            "linmemctl hook answer h --at-most 64",
            "linmemctl verify m",
            "linmemctl wait m 0 0x7 --width 8 --for 1s",
            "linmemctl notify m 0 --count 1",
            "linmemctl segment put s --hex 00",
            "linmemctl segment get s -o f",
            "linmemctl segment list",
            "linmemctl segment drop s --if-exists",
            "linmemctl set create s --memory a=1:4 --memory b=64KiB",
            "linmemctl set show s",
            "linmemctl set list",
            "linmemctl set remove s --if-exists",
            "linmemctl view m 0 64 --every 200ms --looks 3",
            "linmemctl share m red --write --for 1h",
            "linmemctl shares --given",
            "linmemctl mount 00 theirs",
            "linmemctl unshare 00 --if-exists",
            "linmemctl stats show m",
            "linmemctl stats reset m --uid 0",
            "linmemctl init m 1page s --from 4 --length 1KiB",
            "linmemctl create m 1 --segment 0x100=rodata.bin",
            "linmemctl watch",
            "linmemctl watch -l a=b --kind created,grown --snapshot --count 3",
            "linmemctl watch --since 12 --json",
            "linmemctl dump m",
            "linmemctl dump m 0 16",
            "linmemctl upload m - --create --grow --offset 1page",
            "linmemctl download m -",
            "linmemctl rm a b --if-exists",
            "linmemctl bench --op grow --rate 10",
            "linmemctl context set x --endpoint http://h:1",
            "linmemctl completions bash",
            "linmemctl update m --lease none --unlabel k",
            "linmemctl show m --full",
        ] {
            if let Err((error, _)) = read(line) {
                panic!("{line}: {error}");
            }
        }
        assert!(read("linmemctl write m 0 --hex 00 --text x").is_err());
        assert!(read("linmemctl create m 1 --pages 2").is_err());
    }
}
