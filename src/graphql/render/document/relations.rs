//! Documents that others show: items of lists, and those that are loaded later.

use std::sync::Arc;

use tidegate_core::{
    id::{DocumentId, DocumentKey, IdType, Scope, TypeName},
    model::Scalar,
    value::{
        Value,
        fit::{ScalarFit, fit_scalar},
    },
    view::{RecordHead, RecordView, Seen, ValueView},
};

use super::{PartsPlan, RenderResult, RenderStop, Text, misfit};
use crate::{
    graphql::{
        render::load::{ListKey, Relation},
        table::ObjectPlan,
        types::list::ListConnection,
    },
    sync::ListItem,
};

/// Another document, whose id is in a field.
pub(in crate::graphql) struct ReferencePlan {
    /// The name in the model of the field with the id.
    pub(in crate::graphql) field: Box<str>,
    /// Its stored name.
    pub(in crate::graphql) by: Box<str>,
    /// The name in older documents.
    pub(in crate::graphql) by_before: Option<Box<str>>,
    pub(in crate::graphql) target: TypeName,
    pub(in crate::graphql) id_type: IdType,
    /// Whether the field holds a list of ids.
    pub(in crate::graphql) is_list: bool,
    pub(in crate::graphql) plan: Arc<PartsPlan>,
}

/// The documents that refer to this one.
pub(in crate::graphql) struct ReversePlan {
    pub(in crate::graphql) relation: Arc<Relation>,
    /// Whether only those in the same scope.
    pub(in crate::graphql) same_scope: bool,
    pub(in crate::graphql) plan: Arc<ObjectPlan<ListConnection>>,
}

impl Text {
    /// Documents of a list, in order. One that cannot be shown is left out.
    pub(in crate::graphql) fn listed(
        &mut self,
        items: &[ListItem],
        write: impl Fn(&mut Self, &ListItem) -> RenderResult,
    ) -> RenderResult {
        self.raw(b"[");
        let mut shown = 0_usize;
        for item in items {
            let begin = self.mark();
            self.comma(shown);
            match self.position(shown, true, |text| write(text, item)) {
                Err(RenderStop::Misfit(misfit)) => {
                    item.log_misfit(&misfit);
                    self.rewind(&begin);
                }
                written => {
                    written?;
                    shown += 1;
                }
            }
        }
        self.raw(b"]");
        Ok(())
    }

    /// The document of a list's item.
    pub(in crate::graphql) fn listed_document(
        &mut self,
        item: &ListItem,
        plan: &PartsPlan,
    ) -> RenderResult {
        match item.view() {
            Some(record) if record.body().is_some() => self.document_of_type(&record, plan),
            _ => Err(misfit("unknown", "cannot be read")),
        }
    }

    /// Documents that are loaded later; null if the field holds no list.
    pub(super) fn references<'v, V: ValueView<'v>>(
        &mut self,
        list: Option<V>,
        reference: &ReferencePlan,
    ) -> RenderResult {
        let Some(list) = list else {
            return self.nothing();
        };
        if !matches!(list.see()?, Seen::List) {
            return self.nothing();
        }
        self.raw(b"[");
        for (place, item) in list.items()?.enumerate() {
            let item = item?;
            self.comma(place);
            self.position(place, false, |text| text.reference(Some(item), reference))?;
        }
        self.raw(b"]");
        Ok(())
    }

    /// A page of documents that is loaded later. Only documents have one.
    pub(super) fn reverse(
        &mut self,
        head: Option<&dyn RecordHead>,
        reverse: &ReversePlan,
    ) -> RenderResult {
        let parent = head.and_then(|head| {
            let scope = Scope::new(head.scope()).ok().filter(|_| reverse.same_scope);
            let id = DocumentId::new(head.id()).ok()?;
            Some(ListKey::new(&reverse.relation, id, scope))
        });
        match parent {
            Some(key) => self.list_hole(key, &reverse.plan),
            None => return self.nothing(),
        }
        Ok(())
    }

    /// A document that is loaded later; null if the field holds no id.
    pub(super) fn reference<'v, V: ValueView<'v>>(
        &mut self,
        id: Option<V>,
        reference: &ReferencePlan,
    ) -> RenderResult {
        let seen = id.map(V::see).transpose()?;
        let id = seen.and_then(|id| match (&id, fit_scalar(Scalar::Id, &id)) {
            (Seen::Text(id), _) => reference.id_type.parse(id).ok(),
            (_, ScalarFit::Widened(Value::String(id))) => reference.id_type.parse(&id).ok(),
            _ => None,
        });
        let Some(id) = id else {
            return self.nothing();
        };
        let key = DocumentKey {
            type_name: reference.target.clone(),
            id,
        };
        self.hole(key, &reference.plan);
        Ok(())
    }
}
