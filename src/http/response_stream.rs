//! A stream of answers in the body of one response: when something is sent, and when the stream ends. `sse` and
//! `multipart` each have a [`Framing`], which writes it.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{
    future::BoxFuture,
    stream::{self, BoxStream, Stream, StreamExt},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{accept::StreamType, multipart, operation::CountedAnswer, sse};
use crate::{
    graphql::answer::Answer,
    quota::{Account, Lease},
};

/// Proxies close silent connections, the first of them after 30 s.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(12);
/// nginx buffers answers unless this header forbids it. Subscribers would see an event only when the next one comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How a kind of stream is written.
pub(super) struct Framing {
    pub(super) content_type: &'static str,
    /// Sent before everything else.
    pub(super) opening: &'static str,
    /// Sent when nothing else has been sent for a while.
    pub(super) heartbeat: &'static str,
    pub(super) answer: fn(Answer) -> Vec<u8>,
    pub(super) ending: fn(StreamEnd) -> Vec<u8>,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The operation has no more answers.
    Complete,
    /// The token has expired. With a new one the client continues from its checkpoint.
    Expired,
    /// The gateway shuts down. The client can continue at another one.
    GoingAway,
    /// The next answer would exceed the bytes that may be held until the client has read others.
    Overloaded,
}

/// A response that goes on until there are no more answers, or until `cut` ends it.
pub(super) fn respond(
    form: StreamType,
    answers: BoxStream<'static, CountedAnswer>,
    cut: BoxFuture<'static, StreamEnd>,
    account: Account,
) -> Response {
    let framing = match form {
        StreamType::Sse => &sse::FRAMING,
        StreamType::Multipart => &multipart::FRAMING,
    };
    let frames = ResponseStream::new(framing, answers, cut, account).frames();
    let frames = frames.map(Ok::<_, Infallible>);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(framing.content_type)),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

struct ResponseStream {
    framing: &'static Framing,
    answers: BoxStream<'static, CountedAnswer>,
    cut: BoxFuture<'static, StreamEnd>,
    heartbeats: Interval,
    account: Account,
    /// Counts the answer that is being sent.
    lease: Option<Lease>,
}

