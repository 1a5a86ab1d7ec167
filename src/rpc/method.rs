//! [`Method`]: every RPC that is served, by path.
//!
//! Law: a closed list; a path that is not in it is UNIMPLEMENTED and counted as `_unknown`. The
//! services that tonic's own crates implement (health, reflection) are in it too. An RPC of the protos
//! that is not in it, or otherwise, fails the build (`described.rs`); so does then whatever matches on
//! [`Method`], of which authorization is one.

use crate::metrics::UNKNOWN_METHOD;

macro_rules! methods {
    ($($variant:ident $path:literal $kind:ident $worth:ident)*) => {
        /// An RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Method {
            $(#[doc = $path] $variant,)*
            /// Any other path.
            Unknown,
        }

        impl Method {
            /// Every RPC, and last what is none.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)* Self::Unknown];

            /// The RPC of a path, which begins with a slash.
            pub(crate) fn of(path: &str) -> Self {
                match path.strip_prefix('/') {
                    $(Some($path) => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// Its name in metrics and logs.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $path,)*
                    Self::Unknown => UNKNOWN_METHOD,
                }
            }

            /// How its messages come and go.
            pub(crate) const fn kind(self) -> Kind {
                match self {
                    $(Self::$variant => Kind::$kind,)*
                    Self::Unknown => Kind::Unary,
                }
            }

            /// Whether it is answered though the host is at the last step of want of memory.
            pub(crate) const fn worth(self) -> Worth {
                match self {
                    $(Self::$variant => Worth::$worth,)*
                    Self::Unknown => Worth::Kept,
                }
            }
        }
    };
}

/// How messages come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One and one.
    Unary,
    /// Many on at least one side.
    Stream,
}

/// What becomes of a call where the host is at the last step of want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It is answered: it reads, tells, gives back or keeps what there is; it is an operator's; or what it
    /// takes is judged when that is known: growth, creation, a group of operations.
    Kept,
    /// It is refused: it puts bytes into memories, or begins what lasts.
    Shed,
}

