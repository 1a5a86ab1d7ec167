//! Compiles `proto/` with protox, a compiler in Rust, so that no `protoc` is needed. Of the product
//! only the client's stubs are generated: the server's side is `src/rpc/`, which reads each
//! message's length before a byte of it is buffered. The generated server that `benches/echo/` is
//! goes to a folder of its own and shares the product's messages.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use protox::prost_reflect::prost_types::FileDescriptorSet;

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
    fs::write(out.join("rpcs.rs"), rpcs(&descriptors)?)?;
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

/// Every RPC of the product, as `src/rpc/method.rs` must have it: an array of `(Method, path, Kind)`.
fn rpcs(descriptors: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut rows = String::from("[\n");
    for file in descriptors.file.iter().filter(|file| file.package() == "linmem.v1") {
        for service in &file.service {
            for rpc in &service.method {
                let (service, rpc, streams) =
                    (service.name(), rpc.name(), rpc.client_streaming() || rpc.server_streaming());
                let kind = if streams { "Stream" } else { "Unary" };
                writeln!(rows, "(Method::{rpc}, \"linmem.v1.{service}/{rpc}\", Kind::{kind}),")?;
            }
        }
    }
    Ok(rows + "]\n")
}
