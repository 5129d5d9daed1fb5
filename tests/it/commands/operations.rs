//! What `tidegate operations` prints: each operation passes a gateway with the default limits, or `check` says which
//! setting refuses it.

use std::{fs, path::Path};

use apollo_compiler::{ExecutableDocument, Schema, executable::OperationType};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CONFIG, assert_says, write};
use crate::{
    harness::{Client, Server, Socket, answer},
    schema::HARBOUR,
    wire::generators::NAMES,
};

/// A type with an inbox: its key in changes, a document, and two edits that do not know of each other.
struct Inbox {
    key: &'static str,
    document: Value,
    edits: [Value; 2],
}

/// Everything that is printed for a model, and a gateway that serves it.
struct Printed {
    client: Client,
    operations: String,
    names: Vec<(String, OperationType)>,
    _server: Server,
    _directory: TempDir,
}

impl Printed {
    fn of(model: &str) -> Self {
        let directory = TempDir::new().unwrap();
        write(&directory, "model.graphql", model);
        let [sdl, operations] = ["schema", "operations"].map(|it| answer(directory.path(), &[it]));
        let schema = Schema::parse_and_validate(sdl, "schema.graphql").unwrap();
        let document =
            ExecutableDocument::parse_and_validate(&schema, &operations, "operations.graphql");
        let document = document.unwrap_or_else(|error| panic!("{error}"));
        let named = document.operations.named.iter();
        let names = named
            .map(|(name, operation)| (name.to_string(), operation.operation_type))
            .collect();
        let server = Server::dev(&directory);
        Self {
            client: server.client("alice"),
            operations,
            names,
            _server: server,
            _directory: directory,
        }
    }

    fn request(&self, name: &str, variables: &Value) -> Value {
        json!({"query": self.operations, "operationName": name, "variables": variables})
    }

