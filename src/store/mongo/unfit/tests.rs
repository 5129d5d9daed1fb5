//! How values are stored in other BSON types than their own, and what becomes of those that do not fit.

use mongodb::bson::{
    Binary, Bson, DateTime, Document as Stored, RawDocumentBuf, Uuid, bson, doc, oid::ObjectId,
    spec::BinarySubtype,
};
use tidegate_core::{model::Model, value::Value};

use super::*;

const HEX: &str = "507f1f77bcf86cd799439011";
const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

const MODEL: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Order @collection(name: "orders") @scope(by: "team:{team}") {
  id: ID!
  team: ID! @bson(type: OBJECT_ID)
  readers: [ID!] @bson(type: UUID)
  number: String @bson(type: INT)
  name: String
  day: Date
  spelled: Date @bson(type: STRING)
  days: [Date!]
  lines: [Line!]
}
type Line { key: ID! @stored(as: "_id") @bson(type: OBJECT_ID) begins: Date }
"#;

/// The same with fields that show as null what does not fit.
const NULLING: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Order @collection(name: "orders", misfits: NULL_FIELD) @scope(by: "all") {
  id: ID!
  name: String @stored(as: "n") @renamed(stored: "old")
  state: State
  lines: [Line!]
  count: Int!
}
type Line { code: String! }
enum State { OPEN }
"#;

struct Bench(ModelLayout);

impl Bench {
    fn new(sdl: &str) -> Self {
        Self(ModelLayout::of(
            &Model::parse("model.graphql", sdl).unwrap(),
        ))
    }

    fn orders(&self) -> &TypeLayout {
        let name = TypeName::new("Order").unwrap();
        self.0.document_type(&name).unwrap()
    }

    fn read(&self, stored: &Stored) -> Result<Document, Misfit> {
        self.0.read_document(self.orders(), &raw(stored))
    }

    /// A new document, without its id.
    fn written(&self, body: &Document) -> Stored {
        let fields = &self.orders().fields;
        let id = mongodb::bson::RawBson::Int32(1);
        let written = self.0.write(fields, id, body).unwrap();
        let mut written = Stored::try_from(written.as_ref()).unwrap();
        written.remove("_id");
        written
    }

    /// What is set and unset of a stored document.
    fn update(&self, stored: &Stored, body: &Document) -> (Stored, Vec<String>) {
        let update = self.0.update(self.orders(), &raw(stored), body).unwrap();
        let unset = update.unset.iter().map(|name| name.as_str().to_owned());
        let set = Stored::try_from(update.set.as_ref()).unwrap();
        (set, unset.collect())
    }

    fn unfit(&self, stored: &Stored) -> Option<(String, bool)> {
        let found = self.0.judge(self.orders(), &raw(stored));
        found.map(|(misfit, is_withheld)| (misfit.to_string(), is_withheld))
    }
}

