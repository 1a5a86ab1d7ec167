//! What is for operators: AdminService's calls about the daemon and its tenants.
//!
//! Its law: that of `calls.rs`. None is made for a caller without an operator's role, and what changes the
//! daemon's course is never repeated. Partitions have a file of their own.

use std::future::Future;

use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::client::calls::without;
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::admin_service_client::AdminServiceClient;
use crate::client::proto::{
    DrainRequest, DrainResponse, GetHostRequest, HostInfo, ListTenantsRequest, ListTenantsResponse,
    ReloadRequest, ReloadResponse, Tenant,
};
use crate::client::retry::Repeat;

impl Client {
    /// What the host is and gives.
    pub async fn host(&self) -> Result<HostInfo, ClientError> {
        let answer =
            self.admin(Repeat::Harmless, GetHostRequest {}, async |mut stub: Stub, request| {
                stub.get_host(request).await
            });
        answer.await?.host.ok_or_else(|| without("host"))
    }

    /// Describes one page of the tenants.
    pub async fn list_tenants(
        &self,
        message: ListTenantsRequest,
    ) -> Result<ListTenantsResponse, ClientError> {
        self.admin(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_tenants(request).await
        })
        .await
    }

    /// All of them, page by page.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, ClientError> {
        every(|page_token| async move {
            let message = ListTenantsRequest { page_size: PAGE_SIZE, page_token };
            let page = self.list_tenants(message).await?;
            Ok((page.tenants, page.next_page_token))
        })
        .await
    }

    /// Begins the daemon's drain. Never repeated: a daemon that drains answers nothing else.
    pub async fn drain(&self) -> Result<DrainResponse, ClientError> {
        let response = self.admin_service().drain(self.request(DrainRequest {})).await?;
        Ok(response.into_inner())
    }

    /// Has the daemon read its config anew; with `validate_only` only say what would change. Never
    /// repeated: a second one would tell of no change.
    pub async fn reload(&self, validate_only: bool) -> Result<ReloadResponse, ClientError> {
        let message = ReloadRequest { validate_only };
        Ok(self.admin_service().reload(self.request(message)).await?.into_inner())
    }

    /// One call of theirs, repeated as `repeat` allows.
    pub(super) async fn admin<Q: Clone, R, Send, Sent>(
        &self,
        repeat: Repeat,
        message: Q,
        send: Send,
    ) -> Result<R, ClientError>
    where
        Send: Fn(Stub, Request<Q>) -> Sent,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        self.repeated(repeat, message, |request| send(self.admin_service(), request)).await
    }
}

type Stub = AdminServiceClient<Channel>;
