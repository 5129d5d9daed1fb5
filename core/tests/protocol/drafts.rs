//! Changes in a test's short form, and the model that they belong to.
//!
//! A draft is read by the model as the gateway's request validation does it. The core decides about it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value as Json};
use tidegate_core::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    id::{DocumentId, DocumentKey, TypeName},
    model::Model,
    value::{Document, Timestamp, json::decode_fields},
};

/// The model of most tests. All users may write to `all`, and only read `public`.
const SDL: &str = r#"
extend schema
  @grant(scope: "user:{sub}", access: WRITE)
  @grant(scope: "team:{teams}", access: WRITE)
  @grant(scope: "all", access: WRITE)
  @grant(scope: "public", access: READ)

type Task @collection(name: "tasks") @scope(by: "{audience}")
  @conflict(policy: POLICY, overlap: OVERLAP, clientMayChoose: [CLIENT_WINS]) {
  id: ID!
  audience: String! @default(value: "all")
  title: String @constraint(maxLength: 40)
  done: Boolean
  stars: Int
  words: [String!]
  count: Int @merge(with: COUNTER)
  tags: [String!] @merge(with: SET)
  text: String @merge(with: TEXT)
  highest: Int @merge(with: MAX)
  lowest: Int @merge(with: MIN)
  latest: Int @merge(with: LATEST)
  servers: Int @merge(with: SERVER)
  clients: Int @merge(with: CLIENT)
  locked: Int @readOnly
}

type Note @collection(name: "notes") @scope(by: "{audience}") @conflict(policy: SERVER_WINS) {
  id: ID!
  audience: String! @default(value: "all")
  text: String
}

type Member @collection(name: "members") @scope(by: "{audience}") @conflict(policy: SERVER_WINS)
  @grants(scope: "team:{team}", to: "{person}", access: "{access}") {
  id: ID!
  audience: String! @default(value: "all")
  team: String!
  person: String!
  access: String!
}
"#;

/// The model with this policy for tasks, such as `MERGE/LAST_WRITE_WINS` or `CLIENT_WINS`; each is parsed once.
pub(crate) fn model(rule: &str) -> Arc<Model> {
    static MODELS: Mutex<BTreeMap<String, Arc<Model>>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let model = models
        .entry(rule.to_owned())
        .or_insert_with(|| Arc::new(parse(rule)));
    Arc::clone(model)
}

fn parse(rule: &str) -> Model {
    let (policy, overlap) = rule.split_once('/').unwrap_or((rule, "SERVER_WINS"));
    let overlap = match policy {
        "MERGE" => format!("overlap: {overlap}, "),
        "WEBHOOK" => format!("overlap: {overlap}, webhook: \"review\", "),
        _ => String::new(),
    };
    let sdl = SDL
        .replace("overlap: OVERLAP, ", &overlap)
        .replace("POLICY", policy);
    Model::parse("model.graphql", &sdl).expect("the tests' own model is sound")
}

/// The instant at which every test begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_ms(1_800_000_000_000).expect("a year before 9999")
}

/// A change as a client writes it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    type_name: &'static str,
    id: String,
    verb: Verb,
    base: Option<i32>,
    seen: Option<Json>,
    changed_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Verb {
    Create(Json),
    Update(Json),
    Delete,
}

pub(crate) fn create(id: &str, document: Json) -> Draft {
    Draft::new(id, Verb::Create(document), None)
}

pub(crate) fn update(id: &str, base: i32, set: Json) -> Draft {
    Draft::new(id, Verb::Update(set), Some(base))
}

pub(crate) fn delete(id: &str, base: i32) -> Draft {
    Draft::new(id, Verb::Delete, Some(base))
}

impl Draft {
    fn new(id: &str, verb: Verb, base: Option<i32>) -> Self {
        Self {
            type_name: "Task",
            id: id.to_owned(),
            verb,
            base,
            seen: None,
            changed_at: None,
        }
    }

    /// Of another type than `Task`.
    pub(crate) fn of(self, type_name: &'static str) -> Self {
        Self { type_name, ..self }
    }

    /// An update that shows the values it was made on.
    pub(crate) fn seeing(self, seen: Json) -> Self {
        Self {
            seen: Some(seen),
            ..self
        }
    }

    /// A create that names the tombstone it replaces.
    pub(crate) fn naming(self, tombstone: i32) -> Self {
        Self {
            base: Some(tombstone),
            ..self
        }
    }

    /// Edited so many milliseconds after [`start`].
    pub(crate) fn at(self, ms: i64) -> Self {
        Self {
            changed_at: Some(start().plus_ms(ms)),
            ..self
        }
    }

    /// What the client sets, if the change is no delete.
    pub(crate) fn fields(&self, model: &Model) -> Document {
        match &self.verb {
            Verb::Create(json) | Verb::Update(json) => {
                self.read(model, json).expect("the draft fits the model")
            }
            Verb::Delete => Document::new(),
        }
    }

    /// Other fields of the same type.
    pub(crate) fn of_fields(&self, model: &Model, fields: Json) -> Document {
        self.read(model, &fields).expect("the fields fit the model")
    }

    pub(crate) fn key(&self) -> DocumentKey {
        key(self.type_name, &self.id)
    }

    /// The draft as an item of a push.
    pub(crate) fn submission(&self, model: &Model) -> Submission {
        Submission {
            type_name: self.key().type_name,
            id: self.id.clone(),
            change: self.change(model),
        }
    }

    /// The draft as the gateway reads it.
    pub(crate) fn change(&self, model: &Model) -> Result<Change, Rejection> {
        let base = self.base.map(BaseVersion);
        let stated = BaseVersion(self.base.unwrap_or_default());
        let action = match &self.verb {
            Verb::Create(document) => Action::Create {
                document: self.read(model, document)?,
                base,
            },
            Verb::Update(set) => Action::Update {
                base: stated,
                set: self.read(model, set)?,
                seen: self
                    .seen
                    .as_ref()
                    .map(|seen| self.read(model, seen))
                    .transpose()?,
            },
            Verb::Delete => Action::Delete { base: stated },
        };
        Ok(Change {
            key: self.key(),
            action,
            changed_at: self.changed_at,
        })
    }

    fn read(&self, model: &Model, json: &Json) -> Result<Document, Rejection> {
        let document_type = model
            .document_type(self.type_name)
            .expect("drafts are of types that the model has");
        let fields: Map<String, Json> = json.as_object().expect("fields are an object").clone();
        decode_fields(model, &document_type.fields, fields).map_err(|error| {
            Rejection::of_field(RejectionCode::InvalidValue, &error.path, error.problem)
        })
    }
}

/// The key of a document.
pub(crate) fn key(type_name: &str, id: &str) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new(type_name).expect("types of the model have good names"),
        id: DocumentId::new(id).expect("the tests' ids are short"),
    }
}
