//! Answers an operation's selection by one function for all fields. It knows no defaults and validates nothing, so that
//! the arguments of a field are the work of validation alone.

use apollo_compiler::{
    Schema,
    schema::{FieldDefinition, Type},
};
use serde_json::{Map, Value as Json, json};

use super::super::{
    ArgumentValues, OperationArguments, SelectedField, SubSelection, ValidatedRequest,
};

/// A field that is answered.
pub(super) struct FieldResult<'r> {
    /// For example `Query.task`.
    pub(super) coordinate: String,
    /// Its path in the answer.
    pub(super) path: &'r str,
    pub(super) ty: &'r Type,
    pub(super) arguments: Json,
}

/// What a field is answered with.
pub(super) enum ExecutionResult {
    Leaf(Json),
    /// An object of this type.
    Object(String),
    List(Vec<ExecutionResult>),
}

/// Answers an operation, except for its questions about the schema itself; a subscription with one event.
pub(super) fn answer(
    schema: &Schema,
    validated: &ValidatedRequest,
    resolve: &mut dyn FnMut(&FieldResult<'_>) -> ExecutionResult,
) -> Json {
    let mut interpreter = Interpreter {
        schema,
        arguments: &validated.arguments,
        resolve,
    };
    let root = validated.kind().root_type();
    interpreter.object(root, &validated.selection.fields, "")
}

fn is_introspection(field: &SelectedField) -> bool {
    matches!(field.name.as_str(), "__schema" | "__type")
}

struct Interpreter<'i> {
    schema: &'i Schema,
    arguments: &'i OperationArguments,
    resolve: &'i mut dyn FnMut(&FieldResult<'_>) -> ExecutionResult,
}

impl Interpreter<'_> {
    fn object(&mut self, ty: &str, fields: &[SelectedField], path: &str) -> Json {
        let mut object = Map::new();
        for field in fields.iter().filter(|field| !is_introspection(field)) {
            let answer = match field.name.as_str() {
                "__typename" => json!(ty),
                _ => self.field(ty, field, path),
            };
            let before = object.insert(field.key.to_string(), answer);
            assert!(before.is_none(), "`{}` stands twice in {path}", field.key);
        }
        Json::Object(object)
    }

    fn field(&mut self, parent: &str, field: &SelectedField, path: &str) -> Json {
        let path = match path {
            "" => field.key.to_string(),
            _ => format!("{path}.{}", field.key),
        };
        let schema = self.schema;
        let definition: &FieldDefinition = schema.type_field(parent, &field.name).unwrap();
        let arguments = field.slot.map(|slot| self.arguments.of(slot));
        assert_eq!(
            arguments.is_none(),
            definition.arguments.is_empty(),
            "{path}"
        );
        let answer = (self.resolve)(&FieldResult {
            coordinate: format!("{parent}.{}", field.name),
            path: &path,
            ty: &definition.ty,
            arguments: json!(arguments.unwrap_or(&ArgumentValues::new())),
        });
        self.value(answer, &field.below, &path)
    }

    fn value(&mut self, answer: ExecutionResult, below: &SubSelection, path: &str) -> Json {
        let ty = match answer {
            ExecutionResult::Leaf(value) => return value,
            ExecutionResult::Object(ty) => ty,
            ExecutionResult::List(items) => {
                let items = items.into_iter().enumerate();
                return items
                    .map(|(index, item)| self.value(item, below, &format!("{path}.{index}")))
                    .collect();
            }
        };
        match below {
            SubSelection::Leaf => panic!("nothing is selected of the object at {path}"),
            SubSelection::Any(fields) => self.object(&ty, fields, path),
            SubSelection::ByType(types) => {
                let fields = types.iter().find(|(of, _)| *of == *ty);
                self.object(&ty, fields.map_or(&[], |(_, fields)| fields), path)
            }
        }
    }
}
