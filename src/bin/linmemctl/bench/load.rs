//! One connection's load: its thread, its workers and their calls.
//!
//! Its law: a closed worker's next call follows the last one's answer; an open one's is due at a
//! fixed time and its latency counts from then, however late it could begin. What is due is said by
//! a thread that sleeps on the kernel's clock, for the runtime's is a millisecond coarse. A worker
//! never spins on failures.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::{DownloadMemoryRequest, MemorySpec};
use linmemd::client::{Client, ClientError, ConnectOptions, Upload};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::bench::record::Record;
use crate::bench::{Live, Op, Shape};
use crate::failure::CtlError;

/// A connection's memory and the names of those that its workers make.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) memory_id: String,
    label: (String, String),
}

/// What one connection does.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) shape: Shape,
    pub(super) place: Place,
    pub(super) concurrency: u16,
    /// When this connection's first call is due, from the begin, and how long after it the next.
    pub(super) pace: Option<(Duration, Duration)>,
    pub(super) live: Arc<Live>,
}

/// When calls are due: whichever worker is free takes the next.
type Dues = Rc<Mutex<Receiver<Instant>>>;

impl Place {
    pub(super) fn new(run_id: &str, connection: u16, label: &str) -> Self {
        let memory_id = format!("bench-{run_id}-{connection}");
        Self { memory_id, label: (label.to_owned(), run_id.to_owned()) }
    }

    /// A spec that `clean` will find again.
    pub(super) fn spec(&self) -> MemorySpec {
        MemorySpec { labels: [self.label.clone()].into(), ..Default::default() }
    }
}

impl Load {
    /// Runs in a thread of its own until told to stop.
    pub(super) fn run(self, connecting: &ConnectOptions) -> Result<Record, CtlError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CtlError::Host(format!("cannot start a runtime: {error}")))?;
        let record = Rc::new(RefCell::new(Record::new()?));
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async {
            let client = Client::connect(connecting).await?;
            let dues = self.pace.map(|pace| tick(pace, &self.live)).transpose()?;
            let spawn = |number: u16| {
                let worker = Worker {
                    client: client.clone(),
                    shape: self.shape,
                    place: self.place.clone(),
                    number,
                    live: Arc::clone(&self.live),
                    record: Rc::clone(&record),
                    dues: dues.clone(),
                    random: Random::from(u64::from(number) + 1),
                    payload: payload(self.shape),
                    turns: 0,
                    memory_id: None,
                };
                tokio::task::spawn_local(worker.run())
            };
            let workers: Vec<_> = (0..self.concurrency).map(spawn).collect();
            for worker in workers {
                if worker.await.is_err() {
                    return Err(CtlError::Host("a bench worker ended in a panic".to_owned()));
                }
            }
            Ok(())
        })?;
        Ok(record.replace(Record::new()?))
    }
}

/// Calls that are due and not begun.
const QUEUED: usize = 1024;

/// Starts the thread that says when calls are due, until the bench stops.
fn tick((phase, every): (Duration, Duration), live: &Arc<Live>) -> Result<Dues, CtlError> {
    let (say, dues) = mpsc::channel(QUEUED);
    let (live, mut due) = (Arc::clone(live), std::time::Instant::now() + phase);
    let ticker = move || {
        while !live.stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
            // Where the queue is full it waits, and the calls stay due when they were. Where every
            // worker is gone, so is the reason to go on.
            if say.blocking_send(Instant::from_std(due)).is_err() {
                return;
            }
            due += every;
        }
    };
    match thread::Builder::new().name("bench-due".to_owned()).spawn(ticker) {
        Ok(_ends_by_itself) => Ok(Rc::new(Mutex::new(dues))),
        Err(error) => Err(CtlError::Host(format!("cannot start a thread: {error}"))),
    }
}

/// After a failure, so that a daemon that refuses is not stormed.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

struct Worker {
    client: Client,
    shape: Shape,
    place: Place,
    number: u16,
    live: Arc<Live>,
    record: Rc<RefCell<Record>>,
    dues: Option<Dues>,
    random: Random,
    payload: Bytes,
    turns: u64,
    /// The memory that a grow worker grows.
    memory_id: Option<String>,
}

impl Worker {
    async fn run(mut self) {
        while !self.live.stop.load(Ordering::Relaxed) {
            let due = match &self.dues {
                None => None,
                Some(dues) => match dues.lock().await.recv().await {
                    None => return,
                    due => due,
                },
            };
            if let Err(error) = self.before().await {
                self.count(Err(error), Instant::now()).await;
                continue;
            }
            let begin = due.unwrap_or_else(Instant::now);
            let result = self.call().await;
            self.count(result, begin).await;
            self.after().await;
        }
    }

