//! Watches of events, for `admin.rs`.
//!
//! Checked: a watch begins by saying where it is; events come in order and without a gap but where it is
//! told of one; each is of a kind that was asked for and says what its kind says; a snapshot ends once;
//! it is the client that ends a watch, or its hurry.

use linmemd::proto::v1;
use linmemd::proto::v1::event::Detail;
use linmemd::proto::v1::watch_events_response::Message as Told;
use prost::Message;

use crate::law::{self, Verdict};
use crate::rpcs::rpc;
use crate::talk::Talk;
use crate::targets::deciders::HURRY;
use crate::world::{World, framed};

/// Positions from here on, and 0, are what they are; others are so many events ago.
const AGO: u64 = 64;

/// A watch, until it has told what there is to tell.
pub(super) struct Watch {
    talk: Talk,
    asked: Vec<u8>,
    is_hasty: bool,
}

impl Watch {
    pub(super) fn begin(world: &mut World, is_hasty: bool, bytes: &[u8]) -> Self {
        let asked = placed(world, world.filled(bytes));
        let headers = if is_hasty { HURRY } else { &[] };
        let mut talk = world.begin(rpc("WatchEvents"), headers);
        talk.say(framed(&asked), true);
        world.hear(&mut talk);
        Self { talk, asked, is_hasty }
    }

    pub(super) fn end(self, world: &mut World) {
        let rpc = rpc("WatchEvents");
        let answer = world.end(self.talk, !self.is_hasty);
        let told = law::messages(&answer.body);
        let verdict = law::verdict(rpc, &answer);
        law::malformed_is_refused(rpc, &self.asked, &verdict);
        assert!(!matches!(verdict, Verdict::Done(_)), "a watch ended by itself");
        if !self.is_hasty {
            assert_eq!(matches!(verdict, Verdict::Parked), !told.is_empty(), "{verdict:?}");
        }
        if !told.is_empty() {
            let asked = v1::WatchEventsRequest::decode(self.asked.as_slice());
            judge(&asked.expect("what was begun was asked for"), &told);
        }
    }
}

/// A request to go on at one of the last events says how many ago: only the daemon knows its number.
fn placed(world: &mut World, bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut request) = v1::WatchEventsRequest::decode(bytes.as_slice()) else { return bytes };
    let Some(resume) = &mut request.resume else { return bytes };
    if resume.boot_id != world.boot() || !(1..AGO).contains(&resume.sequence) {
        return bytes;
    }
    let now = v1::WatchEventsRequest::default().encode_to_vec();
    let answer = world.send(rpc("WatchEvents"), true, vec![framed(&now)]);
    let first = law::messages(&answer.body).first().map(|first| of(first));
    let Some(Told::Started(started)) = first else { panic!("{first:?}") };
    resume.sequence = started.next_sequence.saturating_sub(resume.sequence);
    request.encode_to_vec()
}

fn of(bytes: &[u8]) -> Told {
    let told = v1::WatchEventsResponse::decode(bytes).expect("the response's type");
    told.message.expect("it says something")
}

fn judge(asked: &v1::WatchEventsRequest, told: &[Vec<u8>]) {
    let mut told = told.iter().map(|message| of(message));
    let Some(Told::Started(started)) = told.next() else { panic!("it did not begin") };
    // None is left out where all are asked for.
    let all = asked.kinds.is_empty() && asked.label_selector.is_empty();
    let (mut next, mut presents) = (started.next_sequence, asked.snapshot);
    for message in told {
        match message {
            Told::Event(event) if event.sequence == 0 => {
                assert!(presents, "{event:?} is present");
                assert_eq!(event.kind(), v1::EventKind::Created);
                says_its_kind(&event);
            }
            Told::Event(event) => {
                let in_place = event.sequence == next || !all && event.sequence > next;
                // What the snapshot shows is not told once more.
                assert!(in_place || asked.snapshot && event.sequence > next, "{event:?} at {next}");
                assert!(asked.kinds.is_empty() || asked.kinds.contains(&event.kind));
                says_its_kind(&event);
                next = event.sequence + 1;
            }
            Told::Lost(v1::EventsLost { first, last }) => {
                assert!(first >= next && last >= first, "{first} to {last} at {next}");
                next = last + 1;
            }
            Told::SnapshotEnd(end) => {
                assert!(std::mem::take(&mut presents) && end.next_sequence >= next);
                next = end.next_sequence;
            }
            Told::Progress(progress) => {
                assert!(progress.next_sequence >= next);
                next = progress.next_sequence;
            }
            Told::Started(started) => panic!("{started:?} came twice"),
        }
    }
}

fn says_its_kind(event: &v1::Event) {
    use v1::EventKind as Kind;
    let well = match (event.kind(), &event.detail) {
        (Kind::Created, Some(Detail::Created(_)))
        | (Kind::Deleted | Kind::Expired, None)
        | (Kind::GrowFailed, Some(Detail::GrowFailed(_)))
        | (Kind::Purged, Some(Detail::Purged(_))) => true,
        (Kind::Grown, Some(Detail::Grown(grown))) => grown.previous_pages < grown.current_pages,
        (Kind::GrowDenied, Some(Detail::GrowDenied(denied))) => denied.delta_pages > 0,
        (Kind::Shared, Some(Detail::Shared(shared))) => {
            shared.step() != v1::ShareStep::Unspecified && !shared.share_id.is_empty()
        }
        _ => false,
    };
    assert!(well && event.time.is_some() && !event.uid.is_empty(), "{event:?}");
}
