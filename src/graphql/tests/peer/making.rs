//! Makes a world: pushes give its documents their versions and its inbox a conflict. Then the stage is set, which shows
//! random documents in their places, and graphql-js gets the shown documents.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    id::DocumentKey,
    model::{DocumentType, Model},
    value::Document,
};

use super::{
    documents::Draw,
    fixture::{Root, TestWorld},
    staged::Stage,
};
use crate::{fixtures, graphql::request::tests::peer::tape::Tape};

/// All documents that can be created, and the ids in their references.
const IDS: [&str; 5] = ["a", "b", "c", "p", "none"];
const TASK: &str = r#"team: "1", title: "t", place: {name: "n"}, exact: "1.5""#;
const PROJECT: &str = r#"team: "1", title: "t", size: {width: 2}"#;

/// Pushes that create the documents, delete one and change one. The stale push of [`AGAIN`] follows.
const PUSHES: [&str; 2] = [
    r#"[{task: {create: {id: "a", document: {TASK}}}}, {task: {create: {id: "b", document: {TASK}}}},
        {task: {create: {id: "c", document: {TASK}}}}, {project: {create: {id: "p", document: {PROJECT}}}},
        {project: {create: {id: "q", document: {PROJECT}}}}, {note: {create: {id: "n", document: {team: "1"}}}}]"#,
    r#"[{task: {update: {id: "a", baseVersion: 1, set: {title: "u", notes: "v"}}}},
        {task: {delete: {id: "c", baseVersion: 1}}}, {project: {update: {id: "p", baseVersion: 1, set: {title: "u"}}}}]"#,
];

/// A push that has been answered and is answered again: a conflict, applied changes, and rejected ones.
pub(super) const AGAIN: &str = r#"input: {client: {id: "phone", firstMutationId: 1}, epoch: "e1", changes: [
  {task: {update: {id: "a", baseVersion: 1, set: {title: "w", notes: null}, base: {title: "t"}}}},
  {task: {update: {id: "b", baseVersion: 1, set: {moods: [HIGH, null]}}}},
  {project: {update: {id: "p", baseVersion: 1, set: {title: "w", name: "x"}}}},
  {task: {delete: {id: "none", baseVersion: 1}}}]}"#;

/// A world in the making.
pub(super) struct Making {
    world: TestWorld,
    stage: Arc<Stage>,
    /// The documents as they are shown, by type and id.
    documents: BTreeMap<String, Json>,
    /// The documents as the store holds them, which a push shows.
    held: BTreeMap<String, Json>,
    sides: BTreeMap<String, [Json; 3]>,
}

const PAGE: &str = "{ changes { type documentId kind version scope changedAt }
    checkpoint hasMore reset revokedScopes digests { scope digest } epoch serverTime }";
const INBOX: &str = "{ nodes { id type documentId openedAt openedBy currentVersion fields }
    edges { cursor } pageInfo { hasNextPage endCursor } }";
const VIEWER: &str =
    "{ id readScopes writeScopes roles declinedGivers lastMutationId serverTime epoch
  importing { type done total held }
  memberships { nodes { scope role giver since counts } pageInfo { hasNextPage endCursor } } }";
const PAYLOAD: &str = "{ results { type documentId mutationId status duplicate version
    conflict { conflictId fields { field base mine theirs result taken rule } } error { code message field } }
    lastMutationId serverTime }";
const SYNC: &str = "id syncVersion syncScope syncChangedAt";
const SIZE: &str = "{ width height unit }";

impl Making {
    pub(super) fn new(model: &Arc<Model>, tape: &mut Tape) -> Self {
        let Drawn {
            stage,
            documents,
            sides,
        } = drawn(model, tape);
        let stage = Arc::new(stage);
        let mut making = Self {
            world: TestWorld::serve(model, Arc::clone(&stage)),
            stage,
            documents,
            held: BTreeMap::new(),
            sides,
        };
        making.push_all();
        making.name_documents(model);
        making.stage.is_set.store(true, Ordering::Relaxed);
        making
    }

    /// The world, with what graphql-js gets.
    pub(super) fn reported(mut self) -> TestWorld {
        let roots: Map<String, Json> = self
            .world
            .roots()
            .iter()
            .map(|root| (root.key(), self.answer(root)))
            .collect();
        self.world.reported = json!({
            "sdl": self.world.api.sdl(),
            "roots": roots,
            "documents": self.documents,
            "isDown": self.stage.is_down,
        });
        self.world
    }

    fn push_all(&self) {
        for changes in PUSHES {
            let changes = changes.replace("{TASK}", &format!("{{{TASK}}}"));
            let changes = changes.replace("{PROJECT}", &format!("{{{PROJECT}}}"));
            self.push(&format!("input: {{changes: {changes}}}"));
        }
        self.push(AGAIN);
    }

    fn push(&self, arguments: &str) {
        let query = format!(
            "mutation {{ pushChanges({arguments}) {{ results {{ status error {{ message }} }} }} }}"
        );
        self.world.data(query).expect("a push is answered");
    }

