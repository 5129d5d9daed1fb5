//! The table: everything that an operation may name, and the operations that name it. A new root field, argument or
//! kind of change needs a row here.
//!
//! The parent decides what the answers must be.

use serde_json::{Value, json};

use super::schema::Api;

/// Marks the place of an id in an operation.
const ID: &str = "#id";

/// The types of the model, and the roots of their documents.
pub(super) const TYPES: [(&str, &str); 5] = [
    ("Task", "task"),
    ("Folder", "folder"),
    ("Draft", "draft"),
    ("Vessel", "vessel"),
    ("Seat", "seat"),
];

/// The roots of their lists.
pub(super) const LISTS: [&str; 5] = ["tasks", "folders", "drafts", "vessels", "seats"];

/// Arguments that name nothing of a user's: bounds, and words of the schema.
pub(super) const NAMELESS: [&str; 19] = [
    "Query.changesSince(types)",
    "Query.changesSince(limit)",
    "Query.changesSince(refresh)",
    "Query.conflicts(first)",
    "Subscription.changes(types)",
    "Subscription.changes(limit)",
    "Subscription.changes(refresh)",
    "Subscription.changes(from)",
    "Subscription.conflicts(first)",
    "Query.tasks(orderBy)",
    "Query.tasks(first)",
    "Query.folders(orderBy)",
    "Query.folders(first)",
    "Query.drafts(orderBy)",
    "Query.drafts(first)",
    "Query.vessels(orderBy)",
    "Query.vessels(first)",
    "Query.seats(orderBy)",
    "Query.seats(first)",
];

/// An operation that is tried with many ids.
pub(super) struct Probe {
    /// The parts of the schema that it tries, such as `Query.task(id)`.
    pub(super) tries: Vec<String>,
    pub(super) query: String,
    variables: Value,
    /// It would delete the caller's own document, which other rows still need.
    pub(super) is_final: bool,
}

impl Probe {
    /// The operation's variables for this id.
    pub(super) fn variables(&self, id: &str) -> Value {
        let variables = self.variables.to_string().replace(ID, id);
        serde_json::from_str(&variables).unwrap()
    }
}

fn probe(tries: &[&str], query: String, variables: Value) -> Probe {
    let tries = tries.iter().map(|one| (*one).to_owned()).collect();
    Probe {
        tries,
        query,
        variables,
        is_final: false,
    }
}

/// Makes the rows.
pub(super) struct Table {
    pub(super) api: Api,
    pub(super) epoch: String,
}

impl Table {
    /// Reads, and writes that need a document. Those that delete the caller's own come last.
    pub(super) fn of_documents(&self, name: &str, root: &str) -> Vec<Probe> {
        let change = |kind: &str, action: Value| json!({root: {kind: action}});
        let updates = [-1, 0, 1, 2, 9].into_iter().flat_map(|base| {
            edits().map(|mut edit| {
                edit["id"] = json!(ID);
                edit["baseVersion"] = json!(base);
                change("update", edit)
            })
        });
        let deletes =
            [9, -1, 0, 1, 2].map(|base| change("delete", json!({"id": ID, "baseVersion": base})));
        let updates = self.pushes(&format!("{name}Change.update"), root, updates.collect());
        let deletes = self.pushes(&format!("{name}Change.delete"), root, deletes.into());
        let get = self.get(root, ID);
        [get].into_iter().chain(updates).chain(deletes).collect()
    }

    /// Changes alone, in one push with others, by a policy of the client's, and under mutation ids.
    fn pushes(&self, tries: &str, root: &str, changes: Vec<Value>) -> Vec<Probe> {
        let other = json!({"task": {"delete": {"id": "nothing", "baseVersion": 1}}});
        let client = json!({"id": format!("{tries} {ID}"), "firstMutationId": 1});
        let choice = format!("SyncChangeInput.{root}");
        let with_other = [vec![other], changes.clone()].concat();
        let mut inputs = vec![
            json!({"changes": with_other, "atomic": true}),
            json!({"changes": changes, "client": client, "epoch": self.epoch}),
            json!({"changes": changes}),
        ];
        // The one type whose policy clients may choose.
        if root == "task" {
            inputs.push(json!({"changes": changes, "policy": "CLIENT_WINS"}));
        }
        let tries = ["Mutation.pushChanges(input)", tries, &choice];
        let inputs = inputs.into_iter();
        inputs.map(|input| self.push(&tries, input)).collect()
    }

