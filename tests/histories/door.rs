//! Calls over gRPC, and what came back as an outcome: a connection and a session of one client.
//!
//! Law: one call of a history is one call on the wire, and a failure is an outcome only if it is one of
//! those that a history can explain: any other, and a call without an answer, ends the test.

use linmemd::client::proto::execute_operations_request::Group as Asked;
use linmemd::client::proto::execute_operations_response::Results;
use linmemd::client::proto::session_group::Group as SessionGroup;
use linmemd::client::proto::session_result::Outcome as Said;
use linmemd::client::proto::{
    Allocator, Backing, CopyMemoryRequest, CreateMemoryRequest, DeleteMemoryRequest,
    ExecuteOperationsRequest, FillMemoryRequest, GetMemoryRequest, GrowMemoryRequest, Guard,
    MemorySpec, OperationList, ReadMemoryRequest, SessionAttach, Verification, WriteMemoryRequest,
};
use linmemd::client::{Attached, Client, ClientError, Failure, Session};

use crate::history::{
    Answer, Call, Deed, MAXIMUM_PAGES, MEMORIES, Outcome, Span, Step, Wanted, Way,
};
use crate::wording::{answer, answers, operation, packed, shown};

/// How many kinds of memory there are.
pub(crate) const FORMS: usize = 8;

/// Kinds of memory that must all keep the same promises.
fn spec(form: usize, initial_pages: u64) -> MemorySpec {
    let plain =
        MemorySpec { initial_pages, maximum_pages: Some(MAXIMUM_PAGES), ..Default::default() };
    let verified = |verification: Verification| verification.into();
    match form {
        0 => plain,
        1 => MemorySpec { shared: true, ..plain },
        // A reservation of its own.
        2 => {
            let guard = Guard { after_bytes: Some(1 << 20), ..Default::default() };
            MemorySpec { guard: Some(guard), ..plain }
        }
        3 => MemorySpec { allocator: Allocator::Heap.into(), ..plain },
        4 => MemorySpec { allocator: Allocator::Heap.into(), shared: true, ..plain },
        5 => MemorySpec { backing: Backing::Memfd.into(), ..plain },
        6 => MemorySpec { verification: verified(Verification::Full), ..plain },
        _ => MemorySpec { verification: verified(Verification::Redundant), ..plain },
    }
}

/// The calls that need no session.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    client: Client,
    names: [String; MEMORIES],
}

/// All a client's calls.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) wire: Wire,
    session: Session,
    attached: [Option<Attached>; MEMORIES],
}

impl Door {
    pub(crate) async fn open(client: Client, names: [String; MEMORIES]) -> Self {
        let session = client.session(|_notice| ()).await.expect("a session");
        Self { wire: Wire { client, names }, session, attached: [const { None }; MEMORIES] }
    }

    pub(crate) async fn perform(&mut self, call: &Call) -> Outcome {
        let told = match &call.deed {
            Deed::Attach => self.attach(call).await,
            Deed::Steps(Way::SessionSingle | Way::SessionList | Way::SessionPacked, _) => {
                self.in_session(call).await
            }
            _ => return self.wire.perform(call).await,
        };
        outcome(call, told)
    }

    async fn attach(&mut self, call: &Call) -> Result<Outcome, ClientError> {
        if let Some(old) = self.attached[call.memory].take() {
            // Its memory may be gone, and it with it.
            let _gone = old.detach().await;
        }
        let memory_id = self.wire.names[call.memory].clone();
        let attach = SessionAttach { memory_id, ..Default::default() };
        let attached = self.session.attach_as(attach).await?;
        let shown = Outcome::Shown { uid: uid(&attached.uid), pages: attached.size_pages };
        self.attached[call.memory] = Some(attached);
        Ok(shown)
    }

    async fn in_session(&self, call: &Call) -> Result<Outcome, ClientError> {
        let attached = self.attached[call.memory].as_ref().expect("what was attached");
        let steps = call.steps();
        let group = match &call.deed {
            Deed::Steps(Way::SessionSingle, _) => SessionGroup::Single(operation(&steps[0])),
            Deed::Steps(Way::SessionList, _) => SessionGroup::List(OperationList {
                operations: steps.iter().map(operation).collect(),
            }),
            _ => SessionGroup::Packed(packed(steps)),
        };
        let answers = match attached.group(true, group, None).await?.outcome {
            Some(Said::Single(one)) => vec![answer(&steps[0], one)],
            Some(Said::List(list)) => listed(steps, list.results),
            Some(Said::Packed(packed)) => answers(steps, packed.data),
            other => panic!("a group answers {other:?}"),
        };
        Ok(Outcome::Answers(answers))
    }
}

impl Wire {
    pub(crate) async fn perform(&self, call: &Call) -> Outcome {
        outcome(call, self.tried(call).await)
    }

