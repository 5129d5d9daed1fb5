//! Random queries on random documents against the plain meaning of their conditions. They are read page by page as on a
//! store, in reads of few ranges and bytes.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::{cmp::Ordering, sync::Arc};

use tidegate_core::{
    entry::Entry,
    id::{DocumentId, DocumentKey, Scope, Version},
    model::{DefaultValue, DocumentType, Model},
    query::{
        Column, Condition, IndexRead, IntervalSet, KeyHash, KeyPart, ListBounds, ListCursor,
        ListPlace, ListPlan, ListQuery, ListReader, QueryError, QueryHash, RANGES_MAX,
    },
    value::{Document, Timestamp, Value},
};
use tidegate_testkit::Random;

const QUERIES: usize = 3_000;

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}")
  @index(fields: ["a", "n"]) @index(fields: ["n"]) @index(fields: ["a", "n", "x"]) @index(fields: ["x", "n"])
  @index(fields: ["d"]) @index(fields: ["a", "tags", "n"]) {
  id: ID!
  audience: String!
  a: Boolean
  n: Int
  x: String
  d: Boolean! @default(value: false)
  tags: [String!]
}
"#;

const FIELDS: [&str; 4] = ["a", "n", "x", "d"];
const SCOPES: [&str; 5] = ["s:a", "s:b", "s:c", "s:d", "s:e"];

fn values(field: &str) -> Vec<Value> {
    let text = |text: &&str| Value::String((*text).to_owned());
    let long = |last: &str| Value::String("b".repeat(2_000) + last);
    match field {
        "a" | "d" => vec![Value::Bool(false), Value::Bool(true)],
        "n" => (-3..4).map(Value::Int).collect(),
        "x" => {
            let short = ["", "a", "ab", "b"].iter().map(text);
            short.chain(["1", "2"].map(long)).collect()
        }
        "tags" => ["", "a", "ab", "b"].iter().map(text).collect(),
        _ => ["000", "017", "099", "5"].iter().map(text).collect(),
    }
}

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

/// Living documents, with fields that are null, absent, or of a type from before.
fn documents(random: &mut Random) -> Vec<Arc<Entry>> {
    let entry = |n: usize, random: &mut Random| {
        let mut body = Document::new();
        for field in FIELDS {
            match random.below(6) {
                0 => {}
                1 if field != "d" => drop(body.insert(field.to_owned(), Value::Null)),
                2 if field == "x" => drop(body.insert(field.to_owned(), Value::Long(7))),
                2 if field == "n" => drop(body.insert(field.to_owned(), Value::Float(0.5))),
                _ => {
                    let values = values(field);
                    let value = values[random.below(values.len())].clone();
                    body.insert(field.to_owned(), value);
                }
            }
        }
        let tags = values("tags").into_iter().filter(|_| random.once_in(3));
        body.insert("tags".to_owned(), Value::List(tags.collect()));
        Arc::new(Entry {
            key: DocumentKey {
                type_name: model().types[0].stored_as.clone(),
                id: DocumentId::new(&format!("{n:03}")).unwrap(),
            },
            scope: scope(random.one_of(&SCOPES)),
            version: Version(1),
            began: Version(1),
            run: Version(1),
            field_versions: Default::default(),
            writers: Default::default(),
            body: Some(body),
            withheld: false,
            at: Timestamp::EPOCH,
            membership: None,
        })
    };
    (0..120).map(|n| entry(n, random)).collect()
}

fn model() -> Model {
    Model::parse("model.graphql", MODEL).unwrap()
}

/// The value of a field as clients see it.
fn shown(of: &DocumentType, entry: &Entry, field: &str) -> KeyPart {
    if field == "_id" {
        return KeyPart::text(entry.key.id.as_str());
    }
    let stored = entry
        .body
        .as_ref()
        .and_then(|body| body.get(field))
        .cloned();
    let stored = stored.filter(|value| !value.is_null());
    let default = of.field(field).and_then(|field| match &field.default {
        Some(DefaultValue::Literal(value)) => Some(value.clone()),
        _ => None,
    });
    stored.or(default).map_or(KeyPart::NULL, KeyPart::from)
}

type OfDocument = dyn Fn(&DocumentType, &Entry) -> bool;
type OfValue = dyn Fn(&KeyPart) -> bool;

/// A condition with its plain meaning.
struct Asked {
    condition: Condition,
    holds: Box<OfDocument>,
}

