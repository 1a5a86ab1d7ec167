//! Claims about the configuration as a whole: the shipped file, the layers, the mistakes and what
//! is printed. Claims about one unit or one grammar are beside it.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::keys::{
    Key, TABLES, hook_keys, identity_keys, jwt_issuer_keys, keys, partition_keys, tenant_keys,
};
use super::*;

const SHIPPED: &str = include_str!("../../config/linmemd.toml");

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn without_flags() -> FlagLayer {
    FlagLayer::default()
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Config::from_toml(text).unwrap_err();
    mistakes.to_string().lines().map(str::to_owned).collect()
}

/// One mistake, of which the line contains every word given.
#[track_caller]
fn one_mistake(text: &str, words: &[&str]) {
    let mistakes = mistakes(text);
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    for word in words {
        assert!(mistakes[0].contains(word), "{:?} lacks {word:?}", mistakes[0]);
    }
}

#[test]
fn the_shipped_file_is_the_default() {
    assert_eq!(Config::from_toml(SHIPPED).unwrap(), Config::default());
    assert_eq!(Config::from_toml("").unwrap(), Config::default());
}

#[test]
fn the_shipped_file_explains_every_key_and_its_default() {
    let mut config = Config::default();
    let mut tenant = Tenant::named(defaults::TENANT_NAME);
    let mut wanted: Vec<(String, String, Option<String>)> = Vec::new();
    for key in keys() {
        wanted.push((format!("[{}]", key.section), key.name.into(), key.show(&mut config)));
    }
    for key in tenant_keys() {
        wanted.push((format!("[[{}]]", key.section), key.name.into(), key.show(&mut tenant)));
    }
    // None is there by default: the whole table is a comment.
    for key in partition_keys() {
        wanted.push(("# [[partition]]".into(), key.name.into(), None));
    }
    for key in hook_keys() {
        wanted.push(("# [[hook]]".into(), key.name.into(), None));
    }
    for key in identity_keys() {
        wanted.push(("# [[identity]]".into(), key.name.into(), None));
    }
    for key in jwt_issuer_keys() {
        wanted.push(("# [[jwt_issuer]]".into(), key.name.into(), None));
    }
    for (header, name, value) in &wanted {
        let mut lines = SHIPPED.lines().skip_while(|line| line != header).skip(1);
        let mut section: Vec<&str> = lines.by_ref().take_while(|l| !l.starts_with('[')).collect();
        section.insert(0, "");
        let line = match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} = "),
        };
        let at = section.iter().position(|found| match value {
            Some(_) => *found == line,
            None => found.starts_with(&line),
        });
        let at = at.unwrap_or_else(|| panic!("{header} lacks {line:?}"));
        assert!(section[at - 1].starts_with("# "), "{header} {name} has no comment");
    }
    let set = SHIPPED.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
    assert_eq!(set.count(), wanted.iter().filter(|(_, _, value)| value.is_some()).count());
}

#[test]
fn the_shipped_examples_of_absent_keys_are_accepted() {
    let mut names: Vec<&str> = keys().iter().map(|k| k.name).collect();
    names.extend(tenant_keys().iter().map(|k| k.name));
    names.extend(partition_keys().iter().map(|k| k.name));
    names.extend(hook_keys().iter().map(|k| k.name));
    names.extend(identity_keys().iter().map(|k| k.name));
    names.extend(jwt_issuer_keys().iter().map(|k| k.name));
    let tables = TABLES.map(|table| format!("# [[{table}]]"));
    let example = |line: &&str| {
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = "));
        tables.iter().any(|table| table == line)
            || key.is_some_and(|(name, _)| names.contains(&name))
    };
    assert_eq!(SHIPPED.lines().filter(example).count(), 42 + 4 + 1 + 8 + 1 + 6 + 1 + 12 + 1 + 4);
    let lines: Vec<&str> = SHIPPED.lines().map(|l| if example(&l) { &l[2..] } else { l }).collect();
    // The example's parent is another table's name.
    let lines = lines.join("\n").replace("parent = \"blue\"", "");
    // An identity is shown by one credential.
    let others = ["san_uri = ", "san_dns = ", "jwt = ", "uid = "];
    let one = |line: &&str| !others.iter().any(|other| line.starts_with(other));
    let lines: Vec<&str> = lines.lines().filter(one).collect();
    let lines = lines.join("\n");
    let config = Config::from_toml(&lines).unwrap();
    assert_eq!(config.partitions[0].minimum_bytes, 256 << 20);
    assert_eq!(config.grpc.unix_socket.as_deref(), Some(Path::new("/run/linmemd/linmemd.sock")));
    assert_eq!(config.tenants[0].mappings, Some(30_000));
    assert_eq!(config.identities[0].token_sha256, Some([0; 32]));
    assert_eq!(config.jwt_issuers[0].algorithms, ["ES256"]);
}

