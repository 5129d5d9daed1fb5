//! `SyncPage` and `SyncChange`: what changed, and the client's position after it.

use std::sync::Arc;

use async_graphql::dynamic::TypeRef;
use tidegate_core::{digest::ScopeDigest, id::Scope, value::Timestamp, view::RecordHead};

use super::document::DocumentTypes;
use crate::{
    graphql::{
        enums,
        render::{RenderResult, RenderStop, Text},
        shape::{list, nullable, required},
        table::{Node, ObjectPlan, ObjectType},
    },
    sync::{ChangeText, ChangeView, Page, StoredChange},
};

/// The bytes of a change beside its stored document: names, punctuation.
const CHANGE_BYTES: usize = 128;

/// A page, and the time of its read.
pub(in crate::graphql) struct PageAnswer {
    pub(in crate::graphql) page: Page,
    pub(in crate::graphql) server_time: Timestamp,
}

impl PageAnswer {
    /// About how many bytes its text has.
    pub(in crate::graphql) fn text_bytes(&self) -> usize {
        let changes = &self.page.changes;
        let stored: usize = changes.iter().map(StoredChange::bytes).sum();
        stored + CHANGE_BYTES * (changes.len() + 4) + self.page.digest_bytes()
    }

    /// Writes the page. If a change is withheld and the checkpoint or digests stand before the changes, all is written
    /// again, with a checkpoint that names the change (rules.md 2.5a), and without the digest of its scope (2.10).
    pub(in crate::graphql) fn write(
        &self,
        plan: &ObjectPlan<SyncPage>,
        text: &mut Text,
    ) -> RenderResult {
        let begin = text.mark();
        plan.write(self, text)?;
        if self.page.take_stale() {
            text.rewind(&begin);
            plan.write(self, text)?;
        }
        Ok(())
    }
}

pub(in crate::graphql) struct SyncPage;

impl Node for SyncPage {
    type Ref<'n> = &'n PageAnswer;
}

struct SyncScopeDigest;

