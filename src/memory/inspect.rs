//! What can be verified of a memory without anything kept for it: its lengths and its structure.
//!
//! Law: asks the kernel and changes nothing; raises no signal. What cannot be asked is left out, by
//! name and with the reason, and never passed. Whoever asks keeps growth, protection and writes away
//! meanwhile.

use std::sync::atomic::Ordering;

use crate::memory::any::Hand;
use crate::memory::linear::LinearMemory;
use crate::memory::protections::{Protected, Use};
use crate::memory::undone::Undone;
use crate::model::{Form, NumaPolicy};
use crate::os::OsError;
use crate::os::reservation::{Fences, Reservation};
use crate::units::{ByteCount, ByteRange, WasmPages};

/// Address space with guards, which the kernel can be asked about.
pub trait Fenced {
    /// How long its parts are.
    fn fences(&self) -> Fences;

    /// Whether all of it is mapped.
    ///
    /// # Errors
    /// [`OsError`] where the kernel does not say.
    fn is_mapped(&self) -> Result<bool, OsError>;

    /// Whether a read of the host page at so many bytes from the memory's byte 0 would be a fault.
    ///
    /// # Errors
    /// [`OsError`] where the kernel does not say.
    fn refuses(&self, at: i64) -> Result<bool, OsError>;

    /// How much of `[from, to)` of the body is in RAM.
    ///
    /// # Errors
    /// [`OsError`] where the kernel does not say.
    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError>;

    /// Whether what follows the size is open to the daemon itself, by design.
    fn is_open_past_size(&self) -> bool {
        false
    }
}

impl Fenced for Reservation {
    fn fences(&self) -> Fences {
        Self::fences(self)
    }

    fn is_mapped(&self) -> Result<bool, OsError> {
        let Fences { before, body, after } = Self::fences(self);
        let end = body.get().saturating_add(after.get());
        Self::is_mapped(self, back(before.get()), forth(end))
    }

    fn refuses(&self, at: i64) -> Result<bool, OsError> {
        Self::refuses(self, at)
    }

    fn resident(&self, from: ByteCount, to: ByteCount) -> Result<ByteCount, OsError> {
        self.resident_bytes(from, to)
    }
}

/// Something that is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Size, room, maximum, charge.
    Lengths,
    /// The mapping is as long as it must be.
    Mapping,
    /// Guards and what follows the size refuse an access.
    Guards,
    /// What is below the size does not.
    PublishedPages,
    /// Page kind and nodes are those that were promised.
    Placement,
    /// What has a checksum is noted as written.
    PageMap,
    /// The bytes are those that were stored.
    Checksums,
    /// So are those of the shadow copy.
    ShadowCopy,
}

impl Check {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lengths => "lengths",
            Self::Mapping => "mapping",
            Self::Guards => "guards",
            Self::PublishedPages => "published_pages",
            Self::Placement => "placement",
            Self::PageMap => "page_map",
            Self::Checksums => "checksums",
            Self::ShadowCopy => "shadow_copy",
        }
    }

    /// Whether a memory that fails it cannot be trusted any more. An operator may move pages to other
    /// nodes.
    #[must_use]
    pub const fn is_of_integrity(self) -> bool {
        !matches!(self, Self::Placement)
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it must be.
    Passed,
    /// As it must be, and what that does not cover.
    PassedBut(String),
    /// What was expected, and what was found.
    Failed(String),
    /// Why it could not be made.
    Skipped(String),
}

/// A check, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was verified.
    pub check: Check,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a memory's lengths must be, by those who do not look at its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// The size that is shown.
    pub size: WasmPages,
    /// The most that it may grow to.
    pub most: WasmPages,
    /// Bytes that are charged; none where it has ended.
    pub charged: Option<ByteCount>,
}

const NO_MAPPING: &str = "it is on the heap and has no mapping of its own";
const NO_GUARDS: &str = "it is on the heap and has no guards";

impl Promised {
    /// Whether that is so of a memory of this size, with this room where it must have so much, for which
    /// so much is committed.
    fn against(
        &self,
        size: WasmPages,
        room: ByteCount,
        wanted: ByteCount,
        committed: ByteCount,
    ) -> Outcome {
        if size != self.size {
            Outcome::Failed(format!("the size is {size}, and {} are shown", self.size))
        } else if room != wanted || size.bytes() > room {
            Outcome::Failed(format!(
                "room for {room} of {wanted}, of which {} are open",
                size.bytes()
            ))
        } else if self.charged.is_some_and(|charged| charged != committed)
            || committed < size.bytes()
        {
            let charged = self.charged.unwrap_or_default();
            Outcome::Failed(format!("{charged} are charged for {committed} committed"))
        } else {
            Outcome::Passed
        }
    }
}

