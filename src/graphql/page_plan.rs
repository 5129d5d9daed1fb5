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
    Name, PathSegment, Pos, Response, Value as GraphqlValue,
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, OperationType},
};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use lru::LruCache;
use tidegate_core::model::Model;

use super::{answer::Answer, error::Failure, pages};
use crate::sync::{Caller, Key, Projection, PullRequest, SyncService};

/// So many shapes are kept for operations that come again.
const SHAPES_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// An operation that asks for one page, or follows pages.
#[derive(Debug, Clone)]
pub(super) struct PagePlan {
    /// What the answer looks like.
    pub(super) shape: Arc<PageShape>,
    /// The arguments of its one field.
    pub(super) arguments: Arguments,
}

impl PagePlan {
    /// Answers a query.
    pub(super) async fn pull(&self, sync: &SyncService, caller: &Caller) -> Answer {
        let written = async {
            let page = sync.pull(caller, self.request(sync)?).await?;
            Ok(self.shape.answer(&page, sync.now())?)
        };
        self.shape.written(written.await)
    }

    /// Answers a subscription: one answer for each page.
    pub(super) fn follow(
        self,
        sync: &Arc<SyncService>,
        caller: Caller,
    ) -> BoxStream<'static, Answer> {
        let request = match self.request(sync) {
            Ok(request) => request,
            Err(failure) => {
                let refused = self.shape.written(Err(failure));
                return stream::iter([refused]).boxed();
            }
        };
        let start = pages::start(|name| self.argument(name));
        let (sync, shape) = (Arc::clone(sync), self.shape);
        let pages = Arc::clone(&sync).subscribe(caller, request, start);
        let answers = pages.map(move |page| {
            let page = page.map_err(Failure::from);
            shape.written(page.and_then(|page| Ok(shape.answer(&page, sync.now())?)))
        });
        answers.boxed()
    }

    fn request(&self, sync: &SyncService) -> Result<PullRequest, Failure> {
        pages::request(|name| self.argument(name), sync)
    }

    fn argument(&self, name: &str) -> Option<GraphqlValue> {
        self.arguments.get(name).cloned()
    }
}

pub(super) type Arguments = IndexMap<Name, GraphqlValue>;

/// What the answer to an operation looks like. Operations that look alike share one, and with it what is written of an
/// item that goes to all of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PageShape {
    root: Vec<(Key, RootPart)>,
    page: Vec<(Key, PagePart)>,
    /// Where the field stands in the operation.
    line: usize,
    column: usize,
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

impl PageShape {
    /// What was written, or why not: the page must not be null, and so there is no data at all.
    fn written(&self, written: Result<Vec<u8>, Failure>) -> Answer {
        match written {
            Ok(text) => Answer::Written(text),
            Err(failure) => {
                let mut error = failure.into_error().into_server_error(self.pos());
                error.path = vec![PathSegment::Field(self.key().to_owned())];
                Answer::Executed(Box::new(Response::from_errors(vec![error])))
            }
        }
    }

    /// Where the field stands in the operation.
    pub(super) fn pos(&self) -> Pos {
        Pos {
            line: self.line,
            column: self.column,
        }
    }

    /// The key of its answer.
    pub(super) fn key(&self) -> &str {
        let mut keys = self.root.iter();
        let page = keys.find(|(_, part)| matches!(part, RootPart::Page));
        page.map_or("", |(key, _)| key.name())
    }
}

/// Compiles operations, and knows the shapes it has made.
pub(super) struct Planner {
    model: Arc<Model>,
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
    pub(super) fn plan(&self, document: &ExecutableDocument) -> Option<PagePlan> {
        let (_, operation) = document.operations.iter().next()?;
        let operation = &operation.node;
        let (root, page) = match operation.ty {
            OperationType::Query => ("Query", "changesSince"),
            OperationType::Subscription => ("Subscription", "changes"),
            OperationType::Mutation => return None,
        };
        let (shape, arguments) =
            select::shape(&self.model, &operation.selection_set.node, root, page)?;
        Some(PagePlan {
            shape: self.known(shape),
            arguments,
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
