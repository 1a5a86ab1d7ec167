//! Compiles `proto/` with protox, a compiler in Rust, so that no `protoc` is needed. Of the product
//! only the client's stubs are generated: the server's side is `src/rpc/`, which reads each
//! message's length before a byte of it is buffered. The generated server that `benches/echo/` is
//! goes to a folder of its own and shares the product's messages.

use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 13] = [
    "linmem/v1/memory.proto",
    "linmem/v1/operation.proto",
    "linmem/v1/session.proto",
    "linmem/v1/wait.proto",
    "linmem/v1/segment.proto",
    "linmem/v1/memory_set.proto",
    "linmem/v1/view.proto",
    "linmem/v1/stats.proto",
    "linmem/v1/share.proto",
    "linmem/v1/memory_service.proto",
    "linmem/v1/admin_service.proto",
    "linmem/v1/event_service.proto",
    "linmem/v1/hook_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    // The library's tests then are those of loom. Not by RUSTFLAGS: all that it depends on would be
    // compiled once more.
    println!("cargo::rerun-if-env-changed=LINMEMD_LOOM");
    if env::var_os("LINMEMD_LOOM").is_some() {
        println!("cargo::rustc-cfg=linmemd_loom");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("linmem.bin"), protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors.clone())?;
    let echo = out.join("echo");
    fs::create_dir_all(&echo)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(echo)
        .extern_path(".linmem.v1", "::linmemd::proto::v1")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
