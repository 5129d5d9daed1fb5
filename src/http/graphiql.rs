//! GraphiQL, carried in the binary: the page at `/`, its files and its configuration under `/graphiql/`.
//! What is inside those files is built from the package `graphiql/`; who may see the page, and the tokens it is given,
//! are decided by whoever calls [`router`].

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;

/// What the page is told at `GET /graphiql/config.json`; its other half is `graphiql/src/config.ts`.
#[derive(Clone, Serialize)]
pub(crate) struct GraphiqlConfig {
    /// Path of the GraphQL endpoint, for HTTP and WebSocket alike.
    pub(crate) endpoint: String,
    /// Whom the page can sign in as, the first at once. Empty outside `tidegate dev`, for the tokens are readable by
    /// everyone who can open the page.
    pub(crate) users: Vec<DevUser>,
    /// What a first visit shows; a browser keeps its tabs from then on.
    pub(crate) tabs: Vec<Tab>,
}

/// A user of `tidegate dev`.
#[derive(Clone, Serialize)]
pub(crate) struct DevUser {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// One editor tab. GraphiQL titles it with the operation's name.
#[derive(Clone, Serialize)]
pub(crate) struct Tab {
    pub(crate) query: String,
    /// JSON text, shown as it is; empty for none.
    pub(crate) variables: String,
}

/// Routes for `/` and everything below `/graphiql/`.
///
/// A layer that admits other origins (CORS) must not enclose them: `config.json` holds tokens.
pub(crate) fn router<S>(config: GraphiqlConfig) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let config = serde_json::to_vec(&config).expect("strings and lists always serialise");
    let config = Bytes::from(config);
    let mut router = Router::new().route(
        "/graphiql/config.json",
        get(async move || serve_config(config)),
    );
    for file in &FILES {
        let etag = file.etag();
        router = router.route(
            file.path,
            get(async move |headers: HeaderMap| serve_file(file, &etag, &headers)),
        );
    }
    router
        .layer(always(CONTENT_SECURITY_POLICY, POLICY))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(REFERRER_POLICY, "no-referrer"))
        .layer(always(CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
}

/// Nothing leaves the page's origin; in `connect-src`, `'self'` includes the WebSocket of the same host and port (CSP
/// level 3). Styles have to be `'unsafe-inline'` because the editor makes its own `<style>` elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self'; worker-src 'self'; img-src 'self' data:; font-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

fn serve_config(config: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, config).into_response()
}

/// File names are the same in every release, so a browser asks each time and is mostly answered 304.
fn serve_file(file: &'static File, etag: &HeaderValue, request: &HeaderMap) -> Response {
    if !accepts_gzip(request) {
        return not_acceptable();
    }
    let headers = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if request.get(IF_NONE_MATCH) == Some(etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content = [
        (CONTENT_TYPE, file.content_type),
        (CONTENT_ENCODING, "gzip"),
    ];
    (headers, content, file.gzip).into_response()
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3: one that names no coding takes any).
fn accepts_gzip(request: &HeaderMap) -> bool {
    if !request.contains_key(ACCEPT_ENCODING) {
        return true;
    }
    let accepted = |coding: &str| {
        let values = request.get_all(ACCEPT_ENCODING).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|item| item.split_once(';').unwrap_or((item, "")))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(coding))
            .map(|(_, weight)| !is_zero(weight))
    };
    accepted("gzip").or_else(|| accepted("*")).unwrap_or(false)
}

fn is_zero(weight: &str) -> bool {
    let quality = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
    matches!(quality, Some(Ok(0.0)))
}

fn not_acceptable() -> Response {
    let message = "this page is stored gzipped; send Accept-Encoding: gzip";
    let body = Json(json!({ "errors": [{ "message": message }] }));
    (StatusCode::NOT_ACCEPTABLE, body).into_response()
}

struct File {
    path: &'static str,
    content_type: &'static str,
    gzip: &'static [u8],
}

impl File {
    /// A fingerprint of the content. It need not resist forgery: the content is ours.
    fn etag(&self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.gzip.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header value")
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [File; 8] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        gzip: include_bytes!("graphiql/index.html.gz"),
    },
    File {
        path: "/graphiql/app.js",
        content_type: SCRIPT,
        gzip: include_bytes!("graphiql/app.js.gz"),
    },
    File {
        path: "/graphiql/app.css",
        content_type: "text/css; charset=utf-8",
        gzip: include_bytes!("graphiql/app.css.gz"),
    },
    File {
        path: "/graphiql/codicon.ttf",
        content_type: "font/ttf",
        gzip: include_bytes!("graphiql/codicon.ttf.gz"),
    },
    File {
        path: "/graphiql/editor.worker.js",
        content_type: SCRIPT,
        gzip: include_bytes!("graphiql/editor.worker.js.gz"),
    },
    File {
        path: "/graphiql/graphql.worker.js",
        content_type: SCRIPT,
        gzip: include_bytes!("graphiql/graphql.worker.js.gz"),
    },
    File {
        path: "/graphiql/json.worker.js",
        content_type: SCRIPT,
        gzip: include_bytes!("graphiql/json.worker.js.gz"),
    },
    // The licences of the packages inside, which ask to travel with every copy.
    File {
        path: "/graphiql/licenses.md",
        content_type: "text/markdown; charset=utf-8",
        gzip: include_bytes!("graphiql/licenses.md.gz"),
    },
];

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, headers: &[(&str, &str)]) -> Response {
        let config = GraphiqlConfig {
            endpoint: "/graphql".into(),
            users: vec![DevUser {
                name: "alice".into(),
                token: "a.b.c".into(),
            }],
            tabs: vec![Tab {
                query: "{ viewer { id } }".into(),
                variables: String::new(),
            }],
        };
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router::<()>(config).oneshot(request).await.unwrap()
    }

    async fn json_of(response: Response) -> serde_json::Value {
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn every_file_is_served_gzipped_under_the_strict_policy() {
        for file in &FILES {
            let response = ask(file.path, &[("accept-encoding", "br, gzip")]).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.path);
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], file.content_type);
            assert_eq!(headers[CONTENT_ENCODING], "gzip");
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(body.starts_with(&[0x1f, 0x8b]), "{}", file.path);
        }
    }

    #[tokio::test]
    async fn a_known_etag_is_answered_without_a_body() {
        let etag = ask("/graphiql/app.js", &[]).await.headers()[ETAG].clone();
        let known = [("if-none-match", etag.to_str().unwrap())];
        let response = ask("/graphiql/app.js", &known).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], etag);
        let response = ask("/graphiql/app.css", &known).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn the_configuration_is_never_stored() {
        let response = ask("/graphiql/config.json", &[]).await;
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(
            response.headers()[CROSS_ORIGIN_RESOURCE_POLICY],
            "same-origin"
        );
        let expected = json!({
            "endpoint": "/graphql",
            "users": [{ "name": "alice", "token": "a.b.c" }],
            "tabs": [{ "query": "{ viewer { id } }", "variables": "" }],
        });
        assert_eq!(json_of(response).await, expected);
    }

    #[tokio::test]
    async fn a_client_without_gzip_is_told_so_in_json() {
        let response = ask("/", &[("accept-encoding", "identity")]).await;
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
        assert!(json_of(response).await["errors"][0]["message"].is_string());
    }

    #[test]
    fn accept_encoding_is_read_as_rfc_9110_has_it() {
        for (value, expected) in [
            ("gzip", true),
            ("GZIP;q=0.5, br", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*", true),
            ("*;q=0", false),
            ("br, deflate", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{value:?}");
        }
        assert!(accepts_gzip(&HeaderMap::new()));
    }
}
