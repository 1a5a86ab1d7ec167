//! Instructions with an address as they are encoded, by WebAssembly's own numbers.
//!
//! Owns: what a number means; the daemon is told the number itself. Law: the address operand, the
//! static offset and the alignment stay apart: their sum is the daemon's to make.

use linmemd::client::proto::AtomicOperator;

/// One of them, as it stands in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Its number, with a prefix byte in front where it has one.
    pub(crate) opcode: u32,
    pub(crate) align_log2: u32,
    /// Of the module's memories.
    pub(crate) memory: u32,
    pub(crate) offset: u64,
    /// Of those that name one.
    pub(crate) lane: u8,
}

/// What its number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Load,
    Store,
    /// Of so many bytes.
    LoadLane(u32),
    StoreLane(u32),
    AtomicLoad(Atomic),
    AtomicStore(Atomic),
    AtomicRmw(Atomic, AtomicOperator),
    AtomicCmpxchg(Atomic),
    Notify,
    /// For so many bytes.
    Wait(u32),
}

/// What an atomic instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Atomic {
    pub(crate) width: u32,
    /// Whether the number is an i64.
    pub(crate) is_wide: bool,
}

/// Every family of atomic instructions has these, in this order.
const ATOMICS: [Atomic; 7] = [
    Atomic { width: 4, is_wide: false },
    Atomic { width: 8, is_wide: true },
    Atomic { width: 1, is_wide: false },
    Atomic { width: 2, is_wide: false },
    Atomic { width: 1, is_wide: true },
    Atomic { width: 2, is_wide: true },
    Atomic { width: 4, is_wide: true },
];

/// Families of them, from 0xFE10 on, that read, change and store.
const OPERATORS: [AtomicOperator; 6] = [
    AtomicOperator::Add,
    AtomicOperator::Sub,
    AtomicOperator::And,
    AtomicOperator::Or,
    AtomicOperator::Xor,
    AtomicOperator::Xchg,
];

impl Access {
    pub(crate) fn meaning(&self) -> Meaning {
        meaning(self.opcode).expect("only such instructions are read as accesses")
    }

    /// Reads the instruction that these bytes begin with; none where it is of another kind.
    pub(crate) fn read(code: &[u8]) -> Option<Self> {
        let mut rest = code.iter();
        let opcode = match *rest.next()? {
            prefix @ 0xFD..=0xFE => {
                let number = u32::try_from(leb128(&mut rest)?).ok()?;
                // Numbers of vector instructions go on past one byte; none of ours does.
                if number > 0xFF {
                    return None;
                }
                u32::from(prefix) << 8 | number
            }
            plain => plain.into(),
        };
        let meaning = meaning(opcode)?;
        let align = leb128(&mut rest)?;
        let has_memory = align & 0x40 != 0;
        let align_log2 = u32::try_from(align & !0x40).ok()?;
        let memory = if has_memory { u32::try_from(leb128(&mut rest)?).ok()? } else { 0 };
        let offset = leb128(&mut rest)?;
        let lane = match meaning {
            Meaning::LoadLane(_) | Meaning::StoreLane(_) => *rest.next()?,
            _ => 0,
        };
        Some(Self { opcode, align_log2, memory, offset, lane })
    }
}

fn meaning(opcode: u32) -> Option<Meaning> {
    Some(match opcode {
        0x28..=0x35 | 0xFD00..=0xFD0A | 0xFD5C | 0xFD5D => Meaning::Load,
        0x36..=0x3E | 0xFD0B => Meaning::Store,
        0xFD54..=0xFD57 => Meaning::LoadLane(1 << (opcode - 0xFD54)),
        0xFD58..=0xFD5B => Meaning::StoreLane(1 << (opcode - 0xFD58)),
        0xFE00 => Meaning::Notify,
        0xFE01 => Meaning::Wait(4),
        0xFE02 => Meaning::Wait(8),
        0xFE10..=0xFE4E => {
            let place = usize::try_from(opcode - 0xFE10).ok()?;
            let atomic = ATOMICS[place % ATOMICS.len()];
            match place / ATOMICS.len() {
                0 => Meaning::AtomicLoad(atomic),
                1 => Meaning::AtomicStore(atomic),
                family => match OPERATORS.get(family - 2) {
                    Some(operator) => Meaning::AtomicRmw(atomic, *operator),
                    None => Meaning::AtomicCmpxchg(atomic),
                },
            }
        }
        _ => return None,
    })
}

fn leb128(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.next()?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
