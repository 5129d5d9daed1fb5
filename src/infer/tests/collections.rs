//! Collections: their ids and names, and how much is kept of them.

use super::*;

#[test]
fn ids_say_their_type_and_odd_ones_are_counted() {
    let of = |ids: &[Bson]| {
        let documents = ids.iter().map(|id| doc! {"_id": id, "n": 1}).collect();
        drawn(&[
            ("things", documents),
            ("others", vec![doc! {"_id": 1, "n": 1}]),
        ])
    };
    let uuid = Bson::from(binary(BinarySubtype::Uuid, 1));
    for (id, written) in [
        (Bson::from("a"), ")"),
        (id(1).into(), ", idType: OBJECT_ID)"),
        (uuid, ", idType: UUID)"),
        (7_i64.into(), ", idType: INT)"),
        (7.0.into(), ", idType: INT)"),
    ] {
        let text = of(&[id]);
        assert!(
            text.contains(&format!("@collection(name: \"things\"{written} {{")),
            "{text}"
        );
    }
    let text = of(&[id(1).into(), id(2).into(), 7.into()]);
    assert!(
        text.contains("# 1 _ids are of another type; their documents do not fit.\n"),
        "{text}"
    );
    let text = of(&[doc! {"a": 1}.into()]);
    assert!(
        text.contains("#   things: its _ids are of no type that a model can name: a document\n"),
        "{text}"
    );
    let text = drawn(&[
        ("others", vec![doc! {"_id": 1, "n": 1}]),
        ("things", vec![]),
    ]);
    assert!(text.contains("#   things: it has no documents\n"), "{text}");
}

#[test]
fn the_model_does_not_depend_on_the_order_of_documents() {
    let documents: Vec<Document> = (0..40_u8)
        .map(|n| {
            doc! {"_id": id(n), "kind": (if n % 3 == 0 { "one" } else { "two" }), "b": i32::from(n), "a": n % 7 == 0, "list": [{"_id": id(n), "x": 1}]}
        })
        .collect();
    let mut backwards = documents.clone();
    backwards.reverse();
    assert_eq!(
        drawn(&[("things", documents)]),
        drawn(&[("things", backwards)])
    );
}

#[test]
fn odd_names_of_collections_give_models_that_can_be_served() {
    let names = [
        "users",
        "user",
        "Users",
        "app.users",
        "work orders",
        "заметки",
        "数据",
        "type",
        "query",
        "Mutation",
        "conflicts",
        "changes",
        "take",
        "delete",
        "viewer",
        "sheep",
        "task_inputs",
        "tasks",
        "task",
        "sync_logs",
        "dates",
        "JSON",
        "2024",
        "a\"b\\c",
        "line\nbreak",
        "on",
        "__schema",
        "news",
        "x",
        "push_changes",
    ];
    let documents = vec![
        doc! {"_id": id(1), "on": 1, "type": "a b", "fragment": {"id": 1}, "query": [{"_id": 1}]},
    ];
    let collections: Vec<_> = names
        .iter()
        .map(|name| (*name, documents.clone()))
        .collect();
    let model = served(&collections);
    assert_eq!(model.types.len(), names.len());
}

#[test]
fn what_is_kept_of_a_collection_is_bounded() {
    let wide: Document = (0..10_000)
        .map(|n| (format!("f{n}"), Bson::from(n)))
        .collect();
    let mut deep = doc! {"a": 1};
    for _ in 0..90 {
        deep = doc! {"a": deep};
    }
    let large = doc! {"_id": 3, "n": 1, "bytes": "x".repeat(15 << 20), "numbers": vec![1; 100_000]};
    let mut wide_one = doc! {"_id": 1, "n": 1};
    wide_one.extend(wide);
    let documents = vec![wide_one, doc! {"_id": 2, "n": 1, "deep": deep}, large];
    let collections = [("things", documents)];
    let (text, model) = (drawn(&collections), served(&collections));
    assert_eq!(
        model.types[0].fields.len(),
        profile::NAMES_MAX - 1,
        "without _id"
    );
    assert!(
        text.contains("# not in the model: fields beyond the first 500 names"),
        "{text}"
    );
    assert!(text.len() < 200_000);
}

#[test]
fn what_is_kept_of_many_collections_is_bounded_together() {
    let wide: Document = (0..400)
        .map(|n| (format!("f{n}"), doc! {"a": 1, "b": 1, "c": 1}.into()))
        .collect();
    let names: Vec<String> = (0..500).map(|n| format!("things_{n}")).collect();
    let mut samples = Samples::new(Vec::new());
    for name in &names {
        let mut sample = samples.begin(name, 1);
        let mut document = doc! {"_id": 1, "n": 1};
        document.extend(wide.clone());
        sample.add(&RawDocumentBuf::try_from(&document).unwrap());
        samples.add(sample);
    }
    assert_eq!(samples.places_left, 0);
    let drawn = Drawn::new("shop", samples);
    let fields: usize = drawn.types.iter().map(|it| it.fields.len()).sum();
    assert!(fields <= PLACES_MAX, "{fields}");
    let reasons: Vec<&str> = drawn.left_out.iter().map(|(_, it)| it.as_str()).collect();
    assert!(!reasons.is_empty(), "the last ones have no field");
    assert!(
        reasons.iter().all(|it| it.contains("no field")),
        "{reasons:?}"
    );
}

#[test]
fn damaged_documents_are_read_as_far_as_they_go() {
    let whole = RawDocumentBuf::try_from(&doc! {"_id": 1, "n": 1, "text": "abcd"}).unwrap();
    let mut bytes = whole.into_bytes();
    let at = bytes.windows(4).position(|it| it == b"abcd").unwrap();
    bytes[at] = 0xff;
    let mut samples = Samples::new(Vec::new());
    let mut sample = samples.begin("things", 1);
    sample.add(&RawDocumentBuf::from_bytes(bytes).unwrap());
    samples.add(sample);
    let text = Drawn::new("shop", samples).finish(&IdsByCollection::new());
    assert!(text.contains("  n: Int!\n"), "{text}");
    assert!(
        text.contains("# 1 documents are so large, or so damaged, that they were read in part.\n"),
        "{text}"
    );
}
