//! The answer around what an operation's one field writes.

use async_graphql::{PathSegment, Response, ServerError};

use super::select::RootPart;
use crate::graphql::{
    answer::Answer,
    error::Failure,
    render::{Key, Stop, Text, Written},
    request::Selection,
};

/// The answer to an operation whose root has these parts; `field` writes what stands in its one field, about `bytes` long.
pub(super) fn answer(
    selection: &Selection,
    root: &[(Key, RootPart)],
    bytes: usize,
    field: impl Fn(&mut Text) -> Written,
) -> Answer {
    let mut text = Text::with_capacity(bytes);
    text.raw(b"{\"data\":");
    let written = text.object(root, |text, part| match part {
        RootPart::Literal(json) => {
            text.raw(json);
            Ok(())
        }
        RootPart::Field => field(text),
    });
    if let Err(Stop::Failed(failure)) = written {
        return failed(selection, *failure);
    }
    let errors = text.take_errors(&selection.fields);
    if !errors.is_empty() {
        text.raw(b",\"errors\":");
        text.json(&errors);
    }
    text.raw(b"}");
    Answer::Written(text.out)
}

/// The answer to an operation whose field failed: it must not be null, and so there is no data at all.
pub(super) fn failed(selection: &Selection, failure: Failure) -> Answer {
    let mut fields = selection.fields.iter();
    let field = fields.find(|field| field.name != "__typename");
    let field = field.expect("a plan is made of a field");
    let error = ServerError {
        path: vec![PathSegment::Field(field.key.to_string())],
        ..failure.into_error().into_server_error(field.position.0)
    };
    Answer::Executed(Box::new(Response::from_errors(vec![error])))
}