impl Hand<'_> {
    /// As [`LinearMemory::verify_lengths`]; on the heap, of its block.
    #[must_use]
    pub fn verify_lengths(&self, promised: Promised) -> Vec<Finding> {
        let block = match self {
            Self::Mapped(memory) => return memory.verify_lengths(promised),
            Self::Shared(memory) => memory.lengths(),
            Self::Exclusive(memory) => Ok(memory.lengths()),
        };
        let lengths = match block {
            // There is no room for more than the size.
            Ok((size, room)) => promised.against(size, room, size.bytes(), self.committed(size)),
            Err(_moving) => Outcome::Skipped("it is being moved".to_owned()),
        };
        let mapping = Outcome::Skipped(NO_MAPPING.to_owned());
        [(Check::Lengths, lengths), (Check::Mapping, mapping)].map(finding).into()
    }

    /// As [`LinearMemory::verify_structure`]; on the heap there is little of it.
    #[must_use]
    pub fn verify_structure(&self, form: &Form) -> Vec<Finding> {
        if let Self::Mapped(memory) = self {
            return memory.verify_structure(form);
        }
        let placement = match self.placed().pages {
            pages if form.page_kinds.contains(&pages) => Outcome::Passed,
            pages => Outcome::Failed(format!("pages are {pages:?}, not of {:?}", form.page_kinds)),
        };
        [
            (Check::Guards, Outcome::Skipped(NO_GUARDS.to_owned())),
            (Check::PublishedPages, Outcome::Skipped(NO_MAPPING.to_owned())),
            (Check::Placement, placement),
        ]
        .map(finding)
        .into()
    }
}

impl LinearMemory {
    /// Whether everyone agrees how long it is, the kernel included.
    #[must_use]
    pub fn verify_lengths(&self, promised: Promised) -> Vec<Finding> {
        let (size, room) = (self.size(), self.pages.room());
        let lengths = promised.against(size, room, promised.most.bytes(), self.committed(size));
        let mapping = self.each_space(|space| match space.is_mapped() {
            Ok(true) => Outcome::Passed,
            Ok(false) => {
                let Fences { before, body, after } = space.fences();
                let parts = format!("{before} of guard, {body}, {after} of guard");
                Outcome::Failed(format!("not all of {parts} is mapped"))
            }
            Err(error) => Outcome::Skipped(error.to_string()),
        });
        [(Check::Lengths, lengths), (Check::Mapping, mapping)].map(finding).into()
    }

    /// Whether its guards refuse, its bytes do not, and its pages are such as were promised.
    #[must_use]
    pub fn verify_structure(&self, form: &Form) -> Vec<Finding> {
        let guards = self.each_space(|space| self.guards(space));
        let published = self.each_space(|space| self.published(space));
        [
            (Check::Guards, guards),
            (Check::PublishedPages, published),
            (Check::Placement, self.placement(form)),
        ]
        .map(finding)
        .into()
    }

    /// Of the memory's own space and the shadow's: the first that fails, or was not to be verified.
    fn each_space(&self, verify: impl Fn(&dyn Fenced) -> Outcome) -> Outcome {
        let copies = [Some(&*self.pages), self.pages.shadow()];
        let (mut passed, mut skipped) = (Outcome::Passed, None);
        for pages in copies.into_iter().flatten() {
            let Some(space) = pages.space() else {
                skipped = Some(NO_MAPPING.to_owned());
                continue;
            };
            match verify(space) {
                Outcome::Failed(why) => return Outcome::Failed(why),
                Outcome::Skipped(why) => skipped = Some(why),
                Outcome::PassedBut(what) => passed = Outcome::PassedBut(what),
                Outcome::Passed => {}
            }
        }
        skipped.map_or(passed, Outcome::Skipped)
    }

