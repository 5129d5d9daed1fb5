//! A document that has passed all checks that need no variables: limits, syntax, validity. `coerce.rs` makes variables
//! and arguments exact, and `normalise.rs` selections.

use std::{collections::HashSet, path::Path, sync::Arc};

use apollo_compiler::{
    ExecutableDocument, Node, Schema, ast,
    executable::Operation,
    introspection,
    parser::{FileId, Parser, SourceMap, SourceSpan},
    validation::{DiagnosticList, Valid},
};
use apollo_parser::{SyntaxKind, cst::CstNode as _};

use super::{
    RequestError, RequestErrorKind,
    limits::{Measure, RefusedOperations, all_refused, measure},
    list_arguments::MergeCheck,
    literals,
};
use crate::{
    graphql::{
        ApiOptions,
        earlier_names::{EarlierNames, ShownNames},
    },
    limits::Limits,
};

/// More mistakes of one document than this help no reader.
const REFUSALS_MAX: usize = 20;

pub(super) struct ValidatedDocument {
    pub(super) document: Valid<ExecutableDocument>,
    pub(super) positions: LineIndex,
    /// Variables whose value is used at most once, so that it can be moved instead of copied.
    pub(super) mentioned_once: HashSet<Box<str>>,
    /// What its answers call types, if that is not as in the schema.
    pub(super) shown_names: Option<Arc<ShownNames>>,
    refused: RefusedOperations,
}

impl ValidatedDocument {
    /// Checks `text` in the order of rising cost, so that the cheapest possible step refuses a hostile document.
    ///
    /// # Errors
    /// The faults found by the first failing step.
    pub(super) fn new(
        schema: &Valid<Schema>,
        merge_check: &MergeCheck,
        earlier_names: &EarlierNames,
        text: &str,
        options: &ApiOptions,
    ) -> Result<Self, Vec<RequestError>> {
        let limits = &options.limits;
        let mut tree = parse(text, limits)?;
        let positions = LineIndex::new(text, &tree.sources);
        check_colons(text, &positions, limits)?;
        let Measure { mentions, refused } =
            measure(&tree, limits, &positions).map_err(|refusal| vec![refusal])?;
        let mentioned_once = mentions
            .into_iter()
            .filter(|(_, mentions)| *mentions == 1)
            .map(|(name, _)| name.into())
            .collect();
        let shown_names = earlier_names.replace(&mut tree).map(Arc::new);
        let document = tree
            .to_executable(schema)
            .map_err(|invalid| refusals(RequestErrorKind::Validation, &invalid.errors))?
            .validate(schema)
            .map_err(|invalid| refusals(RequestErrorKind::Validation, &invalid.errors))?;
        merge_check
            .check(&tree)
            .map_err(|conflicts| refusals(RequestErrorKind::Validation, &conflicts))?;
        let mut wrong = literals::check(schema, &document, &positions);
        if !wrong.is_empty() {
            wrong.truncate(REFUSALS_MAX);
            return Err(wrong);
        }
        let mut checked = Self {
            document,
            positions,
            mentioned_once,
            shown_names,
            refused,
        };
        checked.bound_introspection(options.introspection);
        let operations = checked.document.operations.iter();
        match all_refused(
            operations.map(|operation| &operation.name),
            &checked.refused,
        ) {
            Some(refusal) => Err(vec![refusal]),
            None => Ok(checked),
        }
    }

    /// The operation called `name`, or the only one. See the specification's `GetOperation`.
    ///
    /// # Errors
    /// If there is no such operation, or no single one, or it exceeds a limit.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&Node<Operation>, RequestError> {
        let refuse = |message| RequestError::new(RequestErrorKind::OperationChoice, message);
        if self.document.operations.is_empty() {
            return Err(refuse("the document contains no operation".to_owned()));
        }
        let operation = self.document.operations.get(name);
        let operation = operation.map_err(|error| refuse(error.message().to_string()))?;
        match self.refused.get(&operation.name) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(operation),
        }
    }

    /// `types { fields { type { fields … } } }` multiplies its answer with each level. Only operations that query the
    /// schema are checked, since a model may have fields of the same names.
    fn bound_introspection(&mut self, allowed: bool) {
        for operation in self.document.operations.iter() {
            let asks = |name: &str| matches!(name, "__schema" | "__type");
            let Some(asking) = operation
                .root_fields(&self.document)
                .find(|field| asks(&field.name))
            else {
                continue;
            };
            let refusal = if !allowed {
                // async-graphql's own switch answers `data: null` and no error, which no tool can explain.
                let message = "introspection is off; the schema is at /schema.graphql, for whoever has a token";
                let refusal = RequestError::new(RequestErrorKind::Validation, message);
                refusal.at(self.positions.of(asking.location()))
            } else if let Err(error) = introspection::check_max_depth(&self.document, operation) {
                RequestError::new(RequestErrorKind::Limit, error.message().to_string())
                    .at(self.positions.of(error.location()))
            } else {
                continue;
            };
            self.refused.insert(operation.name.clone(), refusal);
        }
    }
}

