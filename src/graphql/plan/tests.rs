//! Both roads of a page or a push give the same answer to the byte: random models, documents and operations, each answered
//! by its plan and, of a store that is the same, by the executor. A failure prints the model, and the operation as small as
//! it could be made.

mod operations;
mod pushes;

use std::collections::BTreeMap;

use apollo_compiler::Schema;
use futures_util::StreamExt;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use serde_json::Map;
use tempfile::TempDir;
use tidegate_core::{
    checkpoint::{Checkpoint, Types},
    entry::{Entry, Marker},
    grant::Identity,
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, UserId, Version},
    model::{DefaultValue, DocumentType, Field, FieldType, Scalar, Shape},
    transaction::{Reads, Writes},
    value::{Document, Timestamp, Value},
};

use super::*;
use crate::{
    graphql::{
        Api, ApiOptions, Operations, RawRequest,
        request::tests::peer::{schemas, tape::Tape},
    },
    limits::Limits,
    store::{
        Store,
        embedded::{EmbeddedOptions, EmbeddedStore},
    },
    sync::PullRequest,
    webhook::Webhooks,
};

/// Models of an ordinary run; `TIDEGATE_PAGE_MODELS` asks for more.
const MODELS: u64 = 20;
/// Operations on each.
const OPERATIONS: u32 = 60;
const MODEL_CHOICES: usize = 2_000;
const OPERATION_CHOICES: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_written_as_the_executor_would_to_the_byte() {
    let shown = ["UPSERT", "DELETE", "REVOKE", "😀", "errors", "false"];
    compare_all(operations::page, &shown);
}

#[test]
fn the_operations_that_clients_are_handed_have_plans() {
    let mut tape = Tape::new(vec![7; MODEL_CHOICES]);
    let text = schemas::model(&mut tape);
    let model = Arc::new(Model::parse("model.graphql", &text).unwrap());
    let api = Api::new(&model, ApiOptions::default()).unwrap();
    let input = ("input".to_owned(), serde_json::json!({"changes": []}));
    for name in ["ChangesSince", "Changes", "PushChanges"] {
        let admitted = api.admit(RawRequest {
            query: Operations::new(&model).text(),
            operation_name: Some(name.to_owned()),
            variables: Map::from_iter([input.clone()]),
            ..RawRequest::default()
        });
        let admitted = admitted.unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert!(admitted.plan.is_some(), "{name} is executed");
    }
}

/// Compares on all models; each of these texts has to come up in some answers.
fn compare_all(operation: impl Fn(&Bench, &mut Tape) -> RawRequest, shown: &[&str]) {
    let models = std::env::var("TIDEGATE_PAGE_MODELS").ok();
    let models = models.map_or(MODELS, |text| text.parse().expect("it is a number"));
    let compare = |at| tokio::task::block_in_place(|| compare_on_model(at, &operation));
    let answers: Vec<String> = (0..models).flat_map(compare).collect();
    let share = answers.len() as u64 * 100 / (models * u64::from(OPERATIONS));
    assert!(
        share >= 20,
        "{share} of a hundred operations had a plan: too few to compare"
    );
    for text in shown {
        let showing = answers.iter().filter(|answer| answer.contains(text));
        assert!(showing.count() > 5, "{text} hardly came up");
    }
}

/// Returns the answers to operations that had a plan.
fn compare_on_model(at: u64, operation: impl Fn(&Bench, &mut Tape) -> RawRequest) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&at.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let choices = (0..MODEL_CHOICES).map(|_| rng.random::<u16>()).collect();
    let mut tape = Tape::new(choices);
    let text = schemas::model(&mut tape);
    let bench = Bench::new(&text, &mut tape);
    let answers: Mutex<Vec<String>> = Mutex::default();
    let config = Config {
        cases: OPERATIONS,
        failure_persistence: None,
        ..Config::default()
    };
    let choices = vec(any::<u16>(), 20..OPERATION_CHOICES);
    let found = TestRunner::new_with_rng(config, rng).run(&choices, |choices| {
        let answer = bench.compare(operation(&bench, &mut Tape::new(choices)))?;
        answers.lock().unwrap().extend(answer);
        Ok(())
    });
    if let Err(found) = found {
        panic!("{text}\nmodel {at}: {found}");
    }
    answers.into_inner().unwrap()
}

struct Bench {
    model: Arc<Model>,
    api: Api,
    schema: Schema,
    caller: Caller,
    /// From the beginning of every feed: a client that begins is sent no removals.
    checkpoint: String,
    /// Of two stores that are the same: one is for plans, one for the executor.
    services: [Arc<SyncService>; 2],
    _directories: [TempDir; 2],
}

