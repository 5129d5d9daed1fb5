//! The fields of documents that show other documents: how they are declared, and how their selections are compiled.

use std::sync::Arc;

use async_graphql::dynamic::{Field, TypeRef};
use tidegate_core::{
    model::{DocumentType, Model, Reference, Reverse},
    query::Column,
};

use super::{DocumentTypes, deprecated, unresolved};
use crate::graphql::{
    inputs,
    render::{
        document::{DocumentPart, ReferencePlan, ReversePlan},
        fields_of,
        load::Relation,
    },
    request::SelectedField,
    shape::{deprecation, nullable},
    types::{
        connection::page_info,
        list::{self, ListSelection},
    },
};

impl DocumentTypes {
    /// The part of a field that shows other documents.
    pub(super) fn relation(
        &self,
        document_type: &DocumentType,
        asked: &SelectedField,
    ) -> Option<DocumentPart> {
        let name = asked.name.as_str();
        let mut references = document_type.references.iter();
        if let Some(reference) = references.find(|reference| reference.name == name) {
            return Some(match reference.retired {
                true => DocumentPart::Nothing,
                false => DocumentPart::Reference(self.reference(document_type, reference, asked)),
            });
        }
        let mut reverses = document_type.reverses.iter();
        let reverse = reverses.find(|reverse| reverse.name == name)?;
        Some(match reverse.retired {
            true => DocumentPart::Nothing,
            false => DocumentPart::Reverse(self.reverse(reverse, asked)),
        })
    }

    fn reverse(&self, reverse: &Reverse, asked: &SelectedField) -> ReversePlan {
        let target = self.model.document_type(reverse.target.as_str());
        let target = target.expect("a relation is to a type of the model");
        let connection = list::connection(
            target,
            &Arc::new(Self::new(&self.model)),
            &Arc::new(page_info()),
            &Arc::new(list::count()),
        );
        ReversePlan {
            relation: Arc::new(Relation {
                document_type: Arc::clone(target),
                by: Column::new(&reverse.by),
                slot: asked.slot.expect("the field takes arguments"),
                wants: ListSelection::of(asked, target),
            }),
            same_scope: reverse.same_scope,
            plan: Arc::new(connection.compile(asked)),
        }
    }

    fn reference(
        &self,
        document_type: &DocumentType,
        reference: &Reference,
        asked: &SelectedField,
    ) -> ReferencePlan {
        let target = self.model.document_type(reference.target.as_str());
        let target = target.expect("a reference is to a type of the model");
        let by = document_type.stored_field(&reference.by);
        let earlier = by.and_then(|by| by.earlier_name(&document_type.fields));
        let fields = fields_of(&asked.below, target.name.as_str());
        ReferencePlan {
            field: document_type.field_name(&reference.by).into(),
            by_before: earlier.map(Box::from),
            by: reference.by.as_str().into(),
            target: target.stored_as.clone(),
            id_type: target.id_type,
            is_list: reference.is_list,
            plan: Arc::new(self.document(target, fields)),
        }
    }
}

/// Another document whose id is in this one.
pub(super) fn reference_field(document_type: &DocumentType, reference: &Reference) -> Field {
    let Reference { by, target, .. } = reference;
    let by = document_type.field_name(by);
    let ty = match reference.is_list {
        true => TypeRef::named_list(target.as_str()),
        false => nullable(target.as_str()),
    };
    let field = unresolved(&reference.name, ty);
    let description = reference
        .description
        .clone()
        .unwrap_or_else(|| match reference.is_list {
            true => format!("The documents of {target} that `{by}` names, each if you may see it."),
            false => format!("The {target} that `{by}` names, if you may see it."),
        });
    deprecated(
        field.description(description),
        deprecation(reference.deprecated.as_ref(), reference.retired),
    )
}

/// A list of the documents that refer to this one.
pub(super) fn reverse_field(model: &Model, reverse: &Reverse) -> Field {
    let target = model.document_type(reverse.target.as_str());
    let target = target.expect("a relation is to a type of the model");
    let by = target.field_name(&reverse.by);
    let field = unresolved(
        &reverse.name,
        nullable(&format!("{}Connection", target.name)),
    );
    let usual = || {
        format!(
            "The documents of {} whose `{by}` names this one.",
            target.name
        )
    };
    let description = reverse.description.clone().unwrap_or_else(usual);
    let arguments = inputs::lists::arguments(target).into_iter();
    let field = arguments.fold(field.description(description), Field::argument);
    deprecated(
        field,
        deprecation(reverse.deprecated.as_ref(), reverse.retired),
    )
}
