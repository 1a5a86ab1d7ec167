//! [`World`]: a whole daemon in this process and a connection to it, both on this thread, and what
//! stands in it before every input.
//!
//! ```text
//! target ── HTTP/2 (h2's client) ── a pipe in memory ── rpc::serve ── front, messages, services …
//! ```
//!
//! Law: what is fuzzed is what a stranger reaches: the daemon's own front door, with nothing of it
//! copied or opened for the purpose. After each call no byte is in flight and no call runs, unless a
//! talk goes on beside it (`talk.rs`); after each input the world is as it was before.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{HeaderValue, Request};
use linmemd::config::{Config, Loaded, Origins, Tenant};
use linmemd::daemon::Daemon;
use linmemd::daemon::confinement::Confinement;
use linmemd::model::Now;
use linmemd::os::kernel::Linux;
use linmemd::proto::v1;
use linmemd::rpc::{ConnectionLimits, MostConnections, Newcomer, Origin, Server, SetMark, serve};
use linmemd::tenancy::Peer;
use linmemd::units::ByteCount;
use prost::Message;
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Status};

use crate::law;
use crate::log::{Audit, listen};
use crate::rpcs::{Rpc, rpc};
use crate::talk::{Answer, Talk, exchange};
use crate::unconfined::Unconfined;

/// Longer than any run.
pub(crate) const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longer than any lease of what stands.
const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);
const PAGE_BYTES: u64 = 64 << 10;
/// What the one tenant may commit: small, so that nothing takes long.
const QUOTA_BYTES: u64 = 8 << 20;
/// Longest frame of the connection.
const FRAME: u32 = 1 << 20;
/// How long anything may take; a call that parks is called off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long something may take that comes of what was just said.
const SOON: Duration = Duration::from_millis(5);
/// Longer than what ends soon.
const A_WHILE: Duration = Duration::from_millis(20);
/// Calls that one connection calls off, at most: a reset costs more credit than a call earns.
const CALLED_OFF: usize = 400;

/// Stands in an input for the uid of the memory `m`, as long as one is.
pub(crate) const UID: &str = "UUUUUUUU-UUUU-UUUU-UUUU-UUUUUUUUUUUU";
/// Stands in an input for the id of the view, as long as one is.
pub(crate) const VIEW: &str = "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV";
/// Stands in an input for the id of the share of the memory `m`, as long as one is.
pub(crate) const SHARE: &str = "SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS";
/// The same of the memory `n`, for writing.
pub(crate) const SHARE_FOR_WRITING: &str = "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";

/// Stands in an input for the id of the share that was made last, as long as one is.
pub(crate) const SHARE_MADE: &str = "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL";
/// Stands in an input for the id of the daemon's run, as long as one is.
pub(crate) const BOOT: &str = "BBBBBBBB-BBBB-BBBB-BBBB-BBBBBBBBBBBB";

/// The tenant that others' memories are shared with.
pub(crate) const GRANTEE: &str = "other";
/// A call for it.
pub(crate) const FOR_GRANTEE: &[(&str, &[u8])] = &[("linmem-tenant", GRANTEE.as_bytes())];

/// What small frames for calls that were over may cost before a connection is ended for them: half of
/// its window. A frame below so many bytes costs what it lacks of them.
const SMALL_BUDGET: usize = 8 << 20;
const SMALL: usize = 256;
/// Empty frames that a connection takes in its life.
const EMPTY: usize = 100;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Does something in the world, and puts it back as it was.
pub(crate) fn with(act: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|world| {
        let world = world.get_or_insert_with(World::start);
        act(world);
        world.restore();
    });
}

