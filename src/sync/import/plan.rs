//! What an importer decides without IO: which types need a scan, in which order, and whether what is missing is deleted.

use tidegate_core::{
    model::{DocumentType, Model},
    mutant::{Mutant, is_active},
};

use crate::store::collections::{CollectionId, HeldType, TypeImport};

/// So many documents of the collection that was imported may be missing without a question. Beyond them, and in another
/// collection, a tenth of the type is the bound.
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
        let reads_otherwise = record.shape != shape && !is_active(Mutant::LeadUnscanned);
        record.scan.is_some() || reads_otherwise || record.collection.as_ref() != present
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

/// Which collection a type has now, beside the one that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CollectionNow {
    /// It is the one that was imported, or none was.
    Same,
    /// It was made again, or replaced.
    Another,
    /// It is missing.
    Missing,
}

impl CollectionNow {
    pub(super) fn of(imported: Option<&CollectionId>, present: Option<&CollectionId>) -> Self {
        match (imported, present) {
            (_, None) => Self::Missing,
            (Some(imported), Some(present)) if imported != present => Self::Another,
            _ => Self::Same,
        }
    }

    /// So many documents may be missing without a question.
    fn tolerated(self, expected: u64) -> u64 {
        match self {
            Self::Same => MISSING_MAX.max(expected / 10),
            Self::Another => expected / 10,
            Self::Missing => 0,
        }
    }
}

/// Judges what a scan found missing. A collection that was made again may still be being filled: nothing is deleted
/// before it `is_settled`.
pub(super) fn judge(
    found: HeldType,
    now: CollectionNow,
    is_settled: bool,
    accepts_deletes: bool,
) -> Verdict {
    let may_be_filled = now == CollectionNow::Another && !is_settled && found.missing > 0;
    let is_doubtful = may_be_filled || found.missing > now.tolerated(found.expected);
    match is_doubtful && !accepts_deletes && !is_active(Mutant::NothingHeld) {
        true => Verdict::Hold,
        false => Verdict::Delete,
    }
}

/// Whether a collection of so many documents may again have what was missing.
pub(super) fn may_be_back(documents: u64, held: HeldType, now: CollectionNow) -> bool {
    let tolerated = now.tolerated(held.expected);
    documents.saturating_add(tolerated) >= held.expected
}

#[cfg(test)]
mod tests {
    use tidegate_core::generation::reading;

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
    fn what_is_missing_is_held_beyond_a_tenth_and_beyond_a_thousand_of_the_same_collection() {
        let found = |missing, expected| HeldType { missing, expected };
        for (missing, expected, now, verdict) in [
            (1_000, 1_000, CollectionNow::Same, Verdict::Delete),
            (1_001, 1_001, CollectionNow::Same, Verdict::Hold),
            (1_001, 10_010, CollectionNow::Same, Verdict::Delete),
            (1_002, 10_010, CollectionNow::Same, Verdict::Hold),
            (1, 10, CollectionNow::Another, Verdict::Delete),
            (2, 10, CollectionNow::Another, Verdict::Hold),
            (1, 1, CollectionNow::Missing, Verdict::Hold),
            (0, 0, CollectionNow::Missing, Verdict::Delete),
        ] {
            let found = found(missing, expected);
            assert_eq!(judge(found, now, true, false), verdict, "{found:?} {now:?}");
            assert_eq!(
                judge(found, now, false, true),
                Verdict::Delete,
                "an operator accepts it"
            );
        }
        let filled = judge(found(1, 10), CollectionNow::Another, false, false);
        assert_eq!(filled, Verdict::Hold, "it may still be filled");
        let back = |documents, held| may_be_back(documents, held, CollectionNow::Same);
        assert!(!back(8_999, found(9_000, 100_000)));
        assert!(back(90_000, found(20_000, 100_000)));
    }

    #[test]
    fn a_collection_is_another_one_only_beside_one_that_was_imported() {
        let (a, b) = (CollectionId("a".to_owned()), CollectionId("b".to_owned()));
        let of = CollectionNow::of;
        assert_eq!(of(Some(&a), Some(&a)), CollectionNow::Same);
        assert_eq!(of(None, Some(&a)), CollectionNow::Same);
        assert_eq!(of(Some(&a), Some(&b)), CollectionNow::Another);
        assert_eq!(of(Some(&a), None), CollectionNow::Missing);
        assert_eq!(of(None, None), CollectionNow::Missing);
    }

    #[test]
    fn the_shape_of_a_type_follows_what_is_stored_and_who_sees_it_and_no_descriptions() {
        let of = |text: &str| reading(&model(text), model(text).document_type("Task").unwrap());
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
