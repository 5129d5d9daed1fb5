//! Records of the formats before, MongoDB 2 and embedded 3, in today's form. Those formats had fields by their names in
//! the model; today's have them by their stored names.
//!
//! How the records of a store are reached and replaced is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bson::{
    RawArray, RawArrayBuf, RawBson, RawDocument, RawDocumentBuf,
    raw::{CStr, RawBsonRef},
};
use tidegate_core::{
    id::TypeName,
    inbox::InboxRecord,
    model::{Field, Model, Shape},
};

use super::{
    StoreError,
    codec::{self, CodecError},
    finding::{Finding, Topic},
};

/// The fields of a conflict's sides.
const SIDES: [&str; 3] = ["mine", "base", "theirs"];

/// How the fields are stored that a model names: the types that have other stored names somewhere, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredNames {
    types: BTreeMap<TypeName, FieldNames>,
    embedded: BTreeMap<String, FieldNames>,
}

/// The fields of one type, by their names in the model.
type FieldNames = BTreeMap<String, FieldName>;

#[derive(Debug, PartialEq, Eq)]
struct FieldName {
    stored_as: String,
    /// The embedded type of its values, or of their items.
    embedded: Option<String>,
}

/// How far a conversion has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Converted {
    /// The records passed so far.
    pub passed: u64,
    /// Those of them that had to be written again.
    pub rewritten: u64,
}

/// What `check` and `doctor` say of a store that the next start converts.
///
/// # Errors
/// Those of the count.
pub(crate) fn announced(
    place: &str,
    (found, known): (u32, u32),
    to_rewrite: Result<u64, StoreError>,
) -> Result<Finding, StoreError> {
    let records = match to_rewrite {
        Ok(0) => "no record has to be written again".to_owned(),
        Ok(records) => format!(
            "up to {records} records are written again, because fields of their types have other stored names"
        ),
        Err(StoreError::Unsuitable(reason)) => return Ok(Finding::obstacle(Topic::Store, reason)),
        Err(error) => return Err(error),
    };
    let message = format!(
        "{place} has format {found}; the first start of this version converts it to format {known}: {records}. There is no way back, so make a backup before (docs/upgrading.md)"
    );
    Ok(Finding::warning(Topic::Store, message))
}

/// Receives how far a conversion has come.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(Converted) + Send + Sync>>);

