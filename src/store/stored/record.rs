//! What stands in a stored record and in its documents, found in one walk over their bytes. How it is shown is said in
//! [`super::json`].

use bson::spec::ElementType;
use tidegate_core::value::Timestamp;

use super::projection::ObjectShape;
use crate::store::codec::{
    CodecError,
    walk::{Element, Elements},
};

/// What a record says, as far as it is ever shown.
pub(super) struct Record<'r> {
    pub(super) type_name: &'r str,
    pub(super) id: &'r str,
    pub(super) scope: &'r str,
    pub(super) version: i32,
    pub(super) at: Timestamp,
    /// It is a marker.
    pub(super) left: bool,
    pub(super) withheld: bool,
    pub(super) body: Option<&'r [u8]>,
}

impl<'r> Record<'r> {
    pub(super) fn read(bytes: &'r [u8]) -> Result<Self, CodecError> {
        let (mut type_name, mut id, mut scope) = (None, None, None);
        let (mut version, mut at, mut body) = (None, None, None);
        let (mut left, mut withheld) = (false, false);
        for element in Elements::of(bytes)? {
            let element = element?;
            match element.name {
                b"t" => type_name = Some(element.text()?),
                b"i" => id = Some(element.text()?),
                b"s" => scope = Some(element.text()?),
                b"v" => version = element.int32(),
                b"at" => at = element.date_ms(),
                b"left" => left = true,
                b"h" => withheld = true,
                b"b" if element.kind == ElementType::EmbeddedDocument => body = Some(element.value),
                b"b" => return Err(CodecError::Field("b")),
                _ => {}
            }
        }
        Ok(Self {
            type_name: type_name.ok_or(CodecError::Field("t"))?,
            id: id.ok_or(CodecError::Field("i"))?,
            scope: scope.ok_or(CodecError::Field("s"))?,
            version: version.ok_or(CodecError::Field("v"))?,
            at: Timestamp::from_ms(at.ok_or(CodecError::Field("at"))?)?,
            left,
            withheld,
            body,
        })
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.body {
            _ if self.left || self.withheld => "REVOKE",
            Some(_) => "UPSERT",
            None => "DELETE",
        }
    }
}

/// The wanted fields of a document, each in its slot. The store writes fields in ascending order, so that the next wanted
/// is mostly the next found; any other order is read as well.
pub(super) fn find<'r>(
    raw: &'r [u8],
    shape: &ObjectShape,
) -> Result<Vec<Option<Element<'r>>>, CodecError> {
    let wanted = &shape.wanted;
    let mut found = vec![None; wanted.len()];
    let mut next = 0;
    for element in Elements::of(raw)? {
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
            found[slot] = Some(element);
            next = slot + 1;
        }
    }
    Ok(found)
}
