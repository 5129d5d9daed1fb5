//! Documents come back as they were written, whatever they hold, and others' content in them stays.

use mongodb::bson::{Bson, Document as Stored, bson, doc};
use proptest::{collection::vec, num::f64, option, prelude::*};
use tidegate_core::{
    id::TypeName,
    model::Model,
    value::{Decimal, Timestamp},
};

use super::*;

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders") @scope(by: "public") {
  id: ID! text: String number: Int long: Long float: Float flag: Boolean at: DateTime @stored(as: "at_time")
  price: Decimal bytes: Bytes json: JSON state: State names: [String!] grid: [[Int]!]
  address: Address @stored(as: "addr") lines: [Line!]
  customer: Customer @reference(by: "customerId") customerId: ID @stored(as: "customer_id")
}
type Customer @collection(name: "customers", idType: OBJECT_ID) @scope(by: "public") { id: ID! name: String }
type Address { city: String @stored(as: "town") parts: [String!] }
type Line { code: String count: Int @stored(as: "n") inner: Line }
enum State { OPEN CLOSED }
"#;

fn layout() -> ModelLayout {
    ModelLayout::of(&Model::parse("model.graphql", MODEL).unwrap())
}

fn orders(layout: &ModelLayout) -> &[FieldLayout] {
    let name = TypeName::new("Order").unwrap();
    &layout.document_type(&name).unwrap().fields
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Long),
        (f64::NORMAL | f64::ZERO | f64::NEGATIVE | f64::POSITIVE).prop_map(Value::Float),
        any::<String>().prop_map(Value::String),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            proptest::collection::btree_map("[a-z$._]{0,5}", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

fn line() -> impl Strategy<Value = Value> {
    let count = prop_oneof![any::<i32>().prop_map(Value::Int), Just(Value::Null)];
    (option::of("[a-z]{0,4}"), count, any::<bool>()).prop_map(|(code, count, nested)| {
        let mut line = Document::from([("n".to_owned(), count)]);
        line.extend(code.map(|code| ("code".to_owned(), Value::String(code))));
        if nested {
            line.insert("inner".to_owned(), object([("code", text(""))]));
        }
        Value::Object(line)
    })
}

/// A value for each field of an order, or null.
fn field() -> impl Strategy<Value = (&'static str, Value)> {
    let floats = f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::NEGATIVE | f64::POSITIVE;
    let longs = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    let instants = -62_167_219_200_000_i64..=253_402_300_799_999;
    let decimals = ("-?[0-9]{1,34}", -6176_i32..=6111);
    let decimals = decimals.prop_map(|(digits, exponent)| format!("{digits}E{exponent}"));
    let customers = prop_oneof!["[0-9a-f]{24}", "[a-z]{0,5}"];
    let names = vec("[a-z]{0,3}".prop_map(Value::String), 0..3);
    let number = prop_oneof![any::<i32>().prop_map(Value::Int), Just(Value::Null)];
    prop_oneof![
        any::<String>().prop_map(|value| ("text", Value::String(value))),
        any::<i32>().prop_map(|value| ("number", Value::Int(value))),
        longs.prop_map(|value| ("long", Value::Long(value))),
        floats.prop_map(|value| ("float", Value::Float(value))),
        any::<bool>().prop_map(|value| ("flag", Value::Bool(value))),
        instants.prop_map(|ms| ("at_time", Value::DateTime(Timestamp::from_ms(ms).unwrap()))),
        decimals.prop_map(|text| ("price", Value::Decimal(text.parse::<Decimal>().unwrap()))),
        vec(any::<u8>(), 0..5).prop_map(|bytes| ("bytes", Value::Bytes(bytes))),
        json().prop_map(|value| ("json", value)),
        Just(("state", text("OPEN"))),
        names.prop_map(|names| ("names", Value::List(names))),
        vec(vec(number, 0..3).prop_map(Value::List), 0..3)
            .prop_map(|grid| ("grid", Value::List(grid))),
        vec(line(), 0..4).prop_map(|lines| ("lines", Value::List(lines))),
        "[a-z]{0,3}".prop_map(|city| ("addr", object([("town", Value::String(city))]))),
        customers.prop_map(|id| ("customer_id", Value::String(id))),
        Just(("text", Value::Null)),
        Just(("addr", Value::Null)),
    ]
}

fn body() -> impl Strategy<Value = Document> {
    vec(field(), 0..8).prop_map(|fields| {
        let named = |(name, value): (&str, Value)| (name.to_owned(), value);
        fields.into_iter().map(named).collect()
    })
}

/// What MongoDB does with `$set` and `$unset`.
fn apply(stored: &RawDocument, difference: &DocumentUpdate) -> Stored {
    let mut stored: Stored = stored.try_into().unwrap();
    let set: Stored = difference.set.as_ref().try_into().unwrap();
    stored.extend(set);
    for name in &difference.unset {
        stored.remove(name.as_str());
    }
    stored
}

fn raw(stored: Stored) -> RawDocumentBuf {
    RawDocumentBuf::try_from(&stored).unwrap()
}

proptest! {
    #[test]
    fn every_document_comes_back_exactly(body in body()) {
        let layout = layout();
        let stored = layout.write(orders(&layout), RawBson::Int32(1), &body).unwrap();
        let read = layout.read(orders(&layout), &stored).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{body:?}"));
    }

    #[test]
    fn what_differs_is_written_and_nothing_else(before in body(), after in body()) {
        let layout = layout();
        let mut stored = layout.write(orders(&layout), RawBson::Int32(1), &before).unwrap();
        stored.append(cstr!("foreign"), "field");
        let difference = layout.difference(orders(&layout), &stored, &after).unwrap();
        let written = raw(apply(&stored, &difference));
        let read = layout.read(orders(&layout), &written).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{after:?}"));
        prop_assert_eq!(written.get_str("foreign").unwrap(), "field");
        let again = layout.difference(orders(&layout), &written, &after).unwrap();
        prop_assert!(again.is_empty());
    }
}

#[test]
fn fields_are_kept_under_their_stored_names_and_as_their_bson_types() {
    let layout = layout();
    let body = Document::from([
        (
            "at_time".to_owned(),
            Value::DateTime(Timestamp::from_ms(-1).unwrap()),
        ),
        ("long".to_owned(), Value::Long(5)),
        ("addr".to_owned(), object([("town", text("Ulm"))])),
        ("customer_id".to_owned(), text("507f1f77bcf86cd799439011")),
        ("json".to_owned(), object([("$where", text("$x"))])),
    ]);
    let stored = layout
        .write(orders(&layout), RawBson::Int32(1), &body)
        .unwrap();
    let stored: Stored = stored.as_ref().try_into().unwrap();
    let id = mongodb::bson::oid::ObjectId::parse_str("507f1f77bcf86cd799439011").unwrap();
    let expected = doc! {
        "_id": 1,
        "long": 5_i64,
        "at_time": mongodb::bson::DateTime::from_millis(-1),
        "json": { "$where": "$x" },
        "addr": { "town": "Ulm" },
        "customer_id": id,
    };
    assert_eq!(stored, expected);
}

#[test]
fn numbers_that_others_wrote_with_another_type_are_read_where_they_fit_and_then_left_alone() {
    let layout = layout();
    let stored = raw(doc! { "number": 5.0, "long": 7, "float": 2, "json": [1, 1.5] });
    let read = layout.read(orders(&layout), &stored).unwrap();
    let expected = Document::from([
        ("number".to_owned(), Value::Int(5)),
        ("long".to_owned(), Value::Long(7)),
        ("float".to_owned(), Value::Float(2.0)),
        (
            "json".to_owned(),
            Value::List(vec![Value::Long(1), Value::Float(1.5)]),
        ),
    ]);
    assert_eq!(read, expected);
    let difference = layout.difference(orders(&layout), &stored, &read).unwrap();
    assert!(difference.is_empty(), "{difference:?}");
}

#[test]
fn what_the_model_cannot_hold_is_named_with_its_place() {
    let id = || Bson::ObjectId(mongodb::bson::oid::ObjectId::from_bytes([7; 12]));
    let far = mongodb::bson::DateTime::MAX;
    let cases = [
        (doc! { "text": 1 }, "text: is int, and not a string"),
        (
            doc! { "number": 5.5 },
            "number: is double, and not a whole number of 32 bits",
        ),
        (
            doc! { "number": i64::MAX },
            "number: is long, and not a whole number of 32 bits",
        ),
        (
            doc! { "float": f64::NAN },
            "float: is double, and not a finite number",
        ),
        (
            doc! { "float": i64::MAX },
            "float: is long, and not a finite number",
        ),
        (
            doc! { "at_time": far },
            "at: is date, and not a date between",
        ),
        (
            doc! { "json": { "a": [id()] } },
            "json.a[0]: is objectId, and not a value that JSON has",
        ),
        (doc! { "addr": [] }, "address: is array, and not a document"),
        (
            doc! { "lines": [{}, { "inner": { "n": "x" } }] },
            "lines[1].inner.count: is string, and",
        ),
        (
            doc! { "grid": [[1], ["x"]] },
            "grid[1][0]: is string, and not a whole number",
        ),
    ];
    let layout = layout();
    for (stored, expected) in cases {
        let problem = layout
            .read(orders(&layout), &raw(stored))
            .unwrap_err()
            .to_string();
        assert!(problem.starts_with(expected), "{problem}");
    }
    let deep = (0..200).fold(Bson::Null, |inner, _| bson!([inner]));
    let problem = layout
        .read(orders(&layout), &raw(doc! { "json": deep }))
        .unwrap_err()
        .to_string();
    assert!(problem.ends_with("is nested too deeply"), "{problem}");
}

/// The document as the core gets it.
fn marked(layout: &ModelLayout, stored: &RawDocument) -> Document {
    let mut body = layout.read(orders(layout), stored).unwrap();
    origin::mark(&layout.items(orders(layout), stored).marks, &mut body);
    body
}

/// The stored lines after an edit of them.
fn edited_lines(stored: &RawDocument, edit: impl FnOnce(&mut Vec<Value>)) -> Bson {
    let layout = layout();
    let mut body = marked(&layout, stored);
    let Some(Value::List(lines)) = body.get_mut("lines") else {
        panic!("the order has lines")
    };
    edit(lines);
    let difference = layout.difference(orders(&layout), stored, &body).unwrap();
    apply(stored, &difference).remove("lines").unwrap()
}

fn line_of(code: &str, count: i32) -> Value {
    object([("code", text(code)), ("n", Value::Int(count))])
}

fn set(item: &mut Value, name: &str, value: Value) {
    match item {
        Value::Object(document) => drop(document.insert(name.to_owned(), value)),
        _ => panic!("items are documents"),
    }
}

#[test]
fn what_others_keep_in_an_item_goes_where_its_mark_goes() {
    let stored = raw(doc! {
        "lines": [
            { "_id": 7, "code": "a", "n": 1.0, "seen": true },
            { "code": "b", "n": 5_i64 },
            { "code": "c", "inner": { "code": "d", "tag": "x" } },
        ],
    });
    let changed = edited_lines(&stored, |lines| {
        set(&mut lines[0], "code", text("z"));
        set(&mut lines[2], "n", Value::Int(3));
        lines.swap(0, 2);
        lines.insert(1, line_of("new", 1));
    });
    let expected = bson!([
        { "code": "c", "inner": { "code": "d", "tag": "x" }, "n": 3 },
        { "code": "new", "n": 1 },
        { "code": "b", "n": 5_i64 },
        { "_id": 7, "code": "z", "n": 1.0, "seen": true },
    ]);
    assert_eq!(changed, expected);
    assert_eq!(
        names(&changed, 3),
        ["_id", "code", "n", "seen"],
        "fields stay in their places"
    );
    let swapped = edited_lines(&stored, |lines| {
        lines[0] = line_of("a", 1);
        lines.truncate(1);
    });
    assert_eq!(
        swapped,
        bson!([{ "code": "a", "n": 1 }]),
        "a new item is new"
    );
}

fn names(list: &Bson, place: usize) -> Vec<&str> {
    let item = list.as_array().and_then(|items| items[place].as_document());
    item.into_iter()
        .flat_map(Stored::keys)
        .map(String::as_str)
        .collect()
}

#[test]
fn equal_stored_items_have_one_mark_and_lists_in_items_have_their_own() {
    let sdl = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders") @scope(by: "public") { id: ID! boxes: [Box!] rows: [[Line!]!] }
type Box { name: String lines: [Line!] }
type Line { code: String }
"#;
    let layout = ModelLayout::of(&Model::parse("model.graphql", sdl).unwrap());
    let stored = raw(doc! {
        "boxes": [
            { "name": "x", "lines": [{ "code": "a", "h": 1 }, { "code": "a" }] },
            { "name": "y", "lines": [{ "code": "a", "h": 1 }, { "code": "a", "h": 2 }] },
        ],
        "rows": [[{ "code": "b", "h": 3 }], []],
    });
    let mark = |number| object([("\0", Origin(number).value())]);
    let lines = |marks: [Value; 2]| object([("lines", Value::List(marks.into()))]);
    let boxes = [lines([mark(0), Value::Null]), lines([mark(0), mark(1)])];
    let rows = [Value::List(vec![mark(2)]), Value::Null];
    let expected = Document::from([
        ("boxes".to_owned(), Value::List(boxes.into())),
        ("rows".to_owned(), Value::List(rows.into())),
    ]);
    assert_eq!(layout.items(orders(&layout), &stored).marks, expected);
    let mut body = marked(&layout, &stored);
    let Some(Value::List(boxes)) = body.get_mut("boxes") else {
        panic!("the order has boxes")
    };
    boxes.remove(0);
    set(&mut boxes[0], "name", text("z"));
    let difference = layout.difference(orders(&layout), &stored, &body).unwrap();
    let written = apply(&stored, &difference);
    let kept =
        bson!([{ "name": "z", "lines": [{ "code": "a", "h": 1 }, { "code": "a", "h": 2 }] }]);
    assert_eq!(written.get("boxes"), Some(&kept));
}

#[test]
fn what_others_keep_in_an_embedded_document_is_kept_with_it() {
    let layout = layout();
    let stored = raw(doc! { "addr": { "geo": [1, 2], "town": "Ulm", "zip": 1 } });
    let mut body = marked(&layout, &stored);
    set(body.get_mut("addr").unwrap(), "town", text("Bonn"));
    let difference = layout.difference(orders(&layout), &stored, &body).unwrap();
    let written = apply(&stored, &difference);
    let expected = bson!({ "geo": [1, 2], "town": "Bonn", "zip": 1 });
    assert_eq!(written.get("addr"), Some(&expected));
    let new = Document::from([("addr".to_owned(), object([("town", text("Ulm"))]))]);
    let difference = layout.difference(orders(&layout), &stored, &new).unwrap();
    let written = apply(&stored, &difference);
    assert_eq!(
        written.get("addr"),
        Some(&bson!({ "town": "Ulm" })),
        "one that was null in between is new"
    );
    let unchanged = layout.difference(orders(&layout), &stored, &marked(&layout, &stored));
    assert!(unchanged.unwrap().is_empty());
}

#[test]
fn an_absent_field_and_a_null_one_stay_two_things() {
    let layout = layout();
    let stored = raw(doc! { "text": "x", "number": 1, "flag": null });
    let body = Document::from([("text".to_owned(), Value::Null)]);
    let difference = layout.difference(orders(&layout), &stored, &body).unwrap();
    let written = apply(&stored, &difference);
    assert_eq!(written, doc! { "text": null });
}

#[test]
fn a_field_of_another_stored_name_is_read_under_both_and_moved_with_the_next_write() {
    let sdl = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders") @scope(by: "public") {
  id: ID! due: Int @stored(as: "due_at") @renamed(stored: "due") address: Address other: String
}
type Address { city: String @stored(as: "town") @renamed(stored: "city") }
"#;
    let layout = ModelLayout::of(&Model::parse("model.graphql", sdl).unwrap());
    let stored = raw(doc! { "due": 5, "address": { "city": "Ulm", "geo": 1 }, "other": "x" });
    let read = layout.read(orders(&layout), &stored).unwrap();
    let expected = Document::from([
        ("due_at".to_owned(), Value::Int(5)),
        ("address".to_owned(), object([("town", text("Ulm"))])),
        ("other".to_owned(), text("x")),
    ]);
    assert_eq!(read, expected);
    let met = marked(&layout, &stored);
    let difference = layout.difference(orders(&layout), &stored, &met).unwrap();
    let written = apply(&stored, &difference);
    let unmoved = doc! { "due_at": 5, "address": { "city": "Ulm", "geo": 1 }, "other": "x" };
    assert_eq!(
        sorted(&written),
        sorted(&unmoved),
        "an equal value stays as it is"
    );
    let both = raw(doc! { "due": 5, "due_at": 6 });
    let read = layout.read(orders(&layout), &both).unwrap();
    assert_eq!(read["due_at"], Value::Int(6), "the new name counts");
    let mut edited = Document::from([("address".to_owned(), met["address"].clone())]);
    set(edited.get_mut("address").unwrap(), "town", text("Rom"));
    let difference = layout
        .difference(orders(&layout), &stored, &edited)
        .unwrap();
    let written = apply(&stored, &difference);
    assert_eq!(written, doc! { "address": { "town": "Rom", "geo": 1 } });
}

/// The fields in the order of their names.
fn sorted(document: &Stored) -> Vec<(&String, &Bson)> {
    let mut fields: Vec<_> = document.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

#[test]
fn what_an_entry_keeps_and_the_model_does_not_name_is_no_difference() {
    let layout = layout();
    let stored = raw(doc! { "addr": { "town": "Ulm" }, "lines": [{ "code": "a" }] });
    let line = object([("code", text("a")), ("tag", text("x"))]);
    let body = Document::from([
        (
            "addr".to_owned(),
            object([("town", text("Ulm")), ("geo", text("y"))]),
        ),
        ("lines".to_owned(), Value::List(vec![line])),
        ("extra".to_owned(), Value::Int(1)),
    ]);
    let read = layout.read(orders(&layout), &stored).unwrap();
    assert!(layout.say_the_same(orders(&layout), &body, &read));
    let difference = layout.difference(orders(&layout), &stored, &body).unwrap();
    assert!(difference.is_empty(), "{difference:?}");
}
