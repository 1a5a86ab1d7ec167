//! What is done, and what comes of it, in words that the model and every door share.

use linmemd::os::kernel::{Kernel, Linux};
use linmemd::units::PAGE_BYTES;
use proptest::prelude::*;

/// Names there are; one more than memories may exist at a time.
const NAMES: u8 = 4;

/// An operation with its place still relative to the memory's size.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Deed(Deed),
    Access { name: u8, place: Place, length: u64, kind: Access },
}

/// Where an access begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// So many 65,536ths of the size.
    Part(u16),
    /// Ends so far before (negative: past) the size.
    End(i64),
    /// So far before 2^64.
    Top(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Read,
    Write(u8),
    Fill(u8),
    Discard,
    /// From a segment of that seed and length, from there on.
    Init(u8, u64, u64),
    Volatile(bool),
    Upload(u8, u64),
    Download(u64),
    Wait(Comparison),
    Notify,
}

/// What a wait expects of the bytes that are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) is_wide: bool,
    pub(super) is_aligned: bool,
    pub(super) is_equal: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    Create {
        name: u8,
        spec: Spec,
    },
    Grow {
        name: u8,
        delta: u64,
        expected: Option<u64>,
    },
    Read {
        name: u8,
        offset: u64,
        length: u64,
    },
    Write {
        name: u8,
        offset: u64,
        data: Vec<u8>,
    },
    Fill {
        name: u8,
        offset: u64,
        length: u64,
        value: u8,
    },
    Discard {
        name: u8,
        offset: u64,
        length: u64,
    },
    Init {
        name: u8,
        offset: u64,
        segment: Vec<u8>,
        source: u64,
        length: u64,
    },
    Upload {
        name: u8,
        offset: u64,
        chunks: Vec<Vec<u8>>,
    },
    Download {
        name: u8,
        offset: u64,
        length: u64,
        chunk: u64,
    },
    Rename {
        name: u8,
        display_name: String,
    },
    Get {
        name: u8,
    },
    Reset {
        name: u8,
    },
    List,
    Verify {
        name: u8,
    },
    /// Compares, and waits no longer than that.
    Wait {
        name: u8,
        address: u64,
        width: u8,
        expected: u64,
    },
    Notify {
        name: u8,
        address: u64,
    },
    Delete {
        name: u8,
    },
    Volatile {
        name: u8,
        offset: u64,
        length: u64,
        may_go: bool,
    },
    /// Everything that may go goes.
    Purge,
}

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) initial: u64,
    pub(super) maximum: Option<u64>,
    pub(super) is_64: bool,
    pub(super) may_grow: bool,
    pub(super) guard: (Option<u64>, Option<u64>),
    pub(super) form: Form,
    /// Offset and bytes of each active segment.
    pub(super) segments: Vec<(u64, Vec<u8>)>,
}

/// What is asked of the host: forms that every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Usual,
    /// In a memory file.
    Memfd,
    /// With the address space of 32-bit code.
    Wasm32Full,
    /// With its pages taken in advance.
    Initial,
    OnGrow,
    Maximum,
    /// In a memory file, with all its pages taken in advance.
    MemfdMaximum,
    /// On the heap, for one at a time.
    Heap,
    /// On the heap, for many at a time.
    HeapShared,
    /// Shared, and otherwise as most are.
    Shared,
    /// In a slot of the fixed arena.
    Fixed,
    /// In a partition, [`POOL`], out of its minimum and beyond.
    Partition,
    /// With checksums of its pages.
    Full,
    /// With a second copy of every byte.
    Redundant,
}

impl Form {
    pub(super) fn is_heap(self) -> bool {
        matches!(self, Self::Heap | Self::HeapShared)
    }

    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::HeapShared)
    }
}

/// The partition that doors have.
pub(super) const POOL: &str = "pool";

/// What is set aside for it: a few pages, where this process may lock them.
pub(super) fn pool_bytes() -> u64 {
    if Linux.lock_limit() >= 4 << 20 { 4 * PAGE_BYTES } else { 0 }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Bytes(Vec<u8>),
    WasPurged(bool),
    Purged(u64),
    /// Whether the bytes were the expected ones.
    Waited(bool),
    Woken(u32),
    Grown(u64, u64),
    Seen(Seen),
    Listed(Vec<Seen>),
    /// The reason, and the size where it says so.
    Refused(String, Option<u64>),
}

impl Deed {
    /// The same on a host that has no arena.
    pub(super) fn without_arena(mut self) -> Self {
        if let Self::Create { spec, .. } = &mut self
            && spec.form == Form::Fixed
        {
            spec.form = Form::Usual;
        }
        self
    }

    pub(super) fn delete_every_name() -> impl Iterator<Item = Self> {
        (0..NAMES).map(|name| Self::Delete { name })
    }
}

/// What Get and List show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) size_pages: u64,
    pub(super) maximum_pages: u64,
    pub(super) read_count: u64,
    pub(super) write_count: u64,
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) grow_count: u64,
    pub(super) grow_failure_count: u64,
    pub(super) trap_count: u64,
    pub(super) largest_access_bytes: u64,
    pub(super) last_access: Option<(u64, u64)>,
    pub(super) distinct_regions: u32,
}

