//! Marks for what a stored document holds inside of it and a model does not name, as a store has to put them there
//! (`core/src/value/origin.rs`).

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{
    entry::Entry,
    id::DocumentKey,
    model::{Field, FieldType, Model, Shape},
    transaction::Writes,
    value::{
        Document, Value,
        origin::{ORIGIN, Origin},
    },
};

use super::documents::{Documents, others};

/// The documents inside of a stored one that hold more than a model names.
pub(super) struct Marked<'m, 'd> {
    model: &'m Model,
    /// The marks, in the form of the document.
    marks: Document,
    /// The documents by their marks. Equal ones have one.
    documents: Vec<&'d Document>,
}

impl<'m, 'd> Marked<'m, 'd> {
    pub(super) fn of(model: &'m Model, fields: &[Field], stored: &'d Document) -> Self {
        let mut marked = Self {
            model,
            marks: Document::new(),
            documents: Vec::new(),
        };
        marked.marks = marked.find(fields, stored);
        marked
    }

    fn find(&mut self, fields: &[Field], stored: &'d Document) -> Document {
        let mut marks = Document::new();
        for field in fields {
            let value = stored.get(&field.stored_as);
            let inside = value.and_then(|value| self.inside(&field.ty, value));
            marks.extend(inside.map(|marks| (field.stored_as.clone(), marks)));
        }
        marks
    }

    /// The marks of a value, if there are any.
    fn inside(&mut self, ty: &FieldType, value: &'d Value) -> Option<Value> {
        match (&ty.shape, value) {
            (Shape::Embedded(of), Value::Object(document)) => {
                let fields = self.model.embedded_fields(of);
                let mut marks = self.find(fields, document);
                if others(fields, document).next().is_some() {
                    marks.insert(ORIGIN.to_owned(), self.mark(document).value());
                }
                (!marks.is_empty()).then_some(Value::Object(marks))
            }
            (Shape::List(item), Value::List(items)) => {
                let marks = items.iter().map(|value| self.inside(item, value));
                let marks: Vec<Option<Value>> = marks.collect();
                let has_any = marks.iter().any(Option::is_some);
                let marks = marks.into_iter().map(|mark| mark.unwrap_or(Value::Null));
                has_any.then(|| Value::List(marks.collect()))
            }
            _ => None,
        }
    }

    fn mark(&mut self, document: &'d Document) -> Origin {
        let known = self.documents.iter().position(|it| *it == document);
        let number = known.unwrap_or_else(|| {
            self.documents.push(document);
            self.documents.len() - 1
        });
        Origin(u32::try_from(number).expect("lists are short"))
    }

    /// A body as it is stored: with what the document before it holds and the model does not name, and inside of it what
    /// the documents of its marks hold.
    pub(super) fn written(
        &self,
        fields: &[Field],
        body: &Document,
        before: Option<&Document>,
    ) -> Document {
        let value = |field: &Field| Some(self.value(&field.ty, body.get(&field.stored_as)?));
        let named = fields.iter();
        let named = named.filter_map(|field| Some((field.stored_as.clone(), value(field)?)));
        let kept = before.into_iter().flat_map(|before| others(fields, before));
        let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
        named.chain(kept).collect()
    }

    fn value(&self, ty: &FieldType, value: &Value) -> Value {
        match (&ty.shape, value) {
            (Shape::Embedded(of), Value::Object(inside)) => {
                let before = Origin::of(inside).and_then(|Origin(number)| {
                    let number = usize::try_from(number).ok()?;
                    self.documents.get(number).copied()
                });
                Value::Object(self.written(self.model.embedded_fields(of), inside, before))
            }
            (Shape::List(item), Value::List(items)) => {
                Value::List(items.iter().map(|value| self.value(item, value)).collect())
            }
            (_, value) => value.clone(),
        }
    }
}

/// The marks of all documents, as a gateway with this model loads them.
pub(super) fn marks_of(model: &Model, documents: &Documents) -> BTreeMap<DocumentKey, Document> {
    let marks = documents.iter().filter_map(|(key, document)| {
        let document_type = model.document_type(key.type_name.as_str())?;
        let marks = Marked::of(model, &document_type.fields, document).marks;
        (!marks.is_empty()).then(|| (key.clone(), marks))
    });
    marks.collect()
}

/// No mark is stored, and none leaves the store.
pub(super) fn strip(writes: &mut Writes) {
    writes.entries.iter_mut().for_each(strip_entry);
    let answers = writes.answers.iter_mut().flatten();
    for outcome in answers.flat_map(|answer| &mut answer.outcomes) {
        outcome.document.iter_mut().for_each(strip_entry);
        for field in outcome.conflict.iter_mut().flatten() {
            let sides = [
                &mut field.base,
                &mut field.mine,
                &mut field.theirs,
                &mut field.result,
            ];
            sides.into_iter().flatten().for_each(strip_value);
        }
    }
}

fn strip_entry(entry: &mut Arc<Entry>) {
    if let Some(body) = &mut Arc::make_mut(entry).body {
        strip_document(body);
    }
}

fn strip_document(document: &mut Document) {
    document.remove(ORIGIN);
    document.values_mut().for_each(strip_value);
}

fn strip_value(value: &mut Value) {
    match value {
        Value::Object(document) => strip_document(document),
        Value::List(items) => items.iter_mut().for_each(strip_value),
        _ => {}
    }
}
