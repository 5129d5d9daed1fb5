//! A device: an app made for one of the models, and what it holds of the one document of a row.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::rows::App;
use crate::harness::{Client, PATIENCE, Server};

const PAUSE: Duration = Duration::from_millis(50);

/// An earlier model leads a MongoDB a minute after a later one has ended, and a scan follows.
pub(super) const LEAD_PATIENCE: Duration = Duration::from_secs(100);

/// The id of the document.
pub(super) const ID: &str = "1";

#[derive(Clone)]
pub(super) struct Device {
    app: App,
    client: Client,
    /// Whether the app asks for what it selects more than the app before it.
    refreshes: bool,
    checkpoint: Option<String>,
    version: i64,
    scope: Json,
    /// The document as the app selects it; null if it has none.
    held: Json,
    /// The code of the last answer to a pull, if it was an error.
    error: Option<String>,
}

impl Device {
    pub(super) fn new(app: &App, client: &Client) -> Self {
        Self {
            app: app.clone(),
            client: client.clone(),
            refreshes: false,
            checkpoint: None,
            version: 0,
            scope: Json::Null,
            held: Json::Null,
            error: None,
        }
    }

    /// The same device after an update of the app. It keeps its place, and asks for what it selects now.
    pub(super) fn updated(&self, app: &App) -> Self {
        Self {
            app: app.clone(),
            refreshes: true,
            held: Json::Null,
            ..self.clone()
        }
    }

    /// A new device of the same user with the same app.
    pub(super) fn fresh(&self) -> Self {
        Self::new(&self.app, &self.client)
    }

    /// Makes the edit of its app. Returns what [`Self::push`] does.
    pub(super) async fn edit(&self, gateway: &Server) -> String {
        let mut changes = self.app.also.clone();
        changes.push(self.update(&self.app.edit));
        self.push(gateway, json!(changes)).await
    }

    /// Writes the field that its app edits as it has it, or as it was before.
    pub(super) async fn touch(&self, gateway: &Server, before: &Json) -> String {
        let mut set = self.app.edit.clone();
        for (field, value) in set.as_object_mut().expect("an edit has fields") {
            if let Some(known) = self.held.get(field).or(before.get(field)) {
                *value = known.clone();
            }
        }
        let update = self.update(&set);
        self.push(gateway, json!([update])).await
    }

    /// Sets fields on the version that it knows.
    pub(super) async fn set(&self, gateway: &Server, key: &str, set: &Json) -> String {
        self.push(gateway, json!([self.update_as(key, set)])).await
    }

    fn update(&self, set: &Json) -> Json {
        self.update_as(self.app.key, set)
    }

    /// An app that never saw the document guesses its first version.
    fn update_as(&self, key: &str, set: &Json) -> Json {
        let update = json!({"id": ID, "baseVersion": self.version.max(1), "set": set});
        json!({key: {"update": update}})
    }

    /// Pushes changes. Returns the status, code and field of each result, or the code of the error.
    pub(super) async fn push(&self, gateway: &Server, changes: Json) -> String {
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code field } } } }";
        let input = json!({"input": {"changes": changes}});
        let answer = self.client.at(gateway).send(query, input).await;
        if let Some(code) = code(&answer) {
            return code;
        }
        let results = answer["data"]["pushChanges"]["results"].as_array().unwrap();
        let results = results.iter().map(|result| {
            let error = &result["error"];
            let parts = [&result["status"], &error["code"], &error["field"]];
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
            parts.join(" ")
        });
        results.collect::<Vec<_>>().join("; ")
    }

    /// It holds a document soon.
    pub(super) async fn wait_for_document(&mut self, gateway: &Server) {
        let holds = |device: &Self| !device.held.is_null();
        assert!(self.wait_for(gateway, PATIENCE, holds).await, "no document");
    }

    /// It holds this soon: what a change of the model moves is moved while the gateway serves.
    pub(super) async fn expect(&mut self, gateway: &Server, expected: &Json) {
        self.expect_within(gateway, expected, PATIENCE).await;
    }

    pub(super) async fn expect_within(
        &mut self,
        gateway: &Server,
        expected: &Json,
        patience: Duration,
    ) {
        let is_so = |device: &Self| device.shown() == *expected;
        let found = self.wait_for(gateway, patience, is_so).await;
        assert!(found, "{} and not {expected}", self.shown());
    }

    /// What the app shows. An app that cannot pull says so.
    fn shown(&self) -> Json {
        match &self.error {
            Some(code) => json!({ "error": code }),
            None => self.held.clone(),
        }
    }

    async fn wait_for(
        &mut self,
        gateway: &Server,
        patience: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> bool {
        let until = Instant::now() + patience;
        loop {
            self.pull(gateway).await;
            if is_so(self) || Instant::now() > until {
                return is_so(self);
            }
            sleep(PAUSE).await;
        }
    }

    async fn pull(&mut self, gateway: &Server) {
        let App {
            type_name, fields, ..
        } = self.app;
        let refresh = match self.refreshes {
            true => format!("refresh: [{type_name}], "),
            false => String::new(),
        };
        let query = format!(
            "query($checkpoint: Checkpoint) {{ changesSince(checkpoint: $checkpoint, {refresh}types: [{type_name}]) {{ changes {{ kind documentId version scope document {{ ... on {type_name} {{ {fields} }} }} }} revokedScopes checkpoint hasMore reset }} }}"
        );
        let client = self.client.at(gateway);
        loop {
            let variables = json!({"checkpoint": self.checkpoint});
            let mut answer = client.send(&query, variables).await;
            self.error = code(&answer);
            if self.error.is_some() {
                return;
            }
            let page = answer["data"]["changesSince"].take();
            let is_reset = page["reset"] == true && self.checkpoint.is_some();
            assert!(!is_reset, "no change of a model resets a device: {page}");
            self.apply(&page);
            if page["hasMore"] == false {
                return;
            }
        }
    }

    /// Applies a page by the rules for clients (rules.md 1.2 to 1.4).
    fn apply(&mut self, page: &Json) {
        let revoked = page["revokedScopes"].as_array().unwrap();
        if revoked.contains(&self.scope) {
            self.held = Json::Null;
        }
        let changes = page["changes"].as_array().unwrap().iter();
        for change in changes.filter(|change| change["documentId"] == ID) {
            let version = change["version"].as_i64().unwrap();
            let is_shown = change["kind"] == "UPSERT";
            if version < self.version || (version == self.version && !is_shown) {
                continue;
            }
            self.version = version;
            if is_shown {
                self.held = change["document"].clone();
                self.scope = change["scope"].clone();
            } else if change["kind"] == "DELETE" || change["scope"] == self.scope {
                self.held = Json::Null;
            }
        }
        self.checkpoint = page["checkpoint"].as_str().map(str::to_owned);
    }
}

/// The code of an answer that is an error.
fn code(answer: &Json) -> Option<String> {
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    code.map(str::to_owned)
}