/// What stands before every input.
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) runtime: Runtime,
    client: SendRequest<Bytes>,
    /// What the small frames that went over this connection may have cost, and how many were empty.
    small: usize,
    empty: usize,
    /// Calls that were called off on it.
    called_off: usize,
    /// Talks that go on.
    talks: usize,
    boot: String,
    uid: String,
    view: String,
    /// That of `m`, and that of `n`.
    shares: [String; 2],
    share_made: String,
    /// The uids of the memories that stand, by their names.
    stood: BTreeMap<String, String>,
    /// Views that were opened since the world was put back.
    opened: Vec<String>,
    /// What the tenant is charged for what stands before every input, kind by kind.
    charged: Option<Vec<(String, u64)>>,
    changed: Changed,
    audited: Audit,
    _daemon: Daemon,
}

/// What of the world an input has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changed {
    /// Nothing is to be trusted.
    all: bool,
    /// Memories that stand and are not what they were.
    spoiled: BTreeSet<String>,
    /// There are others, or fewer, or other sets of them.
    memories: bool,
    segments: bool,
    views: bool,
    hooks: bool,
    partitions: bool,
    shares: bool,
}

impl Changed {
    fn all() -> Self {
        Self {
            all: true,
            memories: true,
            segments: true,
            views: true,
            hooks: true,
            partitions: true,
            shares: true,
            spoiled: BTreeSet::new(),
        }
    }

    /// A call with this request was done, or may have been.
    fn note(&mut self, name: &str, request: &[u8]) {
        match name {
            "GrowMemory" => self.spoil::<v1::GrowMemoryRequest>(request, |it| it.memory_id),
            "UpdateMemory" => self.spoil::<v1::UpdateMemoryRequest>(request, |it| it.memory_id),
            "ProtectMemory" => self.spoil::<v1::ProtectMemoryRequest>(request, |it| it.memory_id),
            "SetVolatility" => self.spoil::<v1::SetVolatilityRequest>(request, |it| it.memory_id),
            "CreateMemory" | "DeleteMemory" | "CreateMemorySet" | "DeleteMemorySet" => {
                self.memories = true;
            }
            "PutSegment" | "DropSegment" => self.segments = true,
            "OpenView" | "CloseView" => self.views = true,
            "CreateGrowHook" | "DeleteGrowHook" => self.hooks = true,
            "CreatePartition" | "DeletePartition" => self.partitions = true,
            "ShareMemory" | "RevokeShare" | "MountShare" => self.shares = true,
            _ => {}
        }
    }

    fn spoil<M: Message + Default>(&mut self, request: &[u8], name: fn(M) -> String) {
        // What is no message was refused, or would have been.
        self.spoiled.extend(M::decode(request).map(name));
    }
}

impl World {
    fn start() -> Self {
        let mut config = config();
        listen();
        let audit = Audit::new();
        config.audit.file = Some(audit.path().to_owned());
        let confinement = Confinement::new(&config, None, Box::new(Unconfined));
        confinement.begin(&Linux, None).expect("nothing is refused");
        let daemon = Daemon::start_confined(&config, Arc::new(Linux), confinement);
        let daemon = daemon.expect("a daemon");
        audit.forget_path();
        let loaded = Loaded { config, origins: Origins::default() };
        daemon.reload_from(Box::new(move || Ok(loaded.clone())));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = Arc::clone(&daemon.server);
        let client = runtime.block_on(connect(&server, OWN));
        let mut world = Self {
            server,
            runtime,
            client,
            small: 0,
            empty: 0,
            called_off: 0,
            talks: 0,
            boot: String::new(),
            uid: String::new(),
            view: String::new(),
            shares: Default::default(),
            share_made: String::new(),
            stood: BTreeMap::new(),
            opened: Vec::new(),
            charged: None,
            changed: Changed::all(),
            audited: audit,
            _daemon: daemon,
        };
        world.boot = world.info().boot_id;
        world.restore();
        world
    }

    /// One request message of an RPC, whatever its bytes are; and what came of it, which has been
    /// judged by the laws that hold for every RPC.
    pub(crate) fn call(&mut self, name: &str, bytes: &[u8]) -> law::Verdict {
        self.call_with(name, &[], bytes)
    }

