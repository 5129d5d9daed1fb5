//! Members who name APIs that no gateway had, as many as they like.

use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;

use super::flood::{forget_peak, kib_of};
use crate::harness::{Server, command};

/// Names of APIs, one after the other.
const APIS: u64 = 3_000;

#[tokio::test]
async fn apis_that_are_made_up_cost_a_line_in_the_log_and_no_memory() {
    let directory = TempDir::new().unwrap();
    let mut dev = command(directory.path());
    dev.args(["dev", "--listen", "127.0.0.1:0", "--store", "embedded:data"]);
    dev.env("TIDEGATE_LOG", "warn").stderr(Stdio::piped());
    let server = Server::start(directory.path(), dev);
    let client = server.client("mallory");
    let gone = || json!({"query": "{ gone }"});
    let api = |number: u64| format!("{number:032x}");
    for number in 0..200 {
        client.send_as(Some(&api(number)), gone()).await;
    }
    let stored = || {
        let files = std::fs::read_dir(directory.path().join("data")).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    forget_peak(&server);
    let (memory, bytes) = (kib_of(&server, "VmRSS:"), stored());
    for number in 200..APIS {
        let answer = client.send_as(Some(&api(number)), gone()).await;
        let error = &answer["errors"][0];
        assert_eq!(
            error["extensions"]["code"], "SERVICE_UNAVAILABLE",
            "{answer}"
        );
    }
    let grown = kib_of(&server, "VmHWM:").saturating_sub(memory);
    assert!(grown < 8 << 10, "{grown} KiB");
    assert_eq!(stored(), bytes, "nothing of it is stored");
    // The first line names one. The next one, a minute later, names eight and counts the rest.
    let log = server.complaints();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("no gateway of this store had"))
        .collect();
    assert!((1..4).contains(&lines.len()), "{log}");
    assert!(lines[0].contains(&format!("{}: 1", api(0))), "{log}");
    assert!(lines.iter().all(|line| line.len() < 1_000), "{log}");
}