#[test]
fn each_layer_goes_before_the_one_below() {
    let file = file("[grpc]\nlisten = \"127.0.0.1:1\"\nmax_connections = 5\nruntimes = 2\n");
    let environment =
        environment(&[("LINMEMD_GRPC__LISTEN", "127.0.0.1:2"), ("LINMEMD_GRPC__RUNTIMES", "3")]);
    let flags = FlagLayer { listen: Some("127.0.0.1:3".into()), ..FlagLayer::default() };
    let loaded = load(Some(file.path()), environment, &flags).unwrap();
    assert_eq!(loaded.config.grpc.listen.port(), 3);
    assert_eq!(loaded.config.grpc.runtimes, Some(3));
    assert_eq!(loaded.config.grpc.max_connections, 5);
    assert_eq!(*loaded.origins.of("grpc.listen"), Origin::Flag { name: "--listen" });
    let env = Origin::Env { name: "LINMEMD_GRPC__RUNTIMES".into() };
    assert_eq!(*loaded.origins.of("grpc.runtimes"), env);
    let line = Origin::File { path: file.path().into(), line: 3 };
    assert_eq!(*loaded.origins.of("grpc.max_connections"), line);
    assert_eq!(*loaded.origins.of("grpc.idle_timeout"), Origin::Default);
}

#[test]
fn every_key_is_taken_from_its_variable_as_it_is_printed() {
    let mut config = Config::default();
    let variables = keys().into_iter().map(|key| {
        let value = key.show(&mut config).unwrap_or_default();
        let value = value.trim_matches(['"', '[', ']']).to_owned();
        (OsString::from(key.variable()), OsString::from(value))
    });
    let loaded = load(None, variables, &without_flags()).unwrap();
    assert_eq!(loaded.config, Config::default());
    for entry in loaded.entries().iter().filter(|entry| !entry.key.starts_with("tenant")) {
        assert!(matches!(entry.origin, Origin::Env { .. }), "{}", entry.key);
    }
}

#[test]
fn empty_text_takes_back_what_a_lower_layer_set() {
    let file = file("[grpc]\nunix_socket = \"/run/a\"\n[http]\nallowed_hosts = [\"a\"]\n");
    let environment =
        environment(&[("LINMEMD_GRPC__UNIX_SOCKET", ""), ("LINMEMD_HTTP__ALLOWED_HOSTS", "")]);
    let loaded = load(Some(file.path()), environment, &without_flags()).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let text = "[grpc]\nidle_timeout = 90\nmax_read_bytes = 65537\n[http]\nallowed_hosts = \
        [\"a\", \"::1\"]\n[memory]\novercommit = 1\nhost_budget = \"3GiB\"\n[pool]\nthreads = 3\n\
        [log]\nformat = \"json\"\n[[tenant]]\nname = \"a\"\nquota_bytes = \"1GiB\"\n\
        [[tenant]]\nname = \"b\"\n";
    let file = file(text);
    let loaded = load(Some(file.path()), [], &without_flags()).unwrap();
    let printed = loaded.print();
    assert_eq!(Config::from_toml(&printed).unwrap(), loaded.config, "{printed}");
    let path = file.path().display();
    let line = |start: &str| printed.lines().find(|l| l.starts_with(start)).unwrap().to_owned();
    assert!(line("idle_timeout").starts_with("idle_timeout = \"1m 30s\" "));
    assert!(line("idle_timeout").ends_with(&format!(" # {path}:2")));
    assert!(line("max_connections").ends_with(" # default"));
    assert!(line("# runtimes is absent: one a core").ends_with(" # default"));
    assert_eq!(printed.matches("[[tenant]]").count(), 2);
}

