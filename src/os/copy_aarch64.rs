//! The copy and fill routines for aarch64, in assembly, and the table that says where each may fault
//! and where it then goes on.
//!
//! Law: between an entry's `from` and `to` the routine has no stack frame and nothing to undo, and
//! the register that the landing returns never says less than what is left to move. So a signal
//! handler may set the program counter from any instruction of the range to the landing, and the
//! caller sees an ordinary return with a count. Nothing outside the two ranges is read, not even
//! within an aligned word of their ends: memory that carries tags is another's from one granule of
//! 16 bytes to the next. Does not know why it faulted.
//!
//! ```text
//!  0          1..16          17..128              129 and more
//!  nothing    two overlapping moves, each         16, then 64 a turn to an aligned
//!             loaded before any is stored         destination, then the last 64 again
//!  left:      all of it (x2)                      x2
//! ```
//!
//! The vector registers that every aarch64 has are all it needs. Neither `dc zva` nor the copying
//! instructions of Armv8.8 are used: no such machine was there to measure them on.

#![expect(unsafe_code, reason = "assembly, and the table that it defines")]

use std::arch::global_asm;
use std::ffi::c_int;

use crate::os::fixups::FixUp;

/// From how many bytes on there are turns.
#[cfg(test)]
pub(super) const LONG_FROM: usize = 129;

const FIXUPS: usize = 2;

unsafe extern "C" {
    /// Moves `length` bytes; how many at most were not moved. See [`crate::os::copy::copy`].
    pub(super) fn linmemd_copy(dst: *mut u8, src: *const u8, length: usize) -> usize;
    /// Stores `length` bytes of `value`; as above. See [`crate::os::copy::fill`].
    pub(super) fn linmemd_fill(dst: *mut u8, value: c_int, length: usize) -> usize;

    /// Written by the assembly below, read-only, never changed.
    static linmemd_fixups: [FixUp; FIXUPS];
}

/// Where the routines may fault. Async-signal-safe.
pub(super) fn fixups() -> &'static [FixUp] {
    // SAFETY: the assembly below defines the table with exactly FIXUPS entries of this layout (`.org`
    // sees to the size), in read-only memory.
    unsafe { &linmemd_fixups }
}

