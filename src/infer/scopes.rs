//! A proposal for who sees the documents of each type: by a field that names a tenant, a team or a user.

use super::{
    draft::{FieldDraft, Holds, ScopeDraft, TypeDraft},
    names::{folded, subject},
    values::IdValue,
};

/// What fields and types are called that say who sees a document, with the noun of the scope. The first one that a type
/// has is proposed: a tenant comes before a team, and a team before a user.
const NOUNS: [(&str, &str); 18] = [
    ("tenant", "tenant"),
    ("organization", "org"),
    ("organisation", "org"),
    ("org", "org"),
    ("workspace", "workspace"),
    ("company", "company"),
    ("account", "account"),
    ("team", "team"),
    ("crew", "crew"),
    ("group", "group"),
    ("user", "user"),
    ("owner", "user"),
    ("ownedby", "user"),
    ("creator", "user"),
    ("createdby", "user"),
    ("author", "user"),
    ("member", "user"),
    ("customer", "user"),
];

/// A field that may say who sees a document.
struct Candidate<'d> {
    /// The place of its noun; one by value alone comes after all others.
    rank: usize,
    noun: &'static str,
    field: &'d FieldDraft,
    reason: String,
}

/// Proposes a scope for each synced type, as far as one field is meant for it.
pub(super) fn propose(types: &mut [TypeDraft]) {
    for document_type in types {
        let scope = scope_of(document_type);
        if let Some(collection) = &mut document_type.collection {
            collection.scope = scope;
        }
    }
}

fn scope_of(document_type: &TypeDraft) -> ScopeDraft {
    let fields = document_type.fields.iter();
    let (mut usable, unusable): (Vec<_>, Vec<_>) = fields
        .filter_map(Candidate::of)
        .partition(|candidate| candidate.is_usable());
    usable.sort_by_key(|candidate| candidate.rank);
    let by_value_alone = |it: &Candidate<'_>| it.rank >= NOUNS.len();
    match &usable[..] {
        [first, second, ..] if by_value_alone(first) && second.noun == first.noun => {
            ScopeDraft::Ambiguous(usable.iter().map(Candidate::worded).collect())
        }
        [first, ..] => ScopeDraft::Proposed {
            noun: first.noun,
            template: format!("{}:{{{}}}", first.noun, first.field.name),
            reason: first.reason.clone(),
        },
        [] => match noun(&document_type.name) {
            Some((_, noun)) => ScopeDraft::Proposed {
                noun,
                template: format!("{noun}:{{id}}"),
                reason: "each document is in a scope of its own".to_owned(),
            },
            None if unusable.is_empty() => ScopeDraft::Undecided,
            None => ScopeDraft::Ambiguous(unusable.iter().map(Candidate::worded).collect()),
        },
    }
}

impl<'d> Candidate<'d> {
    fn of(field: &'d FieldDraft) -> Option<Self> {
        if !field.ids.iter().all(is_plain) || field.ids.is_empty() {
            return None;
        }
        let target = field.reference.as_ref().map(|it| it.target.as_str());
        let found = target.map(|target| format!("its values are found as _ids of {target}"));
        if let Some((rank, noun)) = noun(subject(&field.stored_as)) {
            let reason = found
                .map(|found| format!(", and {found}"))
                .unwrap_or_default();
            return Some(Self {
                rank,
                noun,
                field,
                reason: format!("`{}` says so by its name{reason}", field.name),
            });
        }
        let (rank, noun) = noun(target?)?;
        Some(Self {
            rank: NOUNS.len() + rank,
            noun,
            field,
            reason: format!("`{}`: {}", field.name, found?),
        })
    }

    /// A field of a scope is in every document, as one value.
    fn is_usable(&self) -> bool {
        let is_single = matches!(
            self.field.holds,
            Holds::Id(_) | Holds::Scalar("ID" | "String" | "Int" | "Long")
        );
        is_single && self.field.required && self.field.is_whole
    }

    fn worded(&self) -> String {
        let Self { noun, field, .. } = self;
        match &field.notes[..] {
            [] => format!("\"{noun}:{{{}}}\"", field.name),
            notes => format!("\"{noun}:{{{}}}\" ({})", field.name, notes.join("; ")),
        }
    }
}

/// The place of a noun, and what it is called in scopes.
fn noun(name: &str) -> Option<(usize, &'static str)> {
    let name = folded(name);
    let place = NOUNS.iter().position(|(noun, _)| *noun == name)?;
    Some((place, NOUNS[place].1))
}

/// Whether a value looks like an id, and not like a text that people read.
fn is_plain(id: &IdValue) -> bool {
    !matches!(id, IdValue::Text(text) if text.contains(char::is_whitespace))
}