#[test]
fn all_mistakes_of_all_layers_come_at_once_and_in_order() {
    let file = file(
        "[grpc]\nmax_conections = 5\nidle_timeout = \"5x\"\nmax_connections = 0\n\
         allow_anonymous = \"yes\"\n[gprc]\nlisten = 1\n[[tenant]]\nquota = 1\n",
    );
    let environment = environment(&[
        ("LINMEMD_POOL__NICE", "20"),
        ("LINMEMD_GRPC_LISTEN", "127.0.0.1:1"),
        ("PATH", "/bin"),
    ]);
    let flags = FlagLayer { metrics_listen: Some("localhost:1".into()), ..FlagLayer::default() };
    let mistakes = load(Some(file.path()), environment, &flags).unwrap_err().to_string();
    let lines: Vec<&str> = mistakes.lines().collect();
    let path = file.path().display();
    let starts = [
        format!("{path}:2: grpc.max_conections: unknown; did you mean grpc.max_connections?"),
        format!("{path}:3: grpc.idle_timeout: found \"5x\"; accepted: a time from \"100ms\""),
        format!("{path}:4: grpc.max_connections: out of range: found 0; accepted: a whole"),
        format!("{path}:5: grpc.allow_anonymous: wrong type: found \"yes\"; accepted: true"),
        format!("{path}:6: gprc: unknown; did you mean [grpc]?"),
        format!("{path}:8: tenant[0].name: missing; accepted: a name that matches"),
        format!("{path}:9: tenant[0].quota: unknown"),
        "env LINMEMD_GRPC_LISTEN: unknown; did you mean LINMEMD_GRPC__LISTEN?".to_owned(),
        "env LINMEMD_POOL__NICE: pool.nice: out of range: found \"20\"; accepted: a".to_owned(),
        "flag --metrics-listen: http.listen: found \"localhost:1\"; accepted: an IP".to_owned(),
    ];
    assert_eq!(lines.len(), starts.len(), "{mistakes}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start.as_str()), "{line:?} does not start {start:?}");
    }
}

#[test]
fn a_key_in_the_wrong_place_is_told_its_place() {
    one_mistake("max_connections = 5", &["did you mean grpc.max_connections?"]);
    one_mistake("[http]\nmax_connections = 5", &["did you mean grpc.max_connections?"]);
    one_mistake("grpc = 5", &["config:1", "a table: [grpc]"]);
    one_mistake("[tenant]\nname = \"a\"", &["[[tenant]]"]);
    one_mistake("[colour]\nred = 1", &["config:1: colour: unknown"]);
}

