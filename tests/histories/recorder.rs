//! Eight clients at once, and what each call answered and when.
//!
//! Law: each client has a connection of its own and one call under way; the clock is read right before a
//! call is sent and right after it is back. Now and then all meet and one of them looks at every memory,
//! which is a part of the history like anything else: so a piece of it begins with little to guess.

use std::sync::Arc;
use std::time::Instant;

use crate::daemon::Daemon;
use crate::door::Door;
use crate::faults::{Fault, Faulty};
use crate::history::{
    CELLS, CLIENTS, Call, Deed, EVERYTHING, MEMORIES, Outcome, PAGE, Record, Span, Step, Wanted,
    Way,
};
use crate::script::Script;

#[derive(Debug)]
pub(crate) struct Recorder {
    clients: Vec<OneClient>,
}

#[derive(Debug)]
struct OneClient {
    number: usize,
    door: Door,
    script: Script,
    /// What stands between it and the daemon.
    fault: Option<Arc<Faulty>>,
    clock: Instant,
    records: Vec<Record>,
}

impl Recorder {
    /// With memories of its own, which do not exist yet.
    pub(crate) async fn start(
        daemon: &Daemon,
        name: &str,
        seed: u64,
        fault: Option<Fault>,
    ) -> Self {
        let fault = fault.map(|fault| Arc::new(Faulty::new(fault)));
        let (clock, mut clients) = (Instant::now(), Vec::new());
        let names: [String; MEMORIES] = std::array::from_fn(|memory| format!("{name}-{memory}"));
        for number in 0..CLIENTS {
            let door = Door::open(daemon.client().await, names.clone()).await;
            let (script, fault) = (Script::new(seed, number), fault.clone());
            clients.push(OneClient { number, door, script, fault, clock, records: Vec::new() });
        }
        Self { clients }
    }

    /// The next piece of the history: so many calls of each client, and a look at what is there.
    pub(crate) async fn piece(&mut self, calls: usize) -> Vec<Record> {
        let meeting = Arc::new(tokio::sync::Barrier::new(CLIENTS));
        let mut running = Vec::new();
        for mut client in self.clients.drain(..) {
            let meeting = Arc::clone(&meeting);
            running.push(tokio::spawn(async move {
                meeting.wait().await;
                for _ in 0..calls {
                    let call = client.script.next();
                    client.call(call).await;
                }
                client
            }));
        }
        for client in running {
            self.clients.push(client.await.expect("a client ends well"));
        }
        self.clients[0].look().await;
        self.clients.iter_mut().flat_map(|client| client.records.drain(..)).collect()
    }

    /// Leaves nothing behind.
    pub(crate) async fn finish(self) {
        for memory in 0..MEMORIES {
            let delete = Call { memory, wanted: Wanted::Any, deed: Deed::Delete };
            self.clients[0].door.wire.perform(&delete).await;
        }
    }
}

impl OneClient {
    async fn call(&mut self, call: Call) -> &Outcome {
        let sent = self.now();
        let outcome = match &self.fault {
            None => self.door.perform(&call).await,
            Some(faulty) => faulty.perform(&mut self.door, &call).await,
        };
        let back = self.now();
        self.script.learn(&call, &outcome);
        self.records.push(Record { client: self.number, call, outcome, sent, back });
        &self.records[self.records.len() - 1].outcome
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap()
    }

    /// Reads everything that there is.
    async fn look(&mut self) {
        for memory in 0..MEMORIES {
            let call = |deed| Call { memory, wanted: Wanted::Any, deed };
            let Outcome::Shown { pages, .. } = *self.call(call(Deed::Describe)).await else {
                continue;
            };
            let is_there = |cell: &usize| Span::one(*cell).end() <= pages * PAGE;
            let last = (0..CELLS).filter(is_there).max().unwrap_or(EVERYTHING.first);
            let read = (0..=last).map(|cell| Step::Read(Span::one(cell))).collect();
            self.call(call(Deed::Steps(Way::List, read))).await;
        }
    }
}
