//! The rows of the matrix: two models, a document, an edit of an app made for each, and what they lead to.

use serde_json::{Value as Json, json};

/// A change of a model.
pub(super) struct Row {
    /// The first cell of its row in docs/model.md.
    pub(super) name: &'static str,
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    pub(super) old_app: App,
    pub(super) new_app: App,
    /// The document as the old app creates it, and as it then shows it.
    pub(super) seed: Json,
    pub(super) seeded: Json,
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
    /// The status, code and field of the answer, or the code of the error.
    pub(super) outcome: &'static str,
}

/// What becomes of a store under the new model.
pub(super) enum Becomes {
    /// It is served: what follows an edit of the old app, and of the new one.
    Served(Vec<After>),
    /// The gateway does not start. It says this.
    Refused(&'static [&'static str]),
}

/// What the apps show, and what is stored.
pub(super) struct After {
    pub(super) old: Json,
    pub(super) new: Json,
    /// The fields of the application's document beside `_id` and `team`.
    pub(super) stored: Json,
    pub(super) rolled_back: RolledBack,
}

/// What becomes of it when the old model is to serve again.
pub(super) enum RolledBack {
    /// The old app shows what it showed under the new model.
    Same,
    /// It shows this.
    Shows(Json),
    /// The gateway does not start. It says this.
    Refused(&'static [&'static str]),
}

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

/// An app that selects these fields of a task and sets one.
fn app(fields: &'static str, edit: Json, outcome: &'static str) -> App {
    App {
        type_name: "Task",
        key: "task",
        fields,
        edit,
        outcome,
    }
}

fn after(old: Json, new: Json, stored: Json) -> After {
    After {
        old,
        new,
        stored,
        rolled_back: RolledBack::Same,
    }
}

const APPLIED: &str = "APPLIED";

/// All rows, in the order of the page.
pub(super) fn rows() -> Vec<Row> {
    let rows = [types_and_fields(), values(), rules(), retired()];
    rows.into_iter().flatten().collect()
}

/// A document with a title, which both apps set.
fn plain(name: &'static str, new: &'static str) -> Row {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    let title = || app("title", b.clone(), APPLIED);
    let after = || after(b.clone(), b.clone(), b.clone());
    Row {
        name,
        old: tasks!("title: String"),
        new,
        old_app: title(),
        new_app: title(),
        seed: json!({"team": "red", "title": "a"}),
        seeded: a,
        becomes: Becomes::Served(vec![after(), after()]),
        collection: "tasks",
    }
}

fn types_and_fields() -> Vec<Row> {
    vec![
        plain(
            "a type is added",
            tasks!(
                "title: String",
                "type Gift @collection(name: \"gifts\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
        ),
        Row {
            old: tasks!(
                "title: String",
                "type Gift @collection(name: \"gifts\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
            ..plain("a type is removed", tasks!("title: String"))
        },
        Row {
            new_app: app("title note", json!({"note": "n"}), APPLIED),
            becomes: Becomes::Served(vec![
                after(
                    json!({"title": "b"}),
                    json!({"title": "b", "note": null}),
                    json!({"title": "b"}),
                ),
                after(
                    json!({"title": "a"}),
                    json!({"title": "a", "note": "n"}),
                    json!({"title": "a", "note": "n"}),
                ),
            ]),
            ..plain(
                "a field is added that may be null",
                tasks!("title: String note: String"),
            )
        },
        Row {
            new_app: app("title rank", json!({"rank": 5}), APPLIED),
            becomes: Becomes::Served(vec![
                after(
                    json!({"title": "b"}),
                    json!({"title": "b", "rank": 3}),
                    json!({"title": "b"}),
                ),
                after(
                    json!({"title": "a"}),
                    json!({"title": "a", "rank": 5}),
                    json!({"title": "a", "rank": 5}),
                ),
            ]),
            ..plain(
                "a required field is added, with a default",
                tasks!("title: String rank: Int! @default(value: 3)"),
            )
        },
        Row {
            becomes: Becomes::Refused(&["rank"]),
            ..plain(
                "a required field is added, without a default",
                tasks!("title: String rank: Int!"),
            )
        },
        Row {
            old: tasks!("title: String note: String"),
            seed: json!({"team": "red", "title": "a", "note": "n"}),
            becomes: {
                let kept = || {
                    after(
                        json!({"title": "b"}),
                        json!({"title": "b"}),
                        json!({"title": "b", "note": "n"}),
                    )
                };
                Becomes::Served(vec![kept(), kept()])
            },
            ..plain("a field is removed", tasks!("title: String"))
        },
        Row {
            new_app: app("name", json!({"name": "b"}), APPLIED),
            becomes: {
                let named = || {
                    after(
                        json!({"title": "b"}),
                        json!({"name": "b"}),
                        json!({"title": "b"}),
                    )
                };
                Becomes::Served(vec![named(), named()])
            },
            ..plain(
                "a field is renamed",
                tasks!("name: String @renamed(from: \"title\")"),
            )
        },
    ]
}

fn values() -> Vec<Row> {
    let with_status = |name, new| Row {
        old: tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
        seed: json!({"team": "red", "title": "a", "status": "DONE"}),
        ..plain(name, new)
    };
    vec![
        Row {
            old: tasks!("title: ID"),
            ..plain("a field is widened", tasks!("title: String"))
        },
        Row {
            becomes: Becomes::Refused(&["title"]),
            ..plain(
                "a field is narrowed, and documents do not fit",
                tasks!("title: Int"),
            )
        },
        Row {
            becomes: Becomes::Refused(&["note"]),
            ..Row {
                old: tasks!("title: String note: String"),
                ..plain(
                    "a field becomes required, and documents lack it",
                    tasks!("title: String note: String!"),
                )
            }
        },
        Row {
            old: tasks!("title: String note: String"),
            new_app: app("title note", json!({"title": "b"}), APPLIED),
            becomes: {
                let filled = || {
                    after(
                        json!({"title": "b"}),
                        json!({"title": "b", "note": "-"}),
                        json!({"title": "b"}),
                    )
                };
                Becomes::Served(vec![filled(), filled()])
            },
            ..plain(
                "a field becomes required, with a default",
                tasks!("title: String note: String! @default(value: \"-\")"),
            )
        },
        Row {
            old: tasks!("title: String!"),
            ..plain("a field is no longer required", tasks!("title: String"))
        },
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN }"),
            seed: json!({"team": "red", "title": "a", "status": "OPEN"}),
            new_app: app("title status", json!({"status": "DONE"}), APPLIED),
            becomes: Becomes::Served(vec![
                after(
                    json!({"title": "b"}),
                    json!({"title": "b", "status": "OPEN"}),
                    json!({"title": "b", "status": "OPEN"}),
                ),
                After {
                    rolled_back: RolledBack::Refused(&["status"]),
                    ..after(
                        json!({"title": "a"}),
                        json!({"title": "a", "status": "DONE"}),
                        json!({"title": "a", "status": "DONE"}),
                    )
                },
            ]),
            ..plain(
                "a value of an enum is added",
                tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            )
        },
        Row {
            becomes: Becomes::Refused(&["status"]),
            ..with_status(
                "a value of an enum is removed, and documents have it",
                tasks!("title: String status: Status", "enum Status { OPEN }"),
            )
        },
    ]
}

