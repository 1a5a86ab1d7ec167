//! The plain server: what `tonic` generates from the proto, and nothing around it.
//!
//! Owns: the handlers of the RPCs that the comparison calls, one current-thread runtime a
//! core, and the one listener that deals connections to them in turn. Law: no layer, no limit, no
//! metric; a copy in or out of the array is all that a handler does. Does not: serve the other
//! RPCs, check who calls, or keep any promise of linmemd's.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, iter, thread};

use linmemd::proto::v1::{self, *};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::codegen::tokio_stream::{self, Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use self::generated::memory_service_server::{MemoryService, MemoryServiceServer};
use crate::Failure;
use crate::array::Array;
use crate::groups::{self, outside};
use crate::shape::{
    CHUNK_BYTES, CONNECTION_WINDOW_BYTES, FRAME_BYTES, MEMORY_BYTES, STREAM_WINDOW_BYTES, STREAMS,
};

mod generated {
    #![allow(
        missing_docs,
        unreachable_pub,
        dead_code,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    tonic::include_proto!("echo/linmem.v1");
}

/// RPCs that are not served, as the generated trait wants them.
macro_rules! not_served {
    ($($name:ident $request:ident $response:ident)*) => {$(
        fn $name<'a, 'b>(
            &'a self,
            _: Request<v1::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<v1::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(std::future::ready(not_served()))
        }
    )*};
}

/// Serves until killed.
pub(crate) fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let array = Arc::new(Array::new());
    let listener = TcpListener::bind(listen)?;
    let cores = thread::available_parallelism()?.get();
    let mut runtimes = Vec::with_capacity(cores);
    for core in 0..cores {
        let (deal, dealt) = mpsc::unbounded_channel();
        let array = Arc::clone(&array);
        thread::Builder::new().name(format!("echo-{core}")).spawn(move || run(array, dealt))?;
        runtimes.push(deal);
    }
    println!("echo: http://{} on {cores} runtimes", listener.local_addr()?);
    for runtime in runtimes.iter().cycle() {
        let (connection, _) = listener.accept()?;
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        runtime.send(connection)?;
    }
    Ok(())
}

fn run(array: Arc<Array>, dealt: UnboundedReceiver<TcpStream>) -> Result<(), Failure> {
    let server = Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(STREAMS)
        .serve_with_incoming(MemoryServiceServer::new(Plain { array }), Dealt(dealt));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(server)?)
}

// The connections that one runtime was dealt.
struct Dealt(UnboundedReceiver<TcpStream>);

impl Stream for Dealt {
    type Item = io::Result<tokio::net::TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|next| next.map(tokio::net::TcpStream::from_std))
    }
}

struct Plain {
    array: Arc<Array>,
}

fn not_served<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented(
        "the plain server reads, writes, uploads, downloads and reads groups",
    ))
}

#[tonic::async_trait]
impl MemoryService for Plain {
    type DownloadMemoryStream =
        Pin<Box<dyn Stream<Item = Result<DownloadMemoryResponse, Status>> + Send>>;

    async fn read_memory(
        &self,
        request: Request<ReadMemoryRequest>,
    ) -> Result<Response<ReadMemoryResponse>, Status> {
        let request = request.into_inner();
        let data = self.array.read(request.offset, request.length).ok_or_else(outside)?;
        Ok(Response::new(ReadMemoryResponse { data }))
    }

    async fn write_memory(
        &self,
        request: Request<WriteMemoryRequest>,
    ) -> Result<Response<WriteMemoryResponse>, Status> {
        let request = request.into_inner();
        self.array.write(request.offset, &request.data).ok_or_else(outside)?;
        Ok(Response::new(WriteMemoryResponse {}))
    }

