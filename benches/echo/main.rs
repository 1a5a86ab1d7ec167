//! linmemd beside a plain tonic server of the same proto, both driven by h2load.
//!
//! Owns: the command line; `serve` is the plain server, without it the two are compared. Law: both
//! sides have the same number of runtimes, the same allocator, windows and frames, and carry the
//! same load in the same minute. Does not: measure the memory floors (`benches/core.rs`) or say
//! anything of a network.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports to a person")]

mod array;
mod check;
mod drive;
mod groups;
mod load;
mod peer;
mod pipeline;
mod redis;
mod report;
mod serve;
mod shape;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::shape::Operation;

// The daemon's own, so that the comparison is of the code around it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

/// Compares linmemd with a plain tonic server, or is that server.
#[derive(Debug, Parser)]
#[command(name = "echo", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    comparison: Comparison,
    /// Given by `cargo bench`; means nothing.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the proto plainly until killed.
    Serve {
        /// Where.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

/// What is compared and how long.
#[derive(Debug, clap::Args)]
struct Comparison {
    /// Rounds that count; one more goes before them.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each side's part of a round is meant to last.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// These operations, joined by commas, instead of all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Operation>,
    /// One JSON object at the end instead of lines.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if an operation's median of ratios is below this (2: it could not be measured).
    #[arg(long)]
    at_least: Option<f64>,
    /// Redis in the same rounds, beside groups and sessions; exit with 1 if one of these makes less than
    /// so much of what is promised (1: packed 3 times Redis, list and session 1.5, gather 5).
    #[arg(long)]
    redis: Option<f64>,
    /// Another linmemd than the one built with this bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_linmemd"))]
    linmemd: PathBuf,
    /// A server that runs already, in linmemd's place: http://ADDR.
    #[arg(long, env = "LINMEMD_BENCH_PEER_A")]
    peer_url_a: Option<String>,
    /// A server that runs already, in the plain one's place: http://ADDR.
    #[arg(long, env = "LINMEMD_BENCH_PEER_B")]
    peer_url_b: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("echo: {failure}");
            ExitCode::from(2)
        }
    }
}

// Whether `--at-least` was kept.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    if let Some(Command::Serve { listen }) = arguments.command {
        serve::serve(listen)?;
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drive::compare(&arguments.comparison))
}
