//! The gRPC service config that makes stock clients retry what is safe to retry.
//!
//! Its law: it names exactly the unary RPCs whose protos say `NO_SIDE_EFFECTS`. It is data for
//! others: this crate's own client follows ErrorInfo, which a service config cannot read.

/// The service config, as JSON: UNAVAILABLE is retried up to four times on RPCs without side
/// effects, and on no other. In Python:
/// `grpc.insecure_channel(target, options=[("grpc.service_config", SERVICE_CONFIG)])`; in Go:
/// `grpc.WithDefaultServiceConfig(...)`. DownloadMemory and WatchEvents are listed too: gRPC
/// retries a stream only until its first message has arrived.
pub const SERVICE_CONFIG: &str = r#"{
  "methodConfig": [
    {
      "name": [
        {"service": "linmem.v1.MemoryService", "method": "GetServerInfo"},
        {"service": "linmem.v1.MemoryService", "method": "GetMemory"},
        {"service": "linmem.v1.MemoryService", "method": "ListMemories"},
        {"service": "linmem.v1.MemoryService", "method": "ReadMemory"},
        {"service": "linmem.v1.MemoryService", "method": "DownloadMemory"},
        {"service": "linmem.v1.MemoryService", "method": "GetSegment"},
        {"service": "linmem.v1.MemoryService", "method": "ListSegments"},
        {"service": "linmem.v1.MemoryService", "method": "GetMemorySet"},
        {"service": "linmem.v1.MemoryService", "method": "ListMemorySets"},
        {"service": "linmem.v1.MemoryService", "method": "ListShares"},
        {"service": "linmem.v1.AdminService", "method": "GetHost"},
        {"service": "linmem.v1.AdminService", "method": "ListTenants"},
        {"service": "linmem.v1.AdminService", "method": "GetPartition"},
        {"service": "linmem.v1.AdminService", "method": "ListPartitions"},
        {"service": "linmem.v1.EventService", "method": "WatchEvents"},
        {"service": "linmem.v1.HookService", "method": "GetGrowHook"},
        {"service": "linmem.v1.HookService", "method": "ListGrowHooks"}
      ],
      "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    }
  ]
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use prost_types::method_options::IdempotencyLevel;
    use std::collections::BTreeSet;

    #[test]
    fn it_names_the_rpcs_without_side_effects_and_no_others() {
        let config: serde_json::Value = serde_json::from_str(SERVICE_CONFIG).unwrap();
        let named: BTreeSet<String> = config["methodConfig"][0]["name"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| {
                let part = |key: &str| name[key].as_str().unwrap().to_owned();
                format!("{}/{}", part("service"), part("method"))
            })
            .collect();
        let files = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap();
        let mut without_effects = BTreeSet::new();
        for file in files.file.iter().filter(|file| file.package() == "linmem.v1") {
            for service in &file.service {
                for method in &service.method {
                    let level = method.options.as_ref().map(|o| o.idempotency_level());
                    if level == Some(IdempotencyLevel::NoSideEffects) {
                        let name = format!("linmem.v1.{}/{}", service.name(), method.name());
                        without_effects.insert(name);
                    }
                }
            }
        }
        assert_eq!(named, without_effects);
        assert!(named.len() >= 6);
    }
}
