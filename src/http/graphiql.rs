//! GraphiQL, which the binary contains gzipped: the page at `/`, its files and its configuration under `/graphiql/`.
//! The package `graphiql/` builds these files. The caller of [`router`] decides whether there is a page, and for which
//! users it has tokens.

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    assets::{self, AssetFile, HTML, SCRIPT, STYLE},
    origin,
};

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
    let config = Router::new().route("/graphiql/config.json", get(serve));
    assets::guarded(config.merge(assets::router(&FILES)), POLICY)
}

/// The page connects to its own origin only; in `connect-src`, `'self'` includes the WebSocket of the same host and port (CSP
/// level 3). Styles have to be `'unsafe-inline'` because the editor makes its own `<style>` elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self'; worker-src 'self'; img-src 'self' data:; font-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn serve_config(config: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, config).into_response()
}

pub(super) static FILES: [AssetFile; 8] = [
    AssetFile::new("/", HTML, include_bytes!("graphiql/index.html.gz")),
    AssetFile::new(
        "/graphiql/app.js",
        SCRIPT,
        include_bytes!("graphiql/app.js.gz"),
    ),
    AssetFile::new(
        "/graphiql/app.css",
        STYLE,
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
    use axum::{
        body::{Body, to_bytes},
        http::header::CONTENT_ENCODING,
    };
    use serde_json::json;
    use tower::ServiceExt;

    use super::{assets::CROSS_ORIGIN_RESOURCE_POLICY, origin::Peer, *};
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
        let router = around(router::<()>(config), false, crate::metrics::Metrics::new());
        router.oneshot(request).await.unwrap()
    }

    async fn json_of(response: Response) -> serde_json::Value {
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn the_configuration_is_never_stored() {
        let headers = [("host", "localhost"), ("accept-encoding", "br")];
        let response = ask("/graphiql/config.json", &headers).await;
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
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
}
