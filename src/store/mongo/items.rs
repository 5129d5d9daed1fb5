//! Documents inside of stored ones with content that the model does not name: embedded documents and items of lists. A mark
//! stands for each of them in the core.
//!
//! The core keeps a mark with its document. [`super::update`] writes the content of the document with that mark.

use std::collections::HashMap;

use mongodb::bson::{RawDocument, raw::RawBsonRef};
use tidegate_core::value::{
    Document, Value,
    origin::{ORIGIN, Origin},
};

use super::layout::{FieldKind, FieldLayout, ModelLayout};

/// The marked documents inside of a stored one.
#[derive(Debug, Default)]
pub(super) struct StoredItems<'d> {
    /// The marks, in the form of the document.
    pub(super) marks: Document,
    /// They by their marks. Equal ones have one mark.
    items: Vec<&'d RawDocument>,
}

impl StoredItems<'_> {
    /// The one that has this mark.
    pub(super) fn get(&self, Origin(number): Origin) -> Option<&RawDocument> {
        self.items.get(usize::try_from(number).ok()?).copied()
    }
}

impl ModelLayout {
    /// The embedded documents and items that hold what the model does not name.
    pub(super) fn items<'d>(
        &self,
        fields: &[FieldLayout],
        stored: &'d RawDocument,
    ) -> StoredItems<'d> {
        let mut finder = ItemFinder {
            layout: self,
            items: Vec::new(),
            numbers: HashMap::new(),
        };
        StoredItems {
            marks: finder.fields(fields, stored),
            items: finder.items,
        }
    }

    /// Whether an embedded document holds what the model does not name. The items of its lists do not count.
    pub(super) fn has_foreign(&self, fields: &[FieldLayout], stored: &RawDocument) -> bool {
        let mut elements = stored.into_iter().flatten();
        elements.any(|(name, value)| {
            let field = fields.iter().find(|field| field.has_name(name.as_str()));
            match (field.map(|field| &field.holds), value) {
                (None, _) => true,
                (Some(FieldKind::Embedded(inner)), RawBsonRef::Document(document)) => {
                    self.has_foreign(self.embedded(inner), document)
                }
                _ => false,
            }
        })
    }
}

struct ItemFinder<'l, 'd> {
    layout: &'l ModelLayout,
    items: Vec<&'d RawDocument>,
    numbers: HashMap<&'d [u8], u32>,
}

impl<'d> ItemFinder<'_, 'd> {
    fn fields(&mut self, fields: &[FieldLayout], stored: &'d RawDocument) -> Document {
        let mut marks = Document::new();
        for field in fields {
            if !matches!(field.holds, FieldKind::Embedded(_) | FieldKind::List(_)) {
                continue;
            }
            let Ok(Some(value)) = field.find(stored) else {
                continue;
            };
            let inside = self.value(&field.holds, value);
            marks.extend(inside.map(|marks| (field.stored_as.as_str().to_owned(), marks)));
        }
        marks
    }

    /// The marks inside a value, if there are any.
    fn value(&mut self, holds: &FieldKind, value: RawBsonRef<'d>) -> Option<Value> {
        match (holds, value) {
            (FieldKind::Embedded(name), RawBsonRef::Document(document)) => {
                let (layout, fields) = (self.layout, self.layout.embedded(name));
                let mut marks = self.fields(fields, document);
                if layout.has_foreign(fields, document) {
                    marks.insert(ORIGIN.to_owned(), self.mark(document).value());
                }
                (!marks.is_empty()).then_some(Value::Object(marks))
            }
            (FieldKind::List(item), RawBsonRef::Array(items)) => {
                let marks = items
                    .into_iter()
                    .flatten()
                    .map(|value| self.value(item, value));
                let marks: Vec<Option<Value>> = marks.collect();
                let items = || {
                    marks
                        .iter()
                        .map(|marks| marks.clone().unwrap_or(Value::Null))
                };
                let has_any = marks.iter().any(Option::is_some);
                has_any.then(|| Value::List(items().collect()))
            }
            _ => None,
        }
    }

    fn mark(&mut self, item: &'d RawDocument) -> Origin {
        let next = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(item.as_bytes()).or_insert(next);
        if number == next {
            self.items.push(item);
        }
        Origin(number)
    }
}
