//! linmemd serves sandboxed linear memories over gRPC. This is its architecture.
//!
//! ```text
//!            clients                    Prometheus              signals
//!               │ gRPC                      │ HTTP                  │
//! 5 daemon   acceptor, serving threads     http       tick        run      composes, listens, ends
//!               │                           │          │
//! 4 rpc      front → messages → service → reply        │         the wire: framing, limits, status
//!               │                                      │
//! 3 tenancy  Tenants → Access      Hooks               │         who may do what
//!               │                                      │
//! 2 registry Namespace → Record → Lifecycle   Ledger  Pool       which memories exist, locks, cost
//!               │                                      │
//! 1 memory   LinearMemory: Layout, Plan → apply → access         bytes, one memory at a time
//!               │                                      │
//! 0 os       Reservation      copy, fault     the kernel's seam  every system call
//!   ground   units, model, error
//! ```
//!
//! A floor uses only floors below it; `tests/house.rs` reads every `crate::` path and fails on an
//! upward one. Beside the floors stand [`config`] (seen by daemon only), [`proto`] (rpc and client),
//! [`metrics`] (every family), [`checksum`] (of streams, and of stored pages), [`token`] (what a bearer shows) and [`client`] (what the
//! command line, tests and benches share).
//!
//! # The life of a write
//!
//! 1. `daemon/accept.rs` has dealt the connection to a serving thread; `rpc/connection.rs` speaks
//!    HTTP/2 with it. `rpc/front.rs` makes a call of the request: id, tenant, a place among the
//!    tenant's running calls, a deadline.
//! 2. `rpc/message.rs` reads the five bytes of the message's header, judges its length, charges the
//!    in-flight budgets, and only then takes the bytes.
//! 3. [`tenancy::Access::write`] finds the record among the tenant's own and checks the range
//!    against the published size, before any lock.
//! 4. The registry takes the memory's lock by try; on contention the task queues, in order. Up to
//!    256 KiB it goes on at once; beyond that it is a pool job, which queues for the lock itself.
//! 5. [`memory::Plan`] says what will change; `memory/apply.rs` carries it out, noting first what it
//!    touches; `memory/access.rs` calls the copy routine of `os/copy.rs`, which answers a host fault
//!    with a count instead of a signal.
//! 6. Counters, reply, and the drop of every guard.
//!
//! # The life of a destroy
//!
//! 1. `registry/operations/delete.rs` waits for the growth ticket and then the lock, in order of
//!    arrival: everything before it has drained, nothing has happened yet.
//! 2. A pool job passes the call's [`registry::Gate`]: from here it runs to its end, whoever waits.
//!    The state is GONE, the name free, and whoever still queues finds no memory.
//! 3. Touched pages are wiped in slices, the address space given back, then the [`registry::Charge`]
//!    dropped. What the kernel refuses stays charged, is listed, and is tried again by the sweep.
//!
//! # Laws
//!
//! 1. Bytes move in one place (`memory/access.rs`), and no reference ever points into a memory.
//! 2. A mutation is a plan before it is an act, and has one execution (`memory/apply.rs`).
//! 3. Address space is reserved once and a memory never moves (all but the heap's, which is frozen and
//!    drained for it); its size is published last.
//! 4. Bounds are checked by software in 64 bits, before any lock, copy or allocation; guards are the
//!    second line.
//! 5. What a memory costs is paid first ([`registry::Charge`]) and given back by `Drop`.
//! 6. Locks are taken by try and waited for by tasks; a guard is a value that can move into a job.
//!    The order stands at the top of `registry/mod.rs`.
//! 7. A serving thread never waits for the kernel and never works for long.
//! 8. Failures are one closed enum ([`error::Failure`]); `rpc/status.rs` alone makes gRPC of it. A
//!    panic is INTERNAL_FAULT, counted, and quarantines what it held.
//! 9. Hot paths format nothing, look up no metric by name, and allocate the reply's bytes only.
//! 10. One state word a memory, and freeze-and-drain is the only way to its end.
//! 11. What cannot be had is refused by name or reported, never silently less.
//!
//! # Decisions where the contract is silent
//!
//! - The server's side of gRPC framing is written here (`rpc/message.rs`, `rpc/reply.rs`) and not
//!   generated: the generated one reserves a message's announced length before a byte of it came,
//!   has no place for a limit on all bytes in flight, and copies a reply twice.
//! - The lock of one memory is in `memory/lock.rs`, because a lock that hands out its value needs
//!   unsafe code, which the registry does without.
//! - A spec without a maximum and with more initial pages than the default gets its initial size as
//!   its maximum. A guard is rounded up to the host page. Compressed messages are refused as
//!   CAPABILITY_UNAVAILABLE.
//! - A memory file of base pages is allocated in advance only where populate asks for it: the
//!   kernel's own mount for such files has no size limit that a touch could run into. Files of huge
//!   pages always are.
//! - Nodes are observed by a page query of the memory's own pages, and huge pages by PAGEMAP_SCAN of
//!   its range; `numa_maps` and `smaps` would walk every other memory as well.
//! - A growth on the heap is charged for both blocks until the old one is gone, so one may be refused
//!   whose outcome would fit: the budget is never passed, not for a moment.
//! - A growth on the heap owns the memory's lock, the one protocol that also ends a memory; so in the
//!   daemon [`memory::SharedMemory`]'s own count of users refuses nobody. It makes the type sound by
//!   itself, as [`memory::ExclusiveMemory`]'s `&mut self` does.
//! - What has ended is a [`memory::LinearMemory`], whatever it was: wipe, release and quarantine are one.
//! - The process's heap is not the daemon's to advise: heap memories are in the address space of
//!   children and in core dumps, if there were any, and no mapping or address space is set aside for
//!   them; one mapping is charged for the block.
//! - The arena of fixed memories is charged to the host at start and for good; what a tenant uses of it
//!   is charged to the tenant, and its record to both. A `maximum_pages` past the slot is the slot's in
//!   the effective spec. The kernel's account of what is locked is that of `/proc/self/smaps`, read once.
//! - The smallest kind in `huge_pages` is the minimum size of a huge page.
//! - An etag is made of a memory's uid and the version of what is said of it; nothing is stored.
//! - A list answers with a short page, or an empty one, and a token where it has looked for about a
//!   millisecond, and a page of memories where it is about 1 MiB long.
//! - A memory whose lease has run out does not exist from that moment; the sweep gives it back.
//! - `vmas` is what the ledger charged and the daemon had at start: counting them would walk the
//!   kernel's list of mappings at every scrape.
//! - What was purged is refused to every operation that touches it, discards included, until
//!   NONVOLATILE; VOLATILE again makes a range young and leaves gone what is gone. A protection says
//!   what clients may do and is nothing to a purge. Pages come one by one from the front of the oldest
//!   range, and nothing is purged where that gives no RAM back. A memory in use is passed over.
//! - Want of memory is looked for the sooner the nearer a limit: without swap the kernel kills at the limit
//!   and does not tell before. A charge outlives a purge, as it does a discard, so the host can be short
//!   only where others use it too or `memory.overcommit` lets tenants have more than there is.
//! - Where it is short it goes up a ladder (`daemon/ladder.rs` judges, `registry/overload.rs` refuses). Pages
//!   in advance are a promise of the spec: while they are not to be had, who asks for them is OVERLOADED and
//!   may ask without. What has its RAM already is refused at no step but as a call; a partition is lent
//!   nothing. A repeat of what was done is answered. The ledger refuses nothing below the budget.
//! - While calls are shed the daemon is not ready and its health NOT_SERVING, but for AdminService's; before
//!   that it is ready and says the step: who is sent nobody has nobody give anything back.
//! - Files of control groups of version 1 do not tell by themselves and are read at each look.
//! - A partition's minimum and maximum count committed bytes and overhead together, as every quota
//!   does, so that a minimum holds whatever the host's budget has left. To the host all of a
//!   partition's bytes are committed ones; mappings and address space are the host's and not promised.
//! - Memories of a partition with a minimum have their pages from create and growth on, in mappings of
//!   their own, and are locked whole where the partition is: what is set aside is what the ledger says
//!   of the partition, and no memory is half of it. Ballast is given back just before a memory takes
//!   its pages: in that moment another process may take them, and the create is then refused.
//! - A partition that something lives in is not deleted: PROTECTED, the one reason of
//!   FAILED_PRECONDITION and AFTER_CHANGE that says so. A full one is QUOTA_EXCEEDED and tells its
//!   maximum, not what others use of it.
//! - Partitions made by RPC end with the daemon; those of the config are there at every start.
//! - VerifyMemory answers OK with a report whatever it finds, and quarantines what is corrupted; a
//!   read or write that meets corruption is CORRUPTED. Placement that is not as promised is told and
//!   quarantines nothing: an operator may move pages.
//! - Verification OFF keeps and checks nothing of itself; VerifyMemory then checks lengths and
//!   structure, as for STANDARD. SAMPLING's sixteenths are fixed by page number (a hash), so that any
//!   16 calls that end cover every page; a call that was called off does not count.
//! - Checksums are charged as overhead by the size, 8 bytes a host page in leaves of 512, and more
//!   with each growth. A page that was never written has none and must be zero. Pages that a tenant
//!   has made PROTECTION_NONE are not read by VerifyMemory, and counted.
//! - A write of part of a page verifies the page first, under SAMPLING too, and its new checksum is
//!   made of the verified copy and the sources. REDUNDANT keeps checksums as well: they tell which
//!   copy is bad. Nothing is repaired.
//! - What a purge or a discard took is known as never written. A REDUNDANT memory is purged in both
//!   copies, and what went back to the host counts both; where the host takes the memory's own and not
//!   the shadow's, that is zeroed by stores.
//! - Heap memories have no checksums (a move would have to carry them), fixed ones no second copy, and
//!   tagged ones neither. A guards check passes beside a fixed slot's open rest and says so.
//! - A heap growth that is called off in the middle of its copy is answered at once; what was copied
//!   is wiped on the pool, and its charge comes back after that.
//! - A group's compares are of the memory as it was before the group, wherever they stand in it: so all
//!   that can fail is known before the first effect, and nothing need be undone.
//! - A packed group's addresses are effective ones; its numbers are as wide as their type, operands and
//!   results alike, and offsets in operands are 8 bytes. A list's atomics answer 64 bits. `expected` of a
//!   cmpxchg is compared in full, as the threads proposal says.
//! - A group of many ranges counts each of them; a copy counts two accesses, its source and its
//!   destination; one that reads and stores a number counts one, as a write.
//! - A group with a request id is remembered by its results, 1,024 bytes at most.
//! - A caller that shows something goes by it, even where nothing is asked: what cannot be checked is
//!   refused, not passed over. A certificate that names two mapped identities is refused as one that
//!   names none.
//! - An operator that names another tenant has the role operator there and no other: it sees which
//!   memories there are (Get, List), and is refused their bytes, their events and their hooks.
//! - A reader may send groups that only read, and attaches memories for reading; `writer` includes
//!   `reader`, and no other role includes one.
//! - TLS sessions are not resumed: a resumed one would not be asked for its certificate again. Revocation
//!   lists are asked about the client's own certificate; one whose authority has no list is refused.
//! - The HTTP listener asks who scrapes once anybody has the role `metrics`, and asks for tokens only.
//! - A share has one name at most and one end: revoked by either of its two, run out, or its memory gone;
//!   then the name is free, what was under way by it says GRANT_REVOKED (MEMORY_NOT_FOUND with the memory)
//!   and RevokeShare answers when none of it is left. A grantee gives a share up by revoking it.
//! - What a share does not give is GRANT_READ_ONLY, whichever it gives: the one word for a grant that does
//!   not reach so far. To notify is to write; a view is a read. [`tenancy::Access::find`] knows a tenant's own
//!   memories only, so that an operation is its owner's unless it asks for more by `reach`.
//! - A grantee is shown the memory, its spec and its statistics, not what its owner calls it: no name, labels,
//!   lease, etag or partition. Its events are the owner's; a grantee is told of its share's only.
//! - Any name that a tenant may have can be given a share: which tenants there are is not to be learnt.
//!   What a tenant received is on its owners' accounts and not on its own until it mounts it.
//! - Who locks two of its own memories locks the one of the smaller uid first. A copy that has another
//!   tenant's in it holds neither while it waits for the other: where both are always busy it may be
//!   overtaken, and nobody is kept out by it meanwhile.
//! - In a session a group that is not atomic is as many groups of one operation; of those that fail a
//!   packed result has zeros. A wait that is cancelled ends as WAIT_OUTCOME_CANCELLED.
//! - A wait is looked at in the order of the threads proposal's own interpreter: alignment, shared, size.
//!   It is no access to be counted: its bytes are compared and go nowhere.
//! - Of a wake and the end of a wait's time that come together, the wake wins. A wake whose waiter goes
//!   away before it heard of it passes on to the next of those who waited when the notify came: the
//!   count is of waits ended, and a waiter that went just before would not have been counted either.
//!   With none left it is gone; once the answer is on its way it is the client's.
//! - A parked call gives its place among the tenant's running ones back and is counted among
//!   `waiters_per_tenant`, not charged: what it costs is what any open call costs. A drain ends it at
//!   once. NotifyAddress of a quarantined memory is QUARANTINED.
//! - A tenant's events are kept from its first one on, watched or not, so that a watcher can begin with
//!   those before it. They are paid for in steps of 16 KiB that the ring then keeps, up to a sixty-fourth
//!   of the tenant's quota: who never watches must not feel them. Where there is no more, the oldest go.
//! - What an event says comes true under the lock of the ring, and names come and go under the lock of
//!   their order around it. A snapshot is read in pages under both, each with the sequence of its moment;
//!   before the end mark come those later events that their memory's page does not show. So each change
//!   is told once, whatever comes and goes meanwhile, and nothing is held for longer than a page.
//! - The snapshot's memories are told whatever kinds were asked for. A watch is resumed or has a
//!   snapshot, not both. Of another run of the daemon every sequence is compacted.
//! - grow_failed is told of every growth that grow_failure_count counts, after its ticket: a failure has
//!   no effect to be in order with. After expired nothing is told of a memory, though what runs ends.
//! - A reload refuses a config that differs in what needs a restart; it does not take the rest. What is
//!   refused is INVALID_SPEC on `config`, a mistake a line, cut where clients' limits are; the log has all.
//!   An answer tells 1,000 changes at most. validate_only moves no metric, and neither does a reload that
//!   was refused for the drain or a deadline. Signals that come together are one reload.
//! - The config's hash is of all values in force by their keys, tables by their names: neither order nor
//!   layer is in it. Check-config's is of the file alone.
//! - All files are read by one thread, the tick: the config, TLS, key sets. It also puts them in force.
//! - What a tenant has that keeps it from vanishing is memories and segments; request ids, events and its
//!   own hooks go with it. Its series are left out of the page, and go on if it comes back.
//! - A lowered maximum_pages is for memories to come; a lowered count (waiters, sessions, calls, bytes in
//!   flight) refuses more until it is below.
//! - All of a closed tenant's callers are CREDENTIALS_REFUSED, an operator among its own identities too, and
//!   whoever is asked nothing; other tenants' operators see which memories there are, and so does the
//!   Unix socket's operator. Leases go on running out. Calls that run end by themselves. What it gave
//!   others a share of they go on using: a share's right is its giving, not its giver's credentials, and
//!   closing takes back nothing that could not be given again. Leaving a tenant out ends all of its shares.
//! - A hook of the config that a reload changes is another one: its streams end, and what it was asked goes
//!   on without it. One that is the same keeps them. A tenant's own of the same name refuses the reload, however many it has does not.
//! - A drain does not wait for watches. A watch holds 16 KiB of the in-flight budgets and a place among
//!   its tenant's running calls for as long as it is open.
//! - Our client takes up a lost watch with the first event that it has not given out. What is compacted
//!   it tells, and goes on with the oldest that there is, or with a new snapshot where one was asked for.
//! - A partition without a list of tenants has that of the nearest one above it that has one.
//! - A put of a segment is a create, by the same bytes too; its request_id makes repeats safe. A dropped
//!   segment's name is free, where a module would see a segment of length 0; it stays paid until nobody
//!   is putting it into a memory. A part outside the segment is a trap of the memory, as one outside the
//!   memory is, and OUT_OF_BOUNDS names the segment.
//! - Active segments are no accesses, and an effective spec shows where they were and how long.
//! - A memory set's members are used one by one. One that ends by itself keeps its place, and is shown as
//!   gone; a memory made anew under its name is no member. The names of a set and of its members come and
//!   go in one moment; its memories are drained and given back one after the other.
//! - A view keeps the bytes that it showed last and compares: a change is told whatever the checksums.
//!   Who may have missed an answer says the version that it has. Once the memory is gone RefreshView
//!   answers MEMORY_NOT_FOUND, which says why, and the view waits for its close or its lease's end.
//! - Statistics that are reset are a memory's own; counters in metrics, those of each memory among them,
//!   go on. The last access is told as one access had it; one of 16 MiB or past 1 TiB is kept aside.
//! - A growth waits for its deciders with the growth ticket and its charge, so that size, maximum and what
//!   was expected stay true; life and lease are looked at again. A deletion queues behind it, as behind
//!   any growth: for a hook's answer_timeout at most, and as long for each growth that queued before it.
//! - A creation is a growth from 0 pages to policies and hooks alike; one without pages asks nobody.
//! - A hook that is deleted has no say in what it was being asked. One that the config makes is PROTECTED.
//! - Questions of one hook go to the stream with the fewest open, in turn among equals; those of a stream
//!   that ends are asked again on another, within the same time. Question numbers are a stream's own.
//! - Post: whoever allowed a growth is told on its stream whether it happened (`told`).
//! - A policy of the config denies as DENIED by `policy:` and its key. Its rate is a bucket of one second;
//!   a growth of more goes on when that is full and is paid off before the next. A tenant's own value
//!   goes before the daemon's.
//! - During a drain AnswerGrowHook stays until it owes no answer, then ends as DRAINING.
//! - STALLED is told to who does not send the whole of a message; who takes nothing cannot be told. Both
//!   times are longer by a second for every 64 KiB, so that a slow peer is none that stands still.
//! - A reply of 4 KiB and more is in the in-flight budgets until the socket has it, and so is every other while
//!   the socket takes none. One that says what has been done is taken on whatever the budgets, and the next
//!   ones are refused for it; a session's group waits for the room that its results need before it begins.
//! - A download is read one message ahead of its taker while half of the budget is free, else none.
//! - A peer's frames are worth what they bring: resets, pings and their like are paid for out of a credit
//!   that calls earn (`rpc/manners.rs`). It is slowed first, so that an honest client's burst is not ended.
//! - A signature that is verified in vain costs its connection what a TLS handshake costs its address, and a
//!   stranger's its address or tenant too, which is answered OVERLOADED, unverified, while it owes much. Whose
//!   token has run out was somebody: a fleet of them is told so (`rpc/verdicts.rs`).
//! - Of a serving thread who comes with little is served as it comes, and who comes with much stands in a
//!   line, a tenant beside the other (`rpc/turns.rs`). Before its first call a connection is its address's.
//! - A connection counts for each tenant that it has called for, until it ends or what was shown for that
//!   tenant lets nobody in to it any more: noticed soon where it was a token, certificate or user, and of a
//!   signed token when it runs out or at the next call. Calls that are refused, and those of health and
//!   reflection where nobody who may call is known, keep no connection from being idle.
//! - An address of IPv6 stands for its network of 64 bits. Loopback's addresses are counted as any.
//! - What the daemon gives up (`daemon/confinement.rs`) it gives up at one point: when it listens and has
//!   asked to be told of pressure, and before its first thread, for capabilities, Landlock and seccomp are
//!   a thread's own. Its system calls are told apart by roles (`os/confine/roles.rs`); an abort or a
//!   signal sent to itself is not among them, and ends it as SIGSYS.
//! - A measure that is had in part counts as had where it is required. CAP_IPC_LOCK is kept, for clients may
//!   ask for locked memories at any time.
//! - Landlock's rules are about inodes, which `/proc` makes anew: those files are held open for good.
//! - A config mounted read-only may be anybody's: in a container users are others. A socket's folder of its
//!   own stays when the daemon ends.
//! - An operation of a rate is a call, each further range that it accesses, and each message of a stream,
//!   so that a flood of calls that access nothing is bounded, too; bytes are what `access_bytes_total`
//!   counts but discards (who gives RAM back is not to wait for it), and those of segments. What was let in
//!   counts, whatever comes of it: else bad requests were free. Calls that are the host's business count
//!   for nobody. A gauge of a rate tells what of the burst is not there, and what is owed.
//! - A call needs what it takes, of more than the burst all of that, and owes the rest. A message of a stream
//!   needs something left and owes the rest: it waits no longer than others, and a tenant's own calls do not
//!   starve its streams. A session's message is not read before; an upload's waits with its bytes in flight.
//! - A limit that is replaced holds from the next look at it; each is one word, so a call may see one old
//!   and another new. A rate that is replaced leaves what is owed as the time that it was.
//! - What is locked or of huge pages is all of a memory's committed bytes or none; slots of the arena are the
//!   host's and in no such quota. All that is in a partition is of one kind, so that its maximum bounds these.
//! - Events and request ids that are kept give way to what is asked for now, the oldest first and no more
//!   than are needed: a delete makes room for a create of the same size, whatever it left behind.
//! - A memory of a connection is as expired from the moment that ends, and told as deleted; what runs on
//!   it ends first. The connection is the HTTP/2 one: a client of several ties it to the one that its create
//!   took. A repeat of the create over another connection does not tie it anew.
//! - Fuzzing goes in by [`rpc::serve`], over a pipe in memory: no door is opened for it, and the product
//!   is compiled otherwise for it only in that the fuzzer hears of branches.
//! - A status that the client did not get from us (no ErrorInfo) promises nothing; the client's
//!   retries follow the failure's retry word (`client/retry.rs`).

pub mod checksum;
pub mod client;
pub mod config;
pub mod daemon;
pub mod error;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod os;
pub mod proto;
pub mod registry;
pub mod rpc;
pub mod tenancy;
pub mod token;
pub mod units;
