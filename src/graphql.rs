//! The API generated from a model: its schema, and the road of an operation through it.
//!
//! Transports come in by `Api::admit` and `Api::execute`; what the verbs do is `sync`'s. No BSON and no store is known
//! here.

mod advice;
pub mod answer;
mod bridge;
mod complete;
mod documents;
mod enums;
pub mod error;
mod inbox;
mod inputs;
mod members;
mod operations;
mod pages;
mod plan;
mod printed;
mod render;
mod request;
mod results;
mod roots;
mod shape;
mod table;
mod types;

use std::sync::Arc;

use async_graphql::{
    Request, ValidationMode, Value,
    dataloader::DataLoader,
    dynamic::{Schema, SchemaError},
};
use futures_util::{StreamExt, stream::BoxStream};
use thiserror::Error;
use tidegate_core::model::Model;

pub use self::operations::Operations;
pub use self::request::{Admitted, OperationKind, QueryHash, RawRequest};
use self::{
    advice::Advice,
    answer::Answer,
    bridge::Requests,
    complete::Completion,
    documents::DocumentLoader,
    error::Failure,
    plan::Planner,
    render::load::AnswerRoom,
    request::{Door, Refusal},
    shape::Purpose,
    types::Types,
};
use crate::{
    limits::Limits,
    sync::{Caller, SyncService},
};

/// What the API shows of itself.
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
    /// Answers what clients ask of the schema itself.
    shown: Schema,
    executed: Schema,
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
        let build = |purpose| schema(model, purpose).map_err(|error| ApiError(error.to_string()));
        let (shown, executed) = (build(Purpose::Shown)?, build(Purpose::Executed)?);
        let sdl = printed::sdl(model).map_err(|error| ApiError(error.to_string()))?;
        let answer_bytes_max = options.limits.answer_bytes;
        let door = Door::new(&sdl, options).map_err(|error| ApiError(error.to_string()))?;
        Ok(Self {
            planner: Planner::new(model, answer_bytes_max),
            advice: Advice::new(model),
            shown,
            executed,
            door,
            sdl,
            answer_bytes_max,
        })
    }

    /// The schema as SDL.
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// Makes an operation exact.
    ///
    /// # Errors
    /// The [`Answer::Refused`] that says why not. Nothing has been executed then.
    pub fn admit(&self, raw: RawRequest) -> Result<Admitted, Answer> {
        let refused = |refusals: Vec<Refusal>| {
            let advised = refusals.into_iter().map(|refusal| self.advice.on(refusal));
            Answer::Refused(advised.map(Failure::from).collect())
        };
        let mut admitted = self.door.admit(raw).map_err(refused)?;
        admitted.plan = self.planner.plan(&mut admitted);
        Ok(admitted)
    }

    /// Executes a query or a mutation.
    pub async fn execute(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        mut admitted: Admitted,
    ) -> Answer {
        // Boxed: each request's future is moved from layer to layer.
        match admitted.plan.take() {
            Some(plan) => Box::pin(plan.answer(sync, &caller)).await,
            None => Box::pin(self.execute_whole(sync, caller, admitted)).await,
        }
    }

    async fn execute_whole(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        admitted: Admitted,
    ) -> Answer {
        let completion = self.completion(&admitted);
        let requests = Requests::of(admitted);
        let of_schema = match requests.introspection {
            Some(request) => self.shown.execute(request).await.data,
            None => Value::Null,
        };
        let room = Arc::new(AnswerRoom::new(self.answer_bytes_max, caller.account()));
        let request = with_context(requests.executed, sync, caller, &completion, room);
        let mut response = self.executed.execute(request).await;
        response.data = joined(response.data, of_schema);
        Answer::Executed(Box::new(completion.complete(response)))
    }

    /// Executes a subscription: one answer for each event.
    pub(crate) fn subscribe(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        admitted: Admitted,
    ) -> BoxStream<'static, Answer> {
        if let Some(plan) = admitted.plan {
            return plan.follow(sync, caller);
        }
        let completion = self.completion(&admitted);
        let room = Arc::new(AnswerRoom::new(self.answer_bytes_max, caller.account()));
        let request = Requests::of(admitted).executed;
        let request = with_context(request, sync, caller, &completion, room.clone());
        self.executed
            .execute_stream(request)
            .map(move |response| {
                room.clear();
                Answer::Executed(Box::new(completion.complete(response)))
            })
            .boxed()
    }

    fn completion(&self, admitted: &Admitted) -> Completion {
        Completion::new(self.door.schema(), &admitted.selection)
    }
}

fn schema(model: &Arc<Model>, purpose: Purpose) -> Result<Schema, SchemaError> {
    let mut builder = Schema::build("Query", Some("Mutation"), Some("Subscription"))
        .validation_mode(ValidationMode::Fast)
        .disable_suggestions();
    builder = match purpose {
        Purpose::Shown => Types::new(model).register(builder),
        Purpose::Executed => {
            builder = documents::register(builder, model, purpose);
            builder = pages::register(builder, model);
            results::register(builder, model)
        }
    };
    builder = enums::register(builder);
    builder = inputs::register(builder, model);
    builder = inbox::register(builder, model, purpose);
    builder = members::register(builder);
    roots::register(builder, model).finish()
}

/// The fields of both; their keys differ.
fn joined(data: Value, more: Value) -> Value {
    match (data, more) {
        (Value::Object(mut fields), Value::Object(more)) => {
            fields.extend(more);
            Value::Object(fields)
        }
        (Value::Null, more) => more,
        (data, _) => data,
    }
}

/// What resolvers find beside their arguments.
fn with_context(
    request: Request,
    sync: &Arc<SyncService>,
    caller: Caller,
    completion: &Completion,
    room: Arc<AnswerRoom>,
) -> Request {
    let loader = DocumentLoader {
        sync: sync.clone(),
        caller: caller.clone(),
        room,
    };
    request
        .data(sync.clone())
        .data(caller)
        .data(completion.failures())
        .data(DataLoader::new(loader, tokio::spawn))
}

#[cfg(test)]
pub(crate) mod tests;
