//! Which codings of a response a client takes (`Accept-Encoding`; RFC 9110, section 12.5.3), and in which order the gateway
//! likes them. The compressing itself is tower-http's.

use axum::extract::Request;
use axum::http::header::ACCEPT_ENCODING;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

/// Writes `Accept-Encoding` as the gateway reads it, for all that stands inside.
pub(super) async fn settle(mut request: Request, next: Next) -> Response {
    if let Some(codings) = settled(request.headers()) {
        request.headers_mut().insert(ACCEPT_ENCODING, codings);
    }
    next.run(request).await
}

/// Each coding the gateway has, with its weight.
///
/// zstd is left to clients that like it better than br and gzip: tower-http prefers it among equals, but some offer it and
/// cannot read it (the client of graphql-codegen, on a Node before 22.15). Identity is never refused: tower-http would answer
/// 406 after the operation has run.
fn settled(headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return None;
    }
    let weight = |coding| quality(headers, coding);
    let (br, gzip, zstd) = (weight("br"), weight("gzip"), weight("zstd"));
    let zstd = if zstd > br.max(gzip) { zstd } else { 0.0 };
    let identity = weight("identity").max(WEIGHT_MIN);
    let codings =
        format!("br;q={br:.3}, gzip;q={gzip:.3}, zstd;q={zstd:.3}, identity;q={identity:.3}");
    HeaderValue::try_from(codings).ok()
}

/// The least weight that does not refuse.
const WEIGHT_MIN: f32 = 0.001;

/// Marks a response that is sent in the coding it has. Whoever reads a large one slowly would hold a compressor.
#[derive(Clone)]
struct AsItIs;

pub(super) async fn as_it_is(mut response: Response) -> Response {
    response.extensions_mut().insert(AsItIs);
    response
}

pub(super) fn may_compress(
    _: StatusCode,
    _: Version,
    _: &HeaderMap,
    extensions: &Extensions,
) -> bool {
    extensions.get::<AsItIs>().is_none()
}

/// How much the client likes a coding: from 0, which refuses it, to 1. Without the header it takes any.
pub(super) fn quality(headers: &HeaderMap, coding: &str) -> f32 {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return 1.0;
    }
    let named = |wanted: &str| {
        items(headers)
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, weight)| value(weight))
    };
    named(coding).or_else(|| named("*")).unwrap_or(0.0)
}

/// Each coding with its parameter, `q=1` where there is none.
fn items(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.split_once(';').unwrap_or((item, "q=1")))
        .map(|(name, weight)| match name.trim() {
            // The old name of gzip.
            name if name.eq_ignore_ascii_case("x-gzip") => ("gzip", weight.trim()),
            name => (name, weight.trim()),
        })
        .filter(|(name, _)| !name.is_empty())
}

/// A weight that is none refuses its coding, as tower-http has it.
fn value(weight: &str) -> f32 {
    let digits = weight
        .strip_prefix(['q', 'Q'])
        .and_then(|rest| rest.strip_prefix('='));
    let value = digits.and_then(|digits| digits.parse().ok());
    value
        .filter(|value| (0.0..=1.0).contains(value))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())])
    }

    #[test]
    fn accept_encoding_is_read_as_rfc_9110_has_it() {
        for (header, gzip) in [
            ("gzip", 1.0),
            ("GZIP;q=0.5, br", 0.5),
            ("gzip; Q=0.25", 0.25),
            ("X-Gzip;q=0.5", 0.5),
            ("gzip;q=0", 0.0),
            ("gzip; q=0.000, *", 0.0),
            ("*", 1.0),
            ("*;q=0", 0.0),
            ("br, *;q=0.1", 0.1),
            ("br, deflate", 0.0),
            ("gzip;q=2", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(quality(&accepting(header), "gzip"), gzip, "{header:?}");
        }
        assert_eq!(quality(&HeaderMap::new(), "gzip"), 1.0);
    }

    #[track_caller]
    fn assert_settled(header: &str, weights: [f32; 4]) {
        let settled = settled(&accepting(header)).unwrap();
        let settled = HeaderMap::from_iter([(ACCEPT_ENCODING, settled)]);
        let read = ["br", "gzip", "zstd", "identity"].map(|coding| quality(&settled, coding));
        assert_eq!(read, weights, "{header:?}");
    }

    #[test]
    fn zstd_is_left_to_clients_that_like_nothing_else_as_much() {
        // graphql-codegen on Node, Chromium, and a client that takes anything.
        assert_settled("gzip, deflate, br, zstd", [1.0, 1.0, 0.0, 0.001]);
        assert_settled("zstd;q=0.5, gzip;q=0.5", [0.0, 0.5, 0.0, 0.001]);
        assert_settled("*", [1.0, 1.0, 0.0, 1.0]);
        assert_settled("zstd, gzip;q=0.9", [0.0, 0.9, 1.0, 0.001]);
        assert_settled("zstd, deflate", [0.0, 0.0, 1.0, 0.001]);
        assert_settled("gzip, br", [1.0, 1.0, 0.0, 0.001]);
        assert_settled("", [0.0, 0.0, 0.0, 0.001]);
        assert_eq!(settled(&HeaderMap::new()), None);
    }

    #[test]
    fn identity_is_never_refused() {
        for nothing in ["identity;q=0", "*;q=0", "identity;q=0, deflate"] {
            assert_settled(nothing, [0.0, 0.0, 0.0, 0.001]);
        }
        // A weight of more than three digits, which tower-http does not read.
        assert_settled("identity;q=0, gzip;q=0.1234", [0.0, 0.123, 0.0, 0.001]);
        assert_settled("identity, gzip;q=0.5", [0.0, 0.5, 0.0, 1.0]);
    }
}
