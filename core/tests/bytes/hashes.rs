//! The fingerprint of a push, which identifies a retry for ever: equal for equal pushes, and different for all others.

use proptest::{collection::btree_map, collection::vec, option, prelude::*, sample::Index};
use tidegate_core::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    id::{ClientId, DocumentId, DocumentKey, Epoch, MutationId, TypeName},
    model::{Model, Policy},
    push::{Push, PushClient, PushHash},
    value::{Document, Timestamp, Value, json::decode_fields},
};

fn type_names() -> impl Strategy<Value = TypeName> {
    "[A-C]".prop_map(|name| TypeName::new(&name).unwrap())
}

/// Few values, so that neighbours are often near: pushes must differ by more than chance.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-1..2).prop_map(Value::Int),
        (-1..2_i64).prop_map(Value::Long),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.0)].prop_map(Value::Float),
        "[01]?".prop_map(Value::String),
        "[01]".prop_map(|text| Value::Decimal(text.parse().unwrap())),
        (0..2_i64).prop_map(|ms| Value::DateTime(Timestamp::from_ms(ms).unwrap())),
        vec(0..2_u8, 0..2).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::List),
            btree_map("[ab]", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

fn documents() -> impl Strategy<Value = Document> {
    btree_map("[abc]", values(), 0..3)
}

fn actions() -> impl Strategy<Value = Action> {
    let base = || (-1..2).prop_map(BaseVersion);
    prop_oneof![
        (documents(), option::of(base()))
            .prop_map(|(document, base)| Action::Create { document, base }),
        (base(), documents(), option::of(documents()))
            .prop_map(|(base, set, seen)| Action::Update { base, set, seen }),
        base().prop_map(|base| Action::Delete { base }),
    ]
}

fn submissions() -> impl Strategy<Value = Submission> {
    let change = (actions(), option::of(0..2_i64));
    let change = prop_oneof![
        8 => change.prop_map(Ok),
        1 => (0..9_usize).prop_map(|code| Err(RejectionCode::ALL[code].0)),
    ];
    (type_names(), "[xy]", change).prop_map(|(type_name, id, change)| Submission {
        change: change
            .map(|(action, changed_at)| Change {
                key: DocumentKey {
                    type_name: type_name.clone(),
                    id: DocumentId::new(&id).unwrap(),
                },
                action,
                changed_at: changed_at.map(|ms| Timestamp::from_ms(ms).unwrap()),
            })
            .map_err(|code| Rejection::new(code, "no")),
        type_name,
        id,
    })
}

fn policies() -> impl Strategy<Value = Option<Policy>> {
    option::of(prop_oneof![
        Just(Policy::ServerWins),
        Just(Policy::ClientWins),
        Just(Policy::LastWriteWins),
        Just(Policy::Merge),
        Just(Policy::Manual),
        Just(Policy::Webhook),
    ])
}

fn pushes() -> impl Strategy<Value = Push> {
    (vec(submissions(), 0..4), any::<bool>(), policies()).prop_map(|(changes, atomic, policy)| {
        Push {
            client: None,
            changes,
            atomic,
            policy,
            epoch: None,
        }
    })
}

/// `==` treats -0.0 and 0.0 as equal; a text of the whole push does not.
fn reported(push: &Push) -> String {
    format!("{push:?}")
}

proptest! {
    #[test]
    fn two_pushes_have_one_hash_only_if_they_are_equal(a in pushes(), b in pushes()) {
        prop_assert_eq!(PushHash::of(&a) == PushHash::of(&b), reported(&a) == reported(&b));
    }

    #[test]
    fn any_single_difference_gives_another_hash(
        push in pushes(),
        other in submissions(),
        action in actions(),
        at in any::<Index>(),
        policy in policies(),
    ) {
        let mut differing = vec![
            Push { atomic: !push.atomic, ..push.clone() },
            Push { policy, ..push.clone() },
        ];
        let mut edit = |edit: &dyn Fn(&mut Vec<Submission>)| {
            let mut edited = push.clone();
            edit(&mut edited.changes);
            differing.push(edited);
        };
        edit(&|changes| changes.insert(at.index(changes.len() + 1), other.clone()));
        edit(&|changes| changes.reverse());
        edit(&|changes| drop(changes.pop()));
        if !push.changes.is_empty() {
            let at = at.index(push.changes.len());
            edit(&|changes| changes[at].id.push('z'));
            edit(&|changes| changes[at].type_name = TypeName::new("D").unwrap());
            edit(&|changes| if let Ok(change) = &mut changes[at].change { change.changed_at = Some(Timestamp::EPOCH.plus_ms(7)) });
            edit(&|changes| if let Ok(change) = &mut changes[at].change { change.action = action.clone() });
            edit(&|changes| if let Ok(change) = &mut changes[at].change { touch(&mut change.action) });
        }
        for other in differing {
            prop_assert_eq!(PushHash::of(&push) == PushHash::of(&other), reported(&push) == reported(&other));
        }
    }

    /// A retry comes with the ids that it had. Its client and its epoch are compared separately.
    #[test]
    fn who_sends_a_push_is_not_in_its_hash(push in pushes()) {
        let client = PushClient { id: ClientId::new("phone").unwrap(), first: Some(MutationId(1)) };
        let sent = Push { client: Some(client), epoch: Epoch::new("e").ok(), ..push.clone() };
        prop_assert_eq!(PushHash::of(&sent), PushHash::of(&push));
    }

    /// The message of a rejection may differ between releases.
    #[test]
    fn a_change_that_could_not_be_read_counts_by_its_code(push in pushes()) {
        let mut reworded = push.clone();
        for item in &mut reworded.changes {
            if let Err(rejection) = &mut item.change {
                *rejection = Rejection::of_field(rejection.code, "f", "otherwise");
            }
        }
        prop_assert_eq!(PushHash::of(&reworded), PushHash::of(&push));
    }
}

/// The smallest difference: a field that is null where it was absent.
fn touch(action: &mut Action) {
    let null = || ("d".to_owned(), Value::Null);
    match action {
        Action::Create { document, .. } => document.extend([null()]),
        Action::Update { seen, .. } => seen.get_or_insert_default().extend([null()]),
        Action::Delete { base } => base.0 += 1,
    }
}

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") {
  id: ID! title: String done: Boolean spent: Long price: Decimal due: DateTime weight: Float scan: Bytes parts: [Part!] more: JSON
}
type Part { code: ID count: Int }
"#;

