//! `stats`: what has happened to a memory, and the beginning of that anew.

use clap::{Args, Subcommand};
use linmemd::client::proto::ResetMemoryStatsRequest;

use crate::failure::CtlError;
use crate::json;
use crate::session::{Session, Target};
use crate::table::pairs;

/// Arguments of `stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl stats show demo
  linmemctl stats reset demo --json")]
pub(crate) struct StatsArgs {
    #[command(subcommand)]
    verb: StatsVerb,
}

/// What to do with statistics.
#[derive(Debug, Subcommand)]
enum StatsVerb {
    /// Show what has happened to a memory.
    Show(Target),
    /// Begin anew: every counter and peak but the memory's size. Metrics go on.
    Reset(Target),
}

/// Shows statistics, begun anew where that is asked for.
pub(crate) async fn run(args: StatsArgs, session: &Session) -> Result<(), CtlError> {
    let memory = match args.verb {
        StatsVerb::Show(target) => session.memory(&target).await?,
        StatsVerb::Reset(Target { memory_id, uid }) => {
            session.client.reset_memory_stats(ResetMemoryStatsRequest { memory_id, uid }).await?
        }
    };
    let value = json::stats(&memory.stats.unwrap_or_default());
    session.output.either(&value, &pairs(&json::flat(&value)))
}
