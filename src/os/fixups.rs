//! [`landing`]: where a fault at an instruction goes on, if the instruction is one of ours.
//!
//! Law: a table is read-only constants that the assembly of one file writes beside its routines;
//! every distance is from the field's own address, so that a table needs no relocation at start.
//! Does not know what the routines do, nor why they faulted.

use crate::os::{machine, tagging};

/// One stretch of instructions that may fault: at any of them nothing is to be undone, and going on
/// at the landing is an ordinary return.
#[repr(C)]
pub(super) struct FixUp {
    from: i32,
    to: i32,
    landing: i32,
}

/// Where a fault at this instruction goes on. Async-signal-safe: reads constants.
pub(super) fn landing(instruction: usize) -> Option<usize> {
    let tables = [machine::fixups(), tagging::fixups()];
    tables.into_iter().flatten().find_map(|fixup| {
        let within = (place(&fixup.from)..place(&fixup.to)).contains(&instruction);
        within.then(|| place(&fixup.landing))
    })
}

fn place(field: &i32) -> usize {
    // Sign-extended on purpose: the code may lie before or behind the table.
    std::ptr::from_ref(field).addr().wrapping_add_signed(*field as isize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::machine::{linmemd_copy, linmemd_fill};

    #[test]
    fn only_the_routines_own_instructions_have_a_landing() {
        let copy = (linmemd_copy as *const ()).addr();
        let fill = (linmemd_fill as *const ()).addr();
        let own = (landing as *const ()).addr();
        assert!(landing(copy).is_some_and(|at| at > copy && at < copy + 1024));
        assert!(landing(fill).is_some_and(|at| at > fill && at < fill + 1024));
        for elsewhere in [0, copy - 1, fill - 1, own, usize::MAX] {
            assert_eq!(landing(elsewhere), None, "{elsewhere:#x}");
        }
    }

    #[test]
    fn a_landing_is_no_place_that_may_fault() {
        let copy = (linmemd_copy as *const ()).addr();
        let fill = (linmemd_fill as *const ()).addr();
        for at in [landing(copy), landing(fill)] {
            assert_eq!(landing(at.unwrap()), None);
        }
    }
}
