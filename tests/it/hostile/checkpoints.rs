//! Members with checkpoints that are not theirs, not whole, or made up, and with requests that make checkpoints grow.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server};

const MODEL: &str = r#"
extend schema @grant(scope: "of:{mine}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "of:{whose}") { id: ID! whose: String! title: String }
type Note @collection(name: "notes") @scope(by: "of:{whose}") { id: ID! whose: String! title: String }
type Memo @collection(name: "memos") @scope(by: "of:{whose}") { id: ID! whose: String! title: String }
"#;

fn create(kind: &str, id: &str, whose: &str) -> Value {
    let document = json!({"whose": whose, "title": "t"});
    json!({kind: {"create": {"id": id, "document": document}}})
}

async fn push(client: &Client, changes: Value) {
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let data = client
        .data(query, json!({"input": {"changes": changes}}))
        .await;
    let results = data["pushChanges"]["results"].as_array().unwrap();
    assert!(
        results.iter().all(|result| result["status"] == "APPLIED"),
        "{data}"
    );
}

const PAGE: &str = "query($c: Checkpoint, $types: [SyncType!], $refresh: [SyncType!], $limit: Int) {
    changesSince(checkpoint: $c, types: $types, refresh: $refresh, limit: $limit) { changes { documentId } checkpoint reset hasMore revokedScopes } }";

async fn page(client: &Client, variables: Value) -> Value {
    client.data(PAGE, variables).await["changesSince"].take()
}

async fn token(client: &Client, variables: Value) -> String {
    let page = page(client, variables).await;
    page["checkpoint"].as_str().unwrap().to_owned()
}

/// The outcome of a pull with this token: its code, or whether it is a reset.
async fn tried(client: &Client, token: &str) -> String {
    let answer = client.send(PAGE, json!({"c": token})).await;
    match answer["errors"][0]["extensions"]["code"].as_str() {
        Some(code) => code.to_owned(),
        None => format!("reset {}", answer["data"]["changesSince"]["reset"]),
    }
}

#[tokio::test]
async fn a_token_that_is_not_whole_or_not_the_users_is_refused() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::dev_on(&directory, MODEL);
    let elsewhere = Server::dev_on(&other, MODEL);
    let alice = server.client_with("alice", &json!({"mine": ["a", "b"]}));
    let mallory = server.client_with("mallory", &json!({"mine": ["b", "m"]}));
    push(
        &alice,
        json!([create("task", "1", "a"), create("task", "2", "b")]),
    )
    .await;
    let hers = token(&alice, json!({})).await;
    push(&alice, json!([create("task", "3", "a")])).await;
    let later = token(&alice, json!({"c": hers})).await;
    assert_eq!(tried(&alice, &hers).await, "reset false");
    assert_eq!(tried(&mallory, &hers).await, "BAD_CHECKPOINT");
    // Another store's token is one of another epoch.
    let stranger = elsewhere.client_with("alice", &json!({"mine": ["a", "b"]}));
    assert_eq!(tried(&stranger, &hers).await, "reset true");
    let theirs = token(&stranger, json!({})).await;
    assert_eq!(tried(&alice, &theirs).await, "reset true");

    let bytes = BASE64.decode(&hers).unwrap();
    let epoch = 2 + alice.epoch().await.len();
    let sealed = |bytes: &[u8]| BASE64.encode(bytes);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let outcome = tried(&alice, &sealed(&flipped)).await;
        // A token of another epoch counts for nothing, whatever it is.
        let is_other_epoch = outcome == "reset true" && (1..epoch).contains(&at);
        assert!(
            outcome == "BAD_CHECKPOINT" || is_other_epoch,
            "{at}: {outcome}"
        );
        let outcome = tried(&alice, &sealed(&bytes[..at])).await;
        assert_eq!(outcome, "BAD_CHECKPOINT", "{at}");
    }
    let own = token(&mallory, json!({})).await;
    for spliced in [
        [&hers[..hers.len() - 22], &later[later.len() - 22..]].concat(),
        [&own[..own.len() - 22], &hers[hers.len() - 22..]].concat(),
        hers.repeat(2),
        format!("{hers}{own}"),
        "A".repeat(1 << 19),
        format!("Ag{}", "A".repeat(1 << 19)),
        format!("AQ{}", "A".repeat(1 << 19)),
    ] {
        for client in [&alice, &mallory] {
            assert_eq!(tried(client, &spliced).await, "BAD_CHECKPOINT");
        }
    }
    // An old token of one's own goes back, and loses nothing.
    let again = page(&alice, json!({"c": hers})).await;
    assert_eq!(again["changes"], json!([{"documentId": "3"}]));
    assert_eq!(again["checkpoint"], later);
}

