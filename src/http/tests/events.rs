//! A document that a subscription's selection cannot show: each transport delivers a REVOKE without an error, and the
//! stream goes on.

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use super::{
    sockets::{OpenSocket, PATIENCE},
    *,
};

/// The store shows the task without the title that it must have.
const SUBSCRIPTION: &str = "subscription { changes { changes { kind documentId document { ... on Task { id title } } } hasMore } }";

fn push(id: &str) -> String {
    let change = format!("{{task: {{create: {{id: \"{id}\", document: {{title: \"t\"}}}}}}}}");
    format!("mutation {{ pushChanges(input: {{changes: [{change}]}}) {{ results {{ status }} }} }}")
}

fn withheld() -> Json {
    let change = json!({"kind": "REVOKE", "documentId": "bad", "document": null});
    json!({"data": {"changes": {"changes": [change], "hasMore": false}}})
}

fn shown() -> Json {
    let change =
        json!({"kind": "UPSERT", "documentId": "good", "document": {"id": "good", "title": "t"}});
    json!({"data": {"changes": {"changes": [change], "hasMore": false}}})
}

impl TestServer {
    /// A gateway whose store shows the task `bad` without its title.
    async fn with_a_bad_task() -> Self {
        let test_server = Self::new().await.showing("Task", "bad", Default::default());
        test_server.send("application/json", &push("bad")).await;
        test_server
    }

    async fn send(&self, accept: &str, query: &str) -> Response {
        let request = Request::builder()
            .method("POST")
            .uri("/graphql")
            .header("accept", accept)
            .header("content-type", "application/json")
            .header("authorization", self.bearer())
            .body(Body::from(json!({ "query": query }).to_string()))
            .unwrap();
        self.router().oneshot(request).await.unwrap()
    }
}

#[tokio::test]
async fn streams_deliver_what_is_withheld_and_go_on() {
    for (accept, around) in [
        ("text/event-stream", ("event: next\ndata: ", "\n\n")),
        (
            "multipart/mixed;subscriptionSpec=1.0",
            ("{\"payload\":", "}\r\n--graphql"),
        ),
    ] {
        let test_server = TestServer::with_a_bad_task().await;
        let stream = test_server.send(accept, SUBSCRIPTION).await;
        let mut frames = stream.into_body().into_data_stream();
        let mut heard = String::new();
        for expected in [withheld(), shown()] {
            let answer = loop {
                if let Some(answer) = taken(&mut heard, around) {
                    break answer;
                }
                let frame = timeout(PATIENCE, frames.next()).await.unwrap();
                heard += std::str::from_utf8(&frame.unwrap().unwrap()).unwrap();
            };
            assert_eq!(answer, expected, "{accept}");
            test_server.send("application/json", &push("good")).await;
        }
    }
}

/// The first answer in what was received.
fn taken(heard: &mut String, (before, behind): (&str, &str)) -> Option<Json> {
    let (_, rest) = heard.split_once(before)?;
    let (answer, rest) = rest.split_once(behind)?;
    let answer = serde_json::from_str(answer).unwrap();
    *heard = rest.to_owned();
    Some(answer)
}

#[tokio::test]
async fn sockets_deliver_what_is_withheld_and_go_on() {
    let open = OpenSocket::new(TestServer::with_a_bad_task().await).await;
    let mut client = open.client(PATIENCE * 2).await;
    client.subscribe("live", SUBSCRIPTION).await;
    for expected in [withheld(), shown()] {
        let message = client.hear().await;
        assert_eq!(
            message,
            json!({"type": "next", "id": "live", "payload": expected})
        );
        open.test_server
            .send("application/json", &push("good"))
            .await;
    }
}
