//! What a client keeps, by the rules of the protocol for clients: the documents it holds, and where it stands.
//!
//! It has no outbox; tests push by hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Client;

/// Type and id.
type Key = (String, String);

/// The local copy of one device.
#[derive(Debug, Default, Clone)]
pub(crate) struct Replica {
    pub(crate) checkpoint: Option<String>,
    documents: BTreeMap<Key, Local>,
    /// During a reset: what the server has not yet confirmed.
    unseen: BTreeSet<Key>,
}

#[derive(Debug, Clone)]
struct Local {
    version: i64,
    scope: String,
    document: Value,
}

impl Replica {
    /// Pulls until nothing is left, and returns how many resets it was told.
    pub(crate) async fn pull(&mut self, client: &Client) -> usize {
        let mut resets = 0;
        loop {
            let page = client.pull(self.checkpoint.as_deref()).await;
            resets += usize::from(page["reset"] == true);
            self.apply(&page);
            if page["hasMore"] == false {
                return resets;
            }
        }
    }

    /// Applies a page and its checkpoint at once.
    pub(crate) fn apply(&mut self, page: &Value) {
        if page["reset"] == true {
            self.unseen = self.documents.keys().cloned().collect();
        }
        for scope in page["revokedScopes"].as_array().unwrap() {
            self.documents.retain(|_, local| *scope != *local.scope);
        }
        for change in page["changes"].as_array().unwrap() {
            self.change(change);
        }
        if page["hasMore"] == false {
            for key in std::mem::take(&mut self.unseen) {
                self.documents.remove(&key);
            }
        }
        self.checkpoint = Some(text(&page["checkpoint"]));
    }

    fn change(&mut self, change: &Value) {
        let key = (text(&change["type"]), text(&change["documentId"]));
        self.unseen.remove(&key);
        let version = change["version"].as_i64().unwrap();
        let local = self.documents.get(&key);
        if local.is_some_and(|local| version <= local.version) {
            return;
        }
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
            "REVOKE" if local.is_some_and(|local| local.scope != scope) => {}
            _ => drop(self.documents.remove(&key)),
        }
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
