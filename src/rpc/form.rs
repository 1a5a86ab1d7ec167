//! The part of a spec that is asked of the host: from and to the wire.
//!
//! Law: `spec.rs`'s: what is no value is INVALID_FIELD, what contradicts itself INVALID_SPEC, and an
//! effective form says everything.

use std::num::NonZero;
use std::sync::Arc;

use crate::error::Failure;
use crate::model::{
    AddressSpace, Allocator, Backing, Form, Locking, MAX_NODES, Numa, NumaPolicy, PageKind,
    Populate, TagMode, TagRequirement, Tagging, Verification,
};
use crate::proto::v1;
use crate::rpc::convert;
use crate::rpc::spec::known;

/// What a client asks of the host.
///
/// # Errors
/// INVALID_FIELD, INVALID_SPEC.
pub(crate) fn wanted(spec: &v1::MemorySpec) -> Result<Arc<Form>, Failure> {
    let page_kinds = page_kinds(&spec.huge_pages)?;
    let form = Form {
        allocator: match known("spec.allocator", spec.allocator)? {
            v1::Allocator::Unspecified | v1::Allocator::Mmap => Allocator::Mmap,
            v1::Allocator::Heap => Allocator::Heap,
            v1::Allocator::Fixed => Allocator::Fixed,
        },
        backing: match known("spec.backing", spec.backing)? {
            v1::Backing::Unspecified | v1::Backing::Anonymous => Backing::Anonymous,
            v1::Backing::Memfd => Backing::Memfd,
        },
        address_space: match known("spec.reservation", spec.reservation)? {
            v1::Reservation::Unspecified | v1::Reservation::Exact => AddressSpace::Exact,
            v1::Reservation::Wasm32Full => AddressSpace::Wasm32Full,
        },
        numa: numa(spec.numa.clone().unwrap_or_default())?,
        populate: match known("spec.populate", spec.populate)? {
            v1::Populate::Unspecified | v1::Populate::None => Populate::None,
            v1::Populate::Initial => Populate::Initial,
            v1::Populate::OnGrow => Populate::OnGrow,
            v1::Populate::Maximum => Populate::Maximum,
        },
        locking: match known("spec.locking", spec.locking)? {
            v1::Locking::Unspecified | v1::Locking::None => Locking::None,
            v1::Locking::Locked => Locking::Locked,
            v1::Locking::LockedNoSwap => Locking::LockedNoSwap,
        },
        tagging: tagging(spec.tagging.unwrap_or_default())?,
        verification: match known("spec.verification", spec.verification)? {
            v1::Verification::Unspecified | v1::Verification::Off => Verification::Off,
            v1::Verification::Basic => Verification::Basic,
            v1::Verification::Standard => Verification::Standard,
            v1::Verification::Sampling => Verification::Sampling,
            v1::Verification::Full => Verification::Full,
            v1::Verification::Redundant => Verification::Redundant,
        },
        page_kinds,
        is_shared: spec.shared,
        partition: Some(spec.partition.as_str())
            .filter(|partition| !partition.is_empty())
            .map(|partition| convert::id("spec.partition", partition))
            .transpose()?,
    };
    if form.backing == Backing::Memfd && form.page_kinds.contains(&PageKind::Transparent) {
        let why = "transparent huge pages are of anonymous memory; backing is MEMFD".to_owned();
        return Err(Failure::InvalidSpec { field: "spec.huge_pages", why });
    }
    Ok(form.shared())
}

