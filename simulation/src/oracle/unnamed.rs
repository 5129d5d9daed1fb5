//! What gateways leave as it is: all that their model does not name, in the feed and in the collection (rules.md 9.7).

use tidegate_core::{
    entry::Entry,
    model::{Field, FieldType, Model, Shape},
    push::Outcome,
    value::{Document, Value},
};

use super::{Judged, Property, expect, took};
use crate::store::{
    Moment,
    documents::{identity, others},
};

/// What is wrong with a document after a write.
type Lost = String;

/// A commit wrote the entry, and left what its model does not name.
pub(super) fn judge(model: &Model, before: &Moment, after: &Moment, entry: &Entry) -> Judged {
    let Some(document_type) = model.document_type(entry.key.type_name.as_str()) else {
        return Ok(());
    };
    let standing = before.state.entry(&entry.key);
    let standing = standing.filter(|standing| standing.began == entry.began);
    let in_feed = (
        standing.and_then(|it| it.body.as_ref()),
        entry.body.as_ref(),
    );
    let is_next = standing.is_some_and(|it| it.version.next() == Some(entry.version));
    let in_collection = (before.document(&entry.key), after.document(&entry.key));
    let sides = [
        (in_feed, is_next),
        (in_collection, changes(after, entry) <= 1),
    ];
    for ((was, is), is_one_edit) in sides {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        let edit = Edit {
            model,
            is_alone: is_one_edit,
            is_of_service: after.answers.is_empty(),
        };
        let kept = edit.document(&document_type.fields, was, is);
        expect(kept.is_ok(), Property::Unnamed, || {
            format!("{kept:?}: {was:?} of {:?} became {is:?}", entry.key)
        })?;
    }
    Ok(())
}

/// How many changes of the commit took effect on the document.
fn changes(after: &Moment, entry: &Entry) -> usize {
    let answers = after.answers.iter().flatten();
    let outcomes = answers.filter(|answer| !answer.duplicate);
    let is_of_it = |outcome: &&Outcome| {
        let key = &entry.key;
        outcome.type_name == key.type_name && outcome.id == key.id.as_str() && took(outcome)
    };
    let outcomes = outcomes.flat_map(|answer| &answer.outcomes);
    outcomes.filter(is_of_it).count()
}

/// Whether a document holds in its lists what the model does not name.
pub(super) fn has_items(model: &Model, fields: &[Field], document: &Document) -> bool {
    fields.iter().any(|field| {
        let items = document.get(&field.stored_as);
        match (&field.ty.shape, items) {
            (Shape::List(item), Some(Value::List(items))) => {
                items.iter().any(|it| !content(model, item, it).is_empty())
            }
            _ => false,
        }
    })
}

/// What the model does not name of an item.
fn content(model: &Model, item: &FieldType, value: &Value) -> Document {
    match (&item.shape, value) {
        (Shape::Embedded(of), Value::Object(document)) => {
            let others = others(model.embedded_fields(of), document);
            let content = others.map(|(name, value)| (name.clone(), value.clone()));
            content.collect()
        }
        _ => Document::new(),
    }
}

struct Edit<'m> {
    model: &'m Model,
    /// Whether the write is one edit of the document. Of several, one may take out what the next one puts back.
    is_alone: bool,
    /// A service writes its lists whole, and nothing of it is refused.
    is_of_service: bool,
}

/// An item of a list.
struct Item {
    identity: Value,
    content: Document,
}

impl Edit<'_> {
    fn document(&self, fields: &[Field], was: &Document, is: &Document) -> Result<(), Lost> {
        let kept = others(fields, was).eq(others(fields, is));
        if !kept {
            return Err("fields are lost".to_owned());
        }
        for field in fields.iter().filter(|_| self.is_alone) {
            let name = &field.stored_as;
            if let Some((was, is)) = was.get(name).zip(is.get(name)) {
                self.value(field, was, is)?;
            }
        }
        Ok(())
    }

    fn value(&self, field: &Field, was: &Value, is: &Value) -> Result<(), Lost> {
        match (&field.ty.shape, was, is) {
            (Shape::Embedded(of), Value::Object(was), Value::Object(is)) => {
                self.document(self.model.embedded_fields(of), was, is)
            }
            (Shape::List(item), Value::List(was), Value::List(is)) => {
                let key = field.key.as_deref();
                let items = |items: &[Value]| {
                    let item = |value: &Value| Item {
                        identity: identity(self.model, item, key, value),
                        content: content(self.model, item, value),
                    };
                    items.iter().map(item).collect::<Vec<_>>()
                };
                self.items(key.is_some(), items(was), items(is))
            }
            _ => Ok(()),
        }
    }

    /// Content stays with its item, and goes only with it. Without keys an item may be gone, or be another one now. Only if
    /// all that is left was there before is it known which it is.
    fn items(&self, have_keys: bool, was: Vec<Item>, is: Vec<Item>) -> Result<(), Lost> {
        let mut left = was;
        let (holding, plain): (Vec<Item>, Vec<Item>) =
            is.into_iter().partition(|item| !item.content.is_empty());
        let mut is_new = Vec::new();
        let mut stayed = Vec::new();
        for item in holding.into_iter().chain(plain) {
            let is_it =
                |before: &Item| before.identity == item.identity && before.content == item.content;
            match left.iter().position(is_it) {
                Some(place) => stayed.push(left.remove(place)),
                None if item.content.is_empty() => is_new.push(item),
                None => return Err(format!("{:?} is in another item", item.content)),
            }
        }
        let mut gone = left.into_iter().filter(|item| !item.content.is_empty());
        let lost = gone.find(|gone| {
            let is_equal = |item: &&Item| item.identity == gone.identity;
            let is_there = is_new.iter().any(|item| is_equal(&item));
            let mut twins = stayed.iter().filter(is_equal);
            let is_guessed = twins.any(|twin| twin.content != gone.content);
            match have_keys {
                true => is_there,
                false => !self.is_of_service && (!is_new.is_empty() || is_guessed),
            }
        });
        lost.map_or(Ok(()), |item| Err(format!("{:?} is lost", item.content)))
    }
}
