//! Claims about a page of RAM that is really lost: the kernel's own poison, by which a touch raises the
//! SIGBUS of failing hardware. The call that meets it fails, its memory is quarantined, and nothing
//! else notices.
//!
//! Poisoning takes Linux 6.6 and userfaultfd, which container engines forbid; where it cannot be had,
//! each claim says in one line that it was left out.

#![expect(unsafe_code, reason = "poisons pages, which is a matter of raw system calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use linmemd::client::Client;
use linmemd::client::proto::{DownloadMemoryRequest, MemorySpec, MemoryState};

use crate::contract::refused;
use crate::harness::{House, PAGE, Witness, pages, pattern};

const HOST_PAGE: u64 = 4_096;
/// The same, and a page, where addresses are counted.
const HOST_STEP: usize = 4_096;
const STEP: usize = 65_536;
/// `linux/userfaultfd.h`: the requests, which hold the size of what they take, and their flags.
const API: libc::c_ulong = 0xC018_AA3F;
const REGISTER: libc::c_ulong = 0xC020_AA00;
const POISON: libc::c_ulong = 0xC020_AA08;
const USER_MODE_ONLY: libc::c_int = 1;
const API_VERSION: u64 = 0xAA;
const FEATURE_POISON: u64 = 1 << 14;
const MODE_MISSING: u64 = 1;

/// The host page at that address is lost from now on, as long as its mapping lives.
fn lose(address: usize) -> io::Result<OwnedFd> {
    let page = [address as u64, HOST_PAGE];
    // SAFETY: the call takes flags alone.
    let made = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
    let made = libc::c_int::try_from(made).map_err(io::Error::other)?;
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above and is nobody else's.
    let fault = unsafe { OwnedFd::from_raw_fd(made) };
    ask(&fault, API, &mut [API_VERSION, FEATURE_POISON, 0])?;
    ask(&fault, REGISTER, &mut [page[0], page[1], MODE_MISSING, 0])?;
    let start = address as *mut libc::c_void;
    // SAFETY: the page is of a memory that is alive, whose bytes are reached by the copy routines
    // only; those expect faults, and no reference points there.
    if unsafe { libc::madvise(start, HOST_STEP, libc::MADV_DONTNEED) } != 0 {
        return Err(io::Error::last_os_error());
    }
    ask(&fault, POISON, &mut [page[0], page[1], 0, 0])?;
    Ok(fault)
}

fn ask<const N: usize>(
    fault: &OwnedFd,
    request: libc::c_ulong,
    what: &mut [u64; N],
) -> io::Result<()> {
    // SAFETY: the request says the size of what it takes, which is that of `what`.
    match unsafe { libc::ioctl(fault.as_raw_fd(), request, what.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor that keeps the page lost; none where this host cannot lose one on purpose.
fn lost(address: usize) -> Option<OwnedFd> {
    let error = match lose(address) {
        Ok(fault) => return Some(fault),
        Err(error) => error,
    };
    let unable = [libc::ENOSYS, libc::EPERM, libc::EINVAL];
    assert!(unable.iter().any(|errno| error.raw_os_error() == Some(*errno)), "{error}");
    #[expect(clippy::print_stderr, reason = "a check that is left out says so in one line")]
    let () = eprintln!("left out: this host poisons no pages: {error}");
    None
}

async fn is_quarantined_alone(client: &Client, witness: &Witness) {
    let memory = client.memory("m").await.unwrap();
    assert_eq!(memory.state(), MemoryState::Quarantined);
    let why = "the host lost bytes of it";
    assert_eq!(memory.state_reason, why);
    refused(client.read("m", 0, 1).await, "QUARANTINED", &[("state_reason", &why)]);
    witness.is_unharmed().await;
    client.delete("m").await.unwrap();
    client.create(Some("m"), pages(2)).await.unwrap();
    assert_eq!(client.read("m", 0, 2 * PAGE).await.unwrap(), vec![0; 2 * STEP]);
    client.delete("m").await.unwrap();
}

/// A memory of eight pages that lost one, and an operation on it.
async fn meets(what: impl AsyncFn(&Client) -> bool) {
    let house = House::dedicated();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    client.create(Some("m"), pages(8)).await.unwrap();
    client.fill("m", 0, 8 * PAGE, 5).await.unwrap();
    // Behind the guard before the memory.
    let page = house.kernel.last_mapping() + 8 * STEP + HOST_STEP;
    let Some(_lost) = lost(page) else { return };
    assert_eq!(client.read("m", 0, 7 * PAGE).await.unwrap(), vec![5; 7 * STEP]);
    assert!(what(&client).await);
    is_quarantined_alone(&client, &witness).await;
    house.stop().await;
}

#[tokio::test]
async fn a_read_of_a_lost_page_fails_alone() {
    meets(async |client| {
        let offset = 7 * PAGE + HOST_PAGE - 8;
        let numbers: [(&str, &dyn std::fmt::Display); 2] = [("offset", &offset), ("length", &16)];
        refused(client.read("m", offset, 16).await, "HARDWARE_FAULT", &numbers);
        true
    })
    .await;
}

#[tokio::test]
async fn a_write_into_a_lost_page_fails_alone() {
    meets(async |client| {
        let outcome = client.write("m", 7 * PAGE + HOST_PAGE, pattern(16, 3)).await;
        outcome.unwrap_err().failure().is_some_and(|failure| failure.reason == "HARDWARE_FAULT")
    })
    .await;
}

#[tokio::test]
async fn a_fill_on_the_pool_over_a_lost_page_fails_alone() {
    meets(async |client| {
        let outcome = client.fill("m", 0, 8 * PAGE, 7).await;
        outcome.unwrap_err().failure().is_some_and(|failure| failure.reason == "HARDWARE_FAULT")
    })
    .await;
}

#[tokio::test]
async fn a_download_over_a_lost_page_fails_alone() {
    meets(async |client| {
        let request = DownloadMemoryRequest { memory_id: "m".to_owned(), ..Default::default() };
        let request = client.request(request);
        let mut chunks =
            client.memory_service().download_memory(request).await.unwrap().into_inner();
        loop {
            match chunks.message().await {
                Ok(Some(_chunk)) => {}
                Ok(None) => return false,
                Err(status) => return status.code() == tonic::Code::DataLoss,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_page_in_a_slab_harms_one_slot_and_no_neighbour() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    let small = MemorySpec { maximum_pages: Some(1), ..pages(1) };
    for id in ["before", "m", "after"] {
        client.create(Some(id), small.clone()).await.unwrap();
        client.write(id, 0, pattern(PAGE, 3)).await.unwrap();
    }
    // Guards of 64 KiB before and between slots of a page each.
    let slot = house.kernel.last_mapping() + 3 * STEP;
    let Some(_lost) = lost(slot + HOST_STEP) else { return };
    let numbers: [(&str, &dyn std::fmt::Display); 2] =
        [("offset", &0), ("length", &(PAGE - HOST_PAGE))];
    refused(client.read("m", 0, PAGE).await, "HARDWARE_FAULT", &numbers);
    for id in ["before", "after"] {
        assert_eq!(client.read(id, 0, PAGE).await.unwrap(), pattern(PAGE, 3), "{id}");
    }
    is_quarantined_alone(&client, &witness).await;
    house.stop().await;
}
