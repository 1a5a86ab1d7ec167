//! [`Layout`]: where the parts of a memory's address space lie and how long each is.
//!
//! ```text
//! | guard before | 0 … size: readable, writable | size … body's end: inaccessible | guard after |
//!                ^ body, at a multiple of the page kind's alignment
//! ```
//!
//! Law: every length is a multiple of the host page and the body's of its granule, and the sum fits
//! 64 bits. One layout a page kind: which of them is had is found out by trying. Does not map
//! anything: a small memory whose guards are the usual ones is put into a slab's slot (`slab/`),
//! which has room for this. Forks (design, section 3) are to come.

use std::sync::Arc;

use crate::memory::fixed::GUARD;
use crate::model::{AddressSpace, Allocator, Form, Growth, Guard, PageKind, Shape};
use crate::units::{ByteCount, PAGE_BYTES, WasmPages};

/// What 32-bit code can compute: an index of 32 bits, a static offset of 32 bits, and the widest
/// access after it (wasmtime's "static" memories have the same).
const WASM32_REACH: ByteCount = ByteCount::new((8 << 30) + (64 << 10));

/// The lengths of one memory's address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size at create.
    pub initial: WasmPages,
    /// The size that the body has room for.
    pub room: WasmPages,
    /// The guards, rounded up to the host page.
    pub guard: Guard,
    /// The room in whole granules.
    pub body: ByteCount,
    /// Where the body may begin: a multiple of this.
    pub align: ByteCount,
    /// Guards, body, and what its alignment costs.
    pub total: ByteCount,
    /// The kind of its pages.
    pub pages: PageKind,
    /// What was asked for.
    pub form: Arc<Form>,
}

/// The sum of guards and maximum does not fit 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrepresentable;

impl Layout {
    /// The layouts of a memory of this shape on a host with pages of `host_page`, in order of
    /// preference: one for each page kind that was asked for.
    ///
    /// # Errors
    /// [`Unrepresentable`] where one would not fit 64 bits.
    pub fn candidates(shape: &Shape, host_page: ByteCount) -> Result<Vec<Self>, Unrepresentable> {
        let kinds = &shape.form.page_kinds;
        // Collecting results would make room for four.
        let mut layouts = Vec::with_capacity(kinds.len());
        for kind in kinds {
            layouts.push(Self::of(shape, *kind, host_page)?);
        }
        Ok(layouts)
    }

    /// The layout with pages of one kind.
    ///
    /// # Errors
    /// [`Unrepresentable`] where it would not fit 64 bits.
    pub fn of(
        shape: &Shape,
        pages: PageKind,
        host_page: ByteCount,
    ) -> Result<Self, Unrepresentable> {
        Self::checked(shape, pages, host_page).ok_or(Unrepresentable)
    }

    fn checked(shape: &Shape, pages: PageKind, host_page: ByteCount) -> Option<Self> {
        let room = match shape.growth {
            Growth::Allowed => shape.maximum,
            Growth::Disallowed => shape.initial,
        };
        let body = room.bytes().checked_round_up(granule(pages))?;
        let guard = match shape.form.allocator {
            // Slots have theirs, whatever was asked for.
            Allocator::Fixed => Guard { before: GUARD, after: GUARD },
            Allocator::Mmap | Allocator::Heap => shape.guard,
        };
        let before = guard.before.checked_round_up(host_page)?;
        let after = match shape.form.address_space {
            AddressSpace::Exact => guard.after,
            AddressSpace::Wasm32Full => {
                guard.after.max(WASM32_REACH.checked_sub(body).unwrap_or(ByteCount::ZERO))
            }
        };
        let after = after.checked_round_up(host_page)?;
        let align = pages.alignment().unwrap_or(host_page);
        let slack = if align > host_page { align } else { ByteCount::ZERO };
        let total = [body, after, slack].into_iter().try_fold(before, ByteCount::checked_add)?;
        Some(Self {
            initial: shape.initial,
            room,
            guard: Guard { before, after },
            body,
            align,
            total,
            pages,
            form: Arc::clone(&shape.form),
        })
    }

