//! The users of a history, their documents, and what they may see.
//!
//! Their number is small on purpose: two users, three documents and five scopes meet more often than many would.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value as Json};
use tidegate_core::{
    grant::{Grants, Identity},
    id::{DocumentId, DocumentKey, TypeName, UserId},
    model::Model,
    value::{Timestamp, Value},
};

/// Devices belong to them in turn.
pub(crate) const USERS: [&str; 2] = ["alice", "bob"];

/// Granted by claims and by memberships.
pub(crate) const TEAMS: [&str; 2] = ["red", "blue"];

/// The conflict rule of tasks, one for each run.
pub(crate) const RULES: [&str; 6] = [
    "MERGE/SERVER_WINS",
    "MERGE/CLIENT_WINS",
    "MERGE/LAST_WRITE_WINS",
    "SERVER_WINS",
    "CLIENT_WINS",
    "LAST_WRITE_WINS",
];

/// All documents, except memberships.
const DOCUMENTS: [(&str, &str); 3] = [("Task", "x"), ("Task", "y"), ("Note", "x")];

const SDL: &str = r#"
extend schema
  @grant(scope: "user:{sub}", access: WRITE)
  @grant(scope: "team:{teams}", access: WRITE)
  @grant(scope: "all", access: WRITE)

type Task @collection(name: "tasks") @scope(by: "{audience}")
  @conflict(policy: POLICY, clientMayChoose: [SERVER_WINS, CLIENT_WINS]) {
  id: ID!
  audience: String!
  title: String
  done: Boolean
  stars: Int
  place: Place
  count: Int @merge(with: COUNTER)
  tags: [String!] @merge(with: SET)
  notes: String @merge(with: TEXT)
  best: Int @merge(with: MAX)
  least: Int @merge(with: MIN)
  latest: String @merge(with: LATEST)
  ours: String @merge(with: SERVER)
  yours: String @merge(with: CLIENT)
}

type Place { name: String, floor: Int }

type Note @collection(name: "notes") @scope(by: "{audience}") @conflict(policy: LAST_WRITE_WINS, clientMayChoose: [SERVER_WINS, CLIENT_WINS]) {
  id: ID!
  audience: String!
  title: String
  done: Boolean
}

type Memo @collection(name: "memos") @scope(by: "all") @conflict(policy: MANUAL) {
  id: ID!
  title: String
}

type Member @collection(name: "members") @scope(by: "all") @conflict(policy: CLIENT_WINS)
  @grants(scope: "team:{team}", to: "{person}", access: "{access}") {
  id: ID!
  team: String!
  person: String!
  access: String!
}
"#;

/// The model with this rule for tasks; each is parsed once.
pub(crate) fn model(rule: &str) -> Arc<Model> {
    static MODELS: Mutex<BTreeMap<String, Arc<Model>>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let parse = || {
        let rule = rule.replace('/', ", overlap: ");
        let sdl = SDL.replace("POLICY", &rule);
        Arc::new(Model::parse("model.graphql", &sdl).expect("the simulation's model is sound"))
    };
    Arc::clone(models.entry(rule.to_owned()).or_insert_with(parse))
}

/// All types of the model.
pub(crate) fn types() -> [TypeName; 4] {
    ["Task", "Note", "Memo", "Member"]
        .map(|name| TypeName::new(name).expect("types of the model have good names"))
}

/// One of the documents that people edit.
pub(crate) fn document(number: u8) -> DocumentKey {
    let (type_name, id) = DOCUMENTS[usize::from(number) % DOCUMENTS.len()];
    key(type_name, id)
}

/// The document whose conflicts wait in the inbox.
pub(crate) fn memo() -> DocumentKey {
    key("Memo", "x")
}

/// The membership of a user in a team.
pub(crate) fn member(user: &str, team: &str) -> DocumentKey {
    key("Member", &format!("{user}-{team}"))
}

fn key(type_name: &str, id: &str) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new(type_name).expect("types of the model have good names"),
        id: DocumentId::new(id).expect("ids here are short"),
    }
}

/// A scope that documents are in: of a team, or the user's own.
pub(crate) fn audience(user: &str, number: u8) -> Value {
    let scope = match number % 4 {
        0 | 1 => format!("team:{}", TEAMS[0]),
        2 => format!("team:{}", TEAMS[1]),
        _ => format!("user:{user}"),
    };
    Value::String(scope)
}

/// A user whose token names these teams.
pub(crate) fn identity(user: &str, teams: &[&str]) -> Identity {
    let mut claims = Map::new();
    claims.insert("sub".into(), Json::from(user));
    claims.insert("teams".into(), Json::from(teams.to_vec()));
    Identity {
        user: UserId::new(user).expect("users here have short names"),
        claims,
        expires_at: start().plus_ms(1_000_000_000),
    }
}

/// What the claims of such a token give.
pub(crate) fn claimed(model: &Model, identity: &Identity) -> Grants {
    Grants::of_claims(model, identity).expect("two teams are few scopes")
}

/// When every history begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_ms(1_800_000_000_000).expect("a year before 9999")
}
