//! A client's side of a graphql-transport-ws connection.
//!
//! Pings are answered here. Each test decides what the messages should be.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::{Client, PAGE, PATIENCE};

/// A graphql-transport-ws connection.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects without sending anything yet.
    pub(crate) async fn open(url: &str) -> Self {
        Self::try_open(url).await.unwrap()
    }

    async fn try_open(url: &str) -> Result<Self, Error> {
        let url = format!("{}/graphql", url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        Ok(Self(connect_async(request).await?.0))
    }

    /// Connects and sends its token.
    pub(crate) async fn connect(client: &Client) -> Self {
        let socket = Self::try_connect(client).await;
        socket.expect("the gateway accepts the connection")
    }

    /// The same. Returns nothing if the gateway does not answer.
    pub(crate) async fn try_connect(client: &Client) -> Option<Self> {
        Self::try_connect_with(client, json!({})).await
    }

    /// The same, with more in the payload.
    pub(crate) async fn try_connect_with(client: &Client, mut payload: Value) -> Option<Self> {
        let mut socket = Self::try_open(&client.url).await.ok()?;
        payload["Authorization"] = format!("Bearer {}", client.token).into();
        let init = json!({"type": "connection_init", "payload": payload});
        socket.0.send(Message::text(init.to_string())).await.ok()?;
        let answer = socket.try_next().await.ok()?;
        assert_eq!(answer["type"], "connection_ack");
        Some(socket)
    }

    /// Connects and follows `changes` with these arguments, such as `(from: NOW)` or nothing.
    pub(crate) async fn follow(client: &Client, arguments: &str) -> Self {
        let mut socket = Self::connect(client).await;
        socket
            .subscribe("1", &format!("changes{arguments} {{ {PAGE} }}"))
            .await;
        socket
    }

    /// Begins a subscription to this root field.
    pub(crate) async fn subscribe(&mut self, id: &str, field: &str) {
        assert!(
            self.try_subscribe(id, field).await,
            "the connection is open"
        );
    }

    /// The same. Returns whether the connection is open.
    pub(crate) async fn try_subscribe(&mut self, id: &str, field: &str) -> bool {
        let query = format!("subscription {{ {field} }}");
        let message = json!({"type": "subscribe", "id": id, "payload": {"query": query}});
        self.0
            .send(Message::text(message.to_string()))
            .await
            .is_ok()
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, message: String) {
        self.0.send(Message::text(message)).await.unwrap();
    }

    /// The next protocol message; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.try_next().await;
        message.unwrap_or_else(|end| panic!("no message but {end}"))
    }

    /// The next protocol message, or how the connection ended.
    pub(crate) async fn try_next(&mut self) -> Result<Value, String> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .expect("a message in time")
            {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == "ping" {
                        // The next message is the end if the gateway has gone.
                        let pong = json!({"type": "pong"}).to_string();
                        self.0.send(Message::text(pong)).await.ok();
                    } else {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => return Err(format!("{other:?}")),
            }
        }
    }

    /// Waits for a ping of the protocol, which silent clients get, and does not answer it.
    pub(crate) async fn pinged(&mut self) {
        let message = tokio::time::timeout(PATIENCE * 2, self.0.next()).await;
        let message = message.expect("a ping in time").unwrap().unwrap();
        assert_eq!(message.to_text().unwrap(), r#"{"type":"ping"}"#);
    }

    /// The next page of a subscription.
    pub(crate) async fn page(&mut self) -> Value {
        let mut message = self.next().await;
        assert_eq!(message["type"], "next", "{message}");
        message["payload"]["data"]["changes"].take()
    }

    /// The next page that meets the condition.
    pub(crate) async fn page_with(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let page = self.page().await;
            if wanted(&page) {
                return page;
            }
        }
    }

    /// The code with which the server closes the socket. The close is answered, as the protocol requires.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let mut code = None;
        while let Some(Ok(message)) = tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("a close in time")
        {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code.expect("a close frame")
    }
}
