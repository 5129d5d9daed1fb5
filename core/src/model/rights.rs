//! Who may change documents: roles, and what a type and its fields ask of them (`@allow`, `@owner`, `@access`).
//!
//! [`crate::grant`] finds the roles that a user has in a scope, and [`crate::decide`] what a change needs.

use std::{fmt, sync::Arc};

use super::{DocumentType, STORED_ID, ScopeTemplate};
use crate::{
    grant::document_text,
    id::{DocumentId, Scope, UserId},
    value::Document,
};

/// What a grant gives in a scope. Every role gives READ too, unless its `@grant` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See the documents of a scope.
    Read,
    /// Change them too, where the model allows nothing else.
    Write,
    /// A role that the model names.
    Named(Arc<str>),
}

/// The name of the role that a user has on an own document (`@owner`). No grant gives it.
pub const OWNER: &str = "OWNER";

impl Role {
    /// The most bytes of a role's name.
    pub const BYTES_MAX: usize = 64;

    /// The role of this name, if a grant can give it.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "READ" => Some(Self::Read),
            "WRITE" => Some(Self::Write),
            OWNER | "" => None,
            name if name.len() > Self::BYTES_MAX || name.contains('\0') => None,
            name => Some(Self::Named(name.into())),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Named(name) => name,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the roles of a model: one bit for each, as [`Roles`] numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RoleSet(u64);

impl RoleSet {
    /// No role.
    pub const NONE: Self = Self(0);
    /// [`Role::Read`].
    pub const READ: Self = Self(1);
    /// [`Role::Write`].
    pub const WRITE: Self = Self(1 << 1);
    /// The role on an own document.
    pub const OWNER: Self = Self(1 << 2);
    /// The bits before those of named roles.
    const BUILT_IN: usize = 3;

    fn named(number: usize) -> Self {
        Self(1 << (Self::BUILT_IN + number))
    }

    /// The roles of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they have a role in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no role.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoleSet({:b})", self.0)
    }
}

/// The roles of a model, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// Those beside READ, WRITE and OWNER, in order, [`Roles::NAMED_MAX`] at most.
    named: Vec<Role>,
    /// The roles with which a document of some type may be changed.
    changing: RoleSet,
    /// The scopes of documents that their owners may change, whatever their role.
    owned: Vec<ScopeTemplate>,
}

impl Roles {
    /// The most roles that a model names.
    pub const NAMED_MAX: usize = u64::BITS as usize - RoleSet::BUILT_IN;

    /// Numbers the roles that a model names. Those beyond the bound are left out.
    pub(super) fn new(named: impl IntoIterator<Item = Role>) -> Self {
        let mut named: Vec<Role> = named
            .into_iter()
            .filter(|role| matches!(role, Role::Named(_)))
            .collect();
        named.sort();
        named.dedup();
        named.truncate(Self::NAMED_MAX);
        Self {
            named,
            changing: RoleSet::WRITE,
            owned: Vec::new(),
        }
    }

    /// The roles beside READ, WRITE and OWNER, in order.
    pub fn named(&self) -> &[Role] {
        &self.named
    }

    /// A role as a set; `None` if the model does not name it.
    pub fn set_of(&self, role: &Role) -> Option<RoleSet> {
        match role {
            Role::Read => Some(RoleSet::READ),
            Role::Write => Some(RoleSet::WRITE),
            Role::Named(_) => {
                let number = self.named.binary_search(role).ok()?;
                Some(RoleSet::named(number))
            }
        }
    }

    /// The names of the roles in a set.
    pub fn names(&self, set: RoleSet) -> impl Iterator<Item = &str> {
        let built_in = [
            (RoleSet::READ, Role::Read.name()),
            (RoleSet::WRITE, Role::Write.name()),
            (RoleSet::OWNER, OWNER),
        ];
        let named = self.named.iter().enumerate();
        let named = named.map(|(number, role)| (RoleSet::named(number), role.name()));
        let all = built_in.into_iter().chain(named);
        all.filter(move |(role, _)| role.meets(set))
            .map(|(_, name)| name)
    }

    /// Whether a user with these roles in a scope may change a document of some type there.
    pub fn may_change(&self, scope: &Scope, held: RoleSet) -> bool {
        let has_owned = || self.owned.iter().any(|of_type| of_type.can_give(scope));
        held.meets(self.changing) || !held.is_empty() && has_owned()
    }

    /// Notes with which roles documents of the model's types may be changed, and where owners may change them.
    pub(super) fn note_changing(&mut self, types: &[Arc<DocumentType>]) {
        let changing = types.iter().map(|ty| ty.rights.changing());
        self.changing = changing.fold(RoleSet::NONE, RoleSet::with);
        let owned = types.iter();
        let owned = owned.filter(|ty| ty.rights.changing().meets(RoleSet::OWNER));
        self.owned = owned.map(|ty| ty.scope.clone()).collect();
    }
}

/// What a change does to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Brings it into being, or into a scope.
    Create,
    /// Changes some of its fields.
    Update,
    /// Deletes it, or takes it out of a scope.
    Delete,
}

impl Operation {
    /// All operations, by their names in a model.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("CREATE", Self::Create),
        ("UPDATE", Self::Update),
        ("DELETE", Self::Delete),
    ];

    /// The verb for it, in messages.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Who may change the documents of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRights {
    /// The roles that may create.
    pub create: RoleSet,
    /// The roles that may update.
    pub update: RoleSet,
    /// The roles that may delete.
    pub delete: RoleSet,
    /// The stored name of the field that names a document's owner (`@owner`).
    pub owner: Option<String>,
    /// Whether that is the field in which the gateway names the creator.
    pub owner_is_creator: bool,
    /// Whether a field has rules of its own: it names the owner, or has `@immutable` or `@access`.
    pub has_field_rules: bool,
}

impl Default for TypeRights {
    /// What holds without `@allow`.
    fn default() -> Self {
        Self {
            create: RoleSet::WRITE,
            update: RoleSet::WRITE,
            delete: RoleSet::WRITE,
            owner: None,
            owner_is_creator: false,
            has_field_rules: false,
        }
    }
}

impl TypeRights {
    /// The roles that may do this.
    pub fn roles(&self, operation: Operation) -> RoleSet {
        match operation {
            Operation::Create => self.create,
            Operation::Update => self.update,
            Operation::Delete => self.delete,
        }
    }

    /// The same, to be added to.
    pub(super) fn roles_mut(&mut self, operation: Operation) -> &mut RoleSet {
        match operation {
            Operation::Create => &mut self.create,
            Operation::Update => &mut self.update,
            Operation::Delete => &mut self.delete,
        }
    }

    /// The roles that may do something.
    pub fn changing(&self) -> RoleSet {
        self.create.with(self.update).with(self.delete)
    }

    /// The roles that may settle a conflict.
    pub fn resolving(&self) -> RoleSet {
        self.update.with(self.delete)
    }

    /// Whether what a change needs depends only on the scopes that a document is in before and after it.
    pub fn is_of_scopes(&self) -> bool {
        let same = self.create == self.update && self.update == self.delete;
        same && self.owner.is_none() && !self.has_field_rules
    }

    /// Whether the document names `user` as its owner.
    pub fn owns(&self, user: &UserId, id: &DocumentId, document: &Document) -> bool {
        let owner = self.owner.as_deref();
        let named = owner.and_then(|field| document_text(id, document, field));
        named.is_some_and(|named| named == user.as_str())
    }

    /// Whether the owner of a document is its id.
    pub fn owner_is_id(&self) -> bool {
        self.owner.as_deref() == Some(STORED_ID)
    }
}
