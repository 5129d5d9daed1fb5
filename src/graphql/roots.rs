//! The roots of the schema: `Query`, `Mutation`, `Subscription`. Each resolver reads its arguments, asks `sync`, and
//! words what failed.

use std::sync::Arc;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{
        Field, FieldFuture, FieldValue, Object, ResolverContext, SchemaBuilder, Subscription,
        SubscriptionField, SubscriptionFieldFuture,
    },
};
use futures_util::StreamExt;
use tidegate_core::{
    id::{ClientId, DocumentKey, Scope},
    model::{DocumentType, Model},
    value::Timestamp,
};

use super::{
    complete::reported,
    documents::DocumentNode,
    error::{Code, Failure},
    inbox::{self, InboxNode, Resolve},
    inputs, members,
    pages::{self, PageNode},
    results::PushNode,
    shape::{argument, int, list, nullable, plain, required, string},
};
use crate::sync::{Caller, SyncService, Viewer};

/// What a root resolver answers with; `reported` tells why it failed.
type Resolved = Result<Option<FieldValue<'static>>, Failure>;

pub(super) fn register(builder: SchemaBuilder, model: &Arc<Model>) -> SchemaBuilder {
    builder
        .register(viewer_object())
        .register(query(model))
        .register(mutation(model))
        .register(subscription())
}

fn query(model: &Arc<Model>) -> Object {
    let query = Object::new("Query")
        .description("What can be read.")
        .field(changes_since())
        .field(conflicts())
        .field(viewer());
    model.types.iter().fold(query, |query, document_type| {
        query.field(document(document_type))
    })
}

fn changes_since() -> Field {
    async fn page(ctx: &ResolverContext<'_>) -> Resolved {
        let (sync, caller) = context(ctx);
        let request = pages::request(pages::arguments_of(ctx), sync)?;
        let page = PageNode::value(sync.pull(caller, request).await?, sync.now())?;
        Ok(Some(page))
    }
    let field = Field::new("changesSince", required("SyncPage"), |ctx| {
        FieldFuture::new(async move { Ok(reported(&ctx, page(&ctx).await)) })
    });
    pages::arguments()
        .into_iter()
        .fold(field, Field::argument)
        .description("What changed since the checkpoint, page by page: repeat while `hasMore`.")
}

fn conflicts() -> Field {
    async fn page(ctx: &ResolverContext<'_>) -> Resolved {
        let (sync, caller) = context(ctx);
        let page = sync.conflicts(caller, &inbox::request(ctx)?).await?;
        Ok(Some(FieldValue::owned_any(InboxNode(page))))
    }
    Field::new("conflicts", required("SyncConflictConnection"), |ctx| {
        FieldFuture::new(async move { Ok(reported(&ctx, page(&ctx).await)) })
    })
    .argument(inbox::first())
    .argument(argument(
        "after",
        nullable("String"),
        "Where to go on: the `endCursor` of the page before.",
    ))
    .description("The conflicts that you may resolve, the oldest first: those of documents that you may change.")
}

fn viewer() -> Field {
    async fn viewer(ctx: &ResolverContext<'_>) -> Resolved {
        let (sync, caller) = context(ctx);
        let viewer = sync.viewer(caller, client_id(ctx)?).await?;
        Ok(Some(FieldValue::owned_any(ViewerNode {
            user: caller.identity.user.to_string(),
            viewer,
            server_time: sync.now(),
        })))
    }
    Field::new("viewer", required("SyncViewer"), |ctx| {
        FieldFuture::new(async move { Ok(reported(&ctx, viewer(&ctx).await)) })
    })
    .argument(argument(
        "clientId",
        nullable("ID"),
        "The client whose `lastMutationId` is wanted.",
    ))
    .description("Who you are, and what you may see and change.")
}

fn client_id(ctx: &ResolverContext<'_>) -> Result<Option<ClientId>, Failure> {
    let Some(text) = text_argument(ctx, "clientId") else {
        return Ok(None);
    };
    ClientId::new(&text).map(Some).map_err(|error| {
        Failure::new(
            Code::BadUserInput,
            format!("`clientId` is not usable: {error}."),
        )
    })
}

