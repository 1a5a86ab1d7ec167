//! [`Machine`] on aarch64: the instructions of the Memory Tagging Extension, in assembly, and where
//! they may fault.
//!
//! Law: `copy_aarch64.rs`'s: no frame, nothing to undo, a count that never says less than what is
//! left. No instruction is executed before the probe has seen that the processor has it. Decides
//! nothing: which tags, and of what, is its callers' business.
//!
//! `stz2g` stores 32 zero bytes and their tags, so that tagging fresh memory costs what touching it
//! costs. (`dc gzva` may be faster on some machine; none was there to measure.)

#![expect(unsafe_code, reason = "assembly, and the table that it defines")]

use std::arch::global_asm;
use std::ptr::NonNull;

use crate::os::fixups::FixUp;
use crate::os::kernel::Kernel;
use crate::os::tagging::Untaggable;

/// The processor has the extension and the kernel lets processes use it (`asm/hwcap.h`).
const HWCAP2_MTE: u64 = 1 << 18;

const FIXUPS: usize = 2;

unsafe extern "C" {
    /// Zeroes and tags; how many bytes at most were not reached.
    fn linmemd_zero_and_tag(address: *mut u8, length: usize) -> usize;
    /// The tag of the granule there; above 15 where it cannot be accessed.
    fn linmemd_tag_at(address: *const u8) -> u64;
    /// A tag by chance that is none of `exclude`, nor of those that the thread excluded.
    safe fn linmemd_random_tag(exclude: u64) -> u64;

    /// Written by the assembly below, read-only, never changed.
    static linmemd_tag_fixups: [FixUp; FIXUPS];
}

/// That the processor has the instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine(());

/// Where the routines may fault. Async-signal-safe.
pub(in crate::os) fn fixups() -> &'static [FixUp] {
    // SAFETY: the assembly below defines the table with exactly FIXUPS entries of this layout (`.org`
    // sees to the size), in read-only memory.
    unsafe { &linmemd_tag_fixups }
}

impl Machine {
    pub(super) fn probe(kernel: &dyn Kernel) -> Result<Self, Untaggable> {
        if kernel.hardware_capabilities() & HWCAP2_MTE == 0 {
            return Err(Untaggable::NoHardware);
        }
        Ok(Self(()))
    }

    /// A tag by chance that is none of the bits of `exclude`; 0 where all are.
    pub(super) fn random(self, exclude: u16) -> u8 {
        u8::try_from(linmemd_random_tag(u64::from(exclude))).unwrap_or(0)
    }

    /// Makes the range zero and tags it as the address is tagged; how many bytes at most were not
    /// reached.
    ///
    /// # Safety
    /// No reference points into the range, which is memory that the caller may write or keeps
    /// inaccessible. Both ends are multiples of 64.
    pub(super) unsafe fn zero_and_tag(self, address: NonNull<u8>, length: usize) -> usize {
        // SAFETY: the routine writes this range only, which this function's own conditions allow;
        // that the processor has its instructions is what `self` says.
        unsafe { linmemd_zero_and_tag(address.as_ptr(), length) }
    }

    /// The tag of the granule at the address.
    ///
    /// # Safety
    /// The address is one that the caller may read or keeps inaccessible.
    pub(super) unsafe fn tag_at(self, address: NonNull<u8>) -> Option<u8> {
        // SAFETY: the routine reads the tag of this granule only; as above.
        let tag = unsafe { linmemd_tag_at(address.as_ptr()) };
        u8::try_from(tag).ok().filter(|tag| *tag < 16)
    }
}

global_asm!(
    r#"
    .arch_extension memtag
    .pushsection .text.linmemd_tag,"ax",%progbits
    .globl linmemd_zero_and_tag
    .hidden linmemd_zero_and_tag
    .type linmemd_zero_and_tag, %function
    .p2align 6
// x0: address with its tag, a multiple of 64; x1: length, a multiple of 64. Answers in x0 what is left.
linmemd_zero_and_tag:
    .cfi_startproc
.Llinmemd_tag_from:
    cbz x1, 11f
10: stz2g x0, [x0]
    stz2g x0, [x0, #32]
    add x0, x0, #64
    subs x1, x1, #64
    b.hi 10b
.Llinmemd_tag_to:
11: mov x0, xzr
    ret
.Llinmemd_tag_left:
    mov x0, x1
    ret
    .cfi_endproc
    .size linmemd_zero_and_tag, . - linmemd_zero_and_tag

    .globl linmemd_tag_at
    .hidden linmemd_tag_at
    .type linmemd_tag_at, %function
    .p2align 4
// x0: address. Answers in x0 the tag that is stored there, or all ones.
linmemd_tag_at:
    .cfi_startproc
    mov x1, xzr
.Llinmemd_tag_at_from:
    ldg x1, [x0]
.Llinmemd_tag_at_to:
    ubfx x0, x1, #56, #4
    ret
.Llinmemd_tag_at_none:
    mov x0, #-1
    ret
    .cfi_endproc
    .size linmemd_tag_at, . - linmemd_tag_at

    .globl linmemd_random_tag
    .hidden linmemd_random_tag
    .type linmemd_random_tag, %function
    .p2align 4
// x0: the tags not to choose, one bit each. Answers in x0 the tag chosen.
linmemd_random_tag:
    .cfi_startproc
    mov x1, xzr
    irg x1, x1, x0
    ubfx x0, x1, #56, #4
    ret
    .cfi_endproc
    .size linmemd_random_tag, . - linmemd_random_tag
    .popsection

    .pushsection .rodata.linmemd_tag_fixups,"a",%progbits
    .globl linmemd_tag_fixups
    .hidden linmemd_tag_fixups
    .type linmemd_tag_fixups, %object
    .p2align 2
linmemd_tag_fixups:
    .long .Llinmemd_tag_from - .
    .long .Llinmemd_tag_to - .
    .long .Llinmemd_tag_left - .

    .long .Llinmemd_tag_at_from - .
    .long .Llinmemd_tag_at_to - .
    .long .Llinmemd_tag_at_none - .
// Refuses more entries than FIXUPS; fewer are filled up with empty ones.
    .org linmemd_tag_fixups + {fixups} * 12
    .size linmemd_tag_fixups, {fixups} * 12
    .popsection
    .arch_extension nomemtag
"#,
    fixups = const FIXUPS,
);