impl ResponseStream {
    fn new(
        framing: &'static Framing,
        answers: BoxStream<'static, CountedAnswer>,
        cut: BoxFuture<'static, StreamEnd>,
        account: Account,
    ) -> Self {
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        // A client that was slow to read does not need the heartbeats that it missed.
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            framing,
            answers,
            cut,
            heartbeats,
            account,
            lease: None,
        }
    }

    /// Each item is written at once: the connection asks for the next when it has sent the last.
    fn frames(self) -> impl Stream<Item = Bytes> {
        let opening = Bytes::from_static(self.framing.opening.as_bytes());
        let rest = stream::unfold(Some(self), async |delivery| {
            let mut delivery = delivery?;
            let (frame, has_ended) = delivery.next().await;
            Some((frame, (!has_ended).then_some(delivery)))
        });
        stream::iter([opening]).chain(rest)
    }

    /// The next frame, and whether it is the last. `cut` comes before answers: otherwise a flood of them would outlive the
    /// token.
    async fn next(&mut self) -> (Bytes, bool) {
        self.lease = None;
        let ending = tokio::select! {
            biased;
            ending = &mut self.cut => ending,
            answer = self.answers.next() => match answer {
                Some(CountedAnswer { answer, lease }) => {
                    self.heartbeats.reset();
                    let frame = (self.framing.answer)(answer);
                    match lease.map_or_else(|| self.account.lease(frame.len()), Ok) {
                        Ok(lease) => {
                            self.lease = Some(lease);
                            return (frame.into(), false);
                        }
                        Err(_) => StreamEnd::Overloaded,
                    }
                }
                None => StreamEnd::Complete,
            },
            _ = self.heartbeats.tick() => {
                return (Bytes::from_static(self.framing.heartbeat.as_bytes()), false);
            }
        };
        ((self.framing.ending)(ending).into(), true)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::pending;
    use tokio::time::sleep;

    use super::*;
    use crate::quota::{Quota, QuotaLimits};

    /// An account with this number of bytes.
    fn account(bytes_max: usize) -> Account {
        let limits = QuotaLimits {
            bytes_max,
            user_bytes_max: bytes_max,
        };
        Quota::new(limits).of_strangers()
    }

    fn answer(number: i32) -> CountedAnswer {
        Answer::Written(format!(r#"{{"data":{number}}}"#).into_bytes()).into()
    }

    /// Answers that come this number of seconds after one another, without an end.
    fn slow(seconds: &'static [u64]) -> BoxStream<'static, CountedAnswer> {
        let answers = stream::iter(seconds).then(async |after| {
            sleep(Duration::from_secs(*after)).await;
            answer(i32::try_from(*after).unwrap())
        });
        answers.chain(stream::pending()).boxed()
    }

    fn after(seconds: u64, ending: StreamEnd) -> BoxFuture<'static, StreamEnd> {
        Box::pin(async move {
            sleep(Duration::from_secs(seconds)).await;
            ending
        })
    }

    async fn sent(
        framing: &'static Framing,
        answers: BoxStream<'static, CountedAnswer>,
        cut: BoxFuture<'static, StreamEnd>,
    ) -> String {
        let frames: Vec<Bytes> = ResponseStream::new(framing, answers, cut, account(1 << 20))
            .frames()
            .collect()
            .await;
        String::from_utf8(frames.concat()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_says_each_answer_and_its_end() {
        let answers = stream::iter([answer(1), answer(2)]).boxed();
        let sent = sent(&sse::FRAMING, answers, Box::pin(pending())).await;
        assert_eq!(
            sent,
            ":\n\nevent: next\ndata: {\"data\":1}\n\nevent: next\ndata: {\"data\":2}\n\nevent: complete\ndata:\n\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_multipart_stream_closes_each_part_at_once() {
        let answers = stream::iter([answer(1)]).boxed();
        let sent = sent(&multipart::FRAMING, answers, Box::pin(pending())).await;
        assert_eq!(
            sent,
            "\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{\"payload\":{\"data\":1}}\r\n--graphql--\r\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_heart_beats_in_silence_only() {
        let cut = after(41, StreamEnd::Expired);
        let sent = sent(&sse::FRAMING, slow(&[11, 5]), cut).await;
        let next = |number| format!("event: next\ndata: {{\"data\":{number}}}\n\n");
        assert_eq!(sent, format!(":\n\n{}{}:\n\n:\n\n", next(11), next(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_before_the_last_answer_is_none_that_says_complete() {
        for (ending, code) in [
            (StreamEnd::Expired, "UNAUTHENTICATED"),
            (StreamEnd::GoingAway, "SERVICE_UNAVAILABLE"),
        ] {
            let events = sent(&sse::FRAMING, slow(&[]), after(1, ending)).await;
            assert_eq!(events, ":\n\n", "graphql-sse comes back after that");
            let parts = sent(&multipart::FRAMING, slow(&[]), after(1, ending)).await;
            assert!(
                parts.contains(r#"{"payload":null,"errors":[{"message":"#),
                "{parts}"
            );
            assert!(
                parts.contains(code) && parts.ends_with("\r\n--graphql--\r\n"),
                "{parts}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_answers_does_not_outlive_the_token() {
        let answers = stream::repeat_with(|| answer(1)).boxed();
        let cut = Box::pin(async { StreamEnd::Expired });
        assert_eq!(sent(&sse::FRAMING, answers, cut).await, ":\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_where_its_answer_would_exceed_the_quota() {
        let answers = stream::iter([answer(1)]).chain(stream::pending()).boxed();
        let cut = Box::pin(pending());
        let delivery = ResponseStream::new(&multipart::FRAMING, answers, cut, account(0));
        let frames: Vec<Bytes> = delivery.frames().collect().await;
        let sent = String::from_utf8(frames.concat()).unwrap();
        assert!(sent.contains("OVERLOADED"), "{sent}");
    }
}
