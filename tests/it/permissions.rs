//! docs/permissions.md: each policy is served on both stores, and each cell of its table is tried.
//!
//! The documents are there before the rights are: a gateway with the same types and no rights lets a service write them.

mod explain;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_core::model::{default_plural, default_singular};

use crate::harness::{
    Client, Server,
    mongod::{Deployment, fresh_database},
};

/// One section of the page.
struct Policy {
    name: String,
    model: String,
    /// Memberships, each under the name of its type.
    given: Vec<Value>,
    users: Vec<(String, Value)>,
    rows: Vec<Row>,
}

/// A row of a table: a document, what an update sets, and what each user may do.
struct Row {
    type_name: String,
    document: Value,
    set: Value,
    cells: Vec<BTreeSet<String>>,
}

fn policies() -> Vec<Policy> {
    let page = fs::read_to_string("docs/permissions.md").unwrap();
    page.split("\n## ").filter_map(policy).collect()
}

fn policy(section: &str) -> Option<Policy> {
    let block = |language: &str| {
        let (_, rest) = section.split_once(&format!("```{language}\n"))?;
        rest.split_once("```").map(|(text, _)| text.to_owned())
    };
    let mut table = section.lines().filter(|line| line.starts_with('|'));
    let names = cells(table.next()?);
    let tokens = table.find(|line| line.starts_with("| token")).map(cells)?;
    let claims = tokens[1..].iter().map(|token| json_of(token));
    let given = block("json").map(|text| serde_json::from_str(&text).unwrap());
    Some(Policy {
        name: section.lines().next().unwrap().to_owned(),
        model: block("graphql")?,
        given: given.unwrap_or_default(),
        users: names[1..].iter().cloned().zip(claims).collect(),
        rows: table.map(row).collect(),
    })
}

fn cells(line: &str) -> Vec<String> {
    let cells = line.trim().trim_matches('|').split('|');
    cells.map(|cell| cell.trim().to_owned()).collect()
}

fn json_of(cell: &str) -> Value {
    serde_json::from_str(cell.trim_matches('`')).unwrap_or_else(|_| panic!("no JSON: {cell}"))
}

