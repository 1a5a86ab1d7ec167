//! [`Meaning`]: what WebAssembly's opcodes, and linmemd's own, do to a memory.
//!
//! Law: the numbers are those of the WebAssembly core specification, section 5.4.6 to 5.4.8, and of its
//! threads proposal; an instruction behind a prefix byte is `prefix << 8 | number`. What is not here is
//! OPERATION_UNKNOWN. Does nothing itself.

use crate::error::Failure;
use crate::memory::{Load, Operator, Width};
use crate::rpc::operations::accesses::{ATOMIC_WIDTHS, LOADS, STORES, WIDE_LOADS};

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Number {
    /// How wide it is.
    pub(crate) const fn width(self) -> Width {
        match self {
            Self::I32 | Self::F32 => Width::Four,
            Self::I64 | Self::F64 => Width::Eight,
            Self::V128 => Width::Sixteen,
        }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Read,
    Write,
    Compare,
    Load(Load, Number),
    /// The lowest so many bytes of a number of that type.
    Store(Width, Number),
    Size,
    Init,
    Copy,
    Fill,
    Notify,
    Fence,
    /// In the memory, and of the number that is answered or given.
    AtomicLoad([Width; 2]),
    AtomicStore([Width; 2]),
    Rmw([Width; 2], Operator),
    Cmpxchg([Width; 2]),
}

impl Meaning {
    /// Of an opcode.
    ///
    /// # Errors
    /// OPERATION_UNKNOWN.
    pub(super) fn of(opcode: i32) -> Result<Self, Failure> {
        let number = u32::try_from(opcode).unwrap_or(u32::MAX);
        meaning(number).ok_or(Failure::OperationUnknown { opcode: number })
    }

    /// Whether how many bytes it takes is said apart.
    pub(super) const fn takes_length(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Write | Self::Compare | Self::Init | Self::Copy | Self::Fill
        )
    }
}

fn meaning(opcode: u32) -> Option<Meaning> {
    use Meaning::{Compare, Copy, Fence, Fill, Init, Notify, Read, Size, Store, Write};
    Some(match opcode {
        1 => Read,
        2 => Write,
        3 => Compare,
        0x28..=0x35 => {
            let (load, number) = LOADS.get(opcode.checked_sub(0x28)? as usize)?;
            Meaning::Load(*load, *number)
        }
        0x36..=0x3E => {
            let (width, number) = STORES.get(opcode.checked_sub(0x36)? as usize)?;
            Store(*width, *number)
        }
        0x3F => Size,
        0xFC08 => Init,
        0xFC0A => Copy,
        0xFC0B => Fill,
        0xFD00..=0xFD0A => Meaning::Load(*WIDE_LOADS.get((opcode & 0xFF) as usize)?, Number::V128),
        0xFD0B => Store(Width::Sixteen, Number::V128),
        0xFD5C => Meaning::Load(Load::zero(Width::Four, Width::Sixteen), Number::V128),
        0xFD5D => Meaning::Load(Load::zero(Width::Eight, Width::Sixteen), Number::V128),
        0xFE00 => Notify,
        0xFE03 => Fence,
        0xFE10..=0xFE4E => atomic(opcode.checked_sub(0xFE10)?)?,
        _ => return None,
    })
}

/// Seven of each kind, in the order of [`ATOMIC_WIDTHS`].
fn atomic(place: u32) -> Option<Meaning> {
    let widths = *ATOMIC_WIDTHS.get(place.checked_rem(7)? as usize)?;
    Some(match place.checked_div(7)? {
        0 => Meaning::AtomicLoad(widths),
        1 => Meaning::AtomicStore(widths),
        2 => Meaning::Rmw(widths, Operator::Add),
        3 => Meaning::Rmw(widths, Operator::Sub),
        4 => Meaning::Rmw(widths, Operator::And),
        5 => Meaning::Rmw(widths, Operator::Or),
        6 => Meaning::Rmw(widths, Operator::Xor),
        7 => Meaning::Rmw(widths, Operator::Xchg),
        8 => Meaning::Cmpxchg(widths),
        _ => return None,
    })
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::memory::Widening;
    use crate::proto::v1::Opcode;

    /// Every value of the proto's enum, by trying all numbers.
    fn opcodes() -> impl Iterator<Item = Opcode> {
        (1..=0x1_0000).filter_map(|number| Opcode::try_from(number).ok())
    }

    #[test]
    fn every_opcode_of_the_proto_means_something_and_nothing_else_does() {
        assert_eq!(opcodes().count(), 109);
        for number in 0..0x1_0100 {
            let known = Opcode::try_from(number).is_ok_and(|opcode| opcode != Opcode::Unspecified);
            assert_eq!(Meaning::of(number).is_ok(), known, "{number:#x}");
        }
        assert_eq!(Meaning::of(-1), Err(Failure::OperationUnknown { opcode: u32::MAX }));
    }

    /// The names say what the numbers mean: their type, their width, their sign.
    #[test]
    fn opcodes_mean_what_their_names_say() {
        for opcode in opcodes() {
            let name = opcode.as_str_name().trim_start_matches("OPCODE_");
            let to = match name.get(..3) {
                Some("I32" | "F32") => Width::Four,
                Some("I64" | "F64") => Width::Eight,
                Some("V12") => Width::Sixteen,
                _ => continue,
            };
            let bits: String = name
                .split(['_', 'X'])
                .find_map(|word| ["LOAD", "STORE", "RMW"].iter().find_map(|p| word.strip_prefix(p)))
                .unwrap_or_default()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let narrow = bits.parse::<u64>().ok().and_then(|bits| Width::of(bits / 8));
            let meaning = Meaning::of(opcode.into()).unwrap();
            match meaning {
                Meaning::Load(load, number) => {
                    assert_eq!((load.to, number.width()), (to, to), "{name}");
                    match load.widening {
                        Widening::Sign => assert!(name.ends_with("_S"), "{name}"),
                        Widening::Lanes { lane, is_signed } => {
                            assert_eq!((Some(lane), load.width), (narrow, Width::Eight), "{name}");
                            assert!(name.ends_with(if is_signed { "_S" } else { "_U" }), "{name}");
                            continue;
                        }
                        Widening::Splat => assert!(name.ends_with("SPLAT"), "{name}"),
                        Widening::Zero => assert!(!name.ends_with("_S"), "{name}"),
                    }
                    assert_eq!(load.width, narrow.unwrap_or(to), "{name}");
                }
                Meaning::Store(width, number) => {
                    assert_eq!((width, number.width()), (narrow.unwrap_or(to), to), "{name}");
                }
                Meaning::AtomicLoad(widths)
                | Meaning::AtomicStore(widths)
                | Meaning::Rmw(widths, _)
                | Meaning::Cmpxchg(widths) => {
                    assert_eq!(widths, [narrow.unwrap_or(to), to], "{name}");
                }
                other => panic!("{name} is {other:?}"),
            }
            let operator = match meaning {
                Meaning::Rmw(_, operator) => format!("_{operator:?}").to_uppercase(),
                Meaning::Cmpxchg(_) => "_CMPXCHG".to_owned(),
                _ => String::new(),
            };
            assert!(
                name.trim_end_matches("_U").ends_with(&operator) || operator.is_empty(),
                "{name}"
            );
        }
    }
}
