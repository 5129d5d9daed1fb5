//! The types of the model `fleet`, and what each makes of a stored document. Nothing of the gateway's own reading is
//! used, so that the two can be compared.

use mongodb::bson::{Bson, Document};
use serde_json::{Map, Value, json};
use tidegate_core::value::Timestamp;

/// The fields of all types, in a selection.
pub(super) const FIELDS: &str = "id syncVersion syncScope \
    ... on Task { audience title notes done labels minutes due address { street city } lines { code count } } \
    ... on Machine { audience name state hours } \
    ... on Member { team person role }";

/// A synced type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Task,
    Machine,
    Member,
}

/// A document that fits its type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fitting {
    pub(super) scope: String,
    /// Its fields as an answer has them.
    pub(super) fields: Value,
}

/// A value that the model cannot hold.
struct Unfit;

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Task, Self::Machine, Self::Member];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Machine => "Machine",
            Self::Member => "Member",
        }
    }

    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Task => "tasks",
            Self::Machine => "machines",
            Self::Member => "members",
        }
    }

    pub(super) fn of_name(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name() == name).unwrap()
    }

    /// The spelling of an id, if the type has one for it.
    pub(super) fn spelling(self, id: &Bson) -> Option<String> {
        match (self, id) {
            (Self::Machine, Bson::ObjectId(id)) => Some(id.to_hex()),
            (Self::Task | Self::Member, Bson::String(id)) => {
                let is_id = (1..=256).contains(&id.len()) && !id.contains('\0');
                is_id.then(|| id.clone())
            }
            _ => None,
        }
    }

    /// What clients get of a stored document; nothing if it does not fit.
    pub(super) fn fit(self, stored: &Document) -> Option<(String, Fitting)> {
        let id = self.spelling(stored.get("_id").unwrap())?;
        let fitting = match self {
            Self::Task => task(stored),
            Self::Machine => machine(stored),
            Self::Member => member(stored),
        };
        fitting.ok().map(|fitting| (id, fitting))
    }

    /// What no model names, embedded documents included.
    pub(super) fn unmodelled(self, stored: &Document) -> Document {
        match self {
            Self::Task => without(stored, &TASK),
            Self::Machine => without(stored, &["audience", "name", "state", "hours"]),
            Self::Member => without(stored, &["team", "person", "role"]),
        }
    }
}

const TASK: [&str; 9] = [
    "audience", "title", "notes", "done", "labels", "minutes", "due_at", "address", "lines",
];

fn without(stored: &Document, names: &[&str]) -> Document {
    let mut rest = stored.clone();
    for name in names {
        match rest.remove(name) {
            Some(Bson::Document(embedded)) if *name == "address" => {
                let embedded = without(&embedded, &["street", "city"]);
                if !embedded.is_empty() {
                    rest.insert(*name, embedded);
                }
            }
            _ => {}
        }
    }
    rest
}

fn task(stored: &Document) -> Result<Fitting, Unfit> {
    let lines = listed(stored, "lines", |line| {
        let line = line.as_document().ok_or(Unfit)?;
        Ok(json!({"code": required(text(line, "code"))?, "count": whole(line, "count")?}))
    })?;
    let labels = listed(stored, "labels", |label| {
        label.as_str().map(Value::from).ok_or(Unfit)
    })?;
    let address = match stored.get("address") {
        None | Some(Bson::Null) => Value::Null,
        Some(Bson::Document(address)) => {
            json!({"street": text(address, "street")?, "city": text(address, "city")?})
        }
        Some(_) => return Err(Unfit),
    };
    let done = match stored.get("done") {
        None => false,
        Some(Bson::Boolean(done)) => *done,
        Some(_) => return Err(Unfit),
    };
    let due = match stored.get("due_at") {
        None | Some(Bson::Null) => Value::Null,
        Some(Bson::DateTime(at)) => {
            let at = Timestamp::from_ms(at.timestamp_millis()).map_err(|_| Unfit)?;
            Value::from(at.to_string())
        }
        Some(_) => return Err(Unfit),
    };
    let fields = json!({
        "title": required(text(stored, "title"))?,
        "notes": text(stored, "notes")?,
        "done": done,
        "labels": labels.unwrap_or_default(),
        "minutes": whole(stored, "minutes")?.unwrap_or(0),
        "due": due,
        "address": address,
        "lines": lines,
    });
    in_audience(stored, fields)
}

fn machine(stored: &Document) -> Result<Fitting, Unfit> {
    let state = one_of(stored, "state", &["RUNNING", "STOPPED"])?;
    let fields = json!({
        "name": required(text(stored, "name"))?,
        "state": state,
        "hours": whole(stored, "hours")?.unwrap_or(0),
    });
    in_audience(stored, fields)
}

fn member(stored: &Document) -> Result<Fitting, Unfit> {
    let team = required(text(stored, "team"))?;
    let fields = json!({
        "team": team,
        "person": required(text(stored, "person"))?,
        "role": required(one_of(stored, "role", &["READ", "WRITE"]))?,
    });
    Ok(Fitting {
        scope: format!("staff:{team}"),
        fields,
    })
}

/// In these tests an audience is a scope if it is text.
fn in_audience(stored: &Document, mut fields: Value) -> Result<Fitting, Unfit> {
    let audience = required(text(stored, "audience"))?;
    fields["audience"] = json!(audience);
    Ok(Fitting {
        scope: audience,
        fields,
    })
}

fn required<T>(found: Result<Option<T>, Unfit>) -> Result<T, Unfit> {
    found?.ok_or(Unfit)
}

fn text(stored: &Document, name: &str) -> Result<Option<String>, Unfit> {
    match stored.get(name) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Unfit),
    }
}

fn one_of(stored: &Document, name: &str, values: &[&str]) -> Result<Option<String>, Unfit> {
    match text(stored, name)? {
        Some(text) if !values.contains(&&*text) => Err(Unfit),
        text => Ok(text),
    }
}

/// Any BSON number that is whole and has 32 bits.
fn whole(stored: &Document, name: &str) -> Result<Option<i32>, Unfit> {
    let number = match stored.get(name) {
        None | Some(Bson::Null) => return Ok(None),
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) if number.fract() == 0.0 && number.abs() < 1e9 => *number as i64,
        Some(_) => return Err(Unfit),
    };
    i32::try_from(number).map(Some).map_err(|_| Unfit)
}

fn listed(
    stored: &Document,
    name: &str,
    item: impl Fn(&Bson) -> Result<Value, Unfit>,
) -> Result<Option<Vec<Value>>, Unfit> {
    match stored.get(name) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Array(items)) => items.iter().map(item).collect::<Result<_, _>>().map(Some),
        Some(_) => Err(Unfit),
    }
}

/// The fields of a document in an answer, without what the gateway adds.
pub(super) fn fields_of(answer: &Value) -> Value {
    let added = ["__typename", "id", "syncVersion", "syncScope"];
    let fields = answer.as_object().unwrap().iter();
    let fields: Map<String, Value> = fields
        .filter(|(name, _)| !added.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(fields)
}
