//! Descriptor exhaustion: a crowd takes all that there are and keeps knocking; it costs next to nothing
//! while it lasts, and service is back within a second.
//!
//! Owns: the daemon under a small `RLIMIT_NOFILE`. Law: the kernel's own count of processor time, the
//! median of three rounds; service is back in each.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use linmemd::client::{Client, ConnectOptions, RetryPolicy};

use crate::resident::{ticks, ticks_by_thread};
use crate::say;
use crate::serving::Serving;

const DESCRIPTORS: u32 = 64;
const CROWD: usize = 200;
const LASTS: Duration = Duration::from_secs(10);
/// How long a connection may take, where the kernel's queue is full.
const PATIENCE: Duration = Duration::from_millis(20);
/// Hundredths of a core.
const AT_MOST: u64 = 2;

const BACK_WITHIN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;

pub(crate) fn run(program: &str) -> bool {
    let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| round(program)).collect();
    rounds.sort_by_key(|round| round.share);
    let is_back = |round: &Round| round.back.is_some_and(|back| back <= BACK_WITHIN);
    rounds[ROUNDS / 2].share <= AT_MOST && rounds.iter().all(is_back)
}

struct Round {
    /// What it cost, in hundredths of a core.
    share: u64,
    /// How soon there was service again.
    back: Option<Duration>,
}

fn round(program: &str) -> Round {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")).arg(program);
    let serving = Serving::start(command);
    // In the kernel's queue all of them are connected, whether or not they are accepted.
    let target = serving.grpc.parse().expect("an address");
    let knock = || TcpStream::connect_timeout(&target, PATIENCE).ok();
    let crowd: Vec<TcpStream> = (0..CROWD).filter_map(|_| knock()).collect();
    let connected = crowd.len();
    std::thread::sleep(Duration::from_millis(500));
    let (begin, before) = (Instant::now(), ticks(serving.pid()));
    let (mut knocks, mut later) = (0, Vec::new());
    while begin.elapsed() < LASTS {
        // Those that the preface's timeout ends are replaced, and some more.
        later.extend(knock());
        knocks += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = ticks(serving.pid()) - before;
    let lasted = begin.elapsed();
    let threads = ticks_by_thread(serving.pid());
    drop((crowd, later));
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut back = None;
    runtime.expect("a runtime").block_on(async {
        while back.is_none() && begin.elapsed() < Duration::from_secs(10) {
            if served(&serving.grpc).await {
                back = Some(begin.elapsed());
            }
        }
    });
    let share = used * 100 / u64::try_from(lasted.as_millis() / 10).expect("seconds");
    say(&format!(
        "descriptors: {connected} of {CROWD} connected and {knocks} knocks at {DESCRIPTORS} \
         descriptors, {used} ticks in {lasted:.1?} ({share} % of a core), service back after {back:?}"
    ));
    serving.stop();
    if share > AT_MOST {
        say(&format!("ticks of its threads since they began: {threads:?}"));
    }
    Round { share, back }
}

async fn served(target: &str) -> bool {
    let mut options = ConnectOptions::new(format!("http://{target}").parse().expect("an endpoint"));
    options.deadline = Some(Duration::from_millis(500));
    options.retry = RetryPolicy::NONE;
    match Client::connect(&options).await {
        Ok(client) => client.server_info().await.is_ok(),
        Err(_refused) => false,
    }
}