    /// The first and the last host page of each guard, and of what is not open yet.
    fn guards(&self, space: &dyn Fenced) -> Outcome {
        let Fences { before, body, after } = space.fences();
        let page = self.pages.host_page().get();
        // What is committed past the size is not fenced off from the daemon itself.
        let open = self.size().bytes().checked_round_up(self.pages.placed().granule);
        let (open, body) = (open.unwrap_or(body).get().min(body.get()), body.get());
        let kept = self.kept.get();
        let left_open = kept.is_some_and(|kept| kept.left_open.load(Ordering::Acquire));
        let past = Some(body.saturating_sub(open));
        let uncovered = past.filter(|_| left_open || space.is_open_past_size());
        let open = if uncovered.is_some() { body } else { open };
        let ranges = [
            (back(before.get()), 0),
            (forth(open), forth(body)),
            (forth(body), forth(body.saturating_add(after.get()))),
        ];
        for (from, to) in ranges {
            if from >= to {
                continue;
            }
            for at in [from, to.saturating_sub_unsigned(page)] {
                match space.refuses(at) {
                    Ok(true) => {}
                    Ok(false) => {
                        let why = format!("the host page at {at} from byte 0 refuses no access");
                        return Outcome::Failed(why);
                    }
                    Err(error) => return Outcome::Skipped(error.to_string()),
                }
            }
        }
        match uncovered.filter(|bytes| *bytes > 0) {
            None => Outcome::Passed,
            Some(bytes) => {
                let (of, are) = if left_open { ("", "may be") } else { (" of its slot", "are") };
                Outcome::PassedBut(format!(
                    "the {bytes} bytes{of} that follow the size {are} open to the daemon, which keeps \
                     them zero; they were not read"
                ))
            }
        }
    }

    /// The first and the last host page below the size, where they are in RAM anyway.
    fn published(&self, space: &dyn Fenced) -> Outcome {
        let (size, page) = (self.size().bytes(), self.pages.host_page());
        let Some(last) = size.checked_sub(page) else { return Outcome::Passed };
        let mut asked = false;
        for at in [ByteCount::ZERO, last] {
            let end = at.checked_add(page).unwrap_or(size);
            if !space.resident(at, end).is_ok_and(|held| held == page) || self.is_shut(at, page) {
                continue;
            }
            asked = true;
            match space.refuses(forth(at.get())) {
                Ok(false) => {}
                Ok(true) => {
                    return Outcome::Failed(format!("the host page at {at} can not be read"));
                }
                Err(error) => return Outcome::Skipped(error.to_string()),
            }
        }
        let why = "neither the first page nor the last is in RAM and may be read".to_owned();
        if asked { Outcome::Passed } else { Outcome::Skipped(why) }
    }

    /// Whether a tenant has taken all of a host page from itself.
    pub(super) fn is_shut(&self, at: ByteCount, page: ByteCount) -> bool {
        let range = ByteRange::within(at.get(), page.get(), self.size().bytes());
        let refused = range.ok().and_then(|range| self.admit(range, Use::Read).err());
        matches!(refused, Some(Undone::Protected(Protected { offset, length, .. }))
            if offset == at.get() && length == page.get())
    }

    fn placement(&self, form: &Form) -> Outcome {
        let placed = self.placed();
        if !form.page_kinds.contains(&placed.pages) {
            let kinds = &form.page_kinds;
            return Outcome::Failed(format!("pages are {:?}, not of {kinds:?}", placed.pages));
        }
        if form.numa.policy != NumaPolicy::Bind || !placed.on_nodes {
            return Outcome::Passed;
        }
        let nodes = match self.held() {
            Ok(held) => held.nodes,
            Err(error) => return Outcome::Skipped(error.to_string()),
        };
        let Some(nodes) = nodes else {
            return Outcome::Skipped("the host does not say on which nodes pages lie".to_owned());
        };
        match nodes.iter().find(|(node, _)| !form.numa.nodes.contains(node)) {
            None => Outcome::Passed,
            Some((node, bytes)) => {
                let wanted = &form.numa.nodes;
                Outcome::Failed(format!("{bytes} lie on node {node}, not on {wanted:?}"))
            }
        }
    }
}

fn finding((check, outcome): (Check, Outcome)) -> Finding {
    Finding { check, outcome }
}

/// So far before byte 0. No range is longer than half of what 64 bits can say.
fn back(bytes: u64) -> i64 {
    0_i64.saturating_sub_unsigned(bytes)
}

fn forth(bytes: u64) -> i64 {
    0_i64.saturating_add_unsigned(bytes)
}
