//! No answer shows anything of another user's documents: another user's id, an id that the caller may no longer see and
//! one that never existed are answered with the same bytes, in every operation.
//!
//! `pull::sight` and `push::grants` test the delivery of visible documents. The core's tests decide what is visible.

mod schema;
mod table;
mod world;

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    table::{LISTS, NAMELESS, Probe, TYPES},
    world::{Answer, HIDDEN, MISSING, OWN, SECRET, SPARE, World, edit, id_of, text_of},
};
use crate::harness::{
    Socket,
    mongod::{Deployment, fresh_database},
};

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            use super::*;

            #[tokio::test]
            async fn embedded() {
                let directory = TempDir::new().unwrap();
                super::$story(World::new(directory.path(), &[]).await).await;
            }

            #[tokio::test]
            async fn mongodb() {
                let directory = TempDir::new().unwrap();
                let url = Deployment::shared().await.url(&fresh_database());
                super::$story(World::new(directory.path(), &["--store", &url]).await).await;
            }
        }
    )*};
}

on_both_stores! {
    whatever_is_asked_of_a_hidden_id_is_answered_as_of_a_missing_one
    a_push_that_is_sent_again_shows_nothing_of_where_the_grant_was_withdrawn
    sockets_are_silent_about_what_others_do
}

/// The operations tried so far, of the whole schema.
struct Asked<'w> {
    world: &'w World,
    tried: BTreeSet<String>,
}

impl Asked<'_> {
    /// Tries hidden ids, a missing one and the caller's own, which shows that the answer could differ.
    async fn compare(&mut self, probes: Vec<Probe>, hidden: &[String], missing: &str, own: &str) {
        for probe in probes {
            let expected = self.ask(&probe, missing).await;
            for id in hidden {
                assert_eq!(
                    self.ask(&probe, id).await,
                    expected,
                    "{id}: {:?}",
                    probe.tries
                );
            }
            if !probe.is_final {
                let own = self.ask(&probe, own).await;
                assert_ne!(own, expected, "{:?} would show no difference", probe.tries);
            }
            self.tried.extend(probe.tries);
        }
    }

    async fn ask(&self, probe: &Probe, id: &str) -> Answer {
        let answer = self.world.ask(probe, id).await;
        assert!(!answer.body.contains(SECRET), "{id}: {}", answer.body);
        answer.saying(id)
    }
}

async fn whatever_is_asked_of_a_hidden_id_is_answered_as_of_a_missing_one(world: World) {
    let mut asked = Asked {
        world: &world,
        tried: BTreeSet::new(),
    };
    of_checkpoints(&mut asked).await;
    of_rereads(&mut asked).await;
    of_conflicts(&mut asked).await;
    of_clients(&mut asked).await;
    of_givers(&mut asked).await;
    of_lists(&mut asked).await;
    of_documents(&mut asked).await;
    let mut tried = asked.tried;
    tried.extend(NAMELESS.map(str::to_owned));
    assert_eq!(
        tried,
        world.table.api.coordinates(),
        "the table has a row for everything"
    );
}

async fn of_documents(asked: &mut Asked<'_>) {
    let table = &asked.world.table;
    for (name, root) in TYPES {
        let hidden: Vec<String> = HIDDEN.map(|standing| id_of(standing, name)).into();
        let [missing, own] = [MISSING, OWN].map(|standing| id_of(standing, name));
        let mut probes = vec![table.of_vain_creates(name, root)];
        if name == "Folder" {
            probes.extend(table.of_references());
        }
        probes.extend(table.of_documents(name, root));
        asked.compare(probes, &hidden, &missing, &own).await;
        taken(asked, table.of_creates(name, root), &hidden).await;
    }
}

/// Only creating an id that others have reveals that it exists, and it reveals no more.
async fn taken(asked: &mut Asked<'_>, probe: Probe, hidden: &[String]) {
    let expected = asked.ask(&probe, &hidden[0]).await;
    let reported: Value = serde_json::from_str(&expected.body).unwrap();
    for result in reported["data"]["pushChanges"]["results"]
        .as_array()
        .unwrap()
    {
        assert_eq!(result["error"]["code"], "ID_TAKEN");
        for name in ["document", "version", "conflict"] {
            assert_eq!(result[name], Value::Null, "{name}");
        }
    }
    for id in hidden {
        assert_eq!(asked.ask(&probe, id).await, expected, "{id}");
    }
    asked.tried.extend(probe.tries);
}