/// A token of format 1, which has no code. Everybody can write one.
fn first_format(epoch: &str, scopes: impl Iterator<Item = String>, seq: u8) -> String {
    let mut bytes = vec![1];
    text(&mut bytes, epoch);
    bytes.extend([0, 1, 1, 3]);
    for name in ["Task", "Note", "Memo"] {
        text(&mut bytes, name);
    }
    let scopes: Vec<String> = scopes.collect();
    number(&mut bytes, scopes.len());
    for scope in &scopes {
        text(&mut bytes, scope);
        bytes.extend([seq, seq]);
    }
    bytes.push(0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    BASE64.encode(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len());
    bytes.extend(text.bytes());
}

/// LEB128.
fn number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[tokio::test]
async fn a_token_of_the_first_format_says_only_what_its_sender_wrote() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let alice = server.client_with("alice", &json!({"mine": ["a"]}));
    let mallory = server.client_with("mallory", &json!({"mine": ["m"]}));
    push(&alice, json!([create("task", "1", "a")])).await;
    let epoch = mallory.epoch().await;
    // Of Alice's scope, which is there, she learns as much as of one that is not.
    for (scope, seq) in [("of:a", 2), ("of:a", 126), ("of:none", 2)] {
        let token = first_format(&epoch, [scope.to_owned()].into_iter(), seq);
        let answer = page(&mallory, json!({"c": token})).await;
        assert_eq!(answer["revokedScopes"], json!([scope]));
        assert_eq!(answer["changes"], json!([]));
        assert_eq!(answer["reset"], false);
    }
    // An absurd set of scopes is answered once, and is in no token after it.
    let scopes = (0..60_000).map(|n| format!("of:{n:05}"));
    let absurd = first_format(&epoch, scopes, 2);
    assert!(absurd.len() > 800_000);
    let answer = page(&mallory, json!({"c": absurd})).await;
    assert_eq!(answer["revokedScopes"].as_array().unwrap().len(), 60_000);
    assert!(answer["checkpoint"].as_str().unwrap().len() < 200);
    for repeated in [["of:m", "of:m"], ["of:m", "of:a"]] {
        let token = first_format(&epoch, repeated.map(str::to_owned).into_iter(), 2);
        let outcome = tried(&mallory, &token).await;
        // She has written nothing yet, so 1 is above every head.
        assert_eq!(outcome, "reset true", "{repeated:?}");
    }
}

/// The most bytes of the tokens in this test: 80,000 for one track of 10,000 scopes, and as much for each further track.
const TOKEN_MAX: usize = 3 * 80_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_of_types_and_refreshes_makes_a_token_grow_without_a_bound() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let scopes =
        |users: std::ops::Range<usize>| users.map(|n| format!("{n:05}")).collect::<Vec<_>>();
    // A token has at most 16 KiB, so memberships would be needed for 10,000 scopes; the bytes are proportional.
    let mine = scopes(0..800);
    let mallory = server.client_with("mallory", &json!({"mine": mine}));
    for (kind, many) in [("task", 500), ("note", 250), ("memo", 800)] {
        for part in mine[..many].chunks(200) {
            let changes = part
                .iter()
                .map(|whose| create(kind, &format!("{kind}{whose}"), whose));
            push(&mallory, changes.collect()).await;
        }
    }
    let plain = token(&mallory, json!({"limit": 5_000})).await.len();
    assert!(plain * 10_000 / 800 <= 80_000, "{plain}");
    let max = TOKEN_MAX * 800 / 10_000;
    let all = [
        ["Task"].as_slice(),
        &["Note"],
        &["Memo"],
        &["Task", "Memo"],
        &["Note", "Task"],
        &["Memo", "Note", "Task"],
    ];
    let mut held = token(&mallory, json!({})).await;
    let mut largest = 0;
    for round in 0..120 {
        let variables = json!({
            "c": held, "limit": 1 + round % 97,
            "types": (round % 5 != 0).then(|| all[round % all.len()]),
            "refresh": (round % 3 == 0).then(|| all[(round / 3) % all.len()]),
        });
        held = token(&mallory, variables).await;
        largest = largest.max(held.len());
        assert!(held.len() <= max, "round {round}: {} of {max}", held.len());
    }
    assert!(largest > plain, "tracks were apart");
    // And it comes together again.
    loop {
        let next = page(&mallory, json!({"c": held, "limit": 5_000})).await;
        held = next["checkpoint"].as_str().unwrap().to_owned();
        if next["hasMore"] == false {
            break;
        }
    }
    assert!(held.len() < plain + 64, "{} {plain}", held.len());
}

