//! Rows about types: their names, and where their documents are.

use serde_json::{Value as Json, json};

use super::{
    APPLIED, After, App, Becomes, Row, UNAVAILABLE, UNKNOWN, UNKNOWN_INPUT, after, all, app, error,
    plain, rolled_back, served, shown, touched,
};

const TODOS: &str = model!(
    "type Todo @collection(name: \"tasks\") @scope(by: \"team:{team}\") @renamed(from: \"Task\") { id: ID! team: String! title: String }"
);

const JOBS: &str = model!(
    "type Task @collection(name: \"jobs\", plural: \"tasks\") @scope(by: \"team:{team}\") { id: ID! team: String! title: String }"
);

pub(super) fn rows() -> Vec<Row> {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    let moved = || After {
        beside: touched(UNAVAILABLE),
        ..all(b.clone())
    };
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
            old_app: app("title", b.clone(), UNKNOWN_INPUT),
            new_app: App {
                type_name: "Gift",
                key: "gift",
                ..app("team", Json::Null, "")
            },
            becomes: served(|| After {
                beside: shown(a.clone(), APPLIED),
                rolled_back: rolled_back(a.clone()),
                ..after(error(UNKNOWN), Json::Null, a.clone())
            }),
            ..plain(
                "a type is removed",
                model!(
                    "type Gift @collection(name: \"gifts\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
                ),
            )
        },
        Row {
            new_app: App {
                type_name: "Todo",
                key: "todo",
                ..app("title", b.clone(), APPLIED)
            },
            ..plain("a type is renamed, with `@renamed(from)`", TODOS)
        },
        Row {
            becomes: Becomes::Refused(&[
                "Task: is gone, and Todo has its collection",
                "1 document would be hidden",
                "`@renamed(from: \"Task\")` on Todo",
            ]),
            ..plain(
                "a type is renamed, without `@renamed(from)`",
                model!(
                    "type Todo @collection(name: \"tasks\") @scope(by: \"team:{team}\") { id: ID! team: String! title: String }"
                ),
            )
        },
        Row {
            renamed: Some(["tasks", "jobs"]),
            becomes: served(moved),
            collection: "jobs",
            ..plain("a collection is renamed, in the database too", JOBS)
        },
        Row {
            becomes: Becomes::RefusedOnMongodb(
                &[
                    "Task: is in the collection jobs, was in tasks",
                    "1 of 1 documents are not there",
                    "rename tasks to jobs",
                ],
                [moved(), moved()],
            ),
            ..plain("a collection is renamed in the model alone", JOBS)
        },
        Row {
            becomes: Becomes::Refused(&["idType UUID"]),
            ..plain(
                "an `idType` is changed, and documents have other ids",
                model!(
                    "type Task @collection(name: \"tasks\", idType: UUID) @scope(by: \"team:{team}\") { id: ID! team: String! title: String }"
                ),
            )
        },
        Row {
            old_app: app("title", b.clone(), UNKNOWN_INPUT),
            new_app: App {
                key: "todo",
                ..app("title", b.clone(), APPLIED)
            },
            becomes: Becomes::Served([all(a.clone()), all(b.clone())]),
            ..plain(
                "the root fields of a type have other names",
                model!(
                    "type Task @collection(name: \"tasks\", singular: \"todo\", plural: \"todos\") @scope(by: \"team:{team}\") { id: ID! team: String! title: String }"
                ),
            )
        },
    ]
}
