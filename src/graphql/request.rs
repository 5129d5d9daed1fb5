//! Request validation: turns what a transport received into one exact operation, with every input constant, or returns
//! why it cannot. Nothing is executed here. `graphql/error.rs` words a refusal for a client's `extensions`.

mod cache;
mod coerce;
mod cost;
mod document;
mod limits;
mod list_arguments;
mod literals;
mod normalise;
mod persisted;
mod scalar;
mod selection;
mod value;
mod variables;

use std::{collections::HashSet, sync::Arc};

use apollo_compiler::{Name, Schema, ast, executable::OperationType, validation::Valid};
use tidegate_core::model::Model;

pub(super) use self::cache::BoundedCache;
pub use self::persisted::QueryHash;
pub(crate) use self::selection::{
    ArgumentSlot, ArgumentValues, OperationArguments, SelectedField, Selection, SubSelection,
};
use self::{
    coerce::Coercer, document::ValidatedDocument, list_arguments::MergeCheck,
    normalise::SelectionBuilder, persisted::PersistedQueries,
};
use super::{ApiOptions, earlier_names::EarlierNames};
use crate::large;

/// What a transport received, unchecked.
#[derive(Debug, Default)]
pub struct RawRequest {
    /// The document; empty if only its hash was sent.
    pub query: String,
    /// The document's hash, from a client that names documents by it.
    pub hash: Option<QueryHash>,
    /// The name of the operation, if the document has several.
    pub operation_name: Option<String>,
    /// The values of the operation's variables.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

impl RawRequest {
    /// Whether its validation takes a core for a while: its document is long, or its variables have many values.
    pub(crate) fn is_large(&self) -> bool {
        let mut left = large::VALUES;
        let mut values = self.variables.values();
        self.query.len() > large::TEXT_BYTES || values.any(|value| !is_within(value, &mut left))
    }
}

/// Whether a value has no more values than `left`, which goes down by their number.
fn is_within(value: &serde_json::Value, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else {
        return false;
    };
    *left = fewer;
    match value {
        serde_json::Value::Array(items) => items.iter().all(|item| is_within(item, left)),
        serde_json::Value::Object(fields) => fields.values().all(|field| is_within(field, left)),
        _ => true,
    }
}

/// An operation with exactly one meaning: valid, within limits, and free of variables, conditions and fragments.
#[derive(Debug)]
pub struct ValidatedRequest {
    pub(crate) selection: Arc<Selection>,
    pub(crate) arguments: OperationArguments,
    name: Option<Name>,
}

impl ValidatedRequest {
    /// The kind of the operation.
    pub fn kind(&self) -> OperationKind {
        self.selection.kind
    }

    /// The name that its document gives it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How many bytes its arguments take at most.
    pub fn argument_bytes(&self) -> usize {
        self.arguments.bytes
    }
}

/// The root type of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `query`.
    Query,
    /// `mutation`.
    Mutation,
    /// `subscription`.
    Subscription,
}

/// One reason why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub(crate) kind: RequestErrorKind,
    pub(crate) message: String,
    /// Line and column in the document, both from 1, columns in characters.
    pub(crate) locations: Vec<(usize, usize)>,
    /// The path in the input, such as `$input.changes[3].task`, if the fault is in the input.
    pub(crate) path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestErrorKind {
    Parse,
    Validation,
    Variables,
    OperationChoice,
    Limit,
    PersistedQueryNotFound,
    PersistedQueryMismatch,
}

/// Why request validation could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaLoadError {
    #[error("the generated schema is not valid GraphQL: {0}")]
    Schema(String),
}

/// Validates requests against one schema. All transports share it.
pub(crate) struct RequestValidator {
    schema: Valid<Schema>,
    merge_check: MergeCheck,
    options: ApiOptions,
    /// By text.
    documents: BoundedCache<Box<str>, Arc<ValidatedDocument>>,
    persisted: PersistedQueries,
    /// Input objects whose defaults are left out.
    undefaulted: HashSet<String>,
    earlier_names: EarlierNames,
}

impl RequestValidator {
    /// Builds the validation for the schema in `sdl`.
    ///
    /// # Errors
    /// If `sdl` is not a valid schema.
    pub(crate) fn new(sdl: &str, options: ApiOptions) -> Result<Self, SchemaLoadError> {
        let schema = schema(sdl)?;
        let limits = &options.limits;
        Ok(Self {
            merge_check: MergeCheck::new(&schema),
            schema,
            documents: BoundedCache::new(limits.cached_documents, limits.cached_bytes),
            persisted: PersistedQueries::new(limits.cached_documents, limits.cached_bytes),
            undefaulted: HashSet::new(),
            earlier_names: EarlierNames::default(),
            options,
        })
    }

