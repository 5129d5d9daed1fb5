//! The users of a history, their documents, and what they may see.
//!
//! Their number is small on purpose: two users, three documents and five scopes meet more often than many would.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value as Json};
use tidegate_core::{
    entry::Entry,
    generation::TypeNumber,
    grant::{Grants, Identity},
    id::{DocumentId, DocumentKey, Scope, TypeName, UserId},
    model::Model,
    value::{Document, Timestamp, Value},
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

/// The documents of histories with one model, except memberships.
const DOCUMENTS: [(&str, &str); 3] = [("Task", "x"), ("Task", "y"), ("Note", "x")];

/// Those of histories with two.
const DOCUMENTS_OF_BOTH: [(&str, &str); 5] = [
    ("Task", "x"),
    ("Note", "x"),
    ("Note", "y"),
    ("Gift", "x"),
    ("Card", "x"),
];

/// The field of tasks, notes, places and items of orders that only B knows.
pub(crate) const ONLY_B: &str = "aim";

/// A field of such items that no model names.
pub(crate) const UNNAMED: &str = "stock";

/// What no two orders have, and what no two of one scope have.
pub(crate) const NUMBER: &str = "number";
pub(crate) const SLOT: &str = "slot";

/// The orders. The first one has lists.
pub(crate) const ORDERS: [&str; 3] = ["x", "y", "z"];

/// What identifies a line of an order. Equal parcels are the same.
pub(crate) const LINE_KEY: &str = "sku";

/// A mood that A cannot read, and one that B cannot.
pub(crate) const WARM: &str = "WARM";
pub(crate) const COLD: &str = "COLD";

/// A model of a history. Gateways of both may serve the store at a time.
///
/// Only B knows the type `Gift` and the fields `aim`, some of them inside embedded documents and items of lists. Each knows a mood that the other one cannot read. They disagree on
/// the scope of a `Card`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// The model of every gateway at the beginning, and of those with an older release later.
    A,
    /// The next one.
    B,
}

/// The tasks and notes of these models are those of traces, but for this.
const UNLIKE_TRACES: [(&str, &str); 7] = [
    (
        "@grant(scope: \"user:",
        "@grant(scope: \"all\", access: WRITE) @grant(scope: \"user:",
    ),
    ("policy: MERGE", "policy: POLICY"),
    (
        "yours: String @merge(with: CLIENT)",
        "yours: String @merge(with: CLIENT), ONLY_B",
    ),
    ("floor: Int", "floor: Int, ONLY_B"),
    ("mood: Mood! @default(value: CALM)", "mood: Mood, ONLY_B"),
    ("  KEEN", "  KEEN, ONLY_ONE"),
    ("total: Long @merge(with: COUNTER)", ""),
];

/// What traces do not have. Others keep in the items of lists what no model names.
const MORE_TYPES: &str = r#"
type Card @collection(name: "cards") @scope(by: "{PLACED_BY}") @conflict(policy: LAST_WRITE_WINS, clientMayChoose: [SERVER_WINS, CLIENT_WINS]) {
  id: ID!
  audience: String!
  keeper: String!
  title: String
  done: Boolean
}

type Memo @collection(name: "memos") @scope(by: "all") @conflict(policy: MANUAL) {
  id: ID!
  title: String
}

type Board @collection(name: "boards") @scope(by: "all") @conflict(policy: CLIENT_WINS)
  @owner(by: "author") @allow(role: WRITE, do: [CREATE]) @allow(role: OWNER, do: [UPDATE]) {
  id: ID!
  author: String!
  sealed: String @immutable
  title: String
  born: DateTime @server(value: CREATED_AT)
  touched: DateTime @server(value: UPDATED_AT)
  maker: String @server(value: CREATED_BY)
  editor: String @server(value: UPDATED_BY)
}

type Member @collection(name: "members") @scope(by: "all") @conflict(policy: CLIENT_WINS)
  @grants(scope: "team:{team}", to: "{person}", access: "{access}") {
  id: ID!
  team: String!
  person: String!
  access: String!
}

