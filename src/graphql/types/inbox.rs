//! `SyncConflict` with its three sides, and its connection.

use std::sync::Arc;

use tidegate_core::{id::DocumentKey, inbox::OpenConflict, value::Document};

use super::{
    connection::{Connection, Listed, PageEnd, PageInfo},
    document::DocumentTypes,
};
use crate::{
    graphql::{
        render::{Text, document::Written},
        shape::{list, nullable, required},
        table::{Node, ObjectType},
    },
    sync::{InboxEntry, InboxPage},
};

pub(in crate::graphql) struct ConflictConnection;

impl Node for ConflictConnection {
    type Ref<'n> = &'n InboxPage;
}

impl Connection for ConflictConnection {
    type Item = SyncConflict;

    fn items<'n>(page: Self::Ref<'n>) -> Vec<&'n InboxEntry> {
        page.entries.iter().collect()
    }

    fn end<'n>(page: Self::Ref<'n>) -> PageEnd<'n> {
        PageEnd {
            has_next: page.has_more,
            cursor: page.end.as_deref(),
        }
    }
}

pub(in crate::graphql) struct SyncConflict;

impl Node for SyncConflict {
    type Ref<'n> = &'n InboxEntry;
}

impl Listed for SyncConflict {
    fn cursor(entry: Self::Ref<'_>) -> String {
        entry.cursor()
    }
}

impl<'e> From<&'e InboxEntry> for Written<'e> {
    fn from(entry: &'e InboxEntry) -> Self {
        let DocumentKey { type_name, id } = &entry.conflict.key;
        Self {
            type_name: type_name.as_str(),
            id: id.as_str(),
            version: entry.conflict.version,
        }
    }
}

pub(super) fn connection(
    documents: &Arc<DocumentTypes>,
    page_info: &Arc<ObjectType<PageInfo>>,
) -> ObjectType<ConflictConnection> {
    let conflict = Arc::new(conflict(documents));
    let edge = ObjectType::new("SyncConflictEdge", "A conflict and its place.");
    let edge = edge.cursor_and_node("SyncConflict", "The conflict.", &conflict);
    ObjectType::new(
        "SyncConflictConnection",
        "Some of the conflicts that you may resolve, the oldest first.",
    )
    .edges(
        "SyncConflictEdge",
        "The conflicts, each with its cursor.",
        edge,
    )
    .nodes("SyncConflict", "The conflicts.", &conflict, page_info)
}

fn conflict(documents: &Arc<DocumentTypes>) -> ObjectType<SyncConflict> {
    let model = documents.model();
    let conflict = ObjectType::<SyncConflict>::new(
        "SyncConflict",
        "A change that waits for a person to resolve it; the document stays as it is until then.",
    )
    .leaf("id", required("ID"), "What `resolveConflict` takes.", |entry, text| {
        text.string(entry.conflict.id.as_str());
    })
    .type_name("The document's type.", documents, |entry| entry.conflict.key.type_name.as_str())
    .leaf("documentId", required("ID"), "The document's id.", |entry, text| {
        text.string(entry.conflict.key.id.as_str());
    })
    .leaf("openedAt", required("DateTime"), "When the change arrived.", |entry, text| {
        text.instant(entry.conflict.opened_at);
    })
    .leaf("openedBy", required("ID"), "Who made the change.", |entry, text| {
        text.string(entry.conflict.opened_by.as_str());
    })
    .leaf("currentVersion", required("Int"), "The document's version now, what `resolveConflict` takes as `baseVersion`; 0 if nothing is left of it.", |entry, text| {
        text.json(&entry.version().0);
    })
    .leaf("fields", list("String"), "The fields in question; none if the change was a delete.", move |entry, text| {
        let OpenConflict { key, pending, .. } = &*entry.conflict;
        let fields = pending.fields.iter().map(String::as_str);
        match model.stored_type(&key.type_name) {
            Some(document_type) => text.strings(fields.map(|field| document_type.field_name(field))),
            None => text.strings(fields),
        }
    });
    let conflict = side(
        conflict,
        documents,
        "base",
        "The fields as the change had seen them, where it said so.",
        |entry| entry.conflict.pending.base.as_ref(),
    );
    let conflict = side(
        conflict,
        documents,
        "mine",
        "The fields as the change wanted them; null if it was a delete.",
        |entry| entry.conflict.pending.mine.document(),
    );
    let conflict = side(
        conflict,
        documents,
        "theirs",
        "The document that the change met; null if it had been deleted.",
        |entry| entry.conflict.theirs.as_ref(),
    );
    let documents = Arc::clone(documents);
    conflict.field(
        "current",
        nullable("SyncDocument"),
        "The document as it is now; null if it has been deleted.",
        move |field| {
            let plan = documents.compile(field);
            Arc::new(move |entry, text| text.optional_document(entry.entry.as_deref(), &plan))
        },
    )
}

/// One side of a conflict.
fn side(
    conflict: ObjectType<SyncConflict>,
    documents: &Arc<DocumentTypes>,
    name: &'static str,
    description: &'static str,
    of: fn(&InboxEntry) -> Option<&Document>,
) -> ObjectType<SyncConflict> {
    let documents = Arc::clone(documents);
    conflict.field(name, nullable("SyncState"), description, move |field| {
        let plan = documents.compile_states(field);
        Arc::new(move |entry, text| {
            let type_name = entry.conflict.key.type_name.as_str();
            let Some(side) = of(entry) else {
                return text.nothing();
            };
            let write = |text: &mut Text| text.state(side, type_name, &plan);
            text.shown(entry, write, Text::nothing)
        })
    })
}