fn asked(random: &mut Random, depth: usize) -> Asked {
    if depth < 3 && random.below(100) < 45 {
        let parts: Vec<Asked> = (0..random.below(4))
            .map(|_| asked(random, depth + 1))
            .collect();
        let (conditions, meanings): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|it| (it.condition, it.holds)).unzip();
        return match random.below(3) {
            0 => Asked {
                condition: Condition::All(conditions),
                holds: Box::new(move |of, entry| meanings.iter().all(|holds| holds(of, entry))),
            },
            1 => Asked {
                condition: Condition::Any(conditions),
                holds: Box::new(move |of, entry| meanings.iter().any(|holds| holds(of, entry))),
            },
            _ => Asked {
                condition: Condition::Not(Box::new(Condition::All(conditions))),
                holds: Box::new(move |of, entry| !meanings.iter().all(|holds| holds(of, entry))),
            },
        };
    }
    if random.once_in(8) {
        let values = values("tags");
        let item = values[random.below(values.len())].clone();
        let condition = Condition::Contains(Column::new("tags"), KeyPart::from(item.clone()));
        return Asked {
            condition,
            holds: Box::new(move |_, entry| {
                let tags = entry.body.as_ref().and_then(|body| body.get("tags"));
                matches!(tags, Some(Value::List(tags)) if tags.contains(&item))
            }),
        };
    }
    on_field(random)
}

fn on_field(random: &mut Random) -> Asked {
    let field = random.one_of(&["a", "n", "n", "x", "d", "_id"]);
    let all = values(field);
    let operand = KeyPart::from(all[random.below(all.len())].clone());
    let several: Vec<KeyPart> = all
        .into_iter()
        .filter(|_| random.once_in(2))
        .map(KeyPart::from)
        .collect();
    let same_rank = {
        let operand = operand.clone();
        move |value: &KeyPart| value.rank() == operand.rank()
    };
    let compared = operand.clone();
    let (set, holds): (IntervalSet, Box<OfValue>) = match random.below(8) {
        0 => (
            IntervalSet::point(&operand),
            Box::new(move |it| *it == compared),
        ),
        1 => (
            IntervalSet::point(&operand).complement(),
            Box::new(move |it| *it != compared),
        ),
        2 => {
            let union = IntervalSet::points_of(&several);
            (union, Box::new(move |it| several.contains(it)))
        }
        3 => (
            IntervalSet::below(&operand, false),
            Box::new(move |it| same_rank(it) && *it < compared),
        ),
        4 => (
            IntervalSet::above(&operand, true),
            Box::new(move |it| same_rank(it) && *it >= compared),
        ),
        5 if field == "x" || field == "_id" => {
            let prefix = operand.value().as_str().unwrap().to_owned();
            let set = IntervalSet::beginning_with(&prefix);
            let begins = move |it: &KeyPart| {
                it.value()
                    .as_str()
                    .is_some_and(|text| text.starts_with(&prefix))
            };
            (set, Box::new(begins))
        }
        6 => (IntervalSet::null(), Box::new(KeyPart::is_null)),
        _ => (
            IntervalSet::null().complement(),
            Box::new(|it: &KeyPart| !it.is_null()),
        ),
    };
    Asked {
        condition: Condition::In(Column::new(field), set),
        holds: Box::new(move |of, entry| holds(&shown(of, entry, field))),
    }
}

/// What a store returns: the first documents of the range, in order.
fn read(entries: &[Arc<Entry>], read: &IndexRead) -> (Vec<Arc<Entry>>, bool) {
    assert!(read.ranges() <= RANGES_MAX, "{read:?}");
    let within = entries.iter().filter(|entry| read.contains(entry.as_ref()));
    let mut found: Vec<_> = within.cloned().collect();
    found.sort_by(|one, other| {
        let [one, other] = [one, other].map(|entry| read.order_key(entry.as_ref()));
        in_direction(one.cmp(&other), read.descending)
    });
    found.truncate(read.items_max);
    // Each document has one byte.
    let complete = found.len() <= read.bytes_max.max(1);
    found.truncate(read.bytes_max.max(1));
    (found, complete)
}

fn in_direction(order: Ordering, descending: bool) -> Ordering {
    match descending {
        true => order.reverse(),
        false => order,
    }
}

fn page(
    entries: &[Arc<Entry>],
    plan: &Arc<ListPlan>,
    scopes: &[Scope],
    after: Option<Vec<KeyPart>>,
    bounds: ListBounds,
) -> (Vec<Arc<Entry>>, Option<Vec<KeyPart>>, bool) {
    let mut reader = ListReader::new(plan, scopes.to_vec(), after, bounds);
    while let Some(next) = reader.next_read() {
        let (found, complete) = read(entries, &next);
        let bytes = found.len();
        let placed = found.into_iter();
        let placed = placed
            .map(|entry| (reader.place_of(entry.as_ref()), entry))
            .collect();
        reader.take(placed, bytes, complete);
    }
    let page = reader.finish();
    let last = page.items.last().map(|(key, _)| key.clone());
    let entries = page.items.into_iter().map(|(_, entry)| entry);
    (entries.collect(), last, page.has_more)
}

