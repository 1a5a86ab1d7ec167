//! What a tenant has beside its memories, through the library: bounded, and given back on a host that
//! refuses.

use linmemd::error::Failure;
use linmemd::model::{ActiveSegment, Id, MemorySpec, SegmentId};
use linmemd::registry::MOST_SEGMENTS;
use linmemd::units::PAGE_BYTES;

use crate::floors::{Floors, block_on, occasion, spec};

fn put(floors: &Floors, id: &str) -> Result<SegmentId, Failure> {
    let (id, data) = (Some(SegmentId::new(id).unwrap()), bytes::Bytes::from_static(b"s"));
    let occasion = occasion();
    let put = floors.access.put_segment(&occasion, id, data.into(), None);
    block_on(put).map(|segment| segment.id.clone())
}

#[test]
fn a_tenant_has_so_many_segments_and_no_more() {
    let floors = Floors::new();
    for number in 0..MOST_SEGMENTS {
        put(&floors, &format!("s{number}")).unwrap();
    }
    let full = floors.charged();
    let refusal = put(&floors, "one-more").unwrap_err();
    assert!(
        matches!(refusal, Failure::QuotaExceeded { limit_name: "segments", .. }),
        "{refusal:?}"
    );
    assert_eq!(floors.charged(), full);
    for number in 0..MOST_SEGMENTS {
        let id = SegmentId::new(&format!("s{number}")).unwrap();
        floors.access.drop_segment(&occasion(), &id).unwrap();
    }
    floors.assert_empty();
}

#[test]
fn a_create_with_active_segments_that_any_call_fails_leaves_nothing() {
    for n in 0.. {
        let floors = Floors::dedicated();
        floors.kernel.forget();
        floors.kernel.fail_nth(n, libc::ENOMEM);
        let data = bytes::Bytes::from_static(b"active");
        let segments = vec![ActiveSegment { offset: PAGE_BYTES - 3, data }];
        let (id, spec) = (Some(Id::new("m").unwrap()), MemorySpec { segments, ..spec(2) });
        let made = block_on(floors.access.create(&occasion(), id, spec, None)).map(drop);
        let reached = floors.kernel.calls().len() > n;
        floors.kernel.forget();
        if !reached {
            made.unwrap();
            assert_eq!(floors.read("m", PAGE_BYTES - 3, 6).unwrap(), b"active");
            floors.delete("m").unwrap();
            floors.assert_empty();
            assert_eq!(n, 6, "as without them");
            return;
        }
        assert!(matches!(made, Err(Failure::HostExhausted { .. })), "call {n}: {made:?}");
        assert!(matches!(floors.read("m", 0, 0), Err(Failure::MemoryNotFound { .. })));
        floors.assert_empty();
    }
}
