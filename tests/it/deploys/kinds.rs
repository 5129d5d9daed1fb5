//! The types of the three models, and what apps get of a stored document under each. Nothing of the gateway's own reading
//! is used, so that the two can be compared.

use mongodb::bson::{Bson, Document};
use serde_json::{Map, Value, json};

/// The models, in the order of their first deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Model {
    A,
    B,
    C,
}

/// The models that apps are made for. One made for B serves C as well: their APIs differ only in values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum App {
    Old,
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Note,
    Task,
    Member,
    Tag,
}

/// A document that fits a model, as an app made for one of them shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) scope: String,
    pub(super) fields: Value,
}

impl Model {
    pub(super) const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::A => include_str!("a.graphql"),
            Self::B => include_str!("b.graphql"),
            Self::C => include_str!("c.graphql"),
        }
    }
}

impl App {
    pub(super) fn made_for(self) -> Model {
        match self {
            Self::Old => Model::A,
            Self::New => Model::B,
        }
    }

    /// What the app selects of a document.
    pub(super) fn fields(self) -> &'static str {
        match self {
            Self::Old => {
                "id syncVersion syncScope \
                 ... on Note { team title text hint count size state } \
                 ... on Task { team list title text } \
                 ... on Member { team list person role }"
            }
            Self::New => {
                "id syncVersion syncScope \
                 ... on Note { team name text count size state rank } \
                 ... on Task { team list title text } \
                 ... on Member { team list person role } \
                 ... on Tag { team label }"
            }
        }
    }

    /// The name of the field of a note that has been renamed.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Old => "title",
            Self::New => "name",
        }
    }
}

impl Kind {
    /// The types of a model.
    pub(super) fn of(model: Model) -> &'static [Self] {
        const ALL: [Kind; 4] = [Kind::Note, Kind::Task, Kind::Member, Kind::Tag];
        match model {
            Model::A => &ALL[..3],
            Model::B | Model::C => &ALL,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Note => "Note",
            Self::Task => "Task",
            Self::Member => "Member",
            Self::Tag => "Tag",
        }
    }

    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Note => "notes",
            Self::Task => "tasks",
            Self::Member => "members",
            Self::Tag => "tags",
        }
    }

    /// The scope of a document under a model, and what an app shows of it; nothing if it does not fit.
    pub(super) fn shown(self, model: Model, app: App, stored: &Document) -> Option<Shown> {
        let team = text(stored, "team")?;
        let scope = |list: &str| match model {
            Model::A => format!("team:{team}"),
            Model::B | Model::C => format!("list:{list}"),
        };
        match self {
            Self::Note => Some(Shown {
                scope: format!("team:{team}"),
                fields: note(model, app, team, stored)?,
            }),
            Self::Task => {
                let (list, title) = (text(stored, "list")?, text(stored, "title")?);
                let text = optional_text(stored, "text")?;
                Some(Shown {
                    scope: scope(list),
                    fields: json!({"team": team, "list": list, "title": title, "text": text}),
                })
            }
            Self::Member => {
                let (list, person) = (text(stored, "list")?, text(stored, "person")?);
                let role = text(stored, "role").filter(|role| ["READ", "WRITE"].contains(role))?;
                Some(Shown {
                    scope: format!("staff:{team}"),
                    fields: json!({"team": team, "list": list, "person": person, "role": role}),
                })
            }
            Self::Tag => {
                let label = text(stored, "label")?;
                Some(Shown {
                    scope: format!("team:{team}"),
                    fields: match app {
                        App::Old => json!({}),
                        App::New => json!({"team": team, "label": label}),
                    },
                })
            }
        }
    }
}

/// The scope that a membership opens under a model.
pub(super) fn opened(model: Model, member: &Value) -> String {
    let part = |name: &str| format!("{name}:{}", member[name].as_str().unwrap());
    match model {
        Model::A => part("team"),
        Model::B | Model::C => part("list"),
    }
}

fn note(model: Model, app: App, team: &str, stored: &Document) -> Option<Value> {
    let title = text(stored, "title")?;
    let hint = optional_text(stored, "hint")?;
    let count = whole(stored, "count")?.unwrap_or(0);
    let size = whole(stored, "size")?;
    let state = optional_text(stored, "state")?;
    let rank = whole(stored, "rank")?.unwrap_or(3);
    let is_narrow = size.is_none_or(|size| i32::try_from(size).is_ok());
    let is_known = match model {
        Model::A | Model::B => ["OPEN", "DONE"].as_slice(),
        Model::C => &["OPEN", "DONE", "PAUSED"],
    };
    let fits_state = state.is_none_or(|state| is_known.contains(&state));
    if !fits_state || !(is_narrow || model == Model::C) {
        return None;
    }
    let mut shown = json!({
        "team": team, app.title(): title, "text": optional_text(stored, "text")?, "count": count, "size": size,
        "state": state,
    });
    match app {
        App::Old => shown["hint"] = json!(hint.filter(|_| model == Model::A)),
        App::New => shown["rank"] = json!(rank),
    }
    Some(shown)
}

fn text<'d>(stored: &'d Document, name: &str) -> Option<&'d str> {
    stored.get_str(name).ok()
}

/// Nothing if it is no text.
fn optional_text<'d>(stored: &'d Document, name: &str) -> Option<Option<&'d str>> {
    match stored.get(name) {
        None | Some(Bson::Null) => Some(None),
        Some(value) => value.as_str().map(Some),
    }
}

/// Nothing if it is no whole number.
fn whole(stored: &Document, name: &str) -> Option<Option<i64>> {
    match stored.get(name) {
        None | Some(Bson::Null) => Some(None),
        Some(Bson::Int32(value)) => Some(Some(i64::from(*value))),
        Some(Bson::Int64(value)) => Some(Some(*value)),
        Some(_) => None,
    }
}

/// The fields of a document of an answer. A Long is a text in it.
pub(super) fn fields_of(answer: &Value) -> Value {
    let added = ["__typename", "id", "syncVersion", "syncScope"];
    let fields = answer.as_object().unwrap().iter();
    let fields = fields.filter(|(name, _)| !added.contains(&name.as_str()));
    let plain = fields.map(|(name, value)| {
        let long = value.as_str().filter(|_| name == "size");
        let value = long.map_or_else(|| value.clone(), |long| json!(long.parse::<i64>().unwrap()));
        (name.clone(), value)
    });
    Value::Object(plain.collect::<Map<_, _>>())
}