    async fn download_memory(
        &self,
        request: Request<DownloadMemoryRequest>,
    ) -> Result<Response<Self::DownloadMemoryStream>, Status> {
        let request = request.into_inner();
        let array = Arc::clone(&self.array);
        let mut offset = request.offset;
        let mut left = request.length.unwrap_or((MEMORY_BYTES as u64).saturating_sub(offset));
        let chunk = request.chunk_bytes.unwrap_or(CHUNK_BYTES as u64);
        let messages = iter::from_fn(move || {
            let length = left.min(chunk);
            (length > 0).then(|| {
                let data = array.read(offset, length).ok_or_else(outside)?;
                let message = DownloadMemoryResponse { offset, data, crc32c: None };
                offset += length;
                left -= length;
                Ok(message)
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn upload_memory(
        &self,
        request: Request<Streaming<UploadMemoryRequest>>,
    ) -> Result<Response<UploadMemoryResponse>, Status> {
        let mut messages = request.into_inner();
        let mut offset = 0;
        let mut bytes_written = 0;
        while let Some(message) = messages.message().await? {
            offset = message.offset.unwrap_or(offset);
            self.array.write(offset, &message.data).ok_or_else(outside)?;
            offset += message.data.len() as u64;
            bytes_written += message.data.len() as u64;
        }
        Ok(Response::new(UploadMemoryResponse { bytes_written, crc32c: 0 }))
    }

    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        not_served()
    }

    async fn create_memory(
        &self,
        _: Request<CreateMemoryRequest>,
    ) -> Result<Response<CreateMemoryResponse>, Status> {
        not_served()
    }

    async fn get_memory(
        &self,
        _: Request<GetMemoryRequest>,
    ) -> Result<Response<GetMemoryResponse>, Status> {
        not_served()
    }

    async fn list_memories(
        &self,
        _: Request<ListMemoriesRequest>,
    ) -> Result<Response<ListMemoriesResponse>, Status> {
        not_served()
    }

    async fn update_memory(
        &self,
        _: Request<UpdateMemoryRequest>,
    ) -> Result<Response<UpdateMemoryResponse>, Status> {
        not_served()
    }

    async fn delete_memory(
        &self,
        _: Request<DeleteMemoryRequest>,
    ) -> Result<Response<DeleteMemoryResponse>, Status> {
        not_served()
    }

    async fn keep_alive_memory(
        &self,
        _: Request<KeepAliveMemoryRequest>,
    ) -> Result<Response<KeepAliveMemoryResponse>, Status> {
        not_served()
    }

    async fn grow_memory(
        &self,
        _: Request<GrowMemoryRequest>,
    ) -> Result<Response<GrowMemoryResponse>, Status> {
        not_served()
    }

    async fn fill_memory(
        &self,
        _: Request<FillMemoryRequest>,
    ) -> Result<Response<FillMemoryResponse>, Status> {
        not_served()
    }

    type OpenSessionStream =
        Pin<Box<dyn Stream<Item = Result<OpenSessionResponse, Status>> + Send>>;

    async fn open_session(
        &self,
        request: Request<Streaming<OpenSessionRequest>>,
    ) -> Result<Response<Self::OpenSessionStream>, Status> {
        let array = Arc::clone(&self.array);
        let answers = request.into_inner().map(move |message| groups::session(&array, message?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn copy_memory(
        &self,
        _: Request<CopyMemoryRequest>,
    ) -> Result<Response<CopyMemoryResponse>, Status> {
        not_served()
    }

    async fn execute_operations(
        &self,
        request: Request<ExecuteOperationsRequest>,
    ) -> Result<Response<ExecuteOperationsResponse>, Status> {
        groups::answer(&self.array, request.into_inner()).map(Response::new)
    }

    async fn protect_memory(
        &self,
        _: Request<ProtectMemoryRequest>,
    ) -> Result<Response<ProtectMemoryResponse>, Status> {
        not_served()
    }

    async fn set_volatility(
        &self,
        _: Request<SetVolatilityRequest>,
    ) -> Result<Response<SetVolatilityResponse>, Status> {
        not_served()
    }

    async fn verify_memory(
        &self,
        _: Request<VerifyMemoryRequest>,
    ) -> Result<Response<VerifyMemoryResponse>, Status> {
        not_served()
    }

    async fn wait_on_address(
        &self,
        _: Request<WaitOnAddressRequest>,
    ) -> Result<Response<WaitOnAddressResponse>, Status> {
        not_served()
    }

    async fn notify_address(
        &self,
        _: Request<NotifyAddressRequest>,
    ) -> Result<Response<NotifyAddressResponse>, Status> {
        not_served()
    }

    async fn discard_memory(
        &self,
        _: Request<DiscardMemoryRequest>,
    ) -> Result<Response<DiscardMemoryResponse>, Status> {
        not_served()
    }
    not_served! {
        put_segment PutSegmentRequest PutSegmentResponse
        get_segment GetSegmentRequest GetSegmentResponse
        list_segments ListSegmentsRequest ListSegmentsResponse
        init_memory InitMemoryRequest InitMemoryResponse
        drop_segment DropSegmentRequest DropSegmentResponse
        create_memory_set CreateMemorySetRequest CreateMemorySetResponse
        get_memory_set GetMemorySetRequest GetMemorySetResponse
        list_memory_sets ListMemorySetsRequest ListMemorySetsResponse
        delete_memory_set DeleteMemorySetRequest DeleteMemorySetResponse
        open_view OpenViewRequest OpenViewResponse
        refresh_view RefreshViewRequest RefreshViewResponse
        close_view CloseViewRequest CloseViewResponse
        reset_memory_stats ResetMemoryStatsRequest ResetMemoryStatsResponse
        share_memory ShareMemoryRequest ShareMemoryResponse
        list_shares ListSharesRequest ListSharesResponse
        revoke_share RevokeShareRequest RevokeShareResponse
        mount_share MountShareRequest MountShareResponse
    }
}
