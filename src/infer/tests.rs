//! Each rule of inference, from documents to the line of the model that they become.

use mongodb::bson::{
    Binary, Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype,
};
use tidegate_core::model::Model;

use super::*;

mod collections;
mod relations;

fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 12])
}

fn binary(subtype: BinarySubtype, number: u8) -> Binary {
    Binary {
        subtype,
        bytes: vec![number; 16],
    }
}

fn sampled(collections: &[(&str, Vec<Document>)]) -> Samples {
    let mut samples = Samples::new(Vec::new());
    for (name, documents) in collections {
        let mut sample = samples.begin(name, documents.len() as u64);
        for document in documents {
            sample.add(&RawDocumentBuf::try_from(document).unwrap());
        }
        samples.add(sample);
    }
    samples
}

/// The model of these collections, which a gateway can serve. A wanted id is found if a document has it.
fn drawn(collections: &[(&str, Vec<Document>)]) -> String {
    let drawn = Drawn::new("shop", sampled(collections));
    let mut found = IdsByCollection::new();
    for (name, wanted) in drawn.wanted() {
        let mut of_name = collections.iter().filter(|(other, _)| *other == name);
        let documents = &of_name.next().unwrap().1;
        let is_there = |id: &IdValue| {
            let id = id.to_bson();
            documents.iter().any(|it| {
                let number = it.get_i32("_id").map(|number| Bson::Int64(number.into()));
                it.get("_id") == Some(&id) || number.is_ok_and(|number| number == id)
            })
        };
        found.insert(name, wanted.into_iter().filter(is_there).collect());
    }
    let text = drawn.finish(&found);
    usable(&text);
    text
}

/// The model that a user gets, once every scope is decided.
fn served(collections: &[(&str, Vec<Document>)]) -> Model {
    usable(&drawn(collections))
}

/// The lines of the type that twenty documents with these values of `field` become.
fn lines(field: &str, values: &[Bson]) -> String {
    let documents = (0..20_i32).zip(values.iter().cycle());
    let documents = documents.map(|(number, value)| doc! {"_id": number, "n": 1, field: value});
    let text = drawn(&[("things", documents.collect())]);
    let after = text.split_once("  n: Int!\n").unwrap().1;
    let after = format!("{after}\n");
    let (own, rest) = after.split_once("}\n\n").unwrap();
    format!("{own}{rest}").trim().to_owned()
}

/// Checks that the model can be served once every scope is decided.
fn usable(text: &str) -> Model {
    let mut decided = String::new();
    for line in text.lines() {
        let is_open = line.contains(" @collection(") && !line.contains("@scope(");
        decided += &match is_open {
            true => line.replacen(" {", " @scope(by: \"public\") {", 1),
            false => line.to_owned(),
        };
        decided.push('\n');
    }
    if !text.contains("\nextend schema") {
        decided += "extend schema @grant(scope: \"public\", access: READ)\n";
    }
    match Model::parse("drawn", &decided) {
        Ok(model) => model,
        Err(mistakes) => panic!("{mistakes}\n{decided}"),
    }
}

#[test]
fn a_value_becomes_the_scalar_that_reads_all_of_its_kinds() {
    let date = DateTime::from_millis(1_700_000_000_123);
    let cases: [(&[Bson], &str); 17] = [
        (&["a b".into()], "x: String!"),
        (&[true.into()], "x: Boolean!"),
        (&[1_i32.into()], "x: Int!"),
        (&[1_i32.into(), 2_i64.into()], "x: Int!"),
        (&[1_i32.into(), (1_i64 << 40).into()], "x: Long!"),
        (&[(1_i64 << 60).into()], "x: Long!"),
        (&[1.5.into()], "x: Float!"),
        (&[3.0.into()], "x: Float!"),
        (&[1_i32.into(), 1.5.into()], "x: Float!"),
        (&[Bson::Decimal128("1.50".parse().unwrap())], "x: Decimal!"),
        (&[date.into()], "x: DateTime!"),
        (
            &[DateTime::from_millis(86_400_000 * 9).into()],
            "x: DateTime!  # every value is at midnight UTC; use Date if they are days",
        ),
        (&[binary(BinarySubtype::Generic, 1).into()], "x: Bytes!"),
        (&[id(1).into()], "x: ID! @bson(type: OBJECT_ID)"),
        (
            &[id(1).into(), id(2).to_hex().into()],
            "x: ID! @bson(type: OBJECT_ID)",
        ),
        (
            &[binary(BinarySubtype::Uuid, 1).into()],
            "x: ID! @bson(type: UUID)",
        ),
        (
            &[binary(BinarySubtype::UuidOld, 1).into()],
            "# not in the model: x: mixed: 20 times a legacy UUID (subtype 3)",
        ),
    ];
    for (values, line) in cases {
        assert_eq!(lines("x", values), line);
    }
}

