//! Documents of random models on their whole way: a client's text, a value, stored bytes, and text again.
//!
//! The core tests which spellings are accepted and which are refused.

use proptest::{
    collection::{btree_map, vec},
    num::f64,
    option,
    prelude::*,
    sample::select,
};
use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    model::Model,
    value::{
        DEPTH_MAX, Decimal, Document, Timestamp,
        json::{decode_fields, encode_fields},
    },
};

use super::value::{decode, encode};

const STRANGE: [&str; 7] = [
    "",
    "\0",
    "a\0b",
    "𝒳\u{10ffff}",
    "\u{feff}",
    "$x",
    "\u{2028}\"\\",
];

/// A field's type in SDL, and how to make values of it.
#[derive(Debug, Clone)]
enum Ty {
    Scalar(&'static str),
    Enum,
    Embedded(Vec<Ty>),
    List(Box<Ty>),
}

const SCALARS: [&str; 11] = [
    "ID", "String", "Int", "Float", "Boolean", "Date", "DateTime", "Long", "Decimal", "Bytes",
    "JSON",
];
const MOODS: [&str; 3] = ["GOOD", "BAD", "true_"];

fn types() -> impl Strategy<Value = Vec<Ty>> {
    let leaf = prop_oneof![9 => select(&SCALARS[..]).prop_map(Ty::Scalar), 1 => Just(Ty::Enum)];
    let any = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| Ty::List(Box::new(item))),
            vec(inner, 1..4).prop_map(Ty::Embedded),
        ]
    });
    vec(any, 1..6)
}

/// The SDL of a model whose one type has these fields, `f0` and so on.
fn sdl(fields: &[Ty]) -> String {
    let mut embedded = Vec::new();
    let own = named(fields, &mut embedded);
    format!(
        "extend schema @grant(scope: \"public\", access: WRITE) enum Mood {{ {} }}
         type Thing @collection(name: \"things\") @scope(by: \"public\") {{ id: ID! mood: Mood {own} }} {}",
        MOODS.join(" "),
        embedded.join(" ")
    )
}

fn named(fields: &[Ty], embedded: &mut Vec<String>) -> String {
    let each = fields.iter().enumerate();
    each.map(|(i, ty)| format!("f{i}: {} ", spelled(ty, embedded)))
        .collect()
}

fn spelled(ty: &Ty, embedded: &mut Vec<String>) -> String {
    match ty {
        Ty::Scalar(name) => (*name).to_owned(),
        Ty::Enum => "Mood".to_owned(),
        Ty::List(item) => match &**item {
            // A list of embedded documents or of lists cannot hold null.
            Ty::Embedded(_) | Ty::List(_) => format!("[{}!]", spelled(item, embedded)),
            _ => format!("[{}]", spelled(item, embedded)),
        },
        Ty::Embedded(fields) => {
            let fields = named(fields, embedded);
            let name = format!("Part{}", embedded.len());
            embedded.push(format!("type {name} {{ {fields} }}"));
            name
        }
    }
}

/// Each field is absent, null, or a value in its canonical spelling.
fn documents(fields: Vec<Ty>) -> BoxedStrategy<Json> {
    let fields = fields.into_iter().enumerate().map(|(i, ty)| {
        option::of(prop_oneof![1 => Just(Json::Null), 8 => values(ty)])
            .prop_map(move |value| value.map(|value| (format!("f{i}"), value)))
    });
    let fields: Vec<_> = fields.collect();
    fields
        .prop_map(|fields| fields.into_iter().flatten().collect::<Map<_, _>>().into())
        .boxed()
}

fn values(ty: Ty) -> BoxedStrategy<Json> {
    match ty {
        Ty::Scalar(name) => scalars(name),
        Ty::Enum => select(&MOODS[..]).prop_map(Json::from).boxed(),
        Ty::Embedded(fields) => documents(fields),
        Ty::List(item) => {
            let null = u32::from(!matches!(*item, Ty::Embedded(_) | Ty::List(_)));
            let items = prop_oneof![null => Just(Json::Null), 4 => values(*item)];
            vec(items, 0..4).prop_map(Json::from).boxed()
        }
    }
}

fn scalars(name: &str) -> BoxedStrategy<Json> {
    match name {
        "ID" | "String" => texts().prop_map(Json::from).boxed(),
        "Int" => any::<i32>().prop_map(Json::from).boxed(),
        "Float" => floats().prop_map(Json::from).boxed(),
        "Boolean" => any::<bool>().prop_map(Json::from).boxed(),
        "Date" => "[0-9]{3}[1-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
            .prop_map(Json::from)
            .boxed(),
        "DateTime" => instants().prop_map(|at| at.to_string().into()).boxed(),
        "Long" => longs().prop_map(|long| long.to_string().into()).boxed(),
        "Decimal" => decimals().prop_map(|it| it.to_string().into()).boxed(),
        "Bytes" => "([A-Za-z0-9+/]{4}){0,3}".prop_map(Json::from).boxed(),
        _ => trees(),
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        select(&STRANGE[..]).prop_map(str::to_owned)
    ]
}

fn floats() -> impl Strategy<Value = f64> {
    let edges = [
        -0.0,
        5e-324,
        f64::MAX,
        f64::MIN,
        0.1 + 0.2,
        9_007_199_254_740_993.0,
    ];
    let all = f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::NEGATIVE | f64::POSITIVE;
    prop_oneof![4 => all, 1 => select(edges.to_vec())]
}

fn longs() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        Just((1 << 53) + 1)
    ]
}

