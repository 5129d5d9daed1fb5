//! The roots of the schema: `Query`, `Mutation`, `Subscription`. One row holds a root field's name, type, description
//! and arguments, how `sync` answers it, and how the answer is written.

pub(super) mod arguments;

use std::sync::Arc;

use async_graphql::dynamic::{
    Field, FieldFuture, FieldValue, InputValue, Object, SchemaBuilder, Subscription,
    SubscriptionField, SubscriptionFieldFuture, TypeRef,
};
use futures_util::{StreamExt, stream};
use tidegate_core::{
    decide::DOCUMENT_BYTES_MAX,
    id::{DocumentKey, UserId},
    model::{DocumentType, Model},
    push::PushOutcome,
};

use super::{
    error::ClientError,
    execution::{Call, Execution, RootPlan, RootValue, RootWriter},
    inputs,
    render::Text,
    request::{OperationKind, SelectedField},
    shape::{deprecation, nullable, renamed, required, with},
    table::{Node, ObjectType},
    types::{
        ApiTypes,
        list::{ListAnswer, ListConnection, ListSelection},
        outcome::AnsweredPush,
        page::PageAnswer,
        viewer::ViewerAnswer,
    },
};
use crate::{
    large,
    sync::{Documents, InboxPage, ListWanted, Page, SyncError},
};

/// A field at a root.
pub(super) struct RootRow {
    pub(super) kind: OperationKind,
    pub(super) name: String,
    ty: TypeRef,
    description: String,
    arguments: Box<dyn Fn() -> Vec<InputValue> + Send + Sync>,
    deprecation: Option<String>,
    compile: Box<dyn Fn(&SelectedField) -> RootPlan + Send + Sync>,
}

/// The rows of a model's API.
pub(super) fn rows(model: &Arc<Model>, types: &ApiTypes) -> Vec<RootRow> {
    let mut rows = vec![
        changes_since(types),
        conflicts(types),
        viewer(types),
        push_changes(model, types),
        resolve_conflict(model, types),
        decline_memberships(types),
        followed_changes(types),
        followed_conflicts(types),
    ];
    for (document_type, list) in model.types.iter().zip(&types.lists) {
        let retired = deprecation(None, document_type.retired);
        let row = documents(model, document_type, list);
        rows.push(row.deprecated(retired.map(str::to_owned)));
        let singular = &document_type.singular;
        let row = document(document_type, types, singular);
        let retired = deprecation(None, document_type.retired);
        rows.push(row.deprecated(retired.map(str::to_owned)));
        if let Some(before) = &document_type.singular_before {
            let row = document(document_type, types, before);
            rows.push(row.deprecated(Some(renamed(singular))));
        }
    }
    rows
}

pub(super) fn register(builder: SchemaBuilder, rows: &[RootRow]) -> SchemaBuilder {
    let of = |kind| rows.iter().filter(move |row| row.kind == kind);
    let object = |name, description, kind| {
        let object = Object::new(name).description(description);
        of(kind).fold(object, |object, row| object.field(row.register()))
    };
    let subscription = Subscription::new("Subscription").description("What can be followed.");
    builder
        .register(object("Query", "What can be read.", OperationKind::Query))
        .register(object(
            "Mutation",
            "What can be changed.",
            OperationKind::Mutation,
        ))
        .register(
            of(OperationKind::Subscription).fold(subscription, |subscription, row| {
                subscription.field(row.register_followed())
            }),
        )
}

