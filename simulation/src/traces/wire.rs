//! What goes between a client and a gateway, from JSON and to JSON, by the model of all traces. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    change::Action,
    checkpoint::{Checkpoint, Refreshed, RequestedTypes},
    digest::ScopeDigest,
    entry::{Entry, FeedItem, Marker, Record},
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName, Version},
    model::{DocumentType, Model},
    outcome::Status,
    push::{Outcome, Push, PushOutcome},
    value::{Document, Timestamp, Value, defaults, json},
};
use tidegate_testkit::client::{self, Intent, Place};

use super::form::{
    ChangeForm, DigestForm, Fields, IntentForm, Kind, PageForm, PolicyName, ResultForm, StatusName,
};

/// The model of all traces.
pub(super) static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let text = include_str!("../../../conformance/model.graphql");
    Model::parse("conformance/model.graphql", text).expect("the model of traces is sound")
});

/// Why a step cannot have happened.
pub(super) type Impossible = String;

/// The type of that name.
pub(super) fn type_of(name: &str) -> Result<&'static DocumentType, Impossible> {
    let found = MODEL.document_type(name);
    found.map(AsRef::as_ref).ok_or(format!("no type {name}"))
}

/// Whether traces have documents of the type.
pub(super) fn has(name: &TypeName) -> bool {
    MODEL.stored_type(name).is_some()
}

pub(super) fn key(type_name: &str, id: &str) -> Result<DocumentKey, Impossible> {
    Ok(DocumentKey {
        type_name: type_of(type_name)?.stored_as.clone(),
        id: DocumentId::new(id).map_err(|error| error.to_string())?,
    })
}

/// The fields of a document.
pub(super) fn fields(type_name: &TypeName, document: &Document) -> Fields {
    let of = MODEL.stored_type(type_name).expect("traces have its type");
    json::encode_fields(&MODEL, &of.fields, document)
}

pub(super) fn document(type_name: &str, fields: &Fields) -> Result<Document, Impossible> {
    let mut fields = fields.clone();
    for name in ["id", "syncVersion", "syncScope"] {
        fields.remove(name);
    }
    let of = type_of(type_name)?;
    json::decode_fields(&MODEL, &of.fields, fields).map_err(|error| error.to_string())
}

pub(super) fn intent(
    type_name: &str,
    field: &str,
    form: &IntentForm,
) -> Result<Intent, Impossible> {
    let of = type_of(type_name)?;
    let field = of.field(field).ok_or(format!("no field {field}"))?;
    let read = |json: &Json| {
        json::decode(&MODEL, &field.ty, json.clone(), &field.name)
            .map_err(|error| error.to_string())
    };
    let items = |items: &[Json]| match read(&Json::from(items))? {
        Value::List(items) => Ok(items),
        _ => Err(format!("{} is no list", field.name)),
    };
    Ok(match form {
        IntentForm::Set(value) => Intent::Set(read(value)?),
        IntentForm::Increment(by) => Intent::Increment(*by),
        IntentForm::Add(added) => Intent::Add(items(added)?),
        IntentForm::Remove(removed) => Intent::Remove(items(removed)?),
    })
}

/// An intent as JSON.
pub(super) fn intent_form(type_name: &TypeName, field: &str, intent: &Intent) -> IntentForm {
    let value = |value: &Value| {
        let one = Document::from([(field.to_owned(), value.clone())]);
        let mut fields = fields(type_name, &one);
        fields.remove(field).unwrap_or_default()
    };
    let items = |items: &[Value]| match value(&Value::List(items.to_vec())) {
        Json::Array(items) => items,
        _ => Vec::new(),
    };
    match intent {
        Intent::Set(set) => IntentForm::Set(value(set)),
        Intent::Increment(by) => IntentForm::Increment(*by),
        Intent::Add(added) => IntentForm::Add(items(added)),
        Intent::Remove(removed) => IntentForm::Remove(items(removed)),
    }
}

pub(super) fn requested(types: Option<&[String]>) -> Result<RequestedTypes, Impossible> {
    let Some(types) = types else {
        return Ok(RequestedTypes::All);
    };
    names(types).map(RequestedTypes::Only)
}

/// The types of these names.
pub(super) fn names(types: &[String]) -> Result<BTreeSet<TypeName>, Impossible> {
    let names = types
        .iter()
        .map(|name| Ok(type_of(name)?.stored_as.clone()));
    names.collect()
}

