//! The siege: every shape against one daemon, each beside the honest tenant.
//!
//! Owns: the daemon, its config, the order of things and the table. Law: a whole round of each shape as a
//! warm-up before anything is measured, for what a heap is after a first round it is after each; each shape
//! then from the same rest, in rounds. A round measures the honest tenant beside a spinner and right after
//! it beside the shape, for a loud machine is another one a minute later; the median of the rounds' ratios
//! counts. The daemon must be the same process at the end, and must have counted no panic.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use linmemd::client::{Client, ConnectOptions};

use crate::attacker::Tally;
use crate::certificate::Certificate;
use crate::half_a_core::HalfACore;
use crate::honest::{self, Latency};
use crate::resident::{Peak, resident};
use crate::serving::Serving;
use crate::shapes::Shape;
use crate::stops;
use crate::table::{Round, Row, head};
use crate::{
    CA, FROM, GROWN, INPUTS, ROLE, ROUNDS, SECONDS, SEED, SHAPE, TARGET, number, say, text,
};

/// Times short enough to be seen within a shape's, and a tenant for the attackers that cannot have
/// much: what it may have, in memories and in flight, is a part of the peak.
const CONFIG: &str = "\
[grpc]
tls_timeout = \"2s\"
preface_timeout = \"2s\"
header_timeout = \"2s\"
message_timeout = \"3s\"
stall_timeout = \"3s\"
in_flight_bytes_per_tenant = \"32MiB\"

[requests]
per_tenant = 256

[events]
ring = 64

[[tenant]]
name = \"honest\"

[[tenant]]
name = \"default\"
quota_bytes = \"16MiB\"
memories = 100
";

/// Inputs of all shapes together.
const MILLION: u64 = 1_000_000;
/// How long after a shape its memory is looked at.
const AFTER: Duration = Duration::from_secs(30);

/// What came of one attack.
struct Beside {
    tally: Tally,
    bad: u64,
    honest: Latency,
}

struct Siege {
    serving: Serving,
    certificate: Option<Certificate>,
    group: Result<HalfACore, String>,
    seed: u64,
    seconds: u64,
    rounds: u64,
    /// Hundredths of what was resident before a shape that may be so after it.
    grown: u64,
}