impl RootRow {
    /// A field whose value `resolve` returns.
    fn resolved<T: RootValue, F: Future<Output = Result<T, ClientError>> + Send + 'static>(
        kind: OperationKind,
        name: impl Into<String>,
        ty: TypeRef,
        resolve: impl Fn(Call) -> F + Send + Sync + 'static,
        compile: impl Fn(&SelectedField) -> RootWriter<T> + Send + Sync + 'static,
    ) -> Self {
        let resolve: Arc<dyn Fn(Call) -> F + Send + Sync> = Arc::new(resolve);
        Self::new(kind, name, ty, move |field| {
            RootPlan::resolved(Arc::clone(&resolve), compile(field))
        })
    }

    fn new(
        kind: OperationKind,
        name: impl Into<String>,
        ty: TypeRef,
        compile: impl Fn(&SelectedField) -> RootPlan + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            ty,
            description: String::new(),
            arguments: Box::new(Vec::new),
            deprecation: None,
            compile: Box::new(compile),
        }
    }

    fn arguments(self, arguments: impl Fn() -> Vec<InputValue> + Send + Sync + 'static) -> Self {
        let arguments = Box::new(arguments);
        Self { arguments, ..self }
    }

    fn description(self, description: impl Into<String>) -> Self {
        let description = description.into();
        Self {
            description,
            ..self
        }
    }

    fn deprecated(self, deprecation: Option<String>) -> Self {
        Self {
            deprecation,
            ..self
        }
    }

    pub(super) fn is_required(&self) -> bool {
        matches!(self.ty, TypeRef::NonNull(_))
    }

    pub(super) fn compile(&self, field: &SelectedField) -> RootPlan {
        (self.compile)(field)
    }

    /// async-graphql calls the resolver. The execution keeps what it writes.
    fn register(&self) -> Field {
        let field = Field::new(&self.name, self.ty.clone(), |ctx| {
            FieldFuture::new(async move {
                let execution = ctx.ctx.data_unchecked::<Arc<Execution>>();
                execution.resolve(&ctx.item.node.response_key().node).await;
                Ok(Some(FieldValue::owned_any(())))
            })
        });
        let reason = self.deprecation.as_deref();
        let field = with(field, reason, |field, reason| {
            field.deprecation(Some(reason))
        });
        let arguments = (self.arguments)().into_iter();
        arguments
            .fold(field, Field::argument)
            .description(&self.description)
    }

    /// async-graphql calls the resolver. The execution keeps the stream, so that events do not pass through the engine.
    fn register_followed(&self) -> SubscriptionField {
        let field = SubscriptionField::new(&self.name, self.ty.clone(), |ctx| {
            SubscriptionFieldFuture::new(async move {
                let execution = ctx.ctx.data_unchecked::<Arc<Execution>>();
                execution.follow(&ctx.item.node.response_key().node);
                Ok(stream::empty::<async_graphql::Result<FieldValue<'_>>>())
            })
        });
        let arguments = (self.arguments)().into_iter();
        arguments
            .fold(field, SubscriptionField::argument)
            .description(&self.description)
    }
}

/// Writes values as objects of the type `N`.
fn objects<N: Node, T: RootValue>(
    table: &Arc<ObjectType<N>>,
    node: fn(&T) -> N::Ref<'_>,
) -> impl Fn(&SelectedField) -> RootWriter<T> + Send + Sync + 'static {
    let table = Arc::clone(table);
    move |field| {
        let plan = table.compile(field);
        Box::new(move |value, text: &mut Text| plan.write(node(value), text))
    }
}

/// Writes pages.
fn pages(
    types: &ApiTypes,
) -> impl Fn(&SelectedField) -> RootWriter<PageAnswer> + Send + Sync + 'static {
    let table = Arc::clone(&types.page);
    move |field| {
        let plan = table.compile(field);
        Box::new(move |answer: &PageAnswer, text: &mut Text| answer.write(&plan, text))
    }
}

impl RootValue for PageAnswer {
    fn text_bytes(&self) -> usize {
        self.text_bytes()
    }
}

impl RootValue for AnsweredPush {
    fn text_bytes(&self) -> usize {
        self.text_bytes()
    }
}

impl RootValue for PushOutcome {}
impl RootValue for InboxPage {}
impl RootValue for ViewerAnswer {}
impl RootValue for Vec<UserId> {}
impl RootValue for Documents {}

impl RootValue for ListAnswer {
    fn text_bytes(&self) -> usize {
        1_024 + self.page.bytes()
    }
}

fn changes_since(types: &ApiTypes) -> RootRow {
    async fn resolve(call: Call) -> Result<PageAnswer, ClientError> {
        let request = arguments::page(&call)?;
        let page = call.sync.pull(&call.caller, request).await?;
        Ok(PageAnswer {
            page,
            server_time: call.sync.now(),
        })
    }
    let page = pages(types);
    RootRow::resolved(
        OperationKind::Query,
        "changesSince",
        required("SyncPage"),
        resolve,
        page,
    )
    .arguments(arguments::pulled)
    .description("What changed since the checkpoint, page by page: repeat while `hasMore`.")
}

