//! Whether a caller may make a change: by its roles in the scopes, as the owner, and field by field (rules.md 4.14).
//!
//! A change is judged twice: by what it asks for, before it is compared with other edits, and by what it would write. So
//! nothing depends on how a policy settles it.

use super::{DecisionContext, update::current};
use crate::{
    change::{Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    id::{DocumentId, Scope},
    model::{Field, Operation, RoleSet},
    mutant::{Mutant, is_active},
    value::{Document, Value},
};

impl DecisionContext<'_> {
    /// The entry, if the caller may see it.
    pub(super) fn visible<'e>(&self, entry: Option<&'e Entry>) -> Result<&'e Entry, Rejection> {
        let seen = entry.filter(|entry| self.grants.can_read(&entry.scope));
        seen.ok_or_else(|| {
            let message = "there is no such document, or none you may see";
            Rejection::new(RejectionCode::NotFound, message)
        })
    }

    /// Whether the caller may do this to some documents of the type in `scope`.
    pub(super) fn check_some(&self, operation: Operation, scope: &Scope) -> Result<(), Rejection> {
        let roles = self.document_type.rights.roles(operation);
        match self.grants.may_some(scope, roles) {
            true => Ok(()),
            false => Err(self.forbidden(operation, scope)),
        }
    }

    /// Whether the caller may do this in `scope` to a document that it owns, or does not own.
    fn check(&self, operation: Operation, scope: &Scope, owns: bool) -> Result<(), Rejection> {
        let rights = &self.document_type.rights;
        let roles = match is_active(Mutant::AnyRight) {
            true => rights.changing(),
            false => rights.roles(operation),
        };
        match self.held(scope, owns).meets(roles) {
            true => Ok(()),
            false => Err(self.forbidden(operation, scope)),
        }
    }

    /// The caller's roles in `scope` on a document that it owns, or does not own.
    fn held(&self, scope: &Scope, owns: bool) -> RoleSet {
        let held = self.grants.roles(scope);
        match owns && !held.is_empty() {
            true => held.with(RoleSet::OWNER),
            false => held,
        }
    }

    fn forbidden(&self, operation: Operation, scope: &Scope) -> Rejection {
        let (verb, name) = (operation.verb(), &self.document_type.name);
        let message = format!("you may not {verb} this {name} in the scope {scope}");
        Rejection::new(RejectionCode::Forbidden, message)
    }

    /// Whether the document is the caller's own.
    fn owns(&self, id: &DocumentId, document: &Document) -> bool {
        let (rights, user) = (&self.document_type.rights, &self.identity.user);
        rights.owns(user, id, document)
    }

    /// Whether a document that the caller creates is the caller's own. The gateway names its creator.
    fn owns_new(&self, id: &DocumentId, document: &Document) -> bool {
        self.document_type.rights.owner_is_creator || self.owns(id, document)
    }

    /// Whether the document of an entry is the caller's own. A tombstone is that of the user who created the document.
    pub(super) fn owns_entry(&self, entry: &Entry) -> bool {
        match &entry.body {
            Some(body) => self.owns(&entry.key.id, body),
            None => {
                let creator = entry.writers.get(&entry.began);
                let creator = creator.and_then(|writer| writer.user.as_ref());
                self.document_type.rights.owner.is_some() && creator == Some(&self.identity.user)
            }
        }
    }

    /// Whether the caller may delete the document.
    pub(super) fn check_delete(&self, entry: &Entry) -> Result<(), Rejection> {
        if is_active(Mutant::NewScopeOnly) {
            return Ok(());
        }
        self.check(Operation::Delete, &entry.scope, self.owns_entry(entry))
    }

    /// Whether the caller may update the document, whatever fields it sets.
    pub(super) fn check_update(&self, entry: &Entry) -> Result<(), Rejection> {
        self.check(Operation::Update, &entry.scope, self.owns_entry(entry))
    }

    /// Whether the caller may create the document in `scope`.
    pub(super) fn check_create(
        &self,
        change: &Change,
        document: &Document,
        scope: &Scope,
    ) -> Result<(), Rejection> {
        let owns = self.owns_new(&change.key.id, document);
        self.check(Operation::Create, scope, owns)
    }

    /// Whether the caller may bring a living document into `scope`.
    pub(super) fn check_enter(
        &self,
        id: &DocumentId,
        document: &Document,
        scope: &Scope,
    ) -> Result<(), Rejection> {
        self.check(Operation::Create, scope, self.owns(id, document))
    }

    /// Whether the caller may give these values to a new document in `scope`.
    pub(super) fn check_new_fields(
        &self,
        change: &Change,
        document: &Document,
        scope: &Scope,
    ) -> Result<(), Rejection> {
        let rights = &self.document_type.rights;
        if !rights.has_field_rules || is_active(Mutant::FieldsFree) {
            return Ok(());
        }
        let owns = self.owns_new(&change.key.id, document);
        if rights.owner_is_id() && !owns {
            return Err(not_the_owner("id"));
        }
        let mut fields = self.document_type.fields.iter();
        fields.try_for_each(|field| match self.is_fixed_owner(field) && !owns {
            true => Err(not_the_owner(&field.name)),
            false => self.check_entering(field, document, scope, owns),
        })
    }

    /// Whether the caller may turn the living document of `entry` into `after`, which would be in `scope` if its fields
    /// make one.
    pub(super) fn check_edit(
        &self,
        entry: &Entry,
        after: &Document,
        scope: Option<&Scope>,
    ) -> Result<(), Rejection> {
        let (id, is_new_only) = (&entry.key.id, is_active(Mutant::NewScopeOnly));
        let entered = scope.filter(|scope| **scope != entry.scope);
        let owns = self.owns_entry(entry);
        if let Some(entered) = entered {
            if !is_new_only {
                self.check(Operation::Delete, &entry.scope, owns)?;
            }
            if !is_active(Mutant::OldScopeOnly) {
                self.check_enter(id, after, entered)?;
            }
        }
        if entered.is_some() && (is_new_only || self.document_type.rights.is_of_scopes()) {
            return Ok(());
        }
        let changed = || self.changed(entry, after);
        let moves = |field: &Field| entered.is_some() && self.is_of_scope(field);
        if entered.is_none() || changed().any(|field| !moves(field)) {
            self.check(Operation::Update, &entry.scope, owns)?;
        }
        if !self.document_type.rights.has_field_rules || is_active(Mutant::FieldsFree) {
            return Ok(());
        }
        let held = self.held(&entry.scope, owns);
        changed().try_for_each(|field| check_field(field, self.is_fixed_owner(field), held))?;
        let Some(entered) = entered else {
            return Ok(());
        };
        let owns = self.owns(id, after);
        let mut fields = self.document_type.fields.iter();
        fields.try_for_each(|field| self.check_entering(field, after, entered, owns))
    }

    /// The fields that clients may set and whose values differ.
    fn changed<'f>(
        &'f self,
        entry: &'f Entry,
        after: &'f Document,
    ) -> impl Iterator<Item = &'f Field> {
        let fields = self.document_type.fields.iter();
        fields.filter(|field| {
            let name = &field.stored_as;
            !field.read_only && !self.same(name, current(entry, name), after.get(name))
        })
    }

    /// Whether a document may enter `scope` with its value of a field: the caller has a role there that writes the field, or
    /// the value is what a document has without anybody's doing. A field for the owner may always name the caller.
    fn check_entering(
        &self,
        field: &Field,
        document: &Document,
        scope: &Scope,
        owns: bool,
    ) -> Result<(), Rejection> {
        let Some(writers) = field.writers else {
            return Ok(());
        };
        let is_allowed = self.held(scope, owns).meets(writers)
            || self.is_owner(field) && owns
            || self.is_unset(field, document.get(&field.stored_as));
        match is_allowed {
            true => Ok(()),
            false => Err(not_a_writer(field)),
        }
    }

    /// Whether a field has the value that a document has without the user's doing.
    fn is_unset(&self, field: &Field, value: Option<&Value>) -> bool {
        let default = field.default.as_ref();
        let default = default.and_then(|default| grant::default_for(default, self.identity).ok());
        let name = &field.stored_as;
        value.is_none_or(Value::is_null) || self.same(name, default.as_ref(), value)
    }

    fn is_owner(&self, field: &Field) -> bool {
        self.document_type.rights.owner.as_ref() == Some(&field.stored_as)
    }

    /// Whether the field names the owner for good.
    fn is_fixed_owner(&self, field: &Field) -> bool {
        self.is_owner(field) && field.writers.is_none()
    }

    /// Whether the field is a part of the scope.
    fn is_of_scope(&self, field: &Field) -> bool {
        let mut placeholders = self.document_type.scope.placeholders();
        placeholders.any(|it| it.path().first() == Some(&field.stored_as))
    }
}

/// Whether a user with these roles may give the field another value.
fn check_field(field: &Field, is_fixed_owner: bool, held: RoleSet) -> Result<(), Rejection> {
    if field.immutable {
        return Err(refused(&field.name, "is set at creation only"));
    }
    if is_fixed_owner {
        return Err(refused(&field.name, "names the owner, and stays"));
    }
    match field.writers.is_some_and(|writers| !held.meets(writers)) {
        true => Err(not_a_writer(field)),
        false => Ok(()),
    }
}

fn not_the_owner(field: &str) -> Rejection {
    refused(field, "names the owner, who has to be you")
}

fn not_a_writer(field: &Field) -> Rejection {
    refused(&field.name, "is written by other roles than yours")
}

fn refused(field: &str, message: &str) -> Rejection {
    Rejection::of_field(RejectionCode::Forbidden, field, message)
}
