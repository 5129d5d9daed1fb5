//! The user's model, parsed: types, scopes, grants, conflict policies.
//!
//! Only data and queries on it are here. `parse` reads SDL. GraphQL's wire format and stores are not known here.

mod ambiguity;
mod constraint;
mod parse;
pub mod plan;
mod relation;
mod rights;
mod scalar;
mod scope;
mod server;
mod template;
mod unique;

use std::{collections::BTreeMap, fmt, sync::Arc};

use regex::Regex;

pub use self::{
    ambiguity::FieldAmbiguity,
    parse::{
        Diagnostic, Diagnostics, Severity, default_plural, default_singular, derived_type_names,
        is_root_taken, is_type_taken,
    },
    relation::{Reference, Reverse},
    rights::{OWNER, Operation, Role, RoleSet, Roles, TypeRights},
    scalar::Scalar,
    scope::{ScopeTemplate, Segment, is_canonical},
    server::ServerValue,
    template::{FillError, Placeholder, Template, TemplateError},
    unique::{UniqueRule, UniqueWithin},
};
use crate::{
    id::{IdType, TypeName},
    value::{Decimal, Value},
};

/// A team's description of its documents.
#[derive(Debug, Clone)]
pub struct Model {
    /// Who may see and change what, from the token's claims (`extend schema @grant`).
    pub grants: Vec<GrantRule>,
    /// The roles that the model names.
    pub roles: Arc<Roles>,
    /// The synced types, in the order of the file.
    pub types: Vec<Arc<DocumentType>>,
    /// Types without `@collection`: embedded documents, by name.
    pub embedded: BTreeMap<String, EmbeddedType>,
    /// Enums by name.
    pub enums: BTreeMap<String, EnumType>,
    /// Whether a field, a type or a value of an enum is retired.
    pub has_retired: bool,
    /// The most items that a change may give to a list of a document, nested ones too.
    pub list_items_max: usize,
}

/// The stored name of the field `id`, which no other field has.
pub const STORED_ID: &str = "_id";

/// What [`Model::list_items_max`] is by default.
pub const LIST_ITEMS_MAX: usize = 10_000;

impl Model {
    /// Parses SDL. `file` names it in the mistakes.
    ///
    /// # Errors
    /// All [`Diagnostics`] at once, each with line, column and a hint.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostics> {
        parse::parse(file, text)
    }

    /// The warnings about a model that [`Model::parse`] accepts, in the order of the file.
    pub fn warnings(file: &str, text: &str) -> Vec<Diagnostic> {
        parse::warnings(file, text)
    }

    /// The webhooks that the types' policies ask.
    pub fn webhooks(&self) -> impl Iterator<Item = &str> {
        let types = self.types.iter();
        types.filter_map(|document_type| document_type.conflict.webhook.as_deref())
    }

    /// The synced type that the API calls `name`, or called so before.
    pub fn document_type(&self, name: &str) -> Option<&Arc<DocumentType>> {
        self.types.iter().find(|ty| ty.is_called(name))
    }

    /// The synced type that a store calls `name`, as in the keys of documents.
    pub fn stored_type(&self, name: &TypeName) -> Option<&Arc<DocumentType>> {
        self.types.iter().find(|t| t.stored_as == *name)
    }

    /// The API's name of the type that a store calls `stored`; the stored name itself if the model lacks the type.
    pub fn type_name<'n>(&'n self, stored: &'n str) -> &'n str {
        let mut types = self.types.iter();
        let found = types.find(|t| t.stored_as.as_str() == stored);
        found.map_or(stored, |t| t.name.as_str())
    }

    /// The fields of the embedded type called `name`; none if there is no such type.
    pub fn embedded_fields(&self, name: &str) -> &[Field] {
        let embedded = self.embedded.get(name);
        embedded.map_or(&[], |embedded| &embedded.fields)
    }

    /// Whether clients see documents of the type that a store calls `name`: the model has it, and has not retired it.
    pub fn is_in_use(&self, name: &TypeName) -> bool {
        self.stored_type(name).is_some_and(|found| !found.retired)
    }

    /// Whether the enum called `name` has the retired value `word`.
    pub fn is_retired_value(&self, name: &str, word: &str) -> bool {
        let values = self.enums.get(name).map_or(&[][..], |it| &it.values);
        values
            .iter()
            .any(|value| value.retired && value.name == word)
    }

    /// Whether documents give grants. If not, no membership has to be read.
    pub fn has_memberships(&self) -> bool {
        self.types.iter().any(|t| t.membership.is_some())
    }
}

