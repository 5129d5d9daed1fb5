//! Rows about the BSON types of values, and about fields that do not fit and are shown as null.

use serde_json::{Value as Json, json};

use super::{
    APPLIED, After, Becomes, Row, UNAVAILABLE, after, all, app, held, plain, rolled_back, served,
    shown, touched,
};

const ONE: &str = "507f1f77bcf86cd799439011";
const OTHER: &str = "507f1f77bcf86cd799439012";

pub(super) fn rows() -> Vec<Row> {
    let (from, to) = (json!({"title": ONE}), json!({"title": OTHER}));
    let (day, next) = (
        json!({"title": "2024-02-28"}),
        json!({"title": "2024-02-29"}),
    );
    let as_id = json!({"title": {"$oid": OTHER}});
    let as_date = json!({"title": {"$date": {"$numberLong": "1709164800000"}}});
    let mut rows = vec![
        Retyped {
            seeded: &from,
            edit: &to,
            stored: as_id,
            ..Retyped::new(
                "a `@bson` is added",
                [
                    tasks!("title: String"),
                    tasks!("title: String @bson(type: OBJECT_ID)"),
                ],
            )
        }
        .row(),
        Retyped {
            seeded: &from,
            edit: &to,
            stored: to.clone(),
            refused: Some(&[
                "Task.title: is stored as STRING, was OBJECT_ID",
                "Task/1: title: is objectId",
                "@bson(type: OBJECT_ID)",
            ]),
            ..Retyped::new(
                "a `@bson` is removed or changed",
                [
                    tasks!("title: String @bson(type: OBJECT_ID)"),
                    tasks!("title: String"),
                ],
            )
        }
        .row(),
        Retyped {
            seeded: &day,
            edit: &next,
            stored: as_date,
            ..Retyped::new(
                "a `String` becomes a `Date`",
                [tasks!("title: String"), tasks!("title: Date")],
            )
        }
        .row(),
        Retyped {
            seeded: &day,
            edit: &next,
            stored: next.clone(),
            refused: Some(&[
                "Task.title: is stored as STRING, was DATE",
                "Task/1: title: is date",
            ]),
            ..Retyped::new(
                "a `Date` becomes a `String`",
                [tasks!("title: Date"), tasks!("title: String")],
            )
        }
        .row(),
    ];
    rows.extend(nulled());
    rows
}

/// A field with another BSON type in MongoDB. Its texts are those of before.
struct Retyped<'j> {
    name: &'static str,
    models: [&'static str; 2],
    seeded: &'j Json,
    edit: &'j Json,
    /// The edit as MongoDB has it.
    stored: Json,
    /// What a start on MongoDB says, if it is refused.
    refused: Option<&'static [&'static str]>,
}

impl Retyped<'_> {
    fn new(name: &'static str, models: [&'static str; 2]) -> Self {
        Self {
            name,
            models,
            seeded: &Json::Null,
            edit: &Json::Null,
            stored: Json::Null,
            refused: None,
        }
    }

    fn row(self) -> Row {
        let mut seed = self.seeded.clone();
        seed["team"] = json!("red");
        let edits = || app("title", self.edit.clone(), APPLIED);
        let edited = || After {
            // The old model does not read what the new one writes.
            beside: touched(UNAVAILABLE),
            ..after(self.edit.clone(), self.edit.clone(), self.stored.clone())
        };
        Row {
            old: self.models[0],
            old_app: edits(),
            new_app: edits(),
            seed,
            seeded: self.seeded.clone(),
            becomes: match self.refused {
                Some(words) => Becomes::RefusedOnMongodb(words, [edited(), edited()]),
                None => served(edited),
            },
            ..plain(self.name, self.models[1])
        }
    }
}

/// A model whose tasks have these fields, and show what does not fit as null.
macro_rules! nulling {
    ($fields:literal) => {
        model!(
            "type Task @collection(name: \"tasks\", misfits: NULL_FIELD) @scope(by: \"team:{team}\") { id: ID! team: String!" $fields "}"
        )
    };
}

fn nulled() -> Vec<Row> {
    let both = |title: Json| json!({"title": title, "note": "m"});
    let as_null = || both(Json::Null);
    let sets_note = || app("title note", json!({"note": "m"}), APPLIED);
    vec![
        plain("`misfits: NULL_FIELD` is added", nulling!("title: String")),
        Row {
            old: nulling!("title: String"),
            becomes: served(|| all(json!({"title": "b"}))),
            ..plain("`misfits: NULL_FIELD` is removed", tasks!("title: String"))
        },
        Row {
            old: nulling!("title: String note: String"),
            seed: json!({"team": "red", "title": "a", "note": "n"}),
            seeded: json!({"title": "a", "note": "n"}),
            old_app: sets_note(),
            new_app: sets_note(),
            becomes: served(|| {
                let of_the_old_model = || held(as_null(), both(json!("a")));
                After {
                    beside: shown(of_the_old_model(), APPLIED),
                    rolled_back: rolled_back(of_the_old_model()),
                    ..after(as_null(), as_null(), both(json!("a")))
                }
            }),
            ..plain(
                "a field is narrowed, with `misfits: NULL_FIELD`",
                nulling!("title: Int note: String"),
            )
        },
    ]
}
