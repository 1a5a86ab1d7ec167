//! The copy and fill routines for x86-64, in assembly, and the table that says where each may fault
//! and where it then goes on.
//!
//! Law: between an entry's `from` and `to` the routine has no stack frame and nothing to undo, and
//! the register that the landing returns never says less than what is left to move. So a signal
//! handler may set the instruction pointer from any instruction of the range to the landing, and
//! the caller sees an ordinary return with a count. Does not know why it faulted.
//!
//! ```text
//!  0          1..16          17..64               65..=1535           1536 and more
//!  nothing    two overlapping moves, each         64 a turn, then     64 by vectors, then
//!             loaded before any is stored         the last 64 again   rep movsb / rep stosb
//!  left:      all of it                           rdx                 rcx
//! ```
//!
//! SSE2 is all it needs, which every x86-64 has. `rep` is fast on every server processor of the
//! last ten years (ERMS) and starts fast on those of the last five (FSRM); it moves whole lines and
//! needs no wider registers. No non-temporal stores: what was written is read next.

#![expect(unsafe_code, reason = "assembly, and the table that it defines")]

use std::arch::global_asm;
use std::ffi::c_int;

use crate::os::fixups::FixUp;

/// From how many bytes on `rep` is used: where it overtook the vector loop (`benches/copy.rs`).
pub(super) const LONG_FROM: usize = 1536;

const FIXUPS: usize = 4;

unsafe extern "sysv64" {
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
    .pushsection .text.linmemd_copy,"ax",@progbits
    .globl linmemd_copy
    .hidden linmemd_copy
    .type linmemd_copy, @function
    .p2align 6
// rdi: destination, rsi: source, rdx: length. Answers in rax what was not moved.
linmemd_copy:
    .cfi_startproc
.Llinmemd_copy_from:
    cmp rdx, 32
    ja 30f
    cmp rdx, 16
    jb 10f
    movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    xor eax, eax
    ret
10: cmp edx, 8
    jb 11f
    mov rax, [rsi]
    mov rcx, [rsi + rdx - 8]
    mov [rdi], rax
    mov [rdi + rdx - 8], rcx
    xor eax, eax
    ret
11: cmp edx, 4
    jb 12f
    mov eax, [rsi]
    mov ecx, [rsi + rdx - 4]
    mov [rdi], eax
    mov [rdi + rdx - 4], ecx
    xor eax, eax
    ret
12: test edx, edx
    je 13f
    mov r8, rdx
    shr r8
    movzx eax, byte ptr [rsi]
    movzx r9d, byte ptr [rsi + r8]
    movzx ecx, byte ptr [rsi + rdx - 1]
    mov [rdi], al
    mov [rdi + r8], r9b
    mov [rdi + rdx - 1], cl
13: xor eax, eax
    ret
    .p2align 4
30: cmp rdx, 64
    ja 40f
    movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + rdx - 32]
    movups xmm3, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + rdx - 32], xmm2
    movups [rdi + rdx - 16], xmm3
    xor eax, eax
    ret
40: cmp rdx, 128
    ja 41f
    movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups xmm4, [rsi + rdx - 64]
    movups xmm5, [rsi + rdx - 48]
    movups xmm6, [rsi + rdx - 32]
    movups xmm7, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    movups [rdi + rdx - 64], xmm4
    movups [rdi + rdx - 48], xmm5
    movups [rdi + rdx - 32], xmm6
    movups [rdi + rdx - 16], xmm7
    xor eax, eax
    ret
41: cmp rdx, {rep_from}
    jae 50f
// 16 wherever they lie, then on from where stores are aligned: a store across two lines is two.
    movups xmm0, [rsi]
    movups [rdi], xmm0
    mov eax, edi
    neg eax
    and eax, 15
    add rsi, rax
    add rdi, rax
    sub rdx, rax
    .p2align 4
42: movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movaps [rdi], xmm0
    movaps [rdi + 16], xmm1
    movaps [rdi + 32], xmm2
    movaps [rdi + 48], xmm3
    add rsi, 64
    add rdi, 64
    sub rdx, 64
    cmp rdx, 64
    ja 42b
// 1 to 64 are left: the last 64 of all, some of them a second time.
    movups xmm0, [rsi + rdx - 64]
    movups xmm1, [rsi + rdx - 48]
    movups xmm2, [rsi + rdx - 32]
    movups xmm3, [rsi + rdx - 16]
    movups [rdi + rdx - 64], xmm0
    movups [rdi + rdx - 48], xmm1
    movups [rdi + rdx - 32], xmm2
    movups [rdi + rdx - 16], xmm3
    xor eax, eax
    ret
