//! Groups in columns: [`draft`] makes a group of them, [`Rows`] takes them one by one.
//!
//! Law: as many operations as addresses; one opcode and one length for all or for each; every operand
//! is used, in order, and none is left over. What is wrong with a column is wrong with the whole; what
//! is wrong with an operation is said of it.

use bytes::{Buf, Bytes};

use crate::error::Failure;
use crate::memory::{Address, Draft, Width};
use crate::model::AccessKind;
use crate::proto::v1;
use crate::rpc::operations::opcode::Meaning;
use crate::rpc::operations::{MAX_OPERATIONS, Segments, in_operation, invalid, too_many};

/// What a row takes where columns are kept: an address, an opcode and a length.
pub(crate) const ROW_BYTES: usize = 16;

/// Adds the operations of `packed`.
///
/// # Errors
/// INVALID_FIELD, OPERATION_UNKNOWN, and what [`Draft`] says, with the operation that it is of.
pub(crate) fn draft(
    draft: &mut Draft,
    packed: v1::PackedOperations,
    segments: Segments<'_>,
) -> Result<(), Failure> {
    let mut rows = Rows::new(packed)?;
    if rows.addresses.len() > MAX_OPERATIONS as usize {
        return Err(too_many(rows.addresses.len()));
    }
    draft.reserve(rows.addresses.len());
    while let Some(row) = rows.next() {
        let place = rows.place.saturating_sub(1);
        row.and_then(|row| row.add(draft, segments))
            .map_err(|failure| in_operation(place, failure))?;
    }
    rows.end()
}

/// The operations of a packed group, in order.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    opcodes: Vec<i32>,
    addresses: Vec<u64>,
    lengths: Vec<u32>,
    /// What is left of it.
    data: Bytes,
    /// Where one opcode stands for all.
    common: Option<Meaning>,
    length_used: bool,
    place: usize,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Row {
    meaning: Meaning,
    at: u64,
    length: u64,
    operands: Operands,
}

#[derive(Debug)]
enum Operands {
    None,
    Bytes(Bytes),
    Number(u64),
    Two(u64, u64),
    /// From where in which segment.
    Segment(u64, Bytes),
}

impl Rows {
    /// How many there are in all.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Columns that are as long as they must be.
    ///
    /// # Errors
    /// INVALID_FIELD, OPERATION_UNKNOWN.
    pub(crate) fn new(packed: v1::PackedOperations) -> Result<Self, Failure> {
        let v1::PackedOperations { opcodes, addresses, lengths, data } = packed;
        let count = addresses.len();
        let fits = |length: usize| length == count || length <= 1;
        if !fits(opcodes.len()) {
            return Err(invalid("packed.opcodes", ONE_OR_EACH));
        }
        if !fits(lengths.len()) {
            return Err(invalid("packed.lengths", ONE_OR_EACH));
        }
        if opcodes.is_empty() && count > 0 {
            return Err(invalid("packed.opcodes", "is missing"));
        }
        let common = match opcodes.as_slice() {
            [common] => Some(Meaning::of(*common)?),
            _ => None,
        };
        Ok(Self { opcodes, addresses, lengths, data, common, length_used: false, place: 0 })
    }

    /// That all of them can be taken and nothing is left over; how many bytes their results have.
    ///
    /// # Errors
    /// INVALID_FIELD, OPERATION_UNKNOWN, of the operation.
    pub(crate) fn check(&self) -> Result<u64, Failure> {
        let (mut rows, mut answers) = (self.clone(), 0_u64);
        while let Some(row) = rows.next() {
            let row = row.map_err(|failure| in_operation(rows.place.saturating_sub(1), failure))?;
            answers = answers.saturating_add(row.answers());
        }
        rows.end().map(|()| answers)
    }

    /// The next operation.
    pub(crate) fn next(&mut self) -> Option<Result<Row, Failure>> {
        let at = *self.addresses.get(self.place)?;
        let row = self.row(at);
        self.place = self.place.saturating_add(1);
        Some(row)
    }

    fn row(&mut self, at: u64) -> Result<Row, Failure> {
        let meaning = match self.common {
            Some(meaning) => meaning,
            None => Meaning::of(self.opcodes.get(self.place).copied().unwrap_or(0))?,
        };
        let length = self.length(meaning)?;
        let operands = match meaning {
            Meaning::Write | Meaning::Compare => Operands::Bytes(self.take(length)?),
            Meaning::Store(_, number) => Operands::Bytes(self.take(number.width().count().get())?),
            Meaning::Fill => Operands::Number(self.number(Width::One)?),
            Meaning::Copy => Operands::Number(self.number(Width::Eight)?),
            Meaning::Notify => Operands::Number(self.number(Width::Four)?),
            Meaning::AtomicStore([_, to]) | Meaning::Rmw([_, to], _) => {
                Operands::Number(self.number(to)?)
            }
            Meaning::Cmpxchg([_, to]) => Operands::Two(self.number(to)?, self.number(to)?),
            Meaning::Init => {
                let from = self.number(Width::Eight)?;
                let length = self.number(Width::One)?;
                Operands::Segment(from, self.take(length)?)
            }
            Meaning::Size | Meaning::Fence if at != 0 => {
                return Err(invalid("packed.addresses", "must be 0 for what has no address"));
            }
            Meaning::Read
            | Meaning::Load(..)
            | Meaning::AtomicLoad(_)
            | Meaning::Size
            | Meaning::Fence => Operands::None,
        };
        Ok(Row { meaning, at, length, operands })
    }

