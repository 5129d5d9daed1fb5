//! What `check` and `doctor` say of a store that a start would convert. Neither converts it.

use std::process::Output;

use serde_json::Value;

use super::OldStore;
use crate::harness::{Server, with_secret};

fn said_by(store: &OldStore, arguments: &[&str]) -> (String, Output) {
    let output = with_secret(store.directory.path(), arguments).output();
    let output = output.unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    (String::from_utf8(said).unwrap(), output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_doctor_count_what_a_start_would_convert_and_convert_nothing() {
    for (store, formats, records) in [
        (OldStore::embedded().await, [3, 4], 8),
        (OldStore::mongodb().await, [2, 3], 13),
    ] {
        let [found, known] = formats;
        let counted = format!("up to {records} records");
        for _ in 0..2 {
            let (said, output) = said_by(&store, &["check"]);
            assert!(output.status.success(), "{said}");
            for part in [
                &format!("has format {found}"),
                &format!("to format {known}"),
                &counted,
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            let (_, output) = said_by(&store, &["doctor", "--json", "--repair"]);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let mut findings = report["findings"].as_array().unwrap().iter();
            let of_store = findings
                .find(|finding| finding["topic"] == "store")
                .unwrap();
            assert_eq!(of_store["level"], "warning");
            assert!(
                of_store["message"].as_str().unwrap().contains(&counted),
                "{of_store}"
            );
        }
        let server = Server::serve(&store.directory);
        store.expect_unchanged(&server).await;
    }
}
