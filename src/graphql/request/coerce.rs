//! Makes input values exact by the specification's rules of input coercion: defaults filled, variables replaced, absent
//! fields absent. The content of custom scalars, and numbers beyond all floats, are not checked here: they are decided
//! for each change, not for the request.

use std::collections::HashSet;

use apollo_compiler::{
    Name, Node, Schema,
    ast::Value as Literal,
    executable::{Operation, VariableDefinition},
    parser::SourceSpan,
    schema::{EnumType, ExtendedType, InputObjectType, InputValueDefinition, Type},
};
use async_graphql::{Name as FieldName, Value, indexmap::IndexMap};
use serde_json::{Map, Value as Json};
use tidegate_core::value::unrepresentable::Unrepresentable;

use super::{
    RequestError, RequestErrorKind,
    document::ValidatedDocument,
    scalar,
    value::{InputPath, RawFields, RawInput, RawScalar},
    variables::Variables,
};
use crate::limits::Limits;

/// Estimated bytes of a value beyond its text.
const VALUE_BYTES: usize = 32;
/// What a small value takes beyond that while it is kept, rounded up: a list of 100,000 enum values takes 10 MB.
const VALUE_KEPT_BYTES: usize = 3 * VALUE_BYTES;

/// Coerces the variables of one operation, then its arguments.
pub(super) struct Coercer<'d> {
    schema: &'d Schema,
    checked: &'d ValidatedDocument,
    operation: &'d Operation,
    variables: Variables<'d>,
    /// Input objects whose defaults are left out.
    undefaulted: &'d HashSet<String>,
    depth_max: usize,
    /// The estimated bytes of all values made so far.
    bytes: usize,
    /// The number of these values.
    values: usize,
}

impl<'d> Coercer<'d> {
    pub(super) fn new(
        schema: &'d Schema,
        checked: &'d ValidatedDocument,
        operation: &'d Operation,
        undefaulted: &'d HashSet<String>,
        limits: &Limits,
    ) -> Self {
        Self {
            schema,
            checked,
            operation,
            variables: Variables::new(checked, limits.variables_copied_bytes),
            undefaulted,
            depth_max: limits.variables_depth,
            bytes: 0,
            values: 0,
        }
    }

    /// How many bytes all values take at most while they are kept, copies included.
    pub(super) fn kept_bytes(&self) -> usize {
        let copied = self.variables.copied_bytes();
        VALUE_KEPT_BYTES * self.values + self.bytes + (VALUE_KEPT_BYTES / VALUE_BYTES + 1) * copied
    }

