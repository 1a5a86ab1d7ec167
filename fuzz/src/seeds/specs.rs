//! Specs of memories and of sets, each with something that others have not.

use linmemd::proto::v1;
use prost::Message;

use crate::seeds::{name, seconds};
use crate::targets::spec;
use crate::world::pages;

pub(super) fn specs() -> Vec<Vec<u8>> {
    let guard = v1::Guard { before_bytes: Some(4_096), after_bytes: Some(0) };
    let numa = v1::Numa { policy: v1::NumaPolicy::Preferred.into(), nodes: vec![0], strict: false };
    let tagging = v1::Tagging {
        requirement: v1::TaggingRequirement::Prefer.into(),
        mode: v1::TaggingMode::Synchronous.into(),
        tag_mask: 6,
    };
    let segment = v1::ActiveSegment {
        offset: 100,
        data: bytes::Bytes::from_static(b"in place"),
        length: None,
    };
    let base = || pages(1, 3);
    let numa_of = |policy: v1::NumaPolicy, nodes: &[u32], strict| v1::MemorySpec {
        numa: Some(v1::Numa { policy: policy.into(), nodes: nodes.to_vec(), strict }),
        ..base()
    };
    let tagging_of = |requirement: v1::TaggingRequirement, tag_mask| v1::MemorySpec {
        tagging: Some(v1::Tagging {
            requirement: requirement.into(),
            mode: v1::TaggingMode::Asynchronous.into(),
            tag_mask,
        }),
        ..base()
    };
    let labels = |count: usize, length: usize| v1::MemorySpec {
        labels: (0..count).map(|key| (format!("k{key}"), "v".repeat(length))).collect(),
        ..base()
    };
    let told = v1::ActiveSegment { length: Some(1), ..segment.clone() };
    let specs = [
        v1::MemorySpec::default(),
        v1::MemorySpec { shared: true, index_type: v1::IndexType::I64.into(), ..base() },
        v1::MemorySpec { guard: Some(guard), growth: v1::Growth::Disallowed.into(), ..base() },
        v1::MemorySpec { numa: Some(numa), tagging: Some(tagging), ..base() },
        v1::MemorySpec { segments: vec![segment.clone(), segment], ..base() },
        v1::MemorySpec { backing: v1::Backing::Memfd.into(), populate: 2, ..base() },
        v1::MemorySpec { reservation: v1::Reservation::Wasm32Full.into(), ..base() },
        v1::MemorySpec { allocator: v1::Allocator::Heap.into(), ..base() },
        v1::MemorySpec { allocator: v1::Allocator::Fixed.into(), ..base() },
        v1::MemorySpec { huge_pages: vec![2, 3, 4], ..base() },
        v1::MemorySpec { populate: v1::Populate::Maximum.into(), locking: 2, ..base() },
        v1::MemorySpec { partition: name("p"), verification: 5, ..base() },
        v1::MemorySpec { verification: v1::Verification::Redundant.into(), ..base() },
        v1::MemorySpec { owner: v1::Owner::Connection.into(), attachable: true, ..base() },
        v1::MemorySpec {
            display_name: name("shown"),
            labels: [(name("k"), name("v"))].into(),
            lease_ttl: seconds(60),
            ..base()
        },
        numa_of(v1::NumaPolicy::Bind, &[0], true),
        numa_of(v1::NumaPolicy::Interleave, &[0, 0], false),
        numa_of(v1::NumaPolicy::Preferred, &[], false),
        numa_of(v1::NumaPolicy::Local, &[0], false),
        numa_of(v1::NumaPolicy::Local, &[], true),
        numa_of(v1::NumaPolicy::Bind, &[1 << 20], false),
        tagging_of(v1::TaggingRequirement::Require, 1),
        tagging_of(v1::TaggingRequirement::Prefer, 1),
        tagging_of(v1::TaggingRequirement::Prefer, 1 << 16),
        v1::MemorySpec { huge_pages: vec![0], ..base() },
        v1::MemorySpec { huge_pages: vec![1, 1], ..base() },
        v1::MemorySpec { huge_pages: vec![2, 1], backing: v1::Backing::Memfd.into(), ..base() },
        v1::MemorySpec { populate: v1::Populate::OnGrow.into(), locking: 3, ..base() },
        v1::MemorySpec { verification: v1::Verification::Basic.into(), ..base() },
        v1::MemorySpec { verification: v1::Verification::Standard.into(), ..base() },
        v1::MemorySpec { verification: v1::Verification::Sampling.into(), ..base() },
        v1::MemorySpec { display_name: "n".repeat(300), ..base() },
        v1::MemorySpec { lease_ttl: seconds(0), ..base() },
        v1::MemorySpec { segments: vec![told], ..base() },
        labels(65, 1),
        labels(1, 300),
        pages(u64::MAX, u64::MAX),
    ];
    let mut seeds = Vec::new();
    for spec in specs.clone() {
        let create = v1::CreateMemoryRequest {
            memory_id: Some(name("x")),
            spec: Some(spec),
            ..Default::default()
        };
        seeds.push([vec![1], create.encode_to_vec()].concat());
    }
    for verification in [v1::Verification::Full, v1::Verification::Redundant] {
        let spec = v1::MemorySpec { verification: verification.into(), ..base() };
        let create = v1::CreateMemoryRequest { spec: Some(spec), ..Default::default() };
        seeds.push([vec![spec::FAULTY | 1], create.encode_to_vec()].concat());
    }
    let create = v1::CreateMemoryRequest {
        spec: Some(base()),
        request_id: Some(name("00000000-0000-4000-8000-000000000002")),
        required_capabilities: vec![name("atomics")],
        ..Default::default()
    };
    seeds.push([vec![1], create.encode_to_vec()].concat());
    let [_, shared, guarded, ..] = specs;
    let member = |id: &str, spec| v1::NewMember { memory_id: Some(name(id)), spec: Some(spec) };
    let set = v1::CreateMemorySetRequest {
        set_id: Some(name("y")),
        members: vec![member("x0", shared), member("x1", guarded)],
        ..Default::default()
    };
    seeds.push([vec![0], set.encode_to_vec()].concat());
    seeds
}