/// One `@grant`: an identity whose claims fill the template has a role in the scope.
#[derive(Debug, Clone)]
pub struct GrantRule {
    /// A template over the token's claims.
    pub scope: ScopeTemplate,
    /// The role that it gives.
    pub role: GrantedRole,
    /// Whether it shows the documents of the scope (`read`).
    pub reads: bool,
}

/// The role that a `@grant` gives.
#[derive(Debug, Clone)]
pub enum GrantedRole {
    /// Always this one.
    Fixed(Role),
    /// Those that a claim names.
    Claim(Placeholder),
}

/// A synced type (`@collection`).
#[derive(Debug, Clone)]
pub struct DocumentType {
    /// Its name in the SDL, equal to `__typename`.
    pub name: TypeName,
    /// Its earlier name (`@renamed(from)`).
    pub renamed_from: Option<TypeName>,
    /// Its name in stores and in the keys of documents: the first name that it had.
    pub stored_as: TypeName,
    /// Clients no longer write its documents, and see none (`@retired`).
    pub retired: bool,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// The collection of the application's database.
    pub collection: String,
    /// How its ids are spelled.
    pub id_type: IdType,
    /// A value that does not fit an optional field of its own is shown as null (`misfits: NULL_FIELD`). Without it the
    /// document is withheld.
    pub nulls_misfits: bool,
    /// The description of `id` in the SDL.
    pub id_description: Option<String>,
    /// The root field for one document, and the key in change inputs.
    pub singular: String,
    /// The same for the earlier name, if it is another.
    pub singular_before: Option<String>,
    /// The root field for many.
    pub plural: String,
    /// The scope of a document, a template over the stored names of its fields.
    pub scope: ScopeTemplate,
    /// What decides about stale changes.
    pub conflict: ConflictRule,
    /// The stored fields in the order of the file, without `id`.
    pub fields: Vec<Field>,
    /// Fields resolved to other documents (`@reference`).
    pub references: Vec<Reference>,
    /// Who may change its documents.
    pub rights: TypeRights,
    /// Fields resolved to lists of documents that refer to this one (`@reverse`).
    pub reverses: Vec<Reverse>,
    /// Set when the documents of this type are memberships (`@grants`).
    pub membership: Option<MembershipRule>,
    /// The stored names of the fields of each `@index`, in the order of the file.
    pub indexes: Vec<Vec<String>>,
    /// What no two documents of the type have in common, in the order of the file.
    pub uniques: Vec<UniqueRule>,
    /// What other writers of the collection expect of each write.
    pub upkeep: Upkeep,
}

/// `versionField` and `updatedAtField` of `@collection`: fields that every writer of the collection keeps up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// The stored name of the number that rises with each write of a list. The model does not name it.
    pub version_field: Option<String>,
    /// The stored name of the field that has the time of the last write.
    pub updated_at_field: Option<String>,
}

impl DocumentType {
    /// The field called `name` in the SDL.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The field that documents have under `name`.
    pub fn stored_field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.stored_as == name)
    }

    /// The name in the SDL of what documents have under `stored`; the stored name itself if the model lacks the field.
    pub fn field_name<'n>(&'n self, stored: &'n str) -> &'n str {
        match self.stored_field(stored) {
            Some(field) => &field.name,
            None if stored == STORED_ID => "id",
            None => stored,
        }
    }

    /// The indexes by which lists are served. What older documents have under another name is in none of a store, so that an
    /// index of such a field is for devices alone.
    pub fn list_indexes(&self) -> impl Iterator<Item = &Vec<String>> {
        let has_one_name = |stored: &String| {
            let field = self.stored_field(stored);
            field.is_some_and(|field| field.earlier_name(&self.fields).is_none())
        };
        let indexes = self.indexes.iter();
        indexes.filter(move |fields| fields.iter().all(has_one_name))
    }

    /// Whether `name` is its name, or was.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.as_str() == name
            || self
                .renamed_from
                .as_ref()
                .is_some_and(|it| it.as_str() == name)
    }

    /// Whether `key` names it in the inputs of changes and resolutions.
    pub fn has_key(&self, key: &str) -> bool {
        self.singular == key || self.singular_before.as_deref() == Some(key)
    }
}

