//! Rows about what is retired. An old app writes it beside other changes, which go on.

use serde_json::json;

use super::{APPLIED, After, App, Row, after, all, app, held, plain, rolled_back, served, shown};

pub(super) fn rows() -> Vec<Row> {
    let (a, none) = (json!({"title": "a"}), json!({"title": null}));
    let beside_another = |app: App| App {
        also: vec![json!({"task": {"create": {"id": "2", "document": {"team": "red"}}}})],
        ..app
    };
    let sets_title = || {
        let outcome = "APPLIED; REJECTED RETIRED title";
        beside_another(app("title", json!({"title": "b"}), outcome))
    };
    let open = || json!({"title": "a", "status": "OPEN"});
    let sets_done = || {
        let outcome = "APPLIED; REJECTED RETIRED status";
        beside_another(app("title status", json!({"status": "DONE"}), outcome))
    };
    vec![
        Row {
            old_app: sets_title(),
            new_app: sets_title(),
            becomes: served(|| After {
                beside: shown(a.clone(), APPLIED),
                rolled_back: rolled_back(a.clone()),
                ..after(held(a.clone(), none.clone()), none.clone(), a.clone())
            }),
            ..plain("a field is retired", tasks!("title: String @retired"))
        },
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            old_app: sets_done(),
            new_app: sets_done(),
            seed: json!({"team": "red", "title": "a", "status": "OPEN"}),
            seeded: open(),
            becomes: served(|| all(open())),
            ..plain(
                "a value of an enum is retired",
                tasks!(
                    "title: String status: Status",
                    "enum Status { OPEN DONE @retired }"
                ),
            )
        },
        Row {
            old: tasks!(
                "title: String",
                "type Gift @collection(name: \"gifts\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
            old_app: App {
                also: vec![json!({"gift": {"create": {"id": "g", "document": {"team": "red"}}}})],
                ..app("title", json!({"title": "b"}), "REJECTED RETIRED; APPLIED")
            },
            ..plain(
                "a type is retired",
                tasks!(
                    "title: String",
                    "type Gift @collection(name: \"gifts\") @scope(by: \"team:{team}\") @retired { id: ID! team: String! }"
                ),
            )
        },
    ]
}
