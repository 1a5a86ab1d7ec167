//! libFuzzer with the target that `FUZZ_TARGET` names. Built by `run`, which guides it. With
//! `FUZZ_SEEDS=FOLDER` it writes what the target begins with there, and ends.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use linmemd_fuzz::{Target, seeds, target};

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

libfuzzer_sys::fuzz_target!(init: write_seeds(), |input: &[u8]| (TARGET.run)(input));
