//! The API generated from a model: its schema, and the way of an operation through it.
//!
//! Transports call `Api::admit` and `Api::execute`; `sync` carries operations out. BSON and stores are not known here.

mod advice;
pub mod answer;
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
use tidegate_core::model::Model;

use self::{
    advice::Advice,
    answer::Answer,
    error::Failure,
    execution::{Execution, Operation},
    plan::Planner,
    request::{Door, Refusal, Selection},
    roots::RootRow,
    types::Types,
};
pub use self::{
    operations::Operations,
    request::{Admitted, OperationKind, QueryHash, RawRequest},
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
    door: Door,
    planner: Planner,
    advice: Advice,
    sdl: String,
    answer_bytes_max: usize,
}

impl Api {
    /// Generates the API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn new(model: &Arc<Model>, options: ApiOptions) -> Result<Self, ApiError> {
        let types = Types::new(model);
        let rows = roots::rows(model, &types);
        let schema = schema(model, &types, &rows).map_err(|error| ApiError(error.to_string()))?;
        let sdl = printed::sdl(model).map_err(|error| ApiError(error.to_string()))?;
        let answer_bytes_max = options.limits.answer_bytes;
        let door = Door::new(&sdl, options).map_err(|error| ApiError(error.to_string()))?;
        Ok(Self {
            planner: Planner::new(rows),
            advice: Advice::new(model),
            schema,
            door,
            sdl,
            answer_bytes_max,
        })
    }

    /// The schema as SDL.
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// Validates a request and makes it an exact operation.
    ///
    /// # Errors
    /// The [`Answer::Refused`] with the reasons. Nothing has been executed then.
    pub fn admit(&self, raw: RawRequest) -> Result<Admitted, Answer> {
        let refused = |refusals: Vec<Refusal>| {
            let advised = refusals.into_iter().map(|refusal| self.advice.on(refusal));
            Answer::Refused(advised.map(Failure::from).collect())
        };
        self.door.admit(raw).map_err(refused)
    }

    /// Executes a query or a mutation.
    pub async fn execute(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        admitted: Admitted,
    ) -> Answer {
        let operation = match self.operation(sync, caller, admitted.selection) {
            Ok(operation) => operation,
            Err(failure) => return failure.into(),
        };
        let (execution, request) = Execution::new(operation, admitted.arguments);
        // Boxed: each request's future is moved from layer to layer.
        let response = Box::pin(self.schema.execute(request)).await;
        execution.answer(&response.data)
    }

    /// Executes a subscription: one answer for each event.
    pub(crate) fn subscribe(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        admitted: Admitted,
    ) -> BoxStream<'static, Answer> {
        let operation = match self.operation(sync, caller, admitted.selection) {
            Ok(operation) => operation,
            Err(failure) => return stream::iter([failure.into()]).boxed(),
        };
        let (execution, request) = Execution::new(operation, admitted.arguments);
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
    ) -> Result<Operation, Failure> {
        let planned = self.planner.plan(selection);
        Operation::new(planned, sync, caller, self.answer_bytes_max)
    }
}

fn schema(model: &Arc<Model>, types: &Types, rows: &[RootRow]) -> Result<Schema, SchemaError> {
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
