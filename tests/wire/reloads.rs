//! Claims about the config read anew: whole or not at all, told by key and by hash, and never at the
//! cost of what a tenant has.
//!
//! Law: the daemon reads a real file, and each change of it is a whole config. What a signal does is
//! asked of a process.

use std::path::PathBuf;

use linmemd::client::proto::{ConfigChange, ConfigChangeKind, ReloadResponse};
use linmemd::client::{Client, ClientError, Failure};
use linmemd::config::{self, Config, FlagLayer, Identity, Loaded, Tenant};
use linmemd::token::Token;

use crate::contract::refused;
use crate::harness::{House, Witness, connect, http_get, pages, pattern, tenant};

/// A daemon, the file that it reads anew, and an operator.
pub(crate) struct Reloading {
    pub(crate) house: House,
    pub(crate) operator: Client,
    folder: tempfile::TempDir,
}

impl Reloading {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("l.sock");
        let house = House::with(|config| {
            config.grpc.unix_socket = Some(socket.clone());
            config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
            change(config);
        });
        let path = folder.path().join("linmemd.toml");
        let load = move || {
            let loaded = config::load(Some(&path), [], &FlagLayer::default());
            loaded.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
        };
        house.daemon.reload_from(Box::new(load));
        let operator = connect(&format!("unix://{}", socket.display()), None).await;
        let this = Self { house, operator, folder };
        this.write(|_| {});
        this
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("linmemd.toml")
    }

    /// The file says what the daemon was started with, but for this.
    pub(crate) fn write(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.house.config.clone();
        change(&mut config);
        let text = Loaded { config, origins: config::Origins::default() }.print();
        // What is absent is a comment, and the default where the default is not absent.
        let text = text.replace("# purge_at is absent", "purge_at = \"\" # it is absent");
        std::fs::write(self.path(), text).unwrap();
    }

    pub(crate) async fn reload(&self) -> ReloadResponse {
        self.operator.reload(false).await.unwrap()
    }

    /// The same, with this in the file.
    pub(crate) async fn to(&self, change: impl FnOnce(&mut Config)) -> ReloadResponse {
        self.write(change);
        self.reload().await
    }

    /// That it is refused for what the file says, each of these on one line.
    pub(crate) async fn is_refused(&self, lines: &[&[&str]]) -> Failure {
        let failure =
            refused(self.operator.reload(false).await, "INVALID_SPEC", &[("field", &"config")]);
        for words in lines {
            let has_all = |line: &str| words.iter().all(|word| line.contains(word));
            assert!(failure.message.lines().any(has_all), "{words:?} in {}", failure.message);
        }
        assert_eq!(failure.message.lines().count(), lines.len() + 1, "{}", failure.message);
        failure
    }

    async fn success(&self) -> f64 {
        self.house.scrape().await.value("linmemd_config_reload_success", &[])
    }

    async fn hash(&self) -> String {
        self.operator.host().await.unwrap().config_hash
    }
}

fn quota(config: &mut Config, name: &str, bytes: Option<u64>) {
    let found = config.tenants.iter_mut().find(|tenant| tenant.name == name);
    found.unwrap().quota_bytes = bytes;
}

fn without(config: &mut Config, name: &str) {
    config.tenants.retain(|tenant| tenant.name != name);
}

fn keys(answer: &ReloadResponse) -> Vec<&str> {
    answer.changes.iter().map(|change| change.key.as_str()).collect()
}

