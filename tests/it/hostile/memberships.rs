//! Members who give memberships to a victim: it still syncs, sees who gave them, and can decline them.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server,
    mongod::{Deployment, fresh_database},
};

/// Memberships that every user may write, for scopes with long names.
const ROOMS: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE) @grant(scope: "roster", access: WRITE)
type Member @collection(name: "members") @scope(by: "roster") @conflict(policy: CLIENT_WINS)
  @grants(scope: "room:{room}", to: "{person}", access: "{role}") {
  id: ID!
  room: String!
  person: String!
  role: Role!
}
enum Role { READ WRITE }
type Note @collection(name: "notes") @scope(by: "{audience}") { id: ID! audience: String! }
"#;

/// The most bytes of a request by default, without the query.
const CHECKPOINT_BYTES_MAX: usize = (1 << 20) - (64 << 10);

/// In how many of the rooms something is written.
const WRITTEN: usize = 3;

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            use super::*;

            #[tokio::test]
            async fn embedded() {
                let directory = TempDir::new().unwrap();
                super::$story(Server::dev_on(&directory, ROOMS)).await;
            }

            #[tokio::test]
            async fn mongodb() {
                let directory = TempDir::new().unwrap();
                std::fs::write(directory.path().join("model.graphql"), ROOMS).unwrap();
                let url = Deployment::shared().await.url(&fresh_database());
                super::$story(Server::dev_with(directory.path(), &["--store", &url])).await;
            }
        }
    )*};
}

on_both_stores! {
    four_thousand_memberships_from_others_leave_their_victim_able_to_sync_and_to_decline_them
    a_thousand_memberships_for_oneself_in_one_push_are_refused_with_how_many_fit
}

fn give(id: &str, room: &str, person: &str) -> Value {
    give_to(id, room, person, "READ")
}

fn give_to(id: &str, room: &str, person: &str, role: &str) -> Value {
    let document = json!({"room": room, "person": person, "role": role});
    json!({"member": {"create": {"id": id, "document": document}}})
}

/// The status of each change, or the code of its rejection.
async fn push(client: &Client, changes: Vec<Value>) -> Vec<String> {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code } } } }";
    let data = client
        .data(query, json!({"input": {"changes": changes}}))
        .await;
    let results = data["pushChanges"]["results"].as_array().unwrap().iter();
    results
        .map(|result| match &result["error"]["code"] {
            Value::String(code) => code.clone(),
            _ => result["status"].as_str().unwrap().to_owned(),
        })
        .collect()
}

/// Pulls until there is no more. Returns the last checkpoint.
async fn sync(client: &Client, mut checkpoint: Value) -> (String, usize) {
    let query = "query($at: Checkpoint) { changesSince(checkpoint: $at, limit: 5000) { checkpoint hasMore revokedScopes } }";
    let mut revoked = 0;
    loop {
        let page = client.data(query, json!({"at": checkpoint})).await["changesSince"].take();
        revoked += page["revokedScopes"].as_array().unwrap().len();
        checkpoint = page["checkpoint"].clone();
        if page["hasMore"] == false {
            return (checkpoint.as_str().unwrap().to_owned(), revoked);
        }
    }
}

async fn memberships(client: &Client) -> Vec<Value> {
    let query = "query($after: String) { viewer { memberships(first: 1000, after: $after) {
        nodes { scope role giver since counts } pageInfo { hasNextPage endCursor } } } }";
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut data = client.data(query, json!({"after": after})).await;
        let page = data["viewer"]["memberships"].take();
        all.extend(page["nodes"].as_array().unwrap().iter().cloned());
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            return all;
        }
    }
}

async fn decline(client: &Client, givers: &[&str], decline: bool) -> Value {
    let query = "mutation($input: DeclineMembershipsInput!) { declineMemberships(input: $input) { declinedGivers } }";
    let input = json!({"input": {"givers": givers, "decline": decline}});
    client.data(query, input).await["declineMemberships"]["declinedGivers"].take()
}

