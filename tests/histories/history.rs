//! What a history is made of: calls on one of few memories, what was answered, and when.
//!
//! Owns the places that all calls are about: eight hot words and a block in each memory. Law: a record
//! says everything that a caller could see of a call, failures included, and nothing else; when it was
//! sent and when it was back is read from one clock. Judges nothing.

/// Bytes of a page.
pub(crate) const PAGE: u64 = 65_536;
/// The most pages that any memory here may have.
pub(crate) const MAXIMUM_PAGES: u64 = 8;
/// How many places there are.
pub(crate) const CELLS: usize = 9;
/// How many memories a recording is about.
pub(crate) const MEMORIES: usize = 2;
/// How many clients call at once.
pub(crate) const CLIENTS: usize = 8;

/// Where each place begins, in order, and how long it is. First the block, which is only ever written
/// whole with one number throughout; then words: six side by side across the end of the first page, one
/// at the end of the third page, one at the beginning of the sixth.
const PLACES: [(u64, u64); CELLS] = [
    (4_096, 4_096),
    (PAGE - 32, 8),
    (PAGE - 24, 8),
    (PAGE - 16, 8),
    (PAGE - 8, 8),
    (PAGE, 8),
    (PAGE + 8, 8),
    (3 * PAGE - 8, 8),
    (5 * PAGE, 8),
];

/// The words that lie side by side.
pub(crate) const SIDE_BY_SIDE: Span = Span { first: 1, last: 6 };
/// What lies in the first page, which every memory has.
pub(crate) const FIRST_PAGE: Span = Span { first: 0, last: 4 };
/// All of them: more bytes than are moved on a serving thread.
pub(crate) const EVERYTHING: Span = Span { first: 0, last: 8 };

/// Places one after the other, first and last included, and the bytes between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Span {
    pub(crate) const fn one(cell: usize) -> Self {
        Self { first: cell, last: cell }
    }

    pub(crate) const fn cells(self) -> std::ops::RangeInclusive<usize> {
        self.first..=self.last
    }

    pub(crate) const fn count(self) -> usize {
        self.last - self.first + 1
    }

    pub(crate) const fn offset(self) -> u64 {
        PLACES[self.first].0
    }

    pub(crate) const fn end(self) -> u64 {
        PLACES[self.last].0 + PLACES[self.last].1
    }

    pub(crate) const fn length(self) -> u64 {
        self.end() - self.offset()
    }

    /// Its bytes, with these numbers in its places and zero between.
    pub(crate) fn bytes(self, values: &[u64]) -> Vec<u8> {
        assert_eq!(values.len(), self.count());
        let mut bytes = vec![0; usize::try_from(self.length()).unwrap()];
        for (cell, value) in self.cells().zip(values) {
            for word in bytes[self.within(cell)].chunks_exact_mut(8) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    /// The numbers in its places; none where the block is not one number throughout.
    pub(crate) fn values(self, bytes: &[u8]) -> Option<Vec<u64>> {
        assert_eq!(u64::try_from(bytes.len()).unwrap(), self.length());
        let value = |cell| {
            let mut words = bytes[self.within(cell)].chunks_exact(8);
            let first = words.next()?;
            words.all(|word| word == first).then(|| u64::from_le_bytes(first.try_into().unwrap()))
        };
        self.cells().map(value).collect()
    }

    fn within(self, cell: usize) -> std::ops::Range<usize> {
        let (offset, length) = PLACES[cell];
        let begin = usize::try_from(offset - self.offset()).unwrap();
        begin..begin + usize::try_from(length).unwrap()
    }
}

/// One step of what happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read(Span),
    Write(Span, Vec<u64>),
    Fill(Span, u8),
    /// Of the memory as it was before the group.
    Compare(Span, Vec<u64>),
    /// Among the words side by side; to where its first goes.
    Copy(Span, usize),
    Add(usize, u64),
    Exchange(usize, u64),
    CompareExchange {
        cell: usize,
        expected: u64,
        replacement: u64,
    },
    Size,
}

