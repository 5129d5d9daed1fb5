//! A decided entry and its stored bytes give the same text, or the same reason why there is none: tested on random
//! models and documents, some of which do not fit their model.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Map;
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::{Seq, Version},
    model::{DefaultValue, DocumentType, Field, FieldType, Model, Scalar, Shape},
    transaction::Misfit,
    value::{Document, Timestamp, Value, date},
    view::RecordView,
};

use super::*;
use crate::{
    fixtures,
    graphql::{
        Api, ApiOptions, Operations, RawRequest,
        request::tests::peer::{schemas, tape::Tape},
        types::ApiTypes,
    },
    store::StoredRecord,
};

const MODELS: u32 = 60;
const DOCUMENTS: usize = 20;
const CHOICES: usize = 4_000;

#[test]
fn an_entry_and_its_stored_bytes_are_written_alike() {
    let config = Config {
        cases: MODELS,
        failure_persistence: None,
        ..Config::default()
    };
    let failing = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&vec(any::<u16>(), CHOICES), |choices| {
            failing.set(failing.get() + compare(&mut Tape::new(choices))?);
            Ok(())
        })
        .unwrap_or_else(|found| panic!("{found}"));
    assert!(
        failing.get() > 0,
        "no document was one that cannot be shown"
    );
}

/// Returns how many documents could not be shown.
fn compare(tape: &mut Tape) -> Result<usize, TestCaseError> {
    let text = schemas::model(tape);
    let model = Arc::new(Model::parse("model.graphql", &text).unwrap());
    let selection = whole_pages(&model);
    let types = ApiTypes::new(&model);
    let mut failing = 0;
    for document_type in &model.types {
        let document = below(below(&selection.fields[0], "changes"), "document");
        let plan = types.documents.compile(document);
        for _ in 0..DOCUMENTS {
            let mut documents = TestDocuments {
                model: &model,
                tape,
            };
            let entry = entry(document_type, documents.body(document_type));
            let item = StoredRecord::encode(&FeedItem {
                seq: Seq(1),
                record: Record::Entry(Arc::new(entry.clone())),
            })
            .unwrap();
            let decided = written(&entry, &plan);
            let stored = written(&item.view().unwrap(), &plan);
            prop_assert_eq!(&decided, &stored, "{} of\n{}", document_type.name, text);
            failing += usize::from(decided.is_err());
        }
    }
    Ok(failing)
}

/// The text, or why it cannot be shown.
fn written(record: &impl RecordView, plan: &document::DocumentPlan) -> Result<String, Misfit> {
    let mut text = Text::default();
    match text.document(record, plan) {
        Ok(()) => Ok(String::from_utf8(text.out).unwrap()),
        Err(RenderStop::Misfit(misfit)) => Err(*misfit),
        Err(RenderStop::Null) => panic!("a document has no errors of its own"),
    }
}

/// The selection of a page in the ready-made operation, which has all parts of documents.
fn whole_pages(model: &Arc<Model>) -> Arc<crate::graphql::request::Selection> {
    let api = Api::new(model, ApiOptions::default()).unwrap();
    let validated = api.validate(RawRequest {
        query: Operations::new(model).text(),
        operation_name: Some("ChangesSince".to_owned()),
        variables: Map::new(),
        ..RawRequest::default()
    });
    validated
        .unwrap_or_else(|refused| panic!("{refused:?}"))
        .selection
}

fn below<'f>(field: &'f SelectedField, name: &str) -> &'f SelectedField {
    let mut fields = fields_of(&field.below, "").iter();
    fields.find(|field| field.name == name).unwrap()
}

/// Random documents of a model.
struct TestDocuments<'d> {
    model: &'d Model,
    tape: &'d mut Tape,
}

