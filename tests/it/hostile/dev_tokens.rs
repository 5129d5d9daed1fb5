//! `/dev/token` gives tokens away. Each test is a way in which another page or machine may ask for one.

use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::strangers::other_address;
use crate::{
    harness::{CONFIG, Client, Server, command, configured},
    serve::token,
};

async fn ask(url: &str, method: Method, headers: &[(&str, &str)]) -> Response {
    let mut request = reqwest::Client::new().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn get(server: &Server, parameters: &str, headers: &[(&str, &str)]) -> Response {
    let url = format!("{}/dev/token?{parameters}", server.url);
    ask(&url, Method::GET, headers).await
}

/// The origin that a browser lets read the answer.
fn reader(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get("access-control-allow-origin");
    origin.map(|origin| origin.to_str().unwrap())
}

#[tokio::test]
async fn a_page_of_this_machine_gets_the_token_that_it_asks_for() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let origin = "http://localhost:5173";
    for headers in [
        &[][..],
        &[("origin", origin), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "same-origin")],
    ] {
        let response = get(&server, "sub=ann%C3%A9&teams=demo,red", headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let asked = headers.iter().find(|(name, _)| *name == "origin");
        assert_eq!(reader(response.headers()), asked.map(|(_, origin)| *origin));
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(body["expires"].as_str().unwrap().ends_with('Z'), "{body}");
        let anne = Client {
            token: body["token"].as_str().unwrap().to_owned(),
            ..server.client("alice")
        };
        let viewer = anne.data("{ viewer { id writeScopes } }", json!({})).await;
        let scopes = json!(["team:demo", "team:red", "user:anné"]);
        assert_eq!(
            viewer["viewer"],
            json!({"id": "anné", "writeScopes": scopes})
        );
    }
}

#[tokio::test]
async fn a_request_that_another_page_or_machine_may_have_caused_gets_no_token() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let port = server.url.rsplit_once(':').unwrap().1;
    let rebound = format!("evil.example:{port}");
    let near = format!("localhost.evil.example:{port}");
    for headers in [
        &[("host", rebound.as_str())][..],
        &[("host", &near)],
        &[("host", "")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://localhost.evil.example")],
        &[("origin", "http://evil.example@localhost")],
        &[("origin", "null")],
        &[("origin", "file://")],
        &[("origin", "")],
        // A page of the web embeds it, or links to it.
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ],
        // A proxy of this machine serves others.
        &[("x-forwarded-for", "203.0.113.7")],
        &[("x-forwarded-for", "127.0.0.1")],
        &[("forwarded", "for=127.0.0.1")],
        &[("via", "1.1 proxy")],
        &[("x-real-ip", "127.0.0.1")],
    ] {
        let response = get(&server, "sub=alice", headers).await;
        let readable = reader(response.headers()).is_some();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_client_error(), "{headers:?}: {status} {text}");
        assert!(
            !readable && !text.contains("token\":"),
            "{headers:?}: {text}"
        );
    }
    let url = format!("{}/dev/token?sub=alice", server.url);
    let preflight = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "apollo-require-preflight"),
    ];
    let allowed = ask(&url, Method::OPTIONS, &preflight).await;
    assert_eq!(reader(allowed.headers()), None);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let status = ask(&url, method, &[]).await.status();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn odd_and_long_names_are_refused_and_the_gateway_goes_on() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let long = format!("sub={}", "x".repeat(201));
    let teams = format!("sub=alice&teams={}", "x,".repeat(2049));
    for parameters in [
        "",
        "sub=",
        "teams=demo",
        "sub=a%00b",
        "sub=alice&sub=bob",
        "sub=alice&teams=a&teams=b",
        "sub=alice&admin=true",
        &long,
        &teams,
    ] {
        let response = get(&server, parameters, &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{parameters}");
        let text = response.text().await.unwrap();
        assert!(
            text.contains("BAD_REQUEST") && !text.contains("token\":"),
            "{text}"
        );
    }
    // Claims cannot be smuggled into the one that teams become.
    let odd = "sub=a%22%2C%22exp%22%3A9&teams=%22%5D%2C%22sub%22%3A%22bob";
    let response = get(&server, odd, &[]).await;
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let odd = Client {
        token: body["token"].as_str().unwrap().to_owned(),
        ..server.client("alice")
    };
    let viewer = odd.data("{ viewer { id writeScopes } }", json!({})).await;
    assert_eq!(viewer["viewer"]["id"], "a\",\"exp\":9");
    let scopes = viewer["viewer"]["writeScopes"].to_string();
    assert!(!scopes.contains("user:bob"), "{scopes}");
}

#[tokio::test]
async fn a_gateway_that_others_can_reach_gives_no_page_a_token() {
    let directory = TempDir::new().unwrap();
    let mut dev = command(directory.path());
    dev.args(["dev", "--listen", "0.0.0.0:0"]);
    let beyond = Server::start(directory.path(), dev);
    let port = beyond.url.rsplit_once(':').unwrap().1.to_owned();
    let hosts = ["127.0.0.1".parse().ok(), other_address()];
    for host in hosts.into_iter().flatten() {
        let url = format!("http://{host}:{port}/dev/token?sub=alice");
        for headers in [&[][..], &[("host", "localhost")]] {
            let response = ask(&url, Method::GET, headers).await;
            assert_eq!(
                response.status(),
                StatusCode::NOT_FOUND,
                "{url} {headers:?}"
            );
        }
    }
    beyond.stop();
    let directory = configured(CONFIG);
    let serve = Server::serve(&directory);
    let bearer = format!("Bearer {}", token(&directory, "alice"));
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        let response = get(&serve, "sub=alice", headers).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}
