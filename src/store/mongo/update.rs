//! The application's documents, written by the model. Of an existing document, only the difference is written.
//!
//! Fields that the model does not name are never touched. [`super::document`] reads documents.

use std::{borrow::Cow, collections::HashMap};

use mongodb::bson::{
    DateTime, RawArrayBuf, RawBson, RawDocument, RawDocumentBuf,
    raw::{CString, RawBsonRef, cstr},
};
use tidegate_core::{
    transaction::Misfit,
    value::{
        Document, Value, date,
        fit::without_unfit,
        origin::{self, Origin},
    },
};

use super::{
    items::StoredItems,
    layout::{DateForm, FieldKind, FieldLayout, ModelLayout, TypeLayout, id_to_bson},
};
use crate::store::codec::{self, CodecError};

/// The update that makes a stored document agree with an entry.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DocumentUpdate {
    pub(super) set: RawDocumentBuf,
    pub(super) unset: Vec<CString>,
    /// The number that rises by one.
    pub(super) raise: Option<CString>,
    /// Whether a field changes that holds a list, or held one.
    pub(super) changes_list: bool,
}

impl DocumentUpdate {
    pub(super) fn is_empty(&self) -> bool {
        self.unset.is_empty() && self.set.iter().next().is_none()
    }

    /// The update as MongoDB takes it.
    pub(super) fn operators(&self) -> RawDocumentBuf {
        let mut update = RawDocumentBuf::new();
        if self.set.iter().next().is_some() {
            update.append(cstr!("$set"), self.set.clone());
        }
        if !self.unset.is_empty() {
            let mut names = RawDocumentBuf::new();
            for name in &self.unset {
                names.append(name, "");
            }
            update.append(cstr!("$unset"), names);
        }
        if let Some(name) = &self.raise {
            let mut names = RawDocumentBuf::new();
            names.append(name, 1_i32);
            update.append(cstr!("$inc"), names);
        }
        update
    }

    fn note_list(&mut self, value: RawBsonRef<'_>) {
        self.changes_list |= holds_list(value);
    }
}

/// Whether a value is a list or holds one.
fn holds_list(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Array(_) => true,
        RawBsonRef::Document(document) => {
            let mut elements = document.into_iter().flatten();
            elements.any(|(_, value)| holds_list(value))
        }
        _ => false,
    }
}

impl ModelLayout {
    /// Appends a new document after its id.
    ///
    /// # Errors
    /// [`CodecError`] when a name inside contains U+0000.
    pub(super) fn write(
        &self,
        fields: &[FieldLayout],
        id: RawBson,
        body: &Document,
    ) -> Result<RawDocumentBuf, CodecError> {
        let writer = Writer {
            layout: self,
            items: &StoredItems::default(),
        };
        let mut written = RawDocumentBuf::new();
        written.append(cstr!("_id"), id);
        writer.append(fields, body, None, &mut written)?;
        Ok(written)
    }

    /// The difference between a stored document and `body`, field by field. Content that others keep inside a field, in
    /// an embedded document or in an item of a list, is kept with the field: with the item that has its mark.
    ///
    /// # Errors
    /// [`CodecError`] when a name inside contains U+0000.
    #[cfg(test)]
    pub(super) fn difference(
        &self,
        fields: &[FieldLayout],
        stored: &RawDocument,
        body: &Document,
    ) -> Result<DocumentUpdate, CodecError> {
        self.difference_without(&[], fields, stored, body)
    }