    /// The same by the tenant that memories are shared with.
    pub(crate) fn call_of_grantee(&mut self, name: &str, bytes: &[u8]) -> law::Verdict {
        self.call_with(name, FOR_GRANTEE, bytes)
    }

    fn call_with(&mut self, name: &str, headers: &[(&str, &[u8])], bytes: &[u8]) -> law::Verdict {
        let rpc = rpc(name);
        let bytes = self.filled(bytes);
        let request = request(rpc, headers);
        let answer = self.exchange(request, vec![framed(&bytes)], name == "WaitOnAddress");
        self.judged(rpc, &bytes, &answer)
    }

    /// What came of a request, by the laws that hold for every RPC.
    pub(crate) fn judged(&mut self, rpc: &Rpc, bytes: &[u8], answer: &Answer) -> law::Verdict {
        let verdict = law::verdict(rpc, answer);
        law::malformed_is_refused(rpc, bytes, &verdict);
        if verdict.may_be_done() {
            self.changed.note(rpc.name, bytes);
        }
        if let law::Verdict::Done(messages) = &verdict {
            let first = messages.first().map(Vec::as_slice).unwrap_or_default();
            if rpc.name == "ShareMemory" {
                let made = v1::ShareMemoryResponse::decode(first).expect("the response's type");
                self.share_made = made.share.map(|share| share.share_id).unwrap_or_default();
            }
            if rpc.name == "OpenView" {
                let opened = v1::OpenViewResponse::decode(first).expect("the response's type");
                self.opened.extend(opened.view.map(|view| view.view_id));
            }
        }
        verdict
    }

    /// The same with a message that is one.
    pub(crate) fn ask<M: Message + Default>(
        &mut self,
        name: &str,
        request: &impl Message,
    ) -> Result<M, law::Refusal> {
        one(self.call(name, &request.encode_to_vec()))
    }

    /// The same by the tenant that memories are shared with.
    pub(crate) fn ask_of_grantee<M: Message + Default>(
        &mut self,
        name: &str,
        request: &impl Message,
    ) -> Result<M, law::Refusal> {
        one(self.call_of_grantee(name, &request.encode_to_vec()))
    }

    /// The same where a refusal is a finding.
    pub(crate) fn must<M: Message + Default>(&mut self, name: &str, request: &impl Message) -> M {
        self.ask(name, request).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"))
    }

    /// A request of these pieces of DATA, and what comes back. One that `may_park` is called off when it
    /// waits for others.
    pub(crate) fn send(&mut self, rpc: &Rpc, may_park: bool, pieces: Vec<Bytes>) -> Answer {
        self.send_with(rpc, &[], may_park, pieces)
    }

    /// The same with more headers.
    pub(crate) fn send_with(
        &mut self,
        rpc: &Rpc,
        headers: &[(&str, &[u8])],
        may_park: bool,
        pieces: Vec<Bytes>,
    ) -> Answer {
        self.exchange(request(rpc, headers), pieces, may_park)
    }

    /// The same with a head of one's own.
    pub(crate) fn exchange(
        &mut self,
        request: Request<()>,
        pieces: Vec<Bytes>,
        may_park: bool,
    ) -> Answer {
        let answer = match self.attempt(request.clone(), pieces.clone(), may_park) {
            Ok(answer) => answer,
            // Who goes on sending small frames for calls that were refused is told to go, and so is who
            // sends nothing in many of them; the next connection is as good as any.
            Err(told) => {
                let is_calmed = told.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                // Who is writing finds it closed before it reads why.
                assert!(is_calmed || told.is_io(), "{told:?}");
                let (small, empty) = (self.small, self.empty);
                assert!(small > SMALL_BUDGET || empty > EMPTY, "ended after {small}, {empty}");
                self.reconnect();
                let second = self.attempt(request, pieces, may_park);
                second.unwrap_or_else(|lost| panic!("the connection was lost: {lost}"))
            }
        };
        self.called_off += usize::from(answer.parked);
        if self.called_off > CALLED_OFF {
            self.reconnect();
        }
        self.settle();
        answer
    }

