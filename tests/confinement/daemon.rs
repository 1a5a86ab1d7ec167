//! The real program: confined in every thread, doing all that it is for, and saying so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use linmemd::client::proto::{
    Allocator, Backing, GetMemoryRequest, HugePages, Locking, MemorySpec, MemoryView, Numa,
    NumaPolicy, Populate, Verification,
};
use linmemd::client::{Client, ConnectOptions};
use serde_json::Value;

use crate::has;
use crate::serving::Serving;

const PROGRAM: &str = env!("CARGO_BIN_EXE_linmemd");

/// The thread's fields of this name.
fn fields(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in\n{status}")).trim().to_owned()
}

#[test]
fn every_thread_of_the_daemon_is_confined() {
    let daemon = Serving::start(Command::new(PROGRAM));
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let mut names = Vec::new();
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let name = fields(&status, "Name");
        assert_eq!(fields(&status, "NoNewPrivs"), "1", "{name}");
        assert_eq!(fields(&status, "Seccomp"), "2", "{name}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let bits = u64::from_str_radix(&fields(&status, set), 16).unwrap();
            // CAP_IPC_LOCK alone; who had no CAP_SETPCAP has the bounding set that there was.
            let given_up = bits & !(1 << 14) == 0 || (set == "CapBnd" && !has(8));
            assert!(given_up, "{name}: {set} {bits:x}");
        }
        names.push(name);
    }
    for role in ["linmemd", "acceptor", "serving-0", "http", "pool-0", "tick", "pressure", "log"] {
        assert!(names.iter().any(|name| name == role), "{role} is not among {names:?}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    daemon.stop();
}

async fn connect(endpoint: &str) -> Client {
    Client::connect(&ConnectOptions::new(endpoint.parse().unwrap())).await.unwrap()
}

/// What a host may not have is refused by name; what counts here is that nobody is killed for trying.
#[tokio::test]
async fn the_confined_daemon_does_all_that_it_is_for() {
    let mut command = Command::new(PROGRAM);
    command.env("LINMEMD_FIXED__SLOTS", "1").env("LINMEMD_LEASE__SWEEP_INTERVAL", "10ms");
    let daemon = Serving::start(command);
    let client = connect(&format!("http://{}", daemon.grpc)).await;
    let plain = MemorySpec { initial_pages: 1, maximum_pages: Some(64), ..MemorySpec::default() };
    let numa = |policy: NumaPolicy| {
        Some(Numa { policy: policy.into(), nodes: vec![0], ..Numa::default() })
    };
    let forms = [
        plain.clone(),
        MemorySpec { maximum_pages: Some(65_536), ..plain.clone() },
        MemorySpec { backing: Backing::Memfd.into(), ..plain.clone() },
        MemorySpec { populate: Populate::Maximum.into(), ..plain.clone() },
        MemorySpec { locking: Locking::Locked.into(), ..plain.clone() },
        MemorySpec { locking: Locking::LockedNoSwap.into(), ..plain.clone() },
        MemorySpec { allocator: Allocator::Heap.into(), ..plain.clone() },
        MemorySpec { allocator: Allocator::Fixed.into(), maximum_pages: None, ..plain.clone() },
        MemorySpec { huge_pages: vec![HugePages::Transparent.into()], ..plain.clone() },
        MemorySpec { huge_pages: vec![HugePages::HugePages2m.into()], ..plain.clone() },
        MemorySpec { numa: numa(NumaPolicy::Bind), ..plain.clone() },
        MemorySpec { numa: numa(NumaPolicy::Interleave), ..plain.clone() },
        MemorySpec { verification: Verification::Redundant.into(), ..plain.clone() },
        MemorySpec { shared: true, ..plain.clone() },
    ];
    let mut made = 0;
    for spec in forms {
        let Ok(_memory) = client.create(Some("m"), spec).await else { continue };
        made += 1;
        client.write("m", 0, vec![7; 65_536]).await.unwrap();
        let _maximum = client.grow("m", 2).await;
        client.fill("m", 0, 65_536, 1).await.unwrap();
        let _discarded = client.discard("m", 0, 65_536).await.unwrap();
        assert_eq!(client.read("m", 0, 16).await.unwrap()[..], [0; 16]);
        let _report = client.verify("m").await.unwrap();
        let full = GetMemoryRequest {
            memory_id: "m".to_owned(),
            view: MemoryView::Full.into(),
            ..GetMemoryRequest::default()
        };
        let _with_placement = client.get_memory(full).await.unwrap();
        client.delete("m").await.unwrap();
    }
    assert!(made >= 8, "{made} forms could be made here");
    // The longest way round: pool, uploads, the watch for pressure, the page.
    let large = MemorySpec { initial_pages: 64, ..MemorySpec::default() };
    client.create(Some("l"), large).await.unwrap();
    client.fill("l", 0, 64 << 16, 3).await.unwrap();
    client.delete("l").await.unwrap();
    let host = client.host().await.unwrap();
    let states: Vec<&str> = host.confinement.iter().map(|one| one.state.as_str()).collect();
    assert_eq!(states.len(), 7, "{host:?}");
    assert_eq!(states[6], "on", "{host:?}");
    let page = daemon.scrape();
    assert!(page.contains("process_open_fds"), "{page}");
    daemon.stop();
}

#[tokio::test]
async fn in_a_folder_of_everybodys_the_socket_is_in_one_of_its_own_and_announced() {
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("--unix-socket").arg(shared.path().join("l.sock"));
    let daemon = Serving::start(command);
    let own = fs::read_dir(shared.path()).unwrap().next().unwrap().unwrap();
    assert!(own.file_name().to_string_lossy().starts_with("linmemd-"), "{own:?}");
    assert_eq!(own.metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    let socket = format!("unix://{}", own.path().join("l.sock").display());
    let host = connect(&socket).await.host().await.unwrap();
    assert!(host.listeners.iter().any(|one| one.address == socket), "{host:?}");
    daemon.stop();
    assert!(!own.path().join("l.sock").exists(), "the name is gone with the daemon");
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn check_says_what_is_on_for_people_and_for_programs() {
    let said = run(&["check"], &[]);
    let text = String::from_utf8(said.stdout).unwrap();
    for line in text.lines() {
        assert!([" ON", " PARTLY", " OFF"].iter().any(|state| line.contains(state)), "{text}");
    }
    assert!(!text.contains('\u{1b}'), "this is no terminal: {text}");
    let is_off = text.contains(" OFF");
    assert_eq!(said.status.code(), Some(i32::from(is_off)), "{text}");
    let off = [("LINMEMD_CONFINEMENT__LANDLOCK", "false"), ("LINMEMD_CONFINEMENT__SECCOMP", "off")];
    let said = run(&["check", "--json"], &off);
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    let states: Vec<&str> = json["measures"].as_array().unwrap().iter().map(state).collect();
    assert_eq!(states[5..], ["switched_off", "switched_off"], "{json}");
    assert_eq!(said.status.code(), Some(i32::from(states.contains(&"off"))), "{json}");
}

fn state(measure: &Value) -> &str {
    measure["state"].as_str().unwrap()
}

#[test]
fn check_and_start_tell_of_every_file_that_is_not_there_by_key_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = folder.path().join("linmemd.toml");
    let text = format!(
        "[grpc]\nunix_socket = \"{}\"\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n\
         [audit]\nfile = \"{}\"\n[[jwt_issuer]]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \
         \"{}\"\nalgorithms = [\"ES256\"]\n",
        path("run/l"),
        path("c"),
        path("k"),
        path("a"),
        path("audit/l"),
        path("j")
    );
    fs::write(&file, text).unwrap();
    let told = |said: &[u8]| {
        let said = String::from_utf8(said.to_vec()).unwrap();
        for (key, name) in [
            ("grpc.unix_socket", "run/l"),
            ("tls.certificate", "c"),
            ("tls.key", "k"),
            ("tls.client_ca", "a"),
            ("audit.file", "audit/l"),
            ("jwt_issuer[0].jwks_file", "j"),
        ] {
            let line = said.lines().find(|line| line.contains(key) && line.contains(&path(name)));
            assert!(line.is_some_and(|line| line.contains("No such file")), "{key}: {said}");
        }
        assert!(!said.contains("another linmemd"), "{said}");
    };
    let file = file.to_str().unwrap();
    let said = run(&["--config", file, "check"], &[]);
    assert_eq!(said.status.code(), Some(1));
    told(&said.stdout);
    let said =
        run(&["--config", file, "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0"], &[]);
    assert_eq!(said.status.code(), Some(1));
    told(&said.stderr);
    let said = run(&["--config", file, "check", "--json"], &[]);
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(json["refused"].as_array().unwrap().len(), 6, "{json}");
    assert_eq!(json["unix_socket"], Value::Null);
}

#[test]
fn check_tells_of_a_key_set_that_is_none_and_of_one_that_others_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let (file, keys) = (folder.path().join("linmemd.toml"), folder.path().join("jwks.json"));
    let text = format!(
        "[[jwt_issuer]]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"{}\"\n\
         algorithms = [\"ES256\"]\n",
        keys.display()
    );
    fs::write(&file, text).unwrap();
    fs::write(&keys, "none").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o666)).unwrap();
    let said = run(&["--config", file.to_str().unwrap(), "check"], &[]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    let keys = keys.display().to_string();
    let about: Vec<&str> = text.lines().filter(|line| line.contains(&keys)).collect();
    assert!(about.len() == 2 && about[0].contains("jwks_file of [[jwt_issuer]]"), "{text}");
    assert!(about[1].starts_with("jwt_issuer[0].jwks_file") && about[1].contains("0666"), "{text}");
    assert!(about[1].contains("chmod go-w"), "{text}");
}