#[test]
fn text_that_is_no_toml_is_reported_by_line_and_does_not_hide_other_mistakes() {
    let lines = mistakes("[grpc]\nlisten = \nmax_connections = 0\n[http\nlisten = 5\n");
    assert!(lines.iter().any(|line| line.starts_with("config:2: is not TOML: ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("config:3: grpc.max_conn")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("config:4: is not TOML: ")), "{lines:#?}");
    one_mistake("[pool]\nnice = 1\nnice = 2", &["config:3: is not TOML", "duplicate key"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let mistakes = load(Some(Path::new("/nowhere/x.toml")), [], &without_flags()).unwrap_err();
    assert!(mistakes.to_string().starts_with("/nowhere/x.toml: cannot be read: "), "{mistakes}");
}

#[test]
fn a_listener_beyond_loopback_needs_leave_of_its_own_to_ask_nobody_and_to_hide_nothing() {
    for (section, other) in [("grpc", "http"), ("http", "grpc")] {
        let listen = format!("[{section}]\nlisten = \"0.0.0.0:1\"");
        let mistakes = mistakes(&listen);
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        let place = format!("config:2: {section}.listen");
        assert!(mistakes.iter().all(|one| one.starts_with(&place)), "{mistakes:?}");
        let anonymous = "allow_anonymous = true";
        let plaintext = "allow_plaintext = true";
        one_mistake(&format!("{listen}\n{anonymous}"), &[&place, "allow_plaintext"]);
        one_mistake(&format!("{listen}\n{plaintext}"), &[&place, "allow_anonymous"]);
        let elsewhere = format!("{listen}\n{anonymous}\n[{other}]\n{plaintext}");
        one_mistake(&elsewhere, &["allow_plaintext"]);
        let config = Config::from_toml(&format!("{listen}\n{anonymous}\n{plaintext}")).unwrap();
        let insecure = config.insecure_listeners();
        assert_eq!(insecure.len(), 1);
        assert_eq!(insecure[0].key, format!("{section}.listen"));
        assert!(insecure[0].is_anonymous && insecure[0].is_plaintext);
    }
    for loopback in ["127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "127.0.0.1:0"] {
        let config = Config::from_toml(&format!("[grpc]\nlisten = \"{loopback}\"")).unwrap();
        assert_eq!(config.insecure_listeners(), []);
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused_with_both_places() {
    let wanted = "config:2: grpc.in_flight_bytes = \"32MiB\" contradicts \
        grpc.in_flight_bytes_per_tenant = \"64MiB\" (default); accepted: \
        grpc.in_flight_bytes_per_tenant at most grpc.in_flight_bytes";
    one_mistake("[grpc]\nin_flight_bytes = \"32MiB\"", &[wanted]);
    one_mistake("[grpc]\nlisten = \"127.0.0.1:9420\"", &["http.listen", "two different ports"]);
    one_mistake(
        "[grpc]\nin_flight_bytes_per_tenant = \"4MiB\"\nmax_write_bytes = \"4033KiB\"",
        &["grpc.max_write_bytes"],
    );
    one_mistake("[memory]\nreserved_bytes = \"1TiB\"", &["memory.reserved_bytes_per_tenant"]);
    one_mistake("[memory]\nreserved_bytes_per_tenant = \"255MiB\"", &["default_maximum_pages"]);
    one_mistake(
        "[fixed]\nslots = 17\n[memory]\nhost_budget = \"16MiB\"",
        &["config:2: fixed.slots", "memory.host_budget"],
    );
    one_mistake(
        "[fixed]\nslots = 1048576\nslot_pages = 65536",
        &["fixed.slots", "memory.reserved_bytes"],
    );
    one_mistake("[fixed]\nslot_pages = 0", &["config:2: fixed.slot_pages"]);
    one_mistake("[pool]\nslice_bytes = \"64KiB\"", &["pool.inline_bytes = \"256KiB\" (default)"]);
    one_mistake("[[tenant]]\nname = \"a\"\nreserved_bytes = \"65TiB\"", &["memory.reserved_bytes"]);
    one_mistake(
        "[[tenant]]\nname = \"a\"\nreserved_bytes = \"1MiB\"",
        &["config:3", "default_maximum_pages"],
    );
    let capped = "[[tenant]]\nname = \"a\"\nreserved_bytes = \"1MiB\"\nmaximum_pages = 16";
    assert!(Config::from_toml(capped).is_ok());
}

#[test]
fn a_value_that_was_refused_takes_part_in_no_contradiction() {
    one_mistake("[grpc]\nin_flight_bytes = \"32MB\"", &["found \"32MB\""]);
    one_mistake(
        "[grpc]\nlisten = \"0.0.0.0:1\"\nallow_plaintext = true\nallow_anonymous = 1",
        &["wrong type"],
    );
}

#[test]
fn tenants_have_unique_names_of_the_grammar() {
    let twice = "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"\n";
    one_mistake(twice, &["config:4: tenant[1].name", "already given at config:2"]);
    let shifted = "[[tenant]]\nname = \"a\"\n[[tenant]]\n[[tenant]]\nname = \"a\"\n";
    let shifted = mistakes(shifted);
    assert!(shifted[1].contains("config:5: tenant[2].name: found \"a\""), "{shifted:#?}");
    assert_eq!(shifted.len(), 2);
    one_mistake("[[tenant]]\nname = \"_other\"", &["[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"]);
    let config = Config::from_toml("[[tenant]]\nname = \"a\"\nmemories = 3").unwrap();
    assert_eq!(config.tenants, [Tenant { memories: Some(3), ..Tenant::named("a") }]);
}

#[test]
fn values_are_read_in_their_units_or_as_plain_integers() {
    let text = "[grpc]\nin_flight_bytes = 0x8000000\nidle_timeout = 300\nmax_deadline = \"90\"\n\
        [drain]\nlimit = \"0s\"\n[pool]\ninline_bytes = \"64 KiB\"\n[requests]\nwindow = \"1h 1m\"";
    let config = Config::from_toml(text).unwrap();
    assert_eq!(config.grpc.in_flight_bytes, 128 << 20);
    assert_eq!(config.grpc.idle_timeout, Duration::from_secs(300));
    assert_eq!(config.grpc.max_deadline, Duration::from_secs(90));
    assert_eq!(config.drain.limit, Duration::ZERO);
    assert_eq!(config.pool.inline_bytes, 64 << 10);
    assert_eq!(config.requests.window, Duration::from_secs(3660));
    one_mistake("[memory]\novercommit = nan", &["out of range"]);
    one_mistake("[memory]\nhost_budget = -1", &["out of range", "80 %"]);
    one_mistake("[grpc]\nidle_timeout = 0.5", &["wrong type: found 0.5"]);
    one_mistake("[pool]\nnice = \"10\"", &["wrong type"]);
    one_mistake("[grpc]\nunix_socket = \"a.sock\"", &["an absolute path"]);
}

#[test]
fn names_that_kubernetes_injects_are_passed_over_and_all_others_are_not() {
    let injected = environment(&[
        ("LINMEMD_SERVICE_HOST", "10.0.0.1"),
        ("LINMEMD_SERVICE_PORT_GRPC", "7420"),
        ("LINMEMD_PORT", "tcp://10.0.0.1:7420"),
        ("LINMEMD_PORT_7420_TCP_ADDR", "10.0.0.1"),
        ("LINMEMD_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("LINMEMD_METRICS_PORT", "tcp://10.0.0.2:9420"),
        ("LINMEMD_METRICS_PORT_9420_TCP", "tcp://10.0.0.2:9420"),
        ("LINMEMCTL_ENDPOINT", "http://127.0.0.1:7420"),
    ]);
    assert_eq!(load(None, injected, &without_flags()).unwrap().config, Config::default());
    for (name, word) in [
        ("LINMEMD_GRPC_PORT", "unknown"),
        ("LINMEMD_grpc__listen", "LINMEMD_GRPC__LISTEN"),
        ("LINMEMD_GRPC__LISTNE", "LINMEMD_GRPC__LISTEN"),
        ("LINMEMD_TENANT__NAME", "in the file only"),
        ("LINMEMD_CONFIG", "unknown"),
    ] {
        let mistakes = load(None, environment(&[(name, "1")]), &without_flags()).unwrap_err();
        assert!(mistakes.to_string().contains(word), "{mistakes}");
    }
}

#[test]
fn a_mistake_is_one_line_whatever_was_found() {
    let environment = environment(&[("LINMEMD_A\nB", "x"), ("LINMEMD_LOG__FILTER", "a\nb")]);
    let mistakes = load(None, environment, &without_flags()).unwrap_err();
    assert_eq!(mistakes.to_string().lines().count(), 2, "{mistakes}");
}

#[test]
fn every_flag_of_the_table_is_one_of_the_layer() {
    let flags: Vec<&str> = keys().iter().filter_map(|key: &Key<Config>| key.flag).collect();
    assert_eq!(flags, ["--listen", "--unix-socket", "--metrics-listen"]);
    let some = |text: &str| Some(text.to_owned());
    let layer = FlagLayer {
        listen: some("[::1]:0"),
        metrics_listen: some("[::1]:1"),
        unix_socket: some("/run/s"),
    };
    let config = load(None, [], &layer).unwrap().config;
    assert_eq!((config.grpc.listen.port(), config.http.listen.port()), (0, 1));
    assert_eq!(config.grpc.unix_socket.as_deref(), Some(Path::new("/run/s")));
}

proptest! {
    #[test]
    fn any_text_is_answered(
        text in "([a-z]{1,3}|grpc|listen|tenant|name|[ =.\\[\\]{},#\n\"'0-9_+-]){0,40}",
    ) {
        if let Err(mistakes) = Config::from_toml(&text) {
            prop_assert_eq!(mistakes.to_string().lines().count(), mistakes.iter().count());
        }
    }
}
