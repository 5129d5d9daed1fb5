//! The API of a stranger's model: it is sound GraphQL and means what the model says.
//!
//! `values` tests that it carries every value exactly, and `texts` every text. Other tests show the rules of the
//! operations, on the example.

mod texts;
mod unheld;
mod values;

use std::collections::BTreeSet;

use apollo_compiler::{
    Name, Schema,
    ast::{self, Definition},
    schema::{Component, ExtendedType, FieldDefinition, InputValueDefinition},
    validation::Valid,
};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Client, Server, answer, complaint};

/// Twenty types with everything a model can say.
pub(crate) const HARBOUR: &str = include_str!("models/harbour.graphql");

/// A directory whose model is [`HARBOUR`].
pub(crate) fn harbour() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("model.graphql"), HARBOUR).unwrap();
    directory
}

fn harbour_schema() -> Valid<Schema> {
    let sdl = answer(harbour().path(), &["schema"]);
    Schema::parse_and_validate(sdl, "schema.graphql").unwrap_or_else(|error| panic!("{error}"))
}

fn fields_of(schema: &Schema, name: &str) -> Vec<String> {
    let object = schema.get_object(name).unwrap();
    object.fields.keys().map(ToString::to_string).collect()
}

#[test]
fn a_strangers_model_becomes_a_valid_schema_with_names_by_the_rules() {
    let schema = harbour_schema();
    let queries = fields_of(&schema, "Query");
    for root in [
        "changesSince",
        "viewer",
        "specimen",
        "preset",
        "vessel",
        "berth",
        "piece",
        "urlBookmark",
        "imo",
        "notice",
        "memo",
        "shift",
    ] {
        assert!(
            queries.iter().any(|query| query == root),
            "{root}: {queries:?}"
        );
    }
    for input in [
        "SyncChangeInput",
        "CargoChange",
        "URLBookmarkChange",
        "IMOChange",
    ] {
        let directives = &schema.get_input_object(input).unwrap().directives;
        assert!(directives.has("oneOf"), "{input}");
    }
    for scalar in ["DateTime", "Long", "Decimal", "Bytes", "JSON", "Checkpoint"] {
        let directives = &schema.get_scalar(scalar).unwrap().directives;
        assert!(directives.has("specifiedBy"), "{scalar}");
    }
    let changes = &schema.get_input_object("SyncChangeInput").unwrap().fields;
    let changes: Vec<_> = changes.keys().map(Name::as_str).collect();
    assert_eq!(
        changes,
        [
            "specimen",
            "preset",
            "vessel",
            "berth",
            "piece",
            "urlBookmark",
            "imo",
            "notice",
            "memo",
            "shift"
        ]
    );
}

