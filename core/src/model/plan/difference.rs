//! The kinds of differences, and what each means for stored documents and for old apps: one row each.
//!
//! The rows are those of docs/model.md, "Changing a model".

use std::fmt;

use crate::{id::IdType, model::ServerValue};

/// How one model differs from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Other rules say what claims open.
    Grants,
    /// The type is new.
    TypeAdded,
    /// The type is gone.
    TypeRemoved {
        /// Whether it was retired before.
        was_retired: bool,
        /// Whether its documents are memberships.
        gives_access: bool,
    },
    /// The type is gone, and another one has its collection.
    TypeReplaced {
        /// The other type.
        by: String,
        /// The name of the type that is gone.
        name: String,
        /// The stored name of the type that is gone.
        stored_as: String,
    },
    /// The type has another name, and keeps its documents.
    TypeRenamed {
        /// The name before.
        from: String,
        /// Whether it stays in the API.
        is_alias: bool,
    },
    /// The root fields of the type have other names.
    RootFields,
    /// The documents are in another collection.
    Collection {
        /// The collection before.
        from: String,
        /// The collection now.
        to: String,
    },
    /// The ids are stored in another type.
    IdType {
        /// The type before.
        from: IdType,
        /// The type now.
        to: IdType,
    },
    /// Optional fields that do not fit are shown as null, or no longer.
    Misfits {
        /// Whether they are now.
        are_null: bool,
    },
    /// Another rule says in which scope a document is.
    Scope,
    /// Another rule says what a document gives to whom.
    Memberships,
    /// Other roles may change the documents, or another field names their owner.
    Rights,
    /// Another policy for conflicts.
    Conflict,
    /// Other references.
    References {
        /// Whether one of them is gone.
        is_gone: bool,
    },
    /// Other indexes.
    Indexes,
    /// Other values are unique.
    Uniques {
        /// Whether some are that were not.
        is_stricter: bool,
    },
    /// Another `versionField` or `updatedAtField`.
    Upkeep,
    /// The field is new.
    FieldAdded {
        /// Whether documents without it can be read.
        may_be_absent: bool,
    },
    /// The field is gone.
    FieldRemoved {
        /// Whether it was retired before.
        was_retired: bool,
    },
    /// The field has another name in the API, and the same one in documents.
    FieldRenamed {
        /// The name before.
        from: String,
        /// Whether old apps can still use it.
        is_alias: bool,
    },
    /// The field has another name in documents.
    StoredName {
        /// The name before.
        from: String,
        /// The name now.
        to: String,
        /// Whether the model reads the earlier name too.
        is_read: bool,
    },
    /// The model no longer reads the earlier name of the field in documents.
    StoredNameForgotten {
        /// The earlier name.
        from: String,
    },
    /// The field's type holds all that the type before held.
    Widened {
        /// The type before.
        from: String,
        /// The type now.
        to: String,
        /// Whether numbers are printed as texts now.
        is_text_now: bool,
    },
    /// The field's type holds other values than the type before.
    Narrowed {
        /// The type before.
        from: String,
        /// The type now.
        to: String,
    },
    /// The field's texts are stored in another BSON type. What is stored as text can still be read.
    BsonType {
        /// The name of the type before, if it was not text.
        from: Option<&'static str>,
        /// The name of the type now.
        to: Option<&'static str>,
    },
    /// The field is required now.
    Required {
        /// Whether documents without it can be read.
        may_be_absent: bool,
    },
    /// The field is no longer required.
    Optional,
    /// Another default.
    Default,
    /// The default of a required field is gone.
    DefaultRemoved,
    /// Another constraint.
    Constraint,
    /// Another way to join edits.
    Merge,
    /// Something else identifies the items of the list, or nothing does.
    Key,
    /// Other roles may write the field, or clients may set it at other times.
    FieldRights,
    /// Clients can no longer set it, or can again.
    ReadOnly {
        /// Whether they can no longer.
        is_new: bool,
    },
    /// The gateway keeps something else in the field, or nothing.
    Server {
        /// What it kept before.
        from: Option<ServerValue>,
        /// What it keeps now.
        to: Option<ServerValue>,
        /// Whether clients can no longer set it.
        is_closed: bool,
    },
    /// Clients no longer write it.
    Retired,
    /// It was retired, and is in use again.
    Restored,
    /// The value of the enum is new.
    ValueAdded,
    /// The value of the enum is gone.
    ValueRemoved {
        /// Whether it was retired before.
        was_retired: bool,
    },
}

/// What a difference means for the documents that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing changes for them.
    Served,
    /// They are compared with their entries while they are served. An embedded store does it before.
    InStep,
    /// Those that give other access are stamped before anything is served.
    StampedFirst,
    /// Nothing is served if the store shows this.
    RefusedOn(Obstacle),
}

