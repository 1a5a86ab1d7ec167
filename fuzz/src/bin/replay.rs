//! Runs targets on the files of folders, without a fuzzer: `replay TARGET FILE_OR_FOLDER...`.

use std::path::{Path, PathBuf};

use linmemd_fuzz::target;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(target) = target(&name) else { panic!("`{name}` names no target") };
    let mut files: Vec<PathBuf> =
        arguments.map(PathBuf::from).flat_map(|path| within(&path)).collect();
    files.sort();
    for file in &files {
        (target.run)(&std::fs::read(file).expect("a file"));
    }
    println!("{name}: {} inputs", files.len());
}

fn within(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
}