/// Parses within the limits that protect the parser itself: its recursion runs over selections and
/// values alike.
fn parse(text: &str, limits: &Limits) -> Result<ast::Document, Vec<RequestError>> {
    let limit = |counted: &str, max: usize, setting: &str| {
        let message = format!("the document has more than {max} {counted} ({setting})");
        Err(vec![RequestError::new(RequestErrorKind::Limit, message)])
    };
    if text.len() > limits.query_bytes {
        return limit("bytes", limits.query_bytes, "limits.query_bytes");
    }
    let nesting_max = nesting_max(limits);
    let mut parser = Parser::new()
        .token_limit(limits.query_tokens)
        .recursion_limit(nesting_max);
    let parsed = parser.parse_ast(text, Path::new("request"));
    if parser.tokens_reached() > limits.query_tokens {
        return limit("tokens", limits.query_tokens, "limits.query_tokens");
    }
    if parser.recursion_reached() > nesting_max {
        let settings = "limits.query_depth and limits.variables_depth";
        return limit("levels of nesting", nesting_max, settings);
    }
    parsed.map_err(|broken| refusals(RequestErrorKind::Parse, &broken.errors))
}

fn nesting_max(limits: &Limits) -> usize {
    limits.query_depth + limits.variables_depth
}

/// apollo-parser 0.8 accepts an argument or input field without colon and value, and apollo-compiler drops it:
/// `{task(id)}` and `{set: {notes}}` would become `{task}` and `{set: {}}`.
fn check_colons(
    text: &str,
    positions: &LineIndex,
    limits: &Limits,
) -> Result<(), Vec<RequestError>> {
    let parser = apollo_parser::Parser::new(text).recursion_limit(nesting_max(limits));
    let tree = parser.parse().document();
    let broken = tree.syntax().descendants().find(|node| {
        let takes_value = matches!(node.kind(), SyntaxKind::ARGUMENT | SyntaxKind::OBJECT_FIELD);
        takes_value
            && node
                .children_with_tokens()
                .all(|it| it.kind() != SyntaxKind::COLON)
    });
    match broken {
        None => Ok(()),
        Some(node) => {
            let place = positions.at(node.text_range().start().into());
            let message = "syntax error: expected a colon and a value behind the name";
            Err(vec![
                RequestError::new(RequestErrorKind::Parse, message).at(Some(place)),
            ])
        }
    }
}

fn refusals(kind: RequestErrorKind, errors: &DiagnosticList) -> Vec<RequestError> {
    errors
        .iter()
        .take(REFUSALS_MAX)
        .map(|diagnostic| {
            let found = diagnostic.to_json();
            let locations = found
                .locations
                .iter()
                .map(|place| (place.line, place.column))
                .collect();
            RequestError {
                locations,
                ..RequestError::new(kind, found.message)
            }
        })
        .collect()
}

/// Byte offsets to lines and columns by binary search, since every field of every request is looked up, and one line
/// may hold the whole document.
pub(super) struct LineIndex {
    file: Option<FileId>,
    /// The offsets at which lines begin, the first one included.
    lines: Vec<usize>,
    /// The offsets of bytes that continue a character, since columns count characters.
    continuations: Vec<usize>,
}

impl LineIndex {
    fn new(text: &str, sources: &SourceMap) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| {
            bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
        };
        Self {
            file: sources.keys().next().copied(),
            lines: std::iter::once(0)
                .chain(
                    (0..bytes.len())
                        .filter(|at| ends_line(*at))
                        .map(|at| at + 1),
                )
                .collect(),
            continuations: (0..bytes.len())
                .filter(|at| !text.is_char_boundary(*at))
                .collect(),
        }
    }

    /// Line and column of the beginning of `span`; `None` for a span outside of the document, such as a default in the
    /// schema.
    pub(super) fn of(&self, span: Option<SourceSpan>) -> Option<(usize, usize)> {
        let span = span.filter(|span| Some(span.file_id()) == self.file)?;
        Some(self.at(span.offset()))
    }

    fn at(&self, offset: usize) -> (usize, usize) {
        let before = |offsets: &[usize], at: usize| offsets.partition_point(|offset| *offset < at);
        let line = before(&self.lines, offset + 1);
        let start = self.lines[line - 1];
        let continued = before(&self.continuations, offset) - before(&self.continuations, start);
        (line, offset - start - continued + 1)
    }
}
