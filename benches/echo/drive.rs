//! The rounds.
//!
//! Owns: their order and length. Law: both servers run from beginning to end; in each round both
//! carry the same number of calls, one right after the other, and who goes first alternates; the
//! first run of each is not counted, and from it follows how many calls the others make. Does not:
//! start servers, check bytes or read h2load itself.

use serde_json::json;
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::check::Checker;
use crate::load::Load;
use crate::peer::Peer;
use crate::redis::Redis;
use crate::report::{Found, Round};
use crate::shape::{GROUP, Operation};
use crate::{Comparison, Failure, pipeline};

struct Side {
    peer: Peer,
    checker: Checker,
}

impl Side {
    async fn new(peer: Peer) -> Result<Self, Failure> {
        let checker = Checker::new(&peer).await?;
        Ok(Self { peer, checker })
    }

    async fn run(&mut self, load: &Load, operation: Operation, calls: u64) -> Result<f64, Failure> {
        let reply_bytes = self.checker.check(operation).await?;
        self.checker.before(operation).await?;
        // On another thread: this one goes on answering the servers' pings.
        let (load, url) = (load.clone(), self.peer.url.clone());
        let rate = tokio::task::spawn_blocking(move || match operation {
            Operation::Session => alone(pipeline::run(&url, calls)),
            _ => load.run(&url, calls, reply_bytes),
        })
        .await?
        .map_err(|error| format!("{}: {error}\n{}", self.peer.name, self.peer.log()))?;
        self.checker.after(operation).await?;
        Ok(rate)
    }
}

/// Runs to its end on a thread.
fn alone(work: impl Future<Output = Result<f64, Failure>>) -> Result<f64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// Runs and prints the comparison; whether it kept `--at-least`.
pub(crate) async fn compare(asked: &Comparison) -> Result<bool, Failure> {
    let folder = TempDir::new()?;
    let linmemd = match &asked.peer_url_a {
        Some(url) => Peer::running("linmemd", url),
        None => Peer::linmemd(&asked.linmemd, folder.path())?,
    };
    let echo = match &asked.peer_url_b {
        Some(url) => Peer::running("echo", url),
        None => Peer::echo(folder.path())?,
    };
    let mut sides = [Side::new(linmemd).await?, Side::new(echo).await?];
    let redis = asked.redis.map(|_| Redis::start(folder.path())).transpose()?;

    let mut all = Vec::new();
    for operation in Operation::ALL {
        if asked.only.is_empty() || asked.only.contains(&operation) {
            let load = Load::new(operation, folder.path())?;
            let redis = redis.as_ref().filter(|_| operation.beside_redis().is_some());
            all.push(rounds(asked, operation, &load, &mut sides, redis).await?);
        }
    }

    let slowest = all.iter().map(Found::median_of_ratios).fold(f64::INFINITY, f64::min);
    let beside = all.iter().filter_map(Found::beside_redis).fold(f64::INFINITY, f64::min);
    let kept = asked.at_least.is_none_or(|least| slowest >= least)
        && asked.redis.is_none_or(|least| beside >= least);
    if asked.json {
        let found: Vec<_> = all.iter().map(Found::json).collect();
        println!("{}", json!({ "operations": found, "at_least": asked.at_least, "kept": kept }));
    } else {
        all.iter().for_each(|found| println!("{}", found.summary()));
        if let Some(least) = asked.at_least {
            let word = if kept { "kept" } else { "NOT kept" };
            println!("at least {least}: {word} (slowest {slowest:.3})");
        }
        if let Some(least) = asked.redis {
            let word = if kept { "kept" } else { "NOT kept" };
            println!("{least} of what is promised beside Redis: {word} (least {beside:.3})");
        }
    }
    for side in sides {
        drop(side.checker);
        side.peer.stop()?;
    }
    Ok(kept)
}

async fn rounds(
    asked: &Comparison,
    operation: Operation,
    load: &Load,
    sides: &mut [Side; 2],
    redis: Option<&Redis>,
) -> Result<Found, Failure> {
    let [linmemd, echo] = sides;
    let first = operation.first_calls();
    let fastest =
        linmemd.run(load, operation, first).await?.max(echo.run(load, operation, first).await?);
    let calls = whole_calls(operation, fastest * asked.seconds);
    let mut found = Found::new(operation, calls);
    for round in 0..asked.rounds {
        let (ours, plain);
        if round % 2 == 0 {
            ours = linmemd.run(load, operation, calls).await?;
            plain = echo.run(load, operation, calls).await?;
        } else {
            plain = echo.run(load, operation, calls).await?;
            ours = linmemd.run(load, operation, calls).await?;
        }
        // As many reads, so that it takes as long or longer.
        let beside =
            redis.map(|redis| redis.run(operation, reads(operation, calls))).transpose()?;
        let (linmemd, echo) = (operation.rate(ours), operation.rate(plain));
        let line = found.add(Round { linmemd, echo, redis: beside });
        if !asked.json {
            println!("{line}");
        }
    }
    Ok(found)
}

fn reads(operation: Operation, calls: u64) -> u64 {
    if operation == Operation::Session { calls } else { calls * GROUP as u64 }
}

// As many as every stream of every connection can share alike, one each at least.
fn whole_calls(operation: Operation, about: f64) -> u64 {
    let (connections, streams) = operation.concurrency();
    let together = connections * streams;
    let each = (about / together as f64).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let each = each as u64;
    each * together
}
