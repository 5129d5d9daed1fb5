//! Operations that pull, follow or push and do nothing else, which is nearly all that a gateway answers: what they ask for
//! is compiled, and their answers are written as text at once, without the general executor.
//!
//! An operation with another root field has no plan, and is executed. Both roads give the same answer, which `tests.rs`
//! proves.

mod page;
mod push;
#[cfg(test)]
mod tests;
mod text;

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::dataloader::DataLoader;
use futures_util::stream::BoxStream;
use lru::LruCache;
use tidegate_core::model::Model;

use self::text::RootShape;
use super::{
    answer::Answer,
    render::load::{AnswerRoom, DocumentLoader},
    request::{Admitted, ArgumentValues, OperationKind, Selection},
    table::ObjectPlan,
    types::{Types, outcome::PushChanges, page::SyncPage},
};
use crate::sync::{Caller, SyncService};

/// The most compiled operations that are kept for operations that come again.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// How an operation is answered without being executed.
pub(super) struct Plan {
    shape: Arc<Shape>,
    /// What it asks for, and where that is written.
    selection: Arc<Selection>,
    /// The arguments of its one field.
    arguments: ArgumentValues,
    model: Arc<Model>,
    answer_bytes_max: usize,
}

/// What is compiled of an operation. Operations that ask for the same share it, and with it what is written of a change that
/// goes to all of them.
struct Shape {
    root: RootShape,
    field: FieldShape,
}

enum FieldShape {
    Page(ObjectPlan<SyncPage>),
    Push(ObjectPlan<PushChanges>),
}

impl Plan {
    /// Answers a query or a mutation.
    pub(super) async fn answer(self, sync: &Arc<SyncService>, caller: &Caller) -> Answer {
        match &self.shape.field {
            FieldShape::Page(page) => self.pull(page, sync, caller).await,
            FieldShape::Push(payload) => self.push(payload, sync, caller).await,
        }
    }

    /// Answers a subscription: one answer for each page.
    pub(super) fn follow(
        self,
        sync: &Arc<SyncService>,
        caller: Caller,
    ) -> BoxStream<'static, Answer> {
        page::follow(self, sync, caller)
    }

    fn loader(&self, sync: &Arc<SyncService>, caller: &Caller) -> DataLoader<DocumentLoader> {
        let loader = DocumentLoader {
            sync: Arc::clone(sync),
            caller: caller.clone(),
            room: AnswerRoom::new(self.answer_bytes_max, caller.account()),
        };
        DataLoader::new(loader, tokio::spawn)
    }
}

/// Compiles operations, and knows those that it has compiled. The oldest is forgotten where there are too many.
pub(super) struct Planner {
    types: Types,
    model: Arc<Model>,
    answer_bytes_max: usize,
    known: Mutex<LruCache<Arc<Selection>, Arc<Shape>>>,
}

impl Planner {
    pub(super) fn new(model: &Arc<Model>, answer_bytes_max: usize) -> Self {
        Self {
            types: Types::new(model),
            model: Arc::clone(model),
            answer_bytes_max,
            known: Mutex::new(LruCache::new(KNOWN_MAX)),
        }
    }

    /// The plan of a valid operation; `None` if it needs the executor. The arguments of a planned operation are taken out of
    /// it.
    pub(super) fn plan(&self, admitted: &mut Admitted) -> Option<Plan> {
        let field = match admitted.kind() {
            OperationKind::Query => page::QUERY,
            OperationKind::Subscription => page::SUBSCRIPTION,
            OperationKind::Mutation => push::MUTATION,
        };
        let (selection, shape) = self.shape(&admitted.selection, field)?;
        Some(Plan {
            shape,
            selection,
            arguments: take_arguments(admitted, field)?,
            model: Arc::clone(&self.model),
            answer_bytes_max: self.answer_bytes_max,
        })
    }

    fn shape(
        &self,
        selection: &Arc<Selection>,
        name: &str,
    ) -> Option<(Arc<Selection>, Arc<Shape>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((equal, shape)) = known.get_key_value(selection) {
            // Subscribers that sent the same document share what it selects.
            let selection = match equal.has_places_of(selection) {
                true => equal,
                false => selection,
            };
            return Some((Arc::clone(selection), Arc::clone(shape)));
        }
        let (root, field) = text::root(selection, name)?;
        let field = match selection.kind {
            OperationKind::Query | OperationKind::Subscription => {
                FieldShape::Page(self.types.page().compile(field))
            }
            OperationKind::Mutation => FieldShape::Push(self.types.push().compile(field)),
        };
        let shape = Arc::new(Shape { root, field });
        known.put(Arc::clone(selection), Arc::clone(&shape));
        Some((Arc::clone(selection), shape))
    }
}

/// The arguments of the root field `name`.
fn take_arguments(admitted: &mut Admitted, name: &str) -> Option<ArgumentValues> {
    let mut fields = admitted.selection.fields.iter();
    let slot = fields.find(|field| field.name == name)?.slot?;
    Some(admitted.arguments.take(slot))
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").finish_non_exhaustive()
    }
}
