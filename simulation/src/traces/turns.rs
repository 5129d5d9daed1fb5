//! The turns that a client takes: what happens in a step, and what changes by it. Names and values are left out, so
//! steps that a client takes for the same reason have the same turns.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::form::{EditForm, Follows, IntentForm, Kind, Op, PageForm, Step};

/// The turns of a step: one for each kind of change.
pub(super) fn turns(step: &Step, follows: &Follows) -> BTreeSet<String> {
    let happens = happening(step);
    let mut changes = BTreeSet::new();
    if let Some(Json::Object(patch)) = &follows.is {
        changes.extend(
            patch
                .iter()
                .flat_map(|(member, value)| changed(member, value)),
        );
    }
    changes.extend(follows.refused.clone());
    changes.extend(follows.halts.then(|| "halts".to_owned()));
    changes.extend(follows.reports.first().map(|_| "reports".to_owned()));
    if changes.is_empty() {
        changes.insert("nothing".to_owned());
    }
    changes
        .into_iter()
        .map(|change| format!("{happens}: {change}"))
        .collect()
}

fn happening(step: &Step) -> String {
    match step {
        Step::Edit { edits, atomic, .. } if !atomic => edits.iter().map(edit).collect(),
        Step::Edit { .. } => "transaction".to_owned(),
        Step::Refresh { .. } => "refresh".to_owned(),
        Step::Begin => "begin".to_owned(),
        Step::Page {
            page: form, round, ..
        } => page(form, round.is_none()),
        Step::Unread { code } => format!("unread {code}"),
        Step::Send { .. } => "send".to_owned(),
        Step::Answer { results, .. } => {
            let statuses: BTreeSet<_> = results
                .iter()
                .map(|it| format!("{:?}", it.status))
                .collect();
            format!("answer {statuses:?}")
        }
        Step::Refused { code, .. } => format!("refused {code}"),
        Step::Last { .. } => "last".to_owned(),
        Step::Restart => "restart".to_owned(),
        Step::Start => "start".to_owned(),
    }
}

fn edit(form: &EditForm) -> String {
    let intents = form.fields.iter().flat_map(|fields| fields.values());
    let intents: BTreeSet<_> = intents
        .map(|intent| match intent {
            IntentForm::Set(_) => "set",
            IntentForm::Increment(_) => "increment",
            IntentForm::Add(_) => "add",
            IntentForm::Remove(_) => "remove",
        })
        .collect();
    match form.op {
        Op::Create => "create".to_owned(),
        Op::Update => format!("update {intents:?}"),
        Op::Delete => "delete".to_owned(),
    }
}

fn page(form: &PageForm, is_live: bool) -> String {
    let removes = |kind: Kind| form.changes.iter().any(|change| change.kind == kind);
    let marks = [
        ("live", is_live),
        ("reset", form.reset),
        ("revokes", !form.revoked_scopes.is_empty()),
        ("removes", removes(Kind::Delete) || removes(Kind::Revoke)),
    ];
    let marks = marks
        .iter()
        .filter(|(_, holds)| *holds)
        .map(|(mark, _)| *mark);
    format!("page {}", marks.collect::<Vec<_>>().join(" "))
}

/// What changes in a member of the state.
fn changed(member: &str, value: &Json) -> Vec<String> {
    match (member, value) {
        ("docs" | "queue" | "outcomes" | "views", Json::Object(patch)) => patch
            .values()
            .flat_map(|value| inside(member, value))
            .collect(),
        ("flight", _) => inside(member, value),
        _ => vec![sign(member, value)],
    }
}

/// What changes in a document, an edit or an outcome.
fn inside(member: &str, value: &Json) -> Vec<String> {
    match value {
        Json::Object(parts) if member != "views" => parts
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("op" | "status", Json::String(text)) => format!("{member}.{name} {text}"),
                _ => sign(&format!("{member}.{name}"), value),
            })
            .collect(),
        value => vec![sign(member, value)],
    }
}

fn sign(name: &str, value: &Json) -> String {
    let is_gone = value.is_null() || value.as_object().is_some_and(Map::is_empty);
    format!("{}{name}", if is_gone { "-" } else { "" })
}