fn conflicts(types: &ApiTypes) -> RootRow {
    async fn resolve(call: Call) -> Result<InboxPage, ClientError> {
        let request = arguments::inbox(&call.arguments)?;
        Ok(call.sync.conflicts(&call.caller, &request).await?)
    }
    let page = objects(&types.conflicts, |page: &InboxPage| page);
    RootRow::resolved(
        OperationKind::Query,
        "conflicts",
        required("SyncConflictConnection"),
        resolve,
        page,
    )
    .arguments(arguments::conflicts)
    .description("The conflicts that you may resolve, the oldest first: those of documents that you may change.")
}

fn viewer(types: &ApiTypes) -> RootRow {
    async fn resolve(call: Call) -> Result<ViewerAnswer, ClientError> {
        let client = arguments::client_id(&call.arguments)?;
        let viewer = call.sync.viewer(&call.caller, client).await?;
        Ok(ViewerAnswer {
            user: call.caller.identity.user.clone(),
            viewer,
            server_time: call.sync.now(),
            arguments: call.below,
        })
    }
    let viewer = objects(&types.viewer, |answer: &ViewerAnswer| answer);
    RootRow::resolved(
        OperationKind::Query,
        "viewer",
        required("SyncViewer"),
        resolve,
        viewer,
    )
    .arguments(arguments::viewer)
    .description("Who you are, and what you may see and change.")
}

/// The root field `root` for one document of this type.
fn document(document_type: &Arc<DocumentType>, types: &ApiTypes, root: &str) -> RootRow {
    async fn resolve(
        call: Call,
        document_type: Arc<DocumentType>,
    ) -> Result<Documents, ClientError> {
        let id = arguments::document_id(&call.arguments, document_type.id_type);
        let key = id.map(|id| DocumentKey {
            type_name: document_type.stored_as.clone(),
            id,
        });
        let keys = key.into_iter().collect();
        let documents = call.sync.documents(&call.caller, keys, DOCUMENT_BYTES_MAX);
        Ok(documents.await?)
    }
    let name = document_type.name.as_str();
    let (of_resolve, of_plan) = (Arc::clone(document_type), Arc::clone(document_type));
    let documents = Arc::clone(&types.documents);
    RootRow::resolved(
        OperationKind::Query,
        root,
        nullable(name),
        move |call| resolve(call, Arc::clone(&of_resolve)),
        move |field| {
            let plan = documents.compile_one(&of_plan, field);
            Box::new(move |documents: &Documents, text| {
                let entry = documents.found.first().map(Arc::as_ref);
                text.optional_document_of_type(entry, &plan)
            })
        },
    )
    .arguments(arguments::document)
    .description(format!(
        "One {name}; null if there is none, or none you may see."
    ))
}

/// The list of a type's documents.
fn documents(
    model: &Arc<Model>,
    document_type: &Arc<DocumentType>,
    table: &Arc<ObjectType<ListConnection>>,
) -> RootRow {
    async fn resolve(
        call: Call,
        model: Arc<Model>,
        document_type: Arc<DocumentType>,
    ) -> Result<ListAnswer, ClientError> {
        let wants = ListSelection::of(call.field(), &document_type);
        let wanted = ListWanted {
            documents: wants.documents,
            count_max: wants.count_max(&call.below)?,
        };
        let request = arguments::list(&model, &document_type, &call.arguments)?.wanting(wanted);
        let page = call.sync.list(&call.caller, &request).await?;
        Ok(ListAnswer {
            page,
            arguments: call.below,
        })
    }
    let (model, of_type) = (Arc::clone(model), Arc::clone(document_type));
    let of_arguments = Arc::clone(document_type);
    let name = document_type.name.as_str();
    RootRow::resolved(
        OperationKind::Query,
        &document_type.plural,
        required(&format!("{name}Connection")),
        move |call| resolve(call, Arc::clone(&model), Arc::clone(&of_type)),
        objects(table, |answer: &ListAnswer| answer),
    )
    .arguments(move || arguments::listed(&of_arguments))
    .description(format!(
        "The documents of {name} that you may see, page by page, as an index of the model finds and orders them."
    ))
}

