//! A parsed document, sorted into the parts of a model: grants, synced types, embedded types and enums.
//!
//! Definitions that no model has are refused here. Other modules check the content of the rest.

use apollo_compiler::{
    Node,
    ast::{
        Definition, DirectiveList, DirectiveLocation, Document, EnumTypeDefinition,
        ObjectTypeDefinition, SchemaExtension, Type,
    },
};

use super::{directives::DirectiveArguments, report::DiagnosticReport};
use crate::model::{FieldType, Scalar, Shape};

/// The definitions of a model by kind, each in the order of the file.
#[derive(Default)]
pub(super) struct Sdl<'a> {
    pub(super) schema: Vec<&'a Node<SchemaExtension>>,
    /// Types with `@collection`.
    pub(super) synced: Vec<&'a Node<ObjectTypeDefinition>>,
    /// Types without.
    pub(super) embedded: Vec<&'a Node<ObjectTypeDefinition>>,
    pub(super) enums: Vec<&'a Node<EnumTypeDefinition>>,
}

impl<'a> Sdl<'a> {
    pub(super) fn sort(document: &'a Document, report: &mut DiagnosticReport<'_>) -> Self {
        let mut sdl = Self::default();
        for definition in &document.definitions {
            match definition {
                Definition::SchemaExtension(schema) if schema.root_operations.is_empty() => {
                    sdl.schema.push(schema);
                }
                Definition::ObjectTypeDefinition(object) => {
                    check_object(object, report);
                    let has_collection = object.directives.has("collection");
                    let list = if has_collection {
                        &mut sdl.synced
                    } else {
                        &mut sdl.embedded
                    };
                    list.push(object);
                }
                Definition::EnumTypeDefinition(def) => {
                    check_enum(def, report);
                    sdl.enums.push(def);
                }
                other => refuse(other, report),
            }
        }
        sdl
    }

    /// The arguments of every `@grant`.
    pub(super) fn grants(&self) -> impl Iterator<Item = DirectiveArguments<'a>> {
        let schema = self.schema.iter();
        schema.flat_map(|schema| DirectiveArguments::all_of(&schema.directives, "grant"))
    }

    /// Types, synced and embedded.
    pub(super) fn objects(&self) -> impl Iterator<Item = &'a Node<ObjectTypeDefinition>> {
        self.synced.iter().chain(&self.embedded).copied()
    }

    /// The synced type called `name`.
    pub(super) fn synced_type(&self, name: &str) -> Option<&'a Node<ObjectTypeDefinition>> {
        let mut objects = self.synced.iter().copied();
        objects.find(|object| object.name == name)
    }

    /// The embedded type called `name`.
    pub(super) fn embedded_type(&self, name: &str) -> Option<&'a Node<ObjectTypeDefinition>> {
        let mut objects = self.embedded.iter().copied();
        objects.find(|object| object.name == name)
    }

    /// Every name a field's type may use.
    pub(super) fn type_names(&self) -> impl Iterator<Item = &'a str> {
        let scalars = Scalar::ALL
            .into_iter()
            .map(|scalar| -> &'a str { scalar.name() });
        let objects = self.objects().map(|object| object.name.as_str());
        let enums = self.enums.iter().copied().map(|def| def.name.as_str());
        scalars.chain(objects).chain(enums)
    }

    /// The shape of a stored field of type `ty`; `None` for synced and unknown types.
    pub(super) fn field_type(&self, ty: &Type) -> Option<FieldType> {
        let shape = match ty {
            Type::Named(name) | Type::NonNullNamed(name) => self.leaf(name)?,
            Type::List(item) | Type::NonNullList(item) => {
                Shape::List(Box::new(self.field_type(item)?))
            }
        };
        Some(FieldType {
            shape,
            required: ty.is_non_null(),
        })
    }

    fn leaf(&self, name: &str) -> Option<Shape> {
        if let Some(scalar) = Scalar::ALL.into_iter().find(|scalar| scalar.name() == name) {
            Some(Shape::Scalar(scalar))
        } else if self.enums.iter().any(|def| def.name == name) {
            Some(Shape::Enum(name.to_owned()))
        } else {
            self.embedded_type(name)
                .map(|_| Shape::Embedded(name.to_owned()))
        }
    }

    /// Every place that may carry directives, with its kind.
    pub(super) fn directives(
        &self,
    ) -> impl Iterator<Item = (DirectiveLocation, &'a DirectiveList)> {
        let schema = self
            .schema
            .iter()
            .map(|s| (DirectiveLocation::Schema, &s.directives));
        let objects = self.objects().flat_map(|object| {
            let fields = object
                .fields
                .iter()
                .map(|field| (DirectiveLocation::FieldDefinition, &field.directives));
            fields.chain([(DirectiveLocation::Object, &object.directives)])
        });
        let enums = self.enums.iter().flat_map(|def| {
            let values = def
                .values
                .iter()
                .map(|value| (DirectiveLocation::EnumValue, &value.directives));
            values.chain([(DirectiveLocation::Enum, &def.directives)])
        });
        schema.chain(objects).chain(enums)
    }
}

fn check_object(object: &Node<ObjectTypeDefinition>, report: &mut DiagnosticReport<'_>) {
    let name = &object.name;
    if object.fields.is_empty() {
        report.add(
            name.location(),
            format!("the type {name} has no fields"),
            "give it at least one field, or remove it",
        );
    }
    if let Some(interface) = object.implements_interfaces.first() {
        report.add(
            interface.location(),
            format!("the type {name} implements an interface, and a model has none"),
            "remove `implements`; the generated API gives every synced type the interface SyncDocument",
        );
    }
    for argument in object.fields.iter().flat_map(|field| &field.arguments) {
        report.add(
            argument.location(),
            "a field of a model takes no arguments",
            "remove them: a model says what is stored, the API is generated from it",
        );
    }
}

fn check_enum(def: &Node<EnumTypeDefinition>, report: &mut DiagnosticReport<'_>) {
    if def.values.is_empty() {
        report.add(
            def.name.location(),
            format!("the enum {} has no values", def.name),
            "give it at least one value, or remove it",
        );
    }
}

fn refuse(definition: &Definition, report: &mut DiagnosticReport<'_>) {
    let (what, hint) = match definition {
        Definition::OperationDefinition(_) | Definition::FragmentDefinition(_) => (
            "an operation or fragment stands in a model",
            "keep operations with the client; `tidegate operations` prints some to start from",
        ),
        Definition::DirectiveDefinition(_) => (
            "a model defines no directives",
            "remove the definition: the directives of a model are built in",
        ),
        Definition::SchemaDefinition(_) | Definition::SchemaExtension(_) => (
            "a model has no `schema` with root types of its own",
            "write `extend schema @grant(…)` and no block: Query, Mutation and Subscription are generated",
        ),
        Definition::ScalarTypeDefinition(_) => (
            "a model defines no scalars",
            "use ID, String, Int, Float, Boolean, Date, DateTime, Long, Decimal, Bytes or JSON, which are built in",
        ),
        Definition::InterfaceTypeDefinition(_) | Definition::UnionTypeDefinition(_) => (
            "interfaces and unions are not part of a model",
            "write one type that has the fields of all, or a type for each",
        ),
        Definition::InputObjectTypeDefinition(_) => (
            "input types are not part of a model",
            "remove it: the inputs of the API are generated from the types",
        ),
        _ => (
            "types and enums cannot be extended in a model",
            "write everything in the definition itself; only `extend schema` is known",
        ),
    };
    report.add(definition.location(), what, hint);
}