/// What was asked, as the fields of a spec.
pub(crate) fn effective(form: &Form, spec: v1::MemorySpec) -> v1::MemorySpec {
    v1::MemorySpec {
        shared: form.is_shared,
        allocator: match form.allocator {
            Allocator::Mmap => v1::Allocator::Mmap,
            Allocator::Heap => v1::Allocator::Heap,
            Allocator::Fixed => v1::Allocator::Fixed,
        }
        .into(),
        backing: match form.backing {
            Backing::Anonymous => v1::Backing::Anonymous,
            Backing::Memfd => v1::Backing::Memfd,
        }
        .into(),
        reservation: match form.address_space {
            AddressSpace::Exact => v1::Reservation::Exact,
            AddressSpace::Wasm32Full => v1::Reservation::Wasm32Full,
        }
        .into(),
        tagging: Some(tagging_message(&form.tagging)),
        huge_pages: page_kind_messages(&form.page_kinds),
        numa: Some(numa_message(&form.numa)),
        populate: match form.populate {
            Populate::None => v1::Populate::None,
            Populate::Initial => v1::Populate::Initial,
            Populate::OnGrow => v1::Populate::OnGrow,
            Populate::Maximum => v1::Populate::Maximum,
        }
        .into(),
        locking: match form.locking {
            Locking::None => v1::Locking::None,
            Locking::Locked => v1::Locking::Locked,
            Locking::LockedNoSwap => v1::Locking::LockedNoSwap,
        }
        .into(),
        partition: form.partition.as_ref().map(ToString::to_string).unwrap_or_default(),
        verification: verification_message(form.verification).into(),
        ..spec
    }
}

/// A level as the wire has it.
pub(crate) const fn verification_message(verification: Verification) -> v1::Verification {
    match verification {
        Verification::Off => v1::Verification::Off,
        Verification::Basic => v1::Verification::Basic,
        Verification::Standard => v1::Verification::Standard,
        Verification::Sampling => v1::Verification::Sampling,
        Verification::Full => v1::Verification::Full,
        Verification::Redundant => v1::Verification::Redundant,
    }
}

/// Page kinds as the wire has them.
pub(crate) fn page_kind_messages(kinds: &[PageKind]) -> Vec<i32> {
    kinds.iter().map(|kind| page_kind_message(*kind).into()).collect()
}

/// A page kind as the wire has it.
pub(crate) const fn page_kind_message(kind: PageKind) -> v1::HugePages {
    match kind {
        PageKind::Base => v1::HugePages::Base,
        PageKind::Transparent => v1::HugePages::Transparent,
        PageKind::Huge2M => v1::HugePages::HugePages2m,
        PageKind::Huge1G => v1::HugePages::HugePages1g,
    }
}

/// And back; none for what is no preference.
pub(crate) const fn page_kind(kind: v1::HugePages) -> Option<PageKind> {
    Some(match kind {
        v1::HugePages::Base => PageKind::Base,
        v1::HugePages::Transparent => PageKind::Transparent,
        v1::HugePages::HugePages2m => PageKind::Huge2M,
        v1::HugePages::HugePages1g => PageKind::Huge1G,
        v1::HugePages::Unspecified => return None,
    })
}

/// A policy as the wire has it.
pub(crate) fn numa_message(numa: &Numa) -> v1::Numa {
    v1::Numa {
        policy: match numa.policy {
            NumaPolicy::Local => v1::NumaPolicy::Local,
            NumaPolicy::Preferred => v1::NumaPolicy::Preferred,
            NumaPolicy::Bind => v1::NumaPolicy::Bind,
            NumaPolicy::Interleave => v1::NumaPolicy::Interleave,
        }
        .into(),
        nodes: numa.nodes.clone(),
        strict: numa.strict,
    }
}

/// Tagging as the wire has it.
pub(crate) fn tagging_message(tagging: &Tagging) -> v1::Tagging {
    v1::Tagging {
        requirement: match tagging.requirement {
            TagRequirement::Off => v1::TaggingRequirement::Off,
            TagRequirement::Prefer => v1::TaggingRequirement::Prefer,
            TagRequirement::Require => v1::TaggingRequirement::Require,
        }
        .into(),
        mode: tag_mode(tagging.mode).into(),
        tag_mask: tagging.mask.get().into(),
    }
}

/// A mode as the wire has it.
pub(crate) const fn tag_mode(mode: TagMode) -> v1::TaggingMode {
    match mode {
        TagMode::Synchronous => v1::TaggingMode::Synchronous,
        TagMode::Asynchronous => v1::TaggingMode::Asynchronous,
    }
}

