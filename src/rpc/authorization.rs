//! [`need`]: what each RPC asks of its caller; the whole of authorization, in one table.
//!
//! Law: a row for every RPC of the protos, or this does not compile: [`Method`] is held to the
//! descriptors as the build reads them, and the match has no wildcard. What a message says can ask for
//! more and never for less: a group that writes or wakes needs [`Need::Write`], a segment's bytes
//! [`Need::Read`]. Health and reflection ask for nothing and show no tenant. What a share gives beside is
//! asked where the memory is found (`tenancy/sharing.rs`): nothing, unless an operation says otherwise
//! there; a test has the column of share-holders, RPC by RPC.

use crate::rpc::method::Method;
use crate::tenancy::Need;

/// What an RPC asks of its caller; none: nothing.
pub(crate) const fn need(method: Method) -> Option<Need> {
    Some(match method {
        Method::GetServerInfo => Need::Known,

        Method::GetMemory
        | Method::ListMemories
        // With its data: Read.
        | Method::GetSegment
        | Method::ListSegments
        | Method::GetMemorySet
        | Method::ListMemorySets
        | Method::ListShares => Need::See,

        // A group or a session that writes or wakes: Write.
        Method::ReadMemory
        | Method::DownloadMemory
        | Method::ExecuteOperations
        | Method::OpenSession
        | Method::WaitOnAddress
        | Method::OpenView
        | Method::RefreshView
        | Method::CloseView => Need::Read,

        Method::CreateMemory
        | Method::UpdateMemory
        | Method::DeleteMemory
        | Method::KeepAliveMemory
        | Method::GrowMemory
        | Method::WriteMemory
        | Method::UploadMemory
        | Method::FillMemory
        | Method::CopyMemory
        | Method::DiscardMemory
        | Method::ProtectMemory
        | Method::SetVolatility
        | Method::VerifyMemory
        | Method::NotifyAddress
        | Method::PutSegment
        | Method::InitMemory
        | Method::DropSegment
        | Method::CreateMemorySet
        | Method::DeleteMemorySet
        | Method::ResetMemoryStats
        | Method::ShareMemory
        | Method::RevokeShare
        | Method::MountShare => Need::Write,

        Method::GetGrowHook | Method::ListGrowHooks => Need::SeeHooks,
        Method::CreateGrowHook | Method::DeleteGrowHook | Method::AnswerGrowHook => Need::Decide,

        Method::WatchEvents => Need::Watch,

        Method::GetHost | Method::ListTenants | Method::GetPartition | Method::ListPartitions => {
            Need::SeeHost
        }
        Method::Drain | Method::Reload | Method::CreatePartition | Method::DeletePartition => {
            Need::Operate
        }

        Method::HealthCheck
        | Method::HealthWatch
        | Method::ReflectionV1
        | Method::ReflectionV1Alpha
        | Method::Unknown => return None,
    })
}

/// Whether a call is one of a tenant's operations: what is the host's business is not in its rate, so
/// that an operator can always look and act.
pub(crate) const fn is_of_tenants(method: Method) -> bool {
    !matches!(need(method), Some(Need::SeeHost | Need::Operate))
}
