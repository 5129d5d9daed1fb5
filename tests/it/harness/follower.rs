//! A device that only reads, from its position: by pulling, or over a subscription.
//!
//! Each test decides what it should hold in the end.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::watch;

use super::{Client, Documents, PAGE, Replica, Server, Socket, writer::expect_unavailable};

/// The pause between two pages.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Follower {
    pub(crate) client: Client,
    pub(crate) replica: Replica,
}

impl Follower {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            replica: Replica::default(),
        }
    }

    /// The same device, after the gateway has moved.
    pub(crate) fn at(self, server: &Server) -> Self {
        Self {
            client: self.client.at(server),
            ..self
        }
    }

    pub(crate) async fn pull_until_cut(mut self) -> Self {
        while self.replica.try_pull(&self.client).await.is_some() {}
        self
    }

    /// Pulls until `stop`, whether the gateway can answer or not.
    pub(crate) async fn pull_until(mut self, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            if let Err(Some(error)) = self.replica.try_page(&self.client).await {
                expect_unavailable(&error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self
    }

    /// Subscribes at its position.
    pub(crate) async fn connect(&self) -> Socket {
        let mut socket = Socket::connect(&self.client).await;
        let checkpoint = json!(self.replica.checkpoint);
        let changes = format!("changes(checkpoint: {checkpoint}, limit: 50) {{ {PAGE} }}");
        socket.subscribe("1", &changes).await;
        socket
    }

    pub(crate) async fn apply_until_cut(self, socket: Socket) -> Self {
        let (_nothing, awaited) = watch::channel(None);
        self.apply_until_held(socket, awaited).await
    }

    /// Applies page after page until it holds what `stop` asks for, or the connection breaks.
    pub(crate) async fn apply_until_held(
        mut self,
        mut socket: Socket,
        mut awaited: watch::Receiver<Option<Arc<Documents>>>,
    ) -> Self {
        loop {
            let documents = awaited.borrow_and_update().clone();
            if documents.is_some_and(|documents| *documents == *self.replica.documents()) {
                return self;
            }
            let message = tokio::select! {
                message = socket.try_next() => message,
                reported = awaited.changed() => match reported {
                    Ok(()) => continue,
                    Err(_) => return self,
                },
            };
            let Ok(message) = message else { return self };
            assert_eq!(message["type"], "next", "{message}");
            assert_eq!(message["payload"].get("errors"), None, "{message}");
            self.replica.apply(&message["payload"]["data"]["changes"]);
        }
    }
}