/// `@conflict` of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictRule {
    /// The policy for stale changes.
    pub policy: Policy,
    /// What decides about overlapping fields without a `@merge` under [`Policy::Merge`], and under [`Policy::Webhook`] if the
    /// application does not answer.
    pub overlap: Overlap,
    /// The policies that a push may name instead.
    pub client_may_choose: Vec<Policy>,
    /// The webhook under [`Policy::Webhook`]: a name for which the gateway's configuration has a URL.
    pub webhook: Option<String>,
}

/// How a stale change is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Policy {
    /// It is not applied; the outcome shows the server's document.
    ServerWins,
    /// It is applied.
    ClientWins,
    /// Field by field, the later edit time wins.
    LastWriteWins,
    /// Fields that nobody else changed are applied; the others follow `@merge` or `overlap`.
    Merge,
    /// It waits in the inbox until a person resolves it; the server's document stays.
    Manual,
    /// An HTTP endpoint of the application decides.
    Webhook,
}

/// How a field that both sides changed is settled, where the policy leaves it open ([`ConflictRule::overlap`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The server's value stays.
    ServerWins,
    /// The client's value is taken.
    ClientWins,
    /// The later edit time wins.
    LastWriteWins,
    /// The server's value stays, and the client's is kept in the inbox.
    Manual,
}

/// One stored field of a document or an embedded type.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the SDL and in GraphQL.
    pub name: String,
    /// Its earlier name in both (`@renamed(from)`).
    pub renamed_from: Option<String>,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// The reason of `@deprecated`, if it is.
    pub deprecated: Option<String>,
    /// Clients no longer write it, and read null or its default (`@retired`).
    pub retired: bool,
    /// Its type.
    pub ty: FieldType,
    /// Its name in documents (`@stored(as)`), by default its first name in the SDL.
    pub stored_as: String,
    /// The name under which older documents have it (`@renamed(stored)`). It counts where `stored_as` is absent.
    pub stored_before: Option<String>,
    /// The value of a field that a create leaves out.
    pub default: Option<DefaultValue>,
    /// Clients cannot set it.
    pub read_only: bool,
    /// What the gateway keeps in it (`@server`), so that it is read-only.
    pub server: Option<ServerValue>,
    /// Clients set it at creation only (`@immutable`).
    pub immutable: bool,
    /// The roles that may write it, if not all that may write the document (`@access`).
    pub writers: Option<RoleSet>,
    /// What its values must satisfy.
    pub constraint: Constraint,
    /// How overlapping edits are joined.
    pub merge: Option<MergeStrategy>,
    /// The stored name of the field that identifies an item of a list of embedded documents (`@key`).
    pub key: Option<String>,
    /// The BSON type in which a text is stored, or each text of a list (`@bson(type)`). A field that a `@reference` uses is
    /// stored as the ids of the other type are. Without it text is a string, and a Date is a date.
    pub bson: Option<IdType>,
    /// A stored value that does not fit reads as null, and stays where it is until a change names the field.
    pub nulls_misfits: bool,
}

impl Field {
    /// Whether `name` is its name in the API, or was.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.renamed_from.as_deref() == Some(name)
    }

    /// Whether documents may lack it although it is required: they are shown with its default.
    pub fn has_literal_default(&self) -> bool {
        matches!(self.default, Some(DefaultValue::Literal(_)))
    }

    /// The name that older documents have for it, if none of `fields`, among which it is, has this name now.
    pub fn earlier_name(&self, fields: &[Self]) -> Option<&str> {
        let before = self.stored_before.as_deref()?;
        let is_free = fields.iter().all(|other| other.stored_as != before);
        is_free.then_some(before)
    }
}

/// A field's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldType {
    /// What it holds.
    pub shape: Shape,
    /// Written with `!`: never null, never absent.
    pub required: bool,
}

