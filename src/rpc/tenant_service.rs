//! AdminService's tenants: message in, the table of tenants, message out.
//!
//! Law: `admin_service.rs`'s. Shows names and sums, and no memory's id. A page of a thousand tenants is some
//! milliseconds of looking: not on a serving thread.

use std::sync::Arc;

use hyper::body::Incoming as Body;

use crate::proto::v1;
use crate::rpc::call::Call;
use crate::rpc::convert;
use crate::rpc::front::Reply;
use crate::rpc::memory_service::{answer, plain};
use crate::rpc::status::Refusal;
use crate::tenancy::{Listed, Tenant};

pub(crate) async fn list(call: &Call, body: Body) -> Result<Reply, Refusal> {
    let request = plain::<v1::ListTenantsRequest>(call, body).await?.message;
    let after = convert::page_start(OF_TENANTS, &request.page_token)?;
    let most = convert::page_size(request.page_size);
    let (server, gate) = (Arc::clone(&call.door.server), Arc::clone(&call.occasion.gate));
    let lane = call.door.access.tenant().namespace.lane();
    let page = move || {
        let (tenants, more) = server.tenants.list(after.as_ref(), most);
        let last = tenants.last().filter(|_| more);
        v1::ListTenantsResponse {
            next_page_token: convert::page_token(
                OF_TENANTS,
                last.map(|last| &last.tenant.namespace.name),
            ),
            tenants: tenants.iter().map(message).collect(),
        }
    };
    answer(&call.door.server.registry.pool.run_once(lane, gate, page).await?)
}

/// What tokens of this list are of: no label selector begins so.
const OF_TENANTS: &str = "/tenants";

/// What a tenant may have, and has.
pub(crate) fn quotas(tenant: &Tenant) -> Vec<v1::Quota> {
    let quotas = tenant.holdings().map(|holding| v1::Quota {
        resource: holding.resource.to_owned(),
        limit: holding.limit,
        used: holding.used,
    });
    quotas.into()
}

fn message(Listed { tenant, is_closed }: &Listed) -> v1::Tenant {
    let state = if *is_closed { v1::TenantState::Closed } else { v1::TenantState::Active };
    v1::Tenant {
        tenant: tenant.namespace.name.to_string(),
        state: state.into(),
        quotas: quotas(tenant),
    }
}