    async fn count(&mut self, result: Result<(), ClientError>, begin: Instant) {
        let latency = begin.elapsed();
        let measuring = self.live.measuring.load(Ordering::Relaxed);
        match result {
            Ok(()) if measuring => {
                self.record.borrow_mut().done(latency);
                self.live.operations.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) => (),
            Err(error) => {
                if measuring {
                    self.record.borrow_mut().failed(error.reason());
                    self.live.failures.fetch_add(1, Ordering::Relaxed);
                }
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// What must be there for the call, outside the measurement.
    async fn before(&mut self) -> Result<(), ClientError> {
        if self.shape.op == Op::Grow && self.memory_id.is_none() {
            self.turns += 1;
            let id = self.own_id();
            self.client.create(Some(&id), self.place.spec()).await?;
            self.memory_id = Some(id);
        }
        Ok(())
    }

    async fn call(&mut self) -> Result<(), ClientError> {
        let Shape { op, size, memory_bytes } = self.shape;
        let offset = self.random.offset(size, memory_bytes);
        let id = &self.place.memory_id;
        match op {
            Op::Read => self.client.read(id, offset, size).await.map(drop),
            Op::Write => self.client.write(id, offset, self.payload.clone()).await,
            Op::Fill => self.client.fill(id, offset, size, 0xa5).await,
            Op::Upload => {
                let upload = Upload { offset, length: Some(size), ..Upload::to(id.clone()) };
                let chunks = [self.payload.clone()];
                self.client.upload_chunks(upload, chunks, |_| ()).await.map(drop)
            }
            Op::Download => {
                let request = DownloadMemoryRequest {
                    memory_id: id.clone(),
                    offset,
                    length: Some(size),
                    checksum: true,
                    ..Default::default()
                };
                let mut download = self.client.download(request).await?;
                while download.next().await?.is_some() {}
                Ok(())
            }
            Op::Grow => {
                let id = self.memory_id.as_deref().unwrap_or(id);
                let grown = self.client.grow(id, 1).await;
                match grown {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        if error.reason() == "MAXIMUM_REACHED" {
                            self.discard().await;
                        }
                        Err(error)
                    }
                }
            }
            Op::Create => {
                self.turns += 1;
                let id = self.own_id();
                let spec = MemorySpec { initial_pages: 1, ..self.place.spec() };
                self.client.create(Some(&id), spec).await?;
                self.memory_id = Some(id);
                Ok(())
            }
        }
    }

    /// What the call left, outside the measurement.
    async fn after(&mut self) {
        if self.shape.op == Op::Create {
            self.discard().await;
        }
    }

    async fn discard(&mut self) {
        if let Some(id) = self.memory_id.take()
            && let Err(error) = self.client.delete(&id).await
            && self.live.measuring.load(Ordering::Relaxed)
        {
            self.record.borrow_mut().failed(&format!("delete: {}", error.reason()));
        }
    }

    fn own_id(&self) -> String {
        format!("{}-{}-{}", self.place.memory_id, self.number, self.turns)
    }
}

fn payload(shape: Shape) -> Bytes {
    match shape.op {
        Op::Write | Op::Upload => {
            let length = usize::try_from(shape.size).unwrap_or(usize::MAX);
            (0..=255).cycle().take(length).collect::<Vec<u8>>().into()
        }
        _ => Bytes::new(),
    }
}

/// Marsaglia's xorshift64: offsets need no better.
struct Random(u64);

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }
}

impl Random {
    /// An offset at which `size` bytes fit, a multiple of the size.
    fn offset(&mut self, size: u64, memory_bytes: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        match memory_bytes.checked_div(size) {
            Some(places) if places > 0 => self.0 % places * size,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_fits_and_they_differ() {
        let mut random = Random::from(1);
        let offsets: Vec<u64> = (0..100).map(|_| random.offset(100, 1050)).collect();
        assert!(offsets.iter().all(|offset| offset % 100 == 0 && offset + 100 <= 1050));
        assert!(offsets.iter().any(|offset| *offset != offsets[0]));
        assert_eq!((random.offset(0, 10), random.offset(20, 10)), (0, 0));
    }

    #[test]
    fn a_payload_is_as_long_as_an_operation() {
        let shape = Shape { op: Op::Write, size: 300, memory_bytes: 65_536 };
        assert_eq!(payload(shape).len(), 300);
        assert!(payload(Shape { op: Op::Read, ..shape }).is_empty());
    }
}
