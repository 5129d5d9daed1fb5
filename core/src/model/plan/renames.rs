//! Values that a new model would no longer show, since it does not read the name that they are stored under.

use crate::{
    id::TypeName,
    model::{Field, Model, Shape},
    value::{Document, Value},
};

/// A name in documents that the model in force reads and the new one does not, though it has the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRename {
    pub(super) owner: Owner,
    /// The field, such as `Task.title`.
    pub subject: String,
    /// The name that is no longer read.
    pub from: String,
    /// The names that are read.
    pub(super) read: Vec<String>,
}

/// The type that has a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// A synced type, by its stored name.
    Synced(TypeName),
    /// An embedded type of the new model.
    Embedded(String),
}

impl StoredRename {
    /// Whether a document of this type holds a value that the new model would not show.
    pub fn hides(&self, new: &Model, type_name: &TypeName, document: &Document) -> bool {
        let fields = new.stored_type(type_name).map_or(&[][..], |it| &it.fields);
        match &self.owner {
            Owner::Synced(owner) => owner == type_name && self.hides_here(document),
            Owner::Embedded(owner) => self.hides_within(new, owner, fields, document),
        }
    }

    /// A value under a name that is read wins.
    fn hides_here(&self, document: &Document) -> bool {
        let is_given = |name: &String| document.get(name).is_some_and(|value| !value.is_null());
        let is_read = self.read.iter().any(|name| document.contains_key(name));
        is_given(&self.from) && !is_read
    }

    fn hides_within(
        &self,
        new: &Model,
        owner: &str,
        fields: &[Field],
        document: &Document,
    ) -> bool {
        fields.iter().any(|field| {
            let names = [Some(&field.stored_as), field.stored_before.as_ref()];
            let mut values = names
                .into_iter()
                .flatten()
                .filter_map(|name| document.get(name));
            values.any(|value| self.hides_in(new, owner, &field.ty.shape, value))
        })
    }

    fn hides_in(&self, new: &Model, owner: &str, shape: &Shape, value: &Value) -> bool {
        match (shape, value) {
            (Shape::List(item), Value::List(values)) => {
                let mut values = values.iter();
                values.any(|value| self.hides_in(new, owner, &item.shape, value))
            }
            (Shape::Embedded(name), Value::Object(document)) => {
                let is_here = name == owner && self.hides_here(document);
                is_here || self.hides_within(new, owner, new.embedded_fields(name), document)
            }
            _ => false,
        }
    }
}