fn rules() -> Vec<Row> {
    vec![
        Row {
            old: tasks!("title: String note: String @default(value: \"-\")"),
            becomes: {
                let filled = || {
                    after(
                        json!({"title": "b"}),
                        json!({"title": "b"}),
                        json!({"title": "b", "note": "-"}),
                    )
                };
                Becomes::Served(vec![filled(), filled()])
            },
            ..plain(
                "a default is changed",
                tasks!("title: String note: String @default(value: \"+\")"),
            )
        },
        Row {
            seed: json!({"team": "red", "title": "aaa"}),
            seeded: json!({"title": "aaa"}),
            old_app: app(
                "title",
                json!({"title": "bbb"}),
                "REJECTED INVALID_VALUE title",
            ),
            becomes: Becomes::Served(vec![
                after(
                    json!({"title": "aaa"}),
                    json!({"title": "aaa"}),
                    json!({"title": "aaa"}),
                ),
                after(
                    json!({"title": "b"}),
                    json!({"title": "b"}),
                    json!({"title": "b"}),
                ),
            ]),
            ..plain(
                "a constraint is changed",
                tasks!("title: String @constraint(maxLength: 2)"),
            )
        },
        plain(
            "a `@merge` is changed",
            tasks!("title: String @merge(with: TEXT)"),
        ),
        plain(
            "a `@conflict` is changed",
            model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @conflict(policy: CLIENT_WINS) { id: ID! team: String! title: String }"
            ),
        ),
        plain(
            "a `@grant` is added",
            tasks!(
                "title: String",
                "extend schema @grant(scope: \"user:{sub}\", access: WRITE)"
            ),
        ),
        plain(
            "a reference is added",
            tasks!(
                "title: String listId: ID list: List @reference(by: \"listId\")",
                "type List @collection(name: \"lists\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
        ),
    ]
}

fn retired() -> Vec<Row> {
    let (a, none) = (json!({"title": "a"}), json!({"title": null}));
    let hidden = || After {
        rolled_back: RolledBack::Shows(a.clone()),
        ..after(none.clone(), none.clone(), a.clone())
    };
    let sets_title = || app("title", json!({"title": "b"}), "REJECTED RETIRED title");
    let open = || json!({"title": "a", "status": "OPEN"});
    let sets_done = || {
        app(
            "title status",
            json!({"status": "DONE"}),
            "REJECTED RETIRED status",
        )
    };
    let unchanged = || after(open(), open(), open());
    vec![
        Row {
            old_app: sets_title(),
            new_app: sets_title(),
            becomes: Becomes::Served(vec![hidden(), hidden()]),
            ..plain("a field is retired", tasks!("title: String @retired"))
        },
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            old_app: sets_done(),
            new_app: sets_done(),
            seed: json!({"team": "red", "title": "a", "status": "OPEN"}),
            seeded: open(),
            becomes: Becomes::Served(vec![unchanged(), unchanged()]),
            ..plain(
                "a value of an enum is retired",
                tasks!(
                    "title: String status: Status",
                    "enum Status { OPEN DONE @retired }"
                ),
            )
        },
    ]
}