/// What a store can show that refuses a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Documents that fit the model in force do not fit the new one.
    Misfits,
    /// A value is stored under a name that the new model does not read.
    HiddenValues,
    /// Documents of the type are not found where the new model has them.
    MissingDocuments,
    /// The type has documents.
    Documents,
    /// Documents of the type give access.
    Memberships,
    /// Documents have the same values, and these are to be unique.
    Duplicates,
}

impl Difference {
    /// What it means for stored documents.
    pub fn class(&self) -> Class {
        match self {
            Self::Grants
            | Self::TypeRenamed { .. }
            | Self::RootFields
            | Self::Rights
            | Self::FieldRights
            | Self::Conflict
            | Self::References { .. }
            | Self::Indexes
            | Self::Uniques { is_stricter: false }
            | Self::Upkeep
            | Self::FieldRemoved { .. }
            | Self::FieldRenamed { .. }
            | Self::Default
            | Self::Constraint
            | Self::Merge
            | Self::Key
            | Self::ReadOnly { .. }
            | Self::Server { .. }
            | Self::Retired
            | Self::Restored => Class::Served,
            Self::TypeRemoved { gives_access, .. } => match gives_access {
                true => Class::RefusedOn(Obstacle::Memberships),
                false => Class::Served,
            },
            Self::TypeAdded
            | Self::Scope
            | Self::Misfits { are_null: true }
            | Self::Widened { .. }
            | Self::Optional
            | Self::ValueAdded => Class::InStep,
            Self::Memberships => Class::StampedFirst,
            Self::Uniques { is_stricter: true } => Class::RefusedOn(Obstacle::Duplicates),
            Self::FieldAdded { may_be_absent } | Self::Required { may_be_absent } => {
                match may_be_absent {
                    true => Class::InStep,
                    false => Class::RefusedOn(Obstacle::Misfits),
                }
            }
            Self::StoredName { is_read, .. } => match is_read {
                true => Class::InStep,
                false => Class::RefusedOn(Obstacle::HiddenValues),
            },
            Self::StoredNameForgotten { .. } => Class::RefusedOn(Obstacle::HiddenValues),
            Self::BsonType { from: None, .. } => Class::InStep,
            Self::Misfits { are_null: false }
            | Self::BsonType { .. }
            | Self::Narrowed { .. }
            | Self::DefaultRemoved
            | Self::ValueRemoved { .. } => Class::RefusedOn(Obstacle::Misfits),
            Self::TypeReplaced { .. } => Class::RefusedOn(Obstacle::Documents),
            Self::Collection { .. } | Self::IdType { .. } => {
                Class::RefusedOn(Obstacle::MissingDocuments)
            }
        }
    }

    /// Whether documents of a collection may not fit for it though their entries do.
    pub fn is_of_stored_types(&self) -> bool {
        match self {
            Self::BsonType { from, .. } => from.is_some(),
            Self::Misfits { are_null } => !are_null,
            _ => false,
        }
    }

