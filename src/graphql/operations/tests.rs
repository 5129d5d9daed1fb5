//! Ready-made operations on random models whose names are hard for generators.
//!
//! `TIDEGATE_MODELS_CASES` asks for more models than an ordinary run has, `TIDEGATE_MODELS_SEED` for others.

mod generators;
mod models;

use std::{collections::BTreeSet, sync::Arc};

use apollo_compiler::ast::{self, Definition, Selection};
use tidegate_core::model::Model;

use super::{Operations, names::folded};
use crate::{
    graphql::{
        Api, ApiOptions, RawRequest,
        request::tests::peer::cases::{drawn, setting},
    },
    limits::Limits,
};

/// Models of an ordinary run.
const CASES: u64 = 40;

/// Words with a meaning in a language for which people generate clients.
const KEYWORDS: &str = "\
    False None True and as assert async await break class continue def del elif else except finally for from global if import \
    in is lambda nonlocal not or pass raise return try while with yield match case \
    enum export extends function instanceof new null super switch this throw typeof var void delete debugger do default \
    const catch let static implements interface package private protected public any boolean number string symbol \
    abstract become box crate dyn extern fn impl loop macro mod move mut override priv pub ref self Self struct trait type \
    unsafe unsized use virtual where actor associatedtype deinit fileprivate func init inout internal open operator \
    precedencegroup protocol rethrows subscript typealias defer fallthrough guard repeat throws nil Any Type Protocol \
    fun object val when typeof by companion constructor data field file get set lateinit out sealed suspend vararg \
    covariant dynamic external factory Function hide library mixin late on part required show sync base chan go goto map \
    range select checked decimal delegate double event explicit fixed float foreach implicit int lock long namespace \
    params readonly sbyte short sizeof stackalloc uint ulong unchecked ushort volatile add alias ascending descending \
    equals global group init into join let nameof notnull orderby partial record remove unmanaged value";

fn random_models(cases: u64) -> impl Iterator<Item = (String, Model)> {
    let seed = setting("TIDEGATE_MODELS_SEED").unwrap_or(1);
    (0..cases).map(move |at| {
        let (mut choices, _) = drawn(seed, at, 2_000);
        let (text, model) = models::random(&mut choices);
        let origin = format!("# TIDEGATE_MODELS_SEED={seed}, model {at}\n");
        (origin + &text, model)
    })
}

fn ordinary_cases() -> u64 {
    setting("TIDEGATE_MODELS_CASES").unwrap_or(CASES)
}

fn api(model: Model, limits: Limits) -> Api {
    let options = ApiOptions {
        limits,
        ..ApiOptions::default()
    };
    Api::new(&Arc::new(model), options).unwrap()
}

#[test]
fn every_ready_made_operation_is_admitted_or_a_limit_says_why_not() {
    let mut refused = 0;
    for (text, model) in random_models(ordinary_cases()) {
        let operations = Operations::new(&model);
        let unlimited = Limits {
            query_aliases: 1_000_000,
            query_bytes: 1 << 30,
            query_tokens: 10_000_000,
            query_nodes: 10_000_000,
            query_cost: usize::MAX,
            answer_bytes: usize::MAX,
            ..Limits::default()
        };
        let whole = RawRequest {
            query: operations.text(),
            operation_name: Some("Viewer".to_owned()),
            ..RawRequest::default()
        };
        let sent = operations.each().collect::<Vec<_>>();
        assert_eq!(sent.len(), 7 + model.types.len());
        let unlimited = api(Model::parse("model.graphql", &text).unwrap(), unlimited);
        let limited = api(model, Limits::default());
        for request in operations.each().chain([whole]) {
            if let Err(answer) = unlimited.validate(request) {
                panic!("{text}\n{}\n{answer:?}", operations.text());
            }
        }
        for request in sent {
            if let Err(answer) = limited.validate(request) {
                refused += 1;
                let message = &answer.refusal().unwrap()[0].message;
                assert!(message.contains("(limits."), "{text}\n{message}");
            }
        }
    }
    println!("operations refused by the default limits: {refused}");
}

#[test]
fn aliases_and_fragments_stay_apart_from_every_name_beside_them() {
    let mut aliased = 0;
    for (text, model) in random_models(ordinary_cases()) {
        let document = ast::Document::parse(Operations::new(&model).text(), "operations").unwrap();
        let mut definitions: BTreeSet<String> =
            model.enums.keys().map(|name| folded(name)).collect();
        let fields = model
            .types
            .iter()
            .flat_map(|ty| &ty.fields)
            .map(|field| &field.name);
        let references = model
            .types
            .iter()
            .flat_map(|ty| &ty.references)
            .map(|it| &it.name);
        let unaliased: BTreeSet<String> =
            fields.chain(references).map(|name| folded(name)).collect();
        let mut aliases = BTreeSet::new();
        for definition in &document.definitions {
            let name = definition.name().unwrap();
            assert!(definitions.insert(folded(name)), "{name}: {text}");
            let Definition::FragmentDefinition(fragment) = definition else {
                continue;
            };
            if fragment.type_condition.ends_with("State") {
                continue;
            }
            for selection in &fragment.selection_set {
                let Selection::Field(field) = selection else {
                    continue;
                };
                let Some(alias) = &field.alias else { continue };
                aliased += 1;
                assert!(
                    !KEYWORDS
                        .split_whitespace()
                        .any(|word| word == alias.as_str()),
                    "{alias}"
                );
                assert!(!unaliased.contains(&folded(alias)), "{alias}: {text}");
                assert!(aliases.insert(folded(alias)), "{alias}: {text}");
            }
        }
    }
    assert!(aliased > 20, "{aliased} aliases are too few to tell");
}

#[test]
fn variables_are_no_keywords() {
    let keywords: BTreeSet<&str> = KEYWORDS.split_whitespace().collect();
    let (_, model) = random_models(1).next().unwrap();
    let document = ast::Document::parse(Operations::new(&model).text(), "operations").unwrap();
    for definition in &document.definitions {
        let Definition::OperationDefinition(operation) = definition else {
            continue;
        };
        for variable in &operation.variables {
            assert!(
                !keywords.contains(variable.name.as_str()),
                "${}",
                variable.name
            );
        }
    }
}