methods! {
    ReadMemory "linmem.v1.MemoryService/ReadMemory" Unary Kept
    WriteMemory "linmem.v1.MemoryService/WriteMemory" Unary Shed
    GrowMemory "linmem.v1.MemoryService/GrowMemory" Unary Kept
    FillMemory "linmem.v1.MemoryService/FillMemory" Unary Shed
    CopyMemory "linmem.v1.MemoryService/CopyMemory" Unary Shed
    OpenSession "linmem.v1.MemoryService/OpenSession" Stream Shed
    ExecuteOperations "linmem.v1.MemoryService/ExecuteOperations" Unary Kept
    DiscardMemory "linmem.v1.MemoryService/DiscardMemory" Unary Kept
    ProtectMemory "linmem.v1.MemoryService/ProtectMemory" Unary Kept
    SetVolatility "linmem.v1.MemoryService/SetVolatility" Unary Kept
    VerifyMemory "linmem.v1.MemoryService/VerifyMemory" Unary Kept
    DownloadMemory "linmem.v1.MemoryService/DownloadMemory" Stream Kept
    UploadMemory "linmem.v1.MemoryService/UploadMemory" Stream Shed
    GetServerInfo "linmem.v1.MemoryService/GetServerInfo" Unary Kept
    CreateMemory "linmem.v1.MemoryService/CreateMemory" Unary Kept
    GetMemory "linmem.v1.MemoryService/GetMemory" Unary Kept
    ListMemories "linmem.v1.MemoryService/ListMemories" Unary Kept
    UpdateMemory "linmem.v1.MemoryService/UpdateMemory" Unary Kept
    DeleteMemory "linmem.v1.MemoryService/DeleteMemory" Unary Kept
    KeepAliveMemory "linmem.v1.MemoryService/KeepAliveMemory" Unary Kept
    WaitOnAddress "linmem.v1.MemoryService/WaitOnAddress" Unary Shed
    NotifyAddress "linmem.v1.MemoryService/NotifyAddress" Unary Kept
    GetHost "linmem.v1.AdminService/GetHost" Unary Kept
    Reload "linmem.v1.AdminService/Reload" Unary Kept
    Drain "linmem.v1.AdminService/Drain" Unary Kept
    ListTenants "linmem.v1.AdminService/ListTenants" Unary Kept
    CreatePartition "linmem.v1.AdminService/CreatePartition" Unary Kept
    GetPartition "linmem.v1.AdminService/GetPartition" Unary Kept
    ListPartitions "linmem.v1.AdminService/ListPartitions" Unary Kept
    DeletePartition "linmem.v1.AdminService/DeletePartition" Unary Kept
    PutSegment "linmem.v1.MemoryService/PutSegment" Unary Kept
    GetSegment "linmem.v1.MemoryService/GetSegment" Unary Kept
    ListSegments "linmem.v1.MemoryService/ListSegments" Unary Kept
    InitMemory "linmem.v1.MemoryService/InitMemory" Unary Shed
    DropSegment "linmem.v1.MemoryService/DropSegment" Unary Kept
    CreateMemorySet "linmem.v1.MemoryService/CreateMemorySet" Unary Kept
    GetMemorySet "linmem.v1.MemoryService/GetMemorySet" Unary Kept
    ListMemorySets "linmem.v1.MemoryService/ListMemorySets" Unary Kept
    DeleteMemorySet "linmem.v1.MemoryService/DeleteMemorySet" Unary Kept
    OpenView "linmem.v1.MemoryService/OpenView" Unary Shed
    RefreshView "linmem.v1.MemoryService/RefreshView" Unary Kept
    CloseView "linmem.v1.MemoryService/CloseView" Unary Kept
    ResetMemoryStats "linmem.v1.MemoryService/ResetMemoryStats" Unary Kept
    ShareMemory "linmem.v1.MemoryService/ShareMemory" Unary Shed
    ListShares "linmem.v1.MemoryService/ListShares" Unary Kept
    RevokeShare "linmem.v1.MemoryService/RevokeShare" Unary Kept
    MountShare "linmem.v1.MemoryService/MountShare" Unary Shed
    WatchEvents "linmem.v1.EventService/WatchEvents" Stream Shed
    CreateGrowHook "linmem.v1.HookService/CreateGrowHook" Unary Shed
    GetGrowHook "linmem.v1.HookService/GetGrowHook" Unary Kept
    ListGrowHooks "linmem.v1.HookService/ListGrowHooks" Unary Kept
    DeleteGrowHook "linmem.v1.HookService/DeleteGrowHook" Unary Kept
    AnswerGrowHook "linmem.v1.HookService/AnswerGrowHook" Stream Kept
    HealthCheck "grpc.health.v1.Health/Check" Unary Kept
    HealthWatch "grpc.health.v1.Health/Watch" Stream Kept
    ReflectionV1 "grpc.reflection.v1.ServerReflection/ServerReflectionInfo" Stream Kept
    ReflectionV1Alpha "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" Stream Kept
}

impl Method {
    /// Whether one of tonic's own crates implements it. Such a call may be open for ever (a watch,
    /// a reflection stream).
    pub(crate) const fn is_foreign(self) -> bool {
        matches!(
            self,
            Self::HealthCheck | Self::HealthWatch | Self::ReflectionV1 | Self::ReflectionV1Alpha
        )
    }

    /// Whether a call of it may be parked: how long it takes is then the clients' doing.
    pub(crate) const fn parks(self) -> bool {
        matches!(self, Self::WaitOnAddress)
    }

    /// Whether a drain waits for it: not for what has no end of its own.
    pub(crate) const fn is_waited_for(self) -> bool {
        !self.is_foreign() && !matches!(self, Self::WatchEvents)
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_method_stands_where_its_index_says() {
        for (place, method) in Method::ALL.iter().enumerate() {
            assert_eq!(method.index(), place);
        }
    }
}