type Order @collection(name: "orders") @scope(by: "{audience}") @conflict(policy: POLICY, clientMayChoose: [SERVER_WINS, CLIENT_WINS])
  @unique(fields: ["number"], within: ALL) @unique(fields: ["slot"]) {
  id: ID!
  audience: String!
  title: String
  number: Int
  slot: Int
  lines: [Line!] @key(field: "sku") @merge(with: ITEMS)
  parcels: [Parcel!]
}

type Line {
  sku: String!
  quantity: Int, ONLY_B
}

type Parcel {
  weight: Int, ONLY_B
}
"#;

/// The type that only B has, which is at the end of its text.
pub(crate) const GIFT: &str = r#"
type Gift @collection(name: "gifts") @scope(by: "{audience}") @conflict(policy: LAST_WRITE_WINS, clientMayChoose: [SERVER_WINS, CLIENT_WINS]) {
  id: ID!
  audience: String!
  title: String
  done: Boolean
}
"#;

/// The model of an edition with this rule for tasks; each is parsed once.
pub(crate) fn model(edition: Edition, rule: &'static str) -> Arc<Model> {
    static MODELS: Mutex<BTreeMap<(Edition, &str), Arc<Model>>> = Mutex::new(BTreeMap::new());
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let parse = || {
        let sdl = sdl(edition, rule);
        Arc::new(Model::parse("model.graphql", &sdl).expect("the simulation's model is sound"))
    };
    Arc::clone(models.entry((edition, rule)).or_insert_with(parse))
}

/// The text of that model.
pub(crate) fn sdl(edition: Edition, rule: &str) -> String {
    let [only_b, mood, placed_by, more] = match edition {
        Edition::A => ["", COLD, "audience", ""],
        Edition::B => ["aim: String", WARM, "keeper", GIFT],
    };
    let rule = rule.replace('/', ", overlap: ");
    let mut sdl = include_str!("../../conformance/model.graphql").to_owned();
    for (theirs, ours) in UNLIKE_TRACES {
        assert_eq!(
            sdl.matches(theirs).count(),
            1,
            "{theirs} in the model of traces"
        );
        sdl = sdl.replace(theirs, ours);
    }
    sdl.push_str(MORE_TYPES);
    let placed = [
        ("POLICY", rule.as_str()),
        ("ONLY_B", only_b),
        ("ONLY_ONE", mood),
        ("PLACED_BY", placed_by),
    ];
    let sdl = placed
        .iter()
        .fold(sdl, |sdl, (name, text)| sdl.replace(name, text));
    sdl + more
}

/// All types of both models, in the order in which a store numbers them.
pub(crate) fn types() -> [TypeName; 8] {
    [
        "Task", "Note", "Card", "Memo", "Board", "Member", "Order", "Gift",
    ]
    .map(|name| TypeName::new(name).expect("types of the model have good names"))
}

/// The number that a store gives to the type.
pub(crate) fn number(type_name: &TypeName) -> TypeNumber {
    let before = types().iter().position(|name| name == type_name);
    let before = before.expect("there are no other types");
    TypeNumber(u32::try_from(before).expect("they are few") + 1)
}

/// Whether an app or a gateway of this edition knows the type.
pub(crate) fn knows(edition: Edition, type_name: &TypeName) -> bool {
    edition == Edition::B || type_name.as_str() != "Gift"
}

/// Whether a gateway of this edition can read the document.
pub(crate) fn reads(edition: Edition, type_name: &TypeName, body: &Document) -> bool {
    let strange = match edition {
        Edition::A => WARM,
        Edition::B => COLD,
    };
    let mood = body.get("mood").and_then(Value::as_str);
    knows(edition, type_name) && mood != Some(strange)
}

/// The document as an app gets it from a gateway of that edition: the fields that the app selects. The gateway shows
/// nothing that it cannot read.
pub(crate) fn shown(
    gateway: Edition,
    app: Edition,
    type_name: &TypeName,
    body: &Document,
) -> Option<Document> {
    reads(gateway, type_name, body).then(|| selected(app, type_name, body))
}

