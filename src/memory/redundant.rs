//! [`Redundant`]: pages and a shadow of them, of the same allocator and layout.
//!
//! Law: whatever is opened, closed, wiped, discarded, given back and charged is so twice; what one of
//! them is refused is not had. Bytes are not copied from one to the other: `apply.rs` writes both, and
//! `integrity.rs` compares them. The kernel keeps to protections in the memory's own pages only:
//! nobody is given the address of the shadow.

#![expect(unsafe_code, reason = "hands on what its pages promise")]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use crate::memory::access::{self, Opened};
use crate::memory::allocator::{Held, PageAllocator, Pages, Placed, Unallocated};
use crate::memory::inspect::Fenced;
use crate::memory::layout::Layout;
use crate::memory::refused::{Going, Refused};
use crate::model::Protection;
use crate::os::OsError;
use crate::units::{ByteCount, ByteRange};

/// Pages, and a second copy of what they hold.
#[derive(Debug)]
pub(super) struct Redundant {
    own: Box<dyn Pages>,
    shadow: Box<dyn Pages>,
}

impl Redundant {
    /// Both, at the layout's initial size.
    ///
    /// # Errors
    /// [`Unallocated`], with what is left behind of either.
    pub(super) fn allocate(
        allocator: &dyn PageAllocator,
        layout: &Layout,
        going: Going<'_>,
    ) -> Result<Box<dyn Pages>, Unallocated> {
        let own = allocator.allocate(layout, going)?;
        match allocator.allocate(layout, going) {
            Ok(shadow) => Ok(Box::new(Self { own, shadow })),
            Err(Unallocated { refused, left }) => {
                Err(Unallocated { refused, left: Self::left(own.release().err(), left) })
            }
        }
    }

    /// What of both could not be given back, and why.
    fn left(
        own: Option<(Box<dyn Pages>, OsError)>,
        shadow: Option<(Box<dyn Pages>, OsError)>,
    ) -> Option<(Box<dyn Pages>, OsError)> {
        match (own, shadow) {
            (Some((own, error)), Some((shadow, _))) => {
                Some((Box::new(Self { own, shadow }), error))
            }
            (own, shadow) => own.or(shadow),
        }
    }
}

// SAFETY: base(), room() and what is open are those of `own`, which promises the same and belongs to
// this value; its other methods are called in the same order as this value's.
unsafe impl Pages for Redundant {
    fn base(&self) -> NonNull<u8> {
        self.own.base()
    }

    fn host_page(&self) -> ByteCount {
        self.own.host_page()
    }

    fn placed(&self) -> Placed {
        let own = self.own.placed();
        Placed { on_nodes: own.on_nodes && self.shadow.placed().on_nodes, ..own }
    }

    fn room(&self) -> ByteCount {
        self.own.room()
    }

    fn committed(&self, extent: ByteCount) -> ByteCount {
        let [own, shadow] = [&self.own, &self.shadow].map(|pages| pages.committed(extent).get());
        ByteCount::new(own.saturating_add(shadow))
    }

    fn open(&self, from: ByteCount, to: ByteCount, going: Going<'_>) -> Result<(), Refused> {
        self.own.open(from, to, going)?;
        self.shadow.open(from, to, going)
    }

    fn close(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.own.close(from, to).and(self.shadow.close(from, to))
    }

    fn wipe(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.own.wipe(from, to)?;
        self.shadow.wipe(from, to)
    }

    /// Both, or neither: where the host took the one and not the other, that is zeroed by stores. The
    /// shadow first: where all fails it is the shadow that differs, and is named.
    fn discard(&self, from: ByteCount, to: ByteCount) -> Result<bool, OsError> {
        if !self.shadow.discard(from, to)? {
            return Ok(false);
        }
        match self.own.discard(from, to) {
            Ok(true) => Ok(true),
            Ok(false) | Err(_) => zero(&*self.own, from, to).map(|()| true),
        }
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        Ok(sum(self.own.resident(from, to)?, self.shadow.resident(from, to)?))
    }

    fn protect(
        &self,
        from: ByteCount,
        to: ByteCount,
        protection: Protection,
    ) -> Result<bool, OsError> {
        self.own.protect(from, to, protection)
    }

    fn held(&self, extent: ByteCount) -> Result<Held, OsError> {
        let (own, shadow) = (self.own.held(extent)?, self.shadow.held(extent)?);
        let nodes = own.nodes.zip(shadow.nodes).map(|(own, shadow)| {
            let mut nodes = BTreeMap::new();
            for (node, bytes) in own.into_iter().chain(shadow) {
                let held = nodes.entry(node).or_insert(ByteCount::ZERO);
                *held = sum(*held, bytes);
            }
            nodes.into_iter().collect()
        });
        Ok(Held {
            resident: sum(own.resident, shadow.resident),
            huge: own.huge.zip(shadow.huge).map(|(own, shadow)| sum(own, shadow)),
            nodes,
        })
    }

    fn shadow(&self) -> Option<&dyn Pages> {
        Some(&*self.shadow)
    }

    fn space(&self) -> Option<&dyn Fenced> {
        self.own.space()
    }

    fn release(self: Box<Self>) -> Result<(), (Box<dyn Pages>, OsError)> {
        let Self { own, shadow } = *self;
        let left = Self::left(own.release().err(), shadow.release().err());
        left.map_or(Ok(()), Err)
    }
}

/// Stores zeros in open bytes. Where the host fails under that, the copies differ, and the next look at
/// them says so.
fn zero(pages: &dyn Pages, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
    let length = to.checked_sub(from).unwrap_or(ByteCount::ZERO);
    let lost = OsError::fault("store", length);
    let range = ByteRange::within(from.get(), length.get(), to).map_err(|_past| lost)?;
    access::set(Opened::of(pages, to), range, 0).map_err(|_fault| lost)
}

fn sum(one: ByteCount, other: ByteCount) -> ByteCount {
    ByteCount::new(one.get().saturating_add(other.get()))
}
