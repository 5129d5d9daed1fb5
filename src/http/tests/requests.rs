use std::{collections::BTreeSet, pin::pin};

use axum::http::header::ALLOW;
use serde_json::json;
use tidegate_core::id::UserId;
use tokio::time::timeout;

use super::*;

const MODERN: &str = "application/graphql-response+json";
const QUERY: &str = r#"{"query":"{ viewer { id } }"}"#;

fn push(query: &str) -> String {
    json!({ "query": query }).to_string()
}

#[tokio::test]
async fn a_query_is_answered_in_the_form_the_client_accepts() {
    let test_server = TestServer::new().await;
    for (accept, expected) in [
        ("*/*", "application/json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        (MODERN, "application/graphql-response+json; charset=utf-8"),
    ] {
        let reply = test_server.post(&[("accept", accept)], QUERY).await;
        assert_eq!(reply.status, StatusCode::OK, "{accept}");
        assert_eq!(reply.header("content-type"), expected, "{accept}");
        assert_eq!(reply.json(), json!({"data": {"viewer": {"id": "alice"}}}));
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(
        test_server.post(&[], QUERY).await.header("content-type"),
        "application/json; charset=utf-8"
    );
}

#[tokio::test]
async fn refusals_keep_their_status_unless_an_old_client_asks() {
    let test_server = TestServer::new().await;
    for (body, modern, legacy) in [
        (
            push("{ viewer { id "),
            "400 GRAPHQL_PARSE_FAILED",
            "200 GRAPHQL_PARSE_FAILED",
        ),
        (
            push("{ nothing }"),
            "400 GRAPHQL_VALIDATION_FAILED",
            "200 GRAPHQL_VALIDATION_FAILED",
        ),
        (
            push("query A { viewer { id } } query B { viewer { id } }"),
            "400 OPERATION_RESOLUTION_FAILURE",
            "200 OPERATION_RESOLUTION_FAILURE",
        ),
        (
            push("query($id: ID!) { viewer(clientId: $id) { id } }"),
            "400 BAD_USER_INPUT",
            "200 BAD_USER_INPUT",
        ),
        ("{".to_owned(), "400 BAD_REQUEST", "400 BAD_REQUEST"),
        ("[]".to_owned(), "400 BAD_REQUEST", "400 BAD_REQUEST"),
        (
            r#"{"query":1}"#.to_owned(),
            "400 BAD_REQUEST",
            "400 BAD_REQUEST",
        ),
        (
            push("subscription { changes { hasMore } }"),
            "406 NOT_ACCEPTABLE",
            "406 NOT_ACCEPTABLE",
        ),
        (
            " ".repeat(BODY_BYTES_MAX + 1),
            "413 PAYLOAD_TOO_LARGE",
            "413 PAYLOAD_TOO_LARGE",
        ),
    ] {
        let reply = test_server.post(&[("accept", MODERN)], &body).await;
        assert_eq!(reply.outcome(), modern, "{body}");
        assert!(reply.json().get("data").is_none(), "{body}");
        let reply = test_server
            .post(&[("accept", "application/json")], &body)
            .await;
        assert_eq!(reply.outcome(), legacy, "{body}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let test_server = TestServer::new().await;
    let bearer = test_server.bearer();
    let chunks = (0..10).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000]));
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let reply = test_server.ask("POST /graphql", &headers, body).await;
    assert_eq!(reply.outcome(), "413 PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_large_request_waits_for_the_turn_of_its_user_and_a_small_one_does_not() {
    let server = TestServer::new()
        .await
        .with(|options| options.limits.body_bytes = 1 << 20);
    let account = server.quota.of_user(&UserId::new("alice").unwrap());
    let turn = account.turn().await;
    let large = format!("{QUERY}{}", " ".repeat(100 << 10));
    let mut posting = pin!(server.post(&[], &large));
    let waits = timeout(Duration::from_millis(100), &mut posting).await;
    assert!(waits.is_err(), "it waits for its turn");
    let changes = vec![json!({"task": {"delete": {"id": "x", "baseVersion": 1}}}); 5_000];
    let small = server.post(&[], QUERY).await;
    assert_eq!(small.outcome(), "200");
    drop(turn);
    assert_eq!(posting.await.outcome(), "200");
    // A large push takes one turn for its body and one for its changes.
    let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status } } }";
    let push = json!({"query": query, "variables": {"c": changes}}).to_string();
    assert_eq!(
        server.post(&[], &push).await.outcome(),
        "200 PUSH_TOO_LARGE"
    );
}