    /// A call that goes on beside others, until [`World::end`].
    pub(crate) fn begin(&mut self, rpc: &Rpc, headers: &[(&str, &[u8])]) -> Talk {
        // None is lost for what others did on its connection.
        if self.small > SMALL_BUDGET / 2 || self.empty > EMPTY / 2 {
            self.reconnect();
        }
        let begun = Talk::begin(self.client.clone(), request(rpc, headers), false);
        let talk = self.runtime.block_on(begun).expect("a connection that stands");
        self.talks += 1;
        talk
    }

    /// Says these one after the other, and hears what comes of them.
    pub(crate) fn say_all(&mut self, talk: &mut Talk, pieces: Vec<Bytes>) {
        for piece in pieces {
            self.small += SMALL.saturating_sub(piece.len());
            talk.say(piece, false);
        }
        self.hear(talk);
    }

    /// Hears all that there is to hear.
    pub(crate) fn hear(&self, talk: &mut Talk) {
        let heard = self.runtime.block_on(talk.until_idle());
        heard.unwrap_or_else(|lost| panic!("the connection was lost: {lost}"));
    }

    /// Gives what is under way the time to come to its end.
    pub(crate) fn hear_out(&self, talk: &mut Talk) {
        let heard =
            self.runtime.block_on(async { tokio::time::timeout(SOON, talk.until_over()).await });
        // Or it waits for others.
        let Ok(heard) = heard else { return };
        heard.unwrap_or_else(|lost| panic!("the connection was lost: {lost}"));
    }

    /// Hears a talk to its end; one that `may_park` is called off where it waits for others.
    pub(crate) fn end(&mut self, mut talk: Talk, may_park: bool) -> Answer {
        if may_park {
            self.hear(&mut talk);
        } else {
            let ended = self.runtime.block_on(async {
                tokio::time::timeout(PATIENCE, talk.until_over())
                    .await
                    .expect("an answer comes in time")
            });
            ended.unwrap_or_else(|lost| panic!("the connection was lost: {lost}"));
        }
        let answer = talk.heard();
        drop(talk);
        self.talks -= 1;
        self.called_off += usize::from(answer.parked);
        if self.called_off > CALLED_OFF {
            self.reconnect();
        }
        self.settle();
        answer
    }

    fn reconnect(&mut self) {
        (self.small, self.empty, self.called_off) = (0, 0, 0);
        self.client = self.runtime.block_on(connect(&self.server, OWN));
    }