    /// The same without the fields that stay as they are.
    fn difference_without(
        &self,
        kept: &[(&FieldLayout, Misfit)],
        fields: &[FieldLayout],
        stored: &RawDocument,
        body: &Document,
    ) -> Result<DocumentUpdate, CodecError> {
        let writer = Writer {
            layout: self,
            items: &self.items(fields, stored),
        };
        let mut difference = DocumentUpdate::default();
        let stays = |field: &FieldLayout| {
            kept.iter()
                .any(|(kept, _)| kept.stored_as == field.stored_as)
        };
        for field in fields.iter().filter(|field| !stays(field)) {
            let name = field.stored_as.as_str();
            let earlier = field.stored_before.as_ref();
            if let Some(earlier) = earlier.filter(|earlier| has(stored, earlier)) {
                difference.unset.push(earlier.clone());
            }
            let before = field.find(stored)?;
            match (before, body.get(name)) {
                (before, Some(value))
                    if !has(stored, &field.stored_as)
                        || !writer.holds_already(field, before, value) =>
                {
                    let written = writer.value(&field.holds, value, before)?;
                    before.into_iter().for_each(|it| difference.note_list(it));
                    difference.note_list(written.as_raw_bson_ref());
                    difference.set.append(&field.stored_as, written);
                }
                (Some(before), None) if has(stored, &field.stored_as) => {
                    difference.note_list(before);
                    difference.unset.push(field.stored_as.clone());
                }
                _ => {}
            }
        }
        Ok(difference)
    }

    /// What is written of a body: all but the values that are shown as null because they do not fit.
    pub(super) fn shown<'b>(&self, of: &TypeLayout, body: &'b Document) -> Cow<'b, Document> {
        let shown = without_unfit(&self.model, &of.modelled.fields, body);
        shown.map_or(Cow::Borrowed(body), Cow::Owned)
    }

    /// The difference between a document of a type and `body`. What is shown as null because it does not fit stays, unless
    /// the body has a value in its place.
    ///
    /// # Errors
    /// [`CodecError`] when a name inside contains U+0000.
    pub(super) fn update(
        &self,
        of: &TypeLayout,
        stored: &RawDocument,
        body: &Document,
    ) -> Result<DocumentUpdate, CodecError> {
        let mut kept = self.nulled(of, stored);
        kept.retain(|(field, _)| !body.contains_key(field.stored_as.as_str()));
        self.difference_without(&kept, &of.fields, stored, body)
    }
}

/// Writes values over what is stored.
struct Writer<'w> {
    layout: &'w ModelLayout,
    /// The stored documents inside of it with others' content.
    items: &'w StoredItems<'w>,
}

