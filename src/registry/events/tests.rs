//! The ring by itself: what is kept, what it costs, what a watch that is behind sees. What is told when
//! is tested over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Instant, SystemTime};

use crate::memory::MmapAllocator;
use crate::model::{Id, Now, Presentation, TenantName, Uuid};
use crate::os::failing::FailingKernel;
use crate::registry::events::{
    AHEAD_BYTES, Beginning, Event, EventKinds, EventSettings, Happening, STEP_BYTES, Seen,
    Unwatchable, Watch,
};
use crate::registry::presentation::Said;
use crate::registry::{
    Account, LabelSelector, Limits, Namespace, NamespaceLimits, Pool, Registry, Settings,
};
use crate::units::{ByteCount, WasmPages};

const PLENTY: u64 = 1 << 40;

fn namespace(ring: usize, quota: u64, host: u64) -> (Arc<Registry>, Arc<Namespace>) {
    let settings = Settings {
        host_page: ByteCount::new(4096),
        default_maximum: WasmPages::new(16).unwrap(),
        inline: ByteCount::new(1 << 18),
        slice: ByteCount::new(1 << 20),
        queued_grows: 16,
        request_id_window: std::time::Duration::from_secs(600),
        request_ids: 8,
        events: EventSettings { ring, clock: || SystemTime::UNIX_EPOCH },
    };
    let limits = |bytes| Limits {
        bytes,
        mappings: PLENTY,
        reserved_bytes: PLENTY,
        memories: PLENTY,
        ..Limits::NONE
    };
    let allocator = Box::new(MmapAllocator::dedicated(Arc::new(FailingKernel::new())));
    let now = Now { steady: Instant::now(), wall: SystemTime::UNIX_EPOCH };
    let pool = Pool::start(1, |_| ()).unwrap();
    let registry = Registry::new(settings, Account::new(limits(host)), allocator, pool, now);
    let limits = NamespaceLimits { account: limits(quota), waiters: 9, ..NamespaceLimits::NONE };
    let namespace = Namespace::new(TenantName::new("t").unwrap(), 0, limits, &registry);
    (registry, namespace)
}

fn happen(namespace: &Namespace, count: u64) {
    for _ in 0..count {
        let said = Said::new(&Presentation::default(), None);
        let id = Id::new("m").unwrap();
        let event =
            || Event::new(SystemTime::UNIX_EPOCH, id, Uuid::nil(), said, Happening::Deleted);
        namespace.events().tell(event, || true);
    }
}

/// As many labels as a memory may have, each as long as it may be, and a selector that looks at all.
fn longest_labels() -> (std::collections::BTreeMap<String, String>, LabelSelector) {
    let key = |number: usize| format!("{number:0>128}");
    let labels = (0..64).map(|number| (key(number), "v".repeat(256))).collect();
    let terms: Vec<String> = (1..65).map(key).collect();
    (labels, LabelSelector::parse(&terms.join(",")).unwrap())
}

fn watch(namespace: &Arc<Namespace>, beginning: Beginning) -> Result<Watch, Unwatchable> {
    namespace.watch(beginning, LabelSelector::default(), EventKinds::ALL)
}

fn next(watch: &mut Watch) -> Option<Seen> {
    match watch.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(seen) => Some(seen),
        Poll::Pending => None,
    }
}

/// The sequences that are there for it, none of them lost.
fn sequences(watch: &mut Watch) -> Vec<u64> {
    let sequence = |seen| match seen {
        Seen::Event(sequence, _) => sequence,
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| next(watch)).map(sequence).collect()
}

#[test]
fn events_are_numbered_from_1_and_a_watch_begins_at_any_that_is_kept_or_at_the_next() {
    let (_registry, namespace) = namespace(4, PLENTY, PLENTY);
    happen(&namespace, 6);
    for (beginning, wanted) in
        [(Beginning::At(3), vec![3, 4, 5, 6]), (Beginning::At(7), vec![]), (Beginning::Now, vec![])]
    {
        assert_eq!(sequences(&mut watch(&namespace, beginning).unwrap()), wanted);
    }
    for old in 0..3 {
        let refused = watch(&namespace, Beginning::At(old)).unwrap_err();
        assert_eq!(refused, Unwatchable::Compacted { oldest: 3 });
    }
    let refused = watch(&namespace, Beginning::At(8)).unwrap_err();
    assert_eq!(refused, Unwatchable::Ahead { next: 7 });
}

#[test]
fn a_watch_that_is_overtaken_is_told_what_it_lost_once_and_goes_on() {
    let (_registry, namespace) = namespace(4, PLENTY, PLENTY);
    let mut watch = watch(&namespace, Beginning::Now).unwrap();
    happen(&namespace, 2);
    assert_eq!(sequences(&mut watch), [1, 2]);
    happen(&namespace, 9);
    assert!(matches!(next(&mut watch), Some(Seen::Lost { first: 3, last: 7 })));
    assert_eq!(sequences(&mut watch), [8, 9, 10, 11]);
    assert_eq!((watch.position(), watch.newest()), (12, 12));
}