/// Which RPC carries steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// That of the one step's own name.
    Own,
    List,
    Packed,
    SessionSingle,
    SessionList,
    SessionPacked,
}

/// Which memory of that name is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// Another is UID_MISMATCH.
    Uid(u128),
    /// What a session attached: another is never reached.
    Attached(u128),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Steps(Way, Vec<Step>),
    Grow {
        delta: u64,
        expected: Option<u64>,
    },
    /// GetMemory.
    Describe,
    /// To the client's session.
    Attach,
    /// The form is what is asked of the host: of no consequence for what is promised.
    Create {
        pages: u64,
        form: usize,
    },
    Delete,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) memory: usize,
    pub(crate) wanted: Wanted,
    pub(crate) deed: Deed,
}

impl Call {
    pub(crate) fn steps(&self) -> &[Step] {
        match &self.deed {
            Deed::Steps(_, steps) => steps,
            _ => &[],
        }
    }

    /// The same with other steps.
    pub(crate) fn with(&self, steps: Vec<Step>) -> Self {
        let way = match &self.deed {
            Deed::Steps(way @ (Way::Packed | Way::SessionList | Way::SessionPacked), _) => *way,
            Deed::Steps(Way::SessionSingle, _) => Way::SessionList,
            _ => Way::List,
        };
        Self { deed: Deed::Steps(way, steps), ..*self }
    }
}

/// What one step answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Values(Vec<u64>),
    /// Bytes of a block of which no one write is the last.
    Torn,
    Old(u64),
    Pages(u64),
}

/// What a call answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answers(Vec<Answer>),
    Grown {
        previous: u64,
        current: u64,
    },
    /// Of GetMemory and of an attach.
    Shown {
        uid: u128,
        pages: u64,
    },
    Created(u128),
    Deleted,
    NotFound,
    Exists,
    UidMismatch(u128),
    OutOfBounds {
        size_bytes: u64,
    },
    CompareFailed,
    SizeMismatch {
        current: u64,
    },
    MaximumReached {
        current: u64,
    },
}

/// One call of a history. Times are nanoseconds of one monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) client: usize,
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
    pub(crate) sent: u64,
    pub(crate) back: u64,
}

impl Record {
    /// What it is counted as.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.call.deed {
            Deed::Grow { .. } => "grow",
            Deed::Describe => "describe",
            Deed::Attach => "attach",
            Deed::Create { .. } => "create",
            Deed::Delete => "delete",
            Deed::Steps(_, steps) => match steps.as_slice() {
                [Step::Read(span)] if span.count() == 1 => "read of a word or block",
                [Step::Read(_)] => "read of a range",
                [Step::Write(span, _)] if span.count() == 1 => "write of a word or block",
                [Step::Write(..)] => "write of a range",
                [Step::Fill(..)] => "fill",
                [Step::Copy(..)] => "copy",
                [Step::Add(..)] => "add",
                [Step::Exchange(..)] => "xchg",
                [Step::CompareExchange { expected, .. }] => match &self.outcome {
                    Outcome::Answers(old) if *old == [Answer::Old(*expected)] => {
                        "cmpxchg that stored"
                    }
                    _ => "cmpxchg",
                },
                [Step::Size] => "size",
                _ => "group",
            },
        }
    }

    /// What came of it, for the count.
    pub(crate) fn ending(&self) -> &'static str {
        match &self.outcome {
            Outcome::NotFound => "MEMORY_NOT_FOUND",
            Outcome::Exists => "MEMORY_EXISTS",
            Outcome::UidMismatch(_) => "UID_MISMATCH",
            Outcome::OutOfBounds { .. } => "OUT_OF_BOUNDS",
            Outcome::CompareFailed => "COMPARE_FAILED",
            Outcome::SizeMismatch { .. } => "SIZE_MISMATCH",
            Outcome::MaximumReached { .. } => "MAXIMUM_REACHED",
            _ => "OK",
        }
    }
}