fn instants() -> impl Strategy<Value = Timestamp> {
    let (first, last) = (-62_167_219_200_000_i64, 253_402_300_799_999);
    prop_oneof![first..=last, -9..9_i64, Just(first), Just(last)]
        .prop_map(|ms| Timestamp::from_ms(ms).unwrap())
}

fn decimals() -> impl Strategy<Value = Decimal> {
    ("-?[0-9]{1,34}", -6176_i32..=6111)
        .prop_map(|(digits, exponent)| format!("{digits}E{exponent}").parse().unwrap())
}

/// Any JSON value, wrapped in as many levels as the core lets values nest. The document and the field are two of the
/// levels, and the tree inside takes up to five.
fn trees() -> BoxedStrategy<Json> {
    let floats = floats().prop_map(|float| if float.abs() < 9.2e18 { float } else { 0.5 });
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        longs().prop_map(Json::from),
        floats.prop_map(Json::from),
        texts().prop_map(Json::from),
    ];
    let names = texts().prop_map(|text| text.replace('\0', ".")).boxed();
    let tree = leaf.prop_recursive(5, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            btree_map(names.clone(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    (tree, vec(any::<bool>(), 0..DEPTH_MAX - 20))
        .prop_map(|(tree, levels)| levels.into_iter().fold(tree, wrapped))
        .boxed()
}

fn wrapped(inner: Json, in_list: bool) -> Json {
    if in_list {
        json!([inner])
    } else {
        json!({ "$in": inner })
    }
}

fn read(model: &Model, text: &str) -> Document {
    let fields = serde_json::from_str(text).unwrap();
    decode_fields(model, &model.types[0].fields, fields).unwrap()
}

fn cases() -> impl Strategy<Value = (Vec<Ty>, Json)> {
    types().prop_flat_map(|fields| (Just(fields.clone()), documents(fields)))
}

proptest! {
    /// Debug text distinguishes -0.0 from 0.0, which `==` does not.
    #[test]
    fn what_a_client_sends_is_what_it_gets((fields, sent) in cases()) {
        let model = Model::parse("model.graphql", &sdl(&fields)).unwrap();
        let document = read(&model, &sent.to_string());
        let stored = encode(&document).unwrap();
        let loaded = decode(&stored).unwrap();
        prop_assert_eq!(format!("{loaded:?}"), format!("{document:?}"));
        let reported = Json::Object(encode_fields(&model, &model.types[0].fields, &loaded));
        prop_assert_eq!(&reported, &sent);
        prop_assert_eq!(format!("{:?}", read(&model, &reported.to_string())), format!("{document:?}"));
    }

    #[test]
    fn any_float_survives_its_text(float in floats()) {
        let model = Model::parse("model.graphql", &sdl(&[Ty::Scalar("Float")])).unwrap();
        let document = read(&model, &format!("{{\"f0\":{float:?}}}"));
        let reported = encode_fields(&model, &model.types[0].fields, &document);
        prop_assert_eq!(reported["f0"].as_f64().map(f64::to_bits), Some(float.to_bits()));
    }
}

#[test]
fn json_nests_to_the_cap_and_comes_back() {
    let model = Model::parse("model.graphql", &sdl(&[Ty::Scalar("JSON")])).unwrap();
    let nested =
        |levels| json!({ "f0": (0..levels).fold(json!(0), |it, i| wrapped(it, i % 2 == 0)) });
    let deepest = nested(DEPTH_MAX - 1);
    let document = read(&model, &deepest.to_string());
    let loaded = decode(&encode(&document).unwrap()).unwrap();
    let reported = encode_fields(&model, &model.types[0].fields, &loaded);
    assert_eq!(Json::Object(reported), deepest);
    let Json::Object(deeper) = nested(DEPTH_MAX) else {
        panic!("an object")
    };
    assert!(decode_fields(&model, &model.types[0].fields, deeper).is_err());
}