#[test]
fn what_is_absent_or_null_is_optional_and_counted() {
    assert_eq!(
        lines("x", &["a b".into(), Bson::Null]),
        "x: String  # null in 10 of 20"
    );
    assert_eq!(
        lines("x", &[Bson::Null]),
        "# not in the model: x: always null, so that its type is unknown"
    );
    let documents = (0..4).map(|n| match n {
        0 => doc! {"_id": n, "a": 1},
        _ => doc! {"_id": n, "a": 1, "b": n},
    });
    let text = drawn(&[("things", documents.collect())]);
    assert!(text.contains("  b: Int  # absent in 1 of 4\n"), "{text}");
}

#[test]
fn the_type_of_nearly_all_values_is_taken_and_the_others_are_counted() {
    let mut values = vec![Bson::from("a b"); 19];
    values.push(17.into());
    assert_eq!(
        lines("x", &values),
        "x: String!  # does not fit: 1 times a whole number"
    );
    let of = |last: Bson| {
        let values = [Bson::from("a b"), "b c".into(), last];
        let documents = (0..3_i32).zip(values);
        let documents = documents.map(|(number, value)| doc! {"_id": number, "n": 1, "x": value});
        drawn(&[("things", documents.collect())])
    };
    let advice = "take the `!` from the field, and add misfits: NULL_FIELD to @collection.\n";
    assert!(of(17.into()).contains(advice));
    assert!(!of("c d".into()).contains(advice));
}

#[test]
fn values_of_many_types_are_json_if_json_has_them() {
    assert_eq!(
        lines("x", &["a".into(), 1.into(), doc! {"b": [1]}.into()]),
        "x: JSON!  # mixed: 7 times a whole number, 7 times a string, 6 times a document"
    );
    let date = Bson::from(DateTime::from_millis(1));
    assert_eq!(
        lines("x", &["a".into(), 1.into(), date]),
        "# not in the model: x: mixed: 7 times a whole number, 7 times a string, 6 times a date"
    );
}

#[test]
fn few_words_of_one_case_that_many_documents_share_are_an_enum() {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| Bson::from(*word))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines("state", &words(&["open", "in_progress"])),
        "state: ThingState!\n# The values that were found. A document with another one does not fit.\n\
         enum ThingState {\n  in_progress  # 10 times\n  open  # 10 times\n}"
    );
    for (others, why) in [
        (words(&["Berlin", "Rome"]), "names"),
        (words(&["open", "in-progress"]), "no name of GraphQL"),
        (words(&["true", "false"]), "not allowed in an enum"),
        (words(&["a", "b", "c", "d", "e"]), "too few of each"),
        (words(&["open"]), "one alone"),
    ] {
        assert_eq!(lines("state", &others), "state: String!", "{why}");
    }
}

#[test]
fn an_embedded_document_becomes_a_type_and_a_map_becomes_json() {
    assert_eq!(
        lines(
            "home_address",
            &[doc! {"city": "A B", "zip": Bson::Null, "_id": id(1)}.into()]
        ),
        "home_address: ThingHomeAddress!\ntype ThingHomeAddress {\n  city: String!\n  \
         key: ID! @stored(as: \"_id\") @bson(type: OBJECT_ID)\n  \
         # not in the model: zip: always null, so that its type is unknown\n}"
    );
    let map = |n: u8| Bson::from(doc! {id(n).to_hex(): 1});
    assert_eq!(
        lines("x", &[map(1), map(2), map(3)]),
        "x: JSON!  # looks like a map: 3 or more different keys"
    );
    assert_eq!(
        lines("x", &[doc! {id(1).to_hex(): id(2)}.into()]),
        "# not in the model: x: looks like a map: 1 or more different keys, with values that JSON does not have"
    );
    assert_eq!(
        lines("x", &[doc! {}.into()]),
        "x: JSON!  # always an empty document"
    );
}

