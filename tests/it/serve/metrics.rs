//! `/metrics` of a real gateway: read by Prometheus' own parser while others work, compared with docs/metrics.md, and
//! bounded whatever peers send.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{
        CONFIG, Client, Socket, Watched, configured, configured_on,
        mongod::{Deployment, fresh_database, until},
    },
    wire::bring,
};

/// The families of a text, by Prometheus' parser. Others work meanwhile.
fn parsed(text: &str) -> Value {
    tokio::task::block_in_place(|| read_by_prometheus(text))
}

fn read_by_prometheus(text: &str) -> Value {
    bring("python-packages", "tests/metrics");
    let root = env!("CARGO_MANIFEST_DIR");
    let mut python = Command::new(format!("{root}/tests/metrics/.venv/bin/python"));
    python
        .arg(format!("{root}/tests/metrics/read.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Prometheus cannot read {text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The metrics that docs/metrics.md lists: name, kind and labels.
fn documented() -> Vec<(String, String, Vec<String>)> {
    let page = fs::read_to_string("docs/metrics.md").unwrap();
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let kind = *cells.get(2)?;
        let is_metric = ["counter", "gauge", "histogram"].contains(&kind);
        let labels = cells.get(3)?.split(", ").filter(|label| !label.is_empty());
        let plain = |text: &str| text.trim_matches('`').to_owned();
        is_metric.then(|| {
            (
                plain(cells[1]),
                kind.to_owned(),
                labels.map(plain).collect(),
            )
        })
    });
    rows.collect()
}

/// Each family is documented, with its kind and its labels. Returns the documented ones that are missing.
fn compare(families: &Value) -> Vec<String> {
    let documented = documented();
    for (name, family) in families.as_object().unwrap() {
        let kind = family["kind"].as_str().unwrap();
        let listed = match kind {
            "counter" => format!("{name}_total"),
            _ => name.clone(),
        };
        let row = documented
            .iter()
            .find(|(documented, ..)| *documented == listed);
        let (_, of_row, labels) = row.unwrap_or_else(|| panic!("{listed} is not documented"));
        assert_eq!(kind, of_row, "{listed}");
        for sample in family["samples"].as_array().unwrap() {
            let mut of_sample: Vec<&String> =
                sample["labels"].as_object().unwrap().keys().collect();
            of_sample.retain(|label| *label != "le");
            let mut labels: Vec<&String> = labels.iter().collect();
            labels.sort();
            assert_eq!(of_sample, labels, "{listed}");
        }
    }
    let exported = |name: &String| {
        let counted = name.strip_suffix("_total").unwrap_or(name);
        families
            .get(counted)
            .is_some_and(|family| family["samples"] != json!([]))
    };
    let names = documented.into_iter().map(|(name, ..)| name);
    names.filter(|name| !exported(name)).collect()
}

/// Pushes, pulls and follows until told to stop.
async fn work(client: Client, number: usize) {
    let mut socket = Socket::follow(&client, "").await;
    socket.page().await;
    for round in 0_u32.. {
        let create = json!({"task": {"create": {"id": format!("{number}-{round}"), "document": {"title": "Work"}}}});
        let again = json!({"task": {"create": {"id": format!("{number}-0"), "document": {"title": "Work"}}}});
        client.push_all(json!([create, again])).await;
        client.pull(None).await;
        socket.page().await;
    }
}

async fn reads_under_load(directory: TempDir, missing: &[&str]) {
    let settings = [("TIDEGATE_LIMITS__USER_RATE", "0")];
    let measured = Watched::serve(directory, &settings);
    let workers: Vec<_> = (0..4)
        .map(|number| tokio::spawn(work(measured.client("alice"), number)))
        .collect();
    let (refused, unknown) = (
        Client {
            token: "no token".to_owned(),
            ..measured.client("bob")
        },
        "{ nothing }",
    );
    refused.send("{ viewer { id } }", json!({})).await;
    measured.client("bob").send(unknown, json!({})).await;
    for _ in 0..5 {
        let families = parsed(&measured.text().await);
        compare(&families);
        assert!(
            workers.iter().all(|worker| !worker.is_finished()),
            "they work"
        );
    }
    let families = parsed(&measured.text().await);
    let absent = compare(&families);
    assert_eq!(absent, missing, "every other metric has a value");
    let text = measured.text().await;
    for named in [
        "alice",
        "bob",
        "user:",
        "team:",
        "public",
        "0-0",
        "pushChanges",
    ] {
        assert!(!text.contains(named), "{named} is in {text}");
    }
    for worker in workers {
        worker.abort();
    }
    measured.server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_the_metrics_of_an_embedded_store_under_load() {
    reads_under_load(
        configured(CONFIG),
        &[
            "tidegate_refusals_total",
            "tidegate_key_set_fetches_total",
            "tidegate_conflicts_opened_total",
            "tidegate_conflicts_open",
            "tidegate_webhook_duration_seconds",
            "tidegate_import_done_documents",
            "tidegate_import_total_documents",
            "tidegate_import_held_documents",
            "tidegate_importer_written_total",
            "tidegate_importer_withheld_total",
            "tidegate_withheld_documents",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_the_metrics_of_mongodb_under_load() {
    let deployment = Deployment::shared().await;
    let directory = configured_on(&deployment.url(&fresh_database()));
    let measured = Watched::serve(directory, &[("TIDEGATE_LIMITS__USER_RATE", "0")]);
    let worker = tokio::spawn(work(measured.client("alice"), 0));
    until("an importer", async || {
        let leads = measured.value("tidegate_importer_leads").await;
        (leads == Some(1.0)).then_some(())
    })
    .await;
    until("vitals", async || {
        let text = measured.text().await;
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line?.parse::<f64>().ok()
        };
        let known = text.contains("tidegate_import_done_documents{");
        let lag = value("tidegate_importer_lag_seconds")?;
        let window = value("tidegate_oplog_window_seconds")?;
        let bytes = value("tidegate_store_bytes")?;
        let offset = value("tidegate_clock_offset_seconds")?;
        let all = known && lag < 60.0 && window > 0.0 && bytes > 0.0 && offset.abs() < 5.0;
        all.then_some(())
    })
    .await;
    compare(&parsed(&measured.text().await));
    assert_eq!(measured.value("tidegate_model_leads").await, Some(1.0));
    assert_eq!(
        measured.value(r#"tidegate_ready{part="writes"}"#).await,
        Some(1.0)
    );
    worker.abort();
    measured.server.stop();
}

async fn counts_open_conflicts(directory: TempDir) {
    let measured = Watched::serve(directory, &[]);
    let alice = measured.client("alice");
    let article = |change: Value| json!({"article": change});
    let push = async |change: Value| {
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status conflict { conflictId } } } }";
        let input = json!({"input": {"changes": [article(change)]}});
        alice.data(query, input).await["pushChanges"]["results"][0].take()
    };
    let edit =
        |title: &str| json!({"update": {"id": "a", "baseVersion": 1, "set": {"title": title}}});
    push(json!({"create": {"id": "a", "document": {"title": "old"}}})).await;
    push(edit("one")).await;
    let left = push(edit("another")).await;
    assert_eq!(left["status"], "CONFLICT");
    let labels = r#"{type="Article",policy="MANUAL"}"#;
    let open = format!("tidegate_conflicts_open{labels}");
    measured.until_value(&open, |count| count == 1.0).await;
    let opened = format!("tidegate_conflicts_opened_total{labels}");
    assert_eq!(measured.value(&opened).await, Some(1.0));
    let resolve = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status } } }";
    let resolution = json!({"input": {"conflictId": left["conflict"]["conflictId"], "baseVersion": 2, "resolution": {"take": "MINE"}}});
    let resolved = alice.data(resolve, resolution).await;
    assert_eq!(
        resolved["resolveConflict"]["result"]["status"], "APPLIED",
        "{resolved}"
    );
    until("an empty inbox", async || {
        measured.value(&open).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn open_conflicts_are_counted_by_type_and_policy() {
    counts_open_conflicts(configured(CONFIG)).await;
}

#[tokio::test]
async fn open_conflicts_are_counted_by_type_and_policy_on_mongodb() {
    let url = Deployment::shared().await.url(&fresh_database());
    counts_open_conflicts(configured_on(&url)).await;
}

#[tokio::test]
async fn metrics_are_off_unless_they_are_asked_for_and_never_where_clients_are() {
    let measured = Watched::serve(configured(CONFIG), &[]);
    let beside = reqwest::get(format!("{}/metrics", measured.server.url))
        .await
        .unwrap();
    assert_eq!(beside.status(), 404);
    for (path, status) in [("/graphql", 404), ("/metrics/", 404), ("/readyz", 404)] {
        assert_eq!(measured.scrape(path).await.status(), status, "{path}");
    }
    let other = reqwest::Client::new().post(format!("http://{}/metrics", measured.scrapes()));
    assert_eq!(other.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn names_clients_and_tokens_add_no_series() {
    let settings = [("TIDEGATE_LIMITS__USER_RATE", "0")];
    let measured = Watched::serve(configured(CONFIG), &settings);
    let alice = measured.client("alice");
    let send = async |number: u32| {
        let query =
            format!("query Operation{number} {{ viewer(clientId: \"client-{number}\") {{ id }} }}");
        alice.send(&query, json!({})).await;
        let stranger = Client {
            token: format!("token-{number}"),
            ..alice.clone()
        };
        stranger.send("{ viewer { id } }", json!({})).await;
        let path = format!("{}/path-{number}", alice.url);
        alice.http.get(path).send().await.unwrap();
    };
    send(0).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(&measured.text().await);
    for number in 1..=100 {
        send(number).await;
    }
    let text = measured.text().await;
    assert_eq!(series(&text), before, "{text}");
    assert!(!text.contains("peration1") && !text.contains("lient-1") && !text.contains("path-1"));
}

#[tokio::test]
async fn readers_that_never_read_and_readers_that_never_stop_hold_nothing_up() {
    let settings = [("TIDEGATE_HTTP__WRITE_TIME", "1s")];
    let measured = Watched::serve(configured(CONFIG), &settings);
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(measured.scrapes()).await.unwrap();
        // It may have lost its place to a later one already.
        drop(
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
                .await,
        );
        held.push(stream);
    }
    let scrapes = measured.scrapes();
    let endless: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                loop {
                    drop(reqwest::get(format!("http://{scrapes}/metrics")).await);
                }
            })
        })
        .collect();
    let alice = measured.client("alice");
    for number in 0..20 {
        let create =
            json!({"task": {"create": {"id": number.to_string(), "document": {"title": "Still"}}}});
        let results = alice.push_all(json!([create])).await;
        assert_eq!(results[0]["status"], "APPLIED");
    }
    endless.iter().for_each(|reader| reader.abort());
    assert!(measured.text().await.contains("tidegate_build_info"));
    let mut ended = 0;
    for mut stream in held {
        let mut rest = Vec::new();
        let reading = stream.read_to_end(&mut rest);
        ended += usize::from(
            tokio::time::timeout(Duration::from_secs(10), reading)
                .await
                .is_ok(),
        );
    }
    assert_eq!(ended, 100, "each connection ends");
    measured.server.stop();
}