fn page_kinds(kinds: &[i32]) -> Result<Vec<PageKind>, Failure> {
    const FIELD: &str = "spec.huge_pages";
    let mut wanted = Vec::with_capacity(kinds.len().min(4));
    for kind in kinds {
        let Some(kind) = page_kind(known(FIELD, *kind)?) else {
            let why = "holds UNSPECIFIED, which is no preference".to_owned();
            return Err(Failure::InvalidField { field: FIELD, why });
        };
        if wanted.contains(&kind) {
            let why = "names a kind twice".to_owned();
            return Err(Failure::InvalidField { field: FIELD, why });
        }
        wanted.push(kind);
    }
    if wanted.is_empty() {
        wanted.push(PageKind::Base);
    }
    Ok(wanted)
}

fn numa(numa: v1::Numa) -> Result<Numa, Failure> {
    const NODES: &str = "spec.numa.nodes";
    let v1::Numa { policy, mut nodes, strict } = numa;
    let policy = match known("spec.numa.policy", policy)? {
        v1::NumaPolicy::Unspecified | v1::NumaPolicy::Local => NumaPolicy::Local,
        v1::NumaPolicy::Preferred => NumaPolicy::Preferred,
        v1::NumaPolicy::Bind => NumaPolicy::Bind,
        v1::NumaPolicy::Interleave => NumaPolicy::Interleave,
    };
    if let Some(node) = nodes.iter().find(|node| **node >= MAX_NODES) {
        let why = format!("has node {node}; the largest that a kernel knows is {}", MAX_NODES - 1);
        return Err(Failure::InvalidField { field: NODES, why });
    }
    nodes.sort_unstable();
    nodes.dedup();
    let local = policy == NumaPolicy::Local;
    if local != nodes.is_empty() {
        let why = if local {
            "names nodes; policy LOCAL has none".to_owned()
        } else {
            "names no node; every policy but LOCAL needs one".to_owned()
        };
        return Err(Failure::InvalidSpec { field: NODES, why });
    }
    if local && strict {
        let why = "is true; policy LOCAL has nothing to be strict about".to_owned();
        return Err(Failure::InvalidSpec { field: "spec.numa.strict", why });
    }
    Ok(Numa { policy, nodes, strict })
}

fn tagging(tagging: v1::Tagging) -> Result<Tagging, Failure> {
    const MASK: &str = "spec.tagging.tag_mask";
    let v1::Tagging { requirement, mode, tag_mask } = tagging;
    let asked = Tagging {
        requirement: match known("spec.tagging.requirement", requirement)? {
            v1::TaggingRequirement::Unspecified | v1::TaggingRequirement::Off => {
                TagRequirement::Off
            }
            v1::TaggingRequirement::Prefer => TagRequirement::Prefer,
            v1::TaggingRequirement::Require => TagRequirement::Require,
        },
        mode: match known("spec.tagging.mode", mode)? {
            v1::TaggingMode::Unspecified | v1::TaggingMode::Synchronous => TagMode::Synchronous,
            v1::TaggingMode::Asynchronous => TagMode::Asynchronous,
        },
        mask: match u16::try_from(tag_mask) {
            Ok(mask) => NonZero::new(mask).unwrap_or(Tagging::DEFAULT_MASK),
            Err(_too_wide) => {
                let why = format!("is {tag_mask:#x}; the tags are 0 to 15, a bit each");
                return Err(Failure::InvalidField { field: MASK, why });
            }
        },
    };
    let usual = Tagging { requirement: asked.requirement, ..Tagging::default() };
    if asked.requirement == TagRequirement::Off && asked != usual {
        let field = if asked.mask == usual.mask { "spec.tagging.mode" } else { MASK };
        let why = "is set; requirement OFF has no tags".to_owned();
        return Err(Failure::InvalidSpec { field, why });
    }
    Ok(asked)
}
