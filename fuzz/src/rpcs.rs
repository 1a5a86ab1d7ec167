//! [`Rpc`]: every RPC with the types that the protos give it, so that a target can judge an answer
//! without knowing how the daemon came to it.
//!
//! Law: prost's own decoding of the generated types is the oracle; a test of the product's holds the
//! list of RPCs against the protos.

use linmemd::proto::v1;
use prost::Message;

/// One RPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rpc {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// The request's type, of `linmem.v1`.
    pub(crate) request: &'static str,
    pub(crate) is_request: fn(&[u8]) -> bool,
    pub(crate) is_response: fn(&[u8]) -> bool,
}

macro_rules! rpcs {
    ($($service:literal: $($name:literal $request:ident $response:ident)*;)*) => {
        const RPCS: &[Rpc] = &[$($(Rpc {
            name: $name,
            path: concat!("/linmem.v1.", $service, "/", $name),
            request: stringify!($request),
            is_request: |bytes| v1::$request::decode(bytes).is_ok(),
            is_response: |bytes| v1::$response::decode(bytes).is_ok(),
        },)*)*];
    };
}

rpcs! {
    "MemoryService":
        "GetServerInfo" GetServerInfoRequest GetServerInfoResponse
        "CreateMemory" CreateMemoryRequest CreateMemoryResponse
        "GetMemory" GetMemoryRequest GetMemoryResponse
        "ListMemories" ListMemoriesRequest ListMemoriesResponse
        "UpdateMemory" UpdateMemoryRequest UpdateMemoryResponse
        "DeleteMemory" DeleteMemoryRequest DeleteMemoryResponse
        "KeepAliveMemory" KeepAliveMemoryRequest KeepAliveMemoryResponse
        "GrowMemory" GrowMemoryRequest GrowMemoryResponse
        "ReadMemory" ReadMemoryRequest ReadMemoryResponse
        "WriteMemory" WriteMemoryRequest WriteMemoryResponse
        "FillMemory" FillMemoryRequest FillMemoryResponse
        "CopyMemory" CopyMemoryRequest CopyMemoryResponse
        "ExecuteOperations" ExecuteOperationsRequest ExecuteOperationsResponse
        "OpenSession" OpenSessionRequest OpenSessionResponse
        "DiscardMemory" DiscardMemoryRequest DiscardMemoryResponse
        "ProtectMemory" ProtectMemoryRequest ProtectMemoryResponse
        "SetVolatility" SetVolatilityRequest SetVolatilityResponse
        "VerifyMemory" VerifyMemoryRequest VerifyMemoryResponse
        "DownloadMemory" DownloadMemoryRequest DownloadMemoryResponse
        "UploadMemory" UploadMemoryRequest UploadMemoryResponse
        "WaitOnAddress" WaitOnAddressRequest WaitOnAddressResponse
        "NotifyAddress" NotifyAddressRequest NotifyAddressResponse
        "PutSegment" PutSegmentRequest PutSegmentResponse
        "GetSegment" GetSegmentRequest GetSegmentResponse
        "ListSegments" ListSegmentsRequest ListSegmentsResponse
        "InitMemory" InitMemoryRequest InitMemoryResponse
        "DropSegment" DropSegmentRequest DropSegmentResponse
        "CreateMemorySet" CreateMemorySetRequest CreateMemorySetResponse
        "GetMemorySet" GetMemorySetRequest GetMemorySetResponse
        "ListMemorySets" ListMemorySetsRequest ListMemorySetsResponse
        "DeleteMemorySet" DeleteMemorySetRequest DeleteMemorySetResponse
        "OpenView" OpenViewRequest OpenViewResponse
        "RefreshView" RefreshViewRequest RefreshViewResponse
        "CloseView" CloseViewRequest CloseViewResponse
        "ResetMemoryStats" ResetMemoryStatsRequest ResetMemoryStatsResponse
        "ShareMemory" ShareMemoryRequest ShareMemoryResponse
        "ListShares" ListSharesRequest ListSharesResponse
        "RevokeShare" RevokeShareRequest RevokeShareResponse
        "MountShare" MountShareRequest MountShareResponse;
    "HookService":
        "CreateGrowHook" CreateGrowHookRequest CreateGrowHookResponse
        "GetGrowHook" GetGrowHookRequest GetGrowHookResponse
        "ListGrowHooks" ListGrowHooksRequest ListGrowHooksResponse
        "DeleteGrowHook" DeleteGrowHookRequest DeleteGrowHookResponse
        "AnswerGrowHook" AnswerGrowHookRequest AnswerGrowHookResponse;
    "AdminService":
        "GetHost" GetHostRequest GetHostResponse
        "Drain" DrainRequest DrainResponse
        "Reload" ReloadRequest ReloadResponse
        "ListTenants" ListTenantsRequest ListTenantsResponse
        "CreatePartition" CreatePartitionRequest CreatePartitionResponse
        "GetPartition" GetPartitionRequest GetPartitionResponse
        "ListPartitions" ListPartitionsRequest ListPartitionsResponse
        "DeletePartition" DeletePartitionRequest DeletePartitionResponse;
    "EventService":
        "WatchEvents" WatchEventsRequest WatchEventsResponse;
}

/// The RPC of this name.
pub(crate) fn rpc(name: &str) -> &'static Rpc {
    RPCS.iter().find(|rpc| rpc.name == name).unwrap_or_else(|| panic!("no RPC {name}"))
}

/// Where an RPC is among those of a target.
pub(crate) fn number_among(rpcs: &[&str], name: &str) -> u8 {
    let place = rpcs.iter().position(|rpc| *rpc == name).expect("one of them");
    u8::try_from(place).expect("few")
}