/// A push with every kind of value, read from the text of its document.
fn example(document: &str) -> Push {
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let fields = serde_json::from_str(document).unwrap();
    let document = decode_fields(&model, &model.types[0].fields, fields).unwrap();
    let key = DocumentKey {
        type_name: TypeName::new("Task").unwrap(),
        id: DocumentId::new("1").unwrap(),
    };
    let submission = |action| Submission {
        type_name: key.type_name.clone(),
        id: "1".to_owned(),
        change: Ok(Change {
            key: key.clone(),
            action,
            changed_at: Some(Timestamp::EPOCH),
        }),
    };
    let base = BaseVersion(1);
    let rejected = Submission {
        change: Err(Rejection::new(
            RejectionCode::InvalidId,
            "the words do not count",
        )),
        ..submission(Action::Delete { base })
    };
    Push {
        client: None,
        changes: vec![
            submission(Action::Create {
                document: document.clone(),
                base: None,
            }),
            submission(Action::Update {
                base,
                set: document,
                seen: Some(Document::new()),
            }),
            submission(Action::Delete { base }),
            rejected,
        ],
        atomic: true,
        policy: Some(Policy::Merge),
        epoch: None,
    }
}

const DOCUMENT: &str = r#"{"title": "ü\u0000", "done": false, "spent": "-9223372036854775808", "price": "-0E+3",
    "due": "1969-12-31T23:59:59.999Z", "weight": -0.0, "scan": "AP8=", "parts": [{"code": "", "count": null}],
    "more": {"b": [1, 1.5, true], "a": null}}"#;

const SHUFFLED: &str = r#"{"more": {"a": null, "b": [1, 1.5, true]}, "parts": [{"count": null, "code": ""}], "scan": "AP8=",
    "weight": -0.0, "due": "1970-01-01T00:59:59.999+01:00", "price": "-00e3", "spent": -9223372036854775808, "done": false, "title": "ü\u0000"}"#;

#[test]
fn neither_the_order_of_fields_nor_the_spelling_of_a_value_is_in_the_hash() {
    assert_eq!(
        PushHash::of(&example(DOCUMENT)),
        PushHash::of(&example(SHUFFLED))
    );
}

/// A retry may come after the gateway was upgraded. If this fails, pushes that are under way at the upgrade are refused with
/// MUTATION_ID_REUSED: keep the old hash beside the new one instead of changing the number here.
#[test]
fn the_hash_of_a_push_is_the_same_in_every_release() {
    let PushHash(hash) = PushHash::of(&example(DOCUMENT));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hash,
        "3d161de9e2dae0429e5975f696f6c80c4e9411fbc5278087df51e0626d2bf19d"
    );
}
