//! The parts of a record as its readers see them, in any form: decided, or as stored bytes.
//!
//! [`Entry`] and [`Value`] offer their parts here. Each store does so for its bytes.

use thiserror::Error;

use crate::{
    entry::Entry,
    id::Version,
    transaction::Misfit,
    value::{Decimal, Document, Timestamp, Value},
};

/// What a record means to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The document exists.
    Upsert,
    /// The document is gone.
    Delete,
    /// The document is no longer shown in this scope.
    Revoke,
}

impl ChangeKind {
    /// The kind of a record, by whether it is a marker, whether its document is withheld, and whether it has a body.
    pub fn of(is_marker: bool, withheld: bool, has_body: bool) -> Self {
        match has_body {
            _ if is_marker || withheld => Self::Revoke,
            true => Self::Upsert,
            false => Self::Delete,
        }
    }
}

/// Bytes that hold no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot be read: {problem}")]
pub struct Unreadable {
    /// MongoDB's name for the type of what is there; `unknown` if that cannot be read.
    pub found: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl Unreadable {
    /// Why the document that the bytes are in does not fit the model.
    pub fn misfit(&self) -> Misfit {
        Misfit {
            path: String::new(),
            found: self.found.to_owned(),
            problem: self.to_string(),
        }
    }
}

/// The head of every record.
pub trait RecordHead {
    /// The document's type.
    fn type_name(&self) -> &str;
    /// The document's id.
    fn id(&self) -> &str;
    /// The scope of the record.
    fn scope(&self) -> &str;
    /// The version of the record.
    fn version(&self) -> Version;
    /// Server time of the change.
    fn changed_at(&self) -> Timestamp;
    /// What it means to a client.
    fn kind(&self) -> ChangeKind;
}

/// A record with the document that it shows.
pub trait RecordView: RecordHead {
    /// The type of its values.
    type Value<'v>: ValueView<'v>
    where
        Self: 'v;

    /// The document, an object; `None` if the record shows none.
    fn body(&self) -> Option<Self::Value<'_>>;
}

/// The kind of a value. [`ValueView`] reads the items of a list and the fields of an object.
#[derive(Debug)]
pub enum Seen<'v> {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A 32-bit integer.
    Int(i32),
    /// A 64-bit integer.
    Long(i64),
    /// A number.
    Float(f64),
    /// Text, an id or a value of an enum.
    Text(&'v str),
    /// An instant.
    Instant(Timestamp),
    /// A decimal.
    Decimal(Decimal),
    /// Bytes.
    Bytes(&'v [u8]),
    /// A list.
    List,
    /// An object.
    Object,
}

impl Seen<'_> {
    /// The value of a scalar; nothing for a list or an object, whose parts are read on their own.
    pub fn scalar(self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Long(value) => Value::Long(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Instant(at) => Value::DateTime(at),
            Self::Decimal(decimal) => Value::Decimal(decimal),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::List | Self::Object => return None,
        })
    }

    /// MongoDB's name for the type that holds it.
    pub fn bson_type(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Long(_) => "long",
            Self::Float(_) => "double",
            Self::Text(_) => "string",
            Self::Instant(_) => "date",
            Self::Decimal(_) => "decimal",
            Self::Bytes(_) => "binData",
            Self::List => "array",
            Self::Object => "object",
        }
    }
}

/// A value that is read part by part.
pub trait ValueView<'v>: Copy {
    /// The value itself.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn see(self) -> Result<Seen<'v>, Unreadable>;

    /// The items of a list. Other values have none.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn items(self) -> Result<impl Iterator<Item = Result<Self, Unreadable>>, Unreadable>;

    /// The fields of an object, each with its name. Other values have none.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn fields(
        self,
    ) -> Result<impl Iterator<Item = Result<(&'v str, Self), Unreadable>>, Unreadable>;

    /// The fields of these names, each at its name's index. The names ascend.
    ///
    /// # Errors
    /// [`Unreadable`].
    fn find(self, wanted: &[Box<str>]) -> Result<Vec<Option<Self>>, Unreadable>;
}

impl RecordHead for Entry {
    fn type_name(&self) -> &str {
        self.key.type_name.as_str()
    }

    fn id(&self) -> &str {
        self.key.id.as_str()
    }

    fn scope(&self) -> &str {
        self.scope.as_str()
    }

    fn version(&self) -> Version {
        self.version
    }

    fn changed_at(&self) -> Timestamp {
        self.at
    }

    fn kind(&self) -> ChangeKind {
        ChangeKind::of(false, self.withheld, self.body.is_some())
    }
}

impl RecordView for Entry {
    type Value<'v> = ValueRef<'v>;

    fn body(&self) -> Option<ValueRef<'_>> {
        self.body.as_ref().map(ValueRef::Document)
    }
}

/// A value of the core.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'v> {
    /// Any value.
    Value(&'v Value),
    /// An object that is a document.
    Document(&'v Document),
}

impl<'v> ValueRef<'v> {
    fn object(self) -> Option<&'v Document> {
        match self {
            Self::Document(document) | Self::Value(Value::Object(document)) => Some(document),
            Self::Value(_) => None,
        }
    }

    /// The value itself, which can always be read.
    pub(crate) fn seen(self) -> Seen<'v> {
        let Self::Value(value) = self else {
            return Seen::Object;
        };
        match value {
            Value::Null => Seen::Null,
            Value::Bool(value) => Seen::Bool(*value),
            Value::Int(value) => Seen::Int(*value),
            Value::Long(value) => Seen::Long(*value),
            Value::Float(value) => Seen::Float(*value),
            Value::String(text) => Seen::Text(text),
            Value::DateTime(at) => Seen::Instant(*at),
            Value::Decimal(decimal) => Seen::Decimal(decimal.clone()),
            Value::Bytes(bytes) => Seen::Bytes(bytes),
            Value::List(_) => Seen::List,
            Value::Object(_) => Seen::Object,
        }
    }

    fn list(self) -> &'v [Value] {
        match self {
            Self::Value(Value::List(items)) => items,
            Self::Value(_) | Self::Document(_) => &[],
        }
    }
}

impl<'v> ValueView<'v> for ValueRef<'v> {
    fn see(self) -> Result<Seen<'v>, Unreadable> {
        Ok(self.seen())
    }

    fn items(self) -> Result<impl Iterator<Item = Result<Self, Unreadable>>, Unreadable> {
        let items = self.list().iter();
        Ok(items.map(|item| Ok(Self::Value(item))))
    }

    fn fields(
        self,
    ) -> Result<impl Iterator<Item = Result<(&'v str, Self), Unreadable>>, Unreadable> {
        let fields = self.object().into_iter().flatten();
        Ok(fields.map(|(name, value)| Ok((name.as_str(), Self::Value(value)))))
    }

    fn find(self, wanted: &[Box<str>]) -> Result<Vec<Option<Self>>, Unreadable> {
        let object = self.object();
        let field = |name: &str| object.and_then(|object| object.get(name)).map(Self::Value);
        Ok(wanted.iter().map(|name| field(name)).collect())
    }
}
