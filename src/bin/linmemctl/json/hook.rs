//! A hook of growth and a question of its as JSON.
//!
//! Its law: that of `json/mod.rs`, with the same destructuring against forgotten fields.

use linmemd::client::proto;
use serde_json::{Value, json};

use crate::json::{name, text};

/// What it is, and who answers for it.
pub(crate) fn hook(hook: &proto::GrowHook) -> Value {
    let proto::GrowHook {
        hook_id,
        label_selector,
        failure_policy,
        answer_timeout,
        rank,
        create_time,
        configured,
        streams,
        open_questions,
    } = hook;
    json!({
        "hook_id": hook_id,
        "label_selector": label_selector,
        "failure_policy": name(*failure_policy, proto::FailurePolicy::as_str_name),
        "answer_timeout": text(answer_timeout),
        "rank": rank,
        "create_time": text(create_time),
        "configured": configured,
        "streams": streams,
        "open_questions": open_questions,
    })
}

/// What is asked.
pub(crate) fn question(question: &proto::GrowQuestion) -> Value {
    let proto::GrowQuestion {
        question_id,
        memory_id,
        uid,
        labels,
        previous_pages,
        requested_pages,
        maximum_pages,
        deadline,
        answer_within,
    } = question;
    json!({
        "question_id": question_id,
        "memory_id": memory_id,
        "uid": uid,
        "labels": labels,
        "previous_pages": previous_pages,
        "requested_pages": requested_pages,
        "maximum_pages": maximum_pages,
        "deadline": text(deadline),
        "answer_within": text(answer_within),
    })
}