#[tokio::test]
async fn a_client_that_accepts_no_media_type_of_the_gateway_gets_a_refusal_in_json() {
    let test_server = TestServer::new().await;
    let reply = test_server.post(&[("accept", "text/html")], QUERY).await;
    assert_eq!(reply.outcome(), "406 NOT_ACCEPTABLE");
    assert_eq!(
        reply.header("content-type"),
        "application/json; charset=utf-8"
    );
}

#[tokio::test]
async fn a_url_carries_queries_only() {
    let test_server = TestServer::new().await;
    for (path, expected) in [
        ("/graphql?query={viewer{id}}", "200"),
        (
            "/graphql?query=query+A{viewer{id}}query+B{a:viewer{id}}&operationName=B",
            "200",
        ),
        (
            "/graphql?query=query($id:ID!){viewer(clientId:$id){id}}&variables={%22id%22:%22c%22}",
            "200",
        ),
        ("/graphql", "400 BAD_REQUEST"),
        ("/graphql?query={viewer{id}}&variables=x", "400 BAD_REQUEST"),
        (
            "/graphql?query=subscription{changes{hasMore}}",
            "406 NOT_ACCEPTABLE",
        ),
        (
            "/graphql?query=mutation{pushChanges(input:{changes:[]}){serverTime}}",
            "405 METHOD_NOT_ALLOWED",
        ),
    ] {
        let reply = test_server.get(path, &[]).await;
        assert_eq!(reply.outcome(), expected, "{path}");
        if reply.status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(reply.headers[ALLOW], "POST");
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_json_500() {
    async fn broken() -> Response {
        panic!("an invariant is broken");
    }
    let router = around(
        Router::<()>::new().route("/", get(broken)),
        false,
        Metrics::new(),
    );
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    let json: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        json["errors"][0]["extensions"]["code"],
        "INTERNAL_SERVER_ERROR"
    );
    assert!(!json.to_string().contains("invariant"));
}

#[tokio::test]
async fn health_needs_no_token_and_a_gateway_that_stops_is_not_ready() {
    let test_server = TestServer::new().await;
    for path in ["GET /healthz", "GET /readyz"] {
        let reply = test_server.ask(path, &[], Body::empty()).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.json()["status"], "ok", "{path}");
    }
    test_server.shutdown.announce();
    let reply = test_server.ask("GET /readyz", &[], Body::empty()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json()["missing"], json!(["draining"]));
    assert_eq!(
        test_server
            .ask("GET /healthz", &[], Body::empty())
            .await
            .outcome(),
        "200"
    );
}