    /// The smallest step in which its pages are committed.
    #[must_use]
    pub const fn granule(&self) -> ByteCount {
        granule(self.pages)
    }
}

/// The smallest step in which pages of this kind are committed.
const fn granule(pages: PageKind) -> ByteCount {
    match pages.pool() {
        Some(page) => page,
        None => ByteCount::new(PAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IndexType;
    use proptest::prelude::*;

    const HOST_PAGE: ByteCount = ByteCount::new(4096);

    fn shape(initial: u64, maximum: u64, before: u64, after: u64, growth: Growth) -> Shape {
        Shape {
            initial: WasmPages::new(initial).unwrap(),
            maximum: WasmPages::new(maximum).unwrap(),
            index_type: IndexType::I64,
            growth,
            guard: Guard { before: ByteCount::new(before), after: ByteCount::new(after) },
            form: Form::usual(),
        }
    }

    proptest! {
        #[test]
        fn parts_are_aligned_and_sum_to_the_total(
            initial in 0..100u64, more in 0..1u64 << 40, before in any::<u64>(), after in any::<u64>(),
            huge in any::<bool>(),
        ) {
            let asked = shape(initial, initial + more, before, after, Growth::Allowed);
            let (kind, step) =
                if huge { (PageKind::Huge2M, 2 << 20) } else { (PageKind::Base, 65_536) };
            let body = u128::from(asked.maximum.bytes().get()).next_multiple_of(step);
            let wanted = u128::from(before).next_multiple_of(4096)
                + u128::from(after).next_multiple_of(4096)
                + body
                + if huge { step } else { 0 };
            match Layout::of(&asked, kind, HOST_PAGE) {
                Ok(layout) => {
                    prop_assert_eq!(u128::from(layout.total.get()), wanted);
                    prop_assert_eq!(u128::from(layout.body.get()), body);
                    prop_assert!(layout.guard.before.get().is_multiple_of(4096));
                    prop_assert!(layout.guard.after.get() >= after);
                }
                Err(Unrepresentable) => prop_assert!(wanted > u128::from(u64::MAX)),
            }
        }
    }

    #[test]
    fn a_memory_that_never_grows_reserves_its_initial_size_only() {
        let asked = shape(2, 100, 0, 0, Growth::Disallowed);
        let layout = Layout::of(&asked, PageKind::Base, HOST_PAGE).unwrap();
        assert_eq!(layout.total, asked.initial.bytes());
    }

    #[test]
    fn a_full_wasm32_reservation_reaches_whatever_an_index_and_an_offset_can_say() {
        for maximum in [0, 1, 65_536] {
            let mut asked = shape(0, maximum, 65_536, 65_536, Growth::Allowed);
            asked.form =
                Form { address_space: AddressSpace::Wasm32Full, ..Form::default() }.shared();
            let layout = Layout::of(&asked, PageKind::Base, HOST_PAGE).unwrap();
            let reach = layout.body.get() + layout.guard.after.get();
            assert_eq!(reach, (8 << 30) + (64 << 10), "{maximum}");
        }
    }

    #[test]
    fn there_is_a_layout_for_each_page_kind_in_the_order_asked_for() {
        let mut asked = shape(1, 2, 65_536, 65_536, Growth::Allowed);
        let page_kinds = vec![PageKind::Huge1G, PageKind::Transparent, PageKind::Base];
        asked.form = Form { page_kinds: page_kinds.clone(), ..Form::default() }.shared();
        let layouts = Layout::candidates(&asked, HOST_PAGE).unwrap();
        let kinds: Vec<PageKind> = layouts.iter().map(|layout| layout.pages).collect();
        assert_eq!(kinds, page_kinds);
        assert_eq!(layouts[0].body, ByteCount::new(1 << 30));
        assert_eq!(layouts[2].body, ByteCount::new(2 << 16));
    }
}
