//! Memory instructions as calls on a running daemon, and how many there were.
//!
//! Owns: one thread's connection, and the names of what it made there. Law: the answer of every memory
//! instruction comes from the daemon, through the product's own client; here is no byte of a memory,
//! no size and no bound. A refusal is a trap only where the contract's reason says that it is one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::{
    CopyMemoryRequest, CopyOperation, FenceOperation, FillOperation, IndexType, MemorySpec,
    SizeOperation, WaitOnAddressRequest, WaitOutcome,
};
use linmemd::client::{Client, ClientError, ConnectOptions, Endpoint};
use tokio::runtime::{Builder, Runtime};
use wasmparser::MemoryType;

use crate::ahead::Ahead;
use crate::value::Stop;

/// What a growth may be refused for; memory.grow then answers -1.
const NO_ROOM: [&str; 4] = ["MAXIMUM_REACHED", "QUOTA_EXCEEDED", "HOST_EXHAUSTED", "GROW_DENIED"];

/// The most that is asked of the daemon as a maximum: as specified a growth may fail at any size, and
/// address space is set aside for the maximum. 64 GiB.
const MOST_PAGES: u64 = 1 << 20;

/// Up to here a copy or fill is an operation of a group, beyond it a call of its own.
const LONG: u64 = 32 << 10;

/// A memory of the daemon's.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Not twice in this process.
    pub(crate) number: usize,
    pub(crate) id: String,
    /// As its module declares it.
    pub(crate) of: MemoryType,
}

static MEMORIES: AtomicUsize = AtomicUsize::new(0);

/// How often what was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Instructions, by their kinds.
    pub(crate) instructions: BTreeMap<&'static str, u64>,
    /// Calls, by the RPCs' names.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// Operations that the daemon carried out on bytes, as its own metrics call them.
    pub(crate) carried_out: BTreeMap<&'static str, u64>,
    /// Loads that were asked for ahead and not reached.
    pub(crate) unused: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.instructions {
            *self.instructions.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.calls {
            *self.calls.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.carried_out {
            *self.carried_out.entry(kind).or_default() += count;
        }
        self.unused += other.unused;
    }

    pub(crate) fn of(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.instructions.get(kind)).sum()
    }

    pub(crate) fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// One thread's connection.
pub(crate) struct Daemon {
    runtime: Runtime,
    client: Client,
    pub(crate) endpoint: Endpoint,
    pub(crate) ahead: Ahead,
    counts: Counts,
    memories: Vec<String>,
    segments: Vec<String>,
    /// What a dropped segment is from then on.
    empty: Option<String>,
}

