//! Checks the source of a request: the names of `Host`, and the origins of web pages. `auth` checks tokens. These
//! checks prevent other pages from using a visitor's browser.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName,
        header::{CONTENT_TYPE, HOST, ORIGIN},
    },
    middleware::Next,
    response::Response,
};

use super::{accept::ResponseType, answer};
use crate::graphql::error::{ClientError, Code};

/// Headers by which clients make browsers ask before they send (CORS): Apollo's, GraphQL Yoga's, Hot Chocolate's, jQuery's.
pub(super) const PREFLIGHT_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("apollo-require-preflight"),
    HeaderName::from_static("x-apollo-operation-name"),
    HeaderName::from_static("graphql-require-preflight"),
    HeaderName::from_static("graphql-preflight"),
    HeaderName::from_static("x-requested-with"),
];
/// A browser names the source of a request in it (W3C, Fetch Metadata Request Headers). Other clients do not send it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that proxies add to a request that they forward (RFC 7239, and its predecessors), besides `X-Forwarded-*`.
const FORWARDING: [HeaderName; 5] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("via"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
];

/// The origins whose pages may use the gateway, besides its own.
#[derive(Clone, Default)]
pub(crate) struct AllowedOrigins {
    /// As browsers send them, such as `https://app.example.com`.
    pub(crate) named: Vec<String>,
    /// Whether pages that this machine serves may use it too, on any port.
    pub(crate) loopback: bool,
}

impl AllowedOrigins {
    pub(super) fn admit(&self, origin: &str) -> bool {
        let is_named = self.named.iter().any(|named| named == origin);
        is_named || (self.loopback && authority(origin).is_some_and(is_loopback))
    }
}

/// Refuses requests to any name but this machine's own.
pub(super) async fn loopback_hosts_only(request: Request, next: Next) -> Response {
    if names_this_machine(&request) {
        return next.run(request).await;
    }
    let message = "This gateway answers to localhost, 127.0.0.1 and [::1] only.";
    answer::refused(
        ResponseType::Json,
        ClientError::new(Code::Forbidden, message),
    )
}

/// A target names the host too, in HTTP/2 and in absolute form. Both names have to be the same (RFC 9112, section 3.2).
fn names_this_machine(request: &Request) -> bool {
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let hosts = request.headers().get_all(HOST).iter();
    let hosts: Vec<&str> = hosts
        .map(|host| host.to_str().unwrap_or_default())
        .collect();
    let host = match (&hosts[..], target) {
        (&[host], None) => host,
        ([], Some(target)) => target,
        (&[host], Some(target)) if host.eq_ignore_ascii_case(target) => host,
        _ => return false,
    };
    is_loopback(host)
}

/// The address that a request's connection comes from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whether a request comes from this machine, and names it. The name excludes pages of the web whose names resolve to
/// this machine (DNS rebinding). A request that a proxy forwards counts as one from elsewhere, whatever its headers
/// say.
pub(super) fn is_of_this_machine(request: &Request) -> bool {
    let peer = request.extensions().get::<Peer>();
    let is_near = peer.is_some_and(|Peer(address)| address.to_canonical().is_loopback());
    let is_forwarded = request
        .headers()
        .keys()
        .any(|name| FORWARDING.contains(name) || name.as_str().starts_with("x-forwarded"));
    is_near && !is_forwarded && names_this_machine(request)
}

/// Whether a page of this origin may open a WebSocket. Browsers send no preflight for it, so the gateway checks the
/// origin itself. Other clients send no `Origin`.
///
/// # Errors
/// `FORBIDDEN` when the origin is neither an allowed one nor the gateway's own.
pub(super) fn check_origin(
    headers: &HeaderMap,
    origins: &AllowedOrigins,
) -> Result<(), ClientError> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let is_allowed = text(headers, ORIGIN)
        .is_some_and(|origin| origins.admit(origin) || is_own(origin, text(headers, HOST)));
    allow(is_allowed)
}

/// Whether an operation in a URL may run. Pages can send such requests to other origins, by an image or a link.
/// They cannot add a token; a proxy in front that turns a cookie into a token would.
///
/// # Errors
/// `FORBIDDEN` when a browser says that the request comes from a page of an origin that is not allowed, and nothing shows
/// that the browser sent a preflight.
pub(super) fn check_get(headers: &HeaderMap, origins: &AllowedOrigins) -> Result<(), ClientError> {
    let is_of_another =
        text(headers, SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let is_admitted = || text(headers, ORIGIN).is_some_and(|origin| origins.admit(origin));
    allow(!is_of_another || was_asked_for(headers) || is_admitted())
}

fn allow(is_allowed: bool) -> Result<(), ClientError> {
    if is_allowed {
        return Ok(());
    }
    let message = "Pages of this origin may not use the gateway; `http.allowed_origins` names those that may.";
    Err(ClientError::new(Code::Forbidden, message))
}

/// Whether the request has a header that needs a preflight: one that clients send for this purpose, or a content type that
/// no form has.
fn was_asked_for(headers: &HeaderMap) -> bool {
    let is_simple = |content_type: &str| {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain",
        ]
        .iter()
        .any(|simple| essence.eq_ignore_ascii_case(simple))
    };
    let by_header = PREFLIGHT_HEADERS
        .iter()
        .any(|name| headers.contains_key(name));
    by_header || text(headers, CONTENT_TYPE).is_some_and(|content_type| !is_simple(content_type))
}