    /// What it breaks in apps that do not know of it, with what to do.
    pub fn warning(&self) -> Option<&'static str> {
        match self {
            Self::TypeRemoved {
                was_retired: false, ..
            }
            | Self::FieldRemoved { was_retired: false }
            | Self::ValueRemoved { was_retired: false } => Some(
                "operations of old apps that name it fail, and block what such an app has queued; keep it with `@retired` until no old app is in use",
            ),
            Self::TypeRenamed {
                is_alias: false, ..
            }
            | Self::FieldRenamed {
                is_alias: false, ..
            } => Some(
                "operations of old apps that use the earlier name fail; keep it with `@renamed(from)`",
            ),
            Self::References { is_gone: true } => Some(
                "operations of old apps that name what is gone fail; keep it with `@retired` until no old app is in use",
            ),
            Self::Server {
                is_closed: true, ..
            } => Some(
                "inputs of old apps that set it fail, and block what such an app has queued; add another field that is `@server`, and retire this one",
            ),
            Self::ReadOnly { is_new: true } => Some(
                "inputs of old apps that set it fail, and block what such an app has queued; add another field that is `@readOnly`, and retire this one",
            ),
            Self::Widened {
                is_text_now: true, ..
            } => Some(
                "old apps get texts where they expect numbers; add a field of the new type beside it if they cannot read them",
            ),
            Self::RootFields => Some(
                "operations of old apps that use the earlier names fail; keep them with `singular` and `plural`",
            ),
            _ => None,
        }
    }

    /// What to do about a refusal.
    pub fn hint(&self) -> String {
        match self {
            Self::TypeReplaced {
                by,
                name,
                stored_as,
            } => {
                let stored = match name == stored_as {
                    true => String::new(),
                    false => format!(", stored: \"{stored_as}\""),
                };
                format!("write `@renamed(from: \"{name}\"{stored})` on {by} if it is the same type, or give it another collection")
            }
            Self::TypeRemoved { .. } => {
                "deploy it once without its `@grants`, and then remove it".to_owned()
            }
            Self::StoredName { from, .. } | Self::StoredNameForgotten { from } => {
                format!("write `@renamed(stored: \"{from}\")` on it, or keep `@stored(as: \"{from}\")`")
            }
            Self::Collection { from, to } => {
                format!("rename {from} to {to} in the database before the start, or keep the name")
            }
            Self::IdType { from, .. } => {
                format!("give the documents their new `_id`s before the start, or keep {from}")
            }
            Self::FieldAdded { .. } | Self::Required { .. } | Self::DefaultRemoved => {
                "give it a literal `@default`, or leave the `!` out".to_owned()
            }
            Self::ValueRemoved { .. } => {
                "keep it with `@retired`, or give the documents another value first".to_owned()
            }
            _ => "undo it, change the documents first, or accept with `--withhold` that devices lose those that do not fit".to_owned(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grants => f.write_str("other rules of what claims open"),
            Self::TypeAdded
            | Self::FieldAdded {
                may_be_absent: true,
            }
            | Self::ValueAdded => f.write_str("is new"),
            Self::FieldAdded {
                may_be_absent: false,
            } => f.write_str("is new and required, without a default"),
            Self::TypeRemoved { was_retired, .. }
            | Self::FieldRemoved { was_retired }
            | Self::ValueRemoved { was_retired } => match was_retired {
                true => f.write_str("is gone"),
                false => f.write_str("is gone, and was not retired"),
            },
            Self::TypeReplaced { by, .. } => {
                write!(f, "is gone, and {by} has its collection")
            }
            Self::TypeRenamed { from, .. } | Self::FieldRenamed { from, .. } => {
                write!(f, "was called {from}")
            }
            Self::RootFields => f.write_str("other names of its root fields"),
            Self::Collection { from, to } => {
                write!(f, "is in the collection {to}, was in {from}")
            }
            Self::IdType { from, to } => write!(f, "has the idType {to}, had {from}"),
            Self::Misfits { are_null: true } => {
                f.write_str("shows optional fields that do not fit as null")
            }
            Self::Misfits { are_null: false } => {
                f.write_str("withholds documents with an optional field that does not fit")
            }
            Self::Scope => f.write_str("has another `@scope`"),
            Self::Memberships => f.write_str("has another `@grants`"),
            Self::Rights => f.write_str("other rules of who may change its documents"),
            Self::FieldRights => f.write_str("other rules of who may write it"),
            Self::Conflict => f.write_str("has another `@conflict`"),
            Self::References { .. } => f.write_str("has other references"),
            Self::Indexes => f.write_str("has other indexes"),
            Self::Uniques { is_stricter: true } => f.write_str("has values that have to be unique"),
            Self::Uniques { is_stricter: false } => {
                f.write_str("has values that no longer have to be unique")
            }
            Self::Upkeep => f.write_str("has another `versionField` or `updatedAtField`"),
            Self::StoredName { from, to, .. } => {
                write!(f, "is stored as {to:?}, was stored as {from:?}")
            }
            Self::StoredNameForgotten { from } => {
                write!(f, "is no longer read where it is stored as {from:?}")
            }
            Self::Widened { from, to, .. } | Self::Narrowed { from, to } => {
                write!(f, "is {to}, was {from}")
            }
            Self::BsonType { from, to } => {
                let name = |of: &Option<&'static str>| of.unwrap_or("STRING");
                write!(f, "is stored as {}, was {}", name(to), name(from))
            }
            Self::Required { .. } => f.write_str("is required"),
            Self::Optional => f.write_str("is no longer required"),
            Self::Default => f.write_str("has another default"),
            Self::DefaultRemoved => f.write_str("is required, and has no default any more"),
            Self::Constraint => f.write_str("has another `@constraint`"),
            Self::Merge => f.write_str("has another `@merge`"),
            Self::Key => f.write_str("has another `@key`"),
            Self::ReadOnly { is_new: true } => f.write_str("`@readOnly` is new"),
            Self::ReadOnly { is_new: false } => f.write_str("`@readOnly` is gone"),
            Self::Server { from, to, .. } => match (from, to) {
                (from, Some(to)) => {
                    let value = to.name();
                    write!(f, "is `@server(value: {value})`")?;
                    from.map_or(Ok(()), |from| write!(f, ", was {}", from.name()))
                }
                (_, None) => f.write_str("`@server` is gone"),
            },
            Self::Retired => f.write_str("is retired"),
            Self::Restored => f.write_str("is no longer retired"),
        }
    }
}
