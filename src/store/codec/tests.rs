use proptest::{collection::btree_map, option, prelude::*};
use tidegate_core::view::{RecordView, ValueView};

use super::{value::tests::arbitrary_body, *};

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9:/$.äß-]{1,12}", "[^\\x00]{1,20}", "ü{128}"]
}

fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (-62_167_219_200_000_i64..=253_402_300_799_999),
        Just(-1),
        Just(0)
    ]
    .prop_map(|ms| Timestamp::from_ms(ms).unwrap())
}

fn writers() -> impl Strategy<Value = Writer> {
    (
        option::of(name()),
        option::of(name()),
        instants(),
        option::of(any::<i32>()),
    )
        .prop_map(|(user, client, edited_at, mutation)| Writer {
            user: user.map(|user| UserId::new(&user).unwrap()),
            client: client.map(|client| ClientId::new(&client).unwrap()),
            edited_at,
            mutation: mutation.map(MutationId),
        })
}

fn memberships() -> impl Strategy<Value = Membership> {
    (
        name(),
        name(),
        prop_oneof![Just("READ"), Just("WRITE"), Just("ADMIN"), Just("a:b")],
        option::of(name()),
        instants(),
    )
        .prop_map(|(user, scope, role, giver, since)| Membership {
            user: UserId::new(&user).unwrap(),
            scope: Scope::new(&scope).unwrap(),
            role: Role::of(role).unwrap(),
            giver: giver.map(|giver| UserId::new(&giver).unwrap()),
            since,
        })
}

prop_compose! {
    fn entries()(
        (type_name, id, scope) in (name(), name(), name()),
        (version, began, run) in (any::<i32>(), any::<i32>(), any::<i32>()),
        field_versions in btree_map(name(), any::<i32>().prop_map(Version), 0..4),
        writers in btree_map(any::<i32>().prop_map(Version), writers(), 0..4),
        body in option::of(arbitrary_body()),
        withheld in any::<bool>(),
        at in instants(),
        membership in option::of(memberships()),
    ) -> Entry {
        Entry {
            key: DocumentKey {
                type_name: TypeName::new(&type_name).unwrap(),
                id: DocumentId::new(&id).unwrap(),
            },
            scope: Scope::new(&scope).unwrap(),
            version: Version(version),
            began: Version(began),
            run: Version(run),
            field_versions,
            writers,
            body,
            withheld,
            at,
            membership,
        }
    }
}

/// All that a record offers, as text.
fn parts(record: &impl RecordView) -> String {
    format!(
        "{} {} {} {} {} {:?} {:?}",
        record.type_name(),
        record.id(),
        record.scope(),
        record.version(),
        record.changed_at(),
        record.kind(),
        record.body().map(tree),
    )
}

/// Each field is found by its name, too.
fn tree<'v, V: ValueView<'v>>(value: V) -> String {
    let items = value.items().unwrap().map(|item| tree(item.unwrap()));
    let fields: Vec<(&str, V)> = value.fields().unwrap().map(Result::unwrap).collect();
    let wanted: Vec<Box<str>> = fields.iter().map(|(name, _)| (*name).into()).collect();
    let found = value.find(&wanted).unwrap().into_iter();
    let fields = wanted.iter().zip(found.map(|value| tree(value.unwrap())));
    let (items, fields): (Vec<_>, Vec<_>) = (items.collect(), fields.collect());
    format!("{:?} {items:?} {fields:?}", value.see().unwrap())
}

proptest! {
    #[test]
    fn a_feed_item_is_read_as_it_was_written(entry in entries(), seq in any::<i64>()) {
        let marker = Record::Marker(Marker {
            key: entry.key.clone(),
            scope: entry.scope.clone(),
            version: entry.version,
            at: entry.at,
        });
        for record in [Record::Entry(Arc::new(entry)), marker] {
            let item = FeedItem { seq: Seq(seq), record };
            let bytes = encode_item(&item).unwrap();
            prop_assert_eq!(seq_of(&bytes).unwrap(), item.seq);
            let walked: Vec<_> = RawElements::of(&bytes).unwrap().map(Result::unwrap).collect();
            let walked = walked.iter().map(|found| (found.name().unwrap(), found.kind));
            let raw = RawDocument::from_bytes(&bytes).unwrap();
            let read = raw.iter_elements().map(Result::unwrap);
            let read: Vec<_> = read.map(|it| (it.key().as_str(), it.element_type())).collect();
            prop_assert!(walked.eq(read));
            prop_assert_eq!(decode_item(&bytes).unwrap(), item);
        }
    }

    #[test]
    fn a_record_offers_the_parts_of_what_was_stored(entry in entries()) {
        let record = Record::Entry(Arc::new(entry.clone()));
        let bytes = encode_item(&FeedItem { seq: Seq(1), record }).unwrap();
        prop_assert_eq!(parts(&StoredView::read(&bytes).unwrap()), parts(&entry));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_without_a_panic(
        entry in entries(),
        cut in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let item = FeedItem { seq: Seq(1), record: Record::Entry(Arc::new(entry)) };
        let mut bytes = encode_item(&item).unwrap();
        let at = cut.index(bytes.len());
        prop_assert!(decode_item(&bytes[..at]).is_err());
        prop_assert!(seq_of(&bytes[..at]).is_err());
        bytes[at] ^= flip;
        let _: Result<FeedItem, CodecError> = decode_item(&bytes);
        if let Ok(walked) = RawElements::of(&bytes) {
            walked.for_each(drop);
        }
    }
}