fn document(document_type: &Arc<DocumentType>) -> Field {
    async fn document(ctx: &ResolverContext<'_>, document_type: &DocumentType) -> Resolved {
        let (sync, caller) = context(ctx);
        let id = text_argument(ctx, "id").unwrap_or_default();
        let Ok(id) = document_type.id_type.parse(&id) else {
            return Ok(None);
        };
        let key = DocumentKey {
            type_name: document_type.name.clone(),
            id,
        };
        let read = sync.documents(caller, [key].into(), 0).await?;
        let found = read.found.into_iter().next();
        Ok(found.map(|entry| FieldValue::owned_any(DocumentNode(entry))))
    }
    let name = document_type.name.as_str().to_owned();
    let description = format!("One {name}; null if there is none, or none you may see.");
    let (singular, document_type) = (document_type.singular.clone(), document_type.clone());
    Field::new(singular, nullable(&name), move |ctx| {
        let document_type = document_type.clone();
        FieldFuture::new(async move { Ok(reported(&ctx, document(&ctx, &document_type).await)) })
    })
    .argument(argument("id", required("ID"), "Its id."))
    .description(description)
}

fn mutation(model: &Arc<Model>) -> Object {
    Object::new("Mutation")
        .description("What can be changed.")
        .field(push_changes(model.clone()))
        .field(resolve_conflict(model.clone()))
        .field(decline_memberships())
}

fn push_changes(model: Arc<Model>) -> Field {
    async fn push(ctx: &ResolverContext<'_>, model: &Arc<Model>) -> Resolved {
        let (sync, caller) = context(ctx);
        let push = inputs::push(model, input(ctx))?;
        let outcome = sync.push(caller, push).await?;
        Ok(Some(FieldValue::owned_any(PushNode {
            outcome,
            server_time: sync.now(),
        })))
    }
    Field::new("pushChanges", required("PushChangesPayload"), move |ctx| {
        let model = model.clone();
        FieldFuture::new(async move { Ok(reported(&ctx, push(&ctx, &model).await)) })
    })
    .argument(argument("input", required("PushChangesInput"), "The push."))
    .description("Applies a client's changes, each with an outcome of its own.")
}

fn resolve_conflict(model: Arc<Model>) -> Field {
    async fn resolve(ctx: &ResolverContext<'_>, model: &Model) -> Resolved {
        let (sync, caller) = context(ctx);
        let Resolve {
            conflict,
            base,
            resolution,
        } = inbox::resolve(model, input(ctx))?;
        let outcome = sync.resolve(caller, conflict, base, resolution).await?;
        Ok(Some(FieldValue::owned_any(outcome)))
    }
    Field::new("resolveConflict", required("ResolveConflictPayload"), move |ctx| {
        let model = model.clone();
        FieldFuture::new(async move { Ok(reported(&ctx, resolve(&ctx, &model).await)) })
    })
    .argument(argument("input", required("ResolveConflictInput"), "The resolution."))
    .description("Resolves a conflict of the inbox. The same sent again is answered again, with nothing done twice.")
}

fn decline_memberships() -> Field {
    async fn decline(ctx: &ResolverContext<'_>) -> Resolved {
        let (sync, caller) = context(ctx);
        let declined = sync.decline(caller, members::request(input(ctx))?).await?;
        let declined = members::DeclinedNode(declined.into_iter().collect());
        Ok(Some(FieldValue::owned_any(declined)))
    }
    Field::new("declineMemberships", required("DeclineMembershipsPayload"), |ctx| {
        FieldFuture::new(async move { Ok(reported(&ctx, decline(&ctx).await)) })
    })
    .argument(argument("input", required("DeclineMembershipsInput"), "Whose memberships."))
    .description("Declines what these users give you: it opens nothing to you and takes none of the room for your scopes. It can be taken back. At most 1,000 givers.")
}

fn subscription() -> Subscription {
    Subscription::new("Subscription")
        .description("What can be followed.")
        .field(followed_changes())
        .field(followed_conflicts())
}