impl Daemon {
    pub(crate) fn connect(endpoint: &Endpoint) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut options = ConnectOptions::new(endpoint.clone());
        options.deadline = Some(Duration::from_secs(60));
        let client = runtime.block_on(Client::connect(&options)).expect("a daemon that listens");
        Self {
            runtime,
            client,
            endpoint: endpoint.clone(),
            ahead: Ahead::default(),
            counts: Counts::default(),
            memories: Vec::new(),
            segments: Vec::new(),
            empty: None,
        }
    }

    /// Counts an instruction that begins.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.instructions.entry(kind).or_default() += 1;
    }

    fn carried_out(&mut self, kind: &'static str, count: u64) {
        *self.counts.carried_out.entry(kind).or_default() += count;
    }

    pub(crate) fn create(&mut self, of: &MemoryType) -> Result<Arc<Memory>, Stop> {
        let limit = if of.memory64 { MOST_PAGES } else { 65_536 };
        let index_type = if of.memory64 { IndexType::I64 } else { IndexType::I32 };
        let spec = MemorySpec {
            initial_pages: of.initial,
            maximum_pages: Some(of.maximum.unwrap_or(limit).min(limit)),
            index_type: index_type.into(),
            shared: of.shared,
            ..MemorySpec::default()
        };
        let made = self.call("CreateMemory", async |client| client.create(None, spec).await)?;
        self.memories.push(made.memory_id.clone());
        let number = MEMORIES.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Arc::new(Memory { number, id: made.memory_id, of: *of }))
    }

    /// Operations on one memory, whole or not at all.
    pub(crate) fn execute(
        &mut self,
        memory: &Memory,
        operations: Vec<Kind>,
    ) -> Result<Vec<Option<Answer>>, ClientError> {
        let accesses: Vec<_> = operations.iter().filter_map(access).collect();
        let operations = operations.into_iter().map(Into::into).collect();
        let answers = self.raw("ExecuteOperations", async |client| {
            client.execute(&memory.id, operations).await
        })?;
        for (kind, count) in accesses {
            self.carried_out(kind, count);
        }
        Ok(answers.into_iter().map(|answer| answer.result).collect())
    }

    /// One operation.
    pub(crate) fn one(&mut self, memory: &Memory, kind: Kind) -> Result<Option<Answer>, Stop> {
        self.ahead.forget();
        let mut answers = self.execute(memory, vec![kind]).map_err(stop)?;
        Ok(answers.pop().flatten())
    }

    pub(crate) fn size(&mut self, memory: &Memory) -> Result<u64, Stop> {
        match self.one(memory, Kind::Size(SizeOperation {}))? {
            Some(Answer::SizePages(pages)) => Ok(pages),
            other => Err(Stop::fault(other)),
        }
    }

    pub(crate) fn fence(&mut self, memory: &Memory) -> Result<(), Stop> {
        self.one(memory, Kind::Fence(FenceOperation {})).map(drop)
    }

    /// The size before, or none where there is no room.
    pub(crate) fn grow(&mut self, memory: &Memory, delta: u64) -> Result<Option<u64>, Stop> {
        self.ahead.forget();
        match self.raw("GrowMemory", async |client| client.grow(&memory.id, delta).await) {
            Ok(grown) => Ok(Some(grown.previous_pages)),
            Err(error) if NO_ROOM.contains(&error.reason()) => Ok(None),
            Err(error) => Err(stop(error)),
        }
    }

    pub(crate) fn fill(
        &mut self,
        memory: &Memory,
        offset: u64,
        value: u8,
        length: u64,
    ) -> Result<(), Stop> {
        if length <= LONG {
            let value = value.into();
            return self.one(memory, Kind::Fill(FillOperation { offset, length, value })).map(drop);
        }
        let fill = async |client: &Client| client.fill(&memory.id, offset, length, value).await;
        self.call("FillMemory", fill)?;
        self.carried_out("fill", 1);
        Ok(())
    }

    pub(crate) fn copy(
        &mut self,
        (source, source_offset): (&Memory, u64),
        (destination, destination_offset): (&Memory, u64),
        length: u64,
    ) -> Result<(), Stop> {
        if source.number == destination.number && length <= LONG {
            let copy = CopyOperation { source_offset, destination_offset, length };
            return self.one(source, Kind::Copy(copy)).map(drop);
        }
        let message = CopyMemoryRequest {
            source_memory_id: source.id.clone(),
            source_offset,
            destination_memory_id: destination.id.clone(),
            destination_offset,
            length,
            ..CopyMemoryRequest::default()
        };
        self.call("CopyMemory", async |client| client.copy_memory(message).await)?;
        self.carried_out("copy", 2);
        Ok(())
    }

    /// Keeps a segment; its name.
    pub(crate) fn put(&mut self, bytes: &'static [u8]) -> Result<String, Stop> {
        let put = self.call("PutSegment", async |client| client.put(None, bytes).await)?;
        self.segments.push(put.segment_id.clone());
        Ok(put.segment_id)
    }

    pub(crate) fn init(
        &mut self,
        memory: &Memory,
        destination: u64,
        segment: &str,
        source: u64,
        length: u64,
    ) -> Result<(), Stop> {
        self.call("InitMemory", async |client| {
            client.init(&memory.id, destination, segment, source, length).await
        })?;
        self.carried_out("init", 1);
        Ok(())
    }

    /// Drops a segment; the name of the empty one that takes its place.
    pub(crate) fn drop_segment(&mut self, segment: &str) -> Result<String, Stop> {
        let empty = match self.empty.clone() {
            Some(empty) => empty,
            None => self.put(&[])?,
        };
        self.empty = Some(empty.clone());
        if segment != empty {
            self.call("DropSegment", async |client| client.drop_segment(segment, false).await)?;
            self.segments.retain(|kept| kept != segment);
        }
        Ok(empty)
    }

    /// WaitOnAddress; its outcome as the instruction says it. Negative: for ever.
    pub(crate) fn wait(
        &mut self,
        memory: &Memory,
        address: u64,
        (width, expected): (u32, u64),
        nanoseconds: i64,
    ) -> Result<u32, Stop> {
        let timeout = u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
        let message = WaitOnAddressRequest {
            memory_id: memory.id.clone(),
            address,
            width,
            expected,
            timeout: timeout.and_then(|timeout| timeout.try_into().ok()),
            ..WaitOnAddressRequest::default()
        };
        match self.call("WaitOnAddress", async |client| client.wait_on_address(message).await)? {
            WaitOutcome::Ok => Ok(0),
            WaitOutcome::NotEqual => Ok(1),
            WaitOutcome::TimedOut => Ok(2),
            other => Err(Stop::fault(other)),
        }
    }

    /// Gives everything back that was made here, and tells how often what was done.
    pub(crate) fn finish(mut self) -> Result<Counts, Stop> {
        for memory in std::mem::take(&mut self.memories) {
            self.call("DeleteMemory", async |client| client.delete(&memory).await)?;
        }
        for segment in std::mem::take(&mut self.segments) {
            self.call("DropSegment", async |client| client.drop_segment(&segment, false).await)?;
        }
        self.ahead.forget();
        self.counts.unused = self.ahead.unused;
        Ok(self.counts)
    }

    fn call<T>(
        &mut self,
        name: &'static str,
        does: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, Stop> {
        self.ahead.forget();
        self.raw(name, does).map_err(stop)
    }

    fn raw<T>(
        &mut self,
        name: &'static str,
        does: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        *self.counts.calls.entry(name).or_default() += 1;
        self.runtime.block_on(does(&self.client))
    }
}

/// What an operation is to the daemon's metrics, and how often; none for those of no bytes.
fn access(operation: &Kind) -> Option<(&'static str, u64)> {
    match operation {
        Kind::Load(_) => Some(("load", 1)),
        Kind::Store(_) => Some(("store", 1)),
        Kind::Fill(_) => Some(("fill", 1)),
        // Its source and its destination.
        Kind::Copy(_) => Some(("copy", 2)),
        Kind::AtomicLoad(_)
        | Kind::AtomicStore(_)
        | Kind::AtomicRmw(_)
        | Kind::AtomicCmpxchg(_) => Some(("atomic", 1)),
        Kind::Size(_) | Kind::Fence(_) | Kind::Notify(_) => None,
        other => panic!("an operation that no instruction is: {other:?}"),
    }
}

/// What a refused call is to a program.
pub(crate) fn stop(error: ClientError) -> Stop {
    match error.reason() {
        "OUT_OF_BOUNDS" => Stop::Trap("out of bounds memory access"),
        "UNALIGNED" => Stop::Trap("unaligned atomic"),
        "EXPECTED_SHARED" => Stop::Trap("expected shared memory"),
        _ => Stop::Fault(format!("the daemon: {error}")),
    }
}
