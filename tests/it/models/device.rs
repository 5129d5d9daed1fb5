//! A device: an app made for one of the models, and what it holds of the one document of a row.

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{Cell, rows::App};
use crate::harness::{Client, PATIENCE, Server};

const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The user of all devices, who sees one team.
const USER: &str = "ada";

pub(super) struct Device {
    app: App,
    checkpoint: Option<String>,
    version: i64,
    /// The document as the app selects it; null if it has none.
    held: Json,
    /// Its last gateway, and the client for it.
    client: Option<(String, Client)>,
}

impl Device {
    pub(super) fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            checkpoint: None,
            version: 0,
            held: Json::Null,
            client: None,
        }
    }

    /// The app is updated. It asks for all that it selects now.
    pub(super) fn update(&mut self, app: &App) {
        *self = Self::new(app);
    }

    /// Creates the document of the row.
    pub(super) async fn create(&mut self, gateway: &Server, document: &Json) {
        let create = json!({"create": {"id": "1", "document": document}});
        assert_eq!(self.push(gateway, create).await, "APPLIED");
    }

    /// Edits it on the version that it pulls. Returns the status or the code of the answer.
    pub(super) async fn edit(&mut self, gateway: &Server, set: &Json) -> String {
        self.wait_for(gateway, |device| device.version > 0).await;
        let update = json!({"update": {"id": "1", "baseVersion": self.version, "set": set}});
        self.push(gateway, update).await
    }

    async fn push(&mut self, gateway: &Server, change: Json) -> String {
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code field } } } }";
        let input = json!({"changes": [{self.app.key: change}]});
        let answer = self
            .client(gateway)
            .send(query, json!({"input": input}))
            .await;
        if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
            return code.to_owned();
        }
        let result = &answer["data"]["pushChanges"]["results"][0];
        let parts = [
            &result["status"],
            &result["error"]["code"],
            &result["error"]["field"],
        ];
        let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
        parts.join(" ")
    }

    /// It holds this soon: what a change of the model moves is moved while the gateway serves.
    pub(super) async fn expect(
        &mut self,
        gateway: &Server,
        expected: &Json,
        row: &str,
        cell: Cell,
    ) {
        let held = self
            .wait_for(gateway, |device| device.held == *expected)
            .await;
        assert!(held, "{row}: {cell:?}: {} and not {expected}", self.held);
    }

    async fn wait_for(&mut self, gateway: &Server, is_so: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            self.pull(gateway).await;
            if is_so(self) || Instant::now() > until {
                return is_so(self);
            }
            sleep(PAUSE).await;
        }
    }

    async fn pull(&mut self, gateway: &Server) {
        let query = format!(
            "query($checkpoint: Checkpoint) {{ changesSince(checkpoint: $checkpoint, types: [{}]) {{ changes {{ kind version document {{ ... on {} {{ {} }} }} }} checkpoint hasMore reset }} }}",
            self.app.type_name, self.app.type_name, self.app.fields
        );
        loop {
            let variables = json!({"checkpoint": self.checkpoint});
            let page = self.client(gateway).data(&query, variables).await["changesSince"].take();
            let is_reset = page["reset"] == true && self.checkpoint.is_some();
            assert!(!is_reset, "no change of a model resets a device: {page}");
            for change in page["changes"].as_array().unwrap() {
                let version = change["version"].as_i64().unwrap();
                self.held = change["document"].clone();
                self.version = version;
            }
            self.checkpoint = page["checkpoint"].as_str().map(str::to_owned);
            if page["hasMore"] == false {
                return;
            }
        }
    }

    fn client(&mut self, gateway: &Server) -> Client {
        match &self.client {
            Some((url, client)) if *url == gateway.url => client.clone(),
            _ => {
                let client = gateway.client_with(USER, &json!({"team": "red", "also": "blue"}));
                self.client = Some((gateway.url.clone(), client.clone()));
                client
            }
        }
    }
}
