//! The earlier names of renamed types (`@renamed(from)`) in the documents of older apps. The schema has the present names
//! only, since an object has one `__typename`.
//!
//! A document with an earlier name is read as if it had the present one, and its answers call the type as it does.

use std::collections::{BTreeMap, HashMap};

use apollo_compiler::{
    Name, Schema,
    ast::{self, Definition, OperationType, Selection, Type},
};
use tidegate_core::{id::TypeName, model::Model};

use super::types::document::state_name;

/// The names of a model's renamed types.
#[derive(Default)]
pub(super) struct EarlierNames {
    /// By each name that the API has, or had, for a renamed type.
    types: HashMap<String, KnownName>,
    /// By the names of root fields.
    roots: HashMap<String, KnownName>,
    /// The objects of each renamed type: the present name with the earlier one.
    objects: Vec<[(String, String); 2]>,
}

struct KnownName {
    /// The index of the type among the renamed ones.
    of: usize,
    /// The present name, if this is the earlier one.
    present: Option<Name>,
}

/// What the answers to a document call types: present names, each with the earlier one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ShownNames(BTreeMap<String, String>);

impl ShownNames {
    /// What the type of this present name is called.
    pub(super) fn of<'n>(&'n self, present: &'n str) -> &'n str {
        self.0.get(present).map_or(present, String::as_str)
    }
}

impl EarlierNames {
    /// A name that the schema has for something else is no earlier name.
    pub(super) fn new(model: &Model, schema: &Schema) -> Self {
        let mut names = Self::default();
        for document_type in &model.types {
            let Some(from) = &document_type.renamed_from else {
                continue;
            };
            let of = names.objects.len();
            let [present, earlier] = [&document_type.name, from].map(generated_names);
            for (present, earlier) in present.iter().zip(&earlier) {
                if !schema.types.contains_key(earlier.as_str()) {
                    let present = Some(Name::new_unchecked(present));
                    let known = KnownName { of, present };
                    names.types.insert(earlier.clone(), known);
                }
                let known = KnownName { of, present: None };
                names.types.insert(present.clone(), known);
            }
            let roots = [
                Some(&document_type.singular),
                document_type.singular_before.as_ref(),
            ];
            for root in roots.into_iter().flatten() {
                let is_present = *root == document_type.singular;
                let present = (!is_present).then(|| Name::new_unchecked(root));
                names.roots.insert(root.clone(), KnownName { of, present });
            }
            let [document, state, ..] = present;
            let [document_before, state_before, ..] = earlier;
            names
                .objects
                .push([(document, document_before), (state, state_before)]);
        }
        names
    }

    /// Writes the present names into the document. Returns what its answers call types, if that is not as in the schema.
    /// A type that a document calls by both names has its present one there.
    pub(super) fn replace(&self, document: &mut ast::Document) -> Option<ShownNames> {
        if self.objects.is_empty() {
            return None;
        }
        let mut replacing = Replacing {
            names: self,
            called: vec![Called::default(); self.objects.len()],
        };
        for definition in &mut document.definitions {
            replacing.definition(definition);
        }
        let called = replacing.called.iter().zip(&self.objects);
        let earlier = called.filter(|(called, _)| called.by_earlier && !called.by_present);
        let shown: BTreeMap<_, _> = earlier.flat_map(|(_, objects)| objects.clone()).collect();
        (!shown.is_empty()).then_some(ShownNames(shown))
    }
}

/// The names that the API has for a type of this name: of its documents, of the sides of its conflicts, of its inputs.
fn generated_names(name: &TypeName) -> [String; 7] {
    let input = |suffix| format!("{name}{suffix}");
    [
        name.to_string(),
        state_name(name),
        input("Change"),
        input("Create"),
        input("Update"),
        input("Input"),
        input("Patch"),
    ]
}

/// By which names a document calls a type.
#[derive(Clone, Copy, Default)]
struct Called {
    by_present: bool,
    by_earlier: bool,
}

struct Replacing<'n> {
    names: &'n EarlierNames,
    /// Of each renamed type.
    called: Vec<Called>,
}