impl TestDocuments<'_> {
    /// Some hold what does not fit: a field is missing, or has another type.
    fn body(&mut self, document_type: &DocumentType) -> Document {
        let mut body = self.fields(&document_type.fields, 3);
        let field = &document_type.fields[self.tape.below(document_type.fields.len())];
        for reference in &document_type.references {
            let ids = ["1 \"ü\"", "2 \"ü\"", "0 \"ü\"", "left", "new"];
            body.insert(
                reference.by.clone(),
                Value::String(self.tape.of(&ids).to_owned()),
            );
        }
        match self.tape.below(6) {
            4 => drop(body.remove(&field.name)),
            5 => drop(body.insert(field.name.clone(), Value::Bool(true))),
            _ => {}
        }
        body
    }

    fn fields(&mut self, fields: &[Field], depth: usize) -> Document {
        let mut document = Document::new();
        for field in fields {
            let shown = matches!(field.default, Some(DefaultValue::Literal(_)));
            let value = match self.tape.below(5) {
                0 if !field.ty.required || shown => continue,
                1 if !field.ty.required => Value::Null,
                _ => match self.value(&field.ty, depth) {
                    Some(value) => value,
                    None => continue,
                },
            };
            document.insert(field.name.clone(), value);
        }
        document
    }

    /// `None` if documents would nest too deeply, which only optional fields do.
    fn value(&mut self, ty: &FieldType, depth: usize) -> Option<Value> {
        Some(match &ty.shape {
            Shape::List(item) => {
                let mut items = Vec::new();
                for _ in 0..self.tape.below(3) {
                    let null = !item.required && self.tape.one_in(4);
                    items.push(if null {
                        Value::Null
                    } else {
                        self.value(item, depth)?
                    });
                }
                Value::List(items)
            }
            Shape::Embedded(name) => {
                let embedded = &self.model.embedded[name];
                Value::Object(self.fields(&embedded.fields, depth.checked_sub(1)?))
            }
            Shape::Enum(name) => {
                let values = &self.model.enums[name].values;
                Value::String(values[self.tape.below(values.len())].name.clone())
            }
            Shape::Scalar(scalar) => self.scalar(*scalar),
        })
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        let texts = ["", "a\"b\\c\u{1}\n", "ü\u{2028}😀", "</script>"];
        match scalar {
            Scalar::Id | Scalar::String => Value::String(self.tape.of(&texts).to_owned()),
            Scalar::Int => Value::Int(self.tape.of(&[0, -1, i32::MIN, i32::MAX])),
            Scalar::Float => Value::Float(self.tape.of(&[0.0, -0.0, 0.1, 1e300, 5e-324, 3.0])),
            Scalar::Boolean => Value::Bool(self.tape.one_in(2)),
            Scalar::Date => {
                let days = self.tape.below(4_000_000) as i64 - 700_000;
                let at = Timestamp::EPOCH.plus_ms(days * 86_400_000);
                Value::String(date::beginning_at(at).unwrap_or_else(|| "0001-01-01".to_owned()))
            }
            Scalar::DateTime => {
                let ms = self
                    .tape
                    .of(&[0, -1, 253_402_300_799_999, -62_167_219_200_000]);
                Value::DateTime(Timestamp::from_ms(ms).unwrap())
            }
            Scalar::Long => Value::Long(self.tape.of(&[0, i64::MIN, i64::MAX])),
            Scalar::Decimal => {
                Value::Decimal(self.tape.of(&["0.10", "-0", "1E+6111"]).parse().unwrap())
            }
            Scalar::Bytes => Value::Bytes(vec![0; self.tape.below(4)]),
            Scalar::Json => self.json(2),
        }
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.tape.below(7) {
            0 => Value::Long(i64::MIN),
            1 => Value::Float(0.5),
            2 => Value::String("x".into()),
            3 => Value::Bool(false),
            4 if depth > 0 => Value::List(vec![self.json(depth - 1), Value::Null]),
            _ if depth > 0 => Value::Object(BTreeMap::from([
                ("b\"".to_owned(), self.json(depth - 1)),
                (String::new(), Value::Null),
            ])),
            _ => Value::Long(7),
        }
    }
}

fn entry(document_type: &DocumentType, body: Document) -> Entry {
    let key = fixtures::key(document_type.name.as_str(), "1 \"ü\"");
    Entry {
        version: Version(2),
        field_versions: [("title".to_owned(), Version(2))].into(),
        at: Timestamp::from_ms(1_234).unwrap(),
        ..fixtures::entry(key, "user:alice", body)
    }
}