async fn of_conflicts(asked: &mut Asked<'_>) {
    let world = asked.world;
    let of = |standing: &str, name: &str| {
        let conflict = &world.conflicts[&id_of(standing, "Draft")];
        conflict[name].as_str().unwrap().to_owned()
    };
    // No conflict has it, but it has the same form.
    let missing = |text: &str| format!("{}none", &text[..text.len() - 4]);
    let hidden = ["alien", "leave", "moved", "grave"];
    for cursor in hidden.map(|standing| of(standing, "cursor")) {
        let position = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
        let elsewhere = BASE64_URL_SAFE_NO_PAD.encode(missing(&position));
        let probes = vec![world.table.of_cursors()];
        asked
            .compare(probes, &[cursor], &elsewhere, &of(OWN, "cursor"))
            .await;
    }
    let ids = hidden.map(|standing| of(standing, "id"));
    let own = of(OWN, "id");
    let probes = world.table.of_conflicts();
    asked.compare(probes, &ids, &missing(&own), &own).await;
}

async fn of_clients(asked: &mut Asked<'_>) {
    let world = asked.world;
    for (client, id) in [(&world.alice, "alien"), (&world.bob, OWN)] {
        let phone = json!({"id": id, "firstMutationId": 1});
        let change = json!({"task": {"delete": {"id": "nothing", "baseVersion": 1}}});
        let changes = json!([change, change]);
        let input = json!({"changes": changes, "client": phone, "epoch": world.table.epoch});
        world.push(client, &input).await;
    }
    let probes = world.table.of_clients();
    let hidden = ["alien".to_owned()];
    asked.compare(probes, &hidden, MISSING, OWN).await;
}