    fn attempt(
        &mut self,
        request: Request<()>,
        pieces: Vec<Bytes>,
        may_park: bool,
    ) -> Result<Answer, h2::Error> {
        // A call's last frame is never one too many.
        let lengths = pieces.iter().rev().skip(1).map(Bytes::len);
        for length in lengths {
            self.empty += usize::from(length == 0);
            self.small += if length == 0 { 0 } else { SMALL.saturating_sub(length) };
        }
        let call = exchange(self.client.clone(), request, pieces, may_park);
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, call).await.expect("an answer comes in time")
        })
    }

    /// Anything may have been changed, by a call that was not judged.
    pub(crate) fn distrust(&mut self) {
        self.changed = Changed::all();
    }

    /// That nothing is held for a call that is over, once no other goes on.
    pub(crate) fn settle(&mut self) {
        if self.talks > 0 {
            return;
        }
        let begin = Instant::now();
        while self.server.in_flight_bytes() > 0 || self.server.running() > 0 {
            let (bytes, calls) = (self.server.in_flight_bytes(), self.server.running());
            assert!(begin.elapsed() < PATIENCE, "{bytes} bytes and {calls} calls are kept");
            self.runtime.block_on(tokio::task::yield_now());
        }
    }

    /// Bytes with what only the daemon could know in its place.
    pub(crate) fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        put_in_place(&mut bytes, BOOT, &self.boot);
        put_in_place(&mut bytes, UID, &self.uid);
        put_in_place(&mut bytes, VIEW, &self.view);
        put_in_place(&mut bytes, SHARE, &self.shares[0]);
        put_in_place(&mut bytes, SHARE_FOR_WRITING, &self.shares[1]);
        put_in_place(&mut bytes, SHARE_MADE, &self.share_made);
        bytes
    }

    /// Puts back what was changed.
    pub(crate) fn restore(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        // They ask about growth, so that they come first.
        if changed.hooks {
            self.restore_hooks();
        }
        let anew = (changed.memories || !changed.spoiled.is_empty())
            && self.restore_memories(changed.all, &changed.spoiled);
        if changed.segments {
            self.restore_segments();
        }
        if changed.views || anew {
            self.restore_view();
        }
        if changed.shares || anew {
            self.restore_shares();
        }
        // Memories live in them, so that they come last.
        if changed.partitions {
            self.restore_partitions();
        }
        self.changed = Changed::default();
        if changed != Changed::default() {
            self.audit();
        }
        self.audited.look();
        assert_eq!(self.server.registry.quarantined_memories(), 0, "a memory is quarantined");
        assert_eq!(self.server.panics(), 0, "a handler panicked");
    }

    fn restore_hooks(&mut self) {
        let all = v1::ListGrowHooksRequest { page_size: 1_000, ..Default::default() };
        let all: v1::ListGrowHooksResponse = self.must("ListGrowHooks", &all);
        for hook in all.hooks {
            let delete = v1::DeleteGrowHookRequest { hook_id: hook.hook_id, ..Default::default() };
            self.must::<v1::DeleteGrowHookResponse>("DeleteGrowHook", &delete);
        }
        let hook = v1::CreateGrowHookRequest {
            hook_id: Some("h".to_owned()),
            label_selector: "never=1".to_owned(),
            rank: 1,
            ..Default::default()
        };
        self.must::<v1::CreateGrowHookResponse>("CreateGrowHook", &hook);
    }

    /// Makes those memories anew that are not what they were; whether the view or a share went with one.
    fn restore_memories(&mut self, all: bool, spoiled: &BTreeSet<String>) -> bool {
        let sets = v1::ListMemorySetsRequest { page_size: 1_000, ..Default::default() };
        let sets: v1::ListMemorySetsResponse = self.must("ListMemorySets", &sets);
        let list = v1::ListMemoriesRequest { page_size: 1_000, ..Default::default() };
        let listed: v1::ListMemoriesResponse = self.must("ListMemories", &list);
        let mut kept = BTreeMap::new();
        for memory in &listed.memories {
            let is_same = self.stood.get(&memory.memory_id) == Some(&memory.uid);
            if is_same && !all && !spoiled.contains(&memory.memory_id) {
                kept.insert(memory.memory_id.clone(), memory.uid.clone());
            }
        }
        let set_stands =
            kept.contains_key(MEMBER) && sets.memory_sets.iter().any(|one| one.set_id == SET);
        if !set_stands {
            kept.remove(MEMBER);
        }
        for set in sets.memory_sets {
            if set.set_id != SET || !set_stands {
                let delete =
                    v1::DeleteMemorySetRequest { set_id: set.set_id, ..Default::default() };
                self.must::<v1::DeleteMemorySetResponse>("DeleteMemorySet", &delete);
            }
        }
        for memory in listed.memories {
            if !kept.contains_key(&memory.memory_id) {
                // It may have gone with its set, or its lease may have run out.
                let (memory_id, allow_missing) = (memory.memory_id, true);
                let delete =
                    v1::DeleteMemoryRequest { memory_id, allow_missing, ..Default::default() };
                self.must::<v1::DeleteMemoryResponse>("DeleteMemory", &delete);
            }
        }
        let went = ["m", "n"].iter().any(|name| !kept.contains_key(*name));
        for (name, spec) in memories() {
            if !kept.contains_key(name) {
                let create = v1::CreateMemoryRequest {
                    memory_id: Some(name.to_owned()),
                    spec: Some(spec),
                    ..Default::default()
                };
                let made: v1::CreateMemoryResponse = self.must("CreateMemory", &create);
                kept.insert(name.to_owned(), made.memory.expect("a memory").uid);
            }
        }
        if !set_stands {
            let member =
                v1::NewMember { memory_id: Some(MEMBER.to_owned()), spec: Some(pages(1, 1)) };
            let set = v1::CreateMemorySetRequest {
                set_id: Some(SET.to_owned()),
                members: vec![member],
                ..Default::default()
            };
            let made: v1::CreateMemorySetResponse = self.must("CreateMemorySet", &set);
            let member = made.memory_set.expect("a set").members.remove(0);
            kept.insert(MEMBER.to_owned(), member.memory.expect("a memory").uid);
        }
        self.uid = kept["m"].clone();
        self.stood = kept;
        went
    }

    /// That the tenant is charged for what stands before every input, and for nothing else. What is
    /// kept of request ids and of events is overhead, and stays.
    fn audit(&mut self) {
        let mut found = self.charges();
        if self.charged.as_ref().is_some_and(|charged| *charged != found) {
            // What a lease has ended is given back by the sweep, which does not come by itself here.
            let now = Now { steady: Instant::now(), wall: SystemTime::now() };
            self.server.registry.sweep(now, |_record| ());
            found = self.charges();
        }
        let charged = self.charged.get_or_insert_with(|| found.clone());
        assert_eq!(*charged, found, "what is charged, before and after");
    }

    /// The id of the daemon's run.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// As if days had passed: whatever has a time of its own is over.
    pub(crate) fn pass(&mut self) {
        let now = Now { steady: Instant::now(), wall: SystemTime::now() }.after(DAYS);
        self.server.registry.sweep(now, |_record| ());
        self.distrust();
    }

    /// Lets what ends soon end.
    pub(crate) fn wait(&mut self) {
        self.runtime.block_on(async { tokio::time::sleep(A_WHILE).await });
        self.distrust();
    }

    /// As if the host wanted memory: whatever may be purged is.
    pub(crate) fn want(&mut self) {
        self.server.registry.purge(ByteCount::new(QUOTA_BYTES));
        self.distrust();
    }

    fn info(&mut self) -> v1::ServerInfo {
        let info: v1::GetServerInfoResponse =
            self.must("GetServerInfo", &v1::GetServerInfoRequest {});
        info.server_info.expect("it")
    }

    fn charges(&mut self) -> Vec<(String, u64)> {
        let kinds =
            self.info().quotas.into_iter().filter(|quota| quota.resource != "overhead_bytes");
        kinds.map(|quota| (quota.resource, quota.used)).collect()
    }

    fn restore_segments(&mut self) {
        let all = v1::ListSegmentsRequest { page_size: 1_000, ..Default::default() };
        let all: v1::ListSegmentsResponse = self.must("ListSegments", &all);
        for segment in all.segments {
            let drop =
                v1::DropSegmentRequest { segment_id: segment.segment_id, ..Default::default() };
            self.must::<v1::DropSegmentResponse>("DropSegment", &drop);
        }
        let put = v1::PutSegmentRequest {
            segment_id: Some("s".to_owned()),
            data: Bytes::from_static(&[0x5E; 64]),
            ..Default::default()
        };
        self.must::<v1::PutSegmentResponse>("PutSegment", &put);
    }

    fn restore_view(&mut self) {
        for view_id in std::mem::take(&mut self.opened) {
            let close = v1::CloseViewRequest { view_id, allow_missing: true };
            self.must::<v1::CloseViewResponse>("CloseView", &close);
        }
        let open =
            v1::OpenViewRequest { memory_id: "m".to_owned(), length: 16, ..Default::default() };
        let opened: v1::OpenViewResponse = self.must("OpenView", &open);
        self.view = opened.view.expect("a view").view_id;
    }

    fn restore_shares(&mut self) {
        let all = v1::ListSharesRequest { page_size: 1_000, ..Default::default() };
        let all: v1::ListSharesResponse = self.must("ListShares", &all);
        for share in all.shares {
            let share_id = share.share_id;
            let revoke = v1::RevokeShareRequest { share_id, allow_missing: true };
            self.must::<v1::RevokeShareResponse>("RevokeShare", &revoke);
        }
        let given = [("m", v1::ShareAccess::Read), ("n", v1::ShareAccess::ReadWrite)];
        self.shares = given.map(|(memory_id, access)| {
            let share = v1::ShareMemoryRequest {
                memory_id: memory_id.to_owned(),
                grantee_tenant: GRANTEE.to_owned(),
                access: access.into(),
                ..Default::default()
            };
            let shared: v1::ShareMemoryResponse = self.must("ShareMemory", &share);
            shared.share.expect("a share").share_id
        });
    }

    fn restore_partitions(&mut self) {
        let all = v1::ListPartitionsRequest { page_size: 1_000, ..Default::default() };
        let all: v1::ListPartitionsResponse = self.must("ListPartitions", &all);
        let mut left: Vec<String> =
            all.partitions.into_iter().map(|partition| partition.partition_id).collect();
        // One that has others in it goes after them.
        while let Some(partition_id) = left.pop() {
            let delete = v1::DeletePartitionRequest {
                partition_id: partition_id.clone(),
                ..Default::default()
            };
            match self.ask::<v1::DeletePartitionResponse>("DeletePartition", &delete) {
                Ok(_) => {}
                Err(refusal) if refusal.reason == "PROTECTED" && !left.is_empty() => {
                    left.insert(0, partition_id);
                }
                Err(refusal) => panic!("{partition_id} stays: {refusal:?}"),
            }
        }
        let spec = v1::PartitionSpec { maximum_bytes: 4 << 20, ..Default::default() };
        let create =
            v1::CreatePartitionRequest { partition_id: Some("p".to_owned()), spec: Some(spec) };
        self.must::<v1::CreatePartitionResponse>("CreatePartition", &create);
    }
}