#[test]
fn a_list_has_the_type_of_its_items() {
    assert_eq!(
        lines("tags", &[vec!["a b", "c"].into(), Bson::Array(vec![])]),
        "tags: [String!]!"
    );
    assert_eq!(
        lines("tags", &[vec![Bson::from("a b"), Bson::Null].into()]),
        "tags: [String]!"
    );
    assert_eq!(
        lines("tags", &[Bson::Array(vec![])]),
        "# not in the model: tags: always an empty list, so that the type of its items is unknown"
    );
    assert_eq!(
        lines("grid", &[vec![Bson::from(vec![1, 2])].into()]),
        "grid: [[Int!]!]!"
    );
    assert_eq!(
        lines("ids", &[vec![id(1)].into()]),
        "ids: [ID!]! @bson(type: OBJECT_ID)"
    );
}

#[test]
fn the_items_of_a_list_have_a_key_if_one_field_is_in_all_and_unique_in_each() {
    let items = |fields: [Document; 2]| Bson::from(fields.to_vec());
    let first_line = |values: &[Bson]| {
        let lines = lines("items", values);
        lines.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        first_line(&[items([
            doc! {"_id": id(1), "sku_id": 1},
            doc! {"_id": id(2), "sku_id": 2}
        ])]),
        "items: [ThingItem!]! @key(field: \"key\")  # @merge(with: ITEMS) joins edits of two devices item by item"
    );
    assert_eq!(
        first_line(&[items([
            doc! {"sku_id": 1, "n": 1},
            doc! {"sku_id": 2, "n": 1}
        ])]),
        "items: [ThingItem!]! @key(field: \"sku_id\")  # @merge(with: ITEMS) joins edits of two devices item by item"
    );
    let none = "items: [ThingItem!]!";
    assert_eq!(
        first_line(&[items([doc! {"sku_id": 1}, doc! {"sku_id": 1}])]),
        none
    );
    assert_eq!(
        first_line(&[items([doc! {"sku_id": 1, "n": 1}, doc! {"n": 1}])]),
        none
    );
    assert_eq!(
        first_line(&[items([doc! {"name": "a b"}, doc! {"name": "b c"}])]),
        none
    );
    let one = Bson::from(vec![doc! {"sku_id": 1}]);
    assert_eq!(first_line(&[one]), none, "lists of one item show nothing");
    let null = Bson::Array(vec![doc! {"a": 1}.into(), Bson::Null]);
    assert_eq!(
        first_line(&[null]),
        "items: [ThingItem!]!  # does not fit: 20 items that are null"
    );
}

#[test]
fn names_that_graphql_cannot_say_are_kept_as_stored_names() {
    assert_eq!(
        lines("first name", &[1.into()]),
        "firstName: Int! @stored(as: \"first name\")"
    );
    assert_eq!(
        lines("_class", &[1.into()]),
        "class: Int! @stored(as: \"_class\")"
    );
    assert_eq!(
        lines("syncState", &[1.into()]),
        "ownSyncState: Int! @stored(as: \"syncState\")"
    );
    assert_eq!(lines("id", &[1.into()]), "ownId: Int! @stored(as: \"id\")");
    assert_eq!(
        lines("a.b", &[1.into()]),
        "# not in the model: a.b: 20 times; a model cannot name such a field"
    );
    assert_eq!(
        lines("цена", &[1.into()]),
        "# not in the model: цена: 20 times a whole number; give it a name in the model, with @stored(as: …)"
    );
    assert_eq!(
        lines("two\nlines }", &[1.into()]),
        "twoLines: Int! @stored(as: \"two\\nlines }\")"
    );
    assert_eq!(
        lines("$\nx", &[1.into()]),
        "# not in the model: \"$\\nx\": 20 times; a model cannot name such a field"
    );
}

#[test]
fn the_fields_that_mongoose_keeps_are_named_to_the_gateway() {
    let date = DateTime::from_millis(1_700_000_000_123);
    let order =
        doc! {"_id": id(1), "tags": ["a b"], "createdAt": date, "updatedAt": date, "__v": 0};
    let text = drawn(&[("orders", vec![order])]);
    let collection = "@collection(name: \"orders\", idType: OBJECT_ID, versionField: \"__v\", updatedAtField: \"updatedAt\")";
    assert!(text.contains(collection), "{text}");
    assert!(!text.contains("  v: "), "{text}");
    let times = "  createdAt: DateTime @server(value: CREATED_AT)\n";
    assert!(text.contains(times), "{text}");
    assert!(text.contains("  updatedAt: DateTime @readOnly\n"), "{text}");
}
