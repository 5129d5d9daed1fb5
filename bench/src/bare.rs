//! The floor's work behind a bare HTTP server, as a process of its own: the cost of any server. It accepts the
//! gateway's pushes and returns the gateway's answers, but checks, decides and remembers nothing.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use axum::{Router, body::Bytes, routing::post};
use serde_json::Value as Json;
use tokio::net::TcpListener;

use crate::{
    client::User,
    documents::Edit,
    floor::{Floor, Lane, Push},
};

/// The server's process.
pub(crate) struct Bare {
    process: Child,
    address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(mongodb: &str) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--serve-bare", mongodb])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap().parse().unwrap();
        Self { process, address }
    }

    /// Any user: it does not ask who they are.
    pub(crate) fn user(&self) -> User {
        User {
            address: self.address,
            token: String::new(),
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Serves until the process is ended.
pub(crate) async fn serve(mongodb: &str) {
    let lane = Floor::open(mongodb).await.lane().await;
    let answer = move |body: Bytes| answer(lane.clone(), body);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let app = Router::new().route("/graphql", post(answer));
    axum::serve(listener, app).await.unwrap();
}

async fn answer(lane: Lane, body: Bytes) -> String {
    let body: Json = serde_json::from_slice(&body).unwrap();
    let Some(changes) = body["variables"]["input"]["changes"].as_array() else {
        return r#"{"data":{"viewer":{"epoch":"none"}}}"#.to_owned();
    };
    let edits: Vec<Edit> = changes.iter().map(|change| edit(&change["task"])).collect();
    let results = edits
        .iter()
        .map(|edit| format!(r#"{{"status":"APPLIED","version":{}}}"#, edit.version));
    let results = results.collect::<Vec<_>>().join(",");
    let scope = "team:bench".to_owned();
    lane.push(Push { scope, edits }).await;
    format!(r#"{{"data":{{"pushChanges":{{"results":[{results}]}}}}}}"#)
}

fn edit(change: &Json) -> Edit {
    let (change, base) = match &change["create"] {
        Json::Null => (&change["update"], change["update"]["baseVersion"].as_i64()),
        create => (create, Some(0)),
    };
    let number = change["id"].as_str().unwrap().rsplit_once('-').unwrap().1;
    Edit {
        number: number.parse().unwrap(),
        version: i32::try_from(base.unwrap() + 1).unwrap(),
    }
}
