# What people type while working on linmemd; `.ci/run` calls the same things, and more.

# What must hold before a commit.
check: lint test doc

# The formatter and the lints, warnings denied.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# Everything that needs nothing but Rust.
test *ARGS:
    cargo test --locked {{ARGS}}

# The lock and state protocols, every interleaving.
loom:
    LINMEMD_LOOM=1 cargo test --locked --lib --target-dir target/loom loom

# Every decoder that a stranger can reach; needs a C++ compiler.
fuzz *ARGS:
    fuzz/run {{ARGS}}

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

# In an emulated machine with two NUMA nodes (Debian, as root); names of tests/machine/checks.
machine *CHECKS:
    tests/machine/run {{CHECKS}}

# Beside a plain tonic server; needs h2load (Debian: nghttp2-client).
bench *ARGS:
    cargo bench --locked --bench echo -- {{ARGS}}

run *ARGS:
    cargo run --release --locked -- {{ARGS}}

fmt:
    cargo fmt