fn raw(stored: &Stored) -> RawDocumentBuf {
    RawDocumentBuf::try_from(stored).unwrap()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn body<const N: usize>(fields: [(&str, Value); N]) -> Document {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn object_id() -> Bson {
    ObjectId::parse_str(HEX).unwrap().into()
}

fn uuid(subtype: BinarySubtype) -> Bson {
    let bytes = Uuid::parse_str(UUID).unwrap().bytes().to_vec();
    Bson::Binary(Binary { subtype, bytes })
}

fn date(text: &str) -> Bson {
    DateTime::parse_rfc3339_str(text).unwrap().into()
}

#[test]
fn texts_and_days_are_stored_in_the_types_that_the_model_names() {
    let bench = Bench::new(MODEL);
    let line = body([("_id", text(HEX)), ("begins", text("0001-01-01"))]);
    let order = body([
        ("team", text(HEX)),
        ("readers", Value::List(vec![text(UUID)])),
        ("number", text("-42")),
        ("name", text(HEX)),
        ("day", text("2024-02-29")),
        ("spelled", text("2024-02-29")),
        ("days", Value::List(vec![text("9999-12-31")])),
        ("lines", Value::List(vec![Value::Object(line)])),
    ]);
    let stored = bench.written(&order);
    let expected = doc! {
        "team": object_id(),
        "readers": [uuid(BinarySubtype::Uuid)],
        "number": -42_i64,
        "name": HEX,
        "day": date("2024-02-29T00:00:00Z"),
        "spelled": "2024-02-29",
        "days": [date("9999-12-31T00:00:00Z")],
        "lines": [{ "_id": object_id(), "begins": date("0001-01-01T00:00:00Z") }],
    };
    assert_eq!(stored, expected);
    assert_eq!(bench.read(&stored), Ok(order));
}

/// Other writers spell such values as texts, and days as either. Nothing of that is written again.
#[test]
fn what_is_stored_as_text_is_read_and_stays() {
    let bench = Bench::new(MODEL);
    let stored = doc! {
        "team": HEX, "readers": [UUID, uuid(BinarySubtype::Uuid)], "number": "x", "day": "2024-02-29",
        "spelled": date("2024-02-29T00:00:00Z"), "lines": [{ "_id": HEX }],
    };
    let read = bench.read(&stored).unwrap();
    assert_eq!(read["readers"], Value::List(vec![text(UUID), text(UUID)]));
    assert_eq!(
        (&read["day"], &read["spelled"]),
        (&text("2024-02-29"), &text("2024-02-29"))
    );
    assert_eq!(bench.update(&stored, &read), (doc! {}, vec![]));
    let mut edited = read;
    edited.insert("team".to_owned(), text(&HEX.replace('1', "2")));
    let (set, unset) = bench.update(&stored, &edited);
    let other = ObjectId::parse_str(HEX.replace('1', "2")).unwrap();
    assert_eq!((set, unset), (doc! { "team": other }, vec![]));
}

#[test]
fn a_value_that_does_not_fit_is_named_with_what_to_do() {
    let bench = Bench::new(MODEL);
    let with = |name: &str, value: Bson| {
        let mut stored = doc! { "team": object_id() };
        stored.insert(name, value);
        bench.read(&stored).unwrap_err().to_string()
    };
    for (name, value, expected) in [
        (
            "team",
            bson!(true),
            "team: is bool, and not stored as its @bson type, OBJECT_ID",
        ),
        (
            "name",
            object_id(),
            "name: is objectId, and not a string; @bson(type: OBJECT_ID) reads it",
        ),
        (
            "name",
            uuid(BinarySubtype::Uuid),
            "name: is binData, and not a string; @bson(type: UUID) reads it",
        ),
        (
            "readers",
            bson!([uuid(BinarySubtype::UuidOld)]),
            "readers[0]: is a legacy UUID (binary subtype 3), which drivers read differently; store it with subtype 4",
        ),
        (
            "day",
            date("2024-02-29T00:00:00.001Z"),
            "day: is no midnight in UTC of the years 0001 to 9999",
        ),
        (
            "day",
            bson!("2023-02-29"),
            "day: is string, and not a day of the calendar between the years 0001 and 9999",
        ),
        (
            "day",
            DateTime::from_millis(-62_135_683_200_000).into(),
            "day: is no midnight in UTC of the years 0001 to 9999",
        ),
    ] {
        assert_eq!(with(name, value), expected);
    }
}

#[test]
fn what_is_shown_as_null_stays_until_a_change_names_it() {
    let bench = Bench::new(NULLING);
    let unfit =
        doc! { "n": 5, "state": "GONE", "lines": [{ "code": "a" }, { "qty": 1 }], "count": 1 };
    let read = bench.read(&unfit).unwrap();
    assert_eq!(read, body([("count", Value::Int(1))]));
    let edited = body([("count", Value::Int(2))]);
    assert_eq!(bench.update(&unfit, &edited), (doc! { "count": 2 }, vec![]));
    let mut named = edited;
    named.insert("n".to_owned(), text("x"));
    named.insert("state".to_owned(), Value::Null);
    let expected = doc! { "n": "x", "state": Bson::Null, "count": 2 };
    assert_eq!(bench.update(&unfit, &named), (expected, vec![]));
    let under_its_earlier_name = doc! { "old": 5, "count": 1 };
    let same = body([("count", Value::Int(1))]);
    assert_eq!(
        bench.update(&under_its_earlier_name, &same),
        (doc! {}, vec![])
    );
    let fits = doc! { "n": "x", "count": 1 };
    assert_eq!(bench.update(&fits, &same), (doc! {}, vec!["n".to_owned()]));
}

#[test]
fn documents_are_withheld_for_required_fields_alone() {
    let bench = Bench::new(NULLING);
    for (stored, expected) in [
        (doc! { "count": 1 }, None),
        (
            doc! { "count": "1", "n": 5 },
            Some(("count: is string, and not a whole number of 32 bits", true)),
        ),
        (
            doc! { "n": 5 },
            Some(("count: is required and has no value", true)),
        ),
        (
            doc! { "count": 1, "n": 5 },
            Some(("name: is int, and not a string", false)),
        ),
        (
            doc! { "count": 1, "old": 5 },
            Some(("name: is int, and not a string", false)),
        ),
        (
            doc! { "count": 1, "state": "GONE" },
            Some(("state: is no value of the enum State", false)),
        ),
        (
            doc! { "count": 1, "lines": [{}] },
            Some(("lines[0].code: is required and has no value", false)),
        ),
    ] {
        let found = bench.unfit(&stored);
        let found = found
            .as_ref()
            .map(|(text, is_withheld)| (text.as_str(), *is_withheld));
        assert_eq!(found, expected, "{stored}");
    }
}

/// A stored body of another model may still have what does not fit. It is not written into the collection.
#[test]
fn a_body_with_a_value_that_does_not_fit_is_written_without_it() {
    let bench = Bench::new(NULLING);
    let before = body([("count", Value::Int(1)), ("n", Value::Int(5))]);
    let shown = bench.0.shown(bench.orders(), &before);
    assert_eq!(*shown, body([("count", Value::Int(1))]));
}
