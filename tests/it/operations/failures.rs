//! The table of failures: each one is made to happen to a real gateway, and its operator sees what the table says.
//!
//! `store` has those of MongoDB, `load` those under load, and `others` the rest.

mod load;
mod others;
mod store;

use serde_json::{Value, json};

use super::section;
use crate::harness::{Client, create, push_query};

/// A row of the table.
struct Failure(String);

impl Failure {
    fn named(name: &str) -> Self {
        let table = section("What goes wrong");
        let begin = format!("| **{name}**");
        let row = table.lines().find(|line| line.starts_with(&begin));
        Self(row.unwrap_or_else(|| panic!("no row {name}")).to_owned())
    }

    /// A sign that the table names. The test then looks for it.
    fn says<'t>(&self, sign: &'t str) -> &'t str {
        assert!(self.0.contains(sign), "{sign:?} is not in {}", self.0);
        sign
    }

    /// A series of a metric that the table names, with these labels.
    fn series(&self, metric: &str, labels: &str) -> String {
        self.says(metric);
        match labels {
            "" => metric.to_owned(),
            labels => format!("{metric}{{{labels}}}"),
        }
    }
}

fn task(id: &str) -> Value {
    create(id, json!({"title": "Stay", "audience": "team:demo"}))
}

/// Pushes a task. Returns the code and the message of the failure.
async fn refused(client: &Client, id: &str) -> (String, String) {
    let input = json!({"input": {"changes": [task(id)]}});
    failure(&client.send(&push_query(), input).await)
}

async fn refused_pull(client: &Client) -> (String, String) {
    let query = "{ changesSince { checkpoint } }";
    failure(&client.send(query, json!({})).await)
}

fn failure(answer: &Value) -> (String, String) {
    let error = &answer["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = text(&error["extensions"]["code"]);
    assert_ne!(code, "", "no failure: {answer}");
    (code, text(&error["message"]))
}