#[tokio::test]
async fn a_reload_answers_what_differs_with_both_hashes_and_a_second_one_nothing() {
    let it = Reloading::with(|_| {}).await;
    let before = it.hash().await;
    assert_eq!(before, it.house.config.hash());
    let answer = it
        .to(|config| {
            quota(config, "other", Some(1 << 20));
            config.tenants.push(Tenant::named("new"));
            config.log.filter = "warn".to_owned();
        })
        .await;
    let change = |key: &str, kind: ConfigChangeKind, old: Option<&str>, new: &str| ConfigChange {
        key: key.to_owned(),
        kind: kind.into(),
        old_value: old.map(str::to_owned),
        new_value: Some(new.to_owned()),
    };
    let (added, changed) = (ConfigChangeKind::Added, ConfigChangeKind::Changed);
    let wanted = [
        change("log.filter", changed, Some("\"info\""), "\"warn\""),
        change("tenant[\"new\"].name", added, None, "\"new\""),
        change("tenant[\"new\"].state", added, None, "\"active\""),
        change("tenant[\"other\"].quota_bytes", added, None, "\"1MiB\""),
    ];
    assert_eq!(answer.changes, wanted);
    assert_eq!((answer.more_changes, answer.applied), (0, true));
    assert_eq!(answer.previous_config_hash, before);
    assert_ne!(answer.config_hash, before);
    assert_eq!(it.hash().await, answer.config_hash);
    let again = it.reload().await;
    assert_eq!((keys(&again), again.applied), (vec![], true));
    assert_eq!(again.config_hash, answer.config_hash);
    assert_eq!(again.previous_config_hash, answer.config_hash);
    let new = it.house.client_of("new").await;
    new.create(Some("m"), pages(1)).await.unwrap();
    new.delete("m").await.unwrap();
    let page = it.house.scrape().await;
    assert_eq!(page.value("linmemd_config_reload_success", &[]), 1.0);
    assert!(page.value("linmemd_config_reload_timestamp_seconds", &[]) > 1e9);
    it.house.stop().await;
}

#[tokio::test]
async fn a_reload_that_only_validates_changes_nothing() {
    let it = Reloading::with(|_| {}).await;
    let before = it.hash().await;
    it.write(|config| without(config, "other"));
    let answer = it.operator.reload(true).await.unwrap();
    assert_eq!(keys(&answer), ["tenant[\"other\"].name", "tenant[\"other\"].state"]);
    assert!(answer.changes.iter().all(|change| change.kind() == ConfigChangeKind::Removed));
    assert!(!answer.applied && answer.config_hash != before);
    assert_eq!(it.hash().await, before);
    it.house.client_of("other").await.list("").await.unwrap();
    std::fs::write(it.path(), "[grpc]\nlisten = 1\n").unwrap();
    let refusal = it.operator.reload(true).await;
    refused(refusal, "INVALID_SPEC", &[("field", &"config")]);
    assert_eq!(it.success().await, 1.0, "nothing was to be put in force");
    it.house.stop().await;
}

