//! An admitted operation as a stream of answers, for every transport that carries more than one answer: sockets, event
//! streams, multipart responses. The transports frame answers, and end streams early.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::{
    app::Gateway,
    graphql::{
        Admitted, OperationKind,
        answer::Answer,
        error::{Code, Failure},
    },
    http::traffic::Traffic,
    sync::Caller,
};

/// One answer for each event of a subscription. Queries and mutations are streams of one answer.
pub(super) fn answers(
    gateway: &Arc<Gateway>,
    traffic: &Arc<Traffic>,
    caller: Caller,
    admitted: Admitted,
) -> BoxStream<'static, Answer> {
    if admitted.kind() == OperationKind::Subscription {
        return gateway.api.subscribe(&gateway.sync, caller, admitted);
    }
    let (gateway, traffic) = (gateway.clone(), traffic.clone());
    let executing = async move {
        match traffic.enter(&caller.identity.user).await {
            Ok(_underway) => {
                let executing = gateway.api.execute(&gateway.sync, caller, admitted);
                traffic.in_time(executing).await
            }
            Err(failure) => failure.into(),
        }
    };
    // In a task of its own: while a socket's client reads nothing, its operations are not polled.
    stream::once(async {
        let task = AbortOnDropHandle::new(tokio::spawn(executing.in_current_span()));
        task.await.unwrap_or_else(|_| {
            let message = "The gateway failed; its log says how.";
            Failure::new(Code::Internal, message).into()
        })
    })
    .boxed()
}

/// The one answer to an operation that is not executed.
pub(super) fn refused(answer: Answer) -> BoxStream<'static, Answer> {
    stream::iter([answer]).boxed()
}