    async fn tried(&self, call: &Call) -> Result<Outcome, ClientError> {
        let (client, memory_id) = (&self.client, self.names[call.memory].clone());
        let uid = match call.wanted {
            Wanted::Uid(wanted) => Some(uuid::Uuid::from_u128(wanted).to_string()),
            Wanted::Any | Wanted::Attached(_) => None,
        };
        match &call.deed {
            Deed::Steps(Way::Own, steps) => self.own(memory_id, uid, &steps[0]).await,
            Deed::Steps(Way::Packed, steps) => {
                let group = Some(Asked::Packed(packed(steps)));
                let message =
                    ExecuteOperationsRequest { memory_id, uid, group, ..Default::default() };
                match client.execute_operations(message).await? {
                    Results::Packed(results) => Ok(Outcome::Answers(answers(steps, results.data))),
                    other @ Results::List(_) => panic!("a packed group answers {other:?}"),
                }
            }
            Deed::Steps(_, steps) => {
                let operations = steps.iter().map(operation).collect();
                let results = client.execute_on(&memory_id, uid, operations).await?;
                Ok(Outcome::Answers(listed(steps, results)))
            }
            Deed::Grow { delta, expected } => {
                let (delta_pages, expected_pages) = (*delta, *expected);
                let message = GrowMemoryRequest {
                    memory_id,
                    uid,
                    delta_pages,
                    expected_pages,
                    ..Default::default()
                };
                let grown = client.grow_memory(message).await?;
                Ok(Outcome::Grown { previous: grown.previous_pages, current: grown.current_pages })
            }
            Deed::Describe | Deed::Attach => {
                let message = GetMemoryRequest { memory_id, uid, ..Default::default() };
                let memory = client.get_memory(message).await?;
                Ok(Outcome::Shown { uid: self::uid(&memory.uid), pages: memory.size_pages })
            }
            Deed::Create { pages, form } => {
                let (memory_id, spec) = (Some(memory_id), Some(spec(*form, *pages)));
                let message = CreateMemoryRequest { memory_id, spec, ..Default::default() };
                let memory = client.create_memory(message).await?;
                Ok(Outcome::Created(self::uid(&memory.uid)))
            }
            Deed::Delete => {
                let message = DeleteMemoryRequest { memory_id, uid, ..Default::default() };
                client.delete_memory(message).await.map(|()| Outcome::Deleted)
            }
        }
    }

    async fn own(
        &self,
        memory_id: String,
        uid: Option<String>,
        step: &Step,
    ) -> Result<Outcome, ClientError> {
        let client = &self.client;
        let answer = match step {
            Step::Read(span) => {
                let (offset, length) = (span.offset(), span.length());
                let message = ReadMemoryRequest { memory_id, uid, offset, length };
                shown(*span, &client.read_memory(message).await?)
            }
            Step::Write(span, values) => {
                let (offset, data) = (span.offset(), span.bytes(values).into());
                client.write_memory(WriteMemoryRequest { memory_id, uid, offset, data }).await?;
                Answer::Nothing
            }
            Step::Fill(span, byte) => {
                let (offset, length, value) = (span.offset(), span.length(), u32::from(*byte));
                let message = FillMemoryRequest { memory_id, uid, offset, length, value };
                client.fill_memory(message).await?;
                Answer::Nothing
            }
            Step::Copy(from, to) => {
                let message = CopyMemoryRequest {
                    source_memory_id: memory_id.clone(),
                    source_offset: from.offset(),
                    destination_memory_id: memory_id,
                    destination_offset: Span::one(*to).offset(),
                    length: from.length(),
                    ..Default::default()
                };
                client.copy_memory(message).await?;
                Answer::Nothing
            }
            step => panic!("no RPC does only {step:?}"),
        };
        Ok(Outcome::Answers(vec![answer]))
    }
}

fn listed(steps: &[Step], results: Vec<linmemd::client::proto::OperationResult>) -> Vec<Answer> {
    assert_eq!(steps.len(), results.len());
    steps.iter().zip(results).map(|(step, result)| answer(step, result)).collect()
}

fn uid(text: &str) -> u128 {
    uuid::Uuid::parse_str(text).expect("a uid").as_u128()
}

/// A failure as an outcome.
fn outcome(call: &Call, told: Result<Outcome, ClientError>) -> Outcome {
    let failure = match told {
        Ok(outcome) => return outcome,
        Err(ClientError::Refused(failure)) => failure,
        Err(other) => panic!("{call:?}: {other}"),
    };
    let number = |key| number(&failure, key);
    match failure.reason.as_str() {
        "MEMORY_NOT_FOUND" => Outcome::NotFound,
        // The handle went with its memory, as a notice has said.
        "INVALID_FIELD"
            if matches!(call.wanted, Wanted::Attached(_)) && says(&failure, "handle") =>
        {
            Outcome::NotFound
        }
        "MEMORY_EXISTS" => Outcome::Exists,
        "UID_MISMATCH" => Outcome::UidMismatch(uid(&failure.metadata["uid"])),
        "OUT_OF_BOUNDS" => Outcome::OutOfBounds { size_bytes: number("size_bytes") },
        "COMPARE_FAILED" => Outcome::CompareFailed,
        "SIZE_MISMATCH" => Outcome::SizeMismatch { current: number("current_pages") },
        "MAXIMUM_REACHED" => Outcome::MaximumReached { current: number("current_pages") },
        _ => panic!("{call:?}: no history explains {failure}: {:?}", failure.metadata),
    }
}

fn says(failure: &Failure, field: &str) -> bool {
    failure.metadata.get("field").is_some_and(|told| told == field)
}

fn number(failure: &Failure, key: &str) -> u64 {
    let number = failure.metadata.get(key).and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{failure} has no {key}"))
}