impl Writer<'_> {
    /// Whether a stored field is `value`, with the same items at their places.
    fn holds_already(
        &self,
        field: &FieldLayout,
        before: Option<RawBsonRef<'_>>,
        value: &Value,
    ) -> bool {
        let read = |before| self.layout.read_value(&field.holds, before, 0).ok();
        let Some(mut before) = before.and_then(read) else {
            return false;
        };
        if let Some(marks) = self.items.marks.get(field.stored_as.as_str()) {
            origin::mark_value(marks, &mut before);
        }
        self.layout.is_identical(&field.holds, &before, value)
    }

    /// Appends the fields of `body`: those that are stored in their places, among what others have there, and then the
    /// others.
    fn append(
        &self,
        fields: &[FieldLayout],
        body: &Document,
        before: Option<&RawDocument>,
        written: &mut RawDocumentBuf,
    ) -> Result<(), CodecError> {
        for element in before.into_iter().flatten() {
            let (name, raw) = element?;
            match fields.iter().find(|field| field.has_name(name.as_str())) {
                None => written.append(name, raw),
                Some(field) if field.stored_as.as_str() == name.as_str() => {
                    self.append_field(field, body, Some(raw), written)?;
                }
                Some(_) => {}
            }
        }
        let is_new = |field: &&FieldLayout| before.is_none_or(|it| !has(it, &field.stored_as));
        for field in fields.iter().filter(is_new) {
            let before = before.and_then(|before| field.find(before).ok().flatten());
            self.append_field(field, body, before, written)?;
        }
        Ok(())
    }

    fn append_field(
        &self,
        field: &FieldLayout,
        body: &Document,
        before: Option<RawBsonRef<'_>>,
        written: &mut RawDocumentBuf,
    ) -> Result<(), CodecError> {
        if let Some(value) = body.get(field.stored_as.as_str()) {
            let value = self.value(&field.holds, value, before)?;
            written.append(&field.stored_as, value);
        }
        Ok(())
    }

    /// A value over the one before it. A scalar that is stored as another type, and read as this value, stays as it is.
    fn value(
        &self,
        holds: &FieldKind,
        value: &Value,
        before: Option<RawBsonRef<'_>>,
    ) -> Result<RawBson, CodecError> {
        match (holds, value) {
            (FieldKind::Embedded(name), Value::Object(document)) => {
                let mut written = RawDocumentBuf::new();
                let fields = self.layout.embedded(name);
                let before = self.before(fields, document, before);
                self.append(fields, document, before, &mut written)?;
                Ok(RawBson::Document(written))
            }
            (FieldKind::List(item), Value::List(values)) => {
                self.list(item, values, before).map(RawBson::Array)
            }
            (holds, value) => {
                let same = before.filter(|before| self.reads_as(holds, *before, value));
                same.map_or_else(|| written_anew(holds, value), |before| Ok(before.into()))
            }
        }
    }

    /// What an embedded document or an item is written over: the stored one of its mark, or the one at its place in which
    /// others have nothing. Without a mark it is a new one.
    fn before<'r>(
        &'r self,
        fields: &[FieldLayout],
        document: &Document,
        at_its_place: Option<RawBsonRef<'r>>,
    ) -> Option<&'r RawDocument> {
        let marked = Origin::of(document).and_then(|mark| self.items.get(mark));
        let plain = || {
            let before = at_its_place.and_then(RawBsonRef::as_document);
            before.filter(|before| !self.layout.has_foreign(fields, before))
        };
        marked.or_else(plain)
    }

    /// An item without a mark is a new one, or is equal to a stored one in which others have nothing.
    fn list(
        &self,
        item: &FieldKind,
        values: &[Value],
        before: Option<RawBsonRef<'_>>,
    ) -> Result<RawArrayBuf, CodecError> {
        let mut plain = self.plain_items(item, before)?;
        let mut written = RawArrayBuf::new();
        for value in values {
            let equal = plain.get_mut(&spelled(value)).and_then(Vec::pop);
            written.push(self.value(item, value, equal)?);
        }
        Ok(written)
    }

    /// The stored documents of a list in which others have nothing, by what they say.
    fn plain_items<'r>(
        &self,
        item: &FieldKind,
        before: Option<RawBsonRef<'r>>,
    ) -> Result<HashMap<String, Vec<RawBsonRef<'r>>>, CodecError> {
        let before = before.and_then(RawBsonRef::as_array);
        let (Some(before), FieldKind::Embedded(name)) = (before, item) else {
            return Ok(HashMap::new());
        };
        let fields = self.layout.embedded(name);
        let mut plain: HashMap<String, Vec<RawBsonRef<'r>>> = HashMap::new();
        for raw in before {
            let raw = raw?;
            let document = raw.as_document();
            let is_plain = document.is_some_and(|it| !self.layout.has_foreign(fields, it));
            if let Ok(value) = self.layout.read_value(item, raw, 0)
                && is_plain
            {
                plain.entry(spelled(&value)).or_default().push(raw);
            }
        }
        Ok(plain)
    }

    fn reads_as(&self, holds: &FieldKind, stored: RawBsonRef<'_>, value: &Value) -> bool {
        let read = self.layout.read_value(holds, stored, 0);
        read.is_ok_and(|read| self.layout.is_identical(holds, &read, value))
    }
}

/// A value of a scalar, as the gateway stores it.
fn written_anew(holds: &FieldKind, value: &Value) -> Result<RawBson, CodecError> {
    match (holds, value) {
        (FieldKind::Id(id_type), Value::String(id)) => {
            let id_as_kept = id_to_bson(*id_type, id);
            Ok(id_as_kept.unwrap_or_else(|| RawBson::String(id.clone())))
        }
        (FieldKind::Date(DateForm::Midnight), Value::String(day)) => {
            let begins = date::beginning(day);
            Ok(begins.map_or_else(
                || RawBson::String(day.clone()),
                |begins| RawBson::DateTime(DateTime::from_millis(begins.ms())),
            ))
        }
        (_, value) => codec::encode_value(value),
    }
}

/// A text that only identical values have.
fn spelled(value: &Value) -> String {
    format!("{value:?}")
}

fn has(stored: &RawDocument, name: &CString) -> bool {
    matches!(stored.get(name.as_str()), Ok(Some(_)))
}

#[cfg(test)]
mod tests;
