//! A gateway as its operator sees it: `/metrics`, `/readyz` and the log, and nothing else.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Client, Server,
    mongod::{free_port, until},
    with_secret,
};

/// A text of `/metrics` serves all readers for half a second.
const TEXT_SHARED_FOR: Duration = Duration::from_millis(600);

pub(crate) struct Watched {
    pub(crate) server: Server,
    scrapes: SocketAddr,
    log: PathBuf,
    pub(crate) directory: TempDir,
}

impl Watched {
    /// `tidegate serve` by a directory's configuration, with these variables.
    pub(crate) fn serve(directory: TempDir, variables: &[(&str, &str)]) -> Self {
        let mut serve = with_secret(directory.path(), &["serve"]);
        serve.envs(variables.iter().copied());
        Self::start(directory, serve)
    }

    /// The same with a command of the test's own.
    pub(crate) fn start(directory: TempDir, mut serve: Command) -> Self {
        let scrapes = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = directory.path().join("log");
        serve
            .env("TIDEGATE_LOG", "info")
            .env("TIDEGATE_METRICS__LISTEN", scrapes.to_string())
            .stderr(File::create(&log).unwrap());
        Self {
            server: Server::serving(directory.path(), serve),
            scrapes,
            log,
            directory,
        }
    }

    /// A client of `user`, who is in the team `demo`.
    pub(crate) fn client(&self, user: &str) -> Client {
        self.server.client(user)
    }

    /// What a path of the metrics' listener answers.
    pub(crate) async fn scrape(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.scrapes))
            .await
            .unwrap()
    }

    /// Where its metrics are read.
    pub(crate) fn scrapes(&self) -> SocketAddr {
        self.scrapes
    }

    pub(crate) async fn text(&self) -> String {
        tokio::time::sleep(TEXT_SHARED_FOR).await;
        let response = self.scrape("/metrics").await;
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        response.text().await.unwrap()
    }

    /// The value of a series as it is written, such as `tidegate_sockets`.
    pub(crate) async fn value(&self, series: &str) -> Option<f64> {
        let text = self.text().await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }

    /// Waits until the value of a series is as it should be.
    pub(crate) async fn until_value(&self, series: &str, is_so: impl Fn(f64) -> bool) -> f64 {
        until(series, async || {
            self.value(series).await.filter(|value| is_so(*value))
        })
        .await
    }

    /// The status of `/readyz`, and its body.
    pub(crate) async fn ready(&self) -> (u16, Value) {
        let response = reqwest::get(format!("{}/readyz", self.server.url)).await;
        let response = response.unwrap();
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Waits until a part of `/readyz` says one of these. Returns the status of then, and the body.
    pub(crate) async fn until_part(&self, part: &str, says: &[&str]) -> (u16, Value) {
        let what = format!("{part} of /readyz that says {says:?}");
        until(&what, async || {
            let (status, body) = self.ready().await;
            let said = body["parts"][part].as_str().unwrap_or_default();
            let is_said = says.iter().any(|it| said.starts_with(it));
            is_said.then_some((status, body))
        })
        .await
    }

    /// The fields of each whole line of the log.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).unwrap();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(serde_json::from_str::<Value>);
        lines.map(|line| line.unwrap()["fields"].take()).collect()
    }

    /// Waits until the log has a line in which this stands.
    pub(crate) async fn until_logged(&self, text: &str) {
        until(text, async || {
            let log = fs::read_to_string(&self.log).unwrap();
            log.contains(text).then_some(())
        })
        .await;
    }
}
