//! Reads and drops the bodies that a handler did not read, before the answer is sent. Handlers decide how much they
//! read.
//!
//! A connection that is closed while the client still sends is reset, and the client may never see the answer (RFC
//! 9112, section 9.6): a device with an expired token and a long push would see a lost connection instead of 401.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::{
        HeaderValue,
        header::{CONNECTION, EXPECT},
    },
    middleware::Next,
    response::Response,
};
use futures_util::{Stream, StreamExt};
use tokio::{sync::oneshot, time::timeout};

/// The most that is read and dropped: sixteen times the largest body that is accepted by default.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the client may take to send it.
const UNREAD_DEADLINE: Duration = Duration::from_secs(5);

/// Answers once the body has ended. Beyond the bounds it answers at once, and closes the connection.
pub(super) async fn take_in(request: Request, next: Next) -> Response {
    // A client that sends `Expect` has not sent the body.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (giver, mut given_back) = oneshot::channel();
    let request = request.map(|body| {
        Body::from_stream(ReturnedBody {
            body: Some(body.into_data_stream()),
            giver: Some(giver),
        })
    });
    let mut response = next.run(request).await;
    if let Ok(rest) = given_back.try_recv()
        && !has_ended(rest).await
    {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

async fn has_ended(mut rest: BodyDataStream) -> bool {
    let reading = async {
        let mut bytes = 0;
        while let Some(data) = rest.next().await {
            match data {
                Ok(data) if bytes <= UNREAD_BYTES_MAX => bytes += data.len(),
                _ => return false,
            }
        }
        true
    };
    timeout(UNREAD_DEADLINE, reading).await.unwrap_or(false)
}

/// A body that is returned when the handler drops it.
struct ReturnedBody {
    body: Option<BodyDataStream>,
    giver: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for ReturnedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Some(body) => body.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        if let (Some(body), Some(giver)) = (self.body.take(), self.giver.take()) {
            drop(giver.send(body));
        }
    }
}
