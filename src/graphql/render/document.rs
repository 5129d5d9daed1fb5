//! Documents in answers: what an operation selects of them, and how it is written. Stored bytes and decided entries are
//! written alike. One that its selection cannot show stops the writer, which shows something else in its place
//! (rules.md 8.8).
//!
//! Values have the same bytes as in `tidegate_core::value::json`.

mod relations;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use tidegate_core::{
    entry::Entry,
    id::Version,
    model::Scalar,
    transaction::Misfit,
    value::{
        DEPTH_MAX, Document, Value,
        fit::{self, ScalarFit, fit_scalar, not_of_enum},
    },
    view::{RecordHead, RecordView, Seen, Unreadable, ValueRef, ValueView},
};

pub(in crate::graphql) use self::relations::{ReferencePlan, ReversePlan};
use super::{Key, PathStep, RenderResult, RenderStop, Text};
use crate::withheld;

/// The selections of documents, by the stored names of their types.
pub(in crate::graphql) struct DocumentPlan(pub(in crate::graphql) BTreeMap<Box<str>, TypePlan>);

/// The selection of documents of one type, or of sides of conflicts about them.
pub(in crate::graphql) struct TypePlan {
    /// What the API calls the type of the object.
    pub(in crate::graphql) name: Box<str>,
    pub(in crate::graphql) parts: PartsPlan,
}

/// The selection of a document, of an embedded one, or of a side of a conflict.
pub(in crate::graphql) struct PartsPlan {
    parts: Vec<(Key, DocumentPart)>,
    /// For each part, where its field is in `wanted`, and the field's earlier name if it has one; any place if it needs no
    /// field.
    slots: Vec<(usize, Option<usize>)>,
    /// The stored names of the needed fields, in ascending order.
    wanted: Vec<Box<str>>,
}

/// Writes a field of every record's head.
pub(in crate::graphql) type HeadWriter = fn(&dyn RecordHead, &mut Text);

pub(in crate::graphql) enum DocumentPart {
    TypeName(Box<str>),
    /// The head of a document. Embedded ones and sides of conflicts have none.
    Head(HeadWriter),
    Field(FieldPlan),
    /// A retired field, which shows its default or null whatever is stored.
    Retired(FieldPlan),
    Reference(ReferencePlan),
    /// A list of documents that refer to this one.
    Reverse(ReversePlan),
    /// A retired reference, which shows null.
    Nothing,
}

pub(in crate::graphql) struct FieldPlan {
    /// The field's name in the model.
    pub(in crate::graphql) name: Box<str>,
    pub(in crate::graphql) stored_as: Box<str>,
    /// The name in older documents.
    pub(in crate::graphql) stored_before: Option<Box<str>>,
    pub(in crate::graphql) value: ValuePlan,
    /// Whether null is not allowed.
    pub(in crate::graphql) required: bool,
    /// Whether a value that does not fit is shown as null.
    pub(in crate::graphql) nulls_misfits: bool,
    /// The value shown instead of null.
    pub(in crate::graphql) default: Option<Value>,
}

/// How a value that is not null is shown. A document with a value of another type is not shown.
pub(in crate::graphql) enum ValuePlan {
    /// A scalar other than JSON. 64-bit integers, decimals, instants and bytes are shown as strings.
    Scalar(Scalar),
    /// A value of the enum of this name.
    Enum(Box<str>, BTreeSet<Box<str>>),
    /// As JSON, in which 64-bit integers are numbers.
    Json,
    List {
        item: Box<ValuePlan>,
        /// Whether an item must not be null.
        required: bool,
    },
    Embedded(PartsPlan),
}

impl PartsPlan {
    /// With these parts, in this order.
    pub(in crate::graphql) fn new(parts: Vec<(Key, DocumentPart)>) -> Self {
        let fields = parts.iter().flat_map(|(_, part)| part.names());
        let mut wanted: Vec<Box<str>> = fields.flatten().map(Box::from).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let slot = |name: &str| wanted.binary_search_by(|it| (**it).cmp(name)).ok();
        let slots = parts.iter().map(|(_, part)| {
            let [name, before] = part.names().map(|name| name.and_then(slot));
            (name.unwrap_or_default(), before)
        });
        Self {
            slots: slots.collect(),
            wanted,
            parts,
        }
    }
}