impl Bench {
    fn new(text: &str, tape: &mut Tape) -> Self {
        let model = Arc::new(Model::parse("model.graphql", text).unwrap());
        let api = Api::new(&model, ApiOptions::default()).unwrap();
        let writes = Documents {
            model: &model,
            tape,
        }
        .writes();
        let directories = [(); 2].map(|()| TempDir::new().unwrap());
        let services = directories.each_ref().map(|directory| {
            let options = EmbeddedOptions::new(Epoch::new("e1").unwrap());
            let store = Arc::new(EmbeddedStore::open(directory.path(), &options).unwrap());
            let writes = writes.clone();
            block_on(store.commit(Reads::default(), Arc::new(move |_| writes.clone()))).unwrap();
            let clock = Arc::new(|| Timestamp::from_ms(1_000).unwrap());
            let (model, limits) = (Arc::clone(&model), Limits::default());
            block_on(async { SyncService::start(model, store, clock, limits, Webhooks::none()) })
        });
        let alice = Identity {
            user: UserId::new("alice").unwrap(),
            claims: Map::from_iter([("sub".to_owned(), "alice".into())]),
            expires_at: Timestamp::from_ms(1_000_000).unwrap(),
        };
        let caller = services[0].caller(alice).unwrap();
        Self {
            schema: Schema::parse(api.sdl(), "schema.graphql").unwrap(),
            checkpoint: beginning(&services[0], &caller),
            caller,
            model,
            api,
            services,
            _directories: directories,
        }
    }

    /// The answer of an operation that has a plan; both roads gave it.
    fn compare(&self, operation: RawRequest) -> Result<Option<String>, TestCaseError> {
        let told = format!("{operation:?}");
        let (query, variables) = (operation.query.clone(), operation.variables.clone());
        let again = RawRequest {
            query,
            variables,
            ..RawRequest::default()
        };
        let (Ok(planned), Ok(executed)) = (self.api.admit(operation), self.api.door.admit(again))
        else {
            return Ok(None);
        };
        if planned.plan.is_none() {
            return Ok(None);
        }
        let [for_plans, for_executor] = &self.services;
        let planned = self.answer(for_plans, planned);
        let executed = self.answer(for_executor, executed);
        prop_assert_eq!(sorted(&planned), sorted(&executed), "{}", told);
        Ok(Some(planned))
    }

    /// The first, which comes at once.
    fn answer(&self, sync: &Arc<SyncService>, admitted: Admitted) -> String {
        let caller = self.caller.clone();
        let answer = match admitted.kind() {
            OperationKind::Subscription => {
                let mut answers = self.api.subscribe(sync, caller, admitted);
                block_on(answers.next()).unwrap()
            }
            _ => block_on(self.api.execute(sync, caller, admitted)),
        };
        String::from_utf8(answer.into_json()).unwrap()
    }
}

fn beginning(sync: &SyncService, caller: &Caller) -> String {
    let request = PullRequest::new(None, Types::All, 1, sync.limits()).unwrap();
    let page = block_on(sync.pull(caller, request)).unwrap();
    let mut checkpoint = Checkpoint::clone(&page.checkpoint);
    for track in &mut checkpoint.tracks {
        for position in track.positions.values_mut() {
            position.seq = Seq::START;
            position.start = Seq::START;
        }
    }
    checkpoint.encode()
}

/// An answer whose errors are in the order of their paths.
fn sorted(answer: &str) -> String {
    let Some((data, errors)) = answer.split_once(",\"errors\":[") else {
        return answer.to_owned();
    };
    let mut errors: Vec<&str> = errors.split("},{\"message\"").collect();
    if let Some(last) = errors.last_mut() {
        *last = last.trim_end_matches("]}").trim_end_matches('}');
    }
    errors[0] = errors[0].trim_start_matches("{\"message\"");
    errors.sort_unstable();
    format!("{data} {errors:?}")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(work)
}

/// Random documents of a model, each in Alice's scope, with tombstones and markers among them.
struct Documents<'d> {
    model: &'d Model,
    tape: &'d mut Tape,
}

impl Documents<'_> {
    fn writes(&mut self) -> Writes {
        let mut writes = Writes::default();
        let model = self.model;
        for document_type in &model.types {
            for number in 0..4 {
                let body = (number > 0).then(|| self.body(document_type));
                let entry = entry(document_type, &format!("{number} \"ü\""), body);
                writes.entries.push(Arc::new(entry));
            }
            writes.markers.push(Marker {
                key: key(document_type, "left"),
                scope: scope(),
                version: Version(3),
                at: Timestamp::EPOCH,
            });
        }
        writes
    }

    /// Some hold what does not fit: a field is missing, or is of another type.
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

    /// `None` where documents would nest too deeply, which only optional fields make them.
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

fn scope() -> Scope {
    Scope::new("user:alice").unwrap()
}

fn key(document_type: &DocumentType, id: &str) -> DocumentKey {
    DocumentKey {
        type_name: document_type.name.clone(),
        id: DocumentId::new(id).unwrap(),
    }
}

fn entry(document_type: &DocumentType, id: &str, body: Option<Document>) -> Entry {
    Entry {
        key: key(document_type, id),
        scope: scope(),
        version: Version(2),
        began: Version(1),
        run: Version(1),
        field_versions: BTreeMap::from([("title".to_owned(), Version(2))]),
        writers: BTreeMap::new(),
        body,
        withheld: id.starts_with('7'),
        at: Timestamp::from_ms(1_234).unwrap(),
        membership: None,
    }
}
