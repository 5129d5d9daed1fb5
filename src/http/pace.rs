//! Sends answers in parts, to clients that read them at the least rate. An answer holds its permits and leases until
//! the client has read it. Other modules decide the content and the number of answers.

use std::{
    any::Any,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::Version,
    middleware::Next,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::lock::Mutex;

/// A part of an answer. The connection asks for the next one when it has sent the last.
const PART_BYTES: usize = 64 * 1024;
/// The same for a stream of HTTP/2. A client can close the window while the library holds a part of each stream.
pub(super) const HTTP2_PART_BYTES: usize = 8 * 1024;
/// The least rate. A client that reads slower is cut off after `http.write_time`, since the gateway holds what it has
/// not read.
const LEAST_BYTES_PER_S: u64 = 4 * 1024;

/// How long a client may take to read so many bytes.
pub(super) fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / LEAST_BYTES_PER_S)
}

tokio::task_local! {
    /// The time by which the connection has to ask for the next part of the answer that this task sends.
    static DEADLINE: Deadline;
}

/// `None` while the answer is not ready.
#[derive(Clone, Default)]
struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Deadline {
    fn get(&self) -> Option<Instant> {
        *self.0.lock()
    }

    fn set(&self, deadline: Option<Instant>) {
        *self.0.lock() = deadline;
    }
}

/// Sends an answer. Drops it and returns `None` if the client reads it too slowly. A connection of HTTP/1.1 sends one
/// answer at a time, and each stream of HTTP/2 is a task. If a stream's window is 0, nothing asks for the next part.
pub(super) async fn enforced<T>(sending: impl Future<Output = T>) -> Option<T> {
    let deadline = Deadline::default();
    let enforcing = async {
        let mut sending = pin!(sending);
        let mut timer = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                return Poll::Ready(Some(sent));
            }
            let Some(deadline) = deadline.get() else {
                return Poll::Pending;
            };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    };
    DEADLINE.scope(deadline.clone(), enforcing).await
}

/// Keeps `held` until the client has read the answer, or the answer is dropped.
pub(super) fn keep(mut response: Response, held: impl Send + Sync + 'static) -> Response {
    let kept = response
        .extensions_mut()
        .get_or_insert_default::<AnswerGuards>();
    kept.0.push(Arc::new(held));
    response
}

/// What an answer holds until it is dropped.
#[derive(Clone, Default)]
struct AnswerGuards(Vec<Arc<dyn Any + Send + Sync>>);

/// Sends every answer in parts.
pub(super) async fn in_parts(
    State(patience): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let is_http2 = request.version() == Version::HTTP_2;
    let mut response = next.run(request).await;
    let kept = response.extensions_mut().remove::<AnswerGuards>();
    response.map(|body| {
        Body::new(ChunkedBody {
            body,
            rest: Bytes::new(),
            is_http2,
            patience,
            deadline: DEADLINE.try_with(Clone::clone).unwrap_or_default(),
            _kept: kept,
        })
    })
}

/// An answer in parts. A whole answer would be copied into the connection's buffer, and nothing would show that the client
/// does not read.
struct ChunkedBody {
    body: Body,
    rest: Bytes,
    /// Over HTTP/2 the last byte is a part of its own. The library asks for a part when the client's window has one byte left,
    /// and so for the last byte only when the window is open for all bytes before it.
    is_http2: bool,
    patience: Duration,
    deadline: Deadline,
    _kept: Option<AnswerGuards>,
}

