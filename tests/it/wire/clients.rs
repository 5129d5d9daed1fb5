//! Apollo Client, urql, graphql-ws, graphql-sse and gql: query, mutation, subscription, and continuing with a new
//! token.

use serde_json::{Value, json};

use super::{node, python};
use crate::harness::{CONFIG, SECRET, Server, configured};

#[test]
fn the_clients_that_people_use_connect_and_refresh_their_tokens() {
    let config = format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let directory = configured(&config);
    let server = Server::serve(&directory);
    let reported = node("clients.mjs", &[&format!("{}/graphql", server.url), SECRET]);
    let reported: Value = serde_json::from_str(&reported).unwrap();
    let common = [
        "query",
        "mutation",
        "subscription",
        "query with a token that has ended",
        "subscription that outlives its token",
    ];
    let hashing = [&common[..], &["query by its hash alone"]].concat();
    let expected = json!({
        "apolloFromPage": hashing,
        "apolloWithMultipart": hashing,
        "apolloWithSocket": hashing,
        "overGraphqlSse": common,
        "overGraphqlWs": common,
        "urqlWithEventStreams": hashing,
        "urqlWithSocket": hashing,
    });
    assert_eq!(reported, expected);
}

#[test]
fn the_client_of_python_connects_over_both_transports() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let reported = python("clients.py", &[&format!("{}/graphql", server.url), SECRET]);
    let reported: Value = serde_json::from_str(&reported).unwrap();
    let expected = json!({
        "gqlOverHttp": ["query", "mutation", "refusal of a token that has ended"],
        "gqlOverWebSocket": ["query", "mutation", "subscription", "refusal of a token that has ended"],
    });
    assert_eq!(reported, expected);
}