impl FieldType {
    /// The innermost shape of lists and lists of lists.
    pub fn leaf(&self) -> &Shape {
        match &self.shape {
            Shape::List(item) => item.leaf(),
            shape => shape,
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A scalar.
    Scalar(Scalar),
    /// A value of the enum of this name.
    Enum(String),
    /// An embedded document of the type of this name.
    Embedded(String),
    /// A list.
    List(Box<FieldType>),
}

impl Shape {
    /// The embedded type that it holds, itself or in lists.
    pub fn embedded(&self) -> Option<&str> {
        match self {
            Self::Embedded(name) => Some(name),
            Self::List(item) => item.shape.embedded(),
            Self::Scalar(_) | Self::Enum(_) => None,
        }
    }

    /// The embedded type of its items, if it is a list of embedded documents.
    pub fn embedded_items(&self) -> Option<&str> {
        match self {
            Self::List(item) => match &item.shape {
                Self::Embedded(name) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }
}

/// `@default(value)`.
#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    /// The same value for all users; it also stands in the generated input type.
    Literal(Value),
    /// A text over the claims of the document's creator, such as `user:{sub}`.
    Claims(Template),
    /// A scope over the claims of the document's creator: the default of a field that holds the document's scope.
    Scope(ScopeTemplate),
}

/// `@constraint`: every given bound holds for the value. In a list, bounds on text or numbers hold for each item.
#[derive(Debug, Clone, Default)]
pub struct Constraint {
    /// Fewest characters (Unicode scalar values).
    pub min_length: Option<usize>,
    /// Most characters.
    pub max_length: Option<usize>,
    /// A regular expression the whole text must match.
    pub pattern: Option<Regex>,
    /// Smallest number.
    pub min: Option<Decimal>,
    /// Largest number.
    pub max: Option<Decimal>,
    /// Fewest items of a list.
    pub min_items: Option<usize>,
    /// Most items of a list.
    pub max_items: Option<usize>,
    /// A well-known form of text.
    pub format: Option<Format>,
    /// The text is an id of this type (`@bson(type)`).
    pub id_type: Option<IdType>,
}

/// The forms of `@constraint(format)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An e-mail address: one `@` between non-empty parts, no spaces.
    Email,
    /// An absolute URI: a scheme, a colon, no spaces.
    Uri,
    /// A UUID, in either case.
    Uuid,
    /// A calendar date, `2026-02-28`, of the years 0000 to 9999.
    Date,
}

/// `@merge(with)`: how overlapping edits of one field are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MergeStrategy {
    /// The server's value stays.
    Server,
    /// The client's value is taken.
    Client,
    /// The later edit time wins.
    Latest,
    /// The difference to `base` is added.
    Counter,
    /// Items added and removed since `base` are added and removed.
    Set,
    /// The larger value wins.
    Max,
    /// The smaller value wins.
    Min,
    /// A three-way merge of the sentences.
    Text,
    /// A three-way merge of the items of a list, by their keys.
    Items,
}

/// `@grants` on a type: each of its documents gives a user access to a scope.
#[derive(Clone)]
pub struct MembershipRule {
    /// The scope it opens, a template over the stored names of the document's fields.
    pub scope: ScopeTemplate,
    /// The user it is for: one field, and the text around it.
    pub to: Template,
    /// A template that yields the name of a role: READ, WRITE or one of `roles`. Anything else gives nothing.
    pub access: Template,
    /// The roles beside READ and WRITE that documents can give.
    pub roles: Vec<Role>,
}

impl fmt::Debug for MembershipRule {
    /// Stores keep this text, by which they know that documents give something else. A rule without named roles has the
    /// text that it had before there were any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("MembershipRule");
        text.field("scope", &self.scope)
            .field("to", &self.to)
            .field("access", &self.access);
        if !self.roles.is_empty() {
            text.field("roles", &self.roles);
        }
        text.finish()
    }
}

/// A type that is stored inside documents.
#[derive(Debug, Clone)]
pub struct EmbeddedType {
    /// Its name.
    pub name: String,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// Its fields in the order of the file.
    pub fields: Vec<Field>,
}

/// An enum.
#[derive(Debug, Clone)]
pub struct EnumType {
    /// Its name.
    pub name: String,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// Its values in the order of the file.
    pub values: Vec<EnumValue>,
}

/// One value of an enum.
#[derive(Debug, Clone)]
pub struct EnumValue {
    /// Its name.
    pub name: String,
    /// Its description in the SDL.
    pub description: Option<String>,
    /// The reason of `@deprecated`, if it is.
    pub deprecated: Option<String>,
    /// Clients no longer write it (`@retired`).
    pub retired: bool,
}
