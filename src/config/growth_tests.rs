//! Claims about `[grow_policy]` and `[[hook]]`: what is taken, and that all that is wrong is told at once.

use std::time::Duration;

use super::*;

#[test]
fn a_hook_and_a_policy_are_read_and_printed_whole() {
    let text = "[grow_policy]\nlargest_step_pages = 256\nrate_pages_per_second = 1000\n\
        budget_share = 0.25\n[[tenant]]\nname = \"blue\"\ngrow_largest_step_pages = 16\n\
        [[hook]]\nname = \"cap\"\ntenant = \"blue\"\nlabel_selector = \"env=prod,!free\"\n\
        failure_policy = \"fail_open\"\nanswer_timeout = \"250ms\"\nrank = -3\n\
        [[hook]]\nname = \"all\"\n";
    let config = Config::from_toml(text).unwrap();
    let blue = config.grow_policy.with(&config.tenants[0].grow_policy);
    let wanted = GrowPolicy {
        largest_step_pages: Some(16),
        rate_pages_per_second: Some(1_000),
        budget_share: Some(0.25),
    };
    assert_eq!(blue, wanted);
    let cap = Hook {
        name: "cap".into(),
        tenant: Some("blue".into()),
        label_selector: "env=prod,!free".into(),
        failure_policy: FailurePolicy::FailOpen,
        answer_timeout: Duration::from_millis(250),
        rank: -3,
    };
    assert_eq!(config.hooks, [cap, Hook { name: "all".into(), ..Hook::default() }]);
    let loaded = Loaded { config: config.clone(), origins: Origins::default() };
    assert_eq!(Config::from_toml(&loaded.print()).unwrap(), config, "{}", loaded.print());
}

#[test]
fn everything_wrong_with_hooks_is_told_at_once() {
    let text = "[grow_policy]\nlargest_step_pages = 0\nbudget_share = 2.0\n\
        [[hook]]\nname = \"a\"\nlabel_selector = \"=x\"\nanswer_timeout = \"11s\"\n\
        [[hook]]\nname = \"a\"\ntenant = \"default\"\n\
        [[hook]]\nname = \"b\"\ntenant = \"nobody\"\nfailure_policy = \"open\"\n\
        [[hook]]\nrank = 1\n";
    let told = Config::from_toml(text).unwrap_err().to_string();
    for wrong in [
        "grow_policy.largest_step_pages",
        "grow_policy.budget_share",
        "hook[0].label_selector",
        "hook[0].answer_timeout",
        "hook[1].name",
        "hook[2].tenant",
        "hook[2].failure_policy",
        "hook[3].name",
    ] {
        assert!(told.contains(wrong), "{wrong} is not in\n{told}");
    }
    assert_eq!(told.lines().count(), 8, "{told}");
}
