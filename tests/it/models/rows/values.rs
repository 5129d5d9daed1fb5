//! Rows about the values that a field holds: its type, whether it is required, its default, and its enum.

use serde_json::{Value as Json, json};

use super::{
    APPLIED, After, Becomes, RolledBack, Row, UNAVAILABLE, UNKNOWN_INPUT, after, app, held, plain,
    rolled_back, served, shown, touched,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = widened();
    rows.extend(required());
    rows.extend(enums());
    rows
}

/// A field whose type is widened. `seed` is what it has, and `edit` what both apps set.
struct Widening {
    name: &'static str,
    models: [&'static str; 2],
    fields: &'static str,
    seed: Json,
    edit: Json,
    /// The edit as the old app sees it, as the new one sees it, and as it is stored.
    after: [Json; 3],
    /// A gateway with the old model cannot read it.
    is_beyond: bool,
}

impl Widening {
    fn row(self) -> Row {
        let document = |value: &Json| json!({ "title": value });
        let [old, new, stored] = &self.after;
        Row {
            old: self.models[0],
            old_app: app(self.fields, document(&self.edit), APPLIED),
            new_app: app(self.fields, document(&self.edit), APPLIED),
            seed: json!({"team": "red", "title": self.seed}),
            seeded: document(&self.seed),
            becomes: served(|| {
                // The old app has it as the new gateway printed it.
                let seen = |fresh| held(document(old), fresh);
                let (beside, rolled_back) = match self.is_beyond {
                    true => (
                        shown(seen(Json::Null), UNAVAILABLE),
                        RolledBack::Misfits(&["Task/1", "title"], seen(Json::Null)),
                    ),
                    false => (
                        shown(seen(document(&self.edit)), APPLIED),
                        rolled_back(seen(document(&self.edit))),
                    ),
                };
                After {
                    beside,
                    rolled_back,
                    ..after(document(old), document(new), document(stored))
                }
            }),
            ..plain(self.name, self.models[1])
        }
    }
}

fn widened() -> Vec<Row> {
    let number = |name, model, shows: Json, stored: Json, is_beyond| Widening {
        name,
        models: [tasks!("title: Int"), model],
        fields: "title",
        seed: json!(5),
        edit: json!(6),
        after: [shows.clone(), shows, stored],
        is_beyond,
    };
    let rows = [
        number(
            "an `Int` becomes a `Long`",
            tasks!("title: Long"),
            json!("6"),
            json!(6),
            false,
        ),
        Widening {
            edit: json!(6.5),
            ..number(
                "an `Int` becomes a `Float`",
                tasks!("title: Float"),
                json!(6.5),
                json!(6.5),
                true,
            )
        },
        number(
            "an `Int` becomes an `ID`",
            tasks!("title: ID"),
            json!("6"),
            json!("6"),
            true,
        ),
        Widening {
            seed: json!("a"),
            edit: json!("b"),
            models: [tasks!("title: ID"), tasks!("title: String")],
            ..number(
                "an `ID` becomes a `String`",
                "",
                json!("b"),
                json!("b"),
                false,
            )
        },
        Widening {
            models: [tasks!("title: [Int!]"), tasks!("title: [Long!]")],
            seed: json!([1, 2]),
            edit: json!([3]),
            ..number(
                "a list of `Int` becomes one of `Long`",
                "",
                json!(["3"]),
                json!([3]),
                false,
            )
        },
        Widening {
            models: [
                tasks!("title: Box", "type Box { size: Int }"),
                tasks!("title: Box", "type Box { size: Long }"),
            ],
            fields: "title { size }",
            seed: json!({"size": 1}),
            edit: json!({"size": 3}),
            ..number(
                "an `Int` of an embedded type becomes a `Long`",
                "",
                json!({"size": "3"}),
                json!({"size": 3}),
                false,
            )
        },
        Widening {
            models: [
                tasks!("title: Status", "enum Status { OPEN DONE }"),
                tasks!("title: String"),
            ],
            seed: json!("OPEN"),
            edit: json!("DONE"),
            ..number(
                "an enum becomes a `String`",
                "",
                json!("DONE"),
                json!("DONE"),
                false,
            )
        },
    ];
    let mut rows: Vec<Row> = rows.map(Widening::row).into();
    rows.push(Row {
        becomes: Becomes::Refused(&["Task/1", "title", "--withhold"]),
        ..plain(
            "a field is narrowed, and documents do not fit",
            tasks!("title: Int"),
        )
    });
    rows
}

fn required() -> Vec<Row> {
    let b = json!({"title": "b"});
    vec![
        Row {
            old: tasks!("title: String note: String"),
            becomes: Becomes::Refused(&["Task/1", "note", "--withhold"]),
            ..plain(
                "a field becomes required, and documents lack it",
                tasks!("title: String note: String!"),
            )
        },
        Row {
            old: tasks!("title: String note: String"),
            new_app: app("title note", b.clone(), APPLIED),
            becomes: served(|| after(b.clone(), json!({"title": "b", "note": "-"}), b.clone())),
            ..plain(
                "a field becomes required, with a default",
                tasks!("title: String note: String! @default(value: \"-\")"),
            )
        },
        Row {
            old: tasks!("title: String!"),
            new_app: app("title", json!({"title": null}), APPLIED),
            becomes: {
                let none = json!({"title": null});
                let seen = || held(none.clone(), Json::Null);
                Becomes::Served([
                    after(b.clone(), b.clone(), b.clone()),
                    After {
                        beside: shown(seen(), UNAVAILABLE),
                        rolled_back: RolledBack::Misfits(&["Task/1", "title"], seen()),
                        ..after(none.clone(), none.clone(), none.clone())
                    },
                ])
            },
            ..plain("a field is no longer required", tasks!("title: String"))
        },
        Row {
            old: tasks!("title: String note: String! @default(value: \"-\")"),
            new_app: app("title note", b.clone(), APPLIED),
            becomes: served(|| {
                let whole = json!({"title": "b", "note": "-"});
                after(b.clone(), whole.clone(), whole)
            }),
            ..plain(
                "a default of a required field is removed",
                tasks!("title: String note: String!"),
            )
        },
    ]
}

fn enums() -> Vec<Row> {
    let with = |title: &str, status: &str| json!({"title": title, "status": status});
    let a = || json!({"title": "a"});
    let sets_done = |outcome| app("title status", json!({"status": "DONE"}), outcome);
    let of = |status: &str| json!({"team": "red", "title": "a", "status": status});
    vec![
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN }"),
            seed: of("OPEN"),
            seeded: json!({"title": "a"}),
            new_app: sets_done(APPLIED),
            becomes: Becomes::Served([
                after(json!({"title": "b"}), with("b", "OPEN"), with("b", "OPEN")),
                After {
                    beside: touched(UNAVAILABLE),
                    rolled_back: RolledBack::Misfits(&["Task/1", "status"], a().into()),
                    ..after(json!({"title": "a"}), with("a", "DONE"), with("a", "DONE"))
                },
            ]),
            ..plain(
                "a value of an enum is added",
                tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            )
        },
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            seed: of("DONE"),
            becomes: Becomes::Refused(&["Task/1", "status"]),
            ..plain(
                "a value of an enum is removed, and documents have it",
                tasks!("title: String status: Status", "enum Status { OPEN }"),
            )
        },
        Row {
            old: tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
            seed: of("OPEN"),
            seeded: with("a", "OPEN"),
            old_app: sets_done(UNKNOWN_INPUT),
            new_app: app("title status", json!({"title": "b"}), APPLIED),
            becomes: Becomes::Served([
                after(with("a", "OPEN"), with("a", "OPEN"), with("a", "OPEN")),
                after(with("b", "OPEN"), with("b", "OPEN"), with("b", "OPEN")),
            ]),
            ..plain(
                "a value of an enum is removed, and no document has it",
                tasks!("title: String status: Status", "enum Status { OPEN }"),
            )
        },
    ]
}