    /// Creates that have no effect, whatever has the id.
    pub(super) fn of_vain_creates(&self, name: &str, root: &str) -> Probe {
        let documents = [
            json!({"text": "x".repeat(41)}),
            json!({"text": "mine", "audience": "user:eve"}),
            json!({"text": "mine", "audience": ""}),
        ];
        let create = |document| json!({root: {"create": {"id": ID, "document": document}}});
        let tries = format!("{name}Change.create");
        self.push(&[&tries], json!({"changes": documents.map(create)}))
    }

    /// Creates of an id that others have: the one thing that reveals it.
    pub(super) fn of_creates(&self, name: &str, root: &str) -> Probe {
        let create = |base| json!({root: {"create": {"id": ID, "document": {"text": "mine"}, "baseVersion": base}}});
        let bases = [json!(null), json!(-1), json!(0), json!(1), json!(2)];
        let tries = format!("{name}Change.create");
        self.push(&[&tries], json!({"changes": bases.map(create)}))
    }

    /// The caller's own documents that refer to a folder, directly or through another one.
    pub(super) fn of_references(&self) -> Vec<Probe> {
        let [to, inner, through] = ["to", "in", "through"].map(|how| format!("{how}-{ID}"));
        let folder = json!({"text": "mine", "parentId": ID});
        let folder = json!({"folder": {"create": {"id": inner, "document": folder}}});
        let task = |id: &str, folder: &str| {
            let document = json!({"text": "mine", "folderId": folder});
            json!({"task": {"create": {"id": id, "document": document}}})
        };
        let refer = |base: i64, folder: Value| {
            let set = json!({"folderId": folder});
            json!({"task": {"update": {"id": to, "baseVersion": base, "set": set}}})
        };
        let changes = json!([folder, task(&to, ID), task(&through, &inner)]);
        let again = json!([refer(1, Value::Null), refer(2, json!(ID))]);
        vec![
            self.push(&["SyncChangeInput.task"], json!({"changes": changes})),
            self.get("task", &to),
            self.get("task", &through),
            self.get("folder", &inner),
            self.push(&["SyncChangeInput.task"], json!({"changes": again})),
        ]
    }

    /// Resolutions of a conflict of a document at version 2.
    pub(super) fn of_conflicts(&self) -> Vec<Probe> {
        let edits = TYPES.map(|(_, root)| json!({root: {"text": "mine"}}));
        let wholes = [
            json!({"take": "THEIRS"}),
            json!({"take": "MINE"}),
            json!({"delete": true}),
        ];
        let resolutions = edits.into_iter().chain(wholes);
        let based = resolutions.flat_map(|one| [9, 0, 1, 2].map(|base| (one.clone(), base)));
        based
            .map(|(resolution, base)| Probe {
                is_final: base == 2,
                ..self.resolve(&resolution, base)
            })
            .collect()
    }

    fn resolve(&self, resolution: &Value, base: i64) -> Probe {
        let resolve = self
            .api
            .field("Mutation", "resolveConflict", "(input: $input)");
        let query = format!("mutation($input: ResolveConflictInput!) {{ {resolve} }}");
        let input = json!({"conflictId": ID, "baseVersion": base, "resolution": resolution});
        let choice = resolution.as_object().unwrap().keys().next().unwrap();
        let tries = [
            "Mutation.resolveConflict(input)",
            &format!("SyncResolution.{choice}"),
        ];
        probe(&tries, query, json!({"input": input}))
    }

    /// Queries about a client, and pushes of one with the same id.
    pub(super) fn of_clients(&self) -> Vec<Probe> {
        let viewer = self.api.field("Query", "viewer", "(clientId: $id)");
        let viewer = format!("query($id: ID) {{ {viewer} }}");
        let change = json!({"task": {"delete": {"id": "nothing", "baseVersion": 1}}});
        let numbered = |first: i64| {
            let client = json!({"id": ID, "firstMutationId": first});
            let input = json!({"changes": [change], "client": client, "epoch": self.epoch});
            self.push(&["Mutation.pushChanges(input)"], input)
        };
        let viewer = probe(&["Query.viewer(clientId)"], viewer, json!({"id": ID}));
        vec![viewer, numbered(2), numbered(7), numbered(1)]
    }

    /// Declining what a user gives, and accepting it again.
    pub(super) fn of_givers(&self) -> Probe {
        let decline = |name: &str, decline: bool| {
            let input = format!("(input: {{givers: [$id], decline: {decline}}})");
            let field = self.api.field("Mutation", "declineMemberships", &input);
            format!("{name}: {field}")
        };
        let (decline, accept) = (decline("a", true), decline("b", false));
        let query = format!("mutation($id: ID!) {{ {decline} {accept} }}");
        let tries = ["Mutation.declineMemberships(input)"];
        probe(&tries, query, json!({"id": ID}))
    }

