//! libFuzzer with the target that `FUZZ_TARGET` names. Built by `run`, which guides it. With
//! `FUZZ_SEEDS=FOLDER` it writes what the target begins with there, and ends.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use linmemd_fuzz::{Target, mutate, seeds, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} names no target"))
});

fn write_seeds() {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in seeds::of(TARGET.name).iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:02}")), seed).expect("a file");
    }
    std::process::exit(0);
}

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut blind = |bytes: &[u8]| {
        let mut room = bytes.to_vec();
        room.resize(max_size, 0);
        let size = libfuzzer_sys::fuzzer_mutate(&mut room, bytes.len().min(max_size), max_size);
        room.truncate(size);
        room
    };
    let Some(changed) = mutate(TARGET.form, &data[..size], seed, &mut blind) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    let size = changed.len().min(max_size);
    data[..size].copy_from_slice(&changed[..size]);
    size
});

libfuzzer_sys::fuzz_target!(init: write_seeds(), |input: &[u8]| (TARGET.run)(input));