#[test]
fn descriptions_keep_quotes_and_backslashes() {
    let schema = harbour_schema();
    let specimen = schema.get_object("Specimen").unwrap();
    let reported = specimen.description.as_ref().unwrap();
    assert!(
        reported.contains(r#"with a back\slash and a C:\new\path."#),
        "{reported}"
    );
    assert!(
        reported.ends_with(r#"Its second paragraph ends in a quote: "so""#),
        "{reported}"
    );
    let text = specimen.fields["text"].description.as_ref().unwrap();
    assert_eq!(text.as_str(), r#"Says "hello" and \ more"#);
}

#[test]
fn names_that_people_choose_stand_beside_the_generated_ones() {
    let directory = TempDir::new().unwrap();
    let model = r#"extend schema @grant(scope: "public", access: WRITE)
type Listing @collection(name: "listings") @scope(by: "public") { id: ID! state: ListingState! side: ListingSide conflict: Conflict }
enum ListingState { OPEN SOLD }
type ListingSide { name: String }
type Conflict { name: String }
"#;
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    let sdl = answer(directory.path(), &["schema"]);
    let schema = Schema::parse_and_validate(sdl, "schema.graphql");
    let schema = schema.unwrap_or_else(|error| panic!("{error}"));
    assert!(schema.get_enum("ListingState").is_some());
    assert_eq!(
        fields_of(&schema, "SyncListingState"),
        ["state", "side", "conflict"]
    );
}

/// Names that the model's author left undescribed stay so. Everything else is generated, and has a description.
#[test]
fn everything_generated_has_a_description() {
    let schema = harbour_schema();
    let own = OwnNames::of(HARBOUR);
    let mut silent = Vec::new();
    for (name, definition) in schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
        if definition.description().is_none() && !own.has(name, None) {
            silent.push(name.to_string());
        }
        for (field, described) in members(definition) {
            let base = field.split('(').next().unwrap();
            if !described && !own.has(name, Some(base)) {
                silent.push(format!("{name}.{field}"));
            }
        }
    }
    assert_eq!(silent, [""; 0]);
}

/// The names a model's author wrote.
struct OwnNames(BTreeSet<(String, Option<String>)>);

impl OwnNames {
    fn of(model: &str) -> Self {
        let document = ast::Document::parse(model, "model.graphql").unwrap();
        let mut names = BTreeSet::new();
        for definition in &document.definitions {
            let members: Vec<&Name> = match definition {
                Definition::ObjectTypeDefinition(object) => {
                    object.fields.iter().map(|field| &field.name).collect()
                }
                Definition::EnumTypeDefinition(ty) => {
                    ty.values.iter().map(|value| &value.value).collect()
                }
                _ => continue,
            };
            let name = definition.name().unwrap().to_string();
            let members = members
                .into_iter()
                .map(|member| (name.clone(), Some(member.to_string())));
            names.extend(members);
            names.insert((name, None));
        }
        Self(names)
    }

    /// Inputs, patches and states repeat the fields of their types.
    fn has(&self, type_name: &str, member: Option<&str>) -> bool {
        let member = member.map(str::to_owned);
        let plain = [
            type_name.strip_suffix("Input"),
            type_name.strip_suffix("Patch"),
            type_name
                .strip_prefix("Sync")
                .and_then(|name| name.strip_suffix("State")),
        ];
        let repeats = plain.into_iter().flatten().filter(|_| member.is_some());
        let mut names = repeats.chain([type_name]).map(str::to_owned);
        names.any(|name| self.0.contains(&(name, member.clone())))
    }
}

/// Fields, arguments and values, each with whether it is described.
fn members(definition: &ExtendedType) -> Vec<(String, bool)> {
    match definition {
        ExtendedType::Object(object) => object.fields.values().flat_map(field_members).collect(),
        ExtendedType::Interface(interface) => {
            interface.fields.values().flat_map(field_members).collect()
        }
        ExtendedType::InputObject(input) => {
            let member = |field: &Component<InputValueDefinition>| {
                (field.name.to_string(), field.description.is_some())
            };
            input.fields.values().map(member).collect()
        }
        ExtendedType::Enum(ty) => {
            let values = ty.values.values();
            values
                .map(|value| (value.value.to_string(), value.description.is_some()))
                .collect()
        }
        ExtendedType::Scalar(_) | ExtendedType::Union(_) => Vec::new(),
    }
}

fn field_members(field: &Component<FieldDefinition>) -> Vec<(String, bool)> {
    let arguments = field.arguments.iter().map(|argument| {
        (
            format!("{}({}:)", field.name, argument.name),
            argument.description.is_some(),
        )
    });
    [(field.name.to_string(), field.description.is_some())]
        .into_iter()
        .chain(arguments)
        .collect()
}

#[tokio::test]
async fn introspection_shows_what_the_sdl_says() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let query = "{ __schema { about: description types { name isOneOf specifiedByURL } } }";
    let data = client.data(query, json!({})).await;
    let schema = harbour_schema();
    let about = schema.schema_definition.description.as_ref().unwrap();
    assert!(about.starts_with("The API of a Tidegate gateway"));
    assert_eq!(data["__schema"]["about"], about.as_str());
    let types = data["__schema"]["types"].as_array().unwrap();
    for (name, definition) in schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
        let shown = types.iter().find(|shown| shown["name"] == name.as_str());
        let shown = shown.unwrap_or_else(|| panic!("{name} is not shown"));
        assert_eq!(
            shown["isOneOf"] == true,
            definition.directives().has("oneOf"),
            "{name}"
        );
        let url = definition.directives().get("specifiedBy");
        let url = url.map(|directive| {
            directive
                .argument_by_name("url", &schema)
                .unwrap()
                .as_str()
                .unwrap()
        });
        assert_eq!(shown["specifiedByURL"].as_str(), url, "{name}");
    }
}

fn client(server: &Server) -> Client {
    server.client_with("ada", &json!({"realm": {"ports": ["HAM", "RTM"]}}))
}

#[test]
fn names_that_clash_are_reported_together_each_with_its_place() {
    let directory = TempDir::new().unwrap();
    let model = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "user:{owner}") {
  id: ID!
  owner: ID!
  syncVersion: Int
  part: TaskChange
  page: PageInfo
}
type task @collection(name: "tasks") @scope(by: "user:{owner}") {
  id: ID!
  owner: ID!
}
type TaskChange { label: String }
type PageInfo { label: String }
type SyncThing { label: String }
"#;
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    for command in ["schema", "operations", "check", "dev"] {
        let complaint = complaint(directory.path(), &[command]);
        for place in ["5:3", "9:", "13:6", "14:6", "15:6"] {
            let place = format!("model.graphql:{place}");
            assert!(
                complaint.contains(&place),
                "{command}, {place}: {complaint}"
            );
        }
        let hints = complaint.matches("\n  hint: ").count();
        assert_eq!(hints, complaint.matches(": error: ").count(), "{complaint}");
    }
}
