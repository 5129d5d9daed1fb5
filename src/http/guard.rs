//! Who may call by where the call comes from: the names of `Host`, the origins of web pages. Tokens are `auth`'s
//! matter; these checks only keep a browser from being made an accomplice.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;

use super::accept::Form;
use super::answer;
use crate::graphql::error::{Code, Failure};

/// Refuses requests to any name but this machine's own.
pub(super) async fn loopback_hosts_only(request: Request, next: Next) -> Response {
    if text(request.headers(), HOST).is_some_and(is_loopback) {
        return next.run(request).await;
    }
    let message = "This gateway answers to localhost, 127.0.0.1 and [::1] only.";
    answer::refused(Form::Json, Failure::new(Code::Forbidden, message))
}

/// Whether a WebSocket may be opened from where the request comes. Browsers ask no permission by CORS for them, so the
/// gateway has to look by itself. Clients that are no browsers send no `Origin`.
///
/// # Errors
/// `FORBIDDEN` when origins are configured, and it is neither one of them nor the gateway's own.
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Failure> {
    if allowed.is_empty() || !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let is_allowed = text(headers, ORIGIN).is_some_and(|origin| {
        allowed.iter().any(|one| one == origin) || is_own(origin, text(headers, HOST))
    });
    if is_allowed {
        return Ok(());
    }
    let message =
        "Pages of this origin may not connect; `http.allowed_origins` names those that may.";
    Err(Failure::new(Code::Forbidden, message))
}

/// The scheme is not compared: behind a proxy that ends TLS, the gateway does not know its own.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    matches!((authority, host), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
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
            ("127.0.0.2", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host:?}");
        }
    }

    #[test]
    fn sockets_open_from_allowed_and_own_origins_only() {
        let allowed = ["https://app.example.com".to_owned()];
        for (origin, expected) in [
            ("https://app.example.com", true),
            ("https://sync.example.com:4000", true),
            ("http://SYNC.example.com:4000", true),
            ("https://sync.example.com", false),
            ("http://app.example.com", false),
            ("https://app.example.com.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([
                (ORIGIN, origin.parse().unwrap()),
                (HOST, "sync.example.com:4000".parse().unwrap()),
            ]);
            assert_eq!(
                check_origin(&headers, &allowed).is_ok(),
                expected,
                "{origin:?}"
            );
            assert!(check_origin(&headers, &[]).is_ok(), "none are configured");
        }
        assert!(
            check_origin(&HeaderMap::new(), &allowed).is_ok(),
            "no browser"
        );
    }
}
