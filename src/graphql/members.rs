//! Memberships in the schema: what the caller is given and by whom, and the mutation that declines it.
//!
//! The root field `viewer` is in [`super::roots`].

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{
        Field, FieldFuture, FieldValue, InputObject, Object, ResolverContext, SchemaBuilder,
    },
};
use tidegate_core::{entry::Membership, id::UserId, membership::DECLINED_MAX, value::Timestamp};

use super::{
    enums,
    error::{Code, Failure},
    inbox::PageInfoNode,
    inputs,
    shape::{argument, list, nullable, plain, required, string},
};
use crate::sync::{DeclineRequest, SyncError, Viewer};

/// The most memberships of a page.
const PAGE_MAX: usize = 1_000;

/// How many memberships a page carries where the client does not say.
const FIRST_DEFAULT: i32 = 100;

/// Some of the caller's memberships.
struct PageNode {
    memberships: Vec<MembershipNode>,
    end: usize,
    has_more: bool,
}

#[derive(Clone)]
struct MembershipNode {
    membership: Membership,
    counts: bool,
}

/// The givers that the caller declines after a mutation.
pub(super) struct DeclinedNode(pub(super) Vec<UserId>);

pub(super) fn register(builder: SchemaBuilder) -> SchemaBuilder {
    let page = Object::new("SyncMembershipConnection")
        .description("Some of your memberships, the oldest first.")
        .field(plain(
            "nodes",
            list("SyncMembership"),
            "The memberships.",
            |node: &PageNode| {
                let memberships = node.memberships.iter().cloned();
                Some(FieldValue::list(memberships.map(FieldValue::owned_any)))
            },
        ))
        .field(plain(
            "pageInfo",
            required("PageInfo"),
            "Where the page ends.",
            |node: &PageNode| {
                Some(FieldValue::owned_any(PageInfoNode {
                    has_next: node.has_more,
                    end: Some(node.end.to_string()),
                }))
            },
        ));
    let input = InputObject::new("DeclineMembershipsInput")
        .description("Whose memberships you decline, or accept again.")
        .field(argument("givers", list("ID"), "The givers."))
        .field(
            argument(
                "decline",
                required("Boolean"),
                "Whether what they give you is declined; `false` takes it back.",
            )
            .default_value(true),
        );
    let payload = Object::new("DeclineMembershipsPayload")
        .description("What is declined from now on.")
        .field(plain(
            "declinedGivers",
            list("ID"),
            "All givers that you decline now.",
            |node: &DeclinedNode| Some(names(node.0.iter())),
        ));
    builder
        .register(membership_object())
        .register(page)
        .register(input)
        .register(payload)
}

fn membership_object() -> Object {
    Object::new("SyncMembership")
        .description("A scope that a document opens to you.")
        .field(plain("scope", required("ID"), "The scope.", |node: &MembershipNode| {
            Some(string(node.membership.scope.as_str()))
        }))
        .field(plain("access", required("SyncAccess"), "How far it is open.", |node: &MembershipNode| {
            Some(string(enums::ACCESS.word(&node.membership.access)))
        }))
        .field(plain("giver", nullable("ID"), "Who gave it; null if a service wrote it past the gateway.", |node: &MembershipNode| {
            node.membership.giver.as_ref().map(|giver| string(giver.as_str()))
        }))
        .field(plain("since", nullable("DateTime"), "When it was given; null if that was before the gateway kept it.", |node: &MembershipNode| {
            let since = node.membership.since;
            (since != Timestamp::EPOCH).then(|| string(since.to_string()))
        }))
        .field(plain("counts", required("Boolean"), "Whether it is in force: one user has a bounded number of scopes, and the oldest memberships stay.", |node: &MembershipNode| {
            Some(FieldValue::value(node.counts))
        }))
}

/// `viewer.memberships`.
pub(super) fn memberships<T: std::any::Any>(
    viewer: impl Fn(&T) -> &Viewer + Copy + Send + Sync + 'static,
) -> Field {
    Field::new("memberships", required("SyncMembershipConnection"), move |ctx| {
        FieldFuture::new(async move {
            let Some(node) = ctx.parent_value.downcast_ref::<T>() else {
                return Ok(None);
            };
            let page = page(&ctx, viewer(node)).map(|page| Some(FieldValue::owned_any(page)));
            Ok(super::complete::reported(&ctx, page))
        })
    })
    .argument(
        argument("first", nullable("Int"), "The most memberships of a page, from 1 to 1000.")
            .default_value(FIRST_DEFAULT),
    )
    .argument(argument(
        "after",
        nullable("String"),
        "Where to go on: the `endCursor` of the page before.",
    ))
    .description("The memberships that documents give you, the oldest first, without those of givers you decline. At most 20,000 are looked at.")
}

fn page(ctx: &ResolverContext<'_>, viewer: &Viewer) -> Result<PageNode, Failure> {
    let first = match ctx.args.get("first").map(|first| first.as_value().clone()) {
        Some(GraphqlValue::Number(first)) => first.as_i64().unwrap_or_default(),
        _ => i64::from(FIRST_DEFAULT),
    };
    let wanted = usize::try_from(first).ok();
    let wanted = wanted.filter(|first| (1..=PAGE_MAX).contains(first));
    let wanted = wanted.ok_or(SyncError::Limit {
        argument: "first",
        limit: first,
        max: PAGE_MAX,
    })?;
    let after = match ctx.args.get("after").map(|after| after.as_value().clone()) {
        Some(GraphqlValue::String(after)) => after.parse().map_err(|_| SyncError::Cursor)?,
        _ => 0,
    };
    let all = viewer.memberships().oldest_first();
    let shown = all.iter().skip(after).take(wanted);
    let memberships: Vec<MembershipNode> = shown
        .map(|(_, membership)| MembershipNode {
            membership: Membership::clone(membership),
            counts: viewer.grants.can_read(&membership.scope),
        })
        .collect();
    let end = after.saturating_add(memberships.len());
    Ok(PageNode {
        memberships,
        end,
        has_more: end < all.len(),
    })
}

/// Reads the input of `declineMemberships`.
pub(super) fn request(input: GraphqlValue) -> Result<DeclineRequest, Failure> {
    let mut input = inputs::object(input);
    let givers = match inputs::present(&mut input, "givers") {
        Some(GraphqlValue::List(givers)) => givers,
        _ => Vec::new(),
    };
    let givers = givers.into_iter().map(|giver| {
        let giver = inputs::text(giver).unwrap_or_default();
        UserId::new(&giver).map_err(|error| {
            let message = format!("`givers` names what is no user: {error}.");
            Failure::new(Code::BadUserInput, message)
        })
    });
    let decline = inputs::present(&mut input, "decline");
    Ok(DeclineRequest {
        givers: givers.collect::<Result<_, _>>()?,
        decline: !matches!(decline, Some(GraphqlValue::Boolean(false))),
    })
}

/// Users as a list of ids, at most [`DECLINED_MAX`].
pub(super) fn names<'u>(users: impl Iterator<Item = &'u UserId>) -> FieldValue<'static> {
    let names = users.take(DECLINED_MAX).map(|user| string(user.as_str()));
    FieldValue::list(names)
}
