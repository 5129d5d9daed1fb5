//! From an admitted operation to its answer. async-graphql dispatches the root fields: those of a query together, those
//! of a mutation in order. It sees nothing below them: each root field writes its own text, and the texts are joined.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

use async_graphql::{
    Name, Pos, Positioned, Request, Value,
    dataloader::DataLoader,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType,
        Selection as Parsed, SelectionSet,
    },
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};

use super::{
    answer::Answer,
    error::{ClientError, Code},
    introspection,
    plan::{BEGINNING, OperationPlan, Planned, PlannedRoot},
    render::{
        RenderResult, Text, fields_of,
        load::{AnswerBudget, DocumentLoader},
    },
    request::{ArgumentValues, OperationArguments, OperationKind, SelectedField, Selection},
};
use crate::{
    lock::Mutex,
    quota::Lease,
    sync::{Caller, SyncService},
};

/// The inputs of a root field's resolver.
pub(super) struct Call {
    pub(super) sync: Arc<SyncService>,
    pub(super) caller: Caller,
    /// The arguments of the field itself.
    pub(super) arguments: ArgumentValues,
    /// The arguments of the fields below it.
    pub(super) below: Arc<OperationArguments>,
    selection: Arc<Selection>,
    /// The index of the field in the selection.
    index: usize,
}

impl Call {
    /// A fingerprint of what is selected below the field. Equal selections have equal ones in gateways of one build.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.selection.fields[self.index].below.hash(&mut hasher);
        hasher.finish()
    }

    /// The field.
    pub(super) fn field(&self) -> &SelectedField {
        &self.selection.fields[self.index]
    }

    /// Whether this field of the answer's object, which is of the type `of`, is selected.
    pub(super) fn selects(&self, of: &str, name: &str) -> bool {
        let fields = fields_of(&self.selection.fields[self.index].below, of);
        fields.iter().any(|field| *field.name == *name)
    }
}

/// The value of a root field.
pub(super) trait RootValue: Send + Sync + 'static {
    /// About how many bytes its text has.
    fn text_bytes(&self) -> usize {
        1_024
    }
}

/// Writes the value of a root field whose selection is compiled.
pub(super) type RootWriter<T> = Box<dyn Fn(&T, &mut Text) -> RenderResult + Send + Sync>;

/// How a root field is answered.
pub(super) enum RootPlan {
    /// A field of a query or a mutation.
    Resolved(ResolveRoot),
    /// A field of a subscription.
    Followed(Follow),
    /// async-graphql answers it.
    Introspection,
}

/// The text of a root field, and whether its value may be in an answer.
type RootText = (Text, RenderResult);

type ResolveRoot = Box<
    dyn for<'a> Fn(Call, &'a PlannedRoot, &'a Answering) -> BoxFuture<'a, RootText> + Send + Sync,
>;

type Follow = Box<dyn Fn(Call, Arc<Operation>) -> BoxStream<'static, Answer> + Send + Sync>;

impl RootPlan {
    /// A field whose value `resolve` returns.
    pub(super) fn resolved<T: RootValue, F>(
        resolve: Arc<dyn Fn(Call) -> F + Send + Sync>,
        write: RootWriter<T>,
    ) -> Self
    where
        F: Future<Output = Result<T, ClientError>> + Send + 'static,
    {
        let write = Arc::new(write);
        Self::Resolved(Box::new(move |call, root, answering| {
            let (value, write) = (resolve(call), Arc::clone(&write));
            async move { answering.root(root, value.await, &write).await }.boxed()
        }))
    }

    /// A field whose values come as `follow` says.
    pub(super) fn followed<T: RootValue, S>(
        follow: impl Fn(Call) -> Result<S, ClientError> + Send + Sync + 'static,
        write: RootWriter<T>,
    ) -> Self
    where
        S: Stream<Item = Result<T, ClientError>> + Send + 'static,
    {
        let write = Arc::new(write);
        Self::Followed(Box::new(move |call, operation| {
            let write = Arc::clone(&write);
            let below = Arc::clone(&call.below);
            let answer = move |value| {
                let answering = Answering::new(Arc::clone(&operation), Arc::clone(&below));
                answer_event(answering, value, Arc::clone(&write))
            };
            match follow(call) {
                Ok(values) => values.then(answer).boxed(),
                Err(failure) => stream::once(answer(Err(failure))).boxed(),
            }
        }))
    }
}

