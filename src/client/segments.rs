//! Segments: MemoryService's calls about them.
//!
//! Its law: that of `calls.rs`.

use bytes::Bytes;

use crate::client::calls::{Stub, set_request_id, without};
use crate::client::connect::Client;
use crate::client::error::ClientError;
use crate::client::pages::{PAGE_SIZE, every};
use crate::client::proto::{
    DropSegmentRequest, GetSegmentRequest, GetSegmentResponse, InitMemoryRequest,
    ListSegmentsRequest, ListSegmentsResponse, PutSegmentRequest, Segment,
};
use crate::client::retry::Repeat;

impl Client {
    /// Keeps bytes as a segment, under a request_id; at most `Limits.max_write_bytes`.
    pub async fn put_segment(
        &self,
        mut message: PutSegmentRequest,
    ) -> Result<Segment, ClientError> {
        set_request_id(&mut message.request_id)?;
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.put_segment(request).await
        })
        .await?
        .segment
        .ok_or_else(|| without("segment"))
    }

    /// Short for [`Client::put_segment`].
    pub async fn put(
        &self,
        segment_id: Option<&str>,
        data: impl Into<Bytes>,
    ) -> Result<Segment, ClientError> {
        let (segment_id, data) = (segment_id.map(str::to_owned), data.into());
        self.put_segment(PutSegmentRequest { segment_id, data, request_id: None }).await
    }

    /// Describes one segment, with its bytes where they are wanted.
    pub async fn get_segment(
        &self,
        message: GetSegmentRequest,
    ) -> Result<GetSegmentResponse, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.get_segment(request).await
        })
        .await
    }

    /// Describes one page of the tenant's segments.
    pub async fn list_segments(
        &self,
        message: ListSegmentsRequest,
    ) -> Result<ListSegmentsResponse, ClientError> {
        self.call(Repeat::Harmless, message, async |mut stub: Stub, request| {
            stub.list_segments(request).await
        })
        .await
    }

    /// All of them, page by page.
    pub async fn segments(&self) -> Result<Vec<Segment>, ClientError> {
        every(|page_token| async move {
            let message = ListSegmentsRequest { page_size: PAGE_SIZE, page_token };
            let page = self.list_segments(message).await?;
            Ok((page.segments, page.next_page_token))
        })
        .await
    }

    /// Puts a part of a segment into a memory.
    pub async fn init_memory(&self, message: InitMemoryRequest) -> Result<(), ClientError> {
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.init_memory(request).await
        })
        .await
        .map(drop)
    }

    /// Short for [`Client::init_memory`].
    pub async fn init(
        &self,
        memory_id: &str,
        destination_offset: u64,
        segment_id: &str,
        source_offset: u64,
        length: u64,
    ) -> Result<(), ClientError> {
        let (memory_id, segment_id) = (memory_id.to_owned(), segment_id.to_owned());
        self.init_memory(InitMemoryRequest {
            memory_id,
            uid: None,
            segment_id,
            destination_offset,
            source_offset,
            length,
        })
        .await
    }

    /// Ends a segment.
    pub async fn drop_segment(
        &self,
        segment_id: &str,
        allow_missing: bool,
    ) -> Result<(), ClientError> {
        let segment_id = segment_id.to_owned();
        let message = DropSegmentRequest { segment_id, allow_missing };
        self.call(Repeat::Effective, message, async |mut stub: Stub, request| {
            stub.drop_segment(request).await
        })
        .await
        .map(drop)
    }
}
