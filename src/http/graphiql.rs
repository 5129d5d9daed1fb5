//! GraphiQL, which the binary contains gzipped: the page at `/`, its files and its configuration under `/graphiql/`.
//! The package `graphiql/` builds these files. The caller of [`router`] decides whether there is a page, and for which
//! users it has tokens.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use async_compression::tokio::bufread::GzipDecoder;
use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::{io::AsyncReadExt, sync::OnceCell};
use tower_http::set_header::SetResponseHeaderLayer;

use super::{coding, origin};

/// The answer to `GET /graphiql/config.json`, which `graphiql/src/config.ts` reads.
#[derive(Clone, Serialize)]
pub(crate) struct GraphiqlConfig {
    /// Path of the GraphQL endpoint, for HTTP and WebSocket alike.
    pub(crate) endpoint: String,
    /// The users that the page can sign in as; it begins with the first. Empty outside `tidegate dev`, and sent to
    /// browsers on the same machine only, since every reader of the page's configuration can read the tokens.
    pub(crate) users: Vec<DevUser>,
    /// The tabs of a first visit. Later visits show the tabs that the browser has kept.
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
/// No layer that allows other origins (CORS) may enclose them: `config.json` holds tokens.
pub(crate) fn router<S>(config: GraphiqlConfig) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let written = |config: &GraphiqlConfig| {
        let text = serde_json::to_vec(config).expect("strings and lists always serialise");
        Bytes::from(text)
    };
    let for_this_machine = written(&config);
    let for_others = written(&GraphiqlConfig {
        users: Vec::new(),
        ..config
    });
    let serve = async move |request: Request| {
        serve_config(match origin::is_of_this_machine(&request) {
            true => for_this_machine,
            false => for_others,
        })
    };
    let mut router = Router::new().route("/graphiql/config.json", get(serve));
    for file in &FILES {
        let etag = file.etag();
        router = router.route(
            file.path,
            get(async move |headers: HeaderMap| serve_file(file, &etag, &headers).await),
        );
    }
    router
        .layer(always(CONTENT_SECURITY_POLICY, POLICY))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(REFERRER_POLICY, "no-referrer"))
        .layer(always(CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
}

/// The page connects to its own origin only; in `connect-src`, `'self'` includes the WebSocket of the same host and port (CSP
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

/// File names are the same in every release, so a browser asks each time and mostly gets a 304. The tag is weak: it
/// stands for the file in each coding.
async fn serve_file(file: &'static AssetFile, etag: &HeaderValue, request: &HeaderMap) -> Response {
    let headers = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if request.get(IF_NONE_MATCH) == Some(etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content_type = [(CONTENT_TYPE, file.content_type)];
    let gzip = coding::quality(request, "gzip");
    if gzip > 0.0 && gzip >= coding::quality(request, "identity") {
        let coding = [(CONTENT_ENCODING, "gzip")];
        return (headers, content_type, coding, file.gzip).into_response();
    }
    (headers, content_type, file.plain().await).into_response()
}

struct AssetFile {
    path: &'static str,
    content_type: &'static str,
    gzip: &'static [u8],
    /// Unpacked at the first request for it, and shared by all requests.
    plain: OnceCell<Bytes>,
}

impl AssetFile {
    const fn new(path: &'static str, content_type: &'static str, gzip: &'static [u8]) -> Self {
        Self {
            path,
            content_type,
            gzip,
            plain: OnceCell::const_new(),
        }
    }

    async fn plain(&self) -> Bytes {
        let unpack = async || {
            let mut plain = Vec::new();
            let mut decoder = GzipDecoder::new(self.gzip);
            let read = decoder.read_to_end(&mut plain).await;
            read.expect("the build packed the file, and memory is read without faults");
            Bytes::from(plain.into_boxed_slice())
        };
        self.plain.get_or_init(unpack).await.clone()
    }

    /// A fingerprint of the content. It need not resist forgery: no content comes from outside.
    fn etag(&self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.gzip.hash(&mut hasher);
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header value")
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [AssetFile; 8] = [
    AssetFile::new(
        "/",
        "text/html; charset=utf-8",
        include_bytes!("graphiql/index.html.gz"),
    ),
    AssetFile::new(
        "/graphiql/app.js",
        SCRIPT,
        include_bytes!("graphiql/app.js.gz"),
    ),
    AssetFile::new(
        "/graphiql/app.css",
        "text/css; charset=utf-8",
        include_bytes!("graphiql/app.css.gz"),
    ),
    AssetFile::new(
        "/graphiql/codicon.ttf",
        "font/ttf",
        include_bytes!("graphiql/codicon.ttf.gz"),
    ),
    AssetFile::new(
        "/graphiql/editor.worker.js",
        SCRIPT,
        include_bytes!("graphiql/editor.worker.js.gz"),
    ),
    AssetFile::new(
        "/graphiql/graphql.worker.js",
        SCRIPT,
        include_bytes!("graphiql/graphql.worker.js.gz"),
    ),
    AssetFile::new(
        "/graphiql/json.worker.js",
        SCRIPT,
        include_bytes!("graphiql/json.worker.js.gz"),
    ),
    // The licences of the packages inside require that every copy includes them.
    AssetFile::new(
        "/graphiql/licenses.md",
        "text/markdown; charset=utf-8",
        include_bytes!("graphiql/licenses.md.gz"),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::body::{Body, to_bytes};
    use serde_json::json;
    use tower::ServiceExt;

    use super::{origin::Peer, *};
    use crate::http::around;

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
        let mut request = request.body(Body::empty()).unwrap();
        let peer = Peer([127, 0, 0, 1].into());
        request.extensions_mut().insert(peer);
        let router = around(router::<()>(config), false);
        router.oneshot(request).await.unwrap()
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
    async fn a_file_is_unpacked_once_and_never_compressed() {
        for file in &FILES {
            let mut addresses = HashSet::new();
            for codings in ["br", "zstd", "br, zstd, gzip;q=0", "*;q=0"] {
                let response = ask(file.path, &[("accept-encoding", codings)]).await;
                let is_coded = response.headers().contains_key(CONTENT_ENCODING);
                assert!(!is_coded, "{} {codings}", file.path);
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                addresses.insert(body.as_ptr());
            }
            assert_eq!(addresses.len(), 1, "{} is shared", file.path);
        }
        let headers = [("host", "localhost"), ("accept-encoding", "br")];
        let response = ask("/graphiql/config.json", &headers).await;
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
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
        let response = ask("/graphiql/config.json", &[("host", "localhost")]).await;
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(
            response.headers()[CROSS_ORIGIN_RESOURCE_POLICY],
            "same-origin"
        );
        let mut expected = json!({
            "endpoint": "/graphql",
            "users": [{ "name": "alice", "token": "a.b.c" }],
            "tabs": [{ "query": "{ viewer { id } }", "variables": "" }],
        });
        assert_eq!(json_of(response).await, expected);
        let response = ask("/graphiql/config.json", &[("host", "example.com")]).await;
        expected["users"] = json!([]);
        assert_eq!(json_of(response).await, expected);
    }

    #[tokio::test]
    async fn a_client_that_likes_gzip_less_gets_the_same_page_plain() {
        for file in &FILES {
            let preference = [("accept-encoding", "identity;q=1, gzip;q=0.5")];
            let response = ask(file.path, &preference).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.path);
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], file.content_type);
            assert_eq!(headers[VARY], "accept-encoding");
            assert!(!headers.contains_key(CONTENT_ENCODING));
            let plain = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let mut expected = Vec::new();
            let mut decoder = GzipDecoder::new(file.gzip);
            decoder.read_to_end(&mut expected).await.unwrap();
            assert!(plain == expected, "{}", file.path);
        }
        let page = ask("/", &[("accept-encoding", "identity")]).await;
        let page = to_bytes(page.into_body(), usize::MAX).await.unwrap();
        assert!(page.to_ascii_lowercase().starts_with(b"<!doctype html>"));
    }
}