#[tokio::test]
async fn a_config_with_mistakes_changes_nothing_and_all_of_them_are_told_by_line() {
    let it = Reloading::with(|_| {}).await;
    let before = it.hash().await;
    let text =
        "[log]\nfilter = \"loud\"\n[[tenant]]\nname = \"new\"\nquota_byte = 1\nmemories = -1\n";
    std::fs::write(it.path(), text).unwrap();
    it.is_refused(&[
        &["linmemd.toml:2: log.filter", "loud"],
        &["linmemd.toml:5: tenant[0].quota_byte", "did you mean quota_bytes?"],
        &["linmemd.toml:6: tenant[0].memories", "out of range"],
    ])
    .await;
    assert_eq!((it.success().await, it.hash().await), (0.0, before.clone()));
    let new = it.house.client_of("new").await;
    refused(new.list("").await, "TENANT_MISMATCH", &[("tenant", &"new")]);
    std::fs::remove_file(it.path()).unwrap();
    it.is_refused(&[&["linmemd.toml", "cannot be read"]]).await;
    it.write(|_| {});
    assert_eq!(it.reload().await.config_hash, before);
    assert_eq!(it.success().await, 1.0);
    it.house.stop().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name_and_nothing_else_is_taken() {
    let it = Reloading::with(|_| {}).await;
    it.write(|config| {
        config.grpc.max_connections = 7;
        config.fixed.slots = 3;
        quota(config, "other", Some(1 << 20));
    });
    it.is_refused(&[
        &["linmemd.toml:", "fixed.slots: is 0 and cannot become 3 without a restart"],
        &["linmemd.toml:", "grpc.max_connections: is 10000 and cannot become 7 without a restart"],
    ])
    .await;
    let other = it.house.client_of("other").await;
    other.create(Some("m"), pages(64)).await.unwrap();
    it.house.stop().await;
}

#[tokio::test]
async fn a_lowered_quota_takes_nothing_back_and_refuses_growth_and_creates_until_there_is_room() {
    // The label that others share is of the table in force as well.
    let it = Reloading::with(|config| config.metrics.tenants_cap = 1).await;
    let other = it.house.client_of("other").await;
    let witness = Witness::of(&other, "w").await;
    other.create(Some("m"), pages(16)).await.unwrap();
    let limit = 8 * 65_536;
    it.to(|config| quota(config, "other", Some(limit))).await;
    witness.is_unharmed().await;
    other.write("m", 15 * 65_536, pattern(64, 1)).await.unwrap();
    let info = other.server_info().await.unwrap();
    let bytes = &info.quotas[0];
    assert_eq!((bytes.resource.as_str(), bytes.limit), ("committed_bytes", limit));
    assert_eq!(bytes.used, 18 * 65_536);
    let labels = [("tenant", "_other"), ("resource", "committed_bytes")];
    let page = it.house.scrape().await;
    assert_eq!(page.value("linmemd_quota_limit", &labels), limit as f64);
    assert_eq!(page.value("linmemd_quota_used", &labels), 18.0 * 65_536.0);
    for outcome in
        [other.grow("m", 1).await.map(drop), other.create(None, pages(1)).await.map(drop)]
    {
        let Err(ClientError::Refused(failure)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.reason, "QUOTA_EXCEEDED", "{failure}");
        assert_eq!(failure.metadata["limit"], limit.to_string());
        assert!(failure.metadata["used"].parse::<u64>().unwrap() >= 18 * 65_536);
    }
    other.delete("m").await.unwrap();
    other.grow("w", 1).await.unwrap();
    // And what is raised is there at once.
    it.to(|config| quota(config, "other", None)).await;
    other.create(Some("m"), pages(64)).await.unwrap();
    it.house.stop().await;
}

#[tokio::test]
async fn a_tenant_that_has_something_cannot_vanish_by_omission_and_an_empty_one_goes_with_its_series()
 {
    let it = Reloading::with(|_| {}).await;
    let other = it.house.client_of("other").await;
    let witness = Witness::of(&other, "w").await;
    other.create(Some("m"), pages(1)).await.unwrap();
    other.put(Some("s"), pattern(64, 1)).await.unwrap();
    it.write(|config| without(config, "other"));
    it.is_refused(&[&["\"other\"", "2 memories and 1 segments", "state = \"closed\"", "delete"]])
        .await;
    witness.is_unharmed().await;
    for memory in ["w", "m"] {
        other.delete(memory).await.unwrap();
    }
    it.is_refused(&[&["\"other\"", "0 memories and 1 segments"]]).await;
    other.create(Some("m"), pages(1)).await.unwrap();
    other.delete("m").await.unwrap();
    other.drop_segment("s", false).await.unwrap();
    let series = "linmemd_tenant_memories{tenant=\"other\"}";
    let page = async || http_get(it.house.daemon.addresses.http, "/metrics").await.1;
    assert!(page().await.contains(series));
    assert_eq!(it.reload().await.changes.len(), 2);
    refused(other.list("").await, "TENANT_MISMATCH", &[("tenant", &"other")]);
    assert!(!page().await.contains("tenant=\"other\""));
    it.to(|_| {}).await;
    assert!(page().await.contains(series));
    assert_eq!(other.list("").await.unwrap(), []);
    other.create(Some("m"), pages(1)).await.unwrap();
    it.house.stop().await;
}

#[tokio::test]
async fn reloads_at_once_are_carried_out_one_after_the_other() {
    let it = Reloading::with(|_| {}).await;
    let before = it.hash().await;
    it.write(|config| quota(config, "other", Some(1 << 20)));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let operator = it.operator.clone();
        calls.spawn(async move { operator.reload(false).await.unwrap() });
    }
    let answers = calls.join_all().await;
    let first: Vec<_> = answers.iter().filter(|one| one.previous_config_hash == before).collect();
    assert_eq!((first.len(), first[0].changes.len()), (1, 1));
    let after = &first[0].config_hash;
    assert!(answers.iter().all(|one| one.config_hash == *after));
    let rest = answers.iter().filter(|one| one.previous_config_hash == *after);
    assert_eq!(rest.filter(|one| one.changes.is_empty()).count(), 7);
    it.house.stop().await;
}

