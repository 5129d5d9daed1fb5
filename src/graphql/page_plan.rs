//! Operations that ask for one page and nothing else, which is nearly all that a gateway answers: their selection is
//! compiled once, and their answers are written from what is stored, without the general executor.
//!
//! An operation that needs more, such as another root field or a referenced document, has no plan, and is executed. Both
//! roads give the same answer to the byte, which `tests.rs` proves.

mod select;
#[cfg(test)]
mod tests;
mod write;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::{
    Name, Response, Value as GraphqlValue,
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, Selection},
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use lru::LruCache;
use tidegate_core::model::Model;

use super::{
    answer::Answer,
    error::Failure,
    pages,
    request::{Admitted, Asked, OperationKind},
};
use crate::sync::{Caller, Key, Page, Projection, PullRequest, SyncService};

/// So many shapes are kept for operations that come again.
const SHAPES_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// An operation that asks for one page, or follows pages.
#[derive(Debug)]
pub(super) struct PagePlan {
    shape: Arc<PageShape>,
    /// What it asks for, and where that is written.
    asked: Arc<[Asked]>,
    /// The arguments of its one field.
    arguments: Arguments,
}

type Arguments = IndexMap<Name, GraphqlValue>;

/// What the answer to an operation looks like. Operations that look alike share one, and with it what is written of an
/// item that goes to all of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PageShape {
    root: Vec<(Key, RootPart)>,
    page: Vec<(Key, PagePart)>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum RootPart {
    Literal(Box<[u8]>),
    Page,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum PagePart {
    Literal(Box<[u8]>),
    Changes(Arc<Projection>),
    Checkpoint,
    HasMore,
    Reset,
    RevokedScopes,
    Epoch,
    ServerTime,
}

impl PagePlan {
    /// Answers a query.
    pub(super) async fn pull(&self, sync: &SyncService, caller: &Caller) -> Answer {
        let page = async { Ok(sync.pull(caller, self.request(sync)?).await?) };
        self.answer(page.await, sync)
    }

    /// Answers a subscription: one answer for each page.
    pub(super) fn follow(
        self,
        sync: &Arc<SyncService>,
        caller: Caller,
    ) -> BoxStream<'static, Answer> {
        let request = match self.request(sync) {
            Ok(request) => request,
            Err(failure) => return stream::iter([self.answer(Err(failure), sync)]).boxed(),
        };
        let start = pages::start(|name| self.argument(name));
        let sync = Arc::clone(sync);
        let pages = Arc::clone(&sync).subscribe(caller, request, start);
        let answers = pages.map(move |page| self.answer(page.map_err(Failure::from), &sync));
        answers.boxed()
    }

    fn request(&self, sync: &SyncService) -> Result<PullRequest, Failure> {
        pages::request(|name| self.argument(name), sync)
    }

    fn argument(&self, name: &str) -> Option<GraphqlValue> {
        self.arguments.get(name).cloned()
    }

    /// The page, or why there is none: it must not be null, and so there is no data at all then.
    fn answer(&self, page: Result<Page, Failure>, sync: &SyncService) -> Answer {
        match page.and_then(|page| Ok(self.write(&page, sync.now())?)) {
            Ok(text) => Answer::Written(text),
            Err(failure) => {
                let error = self.error(failure, &[]);
                Answer::Executed(Box::new(Response::from_errors(vec![error])))
            }
        }
    }
}

/// Compiles operations, and knows the shapes it has made.
pub(super) struct Planner {
    model: Arc<Model>,
    /// The oldest is forgotten where there are too many.
    shapes: Mutex<LruCache<Arc<PageShape>, ()>>,
}

impl Planner {
    pub(super) fn new(model: &Arc<Model>) -> Self {
        Self {
            model: Arc::clone(model),
            shapes: Mutex::new(LruCache::new(SHAPES_MAX)),
        }
    }

    /// The plan of an operation that the door has made exact; `None` if it needs the executor.
    pub(super) fn plan(&self, admitted: &mut Admitted) -> Option<PagePlan> {
        let (root, page) = match admitted.kind {
            OperationKind::Query => ("Query", "changesSince"),
            OperationKind::Subscription => ("Subscription", "changes"),
            OperationKind::Mutation => return None,
        };
        let shape = select::shape(&self.model, &admitted.asked, root, page)?;
        Some(PagePlan {
            shape: self.known(shape),
            asked: Arc::clone(&admitted.asked),
            arguments: arguments(admitted.request.parsed_query().ok()?, page)?,
        })
    }

    fn known(&self, shape: PageShape) -> Arc<PageShape> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, ())) = shapes.get_key_value(&shape) {
            return Arc::clone(known);
        }
        let shape = Arc::new(shape);
        shapes.put(Arc::clone(&shape), ());
        shape
    }
}

/// The arguments of the root field `page`, which the door has made constant.
fn arguments(document: &ExecutableDocument, page: &str) -> Option<Arguments> {
    let (_, operation) = document.operations.iter().next()?;
    let mut fields = operation.node.selection_set.node.items.iter();
    let field = fields.find_map(|selection| match &selection.node {
        Selection::Field(field) if field.node.name.node == page => Some(&field.node),
        _ => None,
    })?;
    let arguments = field.arguments.iter();
    arguments
        .map(|(name, value)| Some((name.node.clone(), value.node.clone().into_const()?)))
        .collect()
}
