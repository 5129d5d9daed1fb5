//! The names of the generated API's types, which no type of a model has or derives.

use std::sync::Arc;

use apollo_compiler::Schema;
use tidegate_core::model::Model;

use crate::graphql::{Api, ApiOptions};

const GRANT: &str = "extend schema @grant(scope: \"user:{sub}\", access: WRITE)\n";

fn synced(name: &str) -> String {
    format!(
        "type {name} @collection(name: \"things\", singular: \"one\", plural: \"many\") @scope(by: \"public\") {{ id: ID! name: String address: Zone }}\n"
    )
}

fn embedded(name: &str) -> String {
    format!("type {name} {{ city: String }}\n")
}

fn schema(text: &str) -> Schema {
    let model = Model::parse("model.graphql", text).unwrap();
    let api = Api::new(&Arc::new(model), ApiOptions::default()).unwrap();
    Schema::parse(api.sdl(), "schema.graphql").unwrap()
}

/// The types of the API of a model with the synced type `Zebra` and the embedded type `Zone`, by name.
fn names() -> Vec<String> {
    let schema = schema(&format!("{GRANT}{}{}", synced("Zebra"), embedded("Zone")));
    schema.types.keys().map(ToString::to_string).collect()
}

#[test]
fn fields_named_as_conditions_are_joined_leave_and_or_and_not_as_they_are() {
    let model = r#"type Zebra @collection(name: "zebras") @scope(by: "public") @index(fields: ["and", "x"]) {
        id: ID! and: Int x: Int @renamed(from: "or")
    }"#;
    let schema = schema(&format!("{GRANT}{model}"));
    let conditions = schema.get_input_object("ZebraWhere").unwrap();
    let fields = conditions.fields.iter();
    let fields = fields.map(|(name, field)| format!("{name}: {}", field.ty));
    let expected = [
        "and: [ZebraWhere!]",
        "or: [ZebraWhere!]",
        "not: ZebraWhere",
        "id: IDFilter",
        "x: IntFilter",
    ];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
}

/// The suffixes and prefixes with which `names` has `of`.
fn made<'n>(names: &'n [String], of: &str) -> Vec<(&'n str, &'n str)> {
    let parts = names.iter().filter_map(|name| name.split_once(of));
    parts.filter(|parts| *parts != ("", "")).collect()
}

#[track_caller]
fn refused(text: &str, what: &str) {
    let parsed = Model::parse("model.graphql", text);
    assert!(parsed.is_err(), "{what} is taken:\n{text}");
}

#[test]
fn no_type_of_a_model_has_or_makes_a_name_of_the_fixed_api() {
    let names = names();
    let (of_synced, of_embedded) = (made(&names, "Zebra"), made(&names, "Zone"));
    assert_eq!(of_synced.len(), 10, "{of_synced:?}");
    assert_eq!(of_embedded, [("", "Input")]);
    let is_fixed = |name: &&String| !name.contains("Zebra") && !name.contains("Zone");
    let as_synced = |name: &str| format!("{GRANT}{}{}", synced(name), embedded("Zone"));
    let as_embedded = |name: &str| {
        format!(
            "{GRANT}{}{}{}",
            synced("Zebra"),
            embedded("Zone"),
            embedded(name)
        )
    };
    for fixed in names.iter().filter(is_fixed) {
        refused(&as_synced(fixed), fixed);
        refused(&as_embedded(fixed), fixed);
        let maker = |parts: &(&str, &str)| -> Option<String> {
            let maker = fixed.strip_prefix(parts.0)?.strip_suffix(parts.1)?;
            (!maker.is_empty()).then(|| maker.to_owned())
        };
        for maker in of_synced.iter().filter_map(maker) {
            refused(&as_synced(&maker), fixed);
        }
        for maker in of_embedded.iter().filter_map(maker) {
            refused(&as_embedded(&maker), fixed);
        }
    }
}

#[test]
fn no_type_of_a_model_has_a_root_field_of_the_fixed_api() {
    let text = format!("{GRANT}{}{}", synced("Zebra"), embedded("Zone"));
    let model = Model::parse("model.graphql", &text).unwrap();
    let api = Api::new(&Arc::new(model), ApiOptions::default()).unwrap();
    let schema = Schema::parse(api.sdl(), "schema.graphql").unwrap();
    for root in ["Query", "Mutation", "Subscription"] {
        for field in schema.get_object(root).unwrap().fields.keys() {
            if !matches!(field.as_str(), "one" | "many") {
                let named = text.replace("\"one\"", &format!("\"{field}\""));
                refused(&named, field);
            }
        }
    }
}
