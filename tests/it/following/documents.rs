//! Random documents, fields and ids of the model `fleet`, as other services write them: numbers of any BSON type,
//! fields that no model names, and some that do not fit.

use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, doc, oid::ObjectId, spec::BinarySubtype,
};
use tidegate_testkit::Random;

use super::kinds::Kind;

/// Members see red, blue, or both. Nobody sees green.
pub(super) const TEAMS: [&str; 3] = ["red", "blue", "green"];

/// The number of the machine that is only counted.
pub(super) const COUNTER: usize = 90_000;

/// The id of the document that gives a team.
pub(super) const MEMBERSHIP: &str = "dave in red";

/// The id of the document with this number.
pub(super) fn id(kind: Kind, number: usize) -> Bson {
    match kind {
        Kind::Machine => {
            let mut bytes = [7; 12];
            bytes[8..].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
            ObjectId::from_bytes(bytes).into()
        }
        _ => format!("task-{number}").into(),
    }
}

/// An id that the type has no spelling for. Some look like one that it has.
pub(super) fn odd_id(kind: Kind, random: &mut Random) -> Bson {
    let like_another = match kind {
        Kind::Machine => Bson::String(id(kind, 3).as_object_id().unwrap().to_hex()),
        _ => Bson::ObjectId(ObjectId::from_bytes([9; 12])),
    };
    let uuid = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: vec![5; 16],
    };
    let all = [
        like_another,
        Bson::Int32(7),
        Bson::Int64(8),
        Bson::Double(1.5),
        Bson::Decimal128("2.50".parse::<Decimal128>().unwrap()),
        Bson::Binary(uuid),
        Bson::DateTime(DateTime::from_millis(1_000)),
        Bson::Document(doc! {"tenant": 1, "number": "x"}),
        Bson::Null,
        Bson::Boolean(true),
        Bson::String(String::new()),
        Bson::String("x".repeat(257)),
        Bson::String("task-1\0".to_owned()),
        Bson::MinKey,
        Bson::MaxKey,
    ];
    all[random.below(all.len())].clone()
}

/// A whole document. Not every optional field is there.
pub(super) fn document(kind: Kind, id: Bson, random: &mut Random) -> Document {
    let mut document = doc! {"_id": id, "audience": team(random)};
    let names: &[&str] = match kind {
        Kind::Task => &[
            "title", "notes", "done", "labels", "minutes", "due_at", "address", "lines",
        ],
        _ => &["name", "state", "hours"],
    };
    for name in names {
        if ["title", "name"].contains(name) || !random.once_in(3) {
            document.insert(*name, field(name, random));
        }
    }
    document.insert(
        "tenant",
        doc! {"name": word(random), "number": number(random)},
    );
    document
}

/// One to three fields.
pub(super) fn fields(kind: Kind, random: &mut Random) -> Document {
    let names: &[&str] = match kind {
        Kind::Task => &[
            "title", "notes", "done", "labels", "minutes", "due_at", "address", "lines", "revision",
        ],
        _ => &["name", "state", "hours", "revision"],
    };
    let count = 1 + random.below(3);
    let drawn = (0..count).map(|_| {
        let name = random.one_of(names);
        (name.to_owned(), field(name, random))
    });
    drawn.collect()
}

fn field(name: &str, random: &mut Random) -> Bson {
    match name {
        "title" | "name" | "notes" => {
            let words: Vec<String> = (0..1 + random.below(4)).map(|_| word(random)).collect();
            words.join(" ").into()
        }
        "done" => random.once_in(2).into(),
        "labels" => {
            let labels = (0..random.below(4)).map(|_| Bson::from(label(random)));
            Bson::Array(labels.collect())
        }
        "due_at" => {
            DateTime::from_millis(1_700_000_000_000 + random.below(1_000_000) as i64).into()
        }
        "address" => address(random).into(),
        "lines" => {
            let line = |random: &mut Random| doc! {"code": word(random), "count": number(random), "shelf": word(random)};
            let lines = (0..random.below(3)).map(|_| Bson::from(line(random)));
            Bson::Array(lines.collect())
        }
        "state" => random.one_of(&["RUNNING", "STOPPED"]).into(),
        _ => number(random),
    }
}

fn address(random: &mut Random) -> Document {
    let position = doc! {"type": "Point", "coordinates": [random.below(90) as f64, 8.5]};
    doc! {"street": word(random), "city": word(random), "position": position}
}

/// A whole number of any BSON type that other drivers write.
fn number(random: &mut Random) -> Bson {
    let number = random.below(1_000);
    match random.below(3) {
        0 => Bson::Int32(number.try_into().unwrap()),
        1 => Bson::Int64(number.try_into().unwrap()),
        _ => Bson::Double(number as f64),
    }
}

/// Fields inside embedded documents, modelled and unmodelled.
pub(super) fn inside(random: &mut Random) -> Document {
    match random.below(5) {
        0 => doc! {"address.city": word(random)},
        1 => doc! {"address.position": {"type": "Point", "coordinates": [1.5, 2.5]}},
        2 => doc! {"lines.0.count": number(random)},
        3 => doc! {"lines.0.shelf": word(random)},
        _ => doc! {"tenant.name": word(random)},
    }
}

/// Fields with which no document of the type fits.
pub(super) fn misfit(kind: Kind, random: &mut Random) -> Document {
    let tasks = [
        doc! {"title": 5},
        doc! {"title": Bson::Null},
        doc! {"minutes": "many"},
        doc! {"minutes": 2.5},
        doc! {"minutes": 5_000_000_000_i64},
        doc! {"done": "yes"},
        doc! {"labels": ["a", Bson::Null]},
        doc! {"labels": "one"},
        doc! {"due_at": "tomorrow"},
        doc! {"due_at": DateTime::MAX},
        doc! {"address": [1, 2]},
        doc! {"address.city": ObjectId::from_bytes([1; 12])},
        doc! {"lines": [{"count": 1}]},
        doc! {"lines": [Bson::Null]},
        doc! {"audience": 5},
        doc! {"audience": Bson::Null},
        doc! {"notes": Bson::Undefined},
    ];
    let machines = [
        doc! {"name": Bson::Null},
        doc! {"state": "BROKEN"},
        doc! {"state": 1},
        doc! {"hours": f64::NAN},
        doc! {"hours": -0.5},
        doc! {"audience": ["team:red"]},
    ];
    match kind {
        Kind::Task => tasks[random.below(tasks.len())].clone(),
        _ => machines[random.below(machines.len())].clone(),
    }
}

pub(super) fn team(random: &mut Random) -> String {
    // Few leave the sight of all.
    let team = random.one_of(&[0, 0, 0, 1, 1, 1, 2]);
    format!("team:{}", TEAMS[team])
}

pub(super) fn label(random: &mut Random) -> &'static str {
    random.one_of(&["new", "late", "paid", "lost", "ü", ""])
}

fn word(random: &mut Random) -> String {
    let words = [
        "oak", "tin", "fog", "Zürich", "e\u{301}", "漢字", "", "a.b", "$x", "\"q\"",
    ];
    format!("{}{}", random.one_of(&words), random.below(100))
}
