//! What a client keeps by the protocol's rules for clients: its documents, and its position.
//!
//! It has no outbox; tests push by hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Client, pull_query};

/// Type and id.
pub(crate) type Key = (String, String);

/// What a device holds.
pub(crate) type Documents = BTreeMap<Key, Local>;

/// The local copy of one device.
#[derive(Debug, Default, Clone)]
pub(crate) struct Replica {
    pub(crate) checkpoint: Option<String>,
    /// The number of resets.
    pub(crate) resets: usize,
    /// The epoch of its versions.
    pub(crate) epoch: Option<String>,
    /// All changes that had an effect here, in their order.
    pub(crate) taken: Vec<Value>,
    documents: Documents,
    is_whole: bool,
    /// During a reset: what the server has not yet confirmed.
    unseen: BTreeSet<Key>,
}

/// A document as the device holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Local {
    pub(crate) version: i64,
    pub(crate) scope: String,
    pub(crate) document: Value,
}

impl Replica {
    /// Pulls until nothing is left. Returns the number of resets.
    pub(crate) async fn pull(&mut self, client: &Client) -> usize {
        let before = self.resets;
        let pulled = self.try_pull(client).await;
        pulled.expect("the gateway answers");
        self.resets - before
    }

    /// The same. Returns nothing if the gateway does not answer.
    pub(crate) async fn try_pull(&mut self, client: &Client) -> Option<()> {
        loop {
            match self.try_page(client).await {
                Ok(true) => {}
                Ok(false) => return Some(()),
                Err(None) => return None,
                Err(Some(error)) => panic!("a pull failed: {error}"),
            }
        }
    }

    /// Pulls one page. Returns whether there is more. An error is the gateway's, or none if it does not answer.
    pub(crate) async fn try_page(&mut self, client: &Client) -> Result<bool, Option<Value>> {
        let variables = json!({"checkpoint": self.checkpoint});
        let mut answer = client
            .try_send(&pull_query(), variables)
            .await
            .ok_or(None)?;
        if let Some(error) = answer["errors"].get_mut(0) {
            return Err(Some(error.take()));
        }
        let page = &answer["data"]["changesSince"];
        self.apply(page);
        Ok(page["hasMore"] == true)
    }

    /// Applies a page and its checkpoint at once.
    pub(crate) fn apply(&mut self, page: &Value) {
        if page["reset"] == true {
            self.resets += 1;
            self.unseen = self.documents.keys().cloned().collect();
            self.begin(&text(&page["epoch"]));
        }
        for scope in page["revokedScopes"].as_array().unwrap() {
            self.documents.retain(|_, local| *scope != *local.scope);
        }
        for change in page["changes"].as_array().unwrap() {
            self.change(change);
        }
        self.is_whole = page["hasMore"] == false;
        if self.is_whole {
            for key in std::mem::take(&mut self.unseen) {
                self.documents.remove(&key);
            }
        }
        self.checkpoint = Some(text(&page["checkpoint"]));
    }

    /// In another epoch versions start again.
    fn begin(&mut self, epoch: &str) {
        if self.epoch.as_deref() != Some(epoch) {
            self.epoch = Some(epoch.to_owned());
            for local in self.documents.values_mut() {
                local.version = 0;
            }
        }
    }

    fn change(&mut self, change: &Value) {
        let key = (text(&change["type"]), text(&change["documentId"]));
        self.unseen.remove(&key);
        let version = change["version"].as_i64().unwrap();
        let local = self.documents.get_mut(&key);
        if let Some(local) = local.filter(|local| version <= local.version) {
            // The same version shows more when an app selects more (rules.md 1.2).
            if version == local.version && change["kind"] == "UPSERT" {
                local.document = change["document"].clone();
            }
            return;
        }
        let local = self.documents.get(&key);
        let scope = text(&change["scope"]);
        match change["kind"].as_str().unwrap() {
            "UPSERT" => {
                let document = change["document"].clone();
                let local = Local {
                    version,
                    scope,
                    document,
                };
                self.documents.insert(key, local);
            }
            "REVOKE" if local.is_some_and(|local| local.scope != scope) => return,
            _ if self.documents.remove(&key).is_none() => return,
            _ => {}
        }
        self.taken.push(change.clone());
    }

    /// Whether the last page was the last for now.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// All it holds.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The ids it holds, in order.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.documents.keys().map(|(_, id)| id.as_str()).collect()
    }

    /// A task it holds.
    pub(crate) fn task(&self, id: &str) -> &Value {
        let key = ("Task".to_owned(), id.to_owned());
        &self.documents[&key].document
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