/// Pages, and at most.
pub(crate) fn pages(initial: u64, maximum: u64) -> v1::MemorySpec {
    v1::MemorySpec {
        initial_pages: initial,
        maximum_pages: Some(maximum),
        ..v1::MemorySpec::default()
    }
}

/// The set that stands, and its one member.
const SET: &str = "t";
const MEMBER: &str = "t0";

/// Two memories that are alike.
pub(crate) const TWINS: [&str; 2] = ["one", "two"];

/// The memories that stand before every input, and beside them `t0`, of the set `t`.
pub(crate) fn memories() -> [(&'static str, v1::MemorySpec); 5] {
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let lease_ttl = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
    [
        ("l", v1::MemorySpec { lease_ttl, ..pages(0, 1) }),
        (
            "m",
            v1::MemorySpec {
                shared: true,
                labels: labels(&[("env", "prod"), ("team", "a")]),
                ..pages(1, 4)
            },
        ),
        (
            "n",
            v1::MemorySpec {
                index_type: v1::IndexType::I64.into(),
                labels: labels(&[("env", "dev")]),
                ..pages(2, 8)
            },
        ),
        (TWINS[0], v1::MemorySpec { shared: true, ..pages(1, 1) }),
        (TWINS[1], v1::MemorySpec { shared: true, ..pages(1, 1) }),
    ]
}

/// A small daemon in which nothing happens by itself.
pub(crate) fn still() -> Config {
    let mut config = Config::default();
    config.grpc.listen = "127.0.0.1:0".parse().expect("an address");
    config.http.listen = config.grpc.listen;
    config.grpc.runtimes = Some(1);
    config.pool.threads = Some(1);
    config.memory.purge_at = None;
    config.memory.host_budget = Some(64 << 20);
    config.lease.sweep_interval = NEVER;
    config
}

fn config() -> Config {
    let mut config = still();
    // So few that who is behind loses some.
    config.events.ring = 4;
    // As little as there may be, so that an input can ask for more.
    config.grpc.max_read_bytes = PAGE_BYTES;
    config.grpc.max_write_bytes = 2 * PAGE_BYTES;
    config.requests.per_tenant = 16;
    let tenant =
        |name| Tenant { quota_bytes: Some(QUOTA_BYTES), memories: Some(16), ..Tenant::named(name) };
    config.tenants = vec![tenant("default"), tenant(GRANTEE)];
    // Never reached; but what it does is counted.
    config.tenants[1].quota.operations_per_second = Some(1 << 40);
    config
}

/// Limits of a connection, none of which ends it in the middle of a run.
fn limits() -> ConnectionLimits {
    ConnectionLimits {
        streams: 256,
        header_list_bytes: 16 << 10,
        preface_timeout: NEVER,
        header_timeout: NEVER,
        idle_timeout: NEVER,
        keepalive_interval: NEVER,
        keepalive_timeout: NEVER,
        tls_timeout: NEVER,
        certificate_age: NEVER,
        message_timeout: NEVER,
    }
}

/// The daemon's own user.
pub(crate) const OWN: Peer = Peer::User { uid: 0, is_own: true };

/// A stream of this peer's that the daemon serves as a connection of its own.
pub(crate) fn serving(
    server: &Arc<Server>,
    peer: Peer,
) -> (DuplexStream, impl Future<Output = ()> + Send + use<>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let most = MostConnections { in_all: u64::MAX, per_address: u64::MAX };
    let place = server.place(Origin::User(0), most).expect("a place");
    let set_mark: SetMark<DuplexStream> = Box::new(|_, _| true);
    let served = serve(far, set_mark, peer, Newcomer::new(server, place), limits());
    (near, served)
}

/// A client of this peer's.
pub(crate) async fn connect(server: &Arc<Server>, peer: Peer) -> SendRequest<Bytes> {
    let (near, served) = serving(server, peer);
    tokio::spawn(served);
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(8 << 20)
        .initial_connection_window_size(64 << 20)
        .max_frame_size(FRAME)
        .handshake(near)
        .await
        .expect("a handshake");
    tokio::spawn(async move {
        if let Err(ended) = connection.await {
            eprintln!("the connection ended: {ended:?}");
        }
    });
    client
}

/// The message of a unary answer.
fn one<M: Message + Default>(verdict: law::Verdict) -> Result<M, law::Refusal> {
    match verdict {
        law::Verdict::Done(messages) => {
            let message = messages.first().expect("one message");
            Ok(M::decode(message.as_slice()).expect("the response's type"))
        }
        law::Verdict::Refused(refusal) => Err(refusal),
        law::Verdict::Parked => panic!("nothing to wait for"),
    }
}

/// A head of a call.
fn request(rpc: &Rpc, headers: &[(&str, &[u8])]) -> Request<()> {
    let mut request = Request::post(format!("http://localhost{}", rpc.path))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).expect("a header's value");
        request = request.header(*name, value);
    }
    request.body(()).expect("a request")
}

/// What a message's header is long.
pub(crate) const HEADER: usize = 5;

/// A message with its header.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

fn put_in_place(bytes: &mut [u8], sign: &str, value: &str) {
    if sign.len() != value.len() {
        return;
    }
    let sign = sign.as_bytes();
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + sign.len()) {
        if window == sign {
            window.copy_from_slice(value.as_bytes());
            at += sign.len();
        } else {
            at += 1;
        }
    }
}

/// Whether this is OK.
pub(crate) fn is_ok(status: &Option<Status>) -> bool {
    status.as_ref().is_some_and(|status| status.code() == Code::Ok)
}