global_asm!(
    r#"
    .pushsection .text.linmemd_copy,"ax",%progbits
    .globl linmemd_copy
    .hidden linmemd_copy
    .type linmemd_copy, %function
    .p2align 6
// x0: destination, x1: source, x2: length. Answers in x0 what was not moved. x3, x4: their ends.
linmemd_copy:
    .cfi_startproc
.Llinmemd_copy_from:
    add x3, x1, x2
    add x4, x0, x2
    cmp x2, #16
    b.lo 10f
    cmp x2, #32
    b.hi 30f
    ldr q0, [x1]
    ldr q1, [x3, #-16]
    str q0, [x0]
    str q1, [x4, #-16]
    mov x0, xzr
    ret
10: tbz x2, #3, 11f
    ldr x5, [x1]
    ldr x6, [x3, #-8]
    str x5, [x0]
    str x6, [x4, #-8]
    mov x0, xzr
    ret
11: tbz x2, #2, 12f
    ldr w5, [x1]
    ldr w6, [x3, #-4]
    str w5, [x0]
    str w6, [x4, #-4]
    mov x0, xzr
    ret
12: cbz x2, 13f
    lsr x5, x2, #1
    ldrb w6, [x1]
    ldrb w7, [x1, x5]
    ldrb w8, [x3, #-1]
    strb w6, [x0]
    strb w7, [x0, x5]
    strb w8, [x4, #-1]
13: mov x0, xzr
    ret
    .p2align 4
30: cmp x2, #64
    b.hi 40f
    ldp q0, q1, [x1]
    ldp q2, q3, [x3, #-32]
    stp q0, q1, [x0]
    stp q2, q3, [x4, #-32]
    mov x0, xzr
    ret
40: cmp x2, #128
    b.hi 50f
    ldp q0, q1, [x1]
    ldp q2, q3, [x1, #32]
    ldp q4, q5, [x3, #-64]
    ldp q6, q7, [x3, #-32]
    stp q0, q1, [x0]
    stp q2, q3, [x0, #32]
    stp q4, q5, [x4, #-64]
    stp q6, q7, [x4, #-32]
    mov x0, xzr
    ret
// 16 wherever they lie, then on from where stores are aligned: a store across two lines is two.
50: ldr q0, [x1]
    str q0, [x0]
    neg x5, x0
    and x5, x5, #15
    add x1, x1, x5
    add x0, x0, x5
    sub x2, x2, x5
    .p2align 4
51: ldp q0, q1, [x1]
    ldp q2, q3, [x1, #32]
    stp q0, q1, [x0]
    stp q2, q3, [x0, #32]
    add x1, x1, #64
    add x0, x0, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hi 51b
// 1 to 64 are left: the last 64 of all, some of them a second time.
    ldp q0, q1, [x3, #-64]
    ldp q2, q3, [x3, #-32]
    stp q0, q1, [x4, #-64]
    stp q2, q3, [x4, #-32]
.Llinmemd_copy_to:
    mov x0, xzr
    ret
.Llinmemd_copy_left:
    mov x0, x2
    ret
    .cfi_endproc
    .size linmemd_copy, . - linmemd_copy
    .popsection

    .pushsection .text.linmemd_fill,"ax",%progbits
    .globl linmemd_fill
    .hidden linmemd_fill
    .type linmemd_fill, %function
    .p2align 6
// x0: destination, w1: value in its low byte, x2: length. Answers in x0 what was not stored.
linmemd_fill:
    .cfi_startproc
.Llinmemd_fill_from:
    dup v0.16b, w1
    add x4, x0, x2
    cmp x2, #16
    b.lo 10f
    cmp x2, #32
    b.hi 30f
    str q0, [x0]
    str q0, [x4, #-16]
    mov x0, xzr
    ret
10: tbz x2, #3, 11f
    str d0, [x0]
    str d0, [x4, #-8]
    mov x0, xzr
    ret
11: tbz x2, #2, 12f
    str s0, [x0]
    str s0, [x4, #-4]
    mov x0, xzr
    ret
12: cbz x2, 13f
    lsr x5, x2, #1
    strb w1, [x0]
    strb w1, [x0, x5]
    strb w1, [x4, #-1]
13: mov x0, xzr
    ret
    .p2align 4
30: cmp x2, #64
    b.hi 40f
    stp q0, q0, [x0]
    stp q0, q0, [x4, #-32]
    mov x0, xzr
    ret
40: cmp x2, #128
    b.hi 50f
    stp q0, q0, [x0]
    stp q0, q0, [x0, #32]
    b 52f
50: str q0, [x0]
    neg x5, x0
    and x5, x5, #15
    add x0, x0, x5
    sub x2, x2, x5
    .p2align 4
51: stp q0, q0, [x0]
    stp q0, q0, [x0, #32]
    add x0, x0, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hi 51b
52: stp q0, q0, [x4, #-64]
    stp q0, q0, [x4, #-32]
.Llinmemd_fill_to:
    mov x0, xzr
    ret
.Llinmemd_fill_left:
    mov x0, x2
    ret
    .cfi_endproc
    .size linmemd_fill, . - linmemd_fill
    .popsection

    .pushsection .rodata.linmemd_fixups,"a",%progbits
    .globl linmemd_fixups
    .hidden linmemd_fixups
    .type linmemd_fixups, %object
    .p2align 2
linmemd_fixups:
    .long .Llinmemd_copy_from - .
    .long .Llinmemd_copy_to - .
    .long .Llinmemd_copy_left - .

    .long .Llinmemd_fill_from - .
    .long .Llinmemd_fill_to - .
    .long .Llinmemd_fill_left - .
// Refuses more entries than FIXUPS; fewer are filled up with empty ones.
    .org linmemd_fixups + {fixups} * 12
    .size linmemd_fixups, {fixups} * 12
    .popsection
"#,
    fixups = const FIXUPS,
);
