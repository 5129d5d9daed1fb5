//! A stored record as its readers see it, found in one walk over its bytes.

use bson::spec::ElementType;
use tidegate_core::{
    id::Version,
    value::Timestamp,
    view::{ChangeKind, RecordHead, RecordView, Seen, Unreadable, ValueView},
};

use super::{
    CodecError, decode_decimal,
    raw::{RawElement, RawElements, type_name},
};

/// The parts of a record.
pub struct StoredView<'r> {
    type_name: &'r str,
    id: &'r str,
    scope: &'r str,
    version: Version,
    at: Timestamp,
    kind: ChangeKind,
    is_withheld: bool,
    body: Option<RawElement<'r>>,
}

impl<'r> StoredView<'r> {
    /// Whether the store has a document there that it does not show.
    pub fn is_withheld(&self) -> bool {
        self.is_withheld
    }

    /// The same of a document that can no longer be shown.
    #[must_use]
    pub fn withheld(&self) -> Self {
        Self {
            kind: ChangeKind::Revoke,
            body: None,
            ..*self
        }
    }

    /// Reads what `encode_item` wrote.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not of that form.
    pub(crate) fn read(bytes: &'r [u8]) -> Result<Self, CodecError> {
        let (mut type_name, mut id, mut scope) = (None, None, None);
        let (mut version, mut at, mut body) = (None, None, None);
        let (mut is_marker, mut withheld) = (false, false);
        for element in RawElements::of(bytes)? {
            let element = element?;
            match element.name {
                b"t" => type_name = Some(element.text()?),
                b"i" => id = Some(element.text()?),
                b"s" => scope = Some(element.text()?),
                b"v" => version = element.int32(),
                b"at" => at = element.date_ms(),
                b"left" => is_marker = true,
                b"h" => withheld = true,
                b"b" => body = Some(element),
                _ => {}
            }
        }
        Ok(Self {
            type_name: type_name.ok_or(CodecError::Field("t"))?,
            id: id.ok_or(CodecError::Field("i"))?,
            scope: scope.ok_or(CodecError::Field("s"))?,
            version: version.map(Version).ok_or(CodecError::Field("v"))?,
            at: Timestamp::from_ms(at.ok_or(CodecError::Field("at"))?)?,
            kind: ChangeKind::of(is_marker, withheld, body.is_some()),
            is_withheld: withheld,
            body: body.filter(|_| !is_marker),
        })
    }
}

impl RecordHead for StoredView<'_> {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn id(&self) -> &str {
        self.id
    }

    fn scope(&self) -> &str {
        self.scope
    }

    fn version(&self) -> Version {
        self.version
    }

    fn changed_at(&self) -> Timestamp {
        self.at
    }

    fn kind(&self) -> ChangeKind {
        self.kind
    }
}

impl<'r> RecordView for StoredView<'r> {
    type Value<'v>
        = StoredValue<'v>
    where
        Self: 'v;

    fn body(&self) -> Option<StoredValue<'_>> {
        self.body.map(StoredValue)
    }
}

/// A value as its store keeps it.
#[derive(Clone, Copy)]
pub struct StoredValue<'r>(RawElement<'r>);

impl<'r> StoredValue<'r> {
    fn seen(self) -> Result<Seen<'r>, CodecError> {
        let Self(element) = self;
        let no_value = CodecError::Type(element.kind);
        Ok(match element.kind {
            ElementType::Null => Seen::Null,
            ElementType::Boolean => Seen::Bool(element.is_true()),
            ElementType::Int32 => Seen::Int(element.int32().ok_or(no_value)?),
            ElementType::Int64 => Seen::Long(element.int64().ok_or(no_value)?),
            ElementType::Double => Seen::Float(element.double().ok_or(no_value)?),
            ElementType::String => Seen::Text(element.text()?),
            ElementType::DateTime => {
                Seen::Instant(Timestamp::from_ms(element.date_ms().ok_or(no_value)?)?)
            }
            ElementType::Decimal128 => {
                Seen::Decimal(decode_decimal(element.decimal().ok_or(no_value)?)?)
            }
            ElementType::Binary => Seen::Bytes(element.binary().ok_or(no_value)?),
            ElementType::Array => Seen::List,
            ElementType::EmbeddedDocument => Seen::Object,
            _ => return Err(no_value),
        })
    }

    fn elements(self, kind: ElementType) -> Result<RawElements<'r>, CodecError> {
        match self.0.kind {
            of if of == kind => RawElements::of(self.0.value),
            _ => Ok(RawElements::none()),
        }
    }
}

impl<'r> ValueView<'r> for StoredValue<'r> {
    fn see(self) -> Result<Seen<'r>, Unreadable> {
        Ok(self.seen()?)
    }

    fn items(self) -> Result<impl Iterator<Item = Result<Self, Unreadable>>, Unreadable> {
        let items = self.elements(ElementType::Array)?;
        Ok(items.map(|item| Ok(Self(item?))))
    }

    fn fields(
        self,
    ) -> Result<impl Iterator<Item = Result<(&'r str, Self), Unreadable>>, Unreadable> {
        let fields = self.elements(ElementType::EmbeddedDocument)?;
        Ok(fields.map(|field| {
            let field = field?;
            Ok((field.name()?, Self(field)))
        }))
    }

    /// The store writes fields in ascending order, so the next wanted field is mostly the next one found. Any other
    /// order is read as well.
    fn find(self, wanted: &[Box<str>]) -> Result<Vec<Option<Self>>, Unreadable> {
        let mut found = vec![None; wanted.len()];
        let mut next = 0;
        for element in self.elements(ElementType::EmbeddedDocument)? {
            let element = element?;
            let name = element.name;
            let is_next = wanted
                .get(next)
                .is_some_and(|wanted| wanted.as_bytes() == name);
            let slot = match is_next {
                true => Ok(next),
                false => wanted.binary_search_by(|wanted| wanted.as_bytes().cmp(name)),
            };
            if let Ok(slot) = slot {
                found[slot] = Some(Self(element));
                next = slot + 1;
            }
        }
        Ok(found)
    }
}

impl From<CodecError> for Unreadable {
    fn from(error: CodecError) -> Self {
        let found = match &error {
            CodecError::Type(kind) => type_name(*kind),
            CodecError::Decimal => "decimal",
            CodecError::Timestamp(_) => "date",
            _ => "unknown",
        };
        Self {
            found,
            problem: error.to_string(),
        }
    }
}
