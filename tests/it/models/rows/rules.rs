//! Rows about what decides of edits, and about who sees what.

use serde_json::{Value as Json, json};

use super::{
    APPLIED, After, Becomes, Row, UNAVAILABLE, UNKNOWN, UNKNOWN_INPUT, after, all, app, error,
    plain, rolled_back, served, shown, touched,
};

const UNSEEN: &str = "REJECTED NOT_FOUND";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = edits();
    rows.extend(access());
    rows.extend(scopes());
    rows
}

fn edits() -> Vec<Row> {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    let noted = |title: &str, note: &str| json!({"title": title, "note": note});
    vec![
        Row {
            old: tasks!("title: String note: String @default(value: \"-\")"),
            becomes: served(|| after(b.clone(), b.clone(), noted("b", "-"))),
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
            becomes: Becomes::Served([all(json!({"title": "aaa"})), all(b.clone())]),
            ..plain(
                "a constraint is changed",
                tasks!("title: String @constraint(maxLength: 2)"),
            )
        },
        plain(
            "a `@merge` is changed",
            tasks!("title: String @merge(with: TEXT)"),
        ),
        Row {
            old: tasks!(
                "title: String lines: [Line!]",
                "type Line { code: ID! n: Int }"
            ),
            ..plain(
                "a `@key` is added",
                tasks!(
                    "title: String lines: [Line!] @key(field: \"code\")",
                    "type Line { code: ID! n: Int }"
                ),
            )
        },
        Row {
            old: tasks!(
                "title: String lines: [Line!] @key(field: \"code\")",
                "type Line { code: ID! n: Int }"
            ),
            ..plain(
                "a `@key` is changed or removed",
                tasks!(
                    "title: String lines: [Line!]",
                    "type Line { code: ID! n: Int }"
                ),
            )
        },
        plain(
            "a `versionField` or `updatedAtField` is changed",
            model!(
                "type Task @collection(name: \"tasks\", versionField: \"__v\") @scope(by: \"team:{team}\") { id: ID! team: String! title: String }"
            ),
        ),
        Row {
            old_app: app("title", b.clone(), "REJECTED FORBIDDEN"),
            new_app: app("title", b.clone(), "REJECTED FORBIDDEN"),
            becomes: served(|| all(a.clone())),
            ..plain(
                "an `@allow` or `@owner` is changed",
                model!(
                    "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @allow(role: WRITE, do: [CREATE]) { id: ID! team: String! title: String }"
                ),
            )
        },
        Row {
            old_app: app("title", b.clone(), "REJECTED FORBIDDEN title"),
            new_app: app("title", b.clone(), "REJECTED FORBIDDEN title"),
            becomes: served(|| all(a.clone())),
            ..plain(
                "an `@immutable` or `@access` is changed",
                tasks!("title: String @immutable"),
            )
        },
        plain(
            "a `@conflict` is changed",
            model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @conflict(policy: CLIENT_WINS) { id: ID! team: String! title: String }"
            ),
        ),
        plain(
            "an `@index` is added",
            model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @index(fields: [\"title\"]) { id: ID! team: String! title: String }"
            ),
        ),
        Row {
            old: model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @index(fields: [\"title\"]) { id: ID! team: String! title: String }"
            ),
            ..plain("an `@index` is removed", tasks!("title: String"))
        },
        plain(
            "an `@unique` is added",
            model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @unique(fields: [\"title\"]) { id: ID! team: String! title: String }"
            ),
        ),
        Row {
            old: model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"team:{team}\") @unique(fields: [\"title\"]) { id: ID! team: String! title: String }"
            ),
            ..plain("an `@unique` is removed", tasks!("title: String"))
        },
        Row {
            old: tasks!("title: String note: String"),
            seed: json!({"team": "red", "title": "a", "note": "n"}),
            old_app: app("title", b.clone(), UNKNOWN_INPUT),
            new_app: app("title note", json!({"note": "m"}), APPLIED),
            becomes: Becomes::Served([
                after(a.clone(), noted("a", "n"), noted("a", "n")),
                after(a.clone(), noted("a", "m"), noted("a", "m")),
            ]),
            ..plain(
                "a `@readOnly` is added",
                tasks!("title: String @readOnly note: String"),
            )
        },
        Row {
            old: tasks!("title: String note: String @readOnly"),
            new_app: app("title note", json!({"note": "m"}), APPLIED),
            becomes: Becomes::Served([
                after(b.clone(), json!({"title": "b", "note": null}), b.clone()),
                after(a.clone(), noted("a", "m"), noted("a", "m")),
            ]),
            ..plain(
                "a `@readOnly` is removed",
                tasks!("title: String note: String"),
            )
        },
        Row {
            old: tasks!("title: String note: String"),
            seed: json!({"team": "red", "title": "a", "note": "n"}),
            old_app: app("title", b.clone(), UNKNOWN_INPUT),
            new_app: app("title note", json!({"note": "m"}), APPLIED),
            becomes: Becomes::Served([
                after(a.clone(), noted("a", "n"), noted("a", "n")),
                after(
                    json!({"title": "ada"}),
                    noted("ada", "m"),
                    noted("ada", "m"),
                ),
            ]),
            ..plain(
                "a `@server` is added",
                tasks!("title: String @server(value: UPDATED_BY) note: String"),
            )
        },
        Row {
            old: tasks!("title: String note: String @server(value: UPDATED_BY)"),
            new_app: app("title note", json!({"note": "m"}), APPLIED),
            becomes: Becomes::Served([
                after(b.clone(), noted("b", "ada"), noted("b", "ada")),
                after(a.clone(), noted("a", "m"), noted("a", "m")),
            ]),
            ..plain(
                "a `@server` is removed",
                tasks!("title: String note: String"),
            )
        },
        Row {
            old: tasks!("title: String note: String @server(value: CREATED_BY)"),
            becomes: served(|| after(b.clone(), b.clone(), noted("b", "ada"))),
            ..plain(
                "a `@server` has another value",
                tasks!("title: String note: String @server(value: UPDATED_BY)"),
            )
        },
        plain(
            "a reference is added",
            tasks!(
                "title: String listId: ID list: List @reference(by: \"listId\")",
                "type List @collection(name: \"lists\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
        ),
        Row {
            old: tasks!(
                "title: String listId: ID list: List @reference(by: \"listId\")",
                "type List @collection(name: \"lists\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
            ),
            old_app: app("title list { id }", b.clone(), APPLIED),
            seeded: json!({"title": "a", "list": null}),
            becomes: {
                let at_old = json!({"title": "b", "list": null});
                served(|| After {
                    beside: shown(at_old.clone(), APPLIED),
                    rolled_back: rolled_back(at_old.clone()),
                    ..after(error(UNKNOWN), b.clone(), b.clone())
                })
            },
            ..plain(
                "a reference is removed",
                tasks!(
                    "title: String listId: ID",
                    "type List @collection(name: \"lists\") @scope(by: \"team:{team}\") { id: ID! team: String! }"
                ),
            )
        },
    ]
}

fn access() -> Vec<Row> {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    let sets_title = || app("title", b.clone(), UNSEEN);
    vec![
        Row {
            old: model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }"
            ),
            seeded: Json::Null,
            becomes: served(|| After {
                beside: shown(Json::Null, UNSEEN),
                rolled_back: rolled_back(Json::Null),
                ..all(b.clone())
            }),
            ..plain(
                "a `@grant` is added",
                model!(
                    "extend schema @grant(scope: \"also:{team}\", access: WRITE)"
                    "type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }"
                ),
            )
        },
        Row {
            old: model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }"
            ),
            seed: json!({"team": "blue", "title": "a"}),
            old_app: sets_title(),
            new_app: sets_title(),
            becomes: served(|| After {
                beside: shown(a.clone(), APPLIED),
                rolled_back: rolled_back(a.clone()),
                ..after(Json::Null, Json::Null, a.clone())
            }),
            ..plain(
                "a `@grant` is removed",
                "extend schema @grant(scope: \"team:{team}\", access: WRITE)\n\
                 type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }",
            )
        },
        Row {
            old: model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }"
                "type Seat @collection(name: \"seats\") @scope(by: \"team:{team}\") @grants(scope: \"also:{room}\", to: \"{person}\", access: \"READ\") { id: ID! team: String! room: String! person: String! level: Level! }"
                "enum Level { READ WRITE NONE }"
            ),
            others: vec![json!({"seat": {"create": {"id": "s", "document": {
                "team": "red", "room": "green", "person": "ada", "level": "NONE",
            }}}})],
            seed: json!({"team": "green", "title": "a"}),
            old_app: sets_title(),
            new_app: sets_title(),
            becomes: served(|| After {
                beside: touched(UNSEEN),
                rolled_back: rolled_back(a.clone()),
                ..after(Json::Null, Json::Null, a.clone())
            }),
            ..plain(
                "a `@grants` is changed",
                model!(
                    "type Task @collection(name: \"tasks\") @scope(by: \"also:{team}\") { id: ID! team: String! title: String }"
                    "type Seat @collection(name: \"seats\") @scope(by: \"team:{team}\") @grants(scope: \"also:{room}\", to: \"{person}\", access: \"{level}\") { id: ID! team: String! room: String! person: String! level: Level! }"
                    "enum Level { READ WRITE NONE }"
                ),
            )
        },
    ]
}

