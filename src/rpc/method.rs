//! [`Method`]: every RPC that is served, by path.
//!
//! Law: a closed list; a path that is not in it is UNIMPLEMENTED and counted as `_unknown`. The
//! services that tonic's own crates implement (health, reflection) are in it too.

use crate::metrics::UNKNOWN_METHOD;

macro_rules! methods {
    ($($variant:ident $path:literal $kind:ident)*) => {
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

methods! {
    ReadMemory "linmem.v1.MemoryService/ReadMemory" Unary
    WriteMemory "linmem.v1.MemoryService/WriteMemory" Unary
    GrowMemory "linmem.v1.MemoryService/GrowMemory" Unary
    FillMemory "linmem.v1.MemoryService/FillMemory" Unary
    CopyMemory "linmem.v1.MemoryService/CopyMemory" Unary
    OpenSession "linmem.v1.MemoryService/OpenSession" Stream
    ExecuteOperations "linmem.v1.MemoryService/ExecuteOperations" Unary
    DiscardMemory "linmem.v1.MemoryService/DiscardMemory" Unary
    ProtectMemory "linmem.v1.MemoryService/ProtectMemory" Unary
    SetVolatility "linmem.v1.MemoryService/SetVolatility" Unary
    VerifyMemory "linmem.v1.MemoryService/VerifyMemory" Unary
    DownloadMemory "linmem.v1.MemoryService/DownloadMemory" Stream
    UploadMemory "linmem.v1.MemoryService/UploadMemory" Stream
    GetServerInfo "linmem.v1.MemoryService/GetServerInfo" Unary
    CreateMemory "linmem.v1.MemoryService/CreateMemory" Unary
    GetMemory "linmem.v1.MemoryService/GetMemory" Unary
    ListMemories "linmem.v1.MemoryService/ListMemories" Unary
    UpdateMemory "linmem.v1.MemoryService/UpdateMemory" Unary
    DeleteMemory "linmem.v1.MemoryService/DeleteMemory" Unary
    KeepAliveMemory "linmem.v1.MemoryService/KeepAliveMemory" Unary
    WaitOnAddress "linmem.v1.MemoryService/WaitOnAddress" Unary
    NotifyAddress "linmem.v1.MemoryService/NotifyAddress" Unary
    GetHost "linmem.v1.AdminService/GetHost" Unary
    Reload "linmem.v1.AdminService/Reload" Unary
    Drain "linmem.v1.AdminService/Drain" Unary
    CreatePartition "linmem.v1.AdminService/CreatePartition" Unary
    GetPartition "linmem.v1.AdminService/GetPartition" Unary
    ListPartitions "linmem.v1.AdminService/ListPartitions" Unary
    DeletePartition "linmem.v1.AdminService/DeletePartition" Unary
    PutSegment "linmem.v1.MemoryService/PutSegment" Unary
    GetSegment "linmem.v1.MemoryService/GetSegment" Unary
    ListSegments "linmem.v1.MemoryService/ListSegments" Unary
    InitMemory "linmem.v1.MemoryService/InitMemory" Unary
    DropSegment "linmem.v1.MemoryService/DropSegment" Unary
    CreateMemorySet "linmem.v1.MemoryService/CreateMemorySet" Unary
    GetMemorySet "linmem.v1.MemoryService/GetMemorySet" Unary
    ListMemorySets "linmem.v1.MemoryService/ListMemorySets" Unary
    DeleteMemorySet "linmem.v1.MemoryService/DeleteMemorySet" Unary
    OpenView "linmem.v1.MemoryService/OpenView" Unary
    RefreshView "linmem.v1.MemoryService/RefreshView" Unary
    CloseView "linmem.v1.MemoryService/CloseView" Unary
    ResetMemoryStats "linmem.v1.MemoryService/ResetMemoryStats" Unary
    ShareMemory "linmem.v1.MemoryService/ShareMemory" Unary
    ListShares "linmem.v1.MemoryService/ListShares" Unary
    RevokeShare "linmem.v1.MemoryService/RevokeShare" Unary
    MountShare "linmem.v1.MemoryService/MountShare" Unary
    WatchEvents "linmem.v1.EventService/WatchEvents" Stream
    CreateGrowHook "linmem.v1.HookService/CreateGrowHook" Unary
    GetGrowHook "linmem.v1.HookService/GetGrowHook" Unary
    ListGrowHooks "linmem.v1.HookService/ListGrowHooks" Unary
    DeleteGrowHook "linmem.v1.HookService/DeleteGrowHook" Unary
    AnswerGrowHook "linmem.v1.HookService/AnswerGrowHook" Stream
    HealthCheck "grpc.health.v1.Health/Check" Unary
    HealthWatch "grpc.health.v1.Health/Watch" Stream
    ReflectionV1 "grpc.reflection.v1.ServerReflection/ServerReflectionInfo" Stream
    ReflectionV1Alpha "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" Stream
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
    use crate::proto::DESCRIPTORS;
    use prost::Message;

    #[test]
    fn every_rpc_of_the_protos_is_served_under_its_own_path() {
        let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        for file in files.file.iter().filter(|file| file.package() == "linmem.v1") {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/linmem.v1.{}/{}", service.name(), rpc.name());
                    let method = Method::of(&path);
                    assert_eq!(path.strip_prefix('/'), Some(method.name()));
                    let streams = rpc.client_streaming() || rpc.server_streaming();
                    assert_eq!(method.kind() == Kind::Stream, streams, "{path}");
                }
            }
        }
        assert_eq!(Method::of("/linmem.v1.MemoryService/Nope"), Method::Unknown);
    }

    #[test]
    fn a_method_stands_where_its_index_says() {
        for (place, method) in Method::ALL.iter().enumerate() {
            assert_eq!(method.index(), place);
        }
    }
}