#[tokio::test]
async fn a_config_that_was_replaced_in_a_folder_of_everybodys_is_told_to_be_out_of_reach() {
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let [file, new] = ["linmemd.toml", "new"].map(|name| shared.path().join(name));
    fs::write(&file, "").unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(&file).arg("--unix-socket").arg(shared.path().join("l.sock"));
    let daemon = Serving::start(command);
    let folders = fs::read_dir(shared.path()).unwrap().map(|entry| entry.unwrap().path());
    let own = folders.into_iter().find(|path| path.is_dir()).unwrap();
    let operator = connect(&format!("unix://{}", own.join("l.sock").display())).await;
    fs::write(&file, "[log]\nfilter = \"warn\"\n").unwrap();
    operator.reload(false).await.unwrap();
    fs::write(&new, "").unwrap();
    fs::rename(&new, &file).unwrap();
    let landlock = operator
        .host()
        .await
        .unwrap()
        .confinement
        .into_iter()
        .any(|one| one.measure == "landlock" && ["on", "partly"].contains(&one.state.as_str()));
    match operator.reload(false).await.map_err(|error| error.to_string()) {
        Ok(_) => assert!(!landlock, "read although Landlock is on"),
        Err(said) => {
            assert!(landlock && said.contains(file.to_str().unwrap()), "{said}");
            assert!(said.contains("it was replaced") && said.contains("Landlock"), "{said}");
        }
    }
    daemon.stop();
}

#[test]
fn a_config_that_others_may_write_is_refused_at_start_and_by_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("linmemd.toml");
    fs::write(&file, "").unwrap();
    let with = |mode: u32, verb: &str| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        run(&["--config", file.to_str().unwrap(), verb], &[])
    };
    for verb in ["check", "--listen=127.0.0.1:0"] {
        let said = with(0o666, verb);
        let error = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{error}");
        assert!(error.contains("chmod go-w") && error.contains("0666"), "{error}");
    }
    assert_ne!(with(0o644, "check").stdout, b"");
}