/// The fields that an app selects.
pub(crate) fn selected(app: Edition, type_name: &TypeName, body: &Document) -> Document {
    match app {
        Edition::B => body.clone(),
        Edition::A if knows(app, type_name) => without_only_b(body),
        Edition::A => Document::new(),
    }
}

/// The part of a document that A names.
pub(crate) fn without_only_b(body: &Document) -> Document {
    let fields = body.iter().filter(|(name, _)| *name != ONLY_B);
    fields
        .map(|(name, value)| (name.clone(), value_without_only_b(value)))
        .collect()
}

/// The part of a value that A names.
pub(crate) fn value_without_only_b(value: &Value) -> Value {
    match value {
        Value::Object(inside) => Value::Object(without_only_b(inside)),
        Value::List(items) => Value::List(items.iter().map(value_without_only_b).collect()),
        value => value.clone(),
    }
}

/// What a gateway with model A leaves of the value that it overwrites: the fields that only B knows.
pub(crate) fn keep_only_b(before: Option<&Value>, after: &mut Value) {
    match (before, after) {
        (Some(Value::Object(before)), Value::Object(after)) => {
            if let Some(aim) = before.get(ONLY_B) {
                after.insert(ONLY_B.to_owned(), aim.clone());
            }
        }
        (Some(Value::List(before)), Value::List(after)) => {
            let mut left: Vec<&Value> = before.iter().collect();
            for item in after {
                let is_it = |before: &&Value| item_identity(before) == item_identity(item);
                if let Some(origin) = left.iter().position(is_it) {
                    keep_only_b(Some(left.remove(origin)), item);
                }
            }
        }
        _ => {}
    }
}

/// What is equal for an item of a list before and after an edit: its key, or all that A names of it.
fn item_identity(item: &Value) -> Value {
    let key = match item {
        Value::Object(item) => item.get(LINE_KEY).cloned(),
        _ => None,
    };
    key.unwrap_or_else(|| value_without_only_b(item))
}

/// The field that makes the scope of a document.
pub(crate) fn scope_field(edition: Edition, type_name: &TypeName) -> &'static str {
    match (edition, type_name.as_str()) {
        (Edition::B, "Card") => "keeper",
        _ => "audience",
    }
}

/// Whether a document is in the scope that a gateway of this edition gives it.
pub(crate) fn is_in_place(edition: Edition, entry: &Entry) -> bool {
    let name = scope_field(edition, &entry.key.type_name);
    let scope = entry.body.as_ref().and_then(|body| body.get(name));
    scope
        .and_then(Value::as_str)
        .is_none_or(|scope| scope == entry.scope.as_str())
}

/// The types of which an app of edition B selects more than one of edition A.
pub(crate) fn changed_types() -> BTreeSet<TypeName> {
    let named = |name| TypeName::new(name).expect("types of the model have good names");
    ["Task", "Note", "Order", "Gift"].map(named).into()
}

/// One of the documents that people edit, in a history of one or of two models.
pub(crate) fn document(number: u8, of_both: bool) -> DocumentKey {
    let documents = match of_both {
        false => DOCUMENTS.as_slice(),
        true => DOCUMENTS_OF_BOTH.as_slice(),
    };
    let (type_name, id) = documents[usize::from(number) % documents.len()];
    key(type_name, id)
}

/// The document whose conflicts wait in the inbox.
pub(crate) fn memo() -> DocumentKey {
    key("Memo", "x")
}

/// The document that its author alone may change.
pub(crate) fn board() -> DocumentKey {
    key("Board", "x")
}

/// One of the documents that have what no other has. The first one has lists of embedded documents.
pub(crate) fn order(number: u8) -> DocumentKey {
    key("Order", ORDERS[usize::from(number) % ORDERS.len()])
}

/// Whether the document is an order.
pub(crate) fn is_order(key: &DocumentKey) -> bool {
    key.type_name.as_str() == "Order"
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

/// Whether documents are in the scope that no user edits by hand: memos, boards and memberships.
pub(crate) fn has_others(scope: &Scope) -> bool {
    scope.as_str() == "all"
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
