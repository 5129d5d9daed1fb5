//! The two forms of a client's values, JSON and GraphQL literals, as one type, and the path to a value. `coerce.rs`
//! decides the type that a value must have.

use std::fmt;

use apollo_compiler::{
    Name, Node,
    ast::{Type, Value as Literal},
    parser::SourceSpan,
};
use async_graphql::Number;
use serde_json::{Map, Value as Json};
use tidegate_core::value::unrepresentable::Unrepresentable;

use super::{RequestError, RequestErrorKind};

/// The fields of input objects that are numbers of the protocol. A document's field of such a name counts as one.
const PROTOCOL_NUMBERS: [&str; 2] = ["baseVersion", "firstMutationId"];

/// A given value. JSON is owned, so that strings move: a push of a thousand changes is not copied.
pub(super) enum RawInput<'d> {
    Json(Json),
    Literal(&'d Node<Literal>),
}

/// The fields of a given object.
pub(super) enum RawFields<'d> {
    Json(Map<String, Json>),
    Literal(&'d [(Name, Node<Literal>)]),
}

/// A given value without parts.
pub(super) enum RawScalar<'d> {
    Boolean(bool),
    Integer(Number),
    /// An integer literal as text: an ID keeps all its digits, and the sign of `-0`.
    Digits(&'d str),
    Float(f64),
    String(String),
    Enum(&'d str),
}

impl<'d> RawInput<'d> {
    pub(super) fn is_null(&self) -> bool {
        match self {
            Self::Json(json) => json.is_null(),
            Self::Literal(literal) => literal.is_null(),
        }
    }

    /// The variable's name and place, if it is one.
    pub(super) fn as_variable(&self) -> Option<(&'d Name, Option<SourceSpan>)> {
        match self {
            Self::Literal(literal) => literal.as_variable().map(|name| (name, literal.location())),
            Self::Json(_) => None,
        }
    }

    /// The name of an enum value: a string in JSON, a bare name in a literal.
    pub(super) fn as_enum(&self) -> Option<&str> {
        match self {
            Self::Json(json) => json.as_str(),
            Self::Literal(literal) => literal.as_enum().map(Name::as_str),
        }
    }

    /// The items of a list.
    ///
    /// # Errors
    /// Returns any other value unchanged.
    pub(super) fn into_items(self) -> Result<Vec<RawInput<'d>>, Self> {
        match self {
            Self::Json(Json::Array(items)) => Ok(items.into_iter().map(RawInput::Json).collect()),
            Self::Literal(literal) => match literal.as_list() {
                Some(items) => Ok(items.iter().map(RawInput::Literal).collect()),
                None => Err(self),
            },
            Self::Json(_) => Err(self),
        }
    }

    /// The fields of an object.
    ///
    /// # Errors
    /// Returns any other value unchanged.
    pub(super) fn into_fields(self) -> Result<RawFields<'d>, Self> {
        match self {
            Self::Json(Json::Object(fields)) => Ok(RawFields::Json(fields)),
            Self::Literal(literal) => literal.as_object().map(RawFields::Literal).ok_or(self),
            Self::Json(_) => Err(self),
        }
    }

    /// The value itself, if it has no parts and is not null.
    ///
    /// # Errors
    /// Returns any other value unchanged.
    pub(super) fn into_leaf(self) -> Result<RawScalar<'d>, Self> {
        match self {
            Self::Json(Json::Bool(value)) => Ok(RawScalar::Boolean(value)),
            Self::Json(Json::String(value)) => Ok(RawScalar::String(value)),
            Self::Json(Json::Number(number)) => Ok(match number.as_f64() {
                Some(float) if number.is_f64() => RawScalar::Float(float),
                _ => RawScalar::Integer(number),
            }),
            Self::Json(_) => Err(self),
            Self::Literal(literal) => literal_leaf(literal).ok_or(self),
        }
    }

    /// Whether it is the mark of a number that no float holds.
    pub(super) fn is_beyond_all_floats(&self) -> bool {
        matches!(self, Self::Json(Json::String(text)) if text == Unrepresentable::Number.mark())
    }

    /// The kind of the value, for messages. Values themselves are left out: they may be long or private.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Json(_) if self.is_beyond_all_floats() => "a number",
            Self::Json(json) => match json {
                Json::Null => "null",
                Json::Bool(_) => "a boolean",
                Json::Number(_) => "a number",
                Json::String(_) => "a string",
                Json::Array(_) => "a list",
                Json::Object(_) => "an object",
            },
            Self::Literal(literal) => match &***literal {
                Literal::Null => "null",
                Literal::Boolean(_) => "a boolean",
                Literal::Int(_) | Literal::Float(_) => "a number",
                Literal::String(_) => "a string",
                Literal::List(_) => "a list",
                Literal::Object(_) => "an object",
                Literal::Enum(_) => "an enum value",
                Literal::Variable(_) => "a variable",
            },
        }
    }
}