#[test]
fn events_are_paid_in_steps_up_to_their_share_and_then_the_oldest_go() {
    let (registry, namespace) = namespace(1 << 20, 64 * 3 * STEP_BYTES, PLENTY);
    let events = namespace.events();
    assert_eq!(events.charged_bytes(), 0, "before anything happens it costs nothing");
    happen(&namespace, 1);
    assert_eq!(events.charged_bytes(), STEP_BYTES);
    happen(&namespace, 1000);
    assert_eq!(events.charged_bytes(), 3 * STEP_BYTES);
    let used = |account: &Account| account.holdings()[1].used;
    assert_eq!(used(&namespace.account), 3 * STEP_BYTES);
    assert_eq!(used(&registry.host), 3 * STEP_BYTES);
    let oldest = match watch(&namespace, Beginning::At(1)).unwrap_err() {
        Unwatchable::Compacted { oldest } => oldest,
        other => panic!("{other:?}"),
    };
    let kept = 1002 - oldest;
    assert!((150..200).contains(&kept), "{kept} of some 260 bytes in 48 KiB");
}

#[test]
fn events_that_nobody_can_pay_for_are_lost_and_their_numbers_go_on() {
    for (quota, host) in [(64, PLENTY), (PLENTY, 100)] {
        let (_registry, namespace) = namespace(16, quota, host);
        let mut watch = watch(&namespace, Beginning::Now).unwrap();
        happen(&namespace, 3);
        assert_eq!(namespace.events().charged_bytes(), 0);
        assert!(matches!(next(&mut watch), Some(Seen::Lost { first: 1, last: 3 })));
        assert!(next(&mut watch).is_none());
    }
}

#[test]
fn what_waits_is_woken_once_for_what_comes_and_never_when_it_has_gone() {
    struct Counting(AtomicU64);
    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (_registry, namespace) = namespace(16, PLENTY, PLENTY);
    let count = Arc::new(Counting(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut watch = watch(&namespace, Beginning::Now).unwrap();
    // Looked at twice, it still waits once.
    assert!(watch.poll_next(&mut context).is_pending());
    assert!(watch.poll_next(&mut context).is_pending());
    happen(&namespace, 3);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(sequences(&mut watch), [1, 2, 3]);
    assert!(watch.poll_next(&mut context).is_pending());
    drop(watch);
    happen(&namespace, 1);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_watch_of_events_with_many_labels_that_it_does_not_want_has_a_turn_like_others() {
    const EVENTS: u64 = 2_000;
    let (_registry, namespace) = namespace(1 << 20, PLENTY, PLENTY);
    let (labels, selector) = longest_labels();
    let presentation = Presentation { labels, ..Presentation::default() };
    for _ in 0..EVENTS {
        let said = Said::new(&presentation, None);
        let id = Id::new("m").unwrap();
        let event =
            || Event::new(SystemTime::UNIX_EPOCH, id, Uuid::nil(), said, Happening::Deleted);
        namespace.events().tell(event, || true);
    }
    let mut watch = namespace.watch(Beginning::At(1), selector, EventKinds::ALL).unwrap();
    assert!(next(&mut watch).is_none());
    assert!((1..EVENTS / 4).contains(&watch.position()), "{}", watch.position());
    for _turn in 0..EVENTS {
        assert!(next(&mut watch).is_none());
    }
    assert_eq!(watch.position(), EVENTS + 1, "it goes on from where it was");
}

#[test]
fn a_watch_keeps_no_more_of_what_the_ring_has_let_go_than_it_holds_room_for() {
    const RING: u64 = 64;
    let (_registry, namespace) = namespace(64, PLENTY, PLENTY);
    let (labels, _selector) = longest_labels();
    for labels in [labels, Default::default()] {
        let presentation = Presentation { labels, ..Presentation::default() };
        let tell = || {
            let said = Said::new(&presentation, None);
            let id = Id::new("m").unwrap();
            let event =
                || Event::new(SystemTime::UNIX_EPOCH, id, Uuid::nil(), said, Happening::Deleted);
            namespace.events().tell(event, || true);
        };
        let begin = Beginning::Now;
        let mut watch = watch(&namespace, begin).unwrap();
        (0..RING).for_each(|_| tell());
        assert!(matches!(next(&mut watch), Some(Seen::Event(..))));
        // All that it has not taken goes.
        (0..RING).for_each(|_| tell());
        let kept: u64 = std::iter::from_fn(|| match next(&mut watch) {
            Some(Seen::Event(_, event)) => Some(event.cost()),
            _ => None,
        })
        .sum();
        assert!(kept <= AHEAD_BYTES, "{kept}");
    }
}
