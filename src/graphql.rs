//! The API generated from a model: its schema, and the road of an operation through it.
//!
//! Transports come in by `Api::admit` and `Api::execute`; what the verbs do is `sync`'s. No BSON and no store is known
//! here.

pub mod answer;
mod documents;
pub mod error;
mod inbox;
mod inputs;
pub mod operations;
mod page_plan;
mod pages;
mod request;
mod results;
mod roots;
mod shape;

use std::sync::Arc;

use async_graphql::{
    Name, Request, SDLExportOptions, ValidationMode, Value,
    dataloader::DataLoader,
    dynamic::{Schema, SchemaError},
};
use futures_util::{StreamExt, stream::BoxStream};
use thiserror::Error;
use tidegate_core::model::Model;

pub(crate) use self::request::DoorLimits;
pub use self::request::{Admitted, OperationKind, QueryHash, RawRequest};
use self::{
    answer::Answer,
    documents::{AnswerRoom, DocumentLoader},
    error::Failure,
    page_plan::Planner,
    request::{Door, Refusal},
};
use crate::sync::{Caller, SyncService};

/// What the API shows of itself.
#[derive(Debug, Clone, Default)]
pub struct ApiOptions {
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    pub(crate) limits: DoorLimits,
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
    sdl: String,
    answer_bytes_max: usize,
}

impl Api {
    /// Generates the API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn new(model: &Arc<Model>, options: ApiOptions) -> Result<Self, ApiError> {
        let schema = schema(model).map_err(|error| ApiError(error.to_string()))?;
        let sdl = schema.sdl_with_options(
            SDLExportOptions::new()
                .include_specified_by()
                .use_space_ident(),
        );
        let limits = DoorLimits {
            introspection: options.introspection,
            ..options.limits
        };
        let answer_bytes_max = limits.answer_bytes_max;
        let door = Door::new(&sdl, limits).map_err(|error| ApiError(error.to_string()))?;
        Ok(Self {
            schema,
            door,
            planner: Planner::new(model),
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
            Answer::Refused(refusals.into_iter().map(Failure::from).collect())
        };
        let mut admitted = self.door.admit(raw).map_err(refused)?;
        let document = admitted.request.parsed_query();
        admitted.plan = document
            .ok()
            .and_then(|document| self.planner.plan(document));
        Ok(admitted)
    }

    /// Executes a query or a mutation.
    pub async fn execute(
        &self,
        sync: &Arc<SyncService>,
        caller: Caller,
        admitted: Admitted,
    ) -> Answer {
        if let Some(plan) = &admitted.plan {
            return plan.pull(sync, &caller).await;
        }
        let root_keys = admitted.root_keys.clone();
        let room = AnswerRoom::new(self.answer_bytes_max);
        let request = with_context(admitted, sync, caller, room);
        let mut response = self.schema.execute(request).await;
        put_in_order(&mut response.data, &root_keys);
        Answer::Executed(Box::new(response))
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
        let room = AnswerRoom::new(self.answer_bytes_max);
        let request = with_context(admitted, sync, caller, room.clone());
        self.schema
            .execute_stream(request)
            .map(move |response| {
                room.clear();
                Answer::Executed(Box::new(response))
            })
            .boxed()
    }
}

fn schema(model: &Arc<Model>) -> Result<Schema, SchemaError> {
    let mut builder = Schema::build("Query", Some("Mutation"), Some("Subscription"))
        .validation_mode(ValidationMode::Fast)
        .disable_suggestions();
    builder = documents::register(builder, model);
    builder = inputs::register(builder, model);
    builder = inbox::register(builder, model);
    builder = pages::register(builder, model);
    builder = results::register(builder, model);
    roots::register(builder, model).finish()
}

/// Puts the fields of an answer into the order of the operation, not that in which they were ready.
fn put_in_order(data: &mut Value, keys: &[Name]) {
    if let Value::Object(fields) = data {
        fields.sort_by_key(|key, _| keys.iter().position(|wanted| wanted == key));
    }
}

/// What resolvers find beside their arguments.
fn with_context(
    admitted: Admitted,
    sync: &Arc<SyncService>,
    caller: Caller,
    room: Arc<AnswerRoom>,
) -> Request {
    let loader = DocumentLoader {
        sync: sync.clone(),
        caller: caller.clone(),
        room,
    };
    admitted
        .request
        .data(sync.clone())
        .data(caller)
        .data(DataLoader::new(loader, tokio::spawn))
}