/// Types as a request names them: none for all.
pub(super) fn requested_form(types: &RequestedTypes) -> Option<Vec<String>> {
    match types {
        RequestedTypes::All => None,
        RequestedTypes::Only(names) => Some(names.iter().map(ToString::to_string).collect()),
    }
}

/// The scopes of these names.
pub(super) fn scopes<S: FromIterator<Scope>>(names: &[String]) -> Result<S, Impossible> {
    names.iter().map(|name| scope(name)).collect()
}

/// The position of a token. A client knows no more of it.
pub(super) fn place(token: &str, epoch: &str) -> Result<Place, Impossible> {
    let checkpoint = Checkpoint {
        epoch: Epoch::new(epoch).map_err(|error| error.to_string())?,
        tracks: Vec::new(),
        skipped: BTreeMap::new(),
        turn: None,
        refreshed: Refreshed::default(),
    };
    Ok(Place::new(token.to_owned(), checkpoint))
}

pub(super) fn page(form: &PageForm) -> Result<client::Page, Impossible> {
    Ok(client::Page {
        changes: form.changes.iter().map(item).collect::<Result<_, _>>()?,
        place: place(&form.checkpoint, &form.epoch)?,
        has_more: form.has_more,
        reset: form.reset,
        revoked: scopes(&form.revoked_scopes)?,
        digests: form.digests.iter().map(digest).collect::<Result<_, _>>()?,
    })
}

fn digest(form: &DigestForm) -> Result<(Scope, ScopeDigest), Impossible> {
    let bits = u128::from_str_radix(&form.digest, 16).map_err(|error| error.to_string())?;
    Ok((scope(&form.scope)?, ScopeDigest(bits)))
}

fn item(form: &ChangeForm) -> Result<FeedItem, Impossible> {
    let key = key(&form.type_name, &form.document_id)?;
    let (scope, version) = (scope(&form.scope)?, Version(form.version));
    let record = match (form.kind, &form.document) {
        (Kind::Upsert, Some(fields)) => {
            let body = document(&form.type_name, fields)?;
            Record::Entry(entry(key, scope, version, Some(body)).into())
        }
        (Kind::Delete, None) => Record::Entry(entry(key, scope, version, None).into()),
        (Kind::Revoke, None) => {
            let at = Timestamp::from_ms(0).map_err(|error| error.to_string())?;
            let marker = Marker {
                key,
                scope,
                version,
                at,
            };
            Record::Marker(marker)
        }
        (kind, _) => return Err(format!("the document of a {kind:?}")),
    };
    let seq = Seq::START;
    Ok(FeedItem { seq, record })
}

fn entry(key: DocumentKey, scope: Scope, version: Version, body: Option<Document>) -> Entry {
    Entry {
        key,
        scope,
        version,
        began: version,
        run: version,
        field_versions: BTreeMap::new(),
        writers: BTreeMap::new(),
        body,
        withheld: false,
        at: Timestamp::from_ms(0).expect("1970 is a year"),
        membership: None,
    }
}

/// A change of a page, if traces have its type.
pub(super) fn change_form(item: &FeedItem) -> Option<ChangeForm> {
    let record = &item.record;
    let key = record.key();
    let body = match record {
        Record::Entry(entry) => entry.body.as_ref(),
        Record::Marker(_) => None,
    };
    let kind = match record {
        Record::Entry(entry) if entry.body.is_some() && !entry.withheld => Kind::Upsert,
        Record::Entry(entry) if !entry.withheld => Kind::Delete,
        _ => Kind::Revoke,
    };
    has(&key.type_name).then(|| ChangeForm {
        type_name: key.type_name.to_string(),
        document_id: key.id.to_string(),
        kind,
        version: record.version().0,
        scope: record.scope().to_string(),
        document: body
            .filter(|_| kind == Kind::Upsert)
            .map(|body| shown(&key.type_name, body)),
    })
}

/// The outcomes of a push that has as many changes, about the same documents.
pub(super) fn outcomes(push: &Push, results: &[ResultForm]) -> Result<PushOutcome, Impossible> {
    if push.changes.len() != results.len() {
        return Err("an outcome for each change".to_owned());
    }
    let outcomes = push.changes.iter().zip(results).map(|(change, result)| {
        let key = key(&result.type_name, &result.document_id)?;
        if (&key.type_name, key.id.as_str()) != (&change.type_name, change.id.as_str()) {
            return Err(format!("an outcome of {}", change.id));
        }
        outcome(key, result)
    });
    Ok(PushOutcome {
        outcomes: outcomes.collect::<Result<_, _>>()?,
        duplicate: false,
        last_mutation_id: None,
    })
}

