//! Version skew: apps that are older or newer than the gateway. An operation that fits the schema is served, whatever
//! its app was made for. Only what is refused is explained here.

use tidegate_core::id::ApiHash;

use super::{
    Api,
    answer::Answer,
    error::{ClientError, Code},
};
use crate::sync::{Caller, SyncService};

impl Api {
    /// The refusal of an operation as the app that sent it has to understand it.
    pub(crate) async fn explain(
        &self,
        sync: &SyncService,
        caller: &Caller,
        refusal: Answer,
    ) -> Answer {
        let app = caller.api.filter(|app| *app != self.hash);
        match (app, refusal) {
            (Some(app), Answer::Refused(failures)) if failures.iter().any(may_be_of_skew) => {
                match sync.is_replaced(app, self.hash).await {
                    Ok(None) => Answer::Refused(failures),
                    Ok(Some(is_replaced)) => {
                        let explain = |failure| self.explained(failure, app, is_replaced);
                        Answer::Refused(failures.into_iter().map(explain).collect())
                    }
                    Err(error) => ClientError::from(error).into(),
                }
            }
            (_, refusal) => refusal,
        }
    }

    /// It keeps what is wrong and where, so that a client finds the change that it is about.
    fn explained(&self, failure: ClientError, app: ApiHash, is_replaced: bool) -> ClientError {
        let wrong = failure.message;
        let (code, message) = match is_replaced {
            true => (
                Code::ClientTooOld,
                format!(
                    "{wrong}; the app was made for an earlier API of this gateway and has to be updated"
                ),
            ),
            false => (
                Code::Unavailable,
                format!(
                    "{wrong}; the gateway does not serve the API {app} that the app was made for, or not yet: try again later"
                ),
            ),
        };
        let failure = ClientError {
            code,
            message,
            ..failure
        };
        failure.with("apiHash", self.hash.to_string())
    }
}

/// Whether another model may be the reason: the document or the variables do not fit the schema.
fn may_be_of_skew(failure: &ClientError) -> bool {
    matches!(failure.code, Code::ValidationFailed | Code::BadUserInput)
}
