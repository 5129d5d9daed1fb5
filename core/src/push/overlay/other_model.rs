//! What a gateway may do whose model does not lead (rules.md 9.6).

use std::collections::BTreeSet;

use super::{OverlayChanges, TransactionOverlay};
use crate::{
    id::{DocumentKey, TypeName},
    model::Model,
    mutant::{Mutant, is_active},
    push::PushRefusal,
};

/// The state before a push.
pub(in crate::push) struct Savepoint<'l> {
    changed: OverlayChanges,
    taken_over: BTreeSet<&'l DocumentKey>,
}

impl<'l> TransactionOverlay<'l> {
    /// Whether the gateway's model leads.
    pub(in crate::push) fn leads(&self) -> bool {
        self.loaded.standing.leads
    }

    /// Refuses to decide about types that the leading model stores or scopes otherwise.
    pub(in crate::push) fn refuse_other_shapes<'t>(
        &self,
        model: &Model,
        mut types: impl Iterator<Item = &'t TypeName>,
    ) -> Result<(), PushRefusal> {
        if self.leads() || is_active(Mutant::OtherShapes) {
            return Ok(());
        }
        let disagrees = |name: &&TypeName| {
            let document_type = model.stored_type(name);
            document_type.is_some_and(|of| !self.loaded.models.agrees(model, of))
        };
        types
            .find(disagrees)
            .map_or(Ok(()), |type_name| Err(other_model(model, type_name)))
    }

    pub(in crate::push) fn savepoint(&self) -> Savepoint<'l> {
        Savepoint {
            changed: self.changed.clone(),
            taken_over: self.taken_over.clone(),
        }
    }

    /// Undoes the changes of a push. Others' writes came before it and stay, if this gateway may write them alone.
    pub(in crate::push) fn undo(&mut self, before: Savepoint<'l>) {
        self.changed = before.changed;
        if !self.may_import_alone() {
            self.taken_over = before.taken_over;
        }
        for key in self.taken_over.clone() {
            if !self.changed.entries.contains_key(key) {
                self.write_import(key);
            }
        }
    }

    /// The first document that the push has taken over without a change to it.
    pub(in crate::push) fn imported_alone(
        &self,
        before: &Savepoint<'l>,
    ) -> Option<&'l DocumentKey> {
        let taken_over = self.taken_over.difference(&before.taken_over);
        taken_over.copied().find(|key| self.is_import(key))
    }

    /// The first document that the push has taken over.
    pub(in crate::push) fn taken_over_since(
        &self,
        before: &Savepoint<'l>,
    ) -> Option<&'l DocumentKey> {
        let mut taken_over = self.taken_over.difference(&before.taken_over);
        taken_over.next().copied()
    }

    /// Whether the transaction writes an import and leaves the application's document as it is.
    pub(super) fn imports_alone(&self) -> bool {
        self.taken_over.iter().any(|key| self.is_import(key))
    }

    /// Whether what the transaction writes of the document is the import itself.
    fn is_import(&self, key: &DocumentKey) -> bool {
        let (import, changed) = (self.imports.get(key), self.changed.entries.get(key));
        import.map(|import| import.version) == changed.map(|changed| changed.version)
    }

    /// Whether others' writes may be taken over without a write of the document. That write wakes the importer.
    pub(in crate::push) fn may_import_alone(&self) -> bool {
        self.leads() || is_active(Mutant::ImportedAlone)
    }

    /// Whether another service has written to the document, and nothing of that is taken over.
    pub(in crate::push) fn is_foreign(&self, key: &DocumentKey) -> bool {
        self.imports.contains_key(key) && !self.taken_over.contains(key)
    }
}

/// The refusal of a push about documents of this type.
pub(in crate::push) fn other_model(model: &Model, type_name: &TypeName) -> PushRefusal {
    let document_type = model.stored_type(type_name);
    let type_name = document_type.map_or(type_name, |document_type| &document_type.name);
    PushRefusal::OtherModel {
        type_name: type_name.clone(),
    }
}
