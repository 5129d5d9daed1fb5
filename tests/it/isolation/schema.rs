//! What the schema offers: everything that an operation may name, and selections of everything that an answer may hold.
//!
//! The table decides what of it could reveal something.

use std::collections::BTreeSet;

use apollo_compiler::{Schema, schema::ExtendedType, validation::Valid};

/// Types nest in one another without end. To this depth none is entered twice.
const DEPTH: usize = 4;

/// The API of a model, as the gateway serves it.
pub(super) struct Api(Valid<Schema>);

impl Api {
    pub(super) fn parse(sdl: &str) -> Self {
        let schema = Schema::parse_and_validate(sdl, "schema.graphql");
        Self(schema.unwrap_or_else(|error| panic!("{error}")))
    }

    /// `Query.task(id)` for each argument of each root field, the field alone if it has none, and `TaskChange.create`
    /// for each choice of an input.
    pub(super) fn coordinates(&self) -> BTreeSet<String> {
        let types = self.0.types.iter();
        types
            .flat_map(|(name, definition)| match definition {
                ExtendedType::Object(_) if is_root(name) => self.arguments(name),
                ExtendedType::InputObject(input) if input.directives.has("oneOf") => {
                    let choices = input.fields.keys();
                    choices.map(|choice| format!("{name}.{choice}")).collect()
                }
                _ => Vec::new(),
            })
            .collect()
    }

    fn arguments(&self, root: &str) -> Vec<String> {
        let fields = self.0.get_object(root).unwrap().fields.values();
        fields
            .flat_map(|field| {
                let name = format!("{root}.{}", field.name);
                let arguments = field.arguments.iter();
                let named = arguments.map(|argument| format!("{name}({})", argument.name));
                let named: Vec<String> = named.collect();
                if named.is_empty() { vec![name] } else { named }
            })
            .collect()
    }

    /// A root field with all that it may answer, except times and checkpoints, which differ from answer to answer.
    pub(super) fn field(&self, root: &str, name: &str, arguments: &str) -> String {
        let field = &self.0.get_object(root).unwrap().fields[name];
        let selection = self.selection(field.ty.inner_named_type(), &mut Vec::new());
        format!("{name}{arguments} {selection}")
    }

    fn selection(&self, name: &str, above: &mut Vec<String>) -> String {
        let members = match &self.0.types[name] {
            ExtendedType::Object(_) => return self.fields(name, above),
            ExtendedType::Interface(_) | ExtendedType::Union(_) => self.members(name),
            _ => return String::new(),
        };
        let members = members.into_iter().map(|member| {
            let fields = self.fields(&member, above);
            format!("... on {member} {fields} ")
        });
        format!("{{ {}}}", members.collect::<String>())
    }

    fn members(&self, name: &str) -> BTreeSet<String> {
        match &self.0.types[name] {
            ExtendedType::Union(union) => union.members.iter().map(|one| one.to_string()).collect(),
            _ => {
                let implementers = &self.0.implementers_map()[name];
                implementers
                    .objects
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            }
        }
    }

    fn fields(&self, name: &str, above: &mut Vec<String>) -> String {
        above.push(name.to_owned());
        let object = self.0.get_object(name).unwrap();
        let mut fields = String::from("{ __typename ");
        for field in object.fields.values() {
            let inner = field.ty.inner_named_type().as_str();
            let is_above = above.iter().any(|one| one == inner);
            if ["DateTime", "Checkpoint"].contains(&inner) || (is_above && above.len() > DEPTH) {
                continue;
            }
            fields += &format!("{} {} ", field.name, self.selection(inner, above));
        }
        above.pop();
        fields + "}"
    }
}

fn is_root(name: &str) -> bool {
    ["Query", "Mutation", "Subscription"].contains(&name)
}