impl DocumentPart {
    /// The stored name of the field that it needs, and the field's earlier one.
    fn names(&self) -> [Option<&str>; 2] {
        match self {
            Self::Field(field) => [Some(&field.stored_as), field.stored_before.as_deref()],
            Self::Reference(reference) => [Some(&reference.by), reference.by_before.as_deref()],
            Self::TypeName(_)
            | Self::Head(_)
            | Self::Retired(_)
            | Self::Reverse(_)
            | Self::Nothing => [None, None],
        }
    }
}

/// Which document is written, for the log.
pub(in crate::graphql) struct Written<'d> {
    pub(in crate::graphql) type_name: &'d str,
    pub(in crate::graphql) id: &'d str,
    pub(in crate::graphql) version: Version,
}

impl<'d, H: RecordHead> From<&'d H> for Written<'d> {
    fn from(head: &'d H) -> Self {
        Self {
            type_name: head.type_name(),
            id: head.id(),
            version: head.version(),
        }
    }
}

impl Text {
    /// Writes a document with `write`, or if it cannot be shown, what `instead` writes.
    pub(in crate::graphql) fn shown<'d>(
        &mut self,
        written: impl Into<Written<'d>>,
        write: impl FnOnce(&mut Self) -> RenderResult,
        instead: impl FnOnce(&mut Self) -> RenderResult,
    ) -> RenderResult {
        let begin = self.mark();
        match write(self) {
            Err(RenderStop::Misfit(misfit)) => {
                let Written {
                    type_name,
                    id,
                    version,
                } = written.into();
                withheld::log(type_name, id, version, &misfit);
                self.rewind(&begin);
                instead(self)
            }
            written => written,
        }
    }

    /// The document that a record shows; null if it shows none.
    pub(in crate::graphql) fn document(
        &mut self,
        record: &impl RecordView,
        plan: &DocumentPlan,
    ) -> RenderResult {
        match plan.0.get(record.type_name()) {
            Some(plan) => self.object_of_type(&plan.name, |text| {
                text.document_of_type(record, &plan.parts)
            }),
            None => self.document_of_type(record, &PartsPlan::new(Vec::new())),
        }
    }

    /// One side of a conflict about a document of the type that stores call `type_name`.
    pub(in crate::graphql) fn state(
        &mut self,
        state: &Document,
        type_name: &str,
        plan: &DocumentPlan,
    ) -> RenderResult {
        let state = ValueRef::Document(state);
        match plan.0.get(type_name) {
            Some(plan) => {
                self.object_of_type(&plan.name, |text| text.parts(None, state, &plan.parts))
            }
            None => self.parts(None, state, &PartsPlan::new(Vec::new())),
        }
    }

    /// An object of a position that may hold several types.
    fn object_of_type(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Self) -> RenderResult,
    ) -> RenderResult {
        let begin = self.mark();
        let written = write(self);
        for steps in self.steps_since(&begin) {
            steps.push(PathStep::Type(name.into()));
        }
        written
    }

    /// The document of an entry, if there is one and it can be shown.
    pub(in crate::graphql) fn optional_document(
        &mut self,
        entry: Option<&Entry>,
        plan: &DocumentPlan,
    ) -> RenderResult {
        match entry {
            Some(entry) => self.shown(entry, |text| text.document(entry, plan), Self::nothing),
            None => self.nothing(),
        }
    }

    /// The same of an entry whose type is the plan's.
    pub(in crate::graphql) fn optional_document_of_type(
        &mut self,
        entry: Option<&Entry>,
        plan: &PartsPlan,
    ) -> RenderResult {
        match entry {
            Some(entry) => {
                let write = |text: &mut Self| text.document_of_type(entry, plan);
                self.shown(entry, write, Self::nothing)
            }
            None => self.nothing(),
        }
    }

    fn document_of_type(&mut self, record: &impl RecordView, plan: &PartsPlan) -> RenderResult {
        let Some(body) = record.body() else {
            return self.nothing();
        };
        match body.see()? {
            Seen::Object => self.parts(Some(record), body, plan),
            seen => Err(misfit(seen.bson_type(), "is not an object")),
        }
    }

    fn parts<'v, V: ValueView<'v>>(
        &mut self,
        head: Option<&dyn RecordHead>,
        object: V,
        plan: &PartsPlan,
    ) -> RenderResult {
        let found = object.find(&plan.wanted)?;
        self.raw(b"{");
        for (place, ((key, part), (slot, before))) in plan.parts.iter().zip(&plan.slots).enumerate()
        {
            self.key(place, key);
            let found = || {
                let before = || before.and_then(|before| found[before]);
                found.get(*slot).copied().flatten().or_else(before)
            };
            match part {
                DocumentPart::TypeName(name) => self.string(name),
                DocumentPart::Head(write) => {
                    if let Some(head) = head {
                        write(head, self);
                    }
                }
                DocumentPart::Field(field) => {
                    let begin = self.mark();
                    match self.field(found(), field) {
                        Err(RenderStop::Misfit(_)) if field.nulls_misfits => {
                            self.rewind(&begin);
                            self.null();
                        }
                        written => {
                            written.map_err(|stop| stop.with(|it| it.inside(&field.name)))?
                        }
                    }
                }
                DocumentPart::Retired(field) => self.field(None::<V>, field)?,
                DocumentPart::Nothing => self.null(),
                DocumentPart::Reference(reference) => {
                    let inside = |stop: RenderStop| stop.with(|it| it.inside(&reference.field));
                    let written = self.position(key, false, |text| match reference.is_list {
                        true => text.references(found(), reference),
                        false => text.reference(found(), reference),
                    });
                    written.map_err(inside)?;
                }
                DocumentPart::Reverse(reverse) => {
                    self.position(key, false, |text| text.reverse(head, reverse))?;
                }
            }
        }
        self.raw(b"}");
        Ok(())
    }

    fn field<'v, V: ValueView<'v>>(&mut self, value: Option<V>, field: &FieldPlan) -> RenderResult {
        let seen = value.map(|value| Ok::<_, Unreadable>((value, value.see()?)));
        match (seen.transpose()?, &field.default) {
            (None | Some((_, Seen::Null)), Some(default)) => {
                let default = ValueRef::Value(default);
                self.value(default, default.see()?, &field.value)
            }
            (None, None) => self.absent("missing", field.required),
            (Some((_, Seen::Null)), None) => self.absent("null", field.required),
            (Some((value, seen)), _) => self.value(value, seen, &field.value),
        }
    }

    fn value<'v, V: ValueView<'v>>(
        &mut self,
        value: V,
        seen: Seen<'v>,
        plan: &ValuePlan,
    ) -> RenderResult {
        match (plan, seen) {
            (ValuePlan::Json, seen) => return Ok(self.free(value, seen, 0)?),
            (ValuePlan::List { item, required }, Seen::List) => {
                return self.items(value, item, *required);
            }
            (ValuePlan::Embedded(plan), Seen::Object) => return self.parts(None, value, plan),
            (ValuePlan::Enum(_, values), Seen::Text(text)) if values.contains(text) => {
                self.string(text);
            }
            (ValuePlan::Scalar(scalar), seen) => match fit_scalar(*scalar, &seen) {
                ScalarFit::Same => self.scalar(seen),
                ScalarFit::Widened(value) => self.scalar(ValueRef::Value(&value).see()?),
                ScalarFit::Unfit(expected) => return Err(mismatch(&seen, expected)),
            },
            (ValuePlan::Enum(name, _), Seen::Text(_)) => return Err(not_of_enum(name).into()),
            (ValuePlan::Enum(..), seen) => return Err(mismatch(&seen, "a string")),
            (ValuePlan::List { .. }, seen) => return Err(mismatch(&seen, "a list")),
            (ValuePlan::Embedded(_), seen) => return Err(mismatch(&seen, "a document")),
        }
        Ok(())
    }

    fn items<'v, V: ValueView<'v>>(
        &mut self,
        list: V,
        plan: &ValuePlan,
        required: bool,
    ) -> RenderResult {
        self.raw(b"[");
        for (place, item) in list.items()?.enumerate() {
            let item = item?;
            self.comma(place);
            let written = self.item(item, plan, required);
            written.map_err(|stop| stop.with(|it| it.at(place)))?;
        }
        self.raw(b"]");
        Ok(())
    }

    fn item<'v, V: ValueView<'v>>(
        &mut self,
        item: V,
        plan: &ValuePlan,
        required: bool,
    ) -> RenderResult {
        match item.see()? {
            Seen::Null => self.absent("null", required),
            seen => self.value(item, seen, plan),
        }
    }

    /// Null in place of a value, if that is allowed.
    fn absent(&mut self, found: &str, required: bool) -> RenderResult {
        match required {
            true => Err(misfit(found, "is required and has no value")),
            false => self.nothing(),
        }
    }

    fn scalar(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Bool(value) => self.json(&value),
            Seen::Int(value) => self.json(&value),
            Seen::Float(value) => self.json(&value),
            Seen::Text(text) => self.string(text),
            Seen::Long(value) => self.quoted(value),
            Seen::Instant(at) => self.instant(at),
            Seen::Decimal(decimal) => self.quoted(decimal),
            Seen::Bytes(bytes) => self.quoted(BASE64.encode(bytes)),
            Seen::Null | Seen::List | Seen::Object => self.null(),
        }
    }

    /// A value inside the scalar JSON.
    fn free<'v, V: ValueView<'v>>(
        &mut self,
        value: V,
        seen: Seen<'v>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        if depth > DEPTH_MAX {
            return Err(Unreadable {
                found: seen.bson_type(),
                problem: "it is nested too deeply".to_owned(),
            });
        }
        match seen {
            Seen::Long(long) => self.json(&long),
            Seen::List => {
                self.raw(b"[");
                for (place, item) in value.items()?.enumerate() {
                    let item = item?;
                    self.comma(place);
                    self.free(item, item.see()?, depth + 1)?;
                }
                self.raw(b"]");
            }
            Seen::Object => {
                self.raw(b"{");
                for (place, field) in value.fields()?.enumerate() {
                    let (name, value) = field?;
                    self.comma(place);
                    self.string(name);
                    self.raw(b":");
                    self.free(value, value.see()?, depth + 1)?;
                }
                self.raw(b"}");
            }
            seen @ (Seen::Instant(_) | Seen::Decimal(_) | Seen::Bytes(_)) => {
                let found = seen.bson_type();
                return Err(Unreadable {
                    found,
                    problem: format!("it is {found}, which JSON has not"),
                });
            }
            seen => self.scalar(seen),
        }
        Ok(())
    }
}

fn misfit(found: &str, problem: &str) -> RenderStop {
    RenderStop::Misfit(Box::new(Misfit {
        path: String::new(),
        found: found.to_owned(),
        problem: problem.to_owned(),
    }))
}

impl RenderStop {
    /// The same, with another path.
    fn with(self, path: impl FnOnce(Misfit) -> Misfit) -> Self {
        match self {
            Self::Misfit(misfit) => Self::Misfit(Box::new(path(*misfit))),
            Self::Null => Self::Null,
        }
    }
}

fn mismatch(seen: &Seen<'_>, expected: &str) -> RenderStop {
    fit::mismatch(seen.bson_type(), expected).into()
}

impl From<Misfit> for RenderStop {
    fn from(misfit: Misfit) -> Self {
        Self::Misfit(Box::new(misfit))
    }
}

impl From<Unreadable> for RenderStop {
    fn from(unreadable: Unreadable) -> Self {
        Self::Misfit(Box::new(unreadable.misfit()))
    }
}
