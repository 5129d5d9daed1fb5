//! Operations that pull, follow or push and do nothing else, which is nearly all that a gateway answers: what they ask for
//! is compiled, and their answers are written as text at once, without the general executor.
//!
//! An operation that needs more, such as another root field or a referenced document, has no plan, and is executed. Both
//! roads give the same answer to the byte, which `tests.rs` proves.

mod page;
mod push;
mod select;
#[cfg(test)]
mod tests;
mod text;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::{
    Name, Value as GraphqlValue,
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, Selection},
};
use async_graphql_value::Value;
use lru::LruCache;
use tidegate_core::model::Model;

use self::{
    page::{Look, PagePlan, PageShape},
    push::{PushPlan, PushShape},
};
use super::{
    answer::Answer,
    request::{Admitted, Asked, OperationKind, the_operation},
};
use crate::sync::{Caller, SyncService};

/// So many looks are kept for operations that come again, and so many shapes.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// How an operation is answered without being executed.
#[derive(Debug)]
pub(super) enum Plan {
    /// One page, or one after the other.
    Page(PagePlan),
    Push(PushPlan),
}

impl Plan {
    /// Answers a query or a mutation.
    pub(super) async fn answer(self, sync: &SyncService, caller: &Caller) -> Answer {
        match self {
            Self::Page(plan) => plan.pull(sync, caller).await,
            Self::Push(plan) => plan.push(sync, caller).await,
        }
    }
}

type Arguments = IndexMap<Name, GraphqlValue>;

/// Compiles operations, and knows those on pages that it has compiled.
pub(super) struct Planner {
    model: Arc<Model>,
    known: Mutex<Known>,
}

/// The oldest is forgotten where there are too many.
struct Known {
    looks: LruCache<Arc<[Asked]>, Arc<PageShape>>,
    shapes: LruCache<Arc<PageShape>, ()>,
}

impl Planner {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        Self {
            model: Arc::clone(model),
            known: Mutex::new(Known {
                looks: LruCache::new(KNOWN_MAX),
                shapes: LruCache::new(KNOWN_MAX),
            }),
        }
    }

    /// The plan of an operation that the door has made exact; `None` if it needs the executor. The arguments of a planned
    /// operation are taken out of it.
    pub(super) fn plan(&self, admitted: &mut Admitted) -> Option<Plan> {
        match admitted.kind {
            OperationKind::Query => self.page(admitted, "Query", "changesSince"),
            OperationKind::Subscription => self.page(admitted, "Subscription", "changes"),
            OperationKind::Mutation => self.push(admitted),
        }
    }

    fn page(&self, admitted: &mut Admitted, root: &str, page: &str) -> Option<Plan> {
        let look = self.look(&admitted.asked, root, page)?;
        Some(Plan::Page(PagePlan {
            look,
            arguments: constant(take_arguments(&mut admitted.document, page)?)?,
        }))
    }

    fn push(&self, admitted: &mut Admitted) -> Option<Plan> {
        let shape = PushShape::of(&self.model, &admitted.asked)?;
        let mut arguments = take_arguments(&mut admitted.document, push::FIELD)?.into_iter();
        Some(Plan::Push(PushPlan {
            model: Arc::clone(&self.model),
            shape,
            input: arguments.find_map(|(name, value)| (name == "input").then_some(value))?,
            asked: Arc::clone(&admitted.asked),
        }))
    }

    /// What an operation looks like that asks for `page`; `None` if it needs the executor.
    fn look(&self, asked: &Arc<[Asked]>, root: &str, page: &str) -> Option<Look> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, shape)) = known.looks.get_key_value(asked) {
            let (asked, shape) = (Arc::clone(asked), Arc::clone(shape));
            return Some(Look { shape, asked });
        }
        let shape = known.shared(PageShape::of(&self.model, asked, root, page)?);
        let asked = Arc::clone(asked);
        known.looks.put(Arc::clone(&asked), Arc::clone(&shape));
        Some(Look { shape, asked })
    }
}

impl Known {
    fn shared(&mut self, shape: PageShape) -> Arc<PageShape> {
        if let Some((known, ())) = self.shapes.get_key_value(&shape) {
            return Arc::clone(known);
        }
        let shape = Arc::new(shape);
        self.shapes.put(Arc::clone(&shape), ());
        shape
    }
}

/// The arguments of the root field `name`.
fn take_arguments(document: &mut ExecutableDocument, name: &str) -> Option<Vec<(Name, Value)>> {
    let operation = the_operation(document)?;
    let mut fields = operation.selection_set.node.items.iter_mut();
    let field = fields.find_map(|selection| match &mut selection.node {
        Selection::Field(field) if field.node.name.node == name => Some(&mut field.node),
        _ => None,
    })?;
    let arguments = std::mem::take(&mut field.arguments).into_iter();
    Some(
        arguments
            .map(|(name, value)| (name.node, value.node))
            .collect(),
    )
}

/// The door leaves no variable in them.
fn constant(arguments: Vec<(Name, Value)>) -> Option<Arguments> {
    let arguments = arguments.into_iter();
    arguments
        .map(|(name, value)| Some((name, value.into_const()?)))
        .collect()
}
