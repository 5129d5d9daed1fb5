//! What the floor writes: documents as the gateway stores them, and feed entries as large as the gateway's.
//!
//! `push` says when and with what else they are written.

use mongodb::bson::{DateTime, RawDocumentBuf, rawdoc};

use crate::documents::{Edit, id, notes, retitled, title};

pub(super) fn document(edit: &Edit, scope: &str) -> RawDocumentBuf {
    let due = DateTime::from_millis(0);
    rawdoc! {
        "_id": id(edit.number), "audience": scope, "title": titled(edit), "notes": notes(edit.number),
        "done": edit.done(), "priority": "NORMAL", "labels": ["home", "shop"], "minutesSpent": 5, "due_at": due,
    }
}

fn titled(edit: &Edit) -> String {
    if edit.creates() {
        title(edit.number)
    } else {
        retitled(edit.number, edit.version)
    }
}

/// The statement that writes the edit into the stored document.
pub(super) fn update_of_document(edit: &Edit) -> RawDocumentBuf {
    rawdoc! {
        "q": {"_id": id(edit.number)},
        "u": {"$set": {"title": titled(edit), "done": edit.done()}},
    }
}

/// The statement that replaces the entry.
pub(super) fn replacement_of_entry(edit: &Edit, scope: &str, seq: i64) -> RawDocumentBuf {
    rawdoc! { "q": {"_id": entry_id(edit)}, "u": entry(edit, scope, seq) }
}

fn entry_id(edit: &Edit) -> String {
    format!("Task\0{}", id(edit.number))
}

/// Besides the document, an entry names the writer and version of each field.
pub(super) fn entry(edit: &Edit, scope: &str, seq: i64) -> RawDocumentBuf {
    let at = DateTime::from_millis(1);
    let version = edit.version;
    let writer =
        |version: i32| rawdoc! {"v": version, "e": at, "u": "user-1", "c": "device", "m": version};
    let mut writers = vec![writer(1)];
    if !edit.creates() {
        writers.push(writer(version));
    }
    rawdoc! {
        "_id": entry_id(edit), "t": "Task", "i": id(edit.number), "s": scope, "q": seq, "v": version, "at": at,
        "k": 1, "r": 1,
        "f": {
            "audience": 1, "title": version, "notes": 1, "done": version, "priority": 1, "labels": 1,
            "minutesSpent": 1, "due": 1,
        },
        "w": writers.into_iter().collect::<mongodb::bson::RawArrayBuf>(),
        "b": document(edit, scope),
    }
}
