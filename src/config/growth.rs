//! Owns what the configuration says about growth: `[grow_policy]` and `[[hook]]`, their kinds of value,
//! and the rules between hooks and tenants.

use std::time::Duration;

use crate::config::draft::Findings;
use crate::config::keys::HOOK;
use crate::config::kinds::{Kind, quoted};
use crate::config::mistake::Fault;
use crate::config::raw::{Raw, Refusal};
use crate::config::{Config, words};

/// `[grow_policy]`, and the same of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GrowPolicy {
    /// Pages that one growth may add. Default: none, which is any number.
    pub largest_step_pages: Option<u64>,
    /// Pages a second that a tenant's memories may grow by. Default: none, which is any number.
    pub rate_pages_per_second: Option<u64>,
    /// Share of the host budget that a tenant may grow to. Default: none, which is all of its quota.
    pub budget_share: Option<f64>,
}

impl GrowPolicy {
    /// This for all, with one tenant's own before it.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        Self {
            largest_step_pages: own.largest_step_pages.or(self.largest_step_pages),
            rate_pages_per_second: own.rate_pages_per_second.or(self.rate_pages_per_second),
            budget_share: own.budget_share.or(self.budget_share),
        }
    }
}

/// One `[[hook]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its name, `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`, unique in its tenant. No default.
    pub name: String,
    /// The tenant that it is a hook of. Default: none, which is one in every tenant.
    pub tenant: Option<String>,
    /// Which memories it is asked about. Default: empty, which is all.
    pub label_selector: String,
    /// What decides where no decider does. Default: fail_closed.
    pub failure_policy: FailurePolicy,
    /// How long an answer is waited for. Default: 1 s.
    pub answer_timeout: Duration,
    /// Questions go out in order of it. Default: 0.
    pub rank: i32,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            name: String::new(),
            tenant: None,
            label_selector: String::new(),
            failure_policy: FailurePolicy::FailClosed,
            answer_timeout: Duration::from_secs(1),
            rank: 0,
        }
    }
}

/// What decides where no decider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Nothing grows.
    FailClosed,
    /// It grows.
    FailOpen,
}

/// A [`FailurePolicy`].
pub(super) struct Policy;
/// A label selector.
pub(super) struct Selector;

impl Kind for Policy {
    type Value = FailurePolicy;

    fn read(&self, raw: &Raw) -> Result<FailurePolicy, Refusal> {
        match raw.text().ok_or(Refusal::WrongType)? {
            "fail_closed" => Ok(FailurePolicy::FailClosed),
            "fail_open" => Ok(FailurePolicy::FailOpen),
            _ => Err(Refusal::Malformed),
        }
    }

    fn show(&self, value: &FailurePolicy) -> Option<String> {
        Some(quoted(match value {
            FailurePolicy::FailClosed => "fail_closed",
            FailurePolicy::FailOpen => "fail_open",
        }))
    }

    fn accepts(&self) -> String {
        "\"fail_closed\" or \"fail_open\"".to_owned()
    }
}

impl Kind for Selector {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        if words::is_label_selector(text) { Ok(text.to_owned()) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn accepts(&self) -> String {
        "key, !key, key=value, key!=value, joined by commas; \"\" for all memories".to_owned()
    }
}

/// Notes every contradiction that is about hooks.
pub(super) fn note(config: &Config, findings: &mut Findings) {
    let path = |index: usize, name: &str| format!("{HOOK}[{index}].{name}");
    for (index, hook) in config.hooks.iter().enumerate() {
        let meets = |other: &&(usize, &Hook)| {
            let (_, other) = other;
            let same =
                |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
            !hook.name.is_empty() && other.name == hook.name && same(&other.tenant, &hook.tenant)
        };
        let before: Vec<(usize, &Hook)> = config.hooks.iter().enumerate().take(index).collect();
        if let Some((first, _)) = before.iter().find(meets) {
            let first = findings.origin(&path(*first, "name"));
            let (found, key) = (format!("{:?}", hook.name), path(index, "name"));
            findings.note(findings.origin(&key), key, Fault::Duplicate { found, first });
        }
        let Some(tenant) = &hook.tenant else { continue };
        if !config.tenants.iter().any(|one| one.name == *tenant) {
            let key = path(index, "tenant");
            let (found, accepted) = (format!("{tenant:?}"), "the name of a [[tenant]]".to_owned());
            findings.note(findings.origin(&key), key, Fault::Malformed { found, accepted });
        }
    }
}
