//! `changesSince` and `changes`: from a page to its answer.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{FieldShape, Plan, text};
use crate::{
    graphql::{
        answer::Answer,
        error::Failure,
        pages,
        table::ObjectPlan,
        types::page::{PageAnswer, SyncPage},
    },
    sync::{Caller, Page, PullRequest, SyncService},
};

/// The root fields.
pub(super) const QUERY: &str = "changesSince";
pub(super) const SUBSCRIPTION: &str = "changes";

impl Plan {
    pub(super) async fn pull(
        &self,
        plan: &ObjectPlan<SyncPage>,
        sync: &Arc<SyncService>,
        caller: &Caller,
    ) -> Answer {
        let page = async { Ok(sync.pull(caller, self.page_request(sync)?).await?) };
        self.page(page.await, plan, sync, caller).await
    }

    fn page_request(&self, sync: &SyncService) -> Result<PullRequest, Failure> {
        pages::request(|name| self.arguments.get(name).cloned(), sync)
    }

    async fn page(
        &self,
        page: Result<Page, Failure>,
        plan: &ObjectPlan<SyncPage>,
        sync: &Arc<SyncService>,
        caller: &Caller,
    ) -> Answer {
        let page = match page {
            Ok(page) => page,
            Err(failure) => return text::failed(&self.selection, failure),
        };
        let answer = PageAnswer {
            page,
            server_time: sync.now(),
        };
        let write = |text: &mut _| plan.write(&answer, text);
        self.written(answer.text_bytes(), write, sync, caller).await
    }
}

/// Follows pages.
pub(super) fn follow(
    plan: Plan,
    sync: &Arc<SyncService>,
    caller: Caller,
) -> BoxStream<'static, Answer> {
    let request = match plan.page_request(sync) {
        Ok(request) => request,
        Err(failure) => return stream::iter([text::failed(&plan.selection, failure)]).boxed(),
    };
    let start = pages::start(|name| plan.arguments.get(name).cloned());
    let pages = Arc::clone(sync).subscribe(caller.clone(), request, start);
    let plan = Arc::new((plan, Arc::clone(sync), caller));
    let answers = pages.then(move |page| {
        let plan = Arc::clone(&plan);
        async move {
            let (plan, sync, caller) = &*plan;
            match &plan.shape.field {
                FieldShape::Page(shape) => {
                    plan.page(page.map_err(Failure::from), shape, sync, caller)
                        .await
                }
                FieldShape::Push(_) => unreachable!("a push is not followed"),
            }
        }
    });
    answers.boxed()
}
