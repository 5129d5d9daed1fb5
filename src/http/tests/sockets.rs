use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::*;

/// The longest time for any step before a test gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const TRANSPORT: &str = "graphql-transport-ws";

/// A gateway that listens.
pub(super) struct OpenSocket {
    pub(super) test_server: TestServer,
    address: String,
}

pub(super) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl OpenSocket {
    pub(super) async fn new(test_server: TestServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (_, router) = watch::channel(test_server.router());
        tokio::spawn(serve(
            listener,
            router,
            test_server.shutdown.clone(),
            test_server.server(),
        ));
        Self {
            test_server,
            address,
        }
    }

    pub(super) async fn connect(&self, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        Ok(Client(connect_async(request).await?.0))
    }

    /// A client of alice's after its first message.
    pub(super) async fn client(&self, lifetime: Duration) -> Client {
        let mut client = self
            .connect(&[("sec-websocket-protocol", TRANSPORT)])
            .await
            .unwrap();
        let token = self.test_server.token(lifetime);
        client
            .say(json!({"type": "connection_init", "payload": {"token": token}}))
            .await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client
    }
}

impl Client {
    pub(super) async fn say(&mut self, message: Json) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub(super) async fn subscribe(&mut self, id: &str, query: &str) {
        let payload = json!({ "query": query });
        self.say(json!({"type": "subscribe", "id": id, "payload": payload}))
            .await;
    }

    async fn frame(&mut self) -> Message {
        timeout(PATIENCE, self.0.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(super) async fn hear(&mut self) -> Json {
        let frame = self.frame().await;
        serde_json::from_str(frame.to_text().unwrap()).unwrap_or_else(|_| panic!("{frame:?}"))
    }

    /// The code that the gateway closes with. Other messages before it are skipped.
    pub(super) async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.frame().await {
                return frame.unwrap().code.into();
            }
        }
    }
}

#[tokio::test]
async fn an_answer_of_several_frames_arrives_whole() {
    let open = OpenSocket::new(TestServer::new().await).await;
    let mut client = open.client(PATIENCE * 2).await;
    // Three bytes a character, so that frames end within characters.
    let notes = "€".repeat(1000);
    for number in 0..12 {
        let push = format!(
            r#"mutation {{ pushChanges(input: {{changes: [{{task: {{create: {{id: "t{number}", document: {{title: "x", notes: "{notes}"}}}}}}}}]}}) {{ results {{ status }} }} }}"#
        );
        client.subscribe("push", &push).await;
        assert_eq!(
            client.hear().await["payload"]["data"]["pushChanges"]["results"][0]["status"],
            "APPLIED"
        );
        assert_eq!(client.hear().await["type"], "complete");
    }
    client
        .subscribe(
            "pull",
            "{ changesSince { changes { document { ... on Task { notes } } } } }",
        )
        .await;
    let page = client.hear().await;
    let changes = page["payload"]["data"]["changesSince"]["changes"]
        .as_array()
        .unwrap();
    assert_eq!(changes.len(), 12);
    assert!(
        changes
            .iter()
            .all(|change| change["document"]["notes"] == notes.as_str())
    );
}

#[tokio::test]
async fn the_handshake_may_carry_the_token() {
    let open = OpenSocket::new(TestServer::new().await).await;
    let bearer = open.test_server.bearer();
    let headers = [
        ("sec-websocket-protocol", TRANSPORT),
        ("authorization", bearer.as_str()),
    ];
    let mut client = open.connect(&headers).await.unwrap();
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
}

#[tokio::test]
async fn a_binary_message_and_one_that_is_too_large_close_the_socket() {
    let open = OpenSocket::new(TestServer::new().await).await;
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    for (message, expected) in [(Message::binary("{}"), 4400), (Message::text(large), 1009)] {
        let mut client = open
            .connect(&[("sec-websocket-protocol", TRANSPORT)])
            .await
            .unwrap();
        client.0.send(message).await.unwrap();
        assert_eq!(client.close_code().await, expected);
    }
}

#[tokio::test]
async fn a_connection_that_came_before_the_gateway_finds_it() {
    let test_server = TestServer::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    let (router, served) = watch::channel(waiting(&test_server.server().metrics));
    tokio::spawn(serve(
        listener,
        served,
        test_server.shutdown.clone(),
        test_server.server(),
    ));
    let builders = [
        reqwest::Client::builder(),
        reqwest::Client::builder().http2_prior_knowledge(),
    ];
    let clients = builders.map(|builder| builder.build().unwrap());
    for status in [503, 200] {
        for client in &clients {
            let response = client.get(&url).send().await.unwrap();
            assert_eq!(response.status(), status);
        }
        router.send_modify(|router| *router = test_server.router());
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_order_is_answered_in_order() {
    let open = OpenSocket::new(TestServer::new().await).await;
    let mut client = open.client(PATIENCE * 2).await;
    client.0.close(None).await.unwrap();
    assert!(matches!(client.frame().await, Message::Close(_)));
}
