//! Tokens of format 1 that a client made up: they carry no proof of their origin.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    members::counted::{CountingStore, Counts},
    *,
};
use crate::sync::LeadWatch;

const SCOPES: usize = 300;

/// A token of format 1 with one track of the type Task, which stands at `seq` in each of these scopes.
fn forged(scopes: &[String], seq: i64) -> String {
    let mut bytes = vec![1];
    text(&mut bytes, "e1");
    bytes.extend([0, 1, 1, 1]);
    text(&mut bytes, "Task");
    number(&mut bytes, scopes.len() as u64);
    for scope in scopes {
        text(&mut bytes, scope);
        number(&mut bytes, seq as u64 * 2);
        number(&mut bytes, seq as u64 * 2);
    }
    bytes.push(0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend(text.bytes());
}

/// LEB128.
fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[tokio::test]
async fn positions_above_all_heads_cost_one_linearizable_read() {
    let directory = TempDir::new().unwrap();
    let counts = Arc::<Counts>::default();
    let store = Arc::new(CountingStore {
        inner: embedded(directory.path()),
        layer: Arc::clone(&counts),
    });
    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let sync = start(MODEL, store.clone(), Arc::clone(&clock), Limits::default());
    let generation = store.models().register(MODEL, "").await.unwrap();
    store.models().serve_as(generation).await.unwrap();
    let watch = LeadWatch::new(Arc::new(model(MODEL)), store.clone(), clock, generation);
    watch.look().await.unwrap();

    let teams: Vec<String> = (0..SCOPES).map(|team| team.to_string()).collect();
    let caller = member(&sync, "mallory", teams.clone());
    let mut scopes: Vec<String> = teams.iter().map(|team| format!("team:{team}")).collect();
    scopes.sort();
    for (seq, reset, reads) in [(0, false, 0), (1 << 40, true, 1)] {
        let token = forged(&scopes, seq);
        let request =
            PullRequest::new(Some(&token), RequestedTypes::All, 10, sync.limits()).unwrap();
        let page = sync.pull(&caller, request).await.unwrap();
        assert_eq!(page.reset, reset, "{seq}");
        assert_eq!(counts.confirmed.swap(0, Ordering::SeqCst), reads, "{seq}");
    }
}