async fn four_thousand_memberships_from_others_leave_their_victim_able_to_sync_and_to_decline_them(
    server: Server,
) {
    let victim = server.client("victim");
    let friend = server.client("friend");
    assert_eq!(
        push(&friend, vec![give("honest", "honest", "victim")]).await,
        ["APPLIED"]
    );
    let (at, _) = sync(&victim, Value::Null).await;

    let givers = ["mallory1", "mallory2", "mallory3", "mallory4"];
    for giver in givers {
        let client = server.client(giver);
        for half in 0..2 {
            let gifts = (0..500).map(|n| {
                let id = format!("{giver}-{half}-{n}");
                give(&id, &format!("{id:x>230}"), "victim")
            });
            let answers = push(&client, gifts.collect()).await;
            assert!(
                answers.iter().all(|answer| answer == "APPLIED"),
                "{answers:?}"
            );
        }
        let more = vec![give(&format!("{giver}-more"), "more", "victim")];
        assert_eq!(push(&client, more).await, ["MEMBERSHIPS_FULL"]);
    }

    // In some of the rooms there are documents.
    let writer = server.client(givers[0]);
    for n in 0..WRITTEN {
        let room = format!("{:x>230}", format!("{}-0-{n}", givers[0]));
        let document = json!({"audience": format!("room:{room}")});
        let note = json!({"note": {"create": {"id": n.to_string(), "document": document}}});
        let own = give_to(&format!("own-{n}"), &room, givers[0], "WRITE");
        assert_eq!(push(&writer, vec![own, note]).await, ["APPLIED"; 2]);
    }

    // It continues from its position, and its next checkpoint fits as well.
    let (at, _) = sync(&victim, json!(at)).await;
    assert!(at.len() < CHECKPOINT_BYTES_MAX, "{}", at.len());
    let (at, _) = sync(&victim, json!(at)).await;
    let given = memberships(&victim).await;
    assert_eq!(given.len(), 4_001);
    assert_eq!(given[0]["giver"], "friend", "the oldest comes first");
    assert_eq!(given[0]["counts"], true);
    let counted = given.iter().filter(|given| given["counts"] == true).count();
    assert!(
        (2_000..2_300).contains(&counted),
        "{counted} of 512 KiB of names"
    );
    assert_eq!(given[4_000]["counts"], false, "the youngest does not");
    for giver in givers {
        let by_it = given.iter().filter(|given| given["giver"] == giver);
        assert_eq!(by_it.count(), 1_000);
    }

    assert_eq!(decline(&victim, &givers, true).await, json!(givers));
    // No checkpoint names the scopes in which nothing was ever written.
    let (small, revoked) = sync(&victim, json!(at)).await;
    assert_eq!(revoked, WRITTEN);
    assert!(small.len() < 300, "{}", small.len());
    let viewer = victim
        .data("{ viewer { readScopes declinedGivers } }", json!({}))
        .await;
    assert_eq!(viewer["viewer"]["declinedGivers"], json!(givers));
    assert_eq!(
        viewer["viewer"]["readScopes"],
        json!(["room:honest", "roster", "user:victim"])
    );
    assert_eq!(memberships(&victim).await.len(), 1);

    assert_eq!(
        decline(&victim, &givers[1..], false).await,
        json!(["mallory1"])
    );
    assert_eq!(memberships(&victim).await.len(), 3_001);
    let many: Vec<String> = (0..1_000).map(|n| format!("giver{n}")).collect();
    let input = json!({"input": {"givers": many, "decline": true}});
    let query = "mutation($input: DeclineMembershipsInput!) { declineMemberships(input: $input) { declinedGivers } }";
    assert_eq!(victim.code(query, input).await, "DECLINES_FULL");
    for (query, code) in [
        (
            "mutation { declineMemberships(input: {givers: [\"\"]}) { declinedGivers } }",
            "BAD_USER_INPUT",
        ),
        (
            "{ viewer { memberships(first: 1001) { nodes { scope } } } }",
            "BAD_LIMIT",
        ),
        (
            "{ viewer { memberships(after: \"x\") { nodes { scope } } } }",
            "BAD_USER_INPUT",
        ),
    ] {
        assert_eq!(victim.code(query, json!({})).await, code, "{query}");
    }
}

async fn a_thousand_memberships_for_oneself_in_one_push_are_refused_with_how_many_fit(
    server: Server,
) {
    let mallory = server.client("mallory");
    let gifts: Vec<Value> = (0..1_000)
        .map(|n| give(&format!("own-{n}"), &format!("own-{n}"), "mallory"))
        .collect();
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let input = json!({"input": {"changes": gifts}});
    let refused = mallory.send(query, input).await;
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "PUSH_TOO_LARGE", "{refused}");
    let max = usize::try_from(extensions["max"].as_u64().unwrap()).unwrap();
    assert!((400..600).contains(&max), "{max}");
    assert!(memberships(&mallory).await.is_empty(), "nothing is written");
    assert_eq!(
        push(&mallory, gifts[..max].to_vec()).await,
        vec!["APPLIED"; max]
    );
    assert_eq!(memberships(&mallory).await.len(), max);
}
