//! HTTP/2 by hand: frames that no library would send, and a count of what comes back.
//!
//! Owns: [`Peer`], one connection. Law: writes exactly what it is told and waits for nothing for long: a
//! daemon that stops reading is left, not waited for. Knows frame headers and literal header fields, and
//! of what comes back only the kinds of frames.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const INITIAL_WINDOW: u16 = 4;
/// The largest that a window may be.
pub(crate) const WIDEST: u32 = (1 << 31) - 1;

/// Hostile peers have addresses of their own, so that the honest ones' is not crowded by them; several,
/// so that the kernel has ports enough for connections that come and go.
const FROM: [u8; 2] = [2, 9];
/// How long a write may wait for a daemon that does not read.
const PATIENCE: Duration = Duration::from_millis(100);

/// What came back on a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) headers: u64,
    pub(crate) resets: u64,
    pub(crate) ended: bool,
}

/// One connection.
pub(crate) struct Peer {
    stream: TcpStream,
    seen: Seen,
    /// The header of the frame that is coming, as far as it is here.
    header: Vec<u8>,
    /// What is to come of its payload.
    left: usize,
}

impl Peer {
    pub(crate) async fn connect(target: SocketAddr) -> Result<Self> {
        Self::connect_with(target, None).await
    }

    /// With so much room for what it does not read.
    pub(crate) async fn connect_with(target: SocketAddr, room: Option<u32>) -> Result<Self> {
        let socket = socket()?;
        if let Some(room) = room {
            socket.set_recv_buffer_size(room)?;
        }
        let stream = match timeout(Duration::from_secs(5), socket.connect(target)).await {
            Ok(stream) => stream?,
            Err(_late) => return Err(ErrorKind::TimedOut.into()),
        };
        stream.set_nodelay(true)?;
        Ok(Self { stream, seen: Seen::default(), header: Vec::new(), left: 0 })
    }

    /// Connects and says preface and settings.
    pub(crate) async fn greet(target: SocketAddr, settings: &[(u16, u32)]) -> Result<Self> {
        let mut peer = Self::connect(target).await?;
        peer.write(&greeting(settings)).await?;
        Ok(peer)
    }

    /// # Errors
    /// That the daemon has ended the connection, or does not read.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(written) => written,
            Err(_unread) => Err(Error::new(ErrorKind::TimedOut, "the daemon does not read")),
        }
    }

    /// Writes a part and comes back, however little that is.
    pub(crate) fn write_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.try_write(bytes).unwrap_or(0)
    }

    /// Reads for so long, or until the connection ends or there have been so many answers and resets.
    pub(crate) async fn listen(&mut self, time: Duration, enough: u64) -> Seen {
        let end = Instant::now() + time;
        let mut bytes = [0; 16 << 10];
        while !self.seen.ended && self.seen.headers + self.seen.resets < enough {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => self.seen.ended = true,
                Ok(count) => self.see(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let readable = self.stream.readable();
                    if timeout_at(end, readable).await.is_err() {
                        break;
                    }
                }
                Err(_reset) => self.seen.ended = true,
            }
        }
        self.seen
    }

    /// Whether the daemon has ended it by now.
    pub(crate) async fn is_ended(&mut self) -> bool {
        self.listen(Duration::ZERO, u64::MAX).await.ended
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            if let [high, middle, low, kind, ..] = self.header[..]
                && self.header.len() == 9
            {
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                match kind {
                    HEADERS => self.seen.headers += 1,
                    RST_STREAM => self.seen.resets += 1,
                    _ => {}
                }
                self.header.clear();
            }
        }
    }
}

/// A socket with the next of the hostile addresses.
pub(crate) fn socket() -> Result<TcpSocket> {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [first, last] = FROM;
    let next = first + NEXT.fetch_add(1, Ordering::Relaxed) % (last - first + 1);
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, next), 0).into())?;
    Ok(socket)
}

/// Preface and settings.
pub(crate) fn greeting(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    [&frame_header(length, kind, flags, stream)[..], payload].concat()
}

/// The header of a frame, whatever follows it.
pub(crate) fn frame_header(length: u32, kind: u8, flags: u8, stream: u32) -> [u8; 9] {
    let [_, a, b, c] = length.to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// The stream of the call with this number.
pub(crate) fn stream(number: u64) -> u32 {
    u32::try_from(2 * number + 1).expect("few calls on a connection")
}

/// The header block of a call of MemoryService, every field a literal.
pub(crate) fn call(method: &str) -> Vec<u8> {
    call_of(&format!("/linmem.v1.MemoryService/{method}"), &[])
}

pub(crate) fn call_of(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    for (name, value) in fields.iter().chain(more) {
        block.extend(literal(0x00, name, value));
    }
    block
}

/// A literal field: of `kind` 0x00 not indexed, 0x40 indexed.
pub(crate) fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![kind];
    for text in [name, value] {
        integer(&mut field, text.len(), 0x7F);
        field.extend_from_slice(text.as_bytes());
    }
    field
}

/// An integer of HPACK's behind an empty prefix of these bits.
fn integer(out: &mut Vec<u8>, value: usize, prefix: u8) {
    if value < usize::from(prefix) {
        out.push(u8::try_from(value).expect("within the prefix"));
        return;
    }
    out.push(prefix);
    let mut rest = value - usize::from(prefix);
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7F).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).expect("seven bits"));
}

/// A message with its five bytes of header.
pub(crate) fn message(bytes: &[u8]) -> Vec<u8> {
    [&announced(u32::try_from(bytes.len()).expect("short"))[..], bytes].concat()
}

/// The five bytes before a message of so many.
pub(crate) fn announced(length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}
