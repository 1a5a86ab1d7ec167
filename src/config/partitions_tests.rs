//! Claims about `[[partition]]`: what is taken, and that all that contradicts is told at once.

use super::*;

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Config::from_toml(text).unwrap_err();
    mistakes.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_partition_is_read_and_printed_whole() {
    let text = "[[tenant]]\nname = \"blue\"\n[[partition]]\nname = \"live\"\nmaximum_bytes = \"1GiB\"\n\
        minimum_bytes = \"256MiB\"\nnodes = [0, 1]\npage_kind = \"2m\"\nlocked = true\n\
        tenants = [\"blue\"]\nmemories = 7\nmappings = 8\nreserved_bytes = \"1GiB\"\n[[partition]]\nname = \"in\"\nparent = \"live\"\nmaximum_bytes = 65536\n";
    let config = Config::from_toml(text).unwrap();
    let live = Partition {
        name: "live".into(),
        maximum_bytes: 1 << 30,
        minimum_bytes: 256 << 20,
        parent: None,
        nodes: vec![0, 1],
        page_kind: Some(PageKind::Huge2M),
        locked: true,
        tenants: vec!["blue".into()],
        memories: Some(7),
        mappings: Some(8),
        reserved_bytes: Some(1 << 30),
    };
    let within = Partition {
        name: "in".into(),
        maximum_bytes: 65_536,
        parent: Some("live".into()),
        ..Partition::default()
    };
    assert_eq!(config.partitions, [live, within]);
    let loaded = Loaded { config: config.clone(), origins: Origins::default() };
    assert_eq!(Config::from_toml(&loaded.print()).unwrap(), config, "{}", loaded.print());
}

#[test]
fn contradictions_between_partitions_are_told_all_at_once() {
    let text = "[memory]\nhost_budget = \"1GiB\"\n\
        [[partition]]\nname = \"a\"\nmaximum_bytes = \"1MiB\"\nminimum_bytes = \"2MiB\"\n\
        [[partition]]\nname = \"b\"\nmaximum_bytes = \"1MiB\"\nparent = \"c\"\n\
        [[partition]]\nname = \"c\"\nmaximum_bytes = \"1MiB\"\nparent = \"b\"\n\
        [[partition]]\nname = \"d\"\nmaximum_bytes = \"1MiB\"\nparent = \"nobody\"\n\
        [[partition]]\nname = \"a\"\nmaximum_bytes = \"1MiB\"\ntenants = [\"red\"]\n\
        [[partition]]\nname = \"e\"\n";
    let lines = mistakes(text);
    let wanted = [
        "config:6: partition[0].minimum_bytes = \"2MiB\" contradicts partition[0].maximum_bytes",
        "config:10: partition[1].parent: found \"c\"; accepted: a partition that is not itself in",
        "config:14: partition[2].parent: found \"b\"; accepted: a partition that is not itself in",
        "config:18: partition[3].parent: found \"nobody\"; accepted: the name of another",
        "config:20: partition[4].name: found \"a\", already given at config:4",
        "config:22: partition[4].tenants: found \"red\"; accepted: names of [[tenant]]s",
        "config:23: partition[5].maximum_bytes: missing; accepted: bytes from",
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line:?} does not start {wanted:?}");
    }
}

#[test]
fn minimums_that_do_not_fit_together_are_refused() {
    let text = "[memory]\nhost_budget = \"10MiB\"\n\
        [[partition]]\nname = \"a\"\nmaximum_bytes = \"8MiB\"\nminimum_bytes = \"4MiB\"\n\
        [[partition]]\nname = \"b\"\nmaximum_bytes = \"8MiB\"\nminimum_bytes = \"4MiB\"\n";
    Config::from_toml(text).unwrap();
    let within = |minimum: &str| {
        let one = "[[partition]]\nparent = \"a\"\nmaximum_bytes = \"8MiB\"\n";
        format!("{text}{one}name = \"x\"\nminimum_bytes = \"{minimum}\"\n")
    };
    // It borrows 2 MiB of the host, and no more are there.
    Config::from_toml(&within("6MiB")).unwrap();
    let lines = mistakes(&within("7MiB"));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("memory.host_budget"), "{lines:#?}");
    let lines = mistakes(&format!(
        "{}[[partition]]\nparent = \"a\"\nname = \"y\"\n\
        maximum_bytes = \"8MiB\"\nminimum_bytes = \"3MiB\"\n",
        within("6MiB")
    ));
    assert!(lines.iter().any(|line| line.contains("partition[0].maximum_bytes")), "{lines:#?}");
}

#[test]
fn partitions_are_not_given_by_environment() {
    let given = [("LINMEMD_PARTITION__NAME".into(), "a".into())];
    let mistakes = load(None, given, &FlagLayer::default()).unwrap_err();
    assert!(mistakes.to_string().contains("[[partition]]"), "{mistakes}");
}
