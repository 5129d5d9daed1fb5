//! What an importer decides without IO: which types need a scan, in which order, and whether what is missing is deleted.

use sha2::{Digest, Sha256};
use tidegate_core::{
    model::{DocumentType, Field, Model},
    mutant::{Mutant, is_active},
};

use crate::store::collections::{CollectionId, HeldType, TypeImport};

/// So many documents may be missing without a question. Beyond them a tenth of the type is the bound.
pub(super) const MISSING_MAX: u64 = 1_000;

/// The types in the order in which they are imported: memberships first, since they open scopes.
pub(in crate::sync) fn ranked(model: &Model) -> impl Iterator<Item = &DocumentType> {
    let of = |memberships: bool| {
        let types = model.types.iter().map(AsRef::as_ref);
        types.filter(move |it: &&DocumentType| it.membership.is_some() == memberships)
    };
    of(true).chain(of(false))
}

/// Whether the collection of a type has to be compared with the feed. A held type has other reasons to be.
pub(super) fn needs_scan(
    record: Option<&TypeImport>,
    present: Option<&CollectionId>,
    shape: &str,
) -> bool {
    record.is_none_or(|record| {
        record.scan.is_some() || record.shape != shape || record.collection.as_ref() != present
    })
}

/// What becomes of documents that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are deleted.
    Delete,
    /// Nobody has said that they are deleted (rules.md 8.6).
    Hold,
}

/// Judges what a scan found missing.
pub(super) fn judge(found: HeldType, has_collection: bool, accepts_deletes: bool) -> Verdict {
    let is_much = found.missing > MISSING_MAX && found.missing > found.expected / 10;
    let is_doubtful = found.missing > 0 && (is_much || !has_collection);
    match is_doubtful && !accepts_deletes && !is_active(Mutant::NothingHeld) {
        true => Verdict::Hold,
        false => Verdict::Delete,
    }
}

/// Whether a collection of so many documents may again have what was missing.
pub(super) fn may_be_back(documents: u64, held: HeldType) -> bool {
    let tolerated = MISSING_MAX.max(held.expected / 10);
    documents.saturating_add(tolerated) >= held.expected
}

/// A fingerprint of what the model says of a type's documents. Another one leads to a scan, which compares them again.
pub(super) fn shape(model: &Model, document_type: &DocumentType) -> String {
    let mut text = format!(
        "{} {:?} {:?} {:?}",
        document_type.collection,
        document_type.id_type,
        document_type.scope,
        document_type.membership
    );
    describe(&mut text, &document_type.fields);
    for embedded in model.embedded.values() {
        describe(&mut text, &embedded.fields);
    }
    for values in model.enums.values() {
        let names = values.values.iter().map(|value| &value.name);
        text.extend(names.map(|name| format!(" {name}")));
    }
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(text: &mut String, fields: &[Field]) {
    text.push('{');
    for field in fields {
        let described = (&field.name, &field.stored_as, &field.ty, &field.default);
        text.push_str(&format!("{described:?}"));
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections::TypeScan;

    const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{list}") { id: ID! list: String! title: String place: Place }
type Member @collection(name: "members") @scope(by: "{list}") @grants(scope: "{list}", to: "{user}", access: "READ") { id: ID! list: String! user: String! }
type Place { x: Int }
"#;

    fn model(text: &str) -> Model {
        Model::parse("model.graphql", text).unwrap()
    }

    #[test]
    fn memberships_are_imported_first() {
        let model = model(MODEL);
        let names: Vec<&str> = ranked(&model).map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["Member", "Task"]);
    }

    #[test]
    fn a_type_is_scanned_if_it_is_new_replaced_changed_or_unfinished() {
        let id = CollectionId("a".to_owned());
        let done = TypeImport {
            collection: Some(id.clone()),
            shape: "s".to_owned(),
            ..TypeImport::default()
        };
        let unfinished = TypeImport {
            scan: Some(TypeScan::default()),
            ..done.clone()
        };
        let other = CollectionId("b".to_owned());
        assert!(!needs_scan(Some(&done), Some(&id), "s"));
        assert!(needs_scan(None, Some(&id), "s"));
        assert!(needs_scan(Some(&done), Some(&other), "s"));
        assert!(needs_scan(Some(&done), None, "s"));
        assert!(needs_scan(Some(&done), Some(&id), "t"));
        assert!(needs_scan(Some(&unfinished), Some(&id), "s"));
    }

    #[test]
    fn more_than_a_thousand_and_a_tenth_is_held_and_so_is_all_of_a_missing_collection() {
        let found = |missing, expected| HeldType { missing, expected };
        let judged = |missing, expected| judge(found(missing, expected), true, false);
        assert_eq!(judged(1_000, 1_000), Verdict::Delete);
        assert_eq!(judged(1_001, 1_001), Verdict::Hold);
        assert_eq!(judged(1_001, 10_010), Verdict::Delete);
        assert_eq!(judged(1_002, 10_010), Verdict::Hold);
        assert_eq!(judge(found(1, 1), false, false), Verdict::Hold);
        assert_eq!(judge(found(0, 0), false, false), Verdict::Delete);
        assert_eq!(judge(found(5_000, 5_000), false, true), Verdict::Delete);
        assert!(!may_be_back(8_999, found(9_000, 100_000)));
        assert!(may_be_back(90_000, found(20_000, 100_000)));
        assert!(may_be_back(0, found(5, 5)));
    }

    #[test]
    fn the_shape_of_a_type_follows_what_is_stored_and_who_sees_it_and_no_descriptions() {
        let of = |text: &str| shape(&model(text), model(text).document_type("Task").unwrap());
        let before = of(MODEL);
        let described = MODEL.replace("title: String", "\"The title.\" title: String");
        assert_eq!(of(&described), before);
        for (old, new) in [
            ("\"tasks\"", "\"todos\""),
            ("title: String", "title: String!"),
            ("title: String", "title: String @stored(as: \"t\")"),
            ("title: String", "title: Int"),
            ("x: Int", "x: Float"),
            (
                "type Task @collection(name: \"tasks\") @scope(by: \"{list}\")",
                "type Task @collection(name: \"tasks\") @scope(by: \"l:{list}\")",
            ),
        ] {
            let changed = MODEL.replacen(old, new, 1);
            assert_ne!(changed, MODEL);
            assert_ne!(of(&changed), before, "{new}");
        }
    }
}
