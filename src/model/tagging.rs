//! [`Tagging`]: what a spec asks of memory tagging.
//!
//! Law: plain values that mean the same on every machine. Whether they can be had is for the memory
//! floor to say.

use std::num::NonZero;

/// Tagging of one memory, as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagging {
    /// What happens where it cannot be had.
    pub requirement: TagRequirement,
    /// When a wrong tag is told of.
    pub mode: TagMode,
    /// The tags that may be given out: bit n is tag n.
    pub mask: NonZero<u16>,
}

/// What happens where tagging cannot be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagRequirement {
    /// It is not asked for.
    #[default]
    Off,
    /// The memory does without, and says so.
    Prefer,
    /// There is no memory.
    Require,
}

/// When an access with a wrong tag is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagMode {
    /// At once: the access does not happen, and its memory is named.
    #[default]
    Synchronous,
    /// Later, by a counter that names no memory: the access does happen. Costs less on machines that
    /// are slow to check.
    Asynchronous,
}

impl Tagging {
    /// Every tag but 0, which all memory has that nobody tagged.
    pub const DEFAULT_MASK: NonZero<u16> = NonZero::new(0xFFFE).unwrap();
}

impl Default for Tagging {
    fn default() -> Self {
        Self {
            requirement: TagRequirement::default(),
            mode: TagMode::default(),
            mask: Self::DEFAULT_MASK,
        }
    }
}
