//! A device that keeps its edits until they are answered, and begins again by rule 4.4 if the store has another history
//! than its own.
//!
//! It edits without a view. Each test decides the content of the changes.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Client, Replica, numbered, push_query};

/// The most changes it sends at a time.
const PUSH_CHANGES: usize = 4;

pub(crate) struct Outbox {
    pub(crate) client: Client,
    pub(crate) replica: Replica,
    name: String,
    /// How often it took a new client id.
    pub(crate) generation: usize,
    next_mutation: usize,
    /// The push that was sent and not answered.
    under_way: Option<Value>,
    waiting: VecDeque<Value>,
}

impl Outbox {
    /// It pulls before its first push.
    pub(crate) async fn new(client: Client, name: &str) -> Self {
        let mut outbox = Self {
            client,
            replica: Replica::default(),
            name: name.to_owned(),
            generation: 0,
            next_mutation: 1,
            under_way: None,
            waiting: VecDeque::new(),
        };
        outbox.replica.pull(&outbox.client).await;
        outbox
    }

    /// Keeps a change for a later push.
    pub(crate) fn keep(&mut self, change: Value) {
        self.waiting.push_back(change);
    }

    /// Sends the next push, and loses the answer.
    pub(crate) async fn send_unheard(&mut self) {
        let push = self.next_push().expect("there is a change to send");
        let variables = json!({ "input": push });
        let answer = self.client.send(&push_query(), variables).await;
        assert_eq!(answer.get("errors"), None);
    }

    /// Sends until nothing is left. Returns the results.
    pub(crate) async fn flush(&mut self) -> Vec<Value> {
        let mut results = Vec::new();
        while let Some(push) = self.next_push() {
            let variables = json!({ "input": push });
            let answer = self.client.send(&push_query(), variables).await;
            match answer["errors"][0]["extensions"]["code"].as_str() {
                None => {
                    let answered = &answer["data"]["pushChanges"]["results"];
                    results.extend(answered.as_array().unwrap().iter().cloned());
                    self.under_way = None;
                }
                // Both prove that the push had no effect.
                Some("EPOCH_CHANGED" | "MUTATION_ID_GAP") => self.begin_again().await,
                Some(_) => panic!("{answer}"),
            }
        }
        results
    }

    /// The unanswered push as it was sent, or else the next.
    fn next_push(&mut self) -> Option<Value> {
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let count = self.waiting.len().min(PUSH_CHANGES);
            let changes: Vec<Value> = self.waiting.drain(..count).collect();
            let client = format!("{}-{}", self.name, self.generation);
            let first = i64::try_from(self.next_mutation).unwrap();
            let epoch = self.replica.epoch.as_deref().unwrap();
            self.under_way = Some(numbered(&client, first, epoch, json!(changes)));
            self.next_mutation += count;
        }
        self.under_way.clone()
    }

    /// The rest goes under a new client id, as edits of no version that the store knows.
    async fn begin_again(&mut self) {
        self.replica.pull(&self.client).await;
        self.generation += 1;
        self.next_mutation = 1;
        let push = self.under_way.take().unwrap();
        let unanswered = push["changes"].as_array().unwrap().iter().cloned();
        self.waiting = unanswered.chain(self.waiting.drain(..)).collect();
        for change in &mut self.waiting {
            for verb in ["update", "delete"] {
                if let Some(edit) = change["task"].get_mut(verb) {
                    edit["baseVersion"] = json!(-1);
                }
            }
        }
    }
}
