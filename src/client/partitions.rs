//! Partitions: AdminService's calls about them.
//!
//! Its law: that of `calls.rs`. None is made for a caller without an operator's role, and a creation
//! or deletion is repeated only where the first can have had no effect.

use tonic::transport::Channel;

use crate::client::calls::without;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::admin_service_client::AdminServiceClient;
use crate::client::proto::{
    CreatePartitionRequest, DeletePartitionRequest, GetPartitionRequest, ListPartitionsRequest,
    ListPartitionsResponse, Partition, PartitionSpec,
};
use crate::client::retry::Repeat;

impl Client {
    /// Makes a partition; for operators.
    pub async fn create_partition(
        &self,
        partition_id: Option<&str>,
        spec: PartitionSpec,
    ) -> Result<Partition, ClientError> {
        let partition_id = partition_id.map(str::to_owned);
        let message = CreatePartitionRequest { partition_id, spec: Some(spec) };
        let answer = self.admin(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.create_partition(request).await
        });
        answer.await?.partition.ok_or_else(|| without("partition"))
    }

    /// Describes one partition; for operators.
    pub async fn partition(&self, partition_id: &str) -> Result<Partition, ClientError> {
        let message = GetPartitionRequest { partition_id: partition_id.to_owned() };
        let answer = self.admin(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_partition(request).await
        });
        answer.await?.partition.ok_or_else(|| without("partition"))
    }

    /// Describes one page of the partitions; for operators.
    pub async fn list_partitions(
        &self,
        message: ListPartitionsRequest,
    ) -> Result<ListPartitionsResponse, ClientError> {
        self.admin(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_partitions(request).await
        })
        .await
    }

    /// All of them, page by page; for operators.
    pub async fn partitions(&self) -> Result<Vec<Partition>, ClientError> {
        every(|page_token| async move {
            let message = ListPartitionsRequest { page_size: PAGE_SIZE, page_token };
            let page = self.list_partitions(message).await?;
            Ok((page.partitions, page.next_page_token))
        })
        .await
    }

    /// Ends a partition; for operators.
    pub async fn delete_partition(
        &self,
        partition_id: &str,
        allow_missing: bool,
    ) -> Result<(), ClientError> {
        let partition_id = partition_id.to_owned();
        let message = DeletePartitionRequest { partition_id, allow_missing };
        self.admin(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.delete_partition(request).await
        })
        .await
        .map(drop)
    }
}

type Stub = AdminServiceClient<Channel>;
