//! Texts of the model's author for readers: descriptions and reasons of `@deprecated`, in the SDL and in introspection.
//!
//! The module above checks that everything has a description.

use std::collections::BTreeMap;

use apollo_compiler::{
    Schema,
    ast::{DirectiveList, Value as Literal},
    schema::ExtendedType,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, answer};

/// All characters with a meaning in a string or a block string of GraphQL.
const TEXT: &str = "Says \"so\", \"\"\"so\"\"\" and \\\"\"\"so\\\"\"\"; C:\\new\\u0041;\nits second line, \"\"\"\"\nand a third: \\";

const MODEL: &str = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
TEXT
type Task @collection(name: "tasks") @scope(by: "user:{owner}") {
  TEXT id: ID!
  owner: ID! @deprecated(reason: TEXT)
  TEXT title: String @deprecated(reason: TEXT)
  count: Int! @default(value: 0) @deprecated(reason: TEXT)
  part: Part
  TEXT parent: Task @reference(by: "owner") @deprecated(reason: TEXT)
}
TEXT
type Part { TEXT kind: Kind @deprecated(reason: TEXT) }
TEXT
enum Kind { TEXT OLD @deprecated(reason: TEXT) NEW }
"#;

/// A description, and a reason.
type Texts = (Option<String>, Option<String>);

fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    // JSON escapes as GraphQL does.
    let model = MODEL.replace("TEXT", &serde_json::to_string(TEXT).unwrap());
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    directory
}

#[tokio::test]
async fn texts_stand_in_the_sdl_and_in_introspection_as_they_were_written() {
    let directory = directory();
    let sdl = texts_of_sdl(&answer(directory.path(), &["schema"]));
    let server = Server::dev(&directory);
    let query = "{ __schema { types { name description
        fields(includeDeprecated: true) { name description deprecationReason }
        inputFields(includeDeprecated: true) { name description deprecationReason }
        enumValues(includeDeprecated: true) { name description deprecationReason } } } }";
    let shown = server.client("alice").data(query, json!({})).await;
    let shown = texts_of_introspection(&shown["__schema"]["types"]);
    let text = || Some(TEXT.to_owned());
    for (name, described, deprecated) in [
        ("Task", true, false),
        ("Task.id", true, false),
        ("TaskCreate.id", true, false),
        ("TaskUpdate.id", true, false),
        ("Task.owner", false, true),
        ("Task.title", true, true),
        ("Task.parent", true, true),
        ("Part", true, false),
        ("Part.kind", true, true),
        ("Kind", true, false),
        ("Kind.OLD", true, true),
        ("Kind.NEW", false, false),
        ("PartInput", true, false),
        ("PartInput.kind", true, true),
        ("TaskInput.title", true, true),
        ("TaskInput.count", false, true),
        // A required argument cannot be deprecated.
        ("TaskInput.owner", false, false),
        ("TaskPatch.owner", false, true),
        ("TaskPatch.title", true, true),
        ("SyncTaskState.title", true, true),
    ] {
        for texts in [&sdl, &shown] {
            let (description, reason) = &texts[name];
            if described {
                assert_eq!(*description, text(), "{name}");
            }
            assert_eq!(*reason, text().filter(|_| deprecated), "{name}");
        }
    }
}

fn texts_of_sdl(sdl: &str) -> BTreeMap<String, Texts> {
    let schema = Schema::parse_and_validate(sdl, "schema.graphql");
    let schema = schema.unwrap_or_else(|error| panic!("{error}\n{sdl}"));
    let mut texts = BTreeMap::new();
    for (name, definition) in &schema.types {
        let description = definition.description().map(ToString::to_string);
        texts.insert(name.to_string(), (description, None));
        let mut member = |member: &str, description: Option<&str>, directives: &DirectiveList| {
            let reason = directives
                .get("deprecated")
                .and_then(|deprecated| deprecated.specified_argument_by_name("reason"))
                .and_then(|reason| Literal::as_str(reason));
            let reported = (description.map(str::to_owned), reason.map(str::to_owned));
            texts.insert(format!("{name}.{member}"), reported);
        };
        match definition {
            ExtendedType::Object(object) => object.fields.values().for_each(|field| {
                member(&field.name, field.description.as_deref(), &field.directives);
            }),
            ExtendedType::InputObject(input) => input.fields.values().for_each(|field| {
                member(&field.name, field.description.as_deref(), &field.directives);
            }),
            ExtendedType::Enum(values) => values.values.values().for_each(|value| {
                member(
                    &value.value,
                    value.description.as_deref(),
                    &value.directives,
                );
            }),
            _ => {}
        }
    }
    texts
}

fn texts_of_introspection(types: &Value) -> BTreeMap<String, Texts> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut texts = BTreeMap::new();
    for shown in types.as_array().unwrap() {
        let name = shown["name"].as_str().unwrap();
        texts.insert(name.to_owned(), (text(&shown["description"]), None));
        for members in ["fields", "inputFields", "enumValues"] {
            for member in shown[members].as_array().into_iter().flatten() {
                let reported = (
                    text(&member["description"]),
                    text(&member["deprecationReason"]),
                );
                texts.insert(
                    format!("{name}.{}", member["name"].as_str().unwrap()),
                    reported,
                );
            }
        }
    }
    texts
}