#[tokio::test]
async fn the_schema_is_shown_to_callers_or_to_everybody() {
    let test_server = TestServer::new().await;
    let reply = test_server.get("/schema.graphql", &[]).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        String::from_utf8(reply.body)
            .unwrap()
            .contains("type Query")
    );
    let test_server = TestServer::new()
        .await
        .with(|options| options.public_schema = true);
    let reply = test_server
        .ask("GET /schema.graphql", &[], Body::empty())
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    // Introspection is an operation, and needs a token as all do.
    let introspection = "GET /graphql?query=%7B__schema%7Btypes%7Bname%7D%7D%7D";
    let reply = test_server.ask(introspection, &[], Body::empty()).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_others_not() {
    const APP: &str = "https://app.example.com";
    let test_server = TestServer::new().await.with(|options| {
        options.origins.named = vec![APP.to_owned()];
        options.graphiql = Some(GraphiqlConfig {
            endpoint: "/graphql".to_owned(),
            users: Vec::new(),
            tabs: Vec::new(),
        });
    });
    let asks = [
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    for (origin, allowed) in [(APP, APP), ("https://evil.example.com", "")] {
        let headers = [&asks[..], &[("origin", origin)]].concat();
        let reply = test_server
            .ask("OPTIONS /graphql", &headers, Body::empty())
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.header("access-control-allow-origin"), allowed);
        assert_eq!(reply.header("access-control-allow-credentials"), "");
        assert_eq!(reply.header("access-control-max-age"), "7200");
        assert_eq!(reply.header("access-control-allow-methods"), "GET,POST");
        let reply = test_server.post(&[("origin", origin)], QUERY).await;
        assert_eq!(reply.header("access-control-allow-origin"), allowed);
        // The page's configuration holds tokens.
        let reply = test_server
            .get("/graphiql/config.json", &[("origin", origin)])
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn pages_may_send_what_front_end_tools_add_and_what_is_configured() {
    let test_server = TestServer::new().await.with(|options| {
        options.origins.loopback = true;
        options.allowed_headers = vec!["x-tenant".parse().unwrap()];
    });
    let asks = [
        ("origin", "http://localhost:5173"),
        ("access-control-request-method", "POST"),
    ];
    let reply = test_server
        .ask("OPTIONS /graphql", &asks, Body::empty())
        .await;
    let allowed = reply.header("access-control-allow-headers").to_owned();
    let allows = |name: &str| allowed.split(',').any(|allowed| allowed == name);
    for name in [
        "authorization",
        "content-type",
        "x-request-id",
        "tidegate-schema",
        "apollo-require-preflight",
        "x-apollo-operation-name",
        "apollographql-client-name",
        "apollographql-client-version",
        "graphql-preflight",
        "graphql-require-preflight",
        "x-requested-with",
        "x-csrf-token",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "x-datadog-origin",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-trace-id",
        "x-tenant",
    ] {
        assert!(allows(name), "{name}: {allowed}");
    }
    // A proxy in front may trust these.
    for name in [
        "cookie",
        "x-forwarded-for",
        "x-forwarded-user",
        "x-user-id",
        "*",
    ] {
        assert!(!allows(name), "{name}: {allowed}");
    }
}

#[tokio::test]
async fn a_page_with_a_name_of_its_own_for_this_machine_is_refused() {
    let test_server = TestServer::new()
        .await
        .with(|options| options.loopback_hosts_only = true);
    for (host, expected) in [
        ("localhost:4000", "200"),
        ("127.0.0.1:4000", "200"),
        ("rebound.example.com:4000", "403 FORBIDDEN"),
    ] {
        let reply = test_server
            .ask("GET /healthz", &[("host", host)], Body::empty())
            .await;
        assert_eq!(reply.outcome(), expected, "{host}");
    }
    assert_eq!(
        test_server.ask("GET /", &[], Body::empty()).await.outcome(),
        "403 FORBIDDEN"
    );
}

#[tokio::test]
async fn a_request_keeps_the_id_a_proxy_gave() {
    let test_server = TestServer::new().await;
    let reply = test_server
        .get("/healthz", &[("x-request-id", "7d1-a")])
        .await;
    assert_eq!(reply.header("x-request-id"), "7d1-a");
    let reply = test_server
        .get("/healthz", &[("x-request-id", "not plain")])
        .await;
    assert!(reply.header("x-request-id").parse::<u64>().is_ok());
}

#[test]
fn the_documentation_lists_the_headers_that_pages_may_send() {
    let text = include_str!("../../../docs/config.md");
    let (_, list) = text.split_once("## Headers that pages may send").unwrap();
    let list = list.split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    let allowed = cors::allowed_headers(&[]);
    let allowed: BTreeSet<&str> = allowed.iter().map(|name| name.as_str()).collect();
    assert_eq!(documented, allowed);
}