fn scopes() -> Vec<Row> {
    let in_the = |title: &str, also: &str| json!({"title": title, "also": also});
    let row = |name, also: &str| Row {
        old: tasks!("title: String also: String!"),
        seed: json!({"team": "red", "title": "a", "also": also}),
        ..plain(
            name,
            model!(
                "type Task @collection(name: \"tasks\") @scope(by: \"also:{also}\") { id: ID! team: String! title: String also: String! }"
            ),
        )
    };
    let b = json!({"title": "b"});
    let sets_title = || app("title", b.clone(), UNSEEN);
    vec![
        Row {
            // The document may move before the edit.
            old_app: app("title", b.clone(), "APPLIED|MERGED"),
            new_app: app("title", b.clone(), "APPLIED|MERGED"),
            becomes: served(|| After {
                beside: touched(UNAVAILABLE),
                ..after(b.clone(), b.clone(), in_the("b", "blue"))
            }),
            ..row("a `@scope` is changed", "blue")
        },
        Row {
            old_app: sets_title(),
            new_app: sets_title(),
            becomes: served(|| After {
                beside: touched(UNAVAILABLE),
                rolled_back: rolled_back(json!({"title": "a"})),
                ..after(Json::Null, Json::Null, in_the("a", "green"))
            }),
            ..row("a `@scope` is changed, and documents leave", "green")
        },
    ]
}
