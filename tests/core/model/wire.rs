//! The real thing over the wire: a daemon in this process and the project's own client.
//!
//! Creates and grows carry no request_id here, which the daemon would remember and charge for.

use bytes::Bytes;
use linmemd::client::proto::{
    ActiveSegment, Allocator, Backing, CheckOutcome, CreateMemoryRequest, DownloadMemoryRequest,
    GrowMemoryRequest, Growth, Guard, IndexType, Memory, MemorySpec, Populate, PutSegmentRequest,
    Reservation, SetVolatilityRequest, UpdateMemoryRequest, Verification, VerificationCheck,
    Volatility, WaitOutcome,
};
use linmemd::client::{ClientError, Upload};
use linmemd::config::Partition;

use super::Door;
use super::deeds::{Answer, Deed, Form, POOL, Seen, Spec, name, pool_bytes};
use crate::served::{NO_SWEEP, Served};

pub(super) struct Wire(Served);

impl Wire {
    pub(super) fn new() -> Self {
        let pool = Partition {
            name: POOL.to_owned(),
            minimum_bytes: pool_bytes(),
            maximum_bytes: 1 << 30,
            ..Partition::default()
        };
        Self(Served::with_arena(NO_SWEEP, vec![pool]))
    }

    pub(super) fn end(self) {
        self.0.end();
    }

    async fn attempt(&self, deed: &Deed) -> Result<Answer, ClientError> {
        let client = &self.0.client;
        match deed {
            Deed::Create { name: number, spec } => {
                let (memory_id, spec) = (Some(name(*number)), Some(asked(spec)));
                let message = CreateMemoryRequest { memory_id, spec, ..Default::default() };
                client.memory_service().create_memory(client.request(message)).await?;
                Ok(Answer::Done)
            }
            Deed::Grow { name: number, delta, expected } => {
                let message = GrowMemoryRequest {
                    memory_id: name(*number),
                    delta_pages: *delta,
                    expected_pages: *expected,
                    ..Default::default()
                };
                let grown = client.memory_service().grow_memory(client.request(message)).await?;
                let grown = grown.into_inner();
                Ok(Answer::Grown(grown.previous_pages, grown.current_pages))
            }
            Deed::Read { name: number, offset, length } => {
                client.read(&name(*number), *offset, *length).await.map(bytes_of)
            }
            Deed::Write { name: number, offset, data } => {
                client.write(&name(*number), *offset, data.clone()).await?;
                Ok(Answer::Done)
            }
            Deed::Fill { name: number, offset, length, value } => {
                client.fill(&name(*number), *offset, *length, *value).await?;
                Ok(Answer::Done)
            }
            Deed::Discard { name: number, offset, length } => {
                assert!(client.discard(&name(*number), *offset, *length).await? <= *length);
                Ok(Answer::Done)
            }
            Deed::Init { name: number, offset, segment, source, length } => {
                let put = PutSegmentRequest { data: segment.clone().into(), ..Default::default() };
                let put = client.memory_service().put_segment(client.request(put)).await?;
                let id = put.into_inner().segment.unwrap().segment_id;
                let init = client.init(&name(*number), *offset, &id, *source, *length).await;
                client.drop_segment(&id, false).await?;
                init.map(|()| Answer::Done)
            }
            Deed::Volatile { name: number, offset, length, may_go } => {
                let volatility =
                    if *may_go { Volatility::Volatile } else { Volatility::Nonvolatile };
                let message = SetVolatilityRequest {
                    memory_id: name(*number),
                    offset: *offset,
                    length: *length,
                    volatility: volatility.into(),
                    ..Default::default()
                };
                client.set_volatility(message).await.map(Answer::WasPurged)
            }
            Deed::Purge => Ok(Answer::Purged(self.0.purge_all().purged_bytes)),
            Deed::Upload { name: number, offset, chunks } => {
                let upload = Upload { offset: *offset, ..Upload::to(name(*number)) };
                let chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk));
                client.upload_chunks(upload, chunks, |_sent| ()).await?;
                Ok(Answer::Done)
            }
            Deed::Download { name: number, offset, length, chunk } => {
                self.download(*number, *offset, *length, *chunk).await
            }
            Deed::Rename { name: number, display_name } => {
                let paths = vec!["display_name".to_owned()];
                let message = UpdateMemoryRequest {
                    memory_id: name(*number),
                    display_name: display_name.clone(),
                    update_mask: Some(prost_types::FieldMask { paths }),
                    ..Default::default()
                };
                client.update_memory(message).await?;
                Ok(Answer::Done)
            }
            Deed::Get { name: number } => {
                Ok(Answer::Seen(seen(client.memory(&name(*number)).await?)))
            }
            Deed::Reset { name: number } => {
                client.reset_stats(&name(*number)).await?;
                Ok(Answer::Done)
            }
            Deed::List => {
                Ok(Answer::Listed(client.list("").await?.into_iter().map(seen).collect()))
            }
            Deed::Wait { name: number, address, width, expected } => {
                let (id, now) = (name(*number), Some(std::time::Duration::ZERO));
                let outcome = match u32::try_from(*expected) {
                    Ok(expected) if *width == 4 => {
                        client.wait32(&id, *address, expected, now).await
                    }
                    _ => client.wait64(&id, *address, *expected, now).await,
                };
                match outcome? {
                    WaitOutcome::TimedOut => Ok(Answer::Waited(true)),
                    WaitOutcome::NotEqual => Ok(Answer::Waited(false)),
                    other => panic!("nobody notifies: {other:?}"),
                }
            }
            Deed::Notify { name: number, address } => {
                client.notify(&name(*number), *address, None).await.map(Answer::Woken)
            }
            Deed::Verify { name: number } => {
                let report = client.verify(&name(*number)).await?;
                let failed = |one: &VerificationCheck| one.outcome() == CheckOutcome::Failed;
                assert!(!report.checks.iter().any(failed), "{report:?}");
                Ok(Answer::Done)
            }
            Deed::Delete { name: number } => {
                client.delete(&name(*number)).await?;
                Ok(Answer::Done)
            }
        }
    }

    async fn download(
        &self,
        number: u8,
        offset: u64,
        length: u64,
        chunk: u64,
    ) -> Result<Answer, ClientError> {
        let message = DownloadMemoryRequest {
            memory_id: name(number),
            offset,
            length: Some(length),
            chunk_bytes: Some(chunk),
            checksum: true,
            ..Default::default()
        };
        let mut download = self.0.client.download(message).await?;
        let mut all = Vec::new();
        while let Some(part) = download.next().await? {
            all.extend_from_slice(&part);
        }
        Ok(Answer::Bytes(all))
    }
}

