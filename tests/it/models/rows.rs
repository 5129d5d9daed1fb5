//! The rows of the matrix: two models, a document, an edit of an app made for each, and what they lead to.

/// A model of these types. Rows differ in what they make of `Task`.
macro_rules! model {
    ($($types:literal)*) => {
        concat!("extend schema @grant(scope: \"team:{team}\", access: WRITE) @grant(scope: \"also:{also}\", access: WRITE)\n", $($types, "\n"),*)
    };
}

/// A model with one type, `Task`, and these fields beside the id and the team.
macro_rules! tasks {
    ($fields:literal $(, $more:literal)*) => {
        model!("type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") { id: ID! team: String!" $fields "}" $($more)*)
    };
}

mod fields;
mod retired;
mod rules;
mod stored_types;
mod types;
mod values;
mod withheld;

use serde_json::{Value as Json, json};

use super::place::StoreKind;

/// A change of a model.
pub(super) struct Row {
    /// The first cell of its row in docs/model.md.
    pub(super) name: &'static str,
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    pub(super) old_app: App,
    pub(super) new_app: App,
    /// What else is pushed before, in changes of the old API.
    pub(super) others: Vec<Json>,
    /// The document as it is created, and as the old app then shows it.
    pub(super) seed: Json,
    pub(super) seeded: Json,
    /// The collection that is renamed before the new model is served, and its new name.
    pub(super) renamed: Option<[&'static str; 2]>,
    /// The arguments of the gateway with the new model.
    pub(super) arguments: &'static [&'static str],
    pub(super) becomes: Becomes,
    /// Where the application has the document in the end.
    pub(super) collection: &'static str,
}

/// An app made for one of the models.
#[derive(Clone)]
pub(super) struct App {
    pub(super) type_name: &'static str,
    /// The type's key in changes.
    pub(super) key: &'static str,
    /// What it selects.
    pub(super) fields: &'static str,
    /// What it sets, at a gateway with the new model.
    pub(super) edit: Json,
    /// Changes of the same push, before the edit.
    pub(super) also: Vec<Json>,
    /// The status, code and field of each result, or the code of the error; `|` stands between two that may be. It edits
    /// nothing if this is empty.
    pub(super) outcome: &'static str,
}

/// What becomes of a store under the new model.
pub(super) enum Becomes {
    /// It is served: what follows an edit of the old app, and of the new one.
    Served([After; 2]),
    /// The gateway does not start. It says this.
    Refused(&'static [&'static str]),
    /// It does not start on MongoDB, and an embedded store is served.
    RefusedOnMongodb(&'static [&'static str], [After; 2]),
}

/// What an app shows. One that cannot pull shows the code of the error.
#[derive(Clone)]
pub(super) struct Seen {
    /// On a device that has synced before.
    pub(super) held: Json,
    /// On a new device.
    pub(super) fresh: Json,
}

/// What the apps show, and what is stored.
pub(super) struct After {
    pub(super) old: Seen,
    pub(super) new: Json,
    /// The fields of the application's document beside `_id` and `team`.
    pub(super) stored: Json,
    pub(super) beside: Beside,
    pub(super) rolled_back: RolledBack,
    pub(super) mended: Option<Mended>,
}

/// The old app at a gateway with the old model, after the edit at one with the new model beside it.
pub(super) struct Beside {
    /// What it shows, if that is not what it shows at the new gateway.
    pub(super) shows: Option<Seen>,
    /// What comes of writing the field that the old app edits as it is there. It does not if this is empty.
    pub(super) touch: &'static str,
}

/// What becomes of it when the old model is to serve again.
pub(super) enum RolledBack {
    /// The old app shows what it showed under the new model.
    Same,
    /// It shows this.
    Shows(Seen),
    /// The document does not fit. A gateway that is to lead says the words, and starts with `--withhold`. One that starts
    /// beside the lead of a later model shows this.
    Misfits(&'static [&'static str], Seen),
    /// The same, but a gateway that is to lead does not start at all.
    Refused(&'static [&'static str], Seen),
}

/// Makes a withheld document fit.
pub(super) struct Mended {
    pub(super) set: Json,
    /// What the new app shows then.
    pub(super) shows: Json,
}

impl Row {
    /// What a gateway with the new model says if it does not start.
    pub(super) fn refusal(&self, store: StoreKind) -> Option<&'static [&'static str]> {
        match self.becomes {
            Becomes::Served(_) => None,
            Becomes::Refused(words) => Some(words),
            Becomes::RefusedOnMongodb(words, _) => (store == StoreKind::Mongodb).then_some(words),
        }
    }
}

/// All rows, in the order of the page.
pub(super) fn rows() -> Vec<Row> {
    let groups = [
        types::rows(),
        fields::rows(),
        values::rows(),
        withheld::rows(),
        stored_types::rows(),
        rules::rows(),
        retired::rows(),
    ];
    groups.into_iter().flatten().collect()
}

pub(super) const APPLIED: &str = "APPLIED";

/// An operation that names what the API does not have.
const UNKNOWN: &str = "GRAPHQL_VALIDATION_FAILED";

/// An input that names what the API does not have.
const UNKNOWN_INPUT: &str = "BAD_USER_INPUT";

/// A gateway whose model does not lead leaves the type, or the document, to one whose model does.
const UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";

/// A document with a title, which both apps set.
fn plain(name: &'static str, new: &'static str) -> Row {
    let title = || app("title", json!({"title": "b"}), APPLIED);
    Row {
        name,
        old: tasks!("title: String"),
        new,
        old_app: title(),
        new_app: title(),
        others: Vec::new(),
        seed: json!({"team": "red", "title": "a"}),
        seeded: json!({"title": "a"}),
        renamed: None,
        arguments: &[],
        becomes: served(|| all(json!({"title": "b"}))),
        collection: "tasks",
    }
}

/// An app that selects these fields of a task and sets one.
fn app(fields: &'static str, edit: Json, outcome: &'static str) -> App {
    App {
        type_name: "Task",
        key: "task",
        fields,
        edit,
        also: Vec::new(),
        outcome,
    }
}

/// The same, whichever app edits.
fn served(after: impl Fn() -> After) -> Becomes {
    Becomes::Served([after(), after()])
}

fn after(old: impl Into<Seen>, new: Json, stored: Json) -> After {
    After {
        old: old.into(),
        new,
        stored,
        beside: touched(APPLIED),
        rolled_back: RolledBack::Same,
        mended: None,
    }
}

/// Both apps show what is stored.
fn all(document: Json) -> After {
    after(document.clone(), document.clone(), document)
}

/// The old app shows at the old gateway what it shows at the new one.
fn touched(touch: &'static str) -> Beside {
    Beside { shows: None, touch }
}

/// It shows this.
fn shown(shows: impl Into<Seen>, touch: &'static str) -> Beside {
    Beside {
        shows: Some(shows.into()),
        touch,
    }
}

/// A device keeps what it has until the document changes. A new one shows something else.
fn held(held: Json, fresh: Json) -> Seen {
    Seen { held, fresh }
}

/// All devices show the same.
impl From<Json> for Seen {
    fn from(shown: Json) -> Self {
        held(shown.clone(), shown)
    }
}

fn rolled_back(shows: impl Into<Seen>) -> RolledBack {
    RolledBack::Shows(shows.into())
}

/// What an app shows whose operation does not fit the API.
fn error(code: &str) -> Json {
    json!({ "error": code })
}
