//! What the protos say that there is, held against [`Method`] while the daemon is built.
//!
//! Owns the list that `build.rs` writes. Law: an RPC that [`Method`] has not, or has otherwise, is no
//! daemon. Nothing here is there when it runs.

use crate::rpc::method::{Kind, Method};

/// Every RPC of the protos, its path and how its messages come and go.
const DESCRIBED: &[(Method, &str, Kind)] = &include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

const _: () = {
    let mut rest = DESCRIBED;
    while let [(method, path, kind), more @ ..] = rest {
        assert!(is_same(method.name(), path), "an RPC stands in `methods!` under another path");
        assert!(
            method.kind() as u8 == *kind as u8,
            "an RPC stands in `methods!` as of another kind"
        );
        rest = more;
    }
};

const fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([first, rest @ ..], [its, others @ ..]) = (one, other) {
        if *first != *its {
            return false;
        }
        (one, other) = (rest, others);
    }
    one.is_empty() && other.is_empty()
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_of_the_protos_is_found_by_its_path_and_no_other_is() {
        for (method, path, _kind) in DESCRIBED {
            assert_eq!(Method::of(&format!("/{path}")), *method);
        }
        assert_eq!(Method::of("/linmem.v1.MemoryService/Nope"), Method::Unknown);
    }
}
