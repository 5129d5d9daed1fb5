//! The API generated from a model: its schema, and the way of an operation through it.
//!
//! Transports call `Api::validate` and `Api::execute`; `sync` carries operations out. BSON and stores are not known here.

pub mod answer;
mod api_hash;
mod earlier_names;
mod enums;
pub mod error;
mod execution;
mod inputs;
mod introspection;
mod operations;
mod plan;
mod printed;
mod render;
mod request;
mod roots;
mod shape;
mod skew;
mod suggestions;
mod table;
mod types;

use std::sync::Arc;

use async_graphql::{
    ValidationMode,
    dynamic::{Schema, SchemaError},
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use thiserror::Error;
use tidegate_core::{id::ApiHash, model::Model};

use self::{
    answer::Answer,
    error::ClientError,
    execution::{Execution, Operation},
    plan::Planner,
    request::{RequestError, RequestValidator, Selection},
    roots::RootRow,
    suggestions::QuerySuggestions,
    types::ApiTypes,
};
pub use self::{
    operations::Operations,
    request::{OperationKind, QueryHash, RawRequest, ValidatedRequest},
};
use crate::{
    limits::Limits,
    sync::{Caller, SyncService},
};

/// Options of the API.
#[derive(Debug, Clone, Default)]
pub struct ApiOptions {
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    /// What an operation may ask for.
    pub limits: Limits,
}

/// A model whose API cannot be built; the model parser should have refused it.
#[derive(Debug, Error)]
#[error("the API cannot be generated from this model: {0}")]
pub struct ApiError(String);

/// The API of one model.
pub struct Api {
    schema: Schema,
    validator: RequestValidator,
    planner: Planner,
    suggestions: QuerySuggestions,
    sdl: String,
    hash: ApiHash,
    answer_bytes_max: usize,
}

impl Api {
    /// Generates the API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn new(model: &Arc<Model>, options: ApiOptions) -> Result<Self, ApiError> {
        let types = ApiTypes::new(model);
        let rows = roots::rows(model, &types);
        let schema = schema(model, &types, &rows).map_err(|error| ApiError(error.to_string()))?;
        let sdl = printed::sdl(model).map_err(|error| ApiError(error.to_string()))?;
        let answer_bytes_max = options.limits.answer_bytes;
        let validator =
            RequestValidator::new(&sdl, options).map_err(|error| ApiError(error.to_string()))?;
        let validator = validator
            .without_defaults_of(inputs::filled_when_read(model))
            .with_earlier_names_of(model);
        let hash = api_hash::of(&sdl);
        Ok(Self {
            planner: Planner::new(rows),
            suggestions: QuerySuggestions::new(model),
            schema,
            validator,
            sdl: api_hash::comment(hash) + &sdl,
            hash,
            answer_bytes_max,
        })
    }

    /// The schema as SDL, below a comment with its hash.
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// The hash of the schema.
    pub fn hash(&self) -> ApiHash {
        self.hash
    }

    /// The comment with the hash, for what is generated beside the schema.
    pub(crate) fn hash_comment(&self) -> String {
        api_hash::comment(self.hash)
    }

    /// Validates a request and makes it an exact operation.
    ///
    /// # Errors
    /// The [`Answer::Refused`] with the reasons. Nothing has been executed then.
    pub fn validate(&self, raw: RawRequest) -> Result<ValidatedRequest, Answer> {
        let refused = |refusals: Vec<RequestError>| {
            let advised = refusals
                .into_iter()
                .map(|refusal| self.suggestions.on(refusal));
            Answer::Refused(advised.map(ClientError::from).collect())
        };
        self.validator.validate(raw).map_err(refused)
    }

    /// Executes a query or a mutation.
    pub async fn execute(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        validated: ValidatedRequest,
    ) -> Answer {
        let operation = match self.operation(sync, caller, validated.selection) {
            Ok(operation) => operation,
            Err(failure) => return failure.into(),
        };
        let (execution, request) = Execution::new(operation, validated.arguments);
        // Boxed: each request's future is moved from layer to layer.
        let response = Box::pin(self.schema.execute(request)).await;
        execution.answer(&response.data)
    }

    /// Executes a subscription: one answer for each event.
    pub(crate) fn subscribe(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        validated: ValidatedRequest,
    ) -> BoxStream<'static, Answer> {
        let operation = match self.operation(sync, caller, validated.selection) {
            Ok(operation) => operation,
            Err(failure) => return stream::iter([failure.into()]).boxed(),
        };
        let (execution, request) = Execution::new(operation, validated.arguments);
        let mut dispatched = self.schema.execute_stream(request);
        let followed = async move {
            while dispatched.next().await.is_some() {}
            execution.followed()
        };
        stream::once(followed).flatten().boxed()
    }

    fn operation(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        selection: Arc<Selection>,
    ) -> Result<Operation, ClientError> {
        let planned = self.planner.plan(selection);
        Operation::new(planned, sync, caller, self.answer_bytes_max)
    }
}

fn schema(model: &Arc<Model>, types: &ApiTypes, rows: &[RootRow]) -> Result<Schema, SchemaError> {
    let builder = Schema::build("Query", Some("Mutation"), Some("Subscription"))
        .validation_mode(ValidationMode::Fast)
        .disable_suggestions();
    let builder = types.register(builder);
    let builder = enums::register(builder);
    let builder = inputs::register(builder, model);
    roots::register(builder, rows).finish()
}

#[cfg(test)]
pub(crate) mod tests;
