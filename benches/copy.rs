//! Copy and fill against libc's, called through pointers that the compiler cannot see through.
//! Interleaved rounds, the median of each: `cargo bench --bench copy`.

#![expect(unsafe_code, reason = "measures the assembly against memcpy and memset")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::time::Instant;

const SIZES: [usize; 19] = [
    1,
    8,
    16,
    32,
    64,
    100,
    128,
    200,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    4096,
    16_384,
    65_536,
    1 << 20,
];
const ROUNDS: usize = 21;

fn ours_copy(dst: *mut u8, src: *const u8, length: usize) {
    let copy: unsafe fn(*mut u8, *const u8, usize) -> usize = black_box(linmemd::os::copy::copy);
    // SAFETY: `measure` passes two distinct buffers of at least `length` bytes.
    black_box(unsafe { copy(dst, src, length) });
}

fn libc_copy(dst: *mut u8, src: *const u8, length: usize) {
    let memcpy: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void =
        black_box(libc::memcpy);
    // SAFETY: `measure` passes two distinct buffers of at least `length` bytes.
    black_box(unsafe { memcpy(dst.cast(), src.cast(), length) });
}

fn ours_fill(dst: *mut u8, _: *const u8, length: usize) {
    let fill: unsafe fn(*mut u8, u8, usize) -> usize = black_box(linmemd::os::copy::fill);
    // SAFETY: `measure` passes a buffer of at least `length` bytes.
    black_box(unsafe { fill(dst, 7, length) });
}

fn libc_fill(dst: *mut u8, _: *const u8, length: usize) {
    let memset: unsafe extern "C" fn(*mut c_void, c_int, usize) -> *mut c_void =
        black_box(libc::memset);
    // SAFETY: `measure` passes a buffer of at least `length` bytes.
    black_box(unsafe { memset(dst.cast(), 7, length) });
}

/// Nanoseconds a call.
fn measure(call: impl Fn(*mut u8, *const u8, usize), offset: usize, length: usize) -> f64 {
    let source = vec![1_u8; length + 64];
    let mut target = vec![2_u8; length + 64];
    let calls = (4_000_000 / (length + 20)).max(20);
    let dst = target[offset..].as_mut_ptr();
    let src = source[offset / 2..].as_ptr();
    call(dst, src, length);
    let begin = Instant::now();
    for _ in 0..calls {
        call(black_box(dst), black_box(src), black_box(length));
    }
    begin.elapsed().as_secs_f64() * 1e9 / calls as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    println!(
        "{:>8} {:>3} {:>10} {:>10} {:>6}   {:>10} {:>10} {:>6}",
        "bytes", "at", "copy ns", "memcpy", "ratio", "fill ns", "memset", "ratio"
    );
    for length in SIZES {
        for offset in [0, 13] {
            let mut figures: [Vec<f64>; 4] = Default::default();
            for _ in 0..ROUNDS {
                figures[0].push(measure(ours_copy, offset, length));
                figures[1].push(measure(libc_copy, offset, length));
                figures[2].push(measure(ours_fill, offset, length));
                figures[3].push(measure(libc_fill, offset, length));
            }
            let [copy, memcpy, fill, memset] = figures.map(median);
            println!(
                "{length:>8} {offset:>3} {copy:>10.1} {memcpy:>10.1} {:>6.2}   {fill:>10.1} {memset:>10.1} {:>6.2}",
                copy / memcpy,
                fill / memset
            );
        }
    }
}
