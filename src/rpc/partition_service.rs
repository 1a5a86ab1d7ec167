//! AdminService's partitions: message in, [`Access`](crate::tenancy::Access), message out.
//!
//! Law: `admin_service.rs`'s: looking is for every operator, making and ending needs the operator's
//! role. Shows sums, and no memory's id.

use hyper::body::Incoming as Body;

use crate::error::Failure;
use crate::model::{Id, PageKind, PartitionLimits, PartitionSpec};
use crate::proto::v1;
use crate::registry::{Partition, PartitionFigures};
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::form::{page_kind, page_kind_message};
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::spec::known;
use crate::rpc::status::Refusal;
use crate::units::ByteCount;

pub(crate) async fn create(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::CreatePartitionRequest>(call, body).await?.message;
    call.is_about(|it| it.named(request.partition_id.as_deref(), None));
    let id = request.partition_id.as_deref().map(|id| convert::id("partition_id", id));
    let (id, spec) = (id.transpose()?, wanted(request.spec.unwrap_or_default())?);
    let partition = call.door.access.create_partition(&call.occasion, id, spec).await?;
    tracing::info!(
        call_id = %call.id, partition_id = %partition.id,
        minimum_bytes = partition.spec.minimum.get(), "created a partition"
    );
    answer(&v1::CreatePartitionResponse { partition: Some(message(&partition, None)) })
}

pub(crate) async fn get(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::GetPartitionRequest>(call, body).await?.message;
    let registry = &call.door.server.registry;
    let found = registry.partitions.find(&convert::id("partition_id", &request.partition_id)?)?;
    let children = registry.partitions.children();
    let partition = Some(message(&found, children.get(&found.id)));
    answer(&v1::GetPartitionResponse { partition })
}

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListPartitionsRequest>(call, body).await?.message;
    let registry = &call.door.server.registry;
    let after = convert::page_start(OF_PARTITIONS, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let (partitions, more) = registry.partitions.list(after.as_ref(), most);
    let (last, children) = (partitions.last().filter(|_| more), registry.partitions.children());
    answer(&v1::ListPartitionsResponse {
        next_page_token: convert::page_token(OF_PARTITIONS, last.map(|last| &last.id)),
        partitions: partitions.iter().map(|one| message(one, children.get(&one.id))).collect(),
    })
}

pub(crate) async fn delete(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::DeletePartitionRequest>(call, body).await?.message;
    call.is_about(|it| it.named(Some(&request.partition_id), None));
    let id = convert::id("partition_id", &request.partition_id)?;
    match call.door.access.delete_partition(&call.occasion, &id).await {
        Ok(()) => tracing::info!(call_id = %call.id, partition_id = %id, "deleted a partition"),
        Err(Failure::PartitionNotFound { .. }) if request.allow_missing => {}
        Err(failure) => return Err(failure.into()),
    }
    answer(&v1::DeletePartitionResponse {})
}

/// What tokens of this list are of: no label selector begins so.
const OF_PARTITIONS: &str = "/partitions";

fn wanted(spec: v1::PartitionSpec) -> Result<PartitionSpec, Failure> {
    const TENANTS: &str = "spec.tenants";
    let parent = Some(spec.parent.as_str()).filter(|parent| !parent.is_empty());
    let pages = page_kind(known("spec.page_kind", spec.page_kind)?);
    Ok(PartitionSpec {
        parent: parent.map(|parent| convert::id("spec.parent", parent)).transpose()?,
        maximum: ByteCount::new(spec.maximum_bytes),
        minimum: ByteCount::new(spec.minimum_bytes),
        nodes: spec.nodes,
        pages,
        locked: spec.locked,
        tenants: spec
            .tenants
            .iter()
            .map(|tenant| convert::id(TENANTS, tenant))
            .collect::<Result<_, _>>()?,
        limits: PartitionLimits {
            memories: spec.memories,
            mappings: spec.mappings,
            reserved_bytes: spec.reserved_bytes,
        },
    })
}

fn message(partition: &Partition, children: Option<&Vec<Id>>) -> v1::Partition {
    let PartitionFigures {
        used_bytes,
        borrowed_bytes,
        set_aside_bytes,
        set_aside_failures,
        memories,
        mappings,
        reserved_bytes,
    } = partition.holds();
    let words = |ids: &[Id]| ids.iter().map(ToString::to_string).collect();
    let PartitionSpec { parent, maximum, minimum, nodes, pages, locked, tenants, limits } =
        &partition.spec;
    let kind = pages.unwrap_or(PageKind::Base);
    v1::Partition {
        partition_id: partition.id.to_string(),
        spec: Some(v1::PartitionSpec {
            parent: parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            maximum_bytes: maximum.get(),
            minimum_bytes: minimum.get(),
            nodes: nodes.clone(),
            page_kind: page_kind_message(kind).into(),
            locked: *locked,
            tenants: words(tenants),
            memories: limits.memories,
            mappings: limits.mappings,
            reserved_bytes: limits.reserved_bytes,
        }),
        used_bytes,
        borrowed_bytes,
        set_aside_bytes,
        set_aside_failures,
        memories,
        mappings,
        reserved_bytes,
        children: children.map(|children| words(children)).unwrap_or_default(),
        create_time: Some(partition.created.into()),
    }
}
