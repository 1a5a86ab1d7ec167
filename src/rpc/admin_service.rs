//! AdminService: the host as it is, and the drain.
//!
//! Law: shows no tenant's bytes or ids. Looking is for every operator; changing the daemon's course
//! needs the operator's role (`authorization.rs`).

use std::sync::Arc;

use hyper::body::Incoming as Body;

use crate::memory::ReleaseStep;
use crate::proto::v1;
use crate::registry::Step;
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::host::HostView;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::status::Refusal;

pub(crate) async fn host(call: &Call, body: Body) -> Result<Reply, Refusal> {
    plain::<v1::GetHostRequest>(call, body).await?;
    let draining = call.door.server.is_draining();
    let overload = call.door.server.registry.overload.step();
    // A few files of the kernel's are read: not on a serving thread.
    let (server, gate) = (Arc::clone(&call.door.server), Arc::clone(&call.occasion.gate));
    let lane = call.door.access.tenant().namespace.lane();
    let view =
        call.door.server.registry.pool.run_once(lane, gate, move || server.host.view()).await?;
    let host = Some(message(view, draining, overload));
    answer(&v1::GetHostResponse { host })
}

pub(crate) async fn drain(call: &Call, body: Body) -> Result<Reply, Refusal> {
    plain::<v1::DrainRequest>(call, body).await?;
    tracing::info!(call_id = %call.id, "a drain was asked for over the wire");
    call.door.server.ask_for_drain();
    let drain_limit = call.door.server.limits.drain_limit.try_into().ok();
    answer(&v1::DrainResponse { drain_limit })
}

fn message(view: HostView, draining: bool, overload: Step) -> v1::HostInfo {
    v1::HostInfo {
        host_page_bytes: view.host_page_bytes,
        huge_page_pools: view
            .huge_page_pools
            .into_iter()
            .map(|pool| v1::HugePagePool {
                page_bytes: pool.page_bytes,
                total_pages: pool.total,
                free_pages: pool.free,
            })
            .collect(),
        numa_nodes: view
            .numa_nodes
            .into_iter()
            .map(|node| v1::NumaNode {
                node: node.node,
                total_bytes: node.total_bytes,
                free_bytes: node.free_bytes,
                distances: node.distances,
            })
            .collect(),
        guard_kind: convert::guard_kind(view.guard_kind).into(),
        limits: view
            .limits
            .into_iter()
            .map(|limit| v1::HostLimit {
                name: limit.name,
                limit: limit.limit,
                used: limit.used,
                source: limit.source,
            })
            .collect(),
        fallbacks: view
            .fallbacks
            .into_iter()
            .map(|fallback| v1::Fallback {
                kind: fallback.kind,
                reason: fallback.reason,
                count: fallback.count,
            })
            .collect(),
        quarantined_ranges: view
            .quarantined_ranges
            .into_iter()
            .map(|range| v1::QuarantinedRange {
                tenant: range.tenant.to_string(),
                bytes: range.bytes,
                errno: range.errno,
                step: match range.step {
                    ReleaseStep::Wipe => "wipe",
                    ReleaseStep::Release => "release",
                }
                .to_owned(),
                attempts: range.attempts,
            })
            .collect(),
        listeners: view
            .listeners
            .into_iter()
            .map(|listener| v1::Listener {
                address: listener.address,
                protocol: listener.protocol.to_owned(),
                insecure: listener.insecure,
            })
            .collect(),
        confinement: view
            .confinement
            .into_iter()
            .map(|one| v1::ConfinementMeasure {
                measure: one.measure.to_owned(),
                state: one.state.to_owned(),
                reason: one.reason,
            })
            .collect(),
        kernel_release: view.kernel_release,
        draining,
        overload_step: overload.word().to_owned(),
        config_hash: view.config_hash,
    }
}
