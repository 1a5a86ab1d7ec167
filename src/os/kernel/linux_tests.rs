//! Claims about the calls themselves, on the kernel that the tests run on.

use std::path::Path;

use crate::os::kernel::{Kernel, Linux};

#[test]
fn the_host_page_is_a_power_of_two_no_larger_than_a_page() {
    let bytes = Linux.host_page_bytes();
    assert!(bytes.is_power_of_two());
    assert!((4096..=65_536).contains(&bytes));
}

#[test]
fn a_length_that_no_host_has_is_an_error_number() {
    assert_eq!(Linux.map_reserved(usize::MAX - 4095), Err(libc::ENOMEM));
    assert_eq!(Linux.map_reserved(0), Err(libc::EINVAL));
}

#[test]
fn a_missing_file_is_an_error_number() {
    let nowhere = Path::new("/proc/self/no-such-file");
    assert_eq!(Linux.read_file(nowhere), Err(libc::ENOENT));
    assert_eq!(Linux.count_lines(nowhere), Err(libc::ENOENT));
    assert_eq!(Linux.read_directory(nowhere), Err(libc::ENOENT));
}

#[test]
fn a_socket_below_its_low_water_mark_has_nothing_to_read_until_the_mark_is_lowered() {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let readable = |limit: PollTimeout| {
        poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], limit).unwrap() == 1
    };
    Linux.set_receive_low_water(socket.as_fd(), 65_536).unwrap();
    peer.write_all(&[7; 1000]).unwrap();
    // On the loopback what was written has arrived.
    assert!(!readable(PollTimeout::ZERO));
    Linux.set_receive_low_water(socket.as_fd(), 1).unwrap();
    assert!(readable(PollTimeout::NONE));
    assert_eq!(Linux.set_receive_low_water(socket.as_fd(), u32::MAX), Err(libc::EINVAL));
}

#[test]
fn lines_are_counted_as_reading_them_would() {
    let file = Path::new("/proc/filesystems");
    let lines = Linux.read_file(file).unwrap().lines().count() as u64;
    assert_eq!(Linux.count_lines(file), Ok(lines));
}
