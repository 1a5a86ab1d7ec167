//! `hook`: who is asked before memories grow, and a decider from the command line.

use std::time::Duration;

use clap::{Args, Subcommand};
use linmemd::client::proto::{CreateGrowHookRequest, FailurePolicy, GrowHook, GrowQuestion};
use linmemd::client::{Decider, Verdict};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::failure::CtlError;
use crate::json;
use crate::output::Output;
use crate::session::Session;
use crate::size;
use crate::table::{pairs, table};

/// Arguments of `hook`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl hook create capacity -l env=prod --answer-timeout 500ms
  linmemctl hook answer capacity --at-most 1024
  linmemctl hook answer capacity
  linmemctl hook list
  linmemctl hook show capacity --json
  linmemctl hook remove capacity

`hook answer` decides until it is ended, and comes back after a restart of the daemon: with --at-most it
allows what stays within so many pages, else it asks you, one question after the other. With --json each
question is an object on a line of its own, with the answer that it got.")]
pub(crate) struct HookArgs {
    #[command(subcommand)]
    verb: HookVerb,
}

/// What to do with hooks.
#[derive(Debug, Subcommand)]
enum HookVerb {
    /// Make a hook.
    Create(CreateArgs),
    /// List hooks.
    #[command(visible_alias = "ls")]
    List,
    /// Show one hook.
    #[command(visible_alias = "get")]
    Show {
        /// Its id.
        hook_id: String,
    },
    /// Delete a hook: growth goes on without it.
    #[command(visible_alias = "rm")]
    Remove {
        /// Its id.
        hook_id: String,
        /// One that does not exist is as good as deleted.
        #[arg(long)]
        if_exists: bool,
    },
    /// Answer a hook's questions.
    Answer {
        /// Its id.
        hook_id: String,
        /// Allow what stays within so many pages, and deny the rest, without asking you.
        #[arg(long, value_name = "PAGES", value_parser = size::pages)]
        at_most: Option<u64>,
    },
}

/// What is asked of a hook.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Its id: letters, digits and . _ : - up to 128 [default: one of the server's].
    hook_id: Option<String>,
    /// Which memories it is asked about: key, !key, key=value, key!=value, joined by commas
    /// [default: all].
    #[arg(short = 'l', long = "selector", default_value = "", hide_default_value = true)]
    selector: String,
    /// Let memories grow where nobody answers.
    #[arg(long)]
    fail_open: bool,
    /// How long an answer is waited for, 10ms to 10s [default: 1s].
    #[arg(long, value_name = "DURATION", value_parser = size::duration)]
    answer_timeout: Option<Duration>,
    /// Questions go out in order of rank.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    rank: i32,
}

/// Does what is to be done with hooks.
pub(crate) async fn run(args: HookArgs, session: &Session) -> Result<(), CtlError> {
    let (client, output) = (&session.client, &session.output);
    match args.verb {
        HookVerb::Create(args) => {
            let made = client.create_grow_hook(wanted(args)).await?;
            output.either(&json::hook(&made), &made.hook_id)
        }
        HookVerb::List => {
            let all = client.grow_hooks().await?;
            let value = Value::Array(all.iter().map(json::hook).collect());
            let heading = ["ID", "SELECTOR", "POLICY", "TIMEOUT", "RANK", "STREAMS", "OPEN"];
            output.either(&value, &table(&heading, all.iter().map(row).collect()))
        }
        HookVerb::Show { hook_id } => {
            let value = json::hook(&client.grow_hook(&hook_id).await?);
            output.either(&value, &pairs(&json::flat(&value)))
        }
        HookVerb::Remove { hook_id, if_exists } => {
            client.delete_grow_hook(&hook_id, if_exists).await?;
            output.either(&json!({ "hook_id": hook_id }), &hook_id)
        }
        HookVerb::Answer { hook_id, at_most } => {
            let decider = Decider::of(client, &hook_id);
            output.note(&format!("deciding for {hook_id}; end with Ctrl-C"));
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            let mut broken = None;
            let mut decide = async |question: &GrowQuestion| {
                let verdict = match at_most {
                    Some(most) => within(question, most),
                    None => {
                        output.note(&format!("{} [y/n]", words(question)));
                        match lines.next_line().await {
                            Ok(Some(line)) if line.trim().eq_ignore_ascii_case("y") => {
                                Verdict::Allow
                            }
                            Ok(Some(_)) => Verdict::Deny("denied by hand".to_owned()),
                            Ok(None) => Verdict::Deny("nobody is there to ask".to_owned()),
                            Err(error) => Verdict::Deny(format!("cannot ask: {error}")),
                        }
                    }
                };
                if let Err(error) = say(output, question, &verdict) {
                    broken.get_or_insert(error);
                }
                verdict
            };
            let ended = decider.run(&mut decide).await;
            broken.map_or(Err(ended.into()), Err)
        }
    }
}

fn within(question: &GrowQuestion, most: u64) -> Verdict {
    match question.requested_pages <= most {
        true => Verdict::Allow,
        false => Verdict::Deny(format!("{} pages; at most {most}", question.requested_pages)),
    }
}

fn words(question: &GrowQuestion) -> String {
    let GrowQuestion { memory_id, previous_pages, requested_pages, maximum_pages, .. } = question;
    format!("{memory_id}: {previous_pages} -> {requested_pages} of at most {maximum_pages} pages")
}

fn say(output: &Output, question: &GrowQuestion, verdict: &Verdict) -> Result<(), CtlError> {
    let (word, reason) = match verdict {
        Verdict::Allow => ("allow", None),
        Verdict::Deny(reason) => ("deny", Some(reason)),
    };
    if output.json {
        let mut value = json::question(question);
        value["verdict"] = json!(word);
        value["reason"] = json!(reason);
        return output.line(&value.to_string());
    }
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    output.line(&format!("{}  {word}{reason}", words(question)))
}

fn wanted(args: CreateArgs) -> CreateGrowHookRequest {
    let policy = match args.fail_open {
        true => FailurePolicy::FailOpen,
        false => FailurePolicy::FailClosed,
    };
    CreateGrowHookRequest {
        hook_id: args.hook_id,
        label_selector: args.selector,
        failure_policy: policy.into(),
        answer_timeout: args.answer_timeout.and_then(|timeout| timeout.try_into().ok()),
        rank: args.rank,
    }
}

fn row(hook: &GrowHook) -> Vec<String> {
    let timeout = hook.answer_timeout.as_ref().map(ToString::to_string);
    let policy = match hook.failure_policy() {
        FailurePolicy::FailOpen => "fail open",
        FailurePolicy::FailClosed | FailurePolicy::Unspecified => "fail closed",
    };
    vec![
        hook.hook_id.clone(),
        hook.label_selector.clone(),
        policy.to_owned(),
        timeout.unwrap_or_default(),
        hook.rank.to_string(),
        hook.streams.to_string(),
        hook.open_questions.to_string(),
    ]
}
