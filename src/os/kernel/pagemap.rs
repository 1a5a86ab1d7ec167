//! `PAGEMAP_SCAN`, the ioctl of `/proc/self/pagemap` that walks the own page tables (Linux 6.7,
//! `Documentation/admin-guide/mm/pagemap.rst`).
//!
//! Law: looks and changes nothing; reads the tables of the range that it is given and no others.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::os::kernel::PageState;
use crate::os::kernel::linux::{errno_of, last_errno};

/// Regions told by one call.
const REGIONS: usize = 64;

/// The kernel's `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The kernel's `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xC060_6610;
const _: () = assert!(size_of::<Scan>() == 0x60);

impl PageState {
    const fn category(self) -> u64 {
        match self {
            Self::Present => 1 << 3,
            Self::Huge => 1 << 6,
        }
    }
}

/// Open from the first look on: a process that is not dumpable and not root's cannot open it any more.
static TABLES: OnceLock<File> = OnceLock::new();

/// Opens the own page tables, once.
pub(super) fn open() -> Result<&'static File, i32> {
    if let Some(tables) = TABLES.get() {
        return Ok(tables);
    }
    let tables = File::open("/proc/self/pagemap").map_err(errno_of)?;
    // Of two that came at once, one is closed again.
    Ok(TABLES.get_or_init(|| tables))
}

/// How many bytes of the range are in this state.
pub(super) fn scan(address: NonNull<u8>, length: usize, state: PageState) -> Result<u64, i32> {
    let tables = open()?;
    let start = address.as_ptr().addr() as u64;
    let end = start.checked_add(length as u64).ok_or(libc::EINVAL)?;
    let mut regions = [Region::default(); REGIONS];
    let (mut at, mut found) = (start, 0_u64);
    while at < end {
        let mut asked = Scan {
            size: size_of::<Scan>() as u64,
            start: at,
            end,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: REGIONS as u64,
            category_mask: state.category(),
            return_mask: state.category(),
            ..Scan::default()
        };
        let told = ioctl(tables, &mut asked)?;
        for region in regions.iter().take(told) {
            found = found.saturating_add(region.end.saturating_sub(region.start));
        }
        if asked.walk_end <= at {
            break;
        }
        at = asked.walk_end;
    }
    Ok(found)
}

#[expect(unsafe_code, reason = "an ioctl that no library wraps")]
fn ioctl(tables: &File, asked: &mut Scan) -> Result<usize, i32> {
    // SAFETY: the kernel reads and writes one Scan, which is borrowed exclusively and has the
    // kernel's layout (asserted above), and at most vec_len regions at vec, which scan() made and
    // which outlive the call.
    let told = unsafe { libc::ioctl(tables.as_raw_fd(), PAGEMAP_SCAN, std::ptr::from_mut(asked)) };
    usize::try_from(told).map_err(|_negative| last_errno())
}