#[tokio::test]
async fn refreshes_of_many_and_of_unknown_types_cost_what_one_pull_costs() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let client = server.client_with("alice", &json!({"mine": ["a"]}));
    push(
        &client,
        json!([create("task", "1", "a"), create("note", "2", "a")]),
    )
    .await;
    let held = token(&client, json!({})).await;
    for refresh in [
        json!(["Task", "Gone"]),
        json!(vec!["Gone"; 1_000]),
        json!(["task"]),
        json!([1]),
        json!([null]),
    ] {
        let variables = json!({"c": held, "refresh": refresh});
        assert_eq!(
            client.code(PAGE, variables).await,
            "BAD_USER_INPUT",
            "{refresh}"
        );
    }
    let many = json!({"c": held, "refresh": vec!["Task"; 1_000], "types": vec!["Task"; 1_000]});
    let first = page(&client, many.clone()).await;
    assert_eq!(first["changes"], json!([{"documentId": "1"}]));
    // A loop with the same variables does not begin again, and its tokens stay as they are.
    let mut held = first["checkpoint"].as_str().unwrap().to_owned();
    for _ in 0..20 {
        let mut variables = many.clone();
        variables["c"] = json!(held);
        let next = page(&client, variables).await;
        assert_eq!(next["changes"], json!([]));
        assert_eq!(next["checkpoint"], held);
        held = next["checkpoint"].as_str().unwrap().to_owned();
    }
}

/// What a member may learn of a scope by its digest is what the pages of it say.
#[tokio::test]
async fn digests_and_rereads_speak_of_nobodys_scopes_but_the_members_own() {
    const DIGESTS: &str = "query($c: Checkpoint, $types: [SyncType!], $reread: [ID!], $limit: Int) {
        changesSince(checkpoint: $c, types: $types, reread: $reread, limit: $limit) {
            digests { scope digest } changes { documentId } checkpoint hasMore reset revokedScopes } }";
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let alice = server.client_with("alice", &json!({"mine": ["a", "b"]}));
    let mallory = server.client_with("mallory", &json!({"mine": ["m"]}));
    let changes = [
        create("task", "1", "a"),
        create("note", "2", "b"),
        create("task", "3", "b"),
    ];
    push(&alice, json!(changes)).await;
    push(&mallory, json!([create("task", "4", "m")])).await;
    let pulled = async |client: &Client, variables: Value| {
        client.data(DIGESTS, variables).await["changesSince"].take()
    };
    let page = pulled(&alice, json!({"limit": 1})).await;
    assert_eq!(
        (&page["hasMore"], &page["digests"]),
        (&json!(true), &json!(null))
    );
    let page = pulled(&alice, json!({})).await;
    let expected = json!([
        {"scope": "of:a", "digest": "798552d5d09fb467ab63bd03f01c98e9"},
        {"scope": "of:b", "digest": "8a9e3f52c47ea46a7aff1ab2ceb498a9"},
    ]);
    assert_eq!(page["digests"], expected);
    let scopes = |page: &Value| {
        let digests = page["digests"].as_array().unwrap().iter();
        digests.map(|it| it["scope"].clone()).collect::<Value>()
    };
    let theirs = json!({"reread": ["of:a", "of:b", "of:nobody", "", "x".repeat(300), "of:m"]});
    let page = pulled(&mallory, theirs).await;
    assert_eq!(scopes(&page), json!(["of:m"]));
    assert_eq!(page["revokedScopes"], json!(["of:m"]));
    let many: Vec<String> = (0..20_000).map(|n| format!("of:{n}")).collect();
    let page = pulled(&mallory, json!({"reread": many})).await;
    assert_eq!(
        (&page["revokedScopes"], scopes(&page)),
        (&json!([]), json!(["of:m"]))
    );
    let before = pulled(&alice, json!({})).await;
    let again = json!({"c": before["checkpoint"], "reread": ["of:b"]});
    let page = pulled(&alice, again).await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&page["reset"], &page["digests"]),
        (&json!(false), &before["digests"])
    );
}
