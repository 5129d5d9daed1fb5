//! The answer around what an operation's one field writes.

use std::sync::Arc;

use async_graphql::{PathSegment, Response, ServerError};

use super::Plan;
use crate::{
    graphql::{
        answer::Answer,
        error::Failure,
        render::{Key, Stop, Text, Written},
        request::{OperationKind, SelectedField, Selection},
    },
    sync::{Caller, SyncService},
};

const TYPENAME: &str = "__typename";

/// What stands at the root of an answer.
pub(super) type RootShape = Vec<(Key, RootPart)>;

pub(super) enum RootPart {
    TypeName(&'static str),
    /// The operation's one field.
    Field,
}

/// What an operation asks for that asks for `field` once, and besides for nothing but its root type's name.
pub(super) fn root<'a>(
    selection: &'a Selection,
    field: &str,
) -> Option<(RootShape, &'a SelectedField)> {
    let root = match selection.kind {
        OperationKind::Query => "Query",
        OperationKind::Mutation => "Mutation",
        OperationKind::Subscription => "Subscription",
    };
    let mut of_name = selection.fields.iter().filter(|asked| asked.name == field);
    let (Some(below), None) = (of_name.next(), of_name.next()) else {
        return None;
    };
    let parts = selection.fields.iter().map(|asked| {
        let part = match asked.name.as_str() {
            TYPENAME => RootPart::TypeName(root),
            name if name == field => RootPart::Field,
            _ => return None,
        };
        Some((Key::new(&asked.key), part))
    });
    Some((parts.collect::<Option<_>>()?, below))
}

impl Plan {
    /// The answer; `field` writes what stands in the one field, about `bytes` long.
    pub(super) async fn written(
        &self,
        bytes: usize,
        field: impl Fn(&mut Text) -> Written,
        sync: &Arc<SyncService>,
        caller: &Caller,
    ) -> Answer {
        let mut text = Text::with_capacity(bytes);
        text.raw(b"{\"data\":");
        let mut written = text.object(&self.shape.root, |text, key, part| match part {
            RootPart::TypeName(name) => {
                text.string(name);
                Ok(())
            }
            RootPart::Field => text.position(key, true, &field),
        });
        if written.is_ok() && text.has_holes() {
            written = Box::pin(text.fill(&self.loader(sync, caller))).await;
        }
        match written {
            Ok(()) => {}
            Err(Stop::Null) => {
                text.out.truncate(b"{\"data\":".len());
                text.null();
            }
            Err(Stop::Failed(failure)) => return failed(&self.selection, *failure),
        }
        let errors = text.take_errors(&self.selection.fields);
        if !errors.is_empty() {
            text.raw(b",\"errors\":");
            text.json(&errors);
        }
        text.raw(b"}");
        Answer::Written(text.out)
    }
}

/// The answer to an operation whose field failed: it must not be null, and so there is no data at all.
pub(super) fn failed(selection: &Selection, failure: Failure) -> Answer {
    let mut fields = selection.fields.iter();
    let field = fields.find(|field| field.name != TYPENAME);
    let field = field.expect("a plan is made of a field");
    let error = ServerError {
        path: vec![PathSegment::Field(field.key.to_string())],
        ..failure.into_error().into_server_error(field.position.0)
    };
    Answer::Executed(Box::new(Response::from_errors(vec![error])))
}