    fn length(&mut self, meaning: Meaning) -> Result<u64, Failure> {
        let each = self.lengths.len() == self.addresses.len();
        let length = if each { self.lengths.get(self.place) } else { self.lengths.first() };
        if meaning.takes_length() {
            self.length_used = true;
            return length
                .map(|length| (*length).into())
                .ok_or_else(|| invalid("packed.lengths", "is missing"));
        }
        if each && length.is_some_and(|length| *length > 0) {
            return Err(invalid("packed.lengths", "must be 0 for what has no length of its own"));
        }
        Ok(0)
    }

    /// The next so many bytes.
    fn take(&mut self, length: u64) -> Result<Bytes, Failure> {
        match usize::try_from(length) {
            Ok(length) if length <= self.data.len() => Ok(self.data.split_to(length)),
            _ => Err(invalid("packed.data", "ends before the operands do")),
        }
    }

    /// The next number, zero-extended.
    fn number(&mut self, width: Width) -> Result<u64, Failure> {
        if self.data.len() < width.bytes() {
            return Err(invalid("packed.data", "ends before the operands do"));
        }
        Ok(self.data.get_uint_le(width.bytes().min(8)))
    }

    /// That nothing is left over.
    fn end(&self) -> Result<(), Failure> {
        if !self.data.is_empty() {
            return Err(invalid("packed.data", "goes on behind the last operand"));
        }
        let one_for_all = self.lengths.len() == 1 && self.addresses.len() != 1;
        if one_for_all && !self.length_used {
            return Err(invalid("packed.lengths", "is for operations that there are none of"));
        }
        Ok(())
    }
}

impl Row {
    /// How many bytes its result has.
    pub(crate) fn answers(&self) -> u64 {
        match self.meaning {
            Meaning::Read => self.length,
            Meaning::Load(load, _) => load.to.count().get(),
            Meaning::AtomicLoad([_, to]) | Meaning::Rmw([_, to], _) | Meaning::Cmpxchg([_, to]) => {
                to.count().get()
            }
            Meaning::Size => Width::Eight.count().get(),
            Meaning::Notify => Width::Four.count().get(),
            Meaning::Write
            | Meaning::Compare
            | Meaning::Store(..)
            | Meaning::Init
            | Meaning::Copy
            | Meaning::Fill
            | Meaning::Fence
            | Meaning::AtomicStore(_) => 0,
        }
    }

    /// Adds it to a group.
    ///
    /// # Errors
    /// As [`Draft`].
    pub(crate) fn add(self, draft: &mut Draft, segments: Segments<'_>) -> Result<(), Failure> {
        let Self { meaning, at, length, operands } = self;
        let address = Address::at(at);
        match (meaning, operands) {
            (Meaning::Read, _) => draft.read(AccessKind::Read, at, length),
            (Meaning::Load(load, _), _) => draft.load(address, load),
            (Meaning::AtomicLoad([width, to]), _) => draft.atomic_load(address, width, to),
            (Meaning::Size, _) => draft.size(),
            (Meaning::Write, Operands::Bytes(bytes)) => draft.write(AccessKind::Write, at, bytes),
            (Meaning::Compare, Operands::Bytes(bytes)) => draft.compare(at, bytes),
            (Meaning::Store(width, _), Operands::Bytes(bytes)) => {
                draft.store_number(address, width, &bytes)
            }
            (Meaning::Fill, Operands::Number(value)) => {
                let [value, ..] = value.to_le_bytes();
                draft.fill(at, length, value)
            }
            (Meaning::Copy, Operands::Number(from)) => draft.copy(from, at, length),
            (Meaning::Notify, Operands::Number(count)) => {
                draft.notify(address, u32::try_from(count).unwrap_or(u32::MAX))
            }
            (Meaning::AtomicStore([width, _]), Operands::Number(number)) => {
                draft.atomic_store(address, width, number)
            }
            (Meaning::Rmw(widths, operator), Operands::Number(operand)) => {
                draft.rmw(address, widths, operator, operand)
            }
            (Meaning::Cmpxchg(widths), Operands::Two(expected, replacement)) => {
                draft.cmpxchg(address, widths, expected, replacement)
            }
            (Meaning::Init, Operands::Segment(from, id)) => {
                let id = str::from_utf8(&id)
                    .map_err(|_bad| invalid("packed.data", "has a segment_id that is no text"))?;
                draft.write(AccessKind::Init, at, segments(id, from, length)?)
            }
            // A fence; and what row() pairs otherwise, which there is none of.
            (_, _) => Ok(()),
        }
    }
}

const ONE_OR_EACH: &str = "must have one for all or one for each address";
