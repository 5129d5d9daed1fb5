//! The real gateway as a process of its own, and users who talk to it through HTTP.
//!
//! What is measured is not known here.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

/// The page that every benchmark asks for: all eight fields.
pub(crate) const PULL: &str = "query($c: Checkpoint) { changesSince(checkpoint: $c, limit: 1000) { checkpoint hasMore changes { documentId version document { ... on Task { audience title notes done priority labels minutesSpent due } } } } }";

/// The push, and what became of it.
pub(crate) const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status version } } }";

/// `tidegate dev` in a directory of its own.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    url: String,
    directory: PathBuf,
}

impl Gateway {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut process = tidegate(directory)
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap();
        Self {
            process,
            url: format!("{url}/graphql"),
            directory: directory.to_owned(),
        }
    }

    /// A user of the team `bench`.
    pub(crate) fn user(&self, name: &str) -> User {
        let output = tidegate(&self.directory)
            .args(["token", "--sub", name, "--claims", r#"{"teams":["bench"]}"#])
            .output()
            .unwrap();
        User {
            url: self.url.clone(),
            token: String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            http: reqwest::Client::new(),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn tidegate(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(directory).env("TIDEGATE_LOG", "warn");
    command
}

#[derive(Clone)]
pub(crate) struct User {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl User {
    /// Sends an operation, and reads of the answer what `T` wants.
    pub(crate) async fn post<T: DeserializeOwned>(&self, query: &str, variables: Json) -> T {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&answer));
        })
    }

    /// Pushes changes that must be applied.
    pub(crate) async fn push(&self, input: Json) {
        let answer: Json = self.post(PUSH, json!({"input": input})).await;
        let results = answer["data"]["pushChanges"]["results"].as_array();
        let results = results.unwrap_or_else(|| panic!("{answer}"));
        assert!(results.iter().all(|result| result["status"] == "APPLIED"));
    }

    /// Pulls everything from the beginning, page after page; how many documents it was.
    pub(crate) async fn pull_all(&self) -> usize {
        let (mut checkpoint, mut count) = (Json::Null, 0);
        loop {
            let answer: answer::Pulled = self.post(PULL, json!({"c": checkpoint})).await;
            let page = answer.data.changes_since;
            count += page.changes.len();
            if !page.has_more {
                return count;
            }
            checkpoint = page.checkpoint.into();
        }
    }
}

/// What a client has to read of a page; the documents it would hand on as they are.
mod answer {
    use serde::{Deserialize, de::IgnoredAny};

    #[derive(Deserialize)]
    pub(super) struct Pulled {
        pub(super) data: Data,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Data {
        pub(super) changes_since: Page,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Page {
        pub(super) checkpoint: String,
        pub(super) has_more: bool,
        pub(super) changes: Vec<IgnoredAny>,
    }
}
