//! Rows about fields: new ones, those that are gone, and those that have other names.

use serde_json::{Value as Json, json};

use super::{
    APPLIED, After, Becomes, RolledBack, Row, UNAVAILABLE, UNKNOWN, UNKNOWN_INPUT, after, app,
    error, held, plain, rolled_back, served, shown, touched,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = added_and_removed();
    rows.extend(names());
    rows
}

fn added_and_removed() -> Vec<Row> {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    vec![
        Row {
            new_app: app("title note", json!({"note": "n"}), APPLIED),
            becomes: Becomes::Served([
                after(b.clone(), json!({"title": "b", "note": null}), b.clone()),
                after(
                    a.clone(),
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
            becomes: Becomes::Served([
                after(b.clone(), json!({"title": "b", "rank": 3}), b.clone()),
                after(
                    a.clone(),
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
            becomes: served(|| {
                let kept = json!({"title": "b", "note": "n"});
                after(b.clone(), b.clone(), kept)
            }),
            ..plain("a field is removed", tasks!("title: String"))
        },
        Row {
            old: tasks!("title: String note: String"),
            seed: json!({"team": "red", "title": "a", "note": "n"}),
            seeded: json!({"title": "a", "note": "n"}),
            old_app: app("title note", json!({"note": "m"}), UNKNOWN_INPUT),
            becomes: {
                let used = |title: &str| {
                    let stored = json!({"title": title, "note": "n"});
                    After {
                        beside: shown(stored.clone(), APPLIED),
                        rolled_back: rolled_back(stored.clone()),
                        ..after(error(UNKNOWN), json!({ "title": title }), stored)
                    }
                };
                Becomes::Served([used("a"), used("b")])
            },
            ..plain(
                "a field is removed that apps still use",
                tasks!("title: String"),
            )
        },
        {
            let of = |size: i64| json!({"title": {"size": size}});
            let sets_size = || app("title { size }", of(3), APPLIED);
            Row {
                old: tasks!("title: Box", "type Box { size: Int label: String }"),
                seed: json!({"team": "red", "title": {"size": 1, "label": "l"}}),
                seeded: of(1),
                old_app: sets_size(),
                new_app: sets_size(),
                becomes: served(|| {
                    let kept = json!({"title": {"size": 3, "label": "l"}});
                    After {
                        // The old app would send it without the label, and a gateway with the old model would drop that.
                        beside: touched(""),
                        ..after(of(3), of(3), kept)
                    }
                }),
                ..plain(
                    "a field of an embedded type is removed",
                    tasks!("title: Box", "type Box { size: Int }"),
                )
            }
        },
    ]
}

fn names() -> Vec<Row> {
    let (a, b) = (json!({"title": "a"}), json!({"title": "b"}));
    let sets_name = || app("name", json!({"name": "b"}), APPLIED);
    let named = |name: &str| json!({ "name": name });
    vec![
        Row {
            new_app: sets_name(),
            becomes: served(|| after(b.clone(), named("b"), b.clone())),
            ..plain(
                "a field is renamed, with `@renamed(from)`",
                tasks!("name: String @renamed(from: \"title\")"),
            )
        },
        Row {
            old_app: app("title", b.clone(), UNKNOWN_INPUT),
            new_app: sets_name(),
            becomes: Becomes::Served([
                After {
                    beside: shown(a.clone(), APPLIED),
                    rolled_back: rolled_back(a.clone()),
                    ..after(error(UNKNOWN), named("a"), a.clone())
                },
                After {
                    beside: shown(b.clone(), APPLIED),
                    rolled_back: rolled_back(b.clone()),
                    ..after(error(UNKNOWN), named("b"), b.clone())
                },
            ]),
            ..plain(
                "a field is renamed, with `@stored` alone",
                tasks!("name: String @stored(as: \"title\")"),
            )
        },
        Row {
            becomes: served(|| After {
                beside: shown(held(b.clone(), Json::Null), UNAVAILABLE),
                rolled_back: RolledBack::Refused(
                    &["Task.title", "@renamed(stored: \"t\")"],
                    held(b.clone(), Json::Null),
                ),
                ..after(b.clone(), b.clone(), json!({"t": "b"}))
            }),
            ..plain(
                "a stored name is changed, with `@renamed(stored)`",
                tasks!("title: String @stored(as: \"t\") @renamed(stored: \"title\")"),
            )
        },
        Row {
            becomes: Becomes::Refused(&[
                "Task.title: is stored as \"t\", was stored as \"title\"",
                "1 document",
                "@renamed(stored: \"title\")",
            ]),
            ..plain(
                "a stored name is changed, without it",
                tasks!("title: String @stored(as: \"t\")"),
            )
        },
    ]
}