/// The scheme is not compared: behind a proxy that ends TLS, the gateway does not know it.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    matches!((authority(origin), host), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = name
        .parse()
        .is_ok_and(|address: Ipv4Addr| address.is_loopback());
    is_address || name == "[::1]" || name.eq_ignore_ascii_case("localhost")
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:4000", true),
            ("127.0.0.1:4000", true),
            ("[::1]:4000", true),
            ("[::1]", true),
            ("localhost:", true),
            ("rebound.example.com:4000", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com:4000", false),
            ("localhost:4000:evil", false),
            ("127.0.0.2", true),
            ("127.255.1.2:80", true),
            ("128.0.0.1", false),
            ("127.1", false),
            ("2130706433", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host:?}");
        }
    }

    #[test]
    fn only_requests_from_here_to_here_are_of_this_machine() {
        for (peer, host, forwarded, expected) in [
            ("127.0.0.1", "localhost:4000", None, true),
            ("127.8.8.8", "127.0.0.1", None, true),
            ("::1", "[::1]:4000", None, true),
            ("::ffff:127.0.0.1", "localhost", None, true),
            ("192.168.1.7", "localhost", None, false),
            ("::ffff:192.168.1.7", "localhost", None, false),
            ("127.0.0.1", "rebound.example.com", None, false),
            ("127.0.0.1", "192.168.1.2:4000", None, false),
            ("192.168.1.7", "localhost", Some("x-forwarded-for"), false),
            ("127.0.0.1", "localhost", Some("x-forwarded-for"), false),
            ("127.0.0.1", "localhost", Some("forwarded"), false),
            ("127.0.0.1", "localhost", Some("x-real-ip"), false),
            ("127.0.0.1", "localhost", Some("via"), false),
            ("127.0.0.1", "localhost", Some("x-forwarded-proto"), false),
            ("127.0.0.1", "localhost", Some("x-forwarded"), false),
            ("127.0.0.1", "localhost", Some("cf-connecting-ip"), false),
            ("127.0.0.1", "localhost", Some("true-client-ip"), false),
        ] {
            let mut request = Request::get("/").header(HOST, host);
            if let Some(name) = forwarded {
                request = request.header(name, "127.0.0.1");
            }
            let mut request = request.body(axum::body::Body::empty()).unwrap();
            assert!(!is_of_this_machine(&request), "nobody knows from where");
            request.extensions_mut().insert(Peer(peer.parse().unwrap()));
            let found = is_of_this_machine(&request);
            assert_eq!(found, expected, "{peer} {host} {forwarded:?}");
        }
    }

    #[test]
    fn all_that_a_request_names_is_one_name_of_this_machine() {
        for (target, hosts, expected) in [
            ("/", &["localhost"][..], true),
            ("http://localhost/", &[], true),
            ("http://localhost/", &["LOCALHOST"], true),
            ("http://localhost/", &["rebound.example.com"], false),
            ("http://rebound.example.com/", &["localhost"], false),
            ("http://localhost/", &["127.0.0.1"], false),
            ("/", &["localhost", "localhost"], false),
            ("/", &["localhost", "rebound.example.com"], false),
            ("/", &["rebound.example.com", "localhost"], false),
            ("/", &[], false),
        ] {
            let request = hosts.iter().fold(Request::get(target), |request, host| {
                request.header(HOST, *host)
            });
            let request = request.body(axum::body::Body::empty()).unwrap();
            assert_eq!(names_this_machine(&request), expected, "{target} {hosts:?}");
        }
    }

    fn named() -> AllowedOrigins {
        AllowedOrigins {
            named: vec!["https://app.example.com".to_owned()],
            loopback: false,
        }
    }

    #[test]
    fn sockets_open_from_allowed_and_own_origins_only() {
        let [none, loopback] = [false, true].map(|loopback| AllowedOrigins {
            named: Vec::new(),
            loopback,
        });
        for (origin, by_name, by_none, by_loopback) in [
            ("https://app.example.com", true, false, false),
            ("https://sync.example.com:4000", true, true, true),
            ("http://SYNC.example.com:4000", true, true, true),
            ("https://sync.example.com", false, false, false),
            ("http://app.example.com", false, false, false),
            ("https://app.example.com.evil.example", false, false, false),
            ("http://localhost:5173", false, false, true),
            ("http://[::1]:5173", false, false, true),
            ("https://localhost.example.com", false, false, false),
            ("null", false, false, false),
            ("localhost", false, false, false),
            ("", false, false, false),
        ] {
            let headers = HeaderMap::from_iter([
                (ORIGIN, origin.parse().unwrap()),
                (HOST, "sync.example.com:4000".parse().unwrap()),
            ]);
            let opens = |origins: &AllowedOrigins| check_origin(&headers, origins).is_ok();
            assert_eq!(opens(&named()), by_name, "{origin:?}");
            assert_eq!(opens(&none), by_none, "{origin:?}");
            assert_eq!(opens(&loopback), by_loopback, "{origin:?}");
        }
        assert!(check_origin(&HeaderMap::new(), &none).is_ok(), "no browser");
    }

    #[test]
    fn a_page_of_another_origin_sends_no_operation_unasked() {
        for (headers, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("content-type", "text/plain; a"),
                ],
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("content-type", "application/json"),
                ],
                true,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("apollo-require-preflight", "true"),
                ],
                true,
            ),
            (
                &[("sec-fetch-site", "cross-site"), ("graphql-preflight", "1")],
                true,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://app.example.com"),
                ],
                true,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://evil.example.com"),
                ],
                false,
            ),
        ] {
            let map = headers.iter().map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            });
            let is_ok = check_get(&HeaderMap::from_iter(map), &named()).is_ok();
            assert_eq!(is_ok, expected, "{headers:?}");
        }
    }
}