/// Whether every shape left the daemon as it must be; over TLS where there is a certificate.
pub(crate) fn run(
    program: &str,
    shapes: &[&'static Shape],
    certificate: Option<Certificate>,
) -> bool {
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    let secured = certificate.as_ref().map_or_else(String::new, Certificate::config);
    config.write_all(format!("{CONFIG}{secured}").as_bytes()).expect("a config");
    let mut command = Command::new(program);
    command.arg("--config").arg(config.path());
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    let siege = Siege {
        serving: Serving::start(command),
        certificate,
        group: HalfACore::new(),
        seed: number(SEED).unwrap_or(clock.as_secs()),
        seconds: number(SECONDS).unwrap_or(5),
        rounds: number(ROUNDS).unwrap_or(3).max(1),
        grown: number(GROWN).unwrap_or(105),
    };
    let most = text("HOSTILE_RATIO").map_or(2.0, |ratio| ratio.parse().expect("a ratio"));
    say(&format!("{SEED}={} {SECONDS}={}", siege.seed, siege.seconds));
    if let Err(why) = &siege.group {
        say(&format!("attackers have all the cores that there are, and no ratio is told: {why}"));
    }
    honest::prepare(&siege.serving.grpc, siege.ca().as_deref());
    let inputs = number(INPUTS).unwrap_or(MILLION);
    let of_a_round =
        |shape: &Shape| (shape.inputs * inputs / MILLION).max(1).div_ceil(siege.rounds);
    for shape in shapes {
        let Beside { bad, .. } = siege.beside(shape, of_a_round(shape));
        assert_eq!(bad, 0, "{} in the warm-up", shape.name);
    }
    stops::settle();
    head();
    let (mut all, mut faults) = (0, Vec::new());
    for shape in shapes {
        let row = siege.shape(shape, of_a_round(shape));
        row.say();
        all += row.inputs();
        faults.extend(row.faults(most, siege.grown));
    }
    say(&format!("{all} inputs; the daemon lives"));
    for fault in &faults {
        say(fault);
    }
    let went_well = faults.is_empty();
    // Asserts that nothing panicked, and that it ends as it should.
    siege.serving.stop();
    went_well
}

impl Siege {
    fn ca(&self) -> Option<PathBuf> {
        self.certificate.as_ref().map(Certificate::path)
    }

    /// One shape beside the honest tenant, so many inputs a round.
    fn shape(&self, shape: &'static Shape, inputs: u64) -> Row {
        let before = resident(self.serving.pid());
        let rounds = (0..self.rounds).map(|_| self.round(shape, inputs)).collect();
        let after = self.settled(before);
        Row { name: shape.name, connections: shape.connections, rounds, before, after }
    }

    fn round(&self, shape: &'static Shape, inputs: u64) -> Round {
        let base = self.base();
        let peak = Peak::of(self.serving.pid());
        let Beside { tally, bad, honest } = self.beside(shape, inputs);
        Round { tally, bad, base, honest, peak: peak.end() }
    }

    /// An attack, and the honest tenant meanwhile.
    fn beside(&self, shape: &Shape, inputs: u64) -> Beside {
        let attack = self.attacker(shape, inputs, self.seconds);
        thread::sleep(Duration::from_millis(300));
        let honest = self.honest(self.seconds);
        let (tally, bad) = self.told(attack);
        self.clean();
        Beside { tally, bad, honest }
    }

    /// Resident memory once it is what it was, or when the time is over.
    fn settled(&self, before: u64) -> u64 {
        let end = Instant::now() + AFTER;
        loop {
            let now = resident(self.serving.pid());
            if now * 100 <= before * self.grown || Instant::now() >= end {
                return now;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The honest tenant beside a spinner in the attackers' half of a core; none where there is no half.
    fn base(&self) -> Option<Latency> {
        self.group.as_ref().ok()?;
        let mut spinner = self.child("spinner", self.seconds + 1);
        let latency = self.honest(self.seconds);
        let _ended = spinner.kill();
        let _reaped = spinner.wait();
        Some(latency)
    }

    fn honest(&self, seconds: u64) -> Latency {
        // Its clients are on other machines in life, and wait for no core of this one.
        let mut command = Command::new("chrt");
        command.args(["--fifo", "1"]).arg(std::env::current_exe().expect("this program"));
        self.words(&mut command, "honest", seconds);
        let output = command.stderr(Stdio::inherit()).output().expect("an honest tenant");
        let said = String::from_utf8_lossy(&output.stdout);
        Latency::parse(&said).unwrap_or_else(|| panic!("the honest tenant said {said:?}"))
    }

    fn attacker(&self, shape: &Shape, inputs: u64, seconds: u64) -> Child {
        let mut command = self.command();
        self.words(&mut command, "attacker", seconds);
        command.env(SHAPE, shape.name).env(INPUTS, inputs.to_string());
        command.spawn().expect("an attacker")
    }

    fn told(&self, child: Child) -> (Tally, u64) {
        let output = child.wait_with_output().expect("an attacker");
        let said = String::from_utf8_lossy(&output.stdout);
        Tally::parse(&said).unwrap_or_else(|| panic!("the attacker said {said:?}"))
    }

    fn child(&self, role: &str, seconds: u64) -> Child {
        let mut command = self.command();
        self.words(&mut command, role, seconds);
        command.spawn().expect("a child")
    }

    /// This program again, in half a core where that can be.
    fn command(&self) -> Command {
        let program = std::env::current_exe().expect("this program");
        match &self.group {
            Ok(group) => group.command(&program),
            Err(_none) => Command::new(program),
        }
    }

    fn words(&self, command: &mut Command, role: &str, seconds: u64) {
        command
            .env(ROLE, role)
            .env(TARGET, &self.serving.grpc)
            .env(SEED, self.seed.to_string())
            .env(FROM, number(FROM).unwrap_or(0).to_string())
            .env(SECONDS, seconds.to_string())
            .envs(self.ca().map(|ca| (CA, ca)))
            .stdout(Stdio::piped());
    }

    /// Takes away what the attackers' tenant has.
    fn clean(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let options = ConnectOptions {
                deadline: Some(Duration::from_secs(60)),
                ..honest::options(&self.serving.grpc, self.ca().as_deref())
            };
            let client = Client::connect(&options).await.expect("service as ever");
            crate::shapes::clean(&client).await;
        });
    }
}
