//! Makes of what async-graphql has executed the answer that the specification asks for (sections 6.4.3 and 6.4.4): fields
//! in the order of the operation, values that fit their types or errors in their place, nulls as far up as they must go.
//! Nothing is resolved here; why a resolver failed is reported to [`Failures`].
//!
//! async-graphql 7.2 leaves a required field out where it fails, loses the errors of a subscription's events, answers null
//! for an object that is asked for nothing, and takes any value for any scalar.

use std::sync::{Arc, Mutex, PoisonError};

use apollo_compiler::{
    Schema,
    schema::{ExtendedType, Type},
    validation::Valid,
};
use async_graphql::{
    Name, PathSegment, Response, ServerError, Value, dynamic::ResolverContext, indexmap::IndexMap,
};

use super::{
    bridge::TAG,
    error::Failure,
    request::{SelectedField, Selection, SubSelection},
};

/// Why fields of one request failed; resolvers find it beside their arguments.
#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<Vec<ServerError>>>);

impl Failures {
    fn take(&self) -> Vec<ServerError> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a field answers with whose resolver may have failed: then nothing, and why is reported with the field's path. An
/// `Err` would make the field vanish from the answer, and its error have no path.
pub(super) fn reported<T>(
    ctx: &ResolverContext<'_>,
    resolved: Result<Option<T>, Failure>,
) -> Option<T> {
    let failure = match resolved {
        Ok(value) => return value,
        Err(failure) => failure,
    };
    let error = failure.into_error().into_server_error(ctx.item.pos);
    let Failures(failures) = ctx.data_unchecked();
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    failures.push(ctx.set_error_path(error));
    None
}

/// Completes the answers of one operation.
pub(super) struct Completion {
    schema: Arc<Valid<Schema>>,
    selection: Arc<Selection>,
    failures: Failures,
}

impl Completion {
    pub(super) fn new(schema: &Arc<Valid<Schema>>, selection: &Arc<Selection>) -> Self {
        Self {
            schema: Arc::clone(schema),
            selection: Arc::clone(selection),
            failures: Failures::default(),
        }
    }

    /// Where its resolvers are to report failures.
    pub(super) fn failures(&self) -> Failures {
        self.failures.clone()
    }

    /// Completes one answer. The errors that a resolver has reported or returned stay; what async-graphql adds of its own
    /// has neither a code nor always a path, and is found again here.
    pub(super) fn complete(&self, mut response: Response) -> Response {
        let mut errors = self.failures.take();
        errors.extend(response.errors.into_iter().filter(has_code));
        let mut walk = Walk {
            schema: &self.schema,
            errors,
            path: Vec::new(),
        };
        let held = match response.data {
            Value::Object(held) => held,
            _ => IndexMap::new(),
        };
        let Selection { kind, fields } = &*self.selection;
        let root = kind.root(&self.schema);
        let data = walk.fields(root, fields, Held::Answered(held));
        response.data = data.unwrap_or_default();
        response.errors = walk.errors;
        response
    }
}

fn has_code(error: &ServerError) -> bool {
    let extensions = error.extensions.as_ref();
    extensions.is_some_and(|extensions| extensions.get("code").is_some())
}

/// A null that an error explains, on its way to the nearest place that may be null.
struct Nulled;

/// The fields of an object before its completion.
enum Held {
    /// By the keys of the client: async-graphql has executed the object.
    Answered(IndexMap<Name, Value>),
    /// By the names of the schema: the value of an embedded document, as a resolver gave it.
    Stored(IndexMap<Name, Value>),
}

impl Held {
    /// The value of a field; `None` if async-graphql left it out, because it failed.
    fn value(&mut self, field: &SelectedField) -> Option<Value> {
        match self {
            Self::Answered(values) => values.get_mut(field.key.as_str()).map(std::mem::take),
            Self::Stored(values) => {
                Some(values.get(field.name.as_str()).cloned().unwrap_or_default())
            }
        }
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    errors: Vec<ServerError>,
    path: Vec<PathSegment>,
}

impl Walk<'_> {
    fn fields(
        &mut self,
        ty: &str,
        asked: &[SelectedField],
        mut held: Held,
    ) -> Result<Value, Nulled> {
        let mut fields = IndexMap::with_capacity(asked.len());
        for field in asked {
            let value = match field.name.as_str() {
                "__typename" => Value::from(ty),
                _ => self.field(ty, field, held.value(field))?,
            };
            fields.insert(Name::new(&field.key), value);
        }
        Ok(Value::Object(fields))
    }

