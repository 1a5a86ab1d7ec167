//! [`AccessKind`]: what an access was, for whoever counts.
//!
//! Law: a closed list, in the order in which tallies hold it. Does not know how any is done.

/// A kind of access to a memory's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A range read.
    Read,
    /// A range written.
    Write,
    /// A range set to one value.
    Fill,
    /// A range given back.
    Discard,
    /// A message of an upload.
    Upload,
    /// A message of a download.
    Download,
    /// A range compared.
    Compare,
    /// One of many ranges read.
    Gather,
    /// One of many ranges written.
    Scatter,
    /// A number loaded.
    Load,
    /// A number stored.
    Store,
    /// A range copied: from where, or to where.
    Copy,
    /// A part of a segment put in place.
    Init,
    /// A number loaded, stored or changed atomically.
    Atomic,
}

impl AccessKind {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// All, each at its own place.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Read,
        Self::Write,
        Self::Fill,
        Self::Discard,
        Self::Upload,
        Self::Download,
        Self::Compare,
        Self::Gather,
        Self::Scatter,
        Self::Load,
        Self::Store,
        Self::Copy,
        Self::Init,
        Self::Atomic,
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Fill => "fill",
            Self::Discard => "discard",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Compare => "compare",
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::Load => "load",
            Self::Store => "store",
            Self::Copy => "copy",
            Self::Init => "init",
            Self::Atomic => "atomic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_stands_where_its_index_says() {
        for (place, kind) in AccessKind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), place);
        }
    }
}
