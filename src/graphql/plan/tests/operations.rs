//! Random operations that ask for a page or push: aliases, fragments of every kind, conditions, the same key again.

use apollo_compiler::{
    Schema,
    schema::{ExtendedType, FieldDefinition},
};

use serde_json::Value as Json;

use super::{Bench, pushes};
use crate::graphql::{RawRequest, request::tests::peer::tape::Tape};

const DEPTH: usize = 6;

/// An operation on `changesSince` or `changes`; now and then one that is not valid.
pub(super) fn page(bench: &Bench, tape: &mut Tape) -> RawRequest {
    let root = tape.of(&["Query", "Query", "Subscription"]);
    let checkpoint = &bench.checkpoint;
    let mut writer = Writer::new(bench, tape);
    // All variables are used somewhere.
    let page = writer
        .selections("SyncPage", DEPTH)
        .replacen('{', "{ ...Uses", 1);
    let operation = match root {
        "Query" => {
            let typename = writer.tape.of(&["", "", "__typename", "t: __typename"]);
            let alias = writer.tape.of(&["", "page: "]);
            format!(
                "query($yes: Boolean!, $no: Boolean!) {{ {typename} {alias}changesSince(checkpoint: {checkpoint:?}, limit: 100) {page} }}"
            )
        }
        _ => format!(
            "subscription($yes: Boolean!, $no: Boolean!) {{ changes(checkpoint: {checkpoint:?}) {page} }}"
        ),
    };
    let uses =
        "fragment Uses on SyncPage { __typename @skip(if: $yes) u: __typename @skip(if: $no) }";
    let query = format!("{operation} {uses} {}", writer.fragments.join(" "));
    request(query, Json::Null)
}

/// An operation on `pushChanges`.
pub(super) fn push(bench: &Bench, tape: &mut Tape) -> RawRequest {
    let mut writer = Writer::new(bench, tape);
    let payload = writer.selections("PushChangesPayload", DEPTH);
    let typename = writer.tape.of(&["", "", "__typename", "t: __typename"]);
    let alias = writer.tape.of(&["", "pushed: "]);
    let operation = format!(
        "mutation($yes: Boolean!, $no: Boolean!, $input: PushChangesInput!) {{ {typename} {alias}pushChanges(input: $input) {payload} }}"
    );
    // All variables are used somewhere.
    let uses = "fragment Uses on PushChangesPayload { __typename @skip(if: $yes) u: __typename @skip(if: $no) }";
    let operation = operation.replacen("$input) {", "$input) { ...Uses", 1);
    let query = format!("{operation} {uses} {}", writer.fragments.join(" "));
    let input = pushes::input(&bench.model, writer.tape);
    request(query, input)
}

fn request(query: String, input: Json) -> RawRequest {
    let variables = [("yes", true.into()), ("no", false.into()), ("input", input)];
    RawRequest {
        query,
        variables: variables
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        ..RawRequest::default()
    }
}

struct Writer<'s, 't> {
    schema: &'s Schema,
    tape: &'t mut Tape,
    fragments: Vec<String>,
}

impl<'s, 't> Writer<'s, 't> {
    fn new(bench: &'s Bench, tape: &'t mut Tape) -> Self {
        Self {
            schema: &bench.schema,
            tape,
            fragments: Vec::new(),
        }
    }

    fn selections(&mut self, ty: &'s str, depth: usize) -> String {
        let mut items = Vec::new();
        for _ in 0..1 + self.tape.below(4) {
            let item = self.item(ty, depth);
            if self.tape.one_in(8) {
                items.push(item.clone());
            }
            items.push(item);
        }
        let (below, often) = match ty {
            "SyncPage" => (&[("changes", "SyncChange")][..], true),
            "PushChangesPayload" => (&[("results", "SyncResult")][..], true),
            "SyncChange" => (&[("document", "SyncDocument")][..], false),
            "SyncResult" => (
                &[
                    ("document", "SyncDocument"),
                    ("conflict", "SyncConflictDetail"),
                    ("error", "SyncError"),
                ][..],
                false,
            ),
            "SyncConflictDetail" => (&[("fields", "SyncFieldOutcome")][..], true),
            _ => (&[][..], false),
        };
        if ty == "SyncResult" {
            items.push("status".to_owned());
        }
        for (field, of) in below {
            if depth > 2 && (often || self.tape.below(4) > 0) {
                items.push(format!("{field} {}", self.selections(of, depth - 1)));
            }
        }
        format!("{{ {} }}", items.join(" "))
    }

    fn item(&mut self, ty: &'s str, depth: usize) -> String {
        let condition = self.condition();
        match self.tape.below(10) {
            0 => format!("__typename{condition}"),
            1 if depth > 1 => format!("...{condition} {}", self.selections_of(ty, depth - 1)),
            2 | 3 if depth > 1 => {
                let narrower = self.narrower(ty);
                let inner = self.selections_of(narrower, depth - 1);
                format!("... on {narrower}{condition} {inner}")
            }
            4 if depth > 1 => {
                let narrower = self.narrower(ty);
                let inner = self.selections_of(narrower, depth - 1);
                let name = format!("F{}", self.fragments.len());
                self.fragments
                    .push(format!("fragment {name} on {narrower} {inner}"));
                format!("...{name}{condition}")
            }
            _ => self.field(ty, depth, &condition),
        }
    }

    /// Without the fields that every page and change has to have.
    fn selections_of(&mut self, ty: &'s str, depth: usize) -> String {
        let count = 1 + self.tape.below(3);
        let items: Vec<String> = (0..count).map(|_| self.item(ty, depth)).collect();
        format!("{{ {} }}", items.join(" "))
    }

    /// A type that an object of the type `ty` may be of.
    fn narrower(&mut self, ty: &'s str) -> &'s str {
        let documents = self.schema.types.iter().filter(|(name, _)| {
            ty == "SyncDocument" && self.schema.is_subtype("SyncDocument", name)
        });
        let mut types: Vec<&str> = documents.map(|(name, _)| name.as_str()).collect();
        types.push(ty);
        if self.schema.is_subtype("SyncDocument", ty) {
            types.push("SyncDocument");
        }
        self.tape.of(&types)
    }

    fn field(&mut self, ty: &'s str, depth: usize, condition: &str) -> String {
        let fields: Vec<&FieldDefinition> = match self.schema.types.get(ty) {
            Some(ExtendedType::Object(object)) => object.fields.values().map(|it| &***it).collect(),
            Some(ExtendedType::Interface(it)) => it.fields.values().map(|it| &***it).collect(),
            _ => return "__typename".to_owned(),
        };
        let field = self.tape.of(&fields);
        let inner = field.ty.inner_named_type().as_str();
        let composite =
            self.schema.types.get(inner).is_some_and(|it| {
                matches!(it, ExtendedType::Object(_) | ExtendedType::Interface(_))
            });
        if composite && depth < 2 {
            return "__typename".to_owned();
        }
        // Of its type's name, so that fields of one name and several types do not meet.
        let alias = match self.tape.below(3) {
            0 => String::new(),
            _ => format!("{ty}_{}: ", field.name),
        };
        let selections = match composite {
            true => self.selections_of(inner, depth - 1),
            false => String::new(),
        };
        format!("{alias}{}{condition} {selections}", field.name)
    }

    fn condition(&mut self) -> String {
        self.tape
            .of(&[
                "",
                "",
                "",
                "",
                "",
                "",
                " @include(if: $yes)",
                " @skip(if: $no)",
                " @include(if: $no)",
                " @skip(if: true)",
            ])
            .to_owned()
    }
}