impl ChunkedBody {
    /// Whether the last part was sent too slowly.
    fn is_late(&self) -> bool {
        let deadline = self.deadline.get();
        deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    /// An answer gets `patience` once when it is ready, and again after each wait for more of it.
    fn next_part(&mut self) -> Bytes {
        let part_bytes = match self.is_http2 {
            true => HTTP2_PART_BYTES,
            false => PART_BYTES,
        };
        let mut bytes = self.rest.len().min(part_bytes);
        if self.is_http2 && bytes == self.rest.len() && bytes > 1 {
            bytes -= 1;
        }
        let now = Instant::now();
        let since = self.deadline.get().unwrap_or(now + self.patience);
        // A client that was fast may not pause for longer than others.
        let latest = now + self.patience + time_for(bytes);
        self.deadline.set(Some(latest.min(since + time_for(bytes))));
        self.rest.split_to(bytes)
    }
}

/// Other answers may follow on a connection of HTTP/1.1.
impl Drop for ChunkedBody {
    fn drop(&mut self) {
        self.deadline.set(None);
    }
}

impl HttpBody for ChunkedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_late() {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        if self.rest.is_empty() {
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            if frame.is_pending() {
                self.deadline.set(None);
            }
            match ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.next_part()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, middleware::from_fn_with_state, response::IntoResponse};
    use tokio::time::{advance, pause};
    use tower::ServiceExt;

    use super::*;

    /// This answer as it is sent.
    async fn sent(answer: Vec<u8>) -> Body {
        let router = Router::new()
            .fallback(async || answer.into_response())
            .layer(from_fn_with_state(Duration::from_secs(1), in_parts));
        let response = router.oneshot(Request::new(Body::empty())).await;
        response.unwrap().into_body()
    }

    #[tokio::test]
    async fn an_answer_in_parts_is_the_same_answer() {
        let whole: Vec<u8> = (0..200_000_u32).map(|it| it as u8).collect();
        let body = sent(whole.clone()).await;
        assert_eq!(body.size_hint().exact(), Some(200_000));
        assert!(to_bytes(body, usize::MAX).await.unwrap() == whole);
    }

    #[tokio::test]
    async fn a_client_may_be_slow_and_no_slower_than_that() {
        pause();
        for (part_s, is_taken) in [(15, true), (20, false)] {
            let mut body = sent(vec![0; 10 * PART_BYTES]).await;
            let mut taken = 0;
            while let Some(Ok(frame)) = next(&mut body).await {
                taken += frame.into_data().unwrap().len();
                advance(Duration::from_secs(part_s)).await;
            }
            assert_eq!(taken == 10 * PART_BYTES, is_taken, "{taken}");
        }
    }

    async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, axum::Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_asks_for_is_given_up() {
        let begun = Instant::now();
        let sending = async {
            let mut body = sent(vec![0; 2 * PART_BYTES]).await;
            next(&mut body).await.unwrap().unwrap();
            std::future::pending::<()>().await;
        };
        assert!(enforced(sending).await.is_none());
        let allowed = Duration::from_secs(1) + time_for(PART_BYTES);
        assert_eq!(begun.elapsed(), allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_there_yet_is_waited_for() {
        let waiting = async {
            let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            let router = Router::new()
                .fallback(async || Body::from_stream(never).into_response())
                .layer(from_fn_with_state(Duration::from_secs(1), in_parts));
            let response = router.oneshot(Request::new(Body::empty())).await;
            next(&mut response.unwrap().into_body()).await;
        };
        let waited = tokio::time::timeout(Duration::from_secs(100), enforced(waiting)).await;
        assert!(waited.is_err(), "nothing ended it");
    }

    #[tokio::test]
    async fn the_last_byte_goes_by_itself_over_http2() {
        let router = Router::new()
            .fallback(async || "answer")
            .layer(from_fn_with_state(Duration::from_secs(1), in_parts));
        let mut request = Request::new(Body::empty());
        *request.version_mut() = Version::HTTP_2;
        let mut body = router.oneshot(request).await.unwrap().into_body();
        for expected in ["answe", "r"] {
            assert!(!body.is_end_stream());
            let frame = next(&mut body).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn what_an_answer_keeps_is_given_up_with_it() {
        let held = Arc::new(());
        let of_answer = held.clone();
        let router = Router::new()
            .fallback(async move || keep("answer".into_response(), of_answer.clone()))
            .layer(from_fn_with_state(Duration::from_secs(1), in_parts));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
