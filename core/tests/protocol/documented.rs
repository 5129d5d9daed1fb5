//! Runs the tables of `docs/conflicts.md`: each has its model above it and its outcome below.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value as Json};
use tidegate_core::{
    model::Model,
    push::{PushRefusal, WebhookAnswer, WebhookDecision},
    value::json::encode_fields,
};

use crate::{
    drafts::{create, update},
    senders::{by, summaries},
    store::Store,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conflicts.md");

/// One table of the page.
struct Example<'p> {
    name: &'p str,
    model: &'p str,
    rows: BTreeMap<&'p str, Row>,
    says: &'p str,
}

struct Row {
    /// Minutes after ten, if the table names a time.
    at: Option<i64>,
    fields: Json,
}

impl<'p> Example<'p> {
    /// Reads a section that has a model and a table.
    fn read(section: &'p str) -> Option<Self> {
        let (name, rest) = section.split_once('\n')?;
        let (_, rest) = rest.split_once("```graphql\n")?;
        let (model, rest) = rest.split_once("```")?;
        let mut table = rest.lines().skip_while(|line| !line.starts_with('|'));
        let columns: Vec<&str> = cells(table.next()?).skip(1).collect();
        let rows = table.skip(1).take_while(|line| line.starts_with('|'));
        let rows = rows.map(|line| row(&columns, line)).collect();
        Some(Self {
            name,
            model,
            rows,
            says: rest,
        })
    }

    fn row(&self, name: &str) -> &Row {
        let row = self.rows.get(name);
        row.unwrap_or_else(|| panic!("{}: no row {name}", self.name))
    }

    fn carry_out(&self) {
        let grant = "extend schema @grant(scope: \"public\", access: WRITE)\n";
        let model = Model::parse("conflicts.md", &format!("{grant}{}", self.model));
        let model = model.unwrap_or_else(|mistakes| panic!("{}: {mistakes}", self.name));
        let mut store = Store::of(model);
        let (first, second) = (self.row("first edit"), self.row("second edit"));
        let mut theirs = update("t", 1, first.fields.clone()).of("Note");
        let mut mine = update("t", 1, second.fields.clone()).of("Note");
        mine = mine.seeing(self.seen(&second.fields));
        (theirs, mine) = (timed(theirs, first), timed(mine, second));
        let made = create("t", self.row("before").fields.clone()).of("Note");
        let made = store.push(&by("bob", "b").from(1), &[made, theirs]);
        assert_eq!(
            summaries(&made),
            ["APPLIED 1", "APPLIED 2"],
            "{}",
            self.name
        );
        let alice = by("alice", "phone").from(1);
        let mut answer = store.push(&alice, std::slice::from_ref(&mine));
        if let Err(PushRefusal::NeedsWebhook(questions)) = &answer {
            let fields = &self.row("the webhook answers").fields;
            let decisions = WebhookDecision {
                change: 0,
                version: Some(questions[0].current.version),
                answer: WebhookAnswer::Document(mine.of_fields(&store.model, fields.clone())),
            };
            answer = store.advised(&alice, &[mine], &[decisions]);
        }
        let outcome = answer.expect("it is answered").outcomes.remove(0);
        let status = format!("`{:?}`", outcome.status).to_uppercase();
        assert!(self.says.contains(&status), "{}: {status}", self.name);
        let kept = self.says.contains("the inbox keeps");
        assert_eq!(outcome.inbox.is_some(), kept, "{}", self.name);
        assert_eq!(left(&store), self.row("after").fields, "{}", self.name);
    }

    /// What the second edit's user saw in the fields that it touches.
    fn seen(&self, touched: &Json) -> Json {
        let touched = touched.as_object().expect("fields are an object");
        let before = &self.row("before").fields;
        let seen = touched
            .keys()
            .map(|name| (name.clone(), before[name].clone()));
        Json::Object(seen.collect())
    }
}

fn timed(draft: crate::drafts::Draft, row: &Row) -> crate::drafts::Draft {
    match row.at {
        Some(minutes) => draft.at((minutes - 60) * 60_000),
        None => draft,
    }
}

fn left(store: &Store) -> Json {
    let entry = store.living().next().expect("the note is there");
    let body = entry.body.as_ref().expect("it is alive");
    Json::Object(encode_fields(
        &store.model,
        &store.model.types[0].fields,
        body,
    ))
}

fn row<'p>(columns: &[&str], line: &'p str) -> (&'p str, Row) {
    let mut cells = cells(line);
    let name = cells.next().expect("a row has a name");
    let (name, at) = match name.split_once(", at 10:") {
        Some((name, minutes)) => (name, Some(minutes.parse().expect("minutes"))),
        None => (name, None),
    };
    let fields = columns
        .iter()
        .zip(cells)
        .filter(|(_, cell)| !cell.is_empty());
    let fields: Map<String, Json> = fields
        .map(|(column, cell)| {
            let value = serde_json::from_str(cell.trim_matches('`'));
            (
                (*column).to_owned(),
                value.unwrap_or_else(|_| panic!("{cell} is no JSON")),
            )
        })
        .collect();
    let fields = Json::Object(fields);
    (name, Row { at, fields })
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

#[test]
fn every_table_of_the_page_on_conflicts_comes_true() {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let examples: Vec<Example<'_>> = page
        .split("\n### ")
        .filter_map(|section| section.split("\n## ").next())
        .filter_map(Example::read)
        .collect();
    let names: Vec<&str> = examples.iter().map(|example| example.name).collect();
    for policy in [
        "SERVER_WINS",
        "CLIENT_WINS",
        "LAST_WRITE_WINS",
        "MERGE",
        "MANUAL",
        "WEBHOOK",
    ] {
        assert!(names.contains(&policy), "{policy} has a table");
    }
    assert!(names.len() >= 10, "{names:?}");
    examples.iter().for_each(Example::carry_out);
}
