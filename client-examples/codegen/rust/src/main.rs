//! Creates a task by generated types, and reads it back. GATEWAY and TOKEN say where, and as whom. The argument is its id.

use std::{env, error::Error};

use graphql_client::{GraphQLQuery, QueryBody, Response};
use serde::{Serialize, de::DeserializeOwned};

use self::push_changes::{
    Priority, PushChangesInput, SyncChangeInput, TaskChange, TaskCreate, TaskInput,
};

// The scalars of the schema, by its names.
type Checkpoint = String;
type DateTime = String;
#[expect(clippy::upper_case_acronyms, reason = "the schema calls it so")]
type JSON = serde_json::Value;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "schema.graphql",
    query_path = "../operations.graphql",
    response_derives = "Debug",
    skip_serializing_none
)]
struct PushChanges;

#[derive(GraphQLQuery)]
#[graphql(
    schema_path = "schema.graphql",
    query_path = "../operations.graphql",
    response_derives = "Debug",
    skip_serializing_none
)]
struct ChangesSince;

fn main() -> Result<(), Box<dyn Error>> {
    let id = env::args().nth(1).ok_or("the id of a task is missing")?;
    // `@oneOf` is an enum: a change is about one document.
    let change = SyncChangeInput::Task(TaskChange::Create(TaskCreate {
        id: id.clone(),
        document: document("Made by Rust"),
        base_version: None,
        changed_at: None,
    }));
    let input = PushChangesInput {
        changes: vec![change],
        client: None,
        atomic: false,
        policy: None,
        epoch: None,
    };
    let pushed =
        run::<_, push_changes::ResponseData>(PushChanges::build_query(push_changes::Variables {
            input,
        }))?;
    let page = run::<_, changes_since::ResponseData>(ChangesSince::build_query(
        changes_since::Variables {
            checkpoint: None,
            types: None,
            limit: None,
            refresh: None,
        },
    ))?;
    let found = page
        .changes_since
        .changes
        .iter()
        .any(|it| it.document_id == id);
    println!("{:?}: {found}", pushed.push_changes.results[0].status);
    Ok(())
}

/// A field that is required must be given here, also if it has a default.
fn document(title: &str) -> TaskInput {
    TaskInput {
        title: title.to_owned(),
        audience: Some("team:demo".to_owned()),
        notes: None,
        done: false,
        priority: Priority::NORMAL,
        labels: Vec::new(),
        minutes_spent: 0,
        due: None,
        project_id: None,
    }
}

fn run<Variables: Serialize, Data: DeserializeOwned>(
    query: QueryBody<Variables>,
) -> Result<Data, Box<dyn Error>> {
    let gateway = env::var("GATEWAY").unwrap_or_else(|_| "http://127.0.0.1:4000".to_owned());
    let mut answer = ureq::post(format!("{gateway}/graphql"))
        .header("Authorization", format!("Bearer {}", env::var("TOKEN")?))
        .send_json(query)?;
    let Response { data, errors, .. } = answer.body_mut().read_json::<Response<Data>>()?;
    data.filter(|_| errors.is_none())
        .ok_or_else(|| format!("{errors:?}").into())
}
