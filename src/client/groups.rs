//! Groups of operations and copies: the calls, and short ways to make operations.
//!
//! Its law: as `calls.rs`. A list that stores something is sent under a request_id where its results
//! are few enough to be remembered; a packed group only under the caller's, for it is the fast form.

use bytes::Bytes;
use tonic::transport::Channel;

use crate::client::calls::set_request_id;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::proto::execute_operations_request::Group;
use crate::client::proto::execute_operations_response::Results;
use crate::client::proto::memory_service_client::MemoryServiceClient;
use crate::client::proto::operation::Operation as Kind;
use crate::client::proto::{
    CopyMemoryRequest, ExecuteOperationsRequest, GatherOperation, Operation, OperationList,
    OperationResult, PackedOperations, operation_result,
};
use crate::client::retry::Repeat;

type Stub = MemoryServiceClient<Channel>;

/// Results that a server remembers for a request_id, unless GetServerInfo says otherwise.
const REMEMBERED_BYTES: u64 = 1024;

impl From<Kind> for Operation {
    fn from(kind: Kind) -> Self {
        Self { operation: Some(kind) }
    }
}

impl Client {
    /// Carries a list of operations out, whole or not at all; a result for each.
    pub async fn execute(
        &self,
        memory_id: &str,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, ClientError> {
        self.execute_on(memory_id, None, operations).await
    }

    /// The same on the memory of that uid only.
    pub async fn execute_on(
        &self,
        memory_id: &str,
        uid: Option<String>,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, ClientError> {
        let count = operations.len();
        let mut request_id = None;
        if is_remembered(&operations) {
            set_request_id(&mut request_id)?;
        }
        let group = Some(Group::List(OperationList { operations }));
        let memory_id = memory_id.to_owned();
        let message =
            ExecuteOperationsRequest { memory_id, uid, group, request_id, ..Default::default() };
        match self.execute_operations(message).await? {
            Results::List(list) if list.results.len() == count => Ok(list.results),
            _ => Err(ClientError::Answer("a result was due for each operation".to_owned())),
        }
    }

    /// Carries a packed group out, whole or not at all; its results, one after the other.
    pub async fn execute_packed(
        &self,
        memory_id: &str,
        packed: PackedOperations,
    ) -> Result<Bytes, ClientError> {
        let group = Some(Group::Packed(packed));
        let memory_id = memory_id.to_owned();
        let message = ExecuteOperationsRequest { memory_id, group, ..Default::default() };
        match self.execute_operations(message).await? {
            Results::Packed(packed) => Ok(packed.data),
            Results::List(_) => Err(ClientError::Answer("packed results were due".to_owned())),
        }
    }

    /// Reads ranges of one width, as one operation; their bytes, one range after the other.
    pub async fn gather(
        &self,
        memory_id: &str,
        width: u32,
        offsets: Vec<u64>,
    ) -> Result<Bytes, ClientError> {
        let operation = Kind::Gather(GatherOperation { width, offsets }).into();
        let results = self.execute(memory_id, vec![operation]).await?;
        match results.into_iter().next().and_then(|one| one.result) {
            Some(operation_result::Result::Data(data)) => Ok(data),
            _ => Err(ClientError::Answer("the bytes of a gather were due".to_owned())),
        }
    }

    /// Carries a group out.
    pub async fn execute_operations(
        &self,
        message: ExecuteOperationsRequest,
    ) -> Result<Results, ClientError> {
        let repeat = match message.request_id {
            Some(_) => Repeat::Harmless,
            None => Repeat::Effective,
        };
        self.call(repeat, message, async |mut stub: Stub, request| {
            stub.execute_operations(request).await
        })
        .await?
        .results
        .ok_or_else(|| ClientError::Answer("an answer without results".to_owned()))
    }

    /// Copies a range to the same memory or another, under a request_id.
    pub async fn copy_memory(&self, mut message: CopyMemoryRequest) -> Result<(), ClientError> {
        set_request_id(&mut message.request_id)?;
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.copy_memory(request).await
        })
        .await
        .map(drop)
    }
}

/// Whether operations store something and answer little enough to be remembered.
fn is_remembered(operations: &[Operation]) -> bool {
    let mut stores = false;
    let mut answers = 0u64;
    for operation in operations {
        let more = match &operation.operation {
            Some(Kind::Read(read)) => read.length,
            Some(Kind::Gather(gather)) => {
                (gather.offsets.len() as u64).saturating_mul(gather.width.into())
            }
            Some(Kind::Load(_)) => 16,
            Some(Kind::AtomicLoad(_) | Kind::Size(_)) => 8,
            Some(Kind::Compare(_) | Kind::Fence(_)) | None => 0,
            Some(Kind::AtomicRmw(_) | Kind::AtomicCmpxchg(_) | Kind::Notify(_)) => {
                stores = true;
                8
            }
            Some(
                Kind::Write(_)
                | Kind::Scatter(_)
                | Kind::Store(_)
                | Kind::Fill(_)
                | Kind::Copy(_)
                | Kind::Init(_)
                | Kind::AtomicStore(_),
            ) => {
                stores = true;
                0
            }
        };
        answers = answers.saturating_add(more);
    }
    stores && answers <= REMEMBERED_BYTES
}
