//! Fields of one name that two synced types give different types.
//!
//! That is no mistake, but one query cannot select both without an alias (GraphQL specification, section 5.3.2,
//! SameResponseShape).

use std::collections::BTreeSet;

use super::{DocumentType, Field, FieldType, Model, Reference, Shape};
use crate::id::TypeName;

/// A field that cannot be selected from both types under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldAmbiguity {
    /// The type that stands first in the model.
    pub a: TypeName,
    /// The other type.
    pub b: TypeName,
    /// The name of the field in both.
    pub field: String,
}

impl Model {
    /// The fields that an operation over all types has to alias, in the order of the model. Nothing asks for retired ones.
    pub fn clashes(&self) -> Vec<FieldAmbiguity> {
        let in_use = || self.types.iter().filter(|ty| !ty.retired);
        let pairs = in_use()
            .enumerate()
            .flat_map(|(i, a)| in_use().skip(i + 1).map(move |b| (a, b)));
        pairs.flat_map(|(a, b)| self.clashes_of(a, b)).collect()
    }

    fn clashes_of(&self, a: &DocumentType, b: &DocumentType) -> Vec<FieldAmbiguity> {
        common(outputs(a), outputs(b))
            .into_iter()
            .filter(|(_, in_a, in_b)| {
                Comparison {
                    model: self,
                    seen: BTreeSet::new(),
                }
                .clash(*in_a, *in_b)
            })
            .map(|(name, ..)| FieldAmbiguity {
                a: a.name.clone(),
                b: b.name.clone(),
                field: name.to_owned(),
            })
            .collect()
    }
}

/// The form of a field in an answer.
#[derive(Clone, Copy)]
enum OutputShape<'a> {
    Stored(&'a FieldType),
    Document(&'a TypeName),
}

type NamedOutput<'a> = (&'a str, OutputShape<'a>);

fn outputs(ty: &DocumentType) -> Vec<NamedOutput<'_>> {
    let references = ty.references.iter().filter(|it| !it.retired);
    let references = references.map(|r: &Reference| (&*r.name, OutputShape::Document(&r.target)));
    stored_outputs(&ty.fields)
        .into_iter()
        .chain(references)
        .collect()
}

fn stored_outputs(fields: &[Field]) -> Vec<NamedOutput<'_>> {
    let fields = fields.iter().filter(|field| !field.retired);
    fields
        .map(|field| (&*field.name, OutputShape::Stored(&field.ty)))
        .collect()
}

fn common<'a>(
    a: Vec<NamedOutput<'a>>,
    b: Vec<NamedOutput<'a>>,
) -> Vec<(&'a str, OutputShape<'a>, OutputShape<'a>)> {
    a.into_iter()
        .filter_map(|(name, in_a)| {
            let (_, in_b) = b.iter().find(|(candidate, _)| *candidate == name)?;
            Some((name, in_a, *in_b))
        })
        .collect()
}

struct Comparison<'a> {
    model: &'a Model,
    /// Pairs of types found equal or being compared; types may contain themselves.
    seen: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn clash(&mut self, a: OutputShape<'a>, b: OutputShape<'a>) -> bool {
        match (a, b) {
            (OutputShape::Stored(a), OutputShape::Stored(b)) => self.types_clash(a, b),
            (OutputShape::Document(a), OutputShape::Document(b)) => {
                self.objects_clash(a.as_str(), b.as_str())
            }
            (OutputShape::Stored(stored), OutputShape::Document(target))
            | (OutputShape::Document(target), OutputShape::Stored(stored)) => match &stored.shape {
                Shape::Embedded(name) if !stored.required => {
                    self.objects_clash(name, target.as_str())
                }
                _ => true,
            },
        }
    }

    fn types_clash(&mut self, a: &'a FieldType, b: &'a FieldType) -> bool {
        a.required != b.required
            || match (&a.shape, &b.shape) {
                (Shape::List(a), Shape::List(b)) => self.types_clash(a, b),
                (Shape::Embedded(a), Shape::Embedded(b)) => self.objects_clash(a, b),
                (a, b) => a != b,
            }
    }

    fn objects_clash(&mut self, a: &'a str, b: &'a str) -> bool {
        if a == b || !self.seen.insert((a, b)) {
            return false;
        }
        common(self.outputs_of(a), self.outputs_of(b))
            .into_iter()
            .any(|(_, in_a, in_b)| self.clash(in_a, in_b))
    }

    fn outputs_of(&self, name: &str) -> Vec<NamedOutput<'a>> {
        match (
            self.model.embedded.get(name),
            self.model.document_type(name),
        ) {
            (Some(embedded), _) => stored_outputs(&embedded.fields),
            (None, Some(document_type)) => outputs(document_type),
            (None, None) => Vec::new(),
        }
    }
}
