//! Marks on the embedded documents and items of lists that a store holds with content the model does not name.
//!
//! The content stays in the store. A mark stands for it in the loaded document, under a name that no field can have, and
//! [`super::content`] keeps it with its document or item. The store's writer finds the content by the mark, and no mark is stored.

use super::{Document, Value};

/// The name of a mark. Names of fields hold no U+0000.
pub const ORIGIN: &str = "\0";

/// A mark. Equal documents may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub u32);

impl Origin {
    /// The mark as it stands in an item.
    pub fn value(self) -> Value {
        Value::Long(self.0.into())
    }

    /// The mark of a document, if it has one.
    pub fn of(document: &Document) -> Option<Self> {
        match document.get(ORIGIN)? {
            Value::Long(number) => u32::try_from(*number).ok().map(Self),
            _ => None,
        }
    }
}

/// Puts marks into a document. `marks` has the form of the document and nothing but marks: a field without any is absent,
/// and an item without any is null.
pub fn mark(marks: &Document, document: &mut Document) {
    for (name, marks) in marks {
        if name == ORIGIN {
            document.insert(name.clone(), marks.clone());
        } else if let Some(value) = document.get_mut(name) {
            mark_value(marks, value);
        }
    }
}

/// The same for one value.
pub fn mark_value(marks: &Value, value: &mut Value) {
    match (marks, value) {
        (Value::Object(marks), Value::Object(document)) => mark(marks, document),
        (Value::List(marks), Value::List(items)) => {
            for (marks, item) in marks.iter().zip(items) {
                mark_value(marks, item);
            }
        }
        _ => {}
    }
}