/// No answer says whether there is such a user, and what they give.
async fn of_givers(asked: &mut Asked<'_>) {
    let probe = asked.world.table.of_givers();
    let expected = asked.ask(&probe, "nobdy").await;
    assert!(
        expected.body.contains(r##""declinedGivers":["#id"]"##),
        "{}",
        expected.body
    );
    for user in ["alice", "carol"] {
        assert_eq!(asked.ask(&probe, user).await, expected, "{user}");
    }
    asked.tried.extend(probe.tries);
}

/// A list is silent about documents and scopes of others, and a cursor of theirs is a place like any other.
async fn of_lists(asked: &mut Asked<'_>) {
    let table = &asked.world.table;
    for ((name, _), (root, probe)) in TYPES.iter().zip(LISTS.iter().zip(table.of_lists())) {
        let hidden: Vec<String> = HIDDEN.map(|standing| id_of(standing, name)).into();
        let [missing, own] = [MISSING, OWN].map(|standing| id_of(standing, name));
        asked.compare(vec![probe], &hidden, &missing, &own).await;
        let scopes = ["user:alice", "user:carol"].map(str::to_owned);
        let of_scope = vec![table.of_scopes(root)];
        asked
            .compare(of_scope, &scopes, "user:nobdy", "user:bob")
            .await;
        let cursor = table.of_list_cursors(root);
        let query = format!("{{ {root} {{ edges {{ cursor }} }} }}");
        let [alices, bobs] = [&asked.world.alice, &asked.world.bob].map(|client| {
            let query = query.clone();
            async move {
                let data = client.data(&query, json!({})).await;
                data[root]["edges"][0]["cursor"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            }
        });
        // Nothing stands at either place: each list goes on behind it.
        for place in [alices.await, bobs.await] {
            let answer = asked.ask(&cursor, &place).await;
            assert!(!answer.body.contains("errors"), "{}", answer.body);
        }
        asked.tried.extend(cursor.tries);
    }
}

/// Alice has much, and Carol has nothing, with a name of the same length. A checkpoint of another user says nothing of its
/// scopes.
async fn of_checkpoints(asked: &mut Asked<'_>) {
    let world = asked.world;
    let [alices, carols] = [
        world.checkpoint_of("alice").await,
        world.checkpoint_of("carol").await,
    ];
    let page = world.table.of_checkpoints();
    let live = world.table.of_live_checkpoints();
    let mut reported = Vec::new();
    for (checkpoint, user) in [(&alices, "alice"), (&carols, "carol")] {
        let answer = asked.ask(&page, checkpoint).await.saying(user);
        assert!(
            answer.body.contains(r#""code":"BAD_CHECKPOINT""#),
            "{}",
            answer.body
        );
        let mut socket = Socket::connect(&world.bob).await;
        let payload = json!({"query": live.query, "variables": live.variables(checkpoint)});
        socket
            .send(json!({"type": "subscribe", "id": "1", "payload": payload}))
            .await;
        let first = socket.next().await.to_string().replace(user, "#id");
        assert!(!first.contains(SECRET), "{first}");
        reported.push((answer, first));
    }
    assert_eq!(reported[0], reported[1]);
    asked.tried.extend([page.tries, live.tries].concat());
}

/// A scope of another user is read again as one that nobody has: not at all.
async fn of_rereads(asked: &mut Asked<'_>) {
    let world = asked.world;
    let checkpoint = world.checkpoint_of("bob").await;
    let (missing, own) = ("user:nobdy", "user:bob");
    let hidden = ["user:alice", "user:carol"].map(str::to_owned);
    let page = world.table.of_rereads(&checkpoint);
    asked.compare(vec![page], &hidden, missing, own).await;
    let live = world.table.of_live_rereads(&checkpoint);
    let mut reported = Vec::new();
    for scope in [missing, own, "user:alice", "user:carol"] {
        let mut socket = Socket::connect(&world.bob).await;
        let payload = json!({"query": live.query, "variables": live.variables(scope)});
        socket
            .send(json!({"type": "subscribe", "id": "1", "payload": payload}))
            .await;
        let first = socket.next().await.to_string();
        assert!(!first.contains(SECRET), "{first}");
        reported.push(first.replace(scope, "#id"));
    }
    assert_ne!(reported[0], reported[1], "it would show no difference");
    assert_eq!([&reported[2], &reported[3]], [&reported[0]; 2]);
    asked.tried.extend(live.tries);
}

async fn a_push_that_is_sent_again_shows_nothing_of_where_the_grant_was_withdrawn(world: World) {
    for (name, _) in TYPES {
        let [ended, spare] = ["ended", SPARE].map(|standing| id_of(standing, name));
        let mut again = Vec::new();
        for (id, text) in [(ended, text_of("ended")), (spare, text_of(SPARE))] {
            let (input, first) = &world.pushed[&id];
            assert!(first.contains(text), "{name}: he saw it: {first}");
            let reported = world.push(&world.bob, input).await;
            assert!(!reported.contains(text), "{name}: {reported}");
            assert!(
                reported.contains(r#""duplicate":true"#),
                "{name}: {reported}"
            );
            again.push(reported.replace(&id, "#id"));
        }
        assert_eq!(again[0], again[1], "{name}: as of a deleted one");
    }
}

async fn sockets_are_silent_about_what_others_do(world: World) {
    let mut socket = Socket::connect(&world.bob).await;
    let changes = world.table.api.field("Subscription", "changes", "");
    let conflicts = world.table.api.field("Subscription", "conflicts", "");
    socket.subscribe("changes", &changes).await;
    assert_eq!(socket.next().await["id"], "changes");
    socket.subscribe("conflicts", &conflicts).await;
    assert_eq!(socket.next().await["id"], "conflicts");
    for (name, root) in TYPES {
        let alien = id_of("alien", name);
        for audience in ["user:alice", "room:r", "team:left"] {
            let base = world.version(root, &alien).await.as_i64().unwrap();
            let set = json!({"audience": audience, "text": SECRET});
            let moved = json!({root: {"update": {"id": alien, "baseVersion": base, "set": set}}});
            world.done(&world.alice, vec![moved]).await;
            let late = json!({"changes": [edit(root, &alien, 1, SECRET)]});
            world.push(&world.alice, &late).await;
        }
    }
    let own = json!({"draft": {"create": {"id": "last", "document": {"text": "mine"}}}});
    world.done(&world.bob, vec![own]).await;
    world
        .done(&world.bob, vec![edit("draft", "last", 1, "mine")])
        .await;
    let late = json!({"changes": [edit("draft", "last", 1, "late")]});
    world.push(&world.bob, &late).await;
    loop {
        let message = socket.next().await;
        let text = message.to_string();
        assert!(!text.contains(SECRET), "{text}");
        let data = &message["payload"]["data"];
        for change in data["changes"]["changes"].as_array().into_iter().flatten() {
            assert_eq!(change["documentId"], "last", "{text}");
        }
        if message["id"] == "conflicts" {
            assert!(text.contains(r#""documentId":"last""#), "{text}");
            return;
        }
    }
}