#[tokio::test]
async fn a_reload_while_draining_is_refused_and_changes_nothing() {
    let it = Reloading::with(|_| {}).await;
    it.write(|config| quota(config, "other", Some(1 << 20)));
    it.house.daemon.server.drain().await;
    refused(it.operator.reload(false).await, "DRAINING", &[]);
    let limit = |house: &House| {
        let all: Vec<_> = house.daemon.server.tenants.iter().collect();
        let limits = all.iter().map(|tenant| tenant.namespace.account.holdings()[0].limit);
        limits.min().unwrap()
    };
    assert!(limit(&it.house) > 1 << 20);
    it.house.close().await;
}

#[tokio::test]
async fn a_daemon_that_reads_no_config_says_that_it_cannot_reload() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("l.sock");
    let house = House::with(|config| config.grpc.unix_socket = Some(socket.clone()));
    let operator = connect(&format!("unix://{}", socket.display()), None).await;
    let (field, value) =
        (("field", &"config" as &dyn std::fmt::Display), ("value", &"reload" as _));
    refused(operator.reload(false).await, "CAPABILITY_UNAVAILABLE", &[field, value]);
    house.stop().await;
}

#[tokio::test]
async fn who_may_call_and_scrape_goes_by_the_last_reload() {
    let it = Reloading::with(|_| {}).await;
    let anonymous = it.house.client().await;
    anonymous.list("").await.unwrap();
    let known = |name: &str, number: u8, roles: &[&str]| Identity {
        name: name.to_owned(),
        tenant: "default".to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        token_sha256: Some(*Token::new([number; 32]).hash().bytes()),
        ..Identity::default()
    };
    let answer = it
        .to(|config| {
            config.identities = vec![
                known("writer", 1, &["writer", "metrics"]),
                known("operator", 2, &["operator"]),
            ];
        })
        .await;
    let hashes = answer.changes.iter().filter(|change| change.key.ends_with("token_sha256"));
    let shown: Vec<_> = hashes.filter_map(|change| change.new_value.as_deref()).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|value| value.len() == 13 && value.ends_with("...\"")), "{shown:?}");
    refused(anonymous.list("").await, "CREDENTIALS_MISSING", &[]);
    let http = it.house.daemon.addresses.http;
    assert_eq!(http_get(http, "/metrics").await.0, 401);
    let operator = it.house.client_by(Token::new([2; 32]).reveal()).await;
    refused(it.operator.reload(false).await, "CREDENTIALS_MISSING", &[]);
    it.write(|config| config.identities = vec![known("another", 3, &["operator", "metrics"])]);
    operator.reload(false).await.unwrap();
    refused(operator.host().await.map(drop), "CREDENTIALS_REFUSED", &[]);
    let another = it.house.client_by(Token::new([3; 32]).reveal()).await;
    another.host().await.unwrap();
}

#[tokio::test]
async fn a_reload_is_for_operators_and_on_a_listener_that_asks_nobody_over_the_socket_only() {
    let it = Reloading::with(|_| {}).await;
    let refusal = it.house.client().await.reload(false).await;
    refused(refusal, "ROLE_MISSING", &[("role", &"operator")]);
    it.house.stop().await;
}
