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

/// How the fields are stored that a model names.
#[derive(Debug, Default)]
pub(crate) struct StoredNames {
    model: Option<Model>,
    /// The types that have other stored names somewhere, by their names.
    types: BTreeSet<TypeName>,
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
        Ok(Self::of(model))
    }

    fn of(model: Model) -> Self {
        let differs = |fields: &[Field]| has_other_names(&model, fields, &mut BTreeSet::new());
        let types = model.types.iter().filter(|of| differs(&of.fields));
        Self {
            types: types.map(|of| of.name.clone()).collect(),
            model: Some(model),
        }
    }

    /// The types whose records have to be written again, in ascending order.
    pub(crate) fn types(&self) -> impl Iterator<Item = &TypeName> {
        self.types.iter()
    }

    /// Whether no record has to be written again.
    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// A record of the feed in today's form, with all else that its store keeps in it; `None` if it stays as it is. One
    /// that cannot be read stays, and is withheld by those who read it.
    pub(crate) fn record(&self, raw: &RawDocument) -> Option<RawDocumentBuf> {
        let fields = self.fields_of(raw)?;
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
        let fields = self.fields_of(raw)?;
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

    /// The fields of a record whose type has other stored names.
    fn fields_of(&self, raw: &RawDocument) -> Option<&[Field]> {
        let name = TypeName::new(raw.get_str("t").ok()?).ok()?;
        let mut types = self.model.iter().flat_map(|model| &model.types);
        let of_type = types.find(|of| of.name == name && self.types.contains(&name));
        of_type.map(|of| of.fields.as_slice())
    }

    /// A document under stored names. What the model does not name keeps its name, unless another field is stored under
    /// it: earlier versions kept what was left of such a field.
    fn document(&self, fields: &[Field], raw: &RawDocument) -> Result<RawDocumentBuf, CodecError> {
        let (mut named, mut other) = (BTreeMap::new(), BTreeMap::new());
        for element in raw {
            let (name, value) = element?;
            match named_in(fields, name.as_str()) {
                Some(field) => {
                    let value = self.value(&field.ty.shape, value)?;
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

    fn value(&self, shape: &Shape, value: RawBsonRef<'_>) -> Result<RawBson, CodecError> {
        let Some((model, name)) = self.model.as_ref().zip(shape.embedded()) else {
            return Ok(value.into());
        };
        Ok(match value {
            RawBsonRef::Document(raw) => self.document(model.embedded_fields(name), raw)?.into(),
            RawBsonRef::Array(items) => {
                let mut converted = RawArrayBuf::new();
                for item in items {
                    converted.push(self.value(shape, item?)?);
                }
                converted.into()
            }
            other => other.into(),
        })
    }
}

/// Whether a field has another stored name, itself or in an embedded type that none of `seen` is.
fn has_other_names<'m>(
    model: &'m Model,
    fields: &'m [Field],
    seen: &mut BTreeSet<&'m str>,
) -> bool {
    fields.iter().any(|field| {
        let embedded = field.ty.shape.embedded().filter(|name| seen.insert(name));
        let inside = embedded.map(|name| model.embedded_fields(name));
        field.name != field.stored_as
            || inside.is_some_and(|inside| has_other_names(model, inside, seen))
    })
}

fn named_in<'m>(fields: &'m [Field], name: &str) -> Option<&'m Field> {
    fields.iter().find(|field| field.name == name)
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
fn stored(fields: &[Field], names: &RawArray) -> Result<RawArrayBuf, CodecError> {
    let mut converted = RawArrayBuf::new();
    for name in names {
        let name = name?.as_str().ok_or(CodecError::Field("f"))?;
        converted.push(named_in(fields, name).map_or(name, |field| &field.stored_as));
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