    /// Lists of all types by a document's id.
    pub(super) fn of_lists(&self) -> Vec<Probe> {
        let by_id = LISTS.iter().map(|root| {
            let arguments = "(where: {id: {in: [$id]}})";
            let list = self.api.field("Query", root, arguments);
            let query = format!("query($id: ID!) {{ {list} }}");
            probe(&[&format!("Query.{root}(where)")], query, json!({"id": ID}))
        });
        by_id.collect()
    }

    /// Lists of a type in a scope.
    pub(super) fn of_scopes(&self, root: &str) -> Probe {
        let list = self.api.field("Query", root, "(scope: $scope)");
        let query = format!("query($scope: ID!) {{ {list} }}");
        probe(
            &[&format!("Query.{root}(scope)")],
            query,
            json!({"scope": ID}),
        )
    }

    /// A list after a cursor.
    pub(super) fn of_list_cursors(&self, root: &str) -> Probe {
        let list = self.api.field("Query", root, "(after: $after)");
        let query = format!("query($after: String) {{ {list} }}");
        probe(
            &[&format!("Query.{root}(after)")],
            query,
            json!({"after": ID}),
        )
    }

    /// A page of the inbox after a cursor.
    pub(super) fn of_cursors(&self) -> Probe {
        let conflicts = self.api.field("Query", "conflicts", "(after: $after)");
        let query = format!("query($after: String) {{ {conflicts} }}");
        probe(&["Query.conflicts(after)"], query, json!({"after": ID}))
    }

    /// A page after a checkpoint.
    pub(super) fn of_checkpoints(&self) -> Probe {
        let tries = "Query.changesSince(checkpoint)";
        let page = self.api.field("Query", "changesSince", "(checkpoint: $at)");
        let query = format!("query($at: Checkpoint) {{ {page} }}");
        probe(&[tries], query, json!({"at": ID}))
    }

    /// The same as a subscription.
    pub(super) fn of_live_checkpoints(&self) -> Probe {
        let tries = "Subscription.changes(checkpoint)";
        let page = self
            .api
            .field("Subscription", "changes", "(checkpoint: $at)");
        let query = format!("subscription($at: Checkpoint) {{ {page} }}");
        probe(&[tries], query, json!({"at": ID}))
    }

    /// A page after this checkpoint that reads a scope again.
    pub(super) fn of_rereads(&self, checkpoint: &str) -> Probe {
        let tries = "Query.changesSince(reread)";
        let arguments = "(checkpoint: $at, reread: [$scope])";
        let page = self.api.field("Query", "changesSince", arguments);
        let query = format!("query($at: Checkpoint, $scope: ID!) {{ {page} }}");
        probe(&[tries], query, json!({"at": checkpoint, "scope": ID}))
    }

    /// The same as a subscription.
    pub(super) fn of_live_rereads(&self, checkpoint: &str) -> Probe {
        let tries = "Subscription.changes(reread)";
        let arguments = "(checkpoint: $at, reread: [$scope])";
        let page = self.api.field("Subscription", "changes", arguments);
        let query = format!("subscription($at: Checkpoint, $scope: ID!) {{ {page} }}");
        probe(&[tries], query, json!({"at": checkpoint, "scope": ID}))
    }

    fn get(&self, root: &str, id: &str) -> Probe {
        let get = self.api.field("Query", root, "(id: $id)");
        let query = format!("query($id: ID!) {{ {get} }}");
        probe(&[&format!("Query.{root}(id)")], query, json!({"id": id}))
    }

    fn push(&self, tries: &[&str], input: Value) -> Probe {
        let push = self.api.field("Mutation", "pushChanges", "(input: $input)");
        let query = format!("mutation($input: PushChangesInput!) {{ {push} }}");
        probe(tries, query, json!({"input": input}))
    }
}

/// Edits that would be applied, and edits that no document accepts.
fn edits() -> [Value; 6] {
    [
        json!({"set": {"text": "mine"}}),
        json!({"set": {"text": "mine"}, "base": {"text": "seen"}, "changedAt": "2001-01-01T00:00:00Z"}),
        json!({"set": {"audience": "user:bob"}}),
        json!({"set": {"audience": "user:eve"}}),
        json!({"set": {"text": "x".repeat(41)}}),
        json!({"set": {}}),
    ]
}
