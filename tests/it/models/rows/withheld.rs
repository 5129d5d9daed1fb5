//! Rows about models that stored documents do not fit, which are served with `--withhold`.

use serde_json::{Value as Json, json};

use super::{After, Mended, Row, after, app, plain, rolled_back, served, touched};

/// A document with a title and what does not fit. Nobody is shown it under the new model, until it is mended.
struct Misfit {
    name: &'static str,
    models: [&'static str; 2],
    /// What both apps select.
    fields: &'static str,
    /// The document under the old model.
    seeded: Json,
    mended: Mended,
}

impl Misfit {
    fn row(self) -> Row {
        let mut seed = self.seeded.clone();
        seed["team"] = json!("red");
        Row {
            old: self.models[0],
            arguments: &["--withhold"],
            seed,
            seeded: self.seeded.clone(),
            old_app: app(self.fields, json!({"title": "b"}), ""),
            new_app: app(self.fields, Json::Null, ""),
            becomes: served(|| After {
                // The old model can write the document until the importer has withheld it.
                beside: touched("MERGED|SERVICE_UNAVAILABLE"),
                rolled_back: rolled_back(self.seeded.clone()),
                mended: Some(Mended {
                    set: self.mended.set.clone(),
                    shows: self.mended.shows.clone(),
                }),
                ..after(Json::Null, Json::Null, self.seeded.clone())
            }),
            ..plain(self.name, self.models[1])
        }
    }
}

pub(super) fn rows() -> Vec<Row> {
    let rows = [
        Misfit {
            name: "a field is narrowed, with `--withhold`",
            models: [tasks!("title: String"), tasks!("title: Int")],
            fields: "title",
            seeded: json!({"title": "a"}),
            mended: Mended {
                set: json!({"title": 5}),
                shows: json!({"title": 5}),
            },
        },
        Misfit {
            name: "a field becomes required, with `--withhold`",
            models: [
                tasks!("title: String note: String"),
                tasks!("title: String note: String!"),
            ],
            fields: "title note",
            seeded: json!({"title": "a", "note": null}),
            mended: Mended {
                set: json!({"note": "n"}),
                shows: json!({"title": "a", "note": "n"}),
            },
        },
        Misfit {
            name: "a value of an enum is removed, with `--withhold`",
            models: [
                tasks!("title: String status: Status", "enum Status { OPEN DONE }"),
                tasks!("title: String status: Status", "enum Status { OPEN }"),
            ],
            fields: "title status",
            seeded: json!({"title": "a", "status": "DONE"}),
            mended: Mended {
                set: json!({"status": "OPEN"}),
                shows: json!({"title": "a", "status": "OPEN"}),
            },
        },
    ];
    rows.map(Misfit::row).into()
}
