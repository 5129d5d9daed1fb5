//! The size of a request's head, for counting the heads of requests over HTTP/2. A connection carries many at a time,
//! and one byte on the wire may stand for a field that takes 100 bytes of memory (HPACK).

use axum::{body::HttpBody, http::Request};

use super::connection::HEAD_BYTES_MAX;

/// What a field takes in the library's map besides its name and value.
const FIELD_BYTES: usize = 112;
/// The same for one more value of a name: the list of values may be twice as long as it is full.
const VALUE_BYTES: usize = 144;
/// What the allocator adds to a name and a value.
const TEXTS_BYTES: usize = 32;
/// The trailers of a body may have as many fields as a head.
const TRAILERS_BYTES: usize = 4 * HEAD_BYTES_MAX as usize;

/// About how much memory a request's head takes, with the most that its trailers may take.
pub(super) fn bytes<B: HttpBody>(request: &Request<B>) -> usize {
    let (fields, uri) = (request.headers(), request.uri());
    let texts = fields.iter();
    let texts: usize = texts
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = uri.path_and_query().map_or(0, |it| it.as_str().len());
    let authority = uri.authority().map_or(0, |it| it.as_str().len());
    let repeated = fields.len() - fields.keys_len();
    let map = fields.capacity() * FIELD_BYTES + repeated * VALUE_BYTES;
    let trailers = match request.body().is_end_stream() {
        true => 0,
        false => TRAILERS_BYTES,
    };
    texts + fields.len() * TEXTS_BYTES + target + authority + map + trailers
}

#[cfg(test)]
mod tests {
    use axum::{
        BoxError, Router,
        body::Body,
        http::{HeaderName, HeaderValue, StatusCode, Version},
    };
    use futures_util::FutureExt;
    use hyper::service::Service;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        config::HttpTimes,
        http::server::{
            ServerOptions, connection::ConnectionService, connection_limit::ConnectionLimiter,
        },
        limits::Limits,
    };

    /// A stranger's connection to a router that never answers.
    fn current(bytes_max: usize) -> (ConnectionService, watch::Sender<Router>) {
        let limits = Limits {
            buffer_bytes: 8 * bytes_max,
            user_buffer_bytes: bytes_max,
            ..Limits::default()
        };
        let limiter = ConnectionLimiter::new(&ServerOptions::new(limits, HttpTimes::default()));
        let waiting = Router::new().fallback(|request: Request<Body>| async move {
            std::future::pending::<()>().await;
            drop(request);
        });
        let (sender, router) = watch::channel(waiting);
        let permit = limiter.enter([127, 0, 0, 1].into());
        (ConnectionService { router, permit }, sender)
    }

    fn request(version: Version, fields: usize, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.version_mut() = version;
        for number in 0..fields {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            request.headers_mut().append(name, HeaderValue::from(1));
        }
        request
    }

    #[test]
    fn heads_over_http2_are_counted_until_their_requests_are_answered() {
        const MIB: usize = 1 << 20;
        let (connection, _router) = current(MIB);
        let head = || request(Version::HTTP_2, 700, Body::empty());
        let counted = bytes(&head());
        assert!((100_000..200_000).contains(&counted), "{counted}");
        let mut under_way: Vec<_> = (0..50).map(|_| connection.call(head())).collect();
        let mut refused = 0;
        under_way.retain_mut(|answer| match answer.now_or_never() {
            Some(answer) => {
                assert_eq!(answer.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
                refused += 1;
                false
            }
            None => true,
        });
        assert_eq!(under_way.len(), MIB / counted);
        assert_eq!(refused + under_way.len(), 50);
        let older = connection.call(request(Version::HTTP_11, 700, Body::empty()));
        assert!(older.now_or_never().is_none(), "a connection has one");
        drop(under_way);
        assert!(connection.call(head()).now_or_never().is_none());
    }

    #[test]
    fn a_body_may_bring_as_many_trailers_as_a_head_has_fields() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<&str, BoxError>>());
        let [with, without] =
            [body, Body::empty()].map(|it| bytes(&request(Version::HTTP_2, 1, it)));
        assert_eq!(with, without + TRAILERS_BYTES);
    }
}