impl Node for SyncScopeDigest {
    type Ref<'n> = &'n (&'n Scope, ScopeDigest);
}

struct SyncChange;

impl Node for SyncChange {
    type Ref<'n> = &'n ChangeView<'n>;
}

pub(super) fn page(documents: &Arc<DocumentTypes>) -> ObjectType<SyncPage> {
    let documents = Arc::clone(documents);
    let (change, digest) = (Arc::new(change(&documents)), Arc::new(digest()));
    let (of_changes, of_digests) = (Arc::clone(&change), Arc::clone(&digest));
    ObjectType::<SyncPage>::new(
        "SyncPage",
        "Some changes, and where the client stands once it has applied them all in one transaction: `revokedScopes` first, then `changes` in order.",
    )
    .field("changes", list("SyncChange"), "The changes in order.", move |field| {
        let plan = Arc::new(of_changes.compile(field));
        Arc::new(move |answer, text| {
            let page = &answer.page;
            let changes = page.changes.iter();
            let changes = changes.filter_map(|change| Some((change, Content::of(change, &plan)?)));
            text.list(changes, |text, (change, content)| {
                if write(change, content, &plan, text)? || page.passes(change) {
                    page.withhold(change);
                }
                Ok(())
            })
        })
    })
    .of_type(&change)
    .leaf("checkpoint", required("Checkpoint"), "Where the client then stands.", |answer, text| {
        text.string(&answer.page.token());
    })
    .leaf("hasMore", required("Boolean"), "Whether there is more to read now; it alone says so.", |answer, text| {
        text.json(&answer.page.has_more);
    })
    .leaf("reset", required("Boolean"), "Whether continuity is broken: mark every document unseen, and remove those still unseen once `hasMore` is false.", |answer, text| {
        text.json(&answer.page.reset);
    })
    .leaf("revokedScopes", list("ID"), "Scopes you may no longer see: remove their documents.", |answer, text| {
        text.strings(answer.page.revoked.iter().map(|scope| scope.as_str()));
    })
    .field("digests", TypeRef::named_nn_list("SyncScopeDigest"), "What is live in each scope that you then have whole, as far as the gateway has counted it; null while there is more.", move |field| {
        let (names, plan) = (documents.names(field), of_digests.compile(field));
        Arc::new(move |answer, text| match answer.page.digests(|name| names.of(name.as_str()).to_owned()) {
            Some(digests) => text.list(&digests, |text, digest| plan.write(digest, text)),
            None => text.nothing(),
        })
    })
    .of_type(&digest)
    .leaf("epoch", required("ID"), "The identity of the store's history.", |answer, text| {
        text.string(answer.page.epoch().as_str());
    })
    .leaf("serverTime", required("DateTime"), "The gateway's clock.", |answer, text| {
        text.instant(answer.server_time);
    })
}

fn digest() -> ObjectType<SyncScopeDigest> {
    ObjectType::<SyncScopeDigest>::new(
        "SyncScopeDigest",
        "A number that differs if any live document of a scope differs, by its type, id and version.",
    )
    .leaf("scope", required("ID"), "The scope.", |(scope, _), text| {
        text.string(scope.as_str());
    })
    .leaf("digest", required("String"), "32 digits, base 16.", |(_, digest), text| {
        text.string(&digest.to_string());
    })
}

fn change(documents: &Arc<DocumentTypes>) -> ObjectType<SyncChange> {
    let of_documents = Arc::clone(documents);
    ObjectType::<SyncChange>::new(
        "SyncChange",
        "What became of one document, as far as you may see. A change whose version is not above your copy's is to be ignored.",
    )
    .type_name("The document's type.", documents, |change| change.type_name())
    .leaf("documentId", required("ID"), "The document's id.", |change, text| {
        text.string(change.id());
    })
    .leaf("kind", required("SyncChangeKind"), "The kind of the change.", |change, text| {
        text.string(enums::KIND.word(&change.kind()));
    })
    .leaf("version", required("Int"), "The version it speaks of.", |change, text| {
        text.json(&change.version().0);
    })
    .leaf("scope", required("ID"), "The scope it happened in.", |change, text| {
        text.string(change.scope());
    })
    .leaf("changedAt", required("DateTime"), "When the gateway made the change.", |change, text| {
        text.instant(change.changed_at());
    })
    .field("document", nullable("SyncDocument"), "The document, with UPSERT.", move |field| {
        let plan = of_documents.compile(field);
        Arc::new(move |change, text| text.document(change, &plan))
    })
}

/// What a change is written from.
enum Content<'c> {
    /// The text that another reader with the same plan has had.
    Text(ChangeText),
    Parts(ChangeView<'c>),
}

impl<'c> Content<'c> {
    /// `None` if the change cannot be read.
    fn of(change: &'c StoredChange, plan: &Arc<ObjectPlan<SyncChange>>) -> Option<Self> {
        match change.text(plan) {
            Some(known) => Some(Self::Text(known)),
            None => change.view().map(Self::Parts),
        }
    }
}

/// Writes a change. If its document cannot be shown, it is withheld (rules.md 8.8). Returns whether it is.
fn write(
    change: &StoredChange,
    content: Content<'_>,
    plan: &Arc<ObjectPlan<SyncChange>>,
    text: &mut Text,
) -> Result<bool, RenderStop> {
    let view = match content {
        Content::Text(known) => {
            text.raw(&known.json);
            return Ok(known.is_withheld);
        }
        Content::Parts(view) => view,
    };
    let begin = text.mark();
    let mut is_withheld = false;
    let revoke = |text: &mut Text| {
        is_withheld = true;
        plan.write(&view.withheld(), text)
    };
    text.shown(&view, |text| plan.write(&view, text), revoke)?;
    if let Some(whole) = text.whole_since(&begin) {
        change.keep_text(plan, whole, is_withheld);
    }
    Ok(is_withheld)
}