impl Progress {
    /// Calls `report` after each step.
    pub fn new(report: impl Fn(Converted) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(report)))
    }

    pub(crate) fn report(&self, converted: Converted) {
        if let Some(report) = &self.0 {
            report(converted);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl StoredNames {
    /// The names of the model that the store was last served by. The version before noted it, and that it had escaped the
    /// values in scopes: without them a scope may be open to the wrong users.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`], with what to do, if one of the notes is missing.
    pub(crate) fn of_served(
        text: Option<&str>,
        has_escaped_scopes: bool,
        found_in: &str,
    ) -> Result<Self, StoreError> {
        if !has_escaped_scopes {
            return Err(StoreError::Unsuitable(format!(
                "values in the scopes of {found_in} may not be escaped; start the version of Tidegate before once more, which escapes them, and then this one"
            )));
        }
        let advice = "the conversion takes the stored names of fields from it; start the version of Tidegate before once more with the model that the documents have, and then this one";
        let Some(text) = text else {
            let reason = format!("{found_in} does not say which model it was served by last");
            return Err(StoreError::Unsuitable(format!("{reason}; {advice}")));
        };
        let model = Model::parse("served-model.graphql", text).map_err(|mistakes| {
            let reason = format!("the model that {found_in} was served by last cannot be read");
            StoreError::Unsuitable(format!("{reason}; {advice}\n{mistakes}"))
        })?;
        Ok(Self::of(&model))
    }

    fn of(model: &Model) -> Self {
        let types = model.types.iter();
        let types = types.map(|of| (of.name.clone(), names(&of.fields)));
        let embedded = model.embedded.iter();
        let embedded = embedded.map(|(name, of)| (name.clone(), names(&of.fields)));
        let mut all = Self {
            types: types.collect(),
            embedded: embedded.collect(),
        };
        let other = all.with_other_names();
        all.types.retain(|_, fields| all_reach(fields, &other));
        all
    }

    /// The embedded types that have other stored names, themselves or somewhere below.
    fn with_other_names(&self) -> BTreeSet<String> {
        let mut other = BTreeSet::new();
        loop {
            let found = self.embedded.iter();
            let found = found.filter(|(name, of)| !other.contains(*name) && all_reach(of, &other));
            let found: Vec<String> = found.map(|(name, _)| name.clone()).collect();
            if found.is_empty() {
                return other;
            }
            other.extend(found);
        }
    }

    /// The types whose records have to be written again, in ascending order.
    pub(crate) fn types(&self) -> impl Iterator<Item = &TypeName> {
        self.types.keys()
    }

    /// Whether no record has to be written again.
    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// A record of the feed in today's form, with all else that its store keeps in it; `None` if it stays as it is. One
    /// that cannot be read stays, and is withheld by those who read it.
    pub(crate) fn record(&self, raw: &RawDocument) -> Option<RawDocumentBuf> {
        let fields = self.type_of(raw)?;
        let converted = each(raw, |name, value| match (name, value) {
            ("b", RawBsonRef::Document(body)) => Ok(Some(self.document(fields, body)?.into())),
            ("f", RawBsonRef::Document(versions)) => {
                Ok(Some(self.document(fields, versions)?.into()))
            }
            _ => Ok(None),
        });
        converted.ok().filter(|record| **record != *raw)
    }

    /// The same of a conflict that waits.
    pub(crate) fn conflict(&self, raw: &RawDocument) -> Option<RawDocumentBuf> {
        let fields = self.type_of(raw)?;
        let converted = each(raw, |name, value| match value {
            RawBsonRef::Document(side) if SIDES.contains(&name) => {
                Ok(Some(self.document(fields, side)?.into()))
            }
            RawBsonRef::Array(in_question) if name == "f" => {
                Ok(Some(stored(fields, in_question)?.into()))
            }
            _ => Ok(None),
        });
        converted
            .and_then(counted)
            .ok()
            .filter(|record| **record != *raw)
    }

    fn type_of(&self, raw: &RawDocument) -> Option<&FieldNames> {
        let name = TypeName::new(raw.get_str("t").ok()?).ok()?;
        self.types.get(&name)
    }

    /// A document under stored names. What the model does not name keeps its name, unless another field is stored under
    /// it: earlier versions kept what was left of such a field.
    fn document(
        &self,
        fields: &FieldNames,
        raw: &RawDocument,
    ) -> Result<RawDocumentBuf, CodecError> {
        let (mut named, mut other) = (BTreeMap::new(), BTreeMap::new());
        for element in raw {
            let (name, value) = element?;
            match fields.get(name.as_str()) {
                Some(field) => {
                    let value = self.value(field, value)?;
                    named.insert(field.stored_as.as_str(), value);
                }
                None => {
                    other.insert(name.as_str(), RawBson::from(value));
                }
            }
        }
        other.append(&mut named);
        let mut converted = RawDocumentBuf::new();
        for (name, value) in other {
            converted.append(<&CStr>::try_from(name)?, value);
        }
        Ok(converted)
    }

    fn value(&self, field: &FieldName, value: RawBsonRef<'_>) -> Result<RawBson, CodecError> {
        let embedded = field.embedded.as_ref();
        let embedded = embedded.and_then(|name| self.embedded.get(name));
        match embedded {
            Some(fields) => self.nested(fields, value),
            None => Ok(value.into()),
        }
    }

    fn nested(&self, fields: &FieldNames, value: RawBsonRef<'_>) -> Result<RawBson, CodecError> {
        Ok(match value {
            RawBsonRef::Document(raw) => self.document(fields, raw)?.into(),
            RawBsonRef::Array(items) => {
                let mut converted = RawArrayBuf::new();
                for item in items {
                    converted.push(self.nested(fields, item?)?);
                }
                converted.into()
            }
            other => other.into(),
        })
    }
}

fn names(fields: &[Field]) -> FieldNames {
    let names = fields.iter().map(|field| {
        let name = FieldName {
            stored_as: field.stored_as.clone(),
            embedded: embedded_in(&field.ty.shape).map(str::to_owned),
        };
        (field.name.clone(), name)
    });
    names.collect()
}

fn embedded_in(shape: &Shape) -> Option<&str> {
    match shape {
        Shape::Embedded(name) => Some(name),
        Shape::List(items) => embedded_in(&items.shape),
        Shape::Scalar(_) | Shape::Enum(_) => None,
    }
}

/// Whether one of the fields has another stored name, or holds an embedded type of `other`.
fn all_reach(fields: &FieldNames, other: &BTreeSet<String>) -> bool {
    fields.iter().any(|(name, field)| {
        let embedded = field.embedded.as_ref();
        *name != field.stored_as || embedded.is_some_and(|name| other.contains(name))
    })
}

/// A copy of a record, in which `convert` replaces values.
fn each(
    raw: &RawDocument,
    convert: impl Fn(&str, RawBsonRef<'_>) -> Result<Option<RawBson>, CodecError>,
) -> Result<RawDocumentBuf, CodecError> {
    let mut converted = RawDocumentBuf::new();
    for element in raw {
        let (name, value) = element?;
        match convert(name.as_str(), value)? {
            Some(value) => converted.append(name, value),
            None => converted.append(name, value),
        }
    }
    Ok(converted)
}

/// The fields in question, under their stored names.
fn stored(fields: &FieldNames, names: &RawArray) -> Result<RawArrayBuf, CodecError> {
    let mut converted = RawArrayBuf::new();
    for name in names {
        let name = name?.as_str().ok_or(CodecError::Field("f"))?;
        converted.push(fields.get(name).map_or(name, |field| &field.stored_as));
    }
    Ok(converted)
}

/// The same conflict with the number of its bytes, where the store keeps that in the record.
fn counted(conflict: RawDocumentBuf) -> Result<RawDocumentBuf, CodecError> {
    let InboxRecord::Open(open) = codec::decode_record(conflict.as_bytes())? else {
        return Ok(conflict);
    };
    let bytes = i64::try_from(open.bytes()).unwrap_or(i64::MAX);
    each(&conflict, |name, _| {
        Ok((name == "b").then_some(RawBson::Int64(bytes)))
    })
}