impl Door for Wire {
    fn carry_out(&mut self, deed: &Deed) -> Answer {
        self.0.wait(self.attempt(deed)).unwrap_or_else(|error| {
            let failure = error.failure().unwrap_or_else(|| panic!("{deed:?}: {error:?}"));
            assert!(failure.changed_nothing, "{failure:?}");
            let size = match failure.reason.as_str() {
                "OUT_OF_BOUNDS" => failure.number("size_bytes"),
                _ => None,
            };
            Answer::Refused(failure.reason.clone(), size)
        })
    }

    fn has_arena(&self) -> bool {
        self.0.has_arena
    }

    fn charged(&self) -> Vec<u64> {
        self.0.charged()
    }
}

fn bytes_of(data: Bytes) -> Answer {
    Answer::Bytes(data.to_vec())
}

fn asked(spec: &Spec) -> MemorySpec {
    let (before_bytes, after_bytes) = spec.guard;
    MemorySpec {
        initial_pages: spec.initial,
        maximum_pages: spec.maximum,
        index_type: if spec.is_64 { IndexType::I64 } else { IndexType::I32 }.into(),
        growth: if spec.may_grow { Growth::Allowed } else { Growth::Disallowed }.into(),
        guard: Some(Guard { before_bytes, after_bytes }),
        allocator: match spec.form {
            Form::Heap | Form::HeapShared => Allocator::Heap,
            Form::Fixed => Allocator::Fixed,
            _ => Allocator::Unspecified,
        }
        .into(),
        shared: spec.form.is_shared(),
        backing: match spec.form {
            Form::Memfd | Form::MemfdMaximum => Backing::Memfd,
            _ => Backing::Unspecified,
        }
        .into(),
        reservation: match spec.form {
            Form::Wasm32Full => Reservation::Wasm32Full,
            _ => Reservation::Unspecified,
        }
        .into(),
        populate: match spec.form {
            Form::Initial => Populate::Initial,
            Form::OnGrow => Populate::OnGrow,
            Form::Maximum | Form::MemfdMaximum => Populate::Maximum,
            _ => Populate::Unspecified,
        }
        .into(),
        partition: match spec.form {
            Form::Partition => POOL.to_owned(),
            _ => String::new(),
        },
        segments: spec
            .segments
            .iter()
            .map(|(offset, data)| ActiveSegment {
                offset: *offset,
                data: data.clone().into(),
                length: None,
            })
            .collect(),
        verification: match spec.form {
            Form::Full => Verification::Full,
            Form::Redundant => Verification::Redundant,
            _ => Verification::Unspecified,
        }
        .into(),
        ..Default::default()
    }
}

fn seen(memory: Memory) -> Seen {
    let stats = memory.stats.unwrap_or_default();
    assert_eq!(stats.access_count, stats.read_count + stats.write_count);
    assert_eq!(memory.peak_bytes, memory.size_bytes, "a memory never shrinks");
    Seen {
        name: memory.memory_id,
        display_name: memory.spec.as_ref().unwrap().display_name.clone(),
        size_pages: memory.size_pages,
        maximum_pages: memory.spec.unwrap().maximum_pages.unwrap(),
        read_count: stats.read_count,
        write_count: stats.write_count,
        read_bytes: stats.read_bytes,
        write_bytes: stats.write_bytes,
        grow_count: stats.grow_count,
        grow_failure_count: stats.grow_failure_count,
        trap_count: stats.trap_count,
        largest_access_bytes: stats.largest_access_bytes,
        last_access: stats.last_access_offset.zip(stats.last_access_length),
        distinct_regions: stats.distinct_regions,
    }
}