fn row(line: &str) -> Row {
    let cells = cells(line);
    let about = cells[0].trim_matches('`');
    let (type_name, rest) = about.split_once(' ').unwrap();
    let (document, set) = rest
        .split_once(" → ")
        .unwrap_or((rest, r#"{"text": "new"}"#));
    let words = |cell: &String| cell.split_whitespace().map(str::to_owned).collect();
    Row {
        type_name: type_name.to_owned(),
        document: json_of(document),
        set: json_of(set),
        cells: cells[1..].iter().map(words).collect(),
    }
}

impl Policy {
    /// The same types without rights, for a service that may write to every scope of its token.
    fn without_rights(&self) -> String {
        let types = self.model.find("type ").unwrap();
        let mut text = self.model[types..].to_owned();
        for directive in ["@allow(", "@owner(", "@access(", "@server("] {
            while let Some(from) = text.find(directive) {
                let to = from + text[from..].find(')').unwrap();
                text.replace_range(from..=to, "");
            }
        }
        let text = text.replace("@immutable", "");
        format!("extend schema @grant(scope: \"{{=scopes}}\", access: WRITE)\n{text}")
    }

    /// The root field that lists the documents of the type.
    fn plural(&self, type_name: &str) -> String {
        let (_, of_type) = self
            .model
            .split_once(&format!("type {type_name} "))
            .unwrap();
        let (_, collection) = of_type.split_once("@collection(name: \"").unwrap();
        default_plural(collection.split('"').next().unwrap())
    }

    /// What a client can set of a document.
    fn settable(&self, document: &Value) -> Value {
        let mut document = document.clone();
        let is_kept = |name: &str| self.model.contains(&format!("{name}: ID @server("));
        let fields = document.as_object_mut().unwrap();
        fields.retain(|name, _| !is_kept(name));
        document
    }

    /// The scope of a document of the type.
    fn scope(&self, type_name: &str, document: &Value) -> String {
        let (_, of_type) = self
            .model
            .split_once(&format!("type {type_name} "))
            .unwrap();
        let (_, template) = of_type.split_once("@scope(by: \"").unwrap();
        let mut scope = template.split('"').next().unwrap().to_owned();
        for (name, value) in document.as_object().unwrap() {
            let value = value.as_str().unwrap_or_default();
            scope = scope.replace(&format!("{{{name}}}"), value);
        }
        scope
    }

    /// Writes what is there before anybody of the table does anything: for each cell documents of its own.
    async fn seed(&self, server: &Server) {
        let mut documents: Vec<(&str, String, &Value)> = Vec::new();
        for (number, given) in self.given.iter().enumerate() {
            let (type_name, document) = given.as_object().unwrap().iter().next().unwrap();
            documents.push((type_name, format!("given-{number}"), document));
        }
        for (number, row) in self.rows.iter().enumerate() {
            for (user, _) in &self.users {
                for action in ["update", "delete"] {
                    let id = format!("{number}-{user}-{action}");
                    documents.push((&row.type_name, id, &row.document));
                }
            }
        }
        let scopes = documents.iter();
        let scopes: BTreeSet<String> = scopes.map(|(name, _, it)| self.scope(name, it)).collect();
        let service = server.client_with("service", &json!({"scopes": scopes}));
        let creates = documents.iter().map(|(type_name, id, document)| {
            json!({default_singular(type_name): {"create": {"id": id, "document": document}}})
        });
        let results = push(&service, creates.collect()).await;
        assert!(
            results.iter().all(|it| it == "APPLIED"),
            "{}: {results:?}",
            self.name
        );
    }

    async fn carry_out(&self, store: &[&str]) {
        let directory = TempDir::new().unwrap();
        let server = self.serve(directory.path(), &self.without_rights(), store);
        self.seed(&server).await;
        server.stop();
        let server = self.serve(directory.path(), &self.model, store);
        for (column, (user, claims)) in self.users.iter().enumerate() {
            let client = server.client_with(user, claims);
            for (number, row) in self.rows.iter().enumerate() {
                self.try_cell(&client, user, number, row, &row.cells[column])
                    .await;
            }
        }
    }

    fn serve(&self, directory: &Path, model: &str, store: &[&str]) -> Server {
        fs::write(directory.join("model.graphql"), model).unwrap();
        Server::dev_with(directory, store)
    }

    async fn try_cell(
        &self,
        client: &Client,
        user: &str,
        number: usize,
        row: &Row,
        may: &BTreeSet<String>,
    ) {
        let root = default_singular(&row.type_name);
        let place = format!("{}, {} {}, {user}", self.name, row.type_name, row.document);
        let mut bases = Vec::new();
        for action in ["update", "delete"] {
            let query = format!("query($id: ID!) {{ {root}(id: $id) {{ syncVersion }} }}");
            let id = format!("{number}-{user}-{action}");
            let shown = client.data(&query, json!({"id": id})).await[&root].take();
            assert_eq!(!shown.is_null(), may.contains("see"), "{place}: see");
            bases.push(shown["syncVersion"].as_i64().unwrap_or(1));
        }
        let id = |action: &str| format!("{number}-{user}-{action}");
        let plural = self.plural(&row.type_name);
        let query = format!(
            "query($ids: [ID!]!) {{ {plural}(where: {{id: {{in: $ids}}}}) {{ nodes {{ id }} totalCount {{ count }} }} }}"
        );
        let ids = [id("delete"), id("update")];
        let listed = client.data(&query, json!({"ids": ids})).await[&plural].take();
        let expected = match may.contains("see") {
            true => json!({"nodes": ids.map(|id| json!({"id": id})), "totalCount": {"count": 2}}),
            false => json!({"nodes": [], "totalCount": {"count": 0}}),
        };
        assert_eq!(listed, expected, "{place}: list");
        let changes = vec![
            json!({&root: {"create": {"id": id("create"), "document": self.settable(&row.document)}}}),
            json!({&root: {"update": {"id": id("update"), "baseVersion": bases[0], "set": row.set}}}),
            json!({&root: {"delete": {"id": id("delete"), "baseVersion": bases[1]}}}),
        ];
        let results = push(client, changes).await;
        for (action, result) in ["create", "update", "delete"].into_iter().zip(results) {
            let sees = may.contains("see") || action == "create";
            let expected = match (may.contains(action), sees) {
                (true, _) => "APPLIED",
                (false, true) => "FORBIDDEN",
                (false, false) => "NOT_FOUND",
            };
            assert_eq!(result, expected, "{place}: {action}");
        }
    }
}

/// Pushes each change by itself. Returns the status of each, or why it was rejected.
async fn push(client: &Client, changes: Vec<Value>) -> Vec<String> {
    let mutation = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code } } } }";
    let mut all = Vec::new();
    for changes in changes.chunks(100) {
        let input = json!({"input": {"changes": changes}});
        let answer = client.data(mutation, input).await;
        let results = answer["pushChanges"]["results"].as_array().unwrap();
        all.extend(results.iter().map(|result| {
            let code = result["error"]["code"].as_str();
            code.or(result["status"].as_str()).unwrap().to_owned()
        }));
    }
    all
}

#[tokio::test]
async fn every_policy_of_the_page_comes_true_on_the_embedded_store() {
    let policies = policies();
    assert_eq!(policies.len(), 12);
    for policy in policies {
        policy.carry_out(&[]).await;
    }
}

#[tokio::test]
async fn every_policy_of_the_page_comes_true_on_mongodb() {
    for policy in policies() {
        let url = Deployment::shared().await.url(&fresh_database());
        policy.carry_out(&["--store", &url]).await;
    }
}

#[tokio::test]
async fn a_token_that_fits_into_no_header_is_told_of_memberships() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let teams: Vec<String> = (0..1_700).map(|n| format!("team-{n}")).collect();
    let client = server.client_with("ann", &json!({"teams": teams}));
    assert!(client.token.len() > 16 << 10);
    let answer = client.send("{ viewer { id } }", json!({})).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(error["extensions"]["max"], 16 << 10);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("memberships") && !message.contains("expired"),
        "{message}"
    );
}
