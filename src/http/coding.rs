//! Which codings of a response a client takes (`Accept-Encoding`; RFC 9110, section 12.5.3), and in which order the gateway
//! likes them. The compressing itself is tower-http's.

use axum::extract::Request;
use axum::http::header::ACCEPT_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Leaves zstd to clients that like it better than br and gzip. tower-http prefers it among equals, but some offer it and
/// cannot read it: the client of graphql-codegen, on a Node before 22.15.
pub(super) async fn zstd_last(mut request: Request, next: Next) -> Response {
    if let Some(codings) = without_zstd(request.headers()) {
        request.headers_mut().insert(ACCEPT_ENCODING, codings);
    }
    next.run(request).await
}

/// What `Accept-Encoding` says but for zstd, if something else is liked as much.
fn without_zstd(headers: &HeaderMap) -> Option<HeaderValue> {
    let zstd = quality(headers, "zstd");
    let other = quality(headers, "br").max(quality(headers, "gzip"));
    if zstd == 0.0 || zstd > other {
        return None;
    }
    let others = items(headers).filter(|(name, _)| !name.eq_ignore_ascii_case("zstd"));
    let others = others.map(|(name, weight)| format!("{name};{weight}, "));
    let codings = others.collect::<String>() + "zstd;q=0";
    HeaderValue::try_from(codings).ok()
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
        .map(|(name, weight)| (name.trim(), weight.trim()))
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

    #[test]
    fn zstd_is_left_to_clients_that_like_nothing_else_as_much() {
        for (header, expected) in [
            // graphql-codegen on Node, Chromium, and a client that takes anything.
            (
                "gzip, deflate, br, zstd",
                Some("gzip;q=1, deflate;q=1, br;q=1, zstd;q=0"),
            ),
            ("zstd;q=0.5, gzip;q=0.5", Some("gzip;q=0.5, zstd;q=0")),
            ("*", Some("*;q=1, zstd;q=0")),
            ("zstd, gzip;q=0.9", None),
            ("zstd, deflate", None),
            ("zstd", None),
            ("gzip, zstd;q=0", None),
            ("gzip, br", None),
            ("identity", None),
            ("", None),
        ] {
            let codings = without_zstd(&accepting(header));
            let codings = codings.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(codings, expected, "{header:?}");
        }
    }
}
