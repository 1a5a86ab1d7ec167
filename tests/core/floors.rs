//! The floors below the wire, stood up without a daemon; [`block_on`], which waits on this thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Instant, SystemTime};

use linmemd::error::Failure;
use linmemd::memory::{Allocators, FixedAllocator, GuardKind, MmapAllocator};
use linmemd::model::{
    Allocator, Form, Growth, Guard, Id, IndexType, MemorySpec, Now, Owner, PartitionSpec,
    Presentation, TenantName,
};
use linmemd::os::failing::FailingKernel;
use linmemd::os::fault;
use linmemd::os::kernel::Kernel;
use linmemd::registry::{
    Account, EventSettings, Gate, KINDS, Limits, NamespaceLimits, Partition, Pool, Record,
    Registry, Settings,
};
use linmemd::rpc::ServingClock;
use linmemd::tenancy::{
    Access, Clock, EachMemory, Occasion, Peer, Shown, Target, TenantLimits, Tenants,
};
use linmemd::units::{ByteCount, WasmPages};

/// A page, as long as a vector is.
pub(crate) const PAGE: usize = 65_536;
/// Bytes that a tenant may be charged here and in `served.rs`.
pub(crate) const QUOTA_BYTES: u64 = 64 << 20;
/// Memories that a tenant may have at a time, here and there.
pub(crate) const MEMORIES: u32 = 3;
/// Address space that a tenant may reserve, here and there.
pub(crate) const RESERVED_BYTES: u64 = 16 << 40;

/// Slots of an arena here and in `served.rs`, and the pages of each.
pub(crate) const ARENA: (u32, u64) = (4, 6);

/// Bytes of a host that has enough.
const HOST_BYTES: u64 = 1 << 40;

/// The tenants there are; the first is whom all mean who name none.
pub(crate) const TENANTS: [&str; 3] = ["default", GRANTEE, "blue"];
/// The other tenant.
pub(crate) const GRANTEE: &str = "grantee";

pub(crate) struct Floors {
    pub(crate) kernel: Arc<FailingKernel>,
    /// What the host is charged for the arena, and what of it is mapped.
    arena: ([u64; KINDS], u64),
    pub(crate) registry: Arc<Registry>,
    pub(crate) access: Access,
    tenants: Tenants,
}

impl Floors {
    /// With slabs, where this kernel can have them.
    pub(crate) fn new() -> Self {
        Self::with(|kernel| MmapAllocator::new(kernel).0, HOST_BYTES, false)
    }

    /// The same, and an arena of [`ARENA`], where this host lets one be locked.
    pub(crate) fn with_arena() -> Self {
        Self::with(|kernel| MmapAllocator::new(kernel).0, HOST_BYTES, true)
    }

    /// With a reservation for every memory.
    pub(crate) fn dedicated() -> Self {
        Self::on(HOST_BYTES)
    }

    /// The same on a host with so many bytes.
    pub(crate) fn on(host_bytes: u64) -> Self {
        Self::with(MmapAllocator::dedicated, host_bytes, false)
    }

    fn with(
        allocator: impl FnOnce(Arc<dyn Kernel>) -> MmapAllocator,
        host_bytes: u64,
        has_arena: bool,
    ) -> Self {
        fault::install().unwrap();
        let kernel = Arc::new(FailingKernel::new());
        let settings = Settings {
            host_page: ByteCount::new(4096),
            default_maximum: pages(4096),
            inline: ByteCount::new(256 << 10),
            slice: ByteCount::new(1 << 20),
            queued_grows: 16,
            request_id_window: std::time::Duration::from_secs(600),
            request_ids: 65_536,
            events: EventSettings::NONE,
        };
        let account = Limits {
            bytes: QUOTA_BYTES,
            mappings: 1 << 16,
            reserved_bytes: RESERVED_BYTES,
            memories: u64::from(MEMORIES),
            ..Limits::NONE
        };
        let host = Limits {
            bytes: host_bytes,
            mappings: 1 << 20,
            reserved_bytes: 1 << 46,
            ..Limits::NONE
        };
        let mmap = allocator(Arc::<FailingKernel>::clone(&kernel));
        let before = kernel.mapped_bytes().get();
        let (slots, slot) = (ARENA.0, pages(ARENA.1));
        let arrange = || FixedAllocator::arrange(Arc::<FailingKernel>::clone(&kernel), slots, slot);
        let fixed = if has_arena { arrange().ok() } else { None };
        let host = Account::new(host);
        if fixed.is_some() {
            host.pay_for_good(&FixedAllocator::whole(slots, slot)).unwrap();
        }
        let arena =
            (host.holdings().map(|holding| holding.used), kernel.mapped_bytes().get() - before);
        let allocator =
            Box::new(Allocators::new(mmap, Arc::<FailingKernel>::clone(&kernel), fixed));
        let pool = Pool::start(2, |_| ()).unwrap();
        let registry = Registry::new(settings, host, allocator, pool, now());
        let namespace = NamespaceLimits { account, waiters: 8, ..NamespaceLimits::NONE };
        let limits = TenantLimits { namespace, ..TenantLimits::NONE };
        let tenants = Tenants::new(
            TENANTS.map(|name| (TenantName::new(name).unwrap(), limits)).to_vec(),
            8,
            Arc::clone(&registry),
            Arc::new(EachMemory::new(0)),
            &(Arc::new(ServingClock) as Arc<dyn Clock>),
        );
        let access = tenants.access(Shown::by(&Peer::Anonymous), SystemTime::now()).unwrap();
        Self { kernel, arena, registry, access, tenants }
    }