pub(super) fn name(number: u8) -> String {
    format!("m{number}")
}

/// Bytes that differ by place and by seed.
pub(super) fn pattern(seed: u8, length: u64) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}

fn spec() -> impl Strategy<Value = Spec> {
    let guard = || {
        prop_oneof![
            4 => Just(None),
            2 => Just(Some(0)),
            1 => Just(Some(1)),
            1 => Just(Some(1 << 32)),
            1 => Just(Some(u64::MAX - 4095)),
        ]
    };
    (
        prop_oneof![6 => 0..6u64, 1 => Just(65_537)],
        prop_oneof![
            4 => Just(None),
            4 => (0..12u64).prop_map(Some),
            1 => prop_oneof![Just(65_536), Just(65_537), Just(1 << 20), Just(1 << 47)].prop_map(Some),
        ],
        any::<bool>(),
        prop::bool::weighted(0.8),
        (guard(), guard()),
        form(),
        segments(),
    )
        .prop_map(|(initial, maximum, is_64, may_grow, guard, form, segments)| Spec {
            initial,
            maximum,
            is_64,
            may_grow,
            guard,
            form,
            segments,
        })
}

/// Mostly within a page or two.
fn segments() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let offset = prop_oneof![8 => 0..70_000u64, 1 => Just(65_536), 1 => Just(u64::MAX)];
    let data = (any::<u8>(), prop_oneof![1 => Just(0), 4 => 1..9_000u64])
        .prop_map(|(seed, length)| pattern(seed, length));
    prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec((offset, data), 1..4),
    ]
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        6 => Just(Form::Usual),
        2 => Just(Form::Memfd),
        1 => Just(Form::Wasm32Full),
        1 => Just(Form::Initial),
        1 => Just(Form::OnGrow),
        1 => Just(Form::Maximum),
        1 => Just(Form::MemfdMaximum),
        2 => Just(Form::Heap),
        2 => Just(Form::HeapShared),
        2 => Just(Form::Shared),
        2 => Just(Form::Fixed),
        2 => Just(Form::Partition),
        2 => Just(Form::Full),
        2 => Just(Form::Redundant),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        4 => any::<u16>().prop_map(Place::Part),
        4 => (-2..3i64).prop_map(Place::End),
        1 => (0..70_000u64).prop_map(Place::Top),
    ]
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        4 => 1..200u64,
        3 => 4_000..70_000u64,
        // Beyond what a serving thread does itself.
        1 => 262_144..400_000u64,
    ]
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        4 => Just(Access::Read),
        3 => any::<u8>().prop_map(Access::Write),
        2 => any::<u8>().prop_map(Access::Fill),
        2 => Just(Access::Discard),
        2 => (any::<u8>(), 0..90_000u64, 0..9_000u64)
            .prop_map(|(seed, segment, source)| Access::Init(seed, segment, source)),
        3 => any::<bool>().prop_map(Access::Volatile),
        1 => (any::<u8>(), 1_000..300_000u64).prop_map(|(seed, chunk)| Access::Upload(seed, chunk)),
        1 => (65_536..300_000u64).prop_map(Access::Download),
        3 => (any::<bool>(), prop::bool::weighted(0.8), any::<bool>()).prop_map(
            |(is_wide, is_aligned, is_equal)| {
                Access::Wait(Comparison { is_wide, is_aligned, is_equal })
            }
        ),
        1 => Just(Access::Notify),
    ]
}

pub(super) fn wish() -> impl Strategy<Value = Wish> {
    let name = || 0..NAMES;
    let delta = prop_oneof![
        8 => 0..8u64,
        1 => prop_oneof![Just(2_000), Just(1 << 20), Just(1 << 47), Just(u64::MAX)],
    ];
    prop_oneof![
        3 => (name(), spec()).prop_map(|(name, spec)| Wish::Deed(Deed::Create { name, spec })),
        3 => (name(), delta, prop_oneof![3 => Just(None), 1 => (0..6u64).prop_map(Some)])
            .prop_map(|(name, delta, expected)| Wish::Deed(Deed::Grow { name, delta, expected })),
        12 => (name(), place(), length(), access())
            .prop_map(|(name, place, length, kind)| Wish::Access { name, place, length, kind }),
        1 => (name(), "[a-z]{0,9}").prop_map(|(name, display_name)| {
            Wish::Deed(Deed::Rename { name, display_name })
        }),
        2 => name().prop_map(|name| Wish::Deed(Deed::Get { name })),
        1 => name().prop_map(|name| Wish::Deed(Deed::Verify { name })),
        1 => name().prop_map(|name| Wish::Deed(Deed::Reset { name })),
        1 => Just(Wish::Deed(Deed::List)),
        1 => Just(Wish::Deed(Deed::Purge)),
        1 => name().prop_map(|name| Wish::Deed(Deed::Delete { name })),
    ]
}
