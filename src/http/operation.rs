//! An admitted operation as a stream of answers, for every transport that carries more than one answer: sockets, event
//! streams, multipart responses. The transports frame answers, and end streams early.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::{
    app::Gateway,
    graphql::{
        OperationKind, ValidatedRequest,
        answer::Answer,
        error::{ClientError, Code},
    },
    http::operation_limit::OperationLimiter,
    quota::{Account, Lease},
    record::OperationRecord,
    sync::Caller,
};

/// Smaller arguments are not counted.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// One answer for each event of a subscription. Queries and mutations are streams of one answer.
pub(super) fn answers(
    gateway: &Arc<Gateway>,
    operation_limiter: &Arc<OperationLimiter>,
    caller: Caller,
    validated: ValidatedRequest,
) -> BoxStream<'static, CountedAnswer> {
    let record = caller.record().cloned();
    if let Some(record) = &record {
        record.is(validated.kind().name(), validated.name());
    }
    let answers = unrecorded(gateway, operation_limiter, caller, validated);
    noted(record, answers)
}

fn unrecorded(
    gateway: &Arc<Gateway>,
    operation_limiter: &Arc<OperationLimiter>,
    caller: Caller,
    validated: ValidatedRequest,
) -> BoxStream<'static, CountedAnswer> {
    let lease = match arguments(&caller, &validated) {
        Ok(lease) => lease,
        Err(failure) => return stream::iter([Answer::from(failure).into()]).boxed(),
    };
    if validated.kind() == OperationKind::Subscription {
        let answers = gateway.api.subscribe(&gateway.sync, caller, validated);
        let answers = answers.inspect(move |_| _ = &lease);
        return answers.map(CountedAnswer::from).boxed();
    }
    let (gateway, operation_limiter) = (gateway.clone(), operation_limiter.clone());
    let executing = async move {
        let _lease = lease;
        let _underway = operation_limiter.enter(&caller.identity.user).await?;
        let account = caller.account().cloned();
        let executing = gateway.api.execute(&gateway.sync, caller, validated);
        CountedAnswer::waiting(operation_limiter.in_time(executing).await, account.as_ref())
    };
    // In a task of its own: while a socket's client reads nothing, its operations are not polled.
    stream::once(async {
        let task = AbortOnDropHandle::new(tokio::spawn(executing.in_current_span()));
        let executed = task.await.unwrap_or_else(|_| {
            let message = "The gateway failed; its log says how.";
            Err(ClientError::new(Code::Internal, message))
        });
        executed.unwrap_or_else(|failure| Answer::from(failure).into())
    })
    .boxed()
}

/// Counts the arguments of an operation while it runs: they may take ten times the bytes of their message.
///
/// # Errors
/// `RATE_LIMITED` or `OVERLOADED`.
pub(super) fn arguments(
    caller: &Caller,
    validated: &ValidatedRequest,
) -> Result<Option<Lease>, ClientError> {
    let bytes = validated.argument_bytes();
    match caller.account() {
        Some(account) if bytes > UNCOUNTED_BYTES => Ok(Some(account.lease(bytes)?)),
        _ => Ok(None),
    }
}

/// The one answer to an operation that is refused. It may have to read the store.
pub(super) fn refused(
    gateway: &Arc<Gateway>,
    caller: Caller,
    refusal: Answer,
) -> BoxStream<'static, CountedAnswer> {
    let (gateway, record) = (Arc::clone(gateway), caller.record().cloned());
    let explained = async move {
        let Gateway { api, sync, .. } = &*gateway;
        api.explain(sync, &caller, refusal).await.into()
    };
    noted(record, stream::once(explained).boxed())
}

/// Notes each answer in the record of its operation, which lives as long as the stream.
fn noted(
    record: Option<Arc<OperationRecord>>,
    answers: BoxStream<'static, CountedAnswer>,
) -> BoxStream<'static, CountedAnswer> {
    let Some(record) = record else {
        return answers;
    };
    let note = move |counted: &CountedAnswer| {
        note_refusal(&record, &counted.answer);
        record.answered(match &counted.answer {
            Answer::Written(text) => text.len(),
            Answer::Refused(_) => 0,
        });
    };
    answers.inspect(note).boxed()
}

/// Notes why an operation was not executed.
pub(super) fn note_failure(record: &OperationRecord, failure: &ClientError) {
    record.failed(failure.code.name(), failure.limit);
    record.answered(0);
}

/// The same, if the answer says so.
pub(super) fn note_refusal(record: &OperationRecord, answer: &Answer) {
    if let Some(failure) = answer.refusal().and_then(<[_]>::first) {
        record.failed(failure.code.name(), failure.limit);
    }
}

/// An answer for a transport.
pub(super) struct CountedAnswer {
    pub(super) answer: Answer,
    /// Counts its text. Only an answer that may wait for the transport has one.
    pub(super) lease: Option<Lease>,
}

impl CountedAnswer {
    /// Counts an answer from now on. A socket may have a hundred answers waiting, and its client may read none of them.
    ///
    /// # Errors
    /// `RATE_LIMITED` or `OVERLOADED`.
    fn waiting(answer: Answer, account: Option<&Account>) -> Result<Self, ClientError> {
        let lease = match (&answer, account) {
            (Answer::Written(text), Some(account)) => Some(account.lease(text.len())?),
            _ => None,
        };
        Ok(Self { answer, lease })
    }
}

impl From<Answer> for CountedAnswer {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            lease: None,
        }
    }
}
