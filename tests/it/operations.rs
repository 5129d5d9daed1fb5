//! docs/operations.md: what an operator does by that page, on real gateways. `packaging` tests what is installed, and
//! `serve::restore` what devices see of a restore.

#[cfg(target_os = "linux")]
mod failures;

use std::{fs, path::Path};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tidegate::graphql::error::Code;

use crate::{
    harness::{
        Outbox, Replica, Server, configured_on, create,
        mongod::{Deployment, until},
        update, with_secret,
    },
    wire::printed,
};

/// A section of the page.
fn section(name: &str) -> String {
    let page = fs::read_to_string("docs/operations.md").unwrap();
    let (_, section) = page.split_once(&format!("\n## {name}\n")).unwrap();
    section.split("\n## ").next().unwrap().to_owned()
}

/// The commands of a section, in their order.
fn commands(name: &str) -> Vec<String> {
    let section = section(name);
    let lines = section.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("tidegate "));
    commands.map(str::to_owned).collect()
}

fn title(id: &str, title: &str) -> Value {
    update(id, 1, json!({"title": title}))
}

/// Waits until a new device gets exactly these documents. Returns it.
async fn until_served(server: &Server, ids: &[&str]) -> Replica {
    let auditor = server.client("auditor");
    until("replica", async || {
        let mut replica = Replica::default();
        replica.pull(&auditor).await;
        (replica.ids() == ids).then_some(replica)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_importer_and_devices_come_back_together_from_a_snapshot_of_the_disk() {
    let deployment = Deployment::replica_set(1).await;
    let directory = configured_on(&deployment.url("app"));
    let tasks = deployment.client().await.database("app");
    let tasks = tasks.collection::<Document>("tasks");
    let by_service = async |id: &str| {
        let task = doc! {"_id": id, "audience": "public", "title": "By a service"};
        tasks.insert_one(task).await.unwrap();
    };
    let server = Server::serve(&directory);
    by_service("followed").await;
    until_served(&server, &["followed"]).await;
    let mut device = Outbox::new(server.client("alice"), "device").await;
    device.keep(create(
        "pushed",
        json!({"title": "Before", "audience": "team:demo"}),
    ));
    device.flush().await;
    server.stop();
    let snapshot = deployment.snapshot(0).await;

    let server = Server::serve(&directory);
    device.client = device.client.at(&server);
    by_service("lost").await;
    until_served(&server, &["followed", "lost", "pushed"]).await;
    device.keep(title("pushed", "Acknowledged after the snapshot"));
    device.flush().await;
    device.replica.pull(&device.client).await;
    device.keep(title("pushed", "Never sent before the restore"));
    device.keep(create(
        "new",
        json!({"title": "New", "audience": "team:demo"}),
    ));

    server.stop();
    deployment.put_back(0, &snapshot).await;
    let commands = commands("Backups");
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let arguments: Vec<&str> = command.split(' ').collect();
        let mut command = with_secret(directory.path(), &arguments);
        printed(&mut command);
    }
    let server = Server::serve(&directory);
    device.client = device.client.at(&server);
    by_service("later").await;
    let results = device.flush().await;
    // The edit was made on a version that the store has lost.
    let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, ["MERGED", "APPLIED"], "{results:?}");
    let whole = until_served(&server, &["followed", "later", "new", "pushed"]).await;
    assert_eq!(
        whole.task("pushed")["title"],
        "Never sent before the restore"
    );
    device.replica.pull(&device.client).await;
    assert_eq!(device.replica.documents(), whole.documents());
    assert_eq!(device.replica.resets, 2, "at first, and with the new epoch");
}

/// What stands between two marks, each time.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

/// All sources of the gateway in one text, without line breaks in sentences.
fn sources() -> String {
    fn gather(directory: &Path, all: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => gather(&path, all),
                false => all.push_str(&fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    let mut all = String::new();
    gather(Path::new("src"), &mut all);
    all
}

/// An operator searches for what the page says.
#[test]
fn what_the_page_says_of_failures_is_what_a_gateway_says() {
    let failures = section("What goes wrong");
    let rows = failures.lines().filter(|line| line.starts_with("| **"));
    assert_eq!(rows.count(), 12);
    let metrics = fs::read_to_string("docs/metrics.md").unwrap();
    let sources = sources();
    let mut named = 0;
    for metric in failures.split("tidegate_").skip(1) {
        let end = metric.find(|c: char| c != '_' && !c.is_ascii_lowercase());
        let metric = format!("| `tidegate_{}` |", &metric[..end.unwrap()]);
        assert!(metrics.contains(&metric), "{metric}");
        named += 1;
    }
    assert!(named > 15, "{named}");
    let prose = failures.lines().filter(|line| line.starts_with('|'));
    for line in prose {
        for quoted in between(line, '"') {
            assert!(sources.contains(quoted), "no source says {quoted:?}");
        }
        for code in
            between(line, '`').filter(|it| it.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'))
        {
            assert!(
                Code::ALL.iter().any(|(_, name, ..)| *name == code),
                "{code}"
            );
        }
    }
}