fn followed_conflicts() -> SubscriptionField {
    SubscriptionField::new("conflicts", required("SyncConflictConnection"), |ctx| {
        SubscriptionFieldFuture::new(async move {
            let (sync, caller) = context(&ctx);
            let request = inbox::request(&ctx).map_err(Failure::into_error)?;
            let pages = sync.clone().follow_conflicts(caller.clone(), request);
            Ok(pages.map(|page| match page {
                Ok(page) => Ok(FieldValue::owned_any(InboxNode(page))),
                Err(error) => Err(Failure::from(error).into_error()),
            }))
        })
    })
    .argument(inbox::first())
    .description("The first page of `conflicts`, at once and again whenever other conflicts stand in it: show it in the place of the one before.")
}

fn followed_changes() -> SubscriptionField {
    let field = SubscriptionField::new("changes", required("SyncPage"), |ctx| {
        SubscriptionFieldFuture::new(async move {
            let (sync, caller) = context(&ctx);
            let request = pages::request(pages::arguments_of(&ctx), sync);
            let request = request.map_err(Failure::into_error)?;
            let start = pages::start(pages::arguments_of(&ctx));
            let sync = sync.clone();
            let pages = sync.clone().subscribe(caller.clone(), request, start);
            Ok(pages.map(move |page| {
                let page = page.map_err(Failure::from);
                let page = page.and_then(|page| PageNode::value(page, sync.now()));
                page.map_err(Failure::into_error)
            }))
        })
    });
    pages::arguments()
        .into_iter()
        .fold(field, SubscriptionField::argument)
        .argument(
            argument("from", nullable("SyncStart"), "Where the subscription starts.")
                .default_value(GraphqlValue::Enum(async_graphql::Name::new("CHECKPOINT"))),
        )
        .description("Catches the client up and then goes on: each page comes soon after its changes are durable. After a disconnection, subscribe again with the last checkpoint.")
}

struct ViewerNode {
    user: String,
    viewer: Viewer,
    server_time: Timestamp,
}

fn viewer_object() -> Object {
    Object::new("SyncViewer")
        .description("Who asks, and what they may see and change.")
        .field(plain(
            "id",
            required("ID"),
            "The user.",
            |node: &ViewerNode| Some(string(node.user.as_str())),
        ))
        .field(plain(
            "readScopes",
            list("ID"),
            "The scopes you may see.",
            |node: &ViewerNode| Some(scopes(node.viewer.grants.scopes())),
        ))
        .field(plain(
            "writeScopes",
            list("ID"),
            "The scopes you may change.",
            |node: &ViewerNode| Some(scopes(node.viewer.grants.writable())),
        ))
        .field(members::memberships(|node: &ViewerNode| &node.viewer))
        .field(plain(
            "declinedGivers",
            list("ID"),
            "The users whose memberships you decline.",
            |node: &ViewerNode| {
                Some(members::names(
                    node.viewer.memberships().state.declined.iter(),
                ))
            },
        ))
        .field(plain(
            "lastMutationId",
            nullable("Int"),
            "The last mutation id consumed of the client asked about.",
            |node: &ViewerNode| node.viewer.last_mutation.map(|id| int(id.0)),
        ))
        .field(plain(
            "serverTime",
            required("DateTime"),
            "The gateway's clock.",
            |node: &ViewerNode| Some(string(node.server_time.to_string())),
        ))
        .field(plain(
            "epoch",
            required("ID"),
            "The identity of the store's history.",
            |node: &ViewerNode| Some(string(node.viewer.epoch.as_str())),
        ))
}

fn scopes<'a>(scopes: impl Iterator<Item = &'a Scope>) -> FieldValue<'static> {
    FieldValue::list(scopes.map(|scope| string(scope.as_str())))
}

/// The service and the caller, which every request carries.
fn context<'a>(ctx: &ResolverContext<'a>) -> (&'a Arc<SyncService>, &'a Caller) {
    (ctx.ctx.data_unchecked(), ctx.ctx.data_unchecked())
}

/// The argument of every mutation.
fn input(ctx: &ResolverContext<'_>) -> GraphqlValue {
    let input = ctx.args.get("input");
    input.map_or(GraphqlValue::Null, |input| input.as_value().clone())
}

fn text_argument(ctx: &ResolverContext<'_>, name: &str) -> Option<String> {
    match ctx.args.get(name)?.as_value() {
        GraphqlValue::String(text) => Some(text.clone()),
        _ => None,
    }
}
