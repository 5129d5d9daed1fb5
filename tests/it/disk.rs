//! The real binary on a disk that is full or may not be written: it reports that, serves what it can, loses nothing and
//! recovers by itself.
//!
//! `src/store/embedded/tests.rs` tests which answer is true after which failed write.

mod full;
mod read_only;

use std::{fs, time::Duration};

use serde_json::Value;

use crate::harness::Server;

/// The answer to a push that finds no room, or may not write.
fn assert_not_writable(error: &Value) {
    assert_eq!(
        error["extensions"]["code"], "SERVICE_UNAVAILABLE",
        "{error}"
    );
    let message = error["message"].as_str().unwrap();
    let reported = "The store cannot be written now; nothing of this request was applied.";
    assert!(message.starts_with(reported), "{message}");
}

fn assert_says(reported: &str, parts: &[&str]) {
    for part in parts {
        assert!(reported.contains(part), "no {part:?} in {reported}");
    }
}

/// Without requests a gateway waits. One that tried again and again would take a whole processor.
async fn assert_at_rest(server: &Server) {
    const LOOK: Duration = Duration::from_millis(500);
    let before = ticks(server);
    tokio::time::sleep(LOOK).await;
    let taken = ticks(server) - before;
    assert!(
        taken < 20,
        "{taken} hundredths of a second of processor time"
    );
}

/// The processor time a gateway has taken, in hundredths of a second (proc(5), `utime` and `stime`).
fn ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |index: usize| fields[index].parse::<u64>().unwrap();
    number(11) + number(12)
}