fn literal_leaf(literal: &Node<Literal>) -> Option<RawScalar<'_>> {
    match &**literal {
        Literal::Boolean(value) => Some(RawScalar::Boolean(*value)),
        Literal::String(value) => Some(RawScalar::String(value.clone())),
        Literal::Enum(name) => Some(RawScalar::Enum(name)),
        Literal::Float(value) => value.try_to_f64().ok().map(RawScalar::Float),
        Literal::Int(value) => Some(RawScalar::Digits(value.as_str())),
        _ => None,
    }
}

impl<'d> RawFields<'d> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(fields) => fields.len(),
            Self::Literal(fields) => fields.len(),
        }
    }

    /// Takes the field `name`. Validation has checked that the names of a literal are unique.
    pub(super) fn take(&mut self, name: &str) -> Option<RawInput<'d>> {
        match self {
            Self::Json(fields) => fields.remove(name).map(RawInput::Json),
            Self::Literal(fields) => fields
                .iter()
                .find(|(field, _)| field == name)
                .map(|(_, value)| RawInput::Literal(value)),
        }
    }

    /// A field that `is_known` does not know.
    pub(super) fn unknown(&self, is_known: impl Fn(&str) -> bool) -> Option<&str> {
        match self {
            Self::Json(fields) => fields
                .keys()
                .map(String::as_str)
                .find(|name| !is_known(name)),
            Self::Literal(fields) => fields
                .iter()
                .map(|(name, _)| name.as_str())
                .find(|name| !is_known(name)),
        }
    }

    /// All fields in the order given.
    pub(super) fn into_all(self) -> Vec<(String, RawInput<'d>)> {
        match self {
            Self::Json(fields) => fields
                .into_iter()
                .map(|(name, value)| (name, RawInput::Json(value)))
                .collect(),
            Self::Literal(fields) => fields
                .iter()
                .map(|(name, value)| (name.to_string(), RawInput::Literal(value)))
                .collect(),
        }
    }
}

/// The place of a value, as a chain on the stack: a path costs nothing until it is shown.
#[derive(Clone, Copy)]
pub(super) struct InputPath<'p> {
    around: Option<&'p InputPath<'p>>,
    step: InputPathStep<'p>,
    pub(super) depth: usize,
}

#[derive(Clone, Copy)]
enum InputPathStep<'p> {
    Variable(&'p str),
    Argument(&'p str),
    Field(&'p str),
    Item(usize),
}

impl<'p> InputPath<'p> {
    pub(super) fn variable(name: &'p str) -> Self {
        Self {
            around: None,
            step: InputPathStep::Variable(name),
            depth: 1,
        }
    }

    pub(super) fn argument(name: &'p str) -> Self {
        Self {
            around: None,
            step: InputPathStep::Argument(name),
            depth: 1,
        }
    }

    pub(super) fn field(&'p self, name: &'p str) -> Self {
        Self {
            around: Some(self),
            step: InputPathStep::Field(name),
            depth: self.depth + 1,
        }
    }

    pub(super) fn item(&'p self, index: usize) -> Self {
        Self {
            around: Some(self),
            step: InputPathStep::Item(index),
            depth: self.depth + 1,
        }
    }

    /// Whether it may be in a document, judged for a number: it is in an input object, and is not one of the protocol's
    /// own.
    pub(super) fn is_in_document(&self) -> bool {
        match (self.around, self.step) {
            (Some(around), InputPathStep::Item(_)) => around.is_in_document(),
            (_, InputPathStep::Field(name)) => !PROTOCOL_NUMBERS.contains(&name),
            _ => false,
        }
    }

    /// The kind of a mistake at this place, for the client.
    pub(super) fn kind(&self) -> RequestErrorKind {
        match (self.around, self.step) {
            (Some(around), _) => around.kind(),
            (None, InputPathStep::Variable(_)) => RequestErrorKind::Variables,
            (None, _) => RequestErrorKind::Validation,
        }
    }

    pub(super) fn refuse(&self, kind: RequestErrorKind, problem: &str) -> RequestError {
        RequestError {
            path: Some(self.to_string()),
            ..RequestError::new(kind, format!("`{self}` {problem}"))
        }
    }

    pub(super) fn mismatch(&self, ty: &Type, given: &RawInput<'_>) -> RequestError {
        self.refuse(self.kind(), &format!("expects {ty}, not {}", given.kind()))
    }

    /// Validation refuses literals without a required field, so a variable is missing.
    pub(super) fn missing(&self, ty: &Type) -> RequestError {
        self.refuse(
            RequestErrorKind::Variables,
            &format!("of type {ty} is required"),
        )
    }
}

impl fmt::Display for InputPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(around) = self.around {
            around.fmt(f)?;
        }
        match self.step {
            InputPathStep::Variable(name) => write!(f, "${name}"),
            InputPathStep::Argument(name) => f.write_str(name),
            InputPathStep::Field(name) => write!(f, ".{name}"),
            InputPathStep::Item(index) => write!(f, "[{index}]"),
        }
    }
}