    /// Leaves out the defaults of these input objects.
    pub(crate) fn without_defaults_of(self, undefaulted: HashSet<String>) -> Self {
        Self {
            undefaulted,
            ..self
        }
    }

    /// Takes the earlier names of the model's types for the present ones.
    pub(crate) fn with_earlier_names_of(self, model: &Model) -> Self {
        Self {
            earlier_names: EarlierNames::new(model, &self.schema),
            ..self
        }
    }

    /// Makes `raw` an exact operation.
    ///
    /// # Errors
    /// All faults found by the first step that found any: limits, syntax, validity, choice of operation, variables,
    /// arguments, cost.
    pub(crate) fn validate(
        &self,
        mut raw: RawRequest,
    ) -> Result<ValidatedRequest, Vec<RequestError>> {
        if let Some(hash) = raw.hash {
            raw.query = self.persisted.text(raw.query, hash).map_err(one)?;
        }
        let checked = self.checked(&raw.query)?;
        if let Some(hash) = raw.hash {
            self.persisted.keep(hash, &raw.query);
        }
        let operation = checked
            .operation(raw.operation_name.as_deref())
            .map_err(one)?;
        let mut coercer = Coercer::new(
            &self.schema,
            &checked,
            operation,
            &self.undefaulted,
            &self.options.limits,
        );
        coercer.coerce_variables(raw.variables)?;
        let builder = SelectionBuilder::new(&self.schema, &checked, coercer);
        let (selection, arguments) = builder.build(operation).map_err(one)?;
        cost::check(&self.schema, &selection, &arguments, &self.options.limits).map_err(one)?;
        Ok(ValidatedRequest {
            selection: Arc::new(selection),
            arguments,
            name: operation.name.clone(),
        })
    }

    /// The document of this text, from the cache if it was valid before. Refused texts are not kept: a flood of them
    /// would evict the valid ones.
    fn checked(&self, text: &str) -> Result<Arc<ValidatedDocument>, Vec<RequestError>> {
        if let Some(known) = self.documents.get(text) {
            return Ok(known);
        }
        let checked = ValidatedDocument::new(
            &self.schema,
            &self.merge_check,
            &self.earlier_names,
            text,
            &self.options,
        )?;
        let checked = Arc::new(checked);
        self.documents
            .insert(text.into(), Arc::clone(&checked), text.len());
        Ok(checked)
    }
}

impl RequestError {
    fn new(kind: RequestErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            locations: Vec::new(),
            path: None,
        }
    }

    fn at(mut self, location: Option<(usize, usize)>) -> Self {
        self.locations.extend(location);
        self
    }
}

impl OperationKind {
    /// Its keyword.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }

    /// The name of its root type.
    pub(crate) fn root_type(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::Subscription => "Subscription",
        }
    }
}

impl From<OperationType> for OperationKind {
    fn from(operation: OperationType) -> Self {
        match operation {
            OperationType::Query => Self::Query,
            OperationType::Mutation => Self::Mutation,
            OperationType::Subscription => Self::Subscription,
        }
    }
}

fn one(refusal: RequestError) -> Vec<RequestError> {
    vec![refusal]
}

/// A field that async-graphql serves and apollo-compiler 1.33 does not know: its introspection has no `isOneOf`.
const IS_ONE_OF: &str = "extend type __Type { isOneOf: Boolean }";
const ONE_OF: &str = "directive @oneOf on INPUT_OBJECT";

fn schema(sdl: &str) -> Result<Valid<Schema>, SchemaLoadError> {
    let document = ast::Document::parse(sdl, "schema.graphql")
        .map_err(|e| SchemaLoadError::Schema(e.errors.to_string()))?;
    let declares_one_of = document.definitions.iter().any(|definition| {
        definition
            .as_directive_definition()
            .is_some_and(|directive| directive.name == "oneOf")
    });
    let mut builder = Schema::builder()
        .ignore_builtin_redefinitions()
        .add_ast(&document)
        .parse(IS_ONE_OF, "one_of");
    if !declares_one_of {
        builder = builder.parse(ONE_OF, "one_of");
    }
    builder
        .build()
        .and_then(Schema::validate)
        .map_err(|e| SchemaLoadError::Schema(e.errors.to_string()))
}

#[cfg(test)]
pub(in crate::graphql) mod tests;