    fn field(
        &mut self,
        ty: &str,
        field: &SelectedField,
        value: Option<Value>,
    ) -> Result<Value, Nulled> {
        let definition = self.schema.type_field(ty, &field.name);
        let definition = definition.expect("an admitted operation asks for fields of the schema");
        self.path.push(PathSegment::Field(field.key.to_string()));
        let value = match value {
            Some(value) => self.value(&definition.ty, field, value),
            None => self.fail(&definition.ty, field, Failure::no_value()),
        };
        self.path.pop();
        value
    }

    /// A field's value or a list's item.
    fn value(&mut self, ty: &Type, field: &SelectedField, value: Value) -> Result<Value, Nulled> {
        if value == Value::Null && ty.is_non_null() {
            return self.fail(ty, field, Failure::no_value());
        }
        let completed = match (ty, value) {
            (_, Value::Null) => Ok(Value::Null),
            (Type::List(item) | Type::NonNullList(item), Value::List(items)) => {
                self.items(item, field, items)
            }
            (Type::Named(name) | Type::NonNullNamed(name), value) => {
                self.named(ty, name, field, value)
            }
            _ => return self.fail(ty, field, Failure::misfit()),
        };
        settled(ty, completed)
    }

    fn items(
        &mut self,
        ty: &Type,
        field: &SelectedField,
        items: Vec<Value>,
    ) -> Result<Value, Nulled> {
        let mut completed = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            self.path.push(PathSegment::Index(index));
            let item = self.value(ty, field, item);
            self.path.pop();
            completed.push(item?);
        }
        Ok(Value::List(completed))
    }

    fn named(
        &mut self,
        ty: &Type,
        name: &str,
        field: &SelectedField,
        value: Value,
    ) -> Result<Value, Nulled> {
        match (&self.schema.types[name], value) {
            (ExtendedType::Scalar(_), value) if fits(name, &value) => Ok(value),
            (ExtendedType::Enum(of), value) if of.values.contains_key(text(&value)) => Ok(value),
            (ExtendedType::Scalar(_) | ExtendedType::Enum(_), _) => {
                self.fail(ty, field, Failure::misfit())
            }
            (_, Value::Object(held)) => self.object(name, &field.below, held),
            _ => self.fail(ty, field, Failure::misfit()),
        }
    }

    fn object(
        &mut self,
        name: &str,
        below: &SubSelection,
        held: IndexMap<Name, Value>,
    ) -> Result<Value, Nulled> {
        let tag = held.get(TAG).map(|tag| text(tag).to_owned());
        let (ty, held) = match &tag {
            Some(tag) => (tag.as_str(), Held::Answered(held)),
            None => (name, Held::Stored(held)),
        };
        let asked = match below {
            SubSelection::Leaf => &[][..],
            SubSelection::Any(asked) => asked,
            SubSelection::ByType(types) => match types.iter().find(|(of, _)| of == ty) {
                Some((_, asked)) => asked,
                None => return Ok(Value::Object(IndexMap::new())),
            },
        };
        self.fields(ty, asked, held)
    }

    /// What stands where there is no value: null or, where that cannot be, one further up. Unless it is known already why,
    /// `failure` says it.
    fn fail(
        &mut self,
        ty: &Type,
        field: &SelectedField,
        failure: Failure,
    ) -> Result<Value, Nulled> {
        if self.errors.iter().all(|error| error.path != self.path) {
            let error = failure.into_error().into_server_error(field.position.0);
            let path = self.path.clone();
            self.errors.push(ServerError { path, ..error });
        }
        settled(ty, Err(Nulled))
    }
}

fn settled(ty: &Type, completed: Result<Value, Nulled>) -> Result<Value, Nulled> {
    match completed {
        Err(Nulled) if !ty.is_non_null() => Ok(Value::Null),
        completed => completed,
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        Value::Enum(name) => name,
        _ => "",
    }
}

/// Whether a scalar can be answered with `value`. Values of other types are not turned into one: what the store holds is
/// what its model said, or cannot be shown.
fn fits(scalar: &str, value: &Value) -> bool {
    match scalar {
        "Int" => matches!(value, Value::Number(number) if is_int(number.as_i64())),
        "Float" => matches!(value, Value::Number(_)),
        "Boolean" => matches!(value, Value::Boolean(_)),
        "ID" | "String" | "DateTime" | "Long" | "Decimal" | "Bytes" | "Checkpoint" => {
            matches!(value, Value::String(_))
        }
        _ => true,
    }
}

fn is_int(number: Option<i64>) -> bool {
    number.is_some_and(|number| i32::try_from(number).is_ok())
}