// 64 by vectors, then on from the destination's next cache line, which rep wants to begin at.
50: movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    mov rax, rdi
    neg rax
    and eax, 63
    add rdi, rax
    add rsi, rax
    mov rcx, rdx
    sub rcx, rax
.Llinmemd_copy_rep:
    rep movsb
.Llinmemd_copy_to:
    xor eax, eax
    ret
.Llinmemd_copy_left_rdx:
    mov rax, rdx
    ret
.Llinmemd_copy_left_rcx:
    mov rax, rcx
    ret
    .cfi_endproc
    .size linmemd_copy, . - linmemd_copy
    .popsection

    .pushsection .text.linmemd_fill,"ax",@progbits
    .globl linmemd_fill
    .hidden linmemd_fill
    .type linmemd_fill, @function
    .p2align 6
// rdi: destination, esi: value in its low byte, rdx: length. Answers in rax what was not stored.
linmemd_fill:
    .cfi_startproc
.Llinmemd_fill_from:
    movzx eax, sil
    movabs rcx, 0x0101010101010101
    imul rax, rcx
    cmp rdx, 16
    jb 10f
    movq xmm0, rax
    punpcklqdq xmm0, xmm0
    cmp rdx, 32
    ja 30f
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm0
    xor eax, eax
    ret
10: cmp edx, 8
    jb 11f
    mov [rdi], rax
    mov [rdi + rdx - 8], rax
    xor eax, eax
    ret
11: cmp edx, 4
    jb 12f
    mov [rdi], eax
    mov [rdi + rdx - 4], eax
    xor eax, eax
    ret
12: test edx, edx
    je 13f
    mov rcx, rdx
    shr rcx
    mov [rdi], al
    mov [rdi + rcx], al
    mov [rdi + rdx - 1], al
13: xor eax, eax
    ret
    .p2align 4
30: cmp rdx, 64
    ja 40f
    movups [rdi], xmm0
    movups [rdi + 16], xmm0
    movups [rdi + rdx - 32], xmm0
    movups [rdi + rdx - 16], xmm0
    xor eax, eax
    ret
40: cmp rdx, 128
    ja 41f
    movups [rdi], xmm0
    movups [rdi + 16], xmm0
    movups [rdi + 32], xmm0
    movups [rdi + 48], xmm0
    jmp 43f
41: cmp rdx, {rep_from}
    jae 50f
    movups [rdi], xmm0
    mov ecx, edi
    neg ecx
    and ecx, 15
    add rdi, rcx
    sub rdx, rcx
    .p2align 4
42: movaps [rdi], xmm0
    movaps [rdi + 16], xmm0
    movaps [rdi + 32], xmm0
    movaps [rdi + 48], xmm0
    add rdi, 64
    sub rdx, 64
    cmp rdx, 64
    ja 42b
43:
    movups [rdi + rdx - 64], xmm0
    movups [rdi + rdx - 48], xmm0
    movups [rdi + rdx - 32], xmm0
    movups [rdi + rdx - 16], xmm0
    xor eax, eax
    ret
50: movups [rdi], xmm0
    movups [rdi + 16], xmm0
    movups [rdi + 32], xmm0
    movups [rdi + 48], xmm0
    mov r8, rdi
    neg r8
    and r8d, 63
    add rdi, r8
    mov rcx, rdx
    sub rcx, r8
.Llinmemd_fill_rep:
    rep stosb
.Llinmemd_fill_to:
    xor eax, eax
    ret
.Llinmemd_fill_left_rdx:
    mov rax, rdx
    ret
.Llinmemd_fill_left_rcx:
    mov rax, rcx
    ret
    .cfi_endproc
    .size linmemd_fill, . - linmemd_fill
    .popsection

    .pushsection .rodata.linmemd_fixups,"a",@progbits
    .globl linmemd_fixups
    .hidden linmemd_fixups
    .type linmemd_fixups, @object
    .p2align 2
linmemd_fixups:
    .long .Llinmemd_copy_from - .
    .long .Llinmemd_copy_rep - .
    .long .Llinmemd_copy_left_rdx - .

    .long .Llinmemd_copy_rep - .
    .long .Llinmemd_copy_to - .
    .long .Llinmemd_copy_left_rcx - .

    .long .Llinmemd_fill_from - .
    .long .Llinmemd_fill_rep - .
    .long .Llinmemd_fill_left_rdx - .

    .long .Llinmemd_fill_rep - .
    .long .Llinmemd_fill_to - .
    .long .Llinmemd_fill_left_rcx - .
// Refuses more entries than FIXUPS; fewer are filled up with empty ones.
    .org linmemd_fixups + {fixups} * 12
    .size linmemd_fixups, {fixups} * 12
    .popsection
"#,
    rep_from = const LONG_FROM,
    fixups = const FIXUPS,
);