impl Replacing<'_> {
    fn definition(&mut self, definition: &mut Definition) {
        match definition {
            Definition::OperationDefinition(operation) => {
                let operation = operation.make_mut();
                for variable in &mut operation.variables {
                    self.type_name(named_in(variable.make_mut().ty.make_mut()));
                }
                let is_root = operation.operation_type == OperationType::Query;
                self.selections(&mut operation.selection_set, is_root);
            }
            Definition::FragmentDefinition(fragment) => {
                let fragment = fragment.make_mut();
                let is_root = fragment.type_condition == "Query";
                self.type_name(&mut fragment.type_condition);
                self.selections(&mut fragment.selection_set, is_root);
            }
            _ => {}
        }
    }

    /// `is_root` says whether these are fields of `Query`. The parser has bounded the recursion.
    fn selections(&mut self, selections: &mut [Selection], is_root: bool) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let names = self.names;
                    let known = names.roots.get(field.name.as_str());
                    if let Some(known) = known.filter(|_| is_root) {
                        self.called[known.of].add(known);
                    }
                    self.selections(&mut field.make_mut().selection_set, false);
                }
                Selection::InlineFragment(fragment) => {
                    let fragment = fragment.make_mut();
                    if let Some(condition) = &mut fragment.type_condition {
                        self.type_name(condition);
                    }
                    self.selections(&mut fragment.selection_set, is_root);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn type_name(&mut self, name: &mut Name) {
        let names = self.names;
        let Some(known) = names.types.get(name.as_str()) else {
            return;
        };
        self.called[known.of].add(known);
        if let Some(present) = &known.present {
            *name = present.clone();
        }
    }
}

impl Called {
    fn add(&mut self, known: &KnownName) {
        match known.present {
            Some(_) => self.by_earlier = true,
            None => self.by_present = true,
        }
    }
}

fn named_in(mut ty: &mut Type) -> &mut Name {
    loop {
        match ty {
            Type::Named(name) | Type::NonNullNamed(name) => return name,
            Type::List(item) | Type::NonNullList(item) => ty = item,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::graphql::{Api, ApiOptions, RawRequest};

    /// An embedded type has the name that an input of the renamed type had.
    const MODEL: &str = r#"
        extend schema @grant(scope: "public", access: WRITE)
        type Note @collection(name: "notes") @scope(by: "public") @renamed(from: "Memo") { id: ID! part: MemoPatch other: Tag @reference(by: "by") by: ID }
        type Tag @collection(name: "tags") @scope(by: "public") @renamed(from: "Label") { id: ID! memo: Int }
        type MemoPatch { label: Int }
    "#;

    /// What the answers to the document call Note and Tag.
    fn called(query: &str) -> [String; 2] {
        let model = Arc::new(Model::parse("model.graphql", MODEL).unwrap());
        let api = Api::new(&model, ApiOptions::default()).unwrap();
        let request = RawRequest {
            query: query.to_owned(),
            ..RawRequest::default()
        };
        assert!(api.validate(request).is_ok(), "{query}");
        let schema = Schema::builder().ignore_builtin_redefinitions();
        let schema = schema.parse(api.sdl(), "schema.graphql").build().unwrap();
        let names = EarlierNames::new(&model, &schema);
        let mut document = ast::Document::parse(query, "request").unwrap();
        let shown = names.replace(&mut document);
        ["Note", "Tag"].map(|name| {
            let shown = shown.as_ref().map_or(name, |shown| shown.of(name));
            shown.to_owned()
        })
    }

    #[test]
    fn a_type_is_called_as_the_document_calls_it_and_nothing_else_is() {
        for (query, expected) in [
            (
                "{ note(id: 1) { part { ... on MemoPatch { label } } } }",
                ["Note", "Tag"],
            ),
            ("{ memo(id: 1) { other { memo } } }", ["Memo", "Tag"]),
            (
                "{ memo(id: 1) { other { ... on Label { memo } } } }",
                ["Memo", "Label"],
            ),
            ("{ tag(id: 1) { memo } }", ["Note", "Tag"]),
            (
                "{ label(id: 1) { memo } tag(id: 1) { id } }",
                ["Note", "Tag"],
            ),
            (
                "{ conflicts { nodes { mine { ... on SyncMemoState { by } } } } }",
                ["Memo", "Tag"],
            ),
        ] {
            assert_eq!(called(query), expected, "{query}");
        }
    }
}