    /// Adds what only the store knows of the documents, and reads those that are pushed again.
    fn name_documents(&mut self, model: &Model) {
        for (place, shown) in &mut self.documents {
            let (type_name, id) = place.split_once('/').unwrap();
            let root = &model.document_type(type_name).unwrap().singular;
            let found = self
                .world
                .data(format!("{{ {root}(id: \"{id}\") {{ {SYNC} }} }}"));
            let found = found.expect("the store answers")[root].take();
            shown
                .as_object_mut()
                .unwrap()
                .extend(found.as_object().unwrap().clone());
        }
        let place = format!("{{ name size {SIZE} inside {{ name }} tags }}");
        let line = format!("{{ text amount place {place} sizes {SIZE} }}");
        let task = format!(
            "{SYNC} __typename team title notes priority priorities moods place {place} size {SIZE} lines {line}
            maybe {line} grid loose rows {line} count flag due big exact bytes any parentId projectId"
        );
        let project = format!("{SYNC} __typename team name title lines {line} size {SIZE} leadId");
        for (place, query) in [
            ("Task/a", format!("{{ d: task(id: \"a\") {{ {task} }} }}")),
            ("Task/b", format!("{{ d: task(id: \"b\") {{ {task} }} }}")),
            (
                "Project/p",
                format!("{{ d: project(id: \"p\") {{ {project} }} }}"),
            ),
        ] {
            let held = self.world.data(query).expect("the store answers")["d"].take();
            self.held.insert(place.to_owned(), held);
        }
    }

    /// The answer to a root field: its plain fields from the API itself, and documents as they were drawn.
    fn answer(&self, root: &Root) -> Json {
        let selection = match root.field {
            "task" | "project" | "note" => return reference(root),
            "changesSince" | "changes" => PAGE,
            "conflicts" => INBOX,
            "viewer" => VIEWER,
            "pushChanges" => PAYLOAD,
            _ => "{ result { type } }",
        };
        let query = format!("{} {{ {} {selection} }}", root.keyword(), root.text());
        let Some(mut data) = self.world.data(query) else {
            return json!({"$fails": true});
        };
        let mut answer = data[root.field].take();
        for change in answer["changes"].as_array_mut().into_iter().flatten() {
            let is_alive = change["kind"] == "UPSERT";
            let document = is_alive.then(|| self.documents[&place(change)].clone());
            change["document"] = document.unwrap_or_default();
        }
        for result in answer["results"].as_array_mut().into_iter().flatten() {
            result["document"] = self.held.get(&place(result)).cloned().unwrap_or_default();
        }
        for conflict in answer["nodes"].as_array_mut().into_iter().flatten() {
            let [base, mine, theirs] = &self.sides[&place(conflict)];
            conflict["base"] = base.clone();
            conflict["mine"] = mine.clone();
            conflict["theirs"] = theirs.clone();
            conflict["current"] = self.documents[&place(conflict)].clone();
        }
        let nodes = answer["nodes"].clone();
        for (at, edge) in answer["edges"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .enumerate()
        {
            edge["node"] = nodes[at].clone();
        }
        answer
    }
}

fn place(node: &Json) -> String {
    format!(
        "{}/{}",
        node["type"].as_str().unwrap(),
        node["documentId"].as_str().unwrap()
    )
}

fn reference(root: &Root) -> Json {
    let id = root.arguments.trim_start_matches("id: ").trim_matches('"');
    let name = root.field[..1].to_uppercase() + &root.field[1..];
    match id {
        "" => Json::Null,
        id => json!({"$reference": format!("{name}/{id}")}),
    }
}
/// Random documents and sides of conflicts, for the store and for graphql-js.
struct Drawn {
    stage: Stage,
    documents: BTreeMap<String, Json>,
    sides: BTreeMap<String, [Json; 3]>,
}

fn drawn(model: &Model, tape: &mut Tape) -> Drawn {
    let is_down = tape.one_in(4);
    let mut draw = Draw {
        model,
        tape,
        ids: &IDS,
    };
    let (mut bodies, mut documents) = (HashMap::new(), BTreeMap::new());
    let (mut of_store, mut of_peer) = (HashMap::new(), BTreeMap::new());
    for (type_name, id) in [
        ("Task", "a"),
        ("Task", "b"),
        ("Project", "p"),
        ("Project", "q"),
        ("Note", "n"),
    ] {
        let document_type = model.document_type(type_name).unwrap();
        let (body, shown) = draw.fields(&document_type.fields, true);
        bodies.insert(key(document_type, id), body);
        documents.insert(format!("{type_name}/{id}"), referring(document_type, shown));
        let [base, mine, theirs] = [(); 3].map(|()| draw.fields(&document_type.fields, false));
        let state = |shown: Map<String, Json>| {
            with(shown, "__typename", json!(format!("Sync{type_name}State")))
        };
        let sides: [Document; 3] = [base.0, mine.0, theirs.0];
        of_store.insert(key(document_type, id), sides);
        of_peer.insert(
            format!("{type_name}/{id}"),
            [state(base.1), state(mine.1), state(theirs.1)],
        );
    }
    let stage = Stage {
        bodies,
        sides: of_store,
        is_down,
        ..Stage::default()
    };
    Drawn {
        stage,
        documents,
        sides: of_peer,
    }
}

fn key(document_type: &DocumentType, id: &str) -> DocumentKey {
    fixtures::key(document_type.name.as_str(), id)
}

fn with(mut fields: Map<String, Json>, name: &str, value: Json) -> Json {
    fields.insert(name.to_owned(), value);
    Json::Object(fields)
}

/// Adds what graphql-js needs to know of its type and its references.
fn referring(document_type: &DocumentType, mut shown: Map<String, Json>) -> Json {
    for reference in &document_type.references {
        let id = shown[&reference.by].as_str();
        let load = id.map(|id| json!({"$reference": format!("{}/{id}", reference.target)}));
        shown.insert(reference.name.clone(), load.unwrap_or_default());
    }
    with(shown, "__typename", json!(document_type.name.as_str()))
}
