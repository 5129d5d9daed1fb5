//! The state of a client as traces show it, and the difference of two states.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    change::Action,
    id::{DocumentKey, Scope, TypeName},
    outcome::Status,
    value::Document,
};
use tidegate_testkit::client::{Client, Edit, Fate, Held};

use super::{
    form::PolicyName,
    player::Player,
    wire::{fields, status_name},
};

/// The state. Members without a value are left out, also inside documents.
pub(super) fn state(player: &Player) -> Json {
    let client = &player.client;
    let mut state = json!({
        "client": client.id().as_str(),
        "next": client.next_mutation().0,
        "epoch": client.epoch().map(|epoch| epoch.as_str()),
        "checkpoint": client.place.as_ref().map(|place| place.token.as_str()),
        "round": player.round,
        "refresh": client.refresh.iter().map(TypeName::as_str).collect::<Vec<_>>(),
        "reread": reread(client),
        "docs": docs(client),
        "views": views(client),
        "queue": queue(client),
        "flight": flight(client),
        "lingering": client.lingering().map(|edit| edit.number).collect::<Vec<_>>(),
        "outcomes": outcomes(client),
    });
    leave_out_nulls(&mut state);
    state
}

/// Whether two clients show the same. Without the word of JSON: it is asked of many.
pub(super) fn equal(one: &Player, other: &Player) -> bool {
    let (a, b) = (&one.client, &other.client);
    let stands = |player: &Player| {
        let client = &player.client;
        (
            player.round,
            client.id(),
            client.next_mutation(),
            client.asks().is_some(),
        )
    };
    let flight = |client: &Client| {
        let flight = client.flight.as_ref()?;
        let numbers = flight.edits.iter().map(|edit| edit.number);
        Some((flight.push.client.clone(), numbers.collect::<Vec<_>>()))
    };
    let edited = a.unanswered().chain(a.lingering());
    let mut edited = edited.map(|edit| &edit.change.key);
    stands(one) == stands(other)
        && (a.epoch(), &a.place) == (b.epoch(), &b.place)
        && (&a.refresh, &a.reread) == (&b.refresh, &b.reread)
        && a.held.len() == b.held.len()
        && a.held
            .iter()
            .zip(&b.held)
            .all(|(one, other)| kept(one) == kept(other))
        && a.outbox.len() == b.outbox.len()
        && a.outbox.iter().map(queued).eq(b.outbox.iter().map(queued))
        && flight(a) == flight(b)
        && a.lingering()
            .map(|edit| edit.number)
            .eq(b.lingering().map(|edit| edit.number))
        && a.outcomes == b.outcomes
        && edited.all(|key| a.view(key) == b.view(key))
}

fn kept<'c>((key, held): (&'c DocumentKey, &'c Held)) -> impl PartialEq {
    let marks = (held.seen, held.is_confirmed());
    (key, held.version, &held.scope, &held.body, marks)
}

fn queued(edit: &Edit) -> impl PartialEq {
    let plan = (edit.policy, edit.transaction, edit.is_sent());
    (edit.number, &edit.change, plan)
}

/// `type/id` of a document.
fn name(key: &DocumentKey) -> String {
    format!("{}/{}", key.type_name, key.id)
}

fn shown(key: &DocumentKey, document: &Document) -> Json {
    Json::Object(fields(&key.type_name, document))
}

/// The scopes to read again; none in most traces, whose state then does not name them.
fn reread(client: &Client) -> Option<Vec<&str>> {
    let scopes = client.reread.iter().map(Scope::as_str);
    Some(scopes.collect()).filter(|scopes: &Vec<_>| !scopes.is_empty())
}

fn docs(client: &Client) -> Map<String, Json> {
    let docs = client.held.iter().map(|(key, held)| {
        let doc = json!({
            "version": held.version.0,
            "scope": held.scope.as_str(),
            "body": shown(key, &held.body),
            "unseen": (!held.seen).then_some(true),
            "unconfirmed": (!held.is_confirmed()).then_some(true),
        });
        (name(key), doc)
    });
    docs.collect()
}

fn views(client: &Client) -> Map<String, Json> {
    let edits = client.unanswered().chain(client.lingering());
    let edited = edits.map(|edit| &edit.change.key);
    let keys: BTreeSet<_> = client.held.keys().chain(edited).collect();
    let views = keys.into_iter().filter_map(|key| {
        let view = client.view(key)?;
        Some((name(key), shown(key, &view)))
    });
    views.collect()
}

fn queue(client: &Client) -> Map<String, Json> {
    let edits = client.outbox.iter();
    edits
        .map(|edit| (edit.number.to_string(), waiting(edit)))
        .collect()
}

fn waiting(edit: &Edit) -> Json {
    let key = &edit.change.key;
    let mut waiting = json!({
        "type": key.type_name.as_str(),
        "id": key.id.as_str(),
        "changedAt": edit.change.changed_at.map(|at| at.to_string()),
        "policy": edit.policy.and_then(PolicyName::of),
        "transaction": edit.transaction,
        "sent": edit.is_sent().then_some(true),
    });
    match &edit.change.action {
        Action::Create { document, .. } => {
            waiting["op"] = "create".into();
            waiting["document"] = shown(key, document);
        }
        Action::Update { base, set, seen } => {
            waiting["op"] = "update".into();
            waiting["baseVersion"] = base.0.into();
            waiting["set"] = shown(key, set);
            waiting["base"] = seen.as_ref().map_or(Json::Null, |seen| shown(key, seen));
        }
        Action::Delete { base } => {
            waiting["op"] = "delete".into();
            waiting["baseVersion"] = base.0.into();
        }
    }
    waiting
}

fn flight(client: &Client) -> Json {
    let Some(flight) = &client.flight else {
        return Json::Null;
    };
    let sender = flight.push.client.as_ref();
    let numbers = flight.edits.iter().map(|edit| edit.number);
    json!({
        "id": sender.map(|sender| sender.id.as_str()),
        "firstMutationId": sender.and_then(|sender| sender.first).map(|first| first.0),
        "edits": numbers.collect::<Vec<_>>(),
        "asks": client.asks().map(|_| true),
    })
}

/// Edits that were applied, or folded into others, leave nothing behind.
fn outcomes(client: &Client) -> Map<String, Json> {
    let outcomes = client.outcomes.iter().filter_map(|(number, fate)| {
        let outcome = match fate {
            Fate::Answered(Status::Applied) | Fate::Folded { .. } => return None,
            Fate::Answered(status) => json!({"status": status_name(*status)}),
            Fate::Refused => json!({"status": "REFUSED"}),
            Fate::Dropped { cause } => json!({"status": "DROPPED", "cause": cause}),
            Fate::Unknown => json!({"status": "UNKNOWN"}),
        };
        Some((number.to_string(), outcome))
    });
    outcomes.collect()
}

fn leave_out_nulls(json: &mut Json) {
    if let Json::Object(members) = json {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(leave_out_nulls);
    }
}

/// The JSON merge patch (RFC 7396) that makes one of two states the other; none if they are equal.
pub(super) fn merge_patch(from: &Json, to: &Json) -> Option<Json> {
    let (Json::Object(before), Json::Object(after)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    let mut patch: Map<String, Json> = removed.map(|name| (name.clone(), Json::Null)).collect();
    for (name, value) in after {
        let changed = match before.get(name) {
            Some(old) => merge_patch(old, value),
            None => Some(value.clone()),
        };
        patch.extend(changed.map(|changed| (name.clone(), changed)));
    }
    (!patch.is_empty()).then_some(Json::Object(patch))
}