fn push_changes(model: &Arc<Model>, types: &ApiTypes) -> RootRow {
    async fn resolve(mut call: Call, model: Arc<Model>) -> Result<AnsweredPush, ClientError> {
        let input = arguments::input(&mut call.arguments);
        let read = move || inputs::push(&model, input);
        let push = match call.below.bytes > large::ARGUMENT_BYTES {
            true => large::run(call.caller.account(), read).await?,
            false => read()?,
        };
        let outcome = call.sync.push(&call.caller, push).await?;
        Ok(AnsweredPush {
            outcome,
            server_time: call.sync.now(),
        })
    }
    let model = Arc::clone(model);
    let payload = objects(&types.push, |answer: &AnsweredPush| answer);
    RootRow::resolved(
        OperationKind::Mutation,
        "pushChanges",
        required("PushChangesPayload"),
        move |call| resolve(call, Arc::clone(&model)),
        payload,
    )
    .arguments(arguments::push)
    .description("Applies a client's changes, each with an outcome of its own.")
}

fn resolve_conflict(model: &Arc<Model>, types: &ApiTypes) -> RootRow {
    async fn resolve(mut call: Call, model: Arc<Model>) -> Result<PushOutcome, ClientError> {
        let input = arguments::input(&mut call.arguments);
        let inputs::ResolveInput { conflict, sent } = inputs::resolve(&model, input)?;
        Ok(call.sync.resolve(&call.caller, conflict, sent).await?)
    }
    let model = Arc::clone(model);
    let payload = objects(&types.resolve, |outcome: &PushOutcome| outcome);
    RootRow::resolved(
        OperationKind::Mutation,
        "resolveConflict",
        required("ResolveConflictPayload"),
        move |call| resolve(call, Arc::clone(&model)),
        payload,
    )
    .arguments(arguments::resolution)
    .description("Resolves a conflict of the inbox. The same sent again is answered again, with nothing done twice.")
}

fn decline_memberships(types: &ApiTypes) -> RootRow {
    async fn resolve(mut call: Call) -> Result<Vec<UserId>, ClientError> {
        let request = inputs::decline(arguments::input(&mut call.arguments))?;
        let declined = call.sync.decline(&call.caller, request).await?;
        Ok(declined.into_iter().collect())
    }
    let payload = objects(&types.declined, |givers: &Vec<UserId>| givers);
    RootRow::resolved(
        OperationKind::Mutation,
        "declineMemberships",
        required("DeclineMembershipsPayload"),
        resolve,
        payload,
    )
    .arguments(arguments::decline)
    .description("Declines what these users give you: it opens nothing to you and takes none of the room for your scopes. It can be taken back. At most 1,000 givers.")
}

fn followed_changes(types: &ApiTypes) -> RootRow {
    let page = pages(types);
    let compile = move |field: &SelectedField| {
        let follow = |call: Call| {
            let request = arguments::page(&call)?;
            let start = arguments::start(&call.arguments);
            let sync = Arc::clone(&call.sync);
            let answer = move |page: Result<Page, SyncError>| {
                Ok(PageAnswer {
                    page: page?,
                    server_time: sync.now(),
                })
            };
            let pages = call.sync.subscribe(call.caller, request, start);
            Ok(pages.map(answer))
        };
        RootPlan::followed(follow, page(field))
    };
    RootRow::new(
        OperationKind::Subscription,
        "changes",
        required("SyncPage"),
        compile,
    )
    .arguments(arguments::followed)
    .description("Catches the client up and then goes on: each page comes soon after its changes are durable. After a disconnection, subscribe again with the last checkpoint.")
}

fn followed_conflicts(types: &ApiTypes) -> RootRow {
    let page = objects(&types.conflicts, |page: &InboxPage| page);
    let compile = move |field: &SelectedField| {
        let follow = |call: Call| {
            let request = arguments::inbox(&call.arguments)?;
            let pages = call.sync.follow_conflicts(call.caller, request);
            Ok(pages.map(|page| Ok(page?)))
        };
        RootPlan::followed(follow, page(field))
    };
    RootRow::new(
        OperationKind::Subscription,
        "conflicts",
        required("SyncConflictConnection"),
        compile,
    )
    .arguments(arguments::followed_conflicts)
    .description("The first page of `conflicts`, at once and again whenever other conflicts stand in it: show it in the place of the one before.")
}
