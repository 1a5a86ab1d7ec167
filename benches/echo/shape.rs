//! The shape of the comparison.
//!
//! Owns: every number that both sides must share or that says what is asked of them. Law: windows,
//! frames and streams equal the daemon's (`src/rpc/` and the defaults of `config/`); change them
//! there and here together. Does not: run anything.

use clap::ValueEnum;

/// Receive window of a connection, in bytes.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Receive window of a stream, in bytes.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Largest HTTP/2 frame that is received, in bytes.
pub(crate) const FRAME_BYTES: u32 = 1 << 20;
/// Streams that one connection may have open.
pub(crate) const STREAMS: u32 = 256;

/// The name of the memory that is read and written.
pub(crate) const MEMORY: &str = "bench";
/// Its size.
pub(crate) const MEMORY_BYTES: usize = 256 << 20;
/// Its size in pages.
pub(crate) const MEMORY_PAGES: u64 = 4096;
/// Data of one message of a stream.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Data of one upload or download call.
pub(crate) const CALL_BYTES: usize = 64 << 20;
/// Where downloads begin: past what uploads write.
pub(crate) const DOWNLOAD_OFFSET: usize = 128 << 20;
/// Data of one read.
pub(crate) const READ_BYTES: usize = 64;
/// Where it begins: at no page's or cache line's edge.
pub(crate) const READ_OFFSET: usize = (3 << 20) + 4_000 + 9;

/// Reads of one group, and of one pipeline of Redis.
pub(crate) const GROUP: usize = 128;
/// Reads of a session that have no answer yet.
pub(crate) const WINDOW: usize = 128;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// ReadMemory of 64 bytes.
    Read,
    /// UploadMemory, 64 messages of 1 MiB a call.
    Upload,
    /// DownloadMemory, 64 messages of 1 MiB a call.
    Download,
    /// ExecuteOperations, 128 reads of 64 bytes in columns.
    Packed,
    /// The same as a list of messages.
    List,
    /// The same as one gather.
    Gather,
    /// OpenSession, reads of 64 bytes each by itself, 128 on their way.
    Session,
}

impl Operation {
    /// Each, in the order in which they are run.
    pub(crate) const ALL: [Self; 7] = [
        Self::Read,
        Self::Upload,
        Self::Download,
        Self::Packed,
        Self::List,
        Self::Gather,
        Self::Session,
    ];

    /// Its word in lines and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Packed => "packed",
            Self::List => "list",
            Self::Gather => "gather",
            Self::Session => "session",
        }
    }

    /// The path of its RPC.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Read => "/linmem.v1.MemoryService/ReadMemory",
            Self::Upload => "/linmem.v1.MemoryService/UploadMemory",
            Self::Download => "/linmem.v1.MemoryService/DownloadMemory",
            Self::Packed | Self::List | Self::Gather => {
                "/linmem.v1.MemoryService/ExecuteOperations"
            }
            Self::Session => "/linmem.v1.MemoryService/OpenSession",
        }
    }

    /// Connections, and streams on each.
    pub(crate) fn concurrency(self) -> (u64, u64) {
        match self {
            Self::Read | Self::Packed | Self::List | Self::Gather => (8, 16),
            Self::Upload | Self::Download | Self::Session => (8, 1),
        }
    }

    /// Calls of the run that is not counted and from which the counted runs' length follows.
    pub(crate) fn first_calls(self) -> u64 {
        match self {
            Self::Read => 32_768,
            Self::Upload | Self::Download => 16,
            Self::Packed | Self::List | Self::Gather => 4_096,
            Self::Session => 1 << 19,
        }
    }

    /// The unit of its rate.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Read => "calls/s",
            Self::Packed | Self::List | Self::Gather | Self::Session => "reads/s",
            Self::Upload | Self::Download => "MB/s",
        }
    }

    /// Its rate, from calls a second.
    pub(crate) fn rate(self, calls_per_second: f64) -> f64 {
        match self {
            Self::Read | Self::Session => calls_per_second,
            Self::Packed | Self::List | Self::Gather => calls_per_second * GROUP as f64,
            Self::Upload | Self::Download => calls_per_second * CALL_BYTES as f64 / 1e6,
        }
    }
}

impl Operation {
    /// How many times Redis's reads a second it is to make.
    pub(crate) fn beside_redis(self) -> Option<f64> {
        match self {
            Self::Packed => Some(3.0),
            Self::List | Self::Session => Some(1.5),
            Self::Gather => Some(5.0),
            Self::Read | Self::Upload | Self::Download => None,
        }
    }
}

/// The bytes of the memory from `offset` on: never zero for long, and another at every place.
pub(crate) fn pattern(offset: usize, length: usize) -> Vec<u8> {
    let end = offset + length;
    let mut bytes = Vec::with_capacity(length + 16);
    let first = offset / 8;
    for word in first..end.div_ceil(8) {
        bytes.extend_from_slice(&mix(word as u64).to_le_bytes());
    }
    bytes.drain(..offset - first * 8);
    bytes.truncate(length);
    bytes
}

// The finalizer of splitmix64: a bijection, so no two words are equal.
fn mix(word: u64) -> u64 {
    let mut mixed = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