/// The answer to one event of a subscription, which has one root field.
async fn answer_event<T: RootValue>(
    answering: Answering,
    value: Result<T, ClientError>,
    write: Arc<RootWriter<T>>,
) -> Answer {
    let root = answering.operation.plan.roots.first();
    let root = root.expect("a field of the operation is followed");
    let text = answering.root(root, value, &write).await;
    answering.operation.joined([text])
}

/// An operation of one caller.
pub(super) struct Operation {
    plan: Arc<OperationPlan>,
    /// What it selects, with the places in its document.
    selection: Arc<Selection>,
    sync: Arc<SyncService>,
    caller: Caller,
    answer_bytes_max: usize,
    /// Counts what it does not share with other operations.
    _lease: Option<Lease>,
}

impl Operation {
    /// # Errors
    /// `RATE_LIMITED` or `OVERLOADED`.
    pub(super) fn new(
        planned: Planned,
        sync: &Arc<SyncService>,
        caller: Caller,
        answer_bytes_max: usize,
    ) -> Result<Self, ClientError> {
        let lease = match caller.account() {
            Some(account) if planned.bytes > 0 => Some(account.lease(planned.bytes)?),
            _ => None,
        };
        Ok(Self {
            plan: planned.plan,
            selection: planned.selection,
            sync: Arc::clone(sync),
            caller,
            answer_bytes_max,
            _lease: lease,
        })
    }

    /// The answer with these root fields, in order.
    fn joined(&self, roots: impl IntoIterator<Item = RootText>) -> Answer {
        let mut whole = None;
        let mut is_null = false;
        for (text, written) in roots {
            is_null |= written.is_err();
            match &mut whole {
                // A single root is not copied.
                None => whole = Some(text),
                Some(whole) => whole.append(text),
            }
        }
        let mut whole = whole.unwrap_or_default();
        if is_null {
            whole.out.clear();
            whole.raw(BEGINNING);
            whole.null();
        } else {
            whole.raw(&self.plan.end);
        }
        if let Some(record) = self.caller.record() {
            let failures = whole.failures();
            failures.for_each(|failure| record.failed(failure.code.name(), failure.limit));
        }
        let errors = whole.take_errors(&self.selection.fields);
        if !errors.is_empty() {
            whole.raw(b",\"errors\":");
            whole.json(&errors);
        }
        whole.raw(b"}");
        Answer::Written(whole.out)
    }
}

/// One answer in progress. Its root fields load the documents they refer to together.
pub(super) struct Answering {
    operation: Arc<Operation>,
    /// The arguments of the fields below its root fields.
    below: Arc<OperationArguments>,
    loader: OnceLock<DataLoader<DocumentLoader>>,
}

impl Answering {
    fn new(operation: Arc<Operation>, below: Arc<OperationArguments>) -> Self {
        Self {
            operation,
            below,
            loader: OnceLock::new(),
        }
    }

    /// The text of a root field: what comes before its value, and the value.
    async fn root<T: RootValue>(
        &self,
        root: &PlannedRoot,
        value: Result<T, ClientError>,
        write: &RootWriter<T>,
    ) -> RootText {
        let bytes = value.as_ref().map_or(0, T::text_bytes);
        let mut text = Text::with_capacity(root.lead_in.len() + bytes);
        text.raw(&root.lead_in);
        let written = text.position(&root.key, root.is_required, |text| match &value {
            Ok(value) => write(value, text),
            Err(failure) => Err(text.fail(failure.clone())),
        });
        if written.is_ok() && text.has_holes() {
            Box::pin(text.fill(self.loader())).await;
        }
        (text, written)
    }

    fn loader(&self) -> &DataLoader<DocumentLoader> {
        let operation = &self.operation;
        self.loader.get_or_init(|| {
            let loader = DocumentLoader {
                sync: Arc::clone(&operation.sync),
                caller: operation.caller.clone(),
                arguments: Arc::clone(&self.below),
                budget: AnswerBudget::new(operation.answer_bytes_max, operation.caller.account()),
            };
            DataLoader::new(loader, tokio::spawn)
        })
    }
}

/// An operation in execution. async-graphql's resolvers find it in their context, and leave their results here.
pub(super) struct Execution {
    answering: Answering,
    roots: Mutex<RootState>,
}

#[derive(Default)]
struct RootState {
    arguments: Vec<ArgumentValues>,
    texts: Vec<Option<RootText>>,
    followed: Option<BoxStream<'static, Answer>>,
}

