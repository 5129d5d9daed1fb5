//! The application's documents, written by the model. Of an existing document, only the difference is written.
//!
//! Fields that the model does not name are never touched. [`super::document`] reads documents.

use mongodb::bson::{
    RawArrayBuf, RawBson, RawDocument, RawDocumentBuf,
    raw::{CString, RawBsonRef, cstr},
};
use tidegate_core::value::{Document, Value};

use super::layout::{FieldKind, FieldLayout, ModelLayout, id_to_bson};
use crate::store::codec::{self, CodecError};

/// The update that makes a stored document agree with an entry.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DocumentUpdate {
    pub(super) set: RawDocumentBuf,
    pub(super) unset: Vec<CString>,
}

impl DocumentUpdate {
    pub(super) fn is_empty(&self) -> bool {
        self.unset.is_empty() && self.set.iter().next().is_none()
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
        let mut written = RawDocumentBuf::new();
        written.append(cstr!("_id"), id);
        self.append(fields, body, None, &mut written)?;
        Ok(written)
    }

    /// The difference between a stored document and `body`, field by field. Content that others keep inside a field, in
    /// an embedded document or in an item of a list, is kept with the field.
    ///
    /// # Errors
    /// [`CodecError`] when a name inside contains U+0000.
    pub(super) fn difference(
        &self,
        fields: &[FieldLayout],
        stored: &RawDocument,
        body: &Document,
    ) -> Result<DocumentUpdate, CodecError> {
        let mut difference = DocumentUpdate::default();
        for field in fields {
            let name = field.stored_as.as_str();
            let earlier = field.stored_before.as_ref();
            if let Some(earlier) = earlier.filter(|earlier| has(stored, earlier)) {
                difference.unset.push(earlier.clone());
            }
            let before = field.find(stored)?;
            match (before, body.get(name)) {
                (before, Some(value))
                    if !has(stored, &field.stored_as)
                        || !self.holds_already(&field.holds, before, value) =>
                {
                    let written = self.write_value(&field.holds, value, before)?;
                    difference.set.append(&field.stored_as, written);
                }
                (Some(_), None) if has(stored, &field.stored_as) => {
                    difference.unset.push(field.stored_as.clone());
                }
                _ => {}
            }
        }
        Ok(difference)
    }

    fn holds_already(
        &self,
        holds: &FieldKind,
        before: Option<RawBsonRef<'_>>,
        value: &Value,
    ) -> bool {
        let before = before.and_then(|before| self.read_value(holds, before, 0).ok());
        before.is_some_and(|before| self.is_identical(holds, &before, value))
    }

    fn append(
        &self,
        fields: &[FieldLayout],
        body: &Document,
        before: Option<&RawDocument>,
        written: &mut RawDocumentBuf,
    ) -> Result<(), CodecError> {
        for field in fields {
            if let Some(value) = body.get(field.stored_as.as_str()) {
                let before = before.and_then(|before| field.find(before).ok().flatten());
                let value = self.write_value(&field.holds, value, before)?;
                written.append(&field.stored_as, value);
            }
        }
        Ok(())
    }

    fn write_value(
        &self,
        holds: &FieldKind,
        value: &Value,
        before: Option<RawBsonRef<'_>>,
    ) -> Result<RawBson, CodecError> {
        match (holds, value) {
            (FieldKind::Embedded(name), Value::Object(document)) => {
                let fields = self.embedded(name);
                let before = before.and_then(RawBsonRef::as_document);
                let mut written = RawDocumentBuf::new();
                self.append(fields, document, before, &mut written)?;
                append_foreign(fields, before, &mut written)?;
                Ok(RawBson::Document(written))
            }
            (FieldKind::List(item), Value::List(values)) => {
                self.write_list(item, values, before).map(RawBson::Array)
            }
            (FieldKind::Reference(id_type), Value::String(id)) => {
                let id_as_kept = id_to_bson(*id_type, id);
                Ok(id_as_kept.unwrap_or_else(|| RawBson::String(id.clone())))
            }
            (_, value) => codec::encode_value(value),
        }
    }

    /// An unchanged item keeps the content that others put into it, wherever it moves. A changed item keeps it only if
    /// the list has its old length: then it is taken to be the item at that position.
    fn write_list(
        &self,
        item: &FieldKind,
        values: &[Value],
        before: Option<RawBsonRef<'_>>,
    ) -> Result<RawArrayBuf, CodecError> {
        let mut before = self.items(item, before)?;
        let same_length = before.len() == values.len();
        let mut written = RawArrayBuf::new();
        for (i, value) in values.iter().enumerate() {
            let stays = before.iter_mut().find(|stored| {
                let stored_value = stored.as_ref().and_then(|stored| stored.value.as_ref());
                stored_value
                    .is_some_and(|stored_value| self.is_identical(item, stored_value, value))
            });
            if let Some(stored) = stays.and_then(Option::take) {
                written.push(stored.raw);
                continue;
            }
            let there = before.get(i).filter(|_| same_length);
            let there = there.and_then(Option::as_ref).map(|stored| stored.raw);
            written.push(self.write_value(item, value, there)?);
        }
        Ok(written)
    }

    /// The stored items of a list whose items may hold others' content.
    fn items<'r>(
        &self,
        item: &FieldKind,
        before: Option<RawBsonRef<'r>>,
    ) -> Result<Vec<Option<ListItem<'r>>>, CodecError> {
        let before = before.and_then(RawBsonRef::as_array);
        let Some(before) =
            before.filter(|_| matches!(item, FieldKind::Embedded(_) | FieldKind::List(_)))
        else {
            return Ok(Vec::new());
        };
        let items = before.into_iter().map(|raw| {
            let raw = raw?;
            let value = self.read_value(item, raw, 0).ok();
            Ok(Some(ListItem { raw, value }))
        });
        items.collect()
    }
}

fn has(stored: &RawDocument, name: &CString) -> bool {
    matches!(stored.get(name.as_str()), Ok(Some(_)))
}

/// One item of a stored list.
struct ListItem<'r> {
    raw: RawBsonRef<'r>,
    value: Option<Value>,
}

/// The fields of an embedded document that the model does not name.
fn append_foreign(
    fields: &[FieldLayout],
    before: Option<&RawDocument>,
    written: &mut RawDocumentBuf,
) -> Result<(), CodecError> {
    for element in before.into_iter().flatten() {
        let (name, value) = element?;
        if !fields.iter().any(|field| field.has_name(name.as_str())) {
            written.append(name, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