    /// `CoerceVariableValues` of the specification. Values the operation does not declare are
    /// ignored.
    ///
    /// # Errors
    /// One refusal per variable that does not fit its type.
    pub(super) fn coerce_variables(
        &mut self,
        mut values: Map<String, Json>,
    ) -> Result<(), Vec<RequestError>> {
        let mut refusals = Vec::new();
        for definition in &self.operation.variables {
            let before = self.bytes;
            match self.declared(definition, values.remove(definition.name.as_str())) {
                Ok(Some(value)) => {
                    let bytes = self.bytes - before;
                    self.variables.keep(&definition.name, value, bytes);
                }
                Ok(None) => {}
                Err(refusal) => refusals.push(self.located(refusal, definition.location())),
            }
        }
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(refusals)
        }
    }

    /// The value of an argument; `None` if it is absent.
    ///
    /// # Errors
    /// If the given value, with its variables, does not fit the definition.
    pub(super) fn argument(
        &mut self,
        definition: &'d InputValueDefinition,
        given: Option<&'d Node<Literal>>,
        location: Option<SourceSpan>,
    ) -> Result<Option<Value>, RequestError> {
        let place = InputPath::argument(&definition.name);
        self.defined(definition, given.map(RawInput::Literal), &place)
            .map_err(|refusal| self.located(refusal, location))
    }

    /// The condition of a `@skip` or `@include`.
    ///
    /// # Errors
    /// If it is a variable without a value.
    pub(super) fn condition(&self, literal: &Node<Literal>) -> Result<bool, RequestError> {
        let known = match &**literal {
            Literal::Boolean(value) => Some(*value),
            Literal::Variable(name) => self.variables.boolean(name),
            _ => None,
        };
        known.ok_or_else(|| {
            let message = format!("the condition {literal} has no value");
            let refusal = RequestError::new(RequestErrorKind::Variables, message);
            self.located(refusal, literal.location())
        })
    }

    fn declared(
        &mut self,
        definition: &'d VariableDefinition,
        given: Option<Json>,
    ) -> Result<Option<Value>, RequestError> {
        let place = InputPath::variable(&definition.name);
        let default = definition.default_value.as_ref().map(RawInput::Literal);
        match given.map(RawInput::Json).or(default) {
            Some(given) => self.constant(&definition.ty, given, &place).map(Some),
            None if definition.ty.is_non_null() => Err(place.missing(&definition.ty)),
            None => Ok(None),
        }
    }

    /// The value of an argument or input field: the given one, or else the default, or else nothing.
    fn defined(
        &mut self,
        definition: &'d InputValueDefinition,
        given: Option<RawInput<'d>>,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        match self.given(definition, given, place)? {
            Some(value) => Ok(Some(value)),
            None => self.default(definition, place),
        }
    }

    fn given(
        &mut self,
        definition: &'d InputValueDefinition,
        given: Option<RawInput<'d>>,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        match given {
            Some(given) => self.value(&definition.ty, given, place),
            None => Ok(None),
        }
    }

    fn default(
        &mut self,
        definition: &'d InputValueDefinition,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        match &definition.default_value {
            Some(default) => self
                .constant(&definition.ty, RawInput::Literal(default), place)
                .map(Some),
            None if definition.ty.is_non_null() => Err(place.missing(&definition.ty)),
            None => Ok(None),
        }
    }

    /// `None` for a variable without a value.
    fn value(
        &mut self,
        ty: &'d Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        match given.as_variable() {
            Some((name, location)) => self
                .variables
                .value_for(name, ty, place)
                .map_err(|refusal| self.located(refusal, location)),
            None => self.constant(ty, given, place).map(Some),
        }
    }

    fn constant(
        &mut self,
        ty: &'d Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        self.count(place, 0)?;
        match ty {
            _ if given.is_null() && ty.is_non_null() => Err(place.mismatch(ty, &given)),
            _ if given.is_null() => Ok(Value::Null),
            Type::List(item) | Type::NonNullList(item) => self.list(item, given, place),
            Type::Named(name) | Type::NonNullNamed(name) => self.named(name, ty, given, place),
        }
    }

    /// A single value counts as a list of one.
    fn list(
        &mut self,
        ty: &'d Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        let items = match given.into_items() {
            Ok(items) => items,
            Err(single) => return Ok(Value::List(vec![self.constant(ty, single, place)?])),
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let value = self.value(ty, item, &place.item(index))?;
            values.push(value.unwrap_or(Value::Null));
        }
        Ok(Value::List(values))
    }

    fn named(
        &mut self,
        name: &'d Name,
        ty: &'d Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        match self.schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => self.object(object, ty, given, place),
            Some(ExtendedType::Enum(values)) => enum_value(values, ty, &given, place),
            Some(ExtendedType::Scalar(scalar)) if scalar.is_built_in() => {
                self.built_in(name, ty, given, place)
            }
            Some(ExtendedType::Scalar(_)) => self.custom(given, place),
            _ => Err(place.mismatch(ty, &given)),
        }
    }

    fn object(
        &mut self,
        object: &'d InputObjectType,
        ty: &Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        let mut fields = given
            .into_fields()
            .map_err(|other| place.mismatch(ty, &other))?;
        let one_of = object.directives.has("oneOf");
        check_fields(object, one_of, &fields, place)?;
        let fills_defaults = !self.undefaulted.contains(object.name.as_str());
        let mut values = IndexMap::with_capacity(fields.len());
        for (name, definition) in &object.fields {
            let place = place.field(name);
            let given = fields.take(name);
            let is_the_one = one_of && given.is_some();
            let value = match self.given(definition, given, &place)? {
                Some(value) => Some(value),
                // It is counted here, though it is filled in later.
                None => self.default(definition, &place)?.filter(|_| fills_defaults),
            };
            if is_the_one && matches!(value, None | Some(Value::Null)) {
                let problem = "is the one field given and cannot be null";
                return Err(place.refuse(place.kind(), problem));
            }
            if let Some(value) = value {
                self.count(&place, name.len())?;
                values.insert(FieldName::new(name), value);
            }
        }
        Ok(Value::Object(values))
    }

    fn built_in(
        &mut self,
        name: &str,
        ty: &Type,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        if given.is_beyond_all_floats() && matches!(name, "Int" | "Float") && place.is_in_document()
        {
            return Ok(scalar::unheld(Unrepresentable::Number));
        }
        let kind = given.kind();
        let leaf = given
            .into_leaf()
            .map_err(|other| place.mismatch(ty, &other))?;
        self.count_text(&leaf, place)?;
        scalar::built_in(name, leaf).ok_or_else(|| {
            let problem = format!("expects {ty}; {kind} such as this does not fit");
            place.refuse(place.kind(), &problem)
        })
    }

    /// A custom scalar accepts anything. Variables inside it are replaced as in input objects.
    fn custom(
        &mut self,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        if place.depth > self.depth_max {
            return Ok(scalar::unheld(Unrepresentable::Depth));
        }
        self.count(place, 0)?;
        if given.is_null() {
            return Ok(Value::Null);
        }
        let given = match given.into_items() {
            Ok(items) => return self.custom_list(items, place),
            Err(other) => other,
        };
        let given = match given.into_fields() {
            Ok(fields) => return self.custom_object(fields, place),
            Err(other) => other,
        };
        // Of the values without parts only a float literal beyond all floats is no leaf.
        let Ok(leaf) = given.into_leaf() else {
            return Ok(scalar::unheld(Unrepresentable::Number));
        };
        self.count_text(&leaf, place)?;
        Ok(scalar::custom(leaf))
    }

    fn custom_list(
        &mut self,
        items: Vec<RawInput<'d>>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let value = self.custom_part(item, &place.item(index))?;
            values.push(value.unwrap_or(Value::Null));
        }
        Ok(Value::List(values))
    }

    fn custom_object(
        &mut self,
        fields: RawFields<'d>,
        place: &InputPath<'_>,
    ) -> Result<Value, RequestError> {
        let mut values = IndexMap::with_capacity(fields.len());
        for (name, field) in fields.into_all() {
            let place = place.field(&name);
            self.count(&place, name.len())?;
            if let Some(value) = self.custom_part(field, &place)? {
                values.insert(FieldName::new(&name), value);
            }
        }
        Ok(Value::Object(values))
    }

    /// Inside a custom scalar a variable may be of any type, since the scalar has none to compare.
    fn custom_part(
        &mut self,
        given: RawInput<'d>,
        place: &InputPath<'_>,
    ) -> Result<Option<Value>, RequestError> {
        match given.as_variable() {
            Some((name, _)) => self.variables.value(name, place),
            None => self.custom(given, place).map(Some),
        }
    }

    fn count_text(
        &mut self,
        leaf: &RawScalar<'_>,
        place: &InputPath<'_>,
    ) -> Result<(), RequestError> {
        match leaf {
            RawScalar::String(text) => self.count(place, text.len()),
            _ => Ok(()),
        }
    }

    /// Counts a value and bounds its nesting, before the recursion that reads it.
    fn count(&mut self, place: &InputPath<'_>, text_bytes: usize) -> Result<(), RequestError> {
        self.bytes += VALUE_BYTES + text_bytes;
        self.values += 1;
        if place.depth > self.depth_max {
            let message = format!("an input value has more than {} levels", self.depth_max);
            return Err(RequestError::new(RequestErrorKind::Limit, message));
        }
        Ok(())
    }

    /// The innermost location known wins.
    fn located(&self, refusal: RequestError, location: Option<SourceSpan>) -> RequestError {
        if refusal.locations.is_empty() {
            refusal.at(self.checked.positions.of(location))
        } else {
            refusal
        }
    }
}

fn check_fields(
    object: &InputObjectType,
    one_of: bool,
    fields: &RawFields<'_>,
    place: &InputPath<'_>,
) -> Result<(), RequestError> {
    let (name, count) = (&object.name, fields.len());
    if let Some(unknown) = fields.unknown(|field| object.fields.contains_key(field)) {
        let problem = format!("is not a field of {name}");
        return Err(place.field(unknown).refuse(place.kind(), &problem));
    }
    if one_of && count != 1 {
        let problem = format!("takes exactly one field of {name}, not {count}");
        return Err(place.refuse(place.kind(), &problem));
    }
    Ok(())
}

fn enum_value(
    definition: &EnumType,
    ty: &Type,
    given: &RawInput<'_>,
    place: &InputPath<'_>,
) -> Result<Value, RequestError> {
    match given.as_enum() {
        Some(name) if definition.values.contains_key(name) => Ok(Value::Enum(FieldName::new(name))),
        Some(_) => {
            let problem = format!("is not a value of {}", definition.name);
            Err(place.refuse(place.kind(), &problem))
        }
        None => Err(place.mismatch(ty, given)),
    }
}