    /// The whole answer to a query or a mutation.
    async fn send(&self, name: &str, variables: Value) -> Value {
        let client = &self.client;
        let request = client.http.post(format!("{}/graphql", client.url));
        let request = request
            .bearer_auth(&client.token)
            .header("content-type", "application/json")
            .body(self.request(name, &variables).to_string());
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The data of an answer without errors: the first one of a subscription.
    async fn data(&self, name: &str, variables: Value) -> Value {
        let (_, kind) = self.names.iter().find(|(it, _)| it == name).unwrap();
        let mut answer = if *kind == OperationType::Subscription {
            let mut socket = Socket::connect(&self.client).await;
            let payload = self.request(name, &variables);
            let subscribe = json!({"type": "subscribe", "id": "1", "payload": payload});
            socket.send(subscribe).await;
            socket.next().await["payload"].take()
        } else {
            self.send(name, variables).await
        };
        assert!(answer.get("errors").is_none(), "{name}: {answer}");
        answer["data"].take()
    }

    async fn push(&self, change: Value) -> Value {
        let input = json!({"changes": [change]});
        let mut data = self.data("PushChanges", json!({"input": input})).await;
        data["pushChanges"]["results"][0].take()
    }

    /// Makes a conflict with the printed operations, and resolves it.
    async fn resolve_a_conflict(&self, inbox: Inbox) {
        let Inbox {
            key,
            document,
            edits: [first, second],
        } = inbox;
        let update = |set| json!({key: {"update": {"id": "a", "baseVersion": 1, "set": set}}});
        let created = json!({key: {"create": {"id": "a", "document": document}}});
        assert_eq!(self.push(created).await["status"], "APPLIED");
        assert_eq!(self.push(update(first)).await["status"], "APPLIED");
        let outcome = self.push(update(second.clone())).await;
        assert_eq!(outcome["status"], "CONFLICT", "{outcome}");
        let followed = self.data("FollowConflicts", json!({})).await;
        let listed = self.data("Conflicts", json!({"first": 10})).await;
        assert_eq!(listed, followed);
        let conflict = &listed["conflicts"]["nodes"][0];
        for (field, value) in second.as_object().unwrap() {
            assert_eq!(&conflict["mine"][field], value, "{conflict}");
        }
        let input = json!({
            "conflictId": conflict["id"],
            "baseVersion": conflict["currentVersion"],
            "resolution": {"take": "MINE"},
        });
        let resolved = self.data("ResolveConflict", json!({"input": input})).await;
        let result = &resolved["resolveConflict"]["result"];
        assert_eq!(result["status"], "APPLIED", "{result}");
        for (field, value) in second.as_object().unwrap() {
            assert_eq!(&result["document"][field], value, "{result}");
        }
    }
}

#[tokio::test]
async fn every_ready_made_operation_passes_the_gateway() {
    let article = Inbox {
        key: "article",
        document: json!({"title": "old", "text": "Words."}),
        edits: [json!({"title": "Bob's"}), json!({"title": "Alice's"})],
    };
    let page = Inbox {
        key: "page",
        document: json!({"body": 1, "class": "first"}),
        edits: [
            json!({"body": 2, "import": "self"}),
            json!({"body": 3, "import": "None"}),
        ],
    };
    let example = include_str!("../../../model.graphql");
    for (model, inbox) in [
        (example, Some(article)),
        (HARBOUR, None),
        (NAMES, Some(page)),
    ] {
        let printed = Printed::of(model);
        let has_inbox = inbox.is_some();
        if let Some(inbox) = inbox {
            printed.resolve_a_conflict(inbox).await;
        }
        let own = printed.names.iter().map(|(name, _)| name.as_str());
        let own: Vec<&str> = own.filter(|name| !name.starts_with("Get")).collect();
        assert_eq!(
            own,
            [
                "Viewer",
                "ChangesSince",
                "Changes",
                "PushChanges",
                "Conflicts",
                "FollowConflicts",
                "ResolveConflict"
            ]
        );
        for (name, _) in &printed.names {
            let variables = match name.as_str() {
                "ResolveConflict" => continue,
                "Viewer" => json!({"clientId": "phone"}),
                "PushChanges" => json!({"input": {"changes": []}}),
                _ if name.starts_with("Get") => json!({"id": "a"}),
                _ => json!({}),
            };
            printed.data(name, variables).await;
        }
        if !has_inbox {
            let resolution =
                json!({"conflictId": "x", "baseVersion": 1, "resolution": {"take": "MINE"}});
            let answer = printed
                .send("ResolveConflict", json!({"input": resolution}))
                .await;
            let code = &answer["errors"][0]["extensions"]["code"];
            assert_eq!(code, "CONFLICT_NOT_FOUND", "{answer}");
        }
        let reported = answer(printed._directory.path(), &["check"]);
        assert!(!reported.contains("ready-made"), "{reported}");
    }
}

#[test]
fn check_names_the_setting_that_refuses_a_ready_made_operation() {
    let directory = TempDir::new().unwrap();
    let within: String = (0..8).map(|at| format!("within{at}: Box\n")).collect();
    let deep = format!(
        "extend schema @grant(scope: \"all\", access: WRITE)\n\
         type Thing @collection(name: \"things\") @scope(by: \"all\") {{ id: ID! box: Box }}\n\
         type Box {{ {within} }}\n"
    );
    write(&directory, "model.graphql", &deep);
    let reported = answer(directory.path(), &["check"]);
    assert_says(
        &reported,
        &[
            "warning: the ready-made operation Conflicts is refused: the document has more than 65536 bytes (limits.query_bytes)",
        ],
    );
    assert!(
        !reported.contains("operation Viewer is refused"),
        "{reported}"
    );

    write(&directory, "model.graphql", HARBOUR);
    let configured = |limits: &str| {
        write(
            &directory,
            "tidegate.toml",
            &format!("{CONFIG}[limits]\n{limits}\n"),
        );
        answer(directory.path(), &["check"])
    };
    let reported = configured("query_aliases = 10");
    assert_says(
        &reported,
        &[
            "warning: the ready-made operation ChangesSince is refused: the operation has more than 10 aliases",
            "(limits.query_aliases)\n  hint: raise limits.query_aliases in the configuration\n",
        ],
    );
    assert!(
        !reported.contains("operation Viewer is refused"),
        "{reported}"
    );
    let reported = configured("query_nodes = 1000");
    assert_says(
        &reported,
        &["not all in one document", "(limits.query_nodes)"],
    );
}

/// The tests of `packages/client` and the client examples compile and use these modules.
#[test]
fn the_committed_modules_for_the_client_are_what_operations_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (model, module) in [
        ("model.graphql", "packages/client/test/models/example.ts"),
        ("model.graphql", "client-examples/shared/src/model.ts"),
        (
            "tests/it/models/harbour.graphql",
            "packages/client/test/models/harbour.ts",
        ),
        (
            "tests/it/models/kept.graphql",
            "packages/client/test/models/kept.ts",
        ),
        (
            "conformance/model.graphql",
            "packages/client/test/models/conformance.ts",
        ),
    ] {
        let path = root.join(module);
        let committed = fs::read_to_string(&path).unwrap();
        let printed = answer(root, &["operations", "--typescript", "--model", model]);
        assert!(
            printed == committed,
            "renew it: cargo run -- operations --typescript --model {model} > {}",
            path.display()
        );
    }
}