#[test]
fn queries_find_what_their_conditions_mean_page_by_page() {
    let seed = std::env::var("TIDEGATE_QUERY_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let (model, mut served, mut refused, mut by_document) = (model(), 0, 0, 0);
    let task = &model.types[0];
    let mut entries = documents(&mut random);
    for number in 0..QUERIES {
        if number % 300 == 0 {
            entries = documents(&mut random);
        }
        let Asked { condition, holds } = asked(&mut random, 0);
        let order = [
            vec![],
            vec!["n"],
            vec!["x"],
            vec!["n", "x"],
            vec!["_id"],
            vec!["a", "n"],
            vec!["d"],
        ];
        let order = order[random.below(order.len())].clone();
        let query = ListQuery {
            condition,
            order: order.iter().map(|field| Column::new(field)).collect(),
            descending: random.once_in(2),
        };
        let plan = match ListPlan::of(task, &query) {
            Ok(plan) => Arc::new(plan),
            Err(error) => {
                assert!(
                    !matches!(
                        &error,
                        QueryError::TooMany {
                            what: "conditions",
                            ..
                        }
                    ),
                    "{error}"
                );
                refused += 1;
                continue;
            }
        };
        served += 1;
        let scopes: Vec<Scope> = SCOPES
            .iter()
            .filter(|_| random.below(4) > 0)
            .map(|it| scope(it))
            .collect();
        let hash = QueryHash::of(task, &query, None, &plan);
        let bounds = ListBounds {
            first: random.one_of(&[1, 3, 7, 50]),
            bytes_max: random.one_of(&[2, 5, 1_000]),
            ids_only: false,
        };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (page, last, has_more) = page(&entries, &plan, &scopes, after, bounds);
            assert!(page.len() <= bounds.first);
            found.extend(page);
            if !has_more {
                break;
            }
            let last = last.expect("a page with more after it is not empty");
            let cursor = ListCursor {
                query: hash,
                place: ListPlace::of(&last),
            }
            .encode();
            assert!(cursor.len() < 2_048, "{}", cursor.len());
            let read = ListCursor::decode(&cursor, hash, plan.order.len()).unwrap();
            after = Some(match read.place {
                ListPlace::Key(key) => key,
                ListPlace::Document(id, hash) => {
                    by_document += 1;
                    let entry = entries.iter().find(|entry| entry.key.id == id).unwrap();
                    let key = plan.key_of(entry.as_ref()).unwrap();
                    assert_eq!(KeyHash::of(&key), hash);
                    key
                }
            });
        }
        let stored = |entry: &Entry, column: &Column| {
            let body = entry
                .body
                .as_ref()
                .and_then(|body| body.get(column.as_str()));
            match column.is_id() {
                true => KeyPart::text(entry.key.id.as_str()),
                false => body.cloned().map_or(KeyPart::NULL, KeyPart::from),
            }
        };
        let place = |entry: &Entry| -> Vec<KeyPart> {
            plan.order
                .iter()
                .map(|column| stored(entry, column))
                .collect()
        };
        let asked_order = |entry: &Entry| -> Vec<KeyPart> {
            query
                .order
                .iter()
                .map(|column| stored(entry, column))
                .collect()
        };
        let meant = entries.iter();
        let meant = meant.filter(|entry| scopes.contains(&entry.scope) && holds(task, entry));
        let mut meant: Vec<_> = meant.cloned().collect();
        meant.sort_by(|a, b| in_direction(place(a).cmp(&place(b)), query.descending));
        let ids = |entries: &[Arc<Entry>]| -> Vec<String> {
            entries.iter().map(|it| it.key.id.to_string()).collect()
        };
        assert_eq!(
            ids(&found),
            ids(&meant),
            "seed {seed}, query {number}: {query:?}"
        );
        let in_order = found.is_sorted_by(|a, b| {
            in_direction(asked_order(a).cmp(&asked_order(b)), query.descending).is_le()
        });
        assert!(in_order, "seed {seed}, query {number}: {query:?}");
    }
    assert!(
        served > QUERIES / 4 && refused > QUERIES / 20,
        "{served} served, {refused} refused"
    );
    assert!(by_document > 0, "no cursor named a document");
}
