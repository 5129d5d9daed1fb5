//! `pushChanges`: from the outcomes of a push to its answer.

use std::sync::Arc;

use super::{Plan, text};
use crate::{
    graphql::{
        answer::Answer,
        error::Failure,
        inputs,
        table::ObjectPlan,
        types::outcome::{PushAnswer, PushChanges},
    },
    sync::{Caller, SyncService},
};

/// The root field.
pub(super) const MUTATION: &str = "pushChanges";

impl Plan {
    pub(super) async fn push(
        &self,
        plan: &ObjectPlan<PushChanges>,
        sync: &Arc<SyncService>,
        caller: &Caller,
    ) -> Answer {
        let input = self.arguments.get("input").cloned().unwrap_or_default();
        let outcome = async {
            let push = inputs::push(&self.model, input)?;
            Ok::<_, Failure>(sync.push(caller, push).await?)
        };
        let outcome = match outcome.await {
            Ok(outcome) => outcome,
            Err(failure) => return text::failed(&self.selection, failure),
        };
        let answer = PushAnswer {
            outcome,
            server_time: sync.now(),
        };
        let write = |text: &mut _| plan.write(&answer, text);
        self.written(answer.text_bytes(), write, sync, caller).await
    }
}