impl Execution {
    /// The execution, and the request to async-graphql.
    pub(super) fn new(
        operation: Operation,
        mut arguments: OperationArguments,
    ) -> (Arc<Self>, Request) {
        let Operation {
            plan, selection, ..
        } = &operation;
        let mut roots = RootState::default();
        let mut items = Vec::new();
        for root in &plan.roots {
            let field = &selection.fields[root.index];
            let is_introspection = matches!(root.plan, RootPlan::Introspection);
            items.push(match is_introspection {
                true => introspection::field(field, &mut arguments),
                false => dispatched(&field.key, &field.name),
            });
            let slot = field.slot.filter(|_| !is_introspection);
            let own = slot.map(|slot| arguments.take(slot));
            roots.arguments.push(own.unwrap_or_default());
            roots.texts.push(None);
        }
        let document = document(selection.kind, items);
        let execution = Arc::new(Self {
            answering: Answering::new(Arc::new(operation), Arc::new(arguments)),
            roots: Mutex::new(roots),
        });
        let mut request = Request::new(String::new()).data(Arc::clone(&execution));
        request.set_parsed_query(document);
        (execution, request)
    }

    /// Resolves a root field of a query or a mutation.
    pub(super) async fn resolve(&self, key: &str) {
        let Some((index, root)) = self.root(key) else {
            return;
        };
        if let RootPlan::Resolved(resolved) = &root.plan {
            let call = self.call(index);
            let text = resolved(call, root, &self.answering).await;
            self.roots.lock().texts[index] = Some(text);
        }
    }

    /// Starts the subscription of a root field.
    pub(super) fn follow(&self, key: &str) {
        let Some((index, root)) = self.root(key) else {
            return;
        };
        if let RootPlan::Followed(followed) = &root.plan {
            let operation = Arc::clone(&self.answering.operation);
            let answers = followed(self.call(index), operation);
            self.roots.lock().followed = Some(answers);
        }
    }

    fn root(&self, key: &str) -> Option<(usize, &PlannedRoot)> {
        let mut roots = self.answering.operation.plan.roots.iter().enumerate();
        roots.find(|(_, root)| root.key.name() == key)
    }

    fn call(&self, index: usize) -> Call {
        let operation = &self.answering.operation;
        Call {
            sync: Arc::clone(&operation.sync),
            caller: operation.caller.clone(),
            arguments: std::mem::take(&mut self.roots.lock().arguments[index]),
            below: Arc::clone(&self.answering.below),
            selection: Arc::clone(&operation.selection),
            index: operation.plan.roots[index].index,
        }
    }

    /// The answer, after async-graphql has finished. `of_schema` is its own answer about the schema.
    pub(super) fn answer(&self, of_schema: &Value) -> Answer {
        let operation = &self.answering.operation;
        let texts = std::mem::take(&mut self.roots.lock().texts);
        let mut roots = Vec::with_capacity(texts.len());
        for (root, text) in operation.plan.roots.iter().zip(texts) {
            roots.push(match text {
                Some(text) => text,
                None => self.introspected(root, of_schema),
            });
        }
        operation.joined(roots)
    }

    fn introspected(&self, root: &PlannedRoot, of_schema: &Value) -> RootText {
        let field = &self.answering.operation.selection.fields[root.index];
        let value = match of_schema {
            Value::Object(values) => values.get(root.key.name()),
            _ => None,
        };
        let mut text = Text::default();
        text.raw(&root.lead_in);
        let written = text.position(&root.key, root.is_required, |text| match value {
            Some(value) => introspection::write(value, field, text),
            None => Err(text.fail(ClientError::new(
                Code::Internal,
                "The gateway failed to answer this.",
            ))),
        });
        (text, written)
    }

    /// The answers of a subscription, after async-graphql has finished.
    pub(super) fn followed(&self) -> BoxStream<'static, Answer> {
        let followed = self.roots.lock().followed.take();
        followed.unwrap_or_else(|| stream::empty().boxed())
    }
}

/// A root field as async-graphql dispatches it: without arguments and selections.
fn dispatched(key: &str, name: &str) -> Positioned<Parsed> {
    placed(Parsed::Field(placed(Field {
        alias: Some(placed(Name::new(key))),
        name: placed(Name::new(name)),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    })))
}

fn document(kind: OperationKind, items: Vec<Positioned<Parsed>>) -> ExecutableDocument {
    let ty = match kind {
        OperationKind::Query => OperationType::Query,
        OperationKind::Mutation => OperationType::Mutation,
        OperationKind::Subscription => OperationType::Subscription,
    };
    let definition = OperationDefinition {
        ty,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: placed(SelectionSet { items }),
    };
    ExecutableDocument {
        operations: DocumentOperations::Single(placed(definition)),
        fragments: HashMap::new(),
    }
}

pub(super) fn placed<T>(node: T) -> Positioned<T> {
    Positioned::new(node, Pos::default())
}
