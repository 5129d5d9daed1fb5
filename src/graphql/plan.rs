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

use lru::LruCache;
use tidegate_core::model::Model;

use self::{
    page::{Look, PagePlan, PageShape},
    push::{PushPlan, PushShape},
};
use super::{
    answer::Answer,
    request::{Admitted, ArgumentValues, OperationKind, Selection},
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

/// Compiles operations, and knows those on pages that it has compiled.
pub(super) struct Planner {
    model: Arc<Model>,
    known: Mutex<Known>,
}

/// The oldest is forgotten where there are too many.
struct Known {
    looks: LruCache<Arc<Selection>, Arc<PageShape>>,
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
        match admitted.kind() {
            OperationKind::Query => self.page(admitted, "changesSince"),
            OperationKind::Subscription => self.page(admitted, "changes"),
            OperationKind::Mutation => self.push(admitted),
        }
    }

    fn page(&self, admitted: &mut Admitted, page: &str) -> Option<Plan> {
        let look = self.look(&admitted.selection, page)?;
        Some(Plan::Page(PagePlan {
            look,
            arguments: take_arguments(admitted, page)?,
        }))
    }

    fn push(&self, admitted: &mut Admitted) -> Option<Plan> {
        let shape = PushShape::of(&self.model, &admitted.selection)?;
        let mut arguments = take_arguments(admitted, push::FIELD)?;
        Some(Plan::Push(PushPlan {
            model: Arc::clone(&self.model),
            shape,
            input: arguments.swap_remove("input")?,
            selection: Arc::clone(&admitted.selection),
        }))
    }

    /// What an operation looks like that asks for `page`; `None` if it needs the executor.
    fn look(&self, selection: &Arc<Selection>, page: &str) -> Option<Look> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((equal, shape)) = known.looks.get_key_value(selection) {
            // Subscribers that sent the same document share what it selects.
            let selection = match equal.has_places_of(selection) {
                true => equal,
                false => selection,
            };
            return Some(Look {
                shape: Arc::clone(shape),
                selection: Arc::clone(selection),
            });
        }
        let shape = known.shared(PageShape::of(&self.model, selection, page)?);
        let selection = Arc::clone(selection);
        known.looks.put(Arc::clone(&selection), Arc::clone(&shape));
        Some(Look { shape, selection })
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
fn take_arguments(admitted: &mut Admitted, name: &str) -> Option<ArgumentValues> {
    let mut fields = admitted.selection.fields.iter();
    let slot = fields.find(|field| field.name == name)?.slot?;
    Some(admitted.arguments.take(slot))
}
