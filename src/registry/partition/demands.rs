//! What a partition asks of the memories in it, so that its promises hold.
//!
//! ```text
//! nodes      BIND, strict, to them or some of them
//! minimum    pages taken at create and at each growth: they take the place of what was set aside
//! locked     locked in RAM
//! pages      of the kind that is set aside
//! ```
//!
//! Law: what contradicts it is INVALID_SPEC; what was left at its default is changed, and the
//! effective spec says so.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::{Form, Locking, Numa, NumaPolicy, PageKind, Populate};
use crate::registry::partition::Partition;
use crate::units::ByteCount;

impl Partition {
    /// The form of a memory in it that was asked for in this one.
    pub(in crate::registry) fn form_of(&self, asked: &Form) -> Result<Arc<Form>, Failure> {
        let pages = self.spec.pages.unwrap_or_default();
        let fits = match pages.pool() {
            Some(_) => asked.page_kinds == [pages],
            None => asked.page_kinds.iter().all(|kind| kind.pool().is_none()),
        };
        if !fits {
            let why = format!("partition {} has {} alone", self.id, words(pages));
            return Err(Failure::InvalidSpec { field: "spec.huge_pages", why });
        }
        let mut form = Form { numa: self.numa_of(&asked.numa)?, ..asked.clone() };
        // What it is lent comes out of a minimum above it, where there is one.
        let has_minimum = self.upwards().any(|one| one.spec.minimum > ByteCount::ZERO);
        if has_minimum && form.populate != Populate::Maximum {
            form.populate = Populate::OnGrow;
        }
        if self.upwards().any(|one| one.spec.locked) && form.locking == Locking::None {
            form.locking = Locking::Locked;
        }
        Ok(form.shared())
    }

    fn numa_of(&self, asked: &Numa) -> Result<Numa, Failure> {
        let nodes = &self.spec.nodes;
        if nodes.is_empty() {
            return Ok(asked.clone());
        }
        let invalid = |field, why: &str| {
            let why = format!("{why}; partition {} is isolated to nodes {nodes:?}", self.id);
            Err(Failure::InvalidSpec { field, why })
        };
        match asked.policy {
            NumaPolicy::Local => {
                Ok(Numa { policy: NumaPolicy::Bind, nodes: nodes.clone(), strict: true })
            }
            NumaPolicy::Preferred => {
                invalid("spec.numa.policy", "PREFERRED may place pages on any node")
            }
            NumaPolicy::Bind | NumaPolicy::Interleave => {
                if asked.nodes.iter().all(|node| nodes.contains(node)) {
                    Ok(Numa { strict: true, ..asked.clone() })
                } else {
                    invalid("spec.numa.nodes", "names others")
                }
            }
        }
    }
}

const fn words(pages: PageKind) -> &'static str {
    match pages {
        PageKind::Base | PageKind::Transparent => {
            "base pages, which HUGE_PAGES_TRANSPARENT may join; those of a pool are not set aside"
        }
        PageKind::Huge2M => "HUGE_PAGES_2M",
        PageKind::Huge1G => "HUGE_PAGES_1G",
    }
}
