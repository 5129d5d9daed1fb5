//! Values that a new model would no longer show, since it does not read the name that they are stored under.

use crate::{
    generation::TypeShape,
    id::TypeName,
    model::{DocumentType, Field, Model, Shape},
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
    /// The names under which the shape in force has fields of the type, and under which this model does not read them.
    pub fn unread(model: &Model, of: &DocumentType, in_force: &TypeShape) -> Vec<Self> {
        let own = TypeShape::of(model, of);
        let mut unread = Vec::new();
        for (subject, stored) in &own.stored_names {
            let read = [Some(stored), own.moved_names.get(subject)];
            let read: Vec<String> = read.into_iter().flatten().cloned().collect();
            let moved = in_force.moved_names.iter();
            let moved = moved
                .filter(|(name, before)| *before == stored && owner_of(name) == owner_of(subject));
            let names = moved.map(|(name, _)| name).chain([subject]);
            let theirs = names.filter_map(|name| in_force.stored_names.get(name));
            for from in theirs.filter(|from| !read.contains(from)) {
                unread.push(Self {
                    owner: match owner_of(subject) {
                        Some(embedded) => Owner::Embedded(embedded.to_owned()),
                        None => Owner::Synced(of.stored_as.clone()),
                    },
                    subject: subject.clone(),
                    from: from.clone(),
                    read: read.clone(),
                });
            }
        }
        unread
    }

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

/// The embedded type that a shape has the field in; `None` of a field of the type itself.
fn owner_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(owner, _)| owner)
}