    /// The door to one of [`TENANTS`].
    pub(crate) fn access_of(&self, name: &str) -> Access {
        let shown = Shown { tenant: Some(name.as_bytes()), ..Shown::by(&Peer::Anonymous) };
        self.tenants.access(shown, SystemTime::now()).unwrap()
    }

    /// What the host is charged beside the arena, kind by kind.
    pub(crate) fn host_charged(&self) -> [u64; KINDS] {
        let mut host = self.registry.host.holdings().map(|holding| holding.used);
        for (used, arena) in host.iter_mut().zip(self.arena.0) {
            *used -= arena;
        }
        host
    }

    pub(crate) fn has_slabs(&self) -> bool {
        self.registry.allocator.guard_kind() == GuardKind::GuardInstall
    }

    pub(crate) fn create_partition(
        &self,
        id: &str,
        spec: PartitionSpec,
    ) -> Result<Arc<Partition>, Failure> {
        let id = Id::new(id).unwrap();
        block_on(self.registry.create_partition(0, Some(id), spec, now(), &Gate::new()))
    }

    pub(crate) fn delete_partition(&self, id: &str) -> Result<(), Failure> {
        block_on(self.registry.delete_partition(0, &Id::new(id).unwrap(), &Gate::new()))
    }

    /// Whether a memory of this form is in a slab: it costs no mapping then.
    pub(crate) fn lives_in_a_slab(&self, form: &Form) -> bool {
        self.create_in("m", 1, form.clone()).unwrap();
        let [_, _, mappings, ..] = self.charged();
        self.delete("m").unwrap();
        mappings == 0
    }

    /// What the tenant and the host are charged, kind by kind; they must agree.
    pub(crate) fn charged(&self) -> [u64; KINDS] {
        let used = |account: &Account| account.holdings().map(|holding| holding.used);
        let tenant = used(&self.access.tenant().namespace.account);
        let host = self.host_charged();
        // A slot's bytes, mappings and address space were paid with the arena.
        assert!(tenant == host || self.has_arena(), "tenant {tenant:?} and host {host:?}");
        assert_eq!(tenant[1], host[1], "overhead of tenant and host");
        assert!(host.iter().zip(tenant).all(|(host, tenant)| *host <= tenant));
        tenant
    }

    pub(crate) fn has_arena(&self) -> bool {
        self.arena.1 > 0
    }

    /// That nothing is left of anything.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.charged(), [0; KINDS]);
        // Slabs stay mapped, by 16 GiB of address space; all else is gone.
        let mapped = self.kernel.mapped_bytes().get() - self.arena.1;
        assert!(mapped.is_multiple_of(16 << 30));
        assert!(self.has_slabs() || mapped == 0);
        assert_eq!(self.access.tenant().namespace.size_bytes(), 0);
        assert_eq!(self.registry.quarantined_memories(), 0);
        assert!(self.registry.quarantined_ranges().is_empty());
    }

    pub(crate) fn create(
        &self,
        id: &str,
        initial: u64,
    ) -> Result<Arc<Record>, linmemd::error::Failure> {
        self.create_in(id, initial, Form::default())
    }

    pub(crate) fn create_in(
        &self,
        id: &str,
        initial: u64,
        form: Form,
    ) -> Result<Arc<Record>, linmemd::error::Failure> {
        let id = Some(Id::new(id).unwrap());
        let heap = form.allocator == Allocator::Heap;
        let guard = if heap { Guard::NONE } else { Guard::default() };
        let spec = MemorySpec { guard, form: form.shared(), ..spec(initial) };
        block_on(self.access.create(&occasion(), id, spec, None))
    }

    pub(crate) fn write(
        &self,
        id: &str,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<(), linmemd::error::Failure> {
        block_on(self.access.write(
            &occasion(),
            target(id),
            offset,
            bytes::Bytes::from(data).into(),
        ))
    }

    pub(crate) fn read(
        &self,
        id: &str,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, linmemd::error::Failure> {
        block_on(self.access.read(&occasion(), target(id), offset, length, |_| Ok(Vec::new())))
    }

    pub(crate) fn grow(&self, id: &str, delta: u64) -> Result<(u64, u64), linmemd::error::Failure> {
        let grown = block_on(self.access.grow(&occasion(), target(id), delta, None, None, |_| ()))?;
        Ok((grown.previous.get(), grown.current.get()))
    }

    pub(crate) fn delete(&self, id: &str) -> Result<(), linmemd::error::Failure> {
        block_on(self.access.delete(&occasion(), target(id), Default::default(), |_| ()))
    }

    pub(crate) fn sweep(&self) {
        self.registry.sweep(now(), |_record| ());
    }
}

/// A plain memory that may grow to 16 pages.
pub(crate) fn spec(initial: u64) -> MemorySpec {
    MemorySpec {
        initial: pages(initial),
        maximum: Some(pages(16)),
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form::usual(),
        owner: Owner::Tenant,
        presentation: Presentation::default(),
        segments: Vec::new(),
    }
}

pub(crate) fn pages(count: u64) -> WasmPages {
    WasmPages::new(count).unwrap()
}

pub(crate) fn target(id: &str) -> Target<'_> {
    Target { id, uid: None }
}

pub(crate) fn occasion() -> Occasion {
    Occasion { now: now(), gate: Gate::new() }
}

pub(crate) fn now() -> Now {
    Now { steady: Instant::now(), wall: SystemTime::now() }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread, without a runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A partition of so many bytes, at the least and at most.
pub(crate) fn partition_of(minimum: u64, maximum: u64) -> PartitionSpec {
    PartitionSpec::new(ByteCount::new(minimum), ByteCount::new(maximum))
}