fn outcome(key: DocumentKey, result: &ResultForm) -> Result<Outcome, Impossible> {
    let shown = result.document.as_ref().map(|fields| {
        let body = document(&result.type_name, fields)?;
        let name = fields.get("syncScope").and_then(Json::as_str);
        let version = fields.get("syncVersion").and_then(Json::as_i64);
        let version = version.and_then(|version| i32::try_from(version).ok());
        let scope = scope(name.ok_or("syncScope is missing")?)?;
        let version = Version(version.ok_or("syncVersion is missing")?);
        Ok::<_, Impossible>(entry(key.clone(), scope, version, Some(body)).into())
    });
    Ok(Outcome {
        type_name: key.type_name.clone(),
        id: key.id.to_string(),
        mutation: None,
        status: match result.status {
            StatusName::Applied => Status::Applied,
            StatusName::Merged => Status::Merged,
            StatusName::Conflict => Status::Conflict,
            StatusName::Rejected => Status::Rejected,
        },
        version: result.version.map(Version),
        document: shown.transpose()?,
        conflict: None,
        error: None,
        inbox: None,
    })
}

/// The fields of a document as a gateway shows them: with the defaults of what it lacks.
fn shown(type_name: &TypeName, body: &Document) -> Fields {
    let of = MODEL.stored_type(type_name).expect("traces have its type");
    let mut body = body.clone();
    defaults::fill(&MODEL, &of.fields, &mut body);
    fields(type_name, &body)
}

/// The outcome of a change, if traces have its type.
pub(super) fn result_form(outcome: &Outcome) -> Option<ResultForm> {
    let shown = |entry: &Entry| {
        let mut shown = shown(&outcome.type_name, entry.body.as_ref()?);
        shown.insert("syncVersion".to_owned(), entry.version.0.into());
        shown.insert("syncScope".to_owned(), entry.scope.as_str().into());
        Some(shown)
    };
    has(&outcome.type_name).then(|| ResultForm {
        type_name: outcome.type_name.to_string(),
        document_id: outcome.id.clone(),
        status: status_name(outcome.status),
        version: outcome.version.map(|version| version.0),
        document: outcome.document.as_deref().and_then(shown),
    })
}

pub(super) fn status_name(status: Status) -> StatusName {
    match status {
        Status::Applied => StatusName::Applied,
        Status::Merged => StatusName::Merged,
        Status::Conflict => StatusName::Conflict,
        Status::Rejected => StatusName::Rejected,
    }
}

/// A push as the input of `pushChanges`.
pub(super) fn input(push: &Push) -> Json {
    let mut input = Map::new();
    if let Some(client) = &push.client {
        let first = client.first.map(|first| first.0);
        let client = json!({"id": client.id.as_str(), "firstMutationId": first});
        input.insert("client".to_owned(), client);
    }
    if let Some(epoch) = &push.epoch {
        input.insert("epoch".to_owned(), epoch.as_str().into());
    }
    if push.atomic {
        input.insert("atomic".to_owned(), true.into());
    }
    if let Some(policy) = push.policy.and_then(PolicyName::of) {
        input.insert("policy".to_owned(), json!(policy));
    }
    let changes = push.changes.iter().filter_map(|submission| {
        let change = submission.change.as_ref().ok()?;
        let of = MODEL.stored_type(&change.key.type_name)?;
        let (name, mut change_input) = action(&change.key, &change.action);
        if let Some(at) = change.changed_at {
            change_input.insert("changedAt".to_owned(), at.to_string().into());
        }
        Some(json!({&of.singular: {name: change_input}}))
    });
    input.insert("changes".to_owned(), changes.collect());
    Json::Object(input)
}

fn action(key: &DocumentKey, action: &Action) -> (&'static str, Fields) {
    let mut input = Map::from_iter([("id".to_owned(), key.id.as_str().into())]);
    let shown = |document: &Document| Json::Object(fields(&key.type_name, document));
    let name = match action {
        Action::Create { document, .. } => {
            input.insert("document".to_owned(), shown(document));
            "create"
        }
        Action::Update { base, set, seen } => {
            input.insert("baseVersion".to_owned(), base.0.into());
            input.insert("set".to_owned(), shown(set));
            if let Some(seen) = seen {
                input.insert("base".to_owned(), shown(seen));
            }
            "update"
        }
        Action::Delete { base } => {
            input.insert("baseVersion".to_owned(), base.0.into());
            "delete"
        }
    };
    (name, input)
}

fn scope(name: &str) -> Result<Scope, Impossible> {
    Scope::new(name).map_err(|error| error.to_string())
}
