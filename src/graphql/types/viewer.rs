//! `SyncViewer`: the caller, what it may see and change, and the memberships that give it that.

use std::sync::Arc;

use tidegate_core::{
    entry::Membership,
    id::{Scope, UserId},
    membership::DECLINED_MAX,
    model::RoleSet,
    value::Timestamp,
};

use super::{
    connection::{Connection, PageEnd, PageInfo},
    document::DocumentTypes,
};
use crate::{
    graphql::{
        error::ClientError,
        render::Text,
        request::{ArgumentValues, OperationArguments},
        roots::arguments,
        shape::{list, nullable, required},
        table::{Node, ObjectType},
    },
    sync::{PendingImport, Viewer},
};

/// The content of `viewer`, and the arguments of the fields below it.
pub(in crate::graphql) struct ViewerAnswer {
    pub(in crate::graphql) user: UserId,
    pub(in crate::graphql) viewer: Viewer,
    pub(in crate::graphql) server_time: Timestamp,
    pub(in crate::graphql) arguments: Arc<OperationArguments>,
}

pub(in crate::graphql) struct SyncViewer;

impl Node for SyncViewer {
    type Ref<'n> = &'n ViewerAnswer;
}

/// Some of the caller's memberships.
struct MembershipPage<'n> {
    /// Each with whether it counts.
    memberships: Vec<(&'n Membership, bool)>,
    end: String,
    has_more: bool,
}

struct MembershipConnection;

impl Node for MembershipConnection {
    type Ref<'n> = &'n MembershipPage<'n>;
}

impl Connection for MembershipConnection {
    type Item = SyncMembership;

    fn items<'n>(page: Self::Ref<'n>) -> Vec<(&'n Membership, bool)> {
        page.memberships.clone()
    }

    fn end<'n>(page: Self::Ref<'n>) -> PageEnd<'n> {
        PageEnd {
            has_next: page.has_more,
            cursor: Some(&page.end),
        }
    }
}

struct SyncMembership;

impl Node for SyncMembership {
    type Ref<'n> = (&'n Membership, bool);
}

struct SyncImport;

impl Node for SyncImport {
    type Ref<'n> = &'n PendingImport;
}

/// The givers that the caller declines after a mutation.
pub(in crate::graphql) struct DeclineMemberships;

impl Node for DeclineMemberships {
    type Ref<'n> = &'n [UserId];
}

pub(super) fn viewer(
    documents: &Arc<DocumentTypes>,
    page_info: &Arc<ObjectType<PageInfo>>,
) -> ObjectType<SyncViewer> {
    let memberships: ObjectType<MembershipConnection> = ObjectType::new(
        "SyncMembershipConnection",
        "Some of your memberships, the oldest first.",
    );
    let membership = Arc::new(membership());
    let memberships =
        memberships.nodes("SyncMembership", "The memberships.", &membership, page_info);
    let memberships = Arc::new(memberships);
    let of_memberships = Arc::clone(&memberships);
    ObjectType::<SyncViewer>::new("SyncViewer", "Who asks, and what they may see and change.")
        .leaf("id", required("ID"), "The user.", |answer, text| text.string(answer.user.as_str()))
        .leaf("readScopes", list("ID"), "The scopes you may see.", |answer, text| {
            text.strings(answer.viewer.grants.scopes().map(Scope::as_str));
        })
        .leaf("writeScopes", list("ID"), "The scopes you may change.", |answer, text| {
            text.strings(answer.viewer.grants.writable().map(Scope::as_str));
        })
        .field("roles", list("String"), "Your roles in a scope, or in any.", |field| {
            let slot = field.slot.expect("the field takes arguments");
            Arc::new(move |answer, text| {
                let grants = &answer.viewer.grants;
                let roles = match arguments::scope(answer.arguments.of(slot)) {
                    None => grants.all_roles(),
                    // A text that is no scope is none of the user's.
                    Some(scope) => Scope::new(scope).map_or(RoleSet::NONE, |it| grants.roles(&it)),
                };
                text.strings(grants.names(roles));
                Ok(())
            })
        })
        .arguments(arguments::roles)
        .field("memberships", required("SyncMembershipConnection"), "The memberships that documents give you, the oldest first, without those of givers you decline. At most 20,000 are looked at.", move |field| {
            let (plan, slot) = (of_memberships.compile(field), field.slot);
            let slot = slot.expect("the field takes arguments");
            Arc::new(move |answer, text| {
                match page(&answer.viewer, answer.arguments.of(slot)) {
                    Ok(page) => plan.write(&page, text),
                    Err(failure) => Err(text.fail(failure)),
                }
            })
        })
        .of_type(&memberships)
        .arguments(arguments::memberships)
        .leaf("declinedGivers", list("ID"), "The users whose memberships you decline.", |answer, text| {
            names(answer.viewer.declined.iter(), text);
        })
        .leaf("lastMutationId", nullable("Int"), "The last mutation id consumed of the client asked about.", |answer, text| {
            text.json(&answer.viewer.last_mutation.map(|id| id.0));
        })
        .leaf("serverTime", required("DateTime"), "The gateway's clock.", |answer, text| {
            text.instant(answer.server_time);
        })
        .leaf("epoch", required("ID"), "The identity of the store's history.", |answer, text| {
            text.string(answer.viewer.epoch.as_str());
        })
        .children("importing", list("SyncImport"), "The types whose collections the gateways have not completely imported; some of their documents may be missing. At most one second old.", import(documents), |answer, imports| {
            imports.list(answer.viewer.importing.iter())
        })
}

fn page<'n>(
    viewer: &'n Viewer,
    arguments: &ArgumentValues,
) -> Result<MembershipPage<'n>, ClientError> {
    let (first, after) = arguments::membership_range(arguments)?;
    let all = viewer.memberships().oldest_first();
    let shown = all.iter().skip(after).take(first);
    let memberships: Vec<_> = shown
        .map(|(_, membership)| {
            let membership: &Membership = membership;
            (membership, viewer.grants.can_read(&membership.scope))
        })
        .collect();
    let end = after.saturating_add(memberships.len());
    Ok(MembershipPage {
        memberships,
        end: end.to_string(),
        has_more: end < all.len(),
    })
}

fn membership() -> ObjectType<SyncMembership> {
    ObjectType::<SyncMembership>::new("SyncMembership", "A scope that a document opens to you.")
        .leaf("scope", required("ID"), "The scope.", |(membership, _), text| {
            text.string(membership.scope.as_str());
        })
        .leaf("role", required("String"), "Your role there: READ, WRITE, or one that the model names.", |(membership, _), text| {
            text.string(membership.role.name());
        })
        .leaf("giver", nullable("ID"), "Who gave it; null if a service wrote it past the gateway.", |(membership, _), text| {
            text.json(&membership.giver.as_ref().map(UserId::as_str));
        })
        .leaf("since", nullable("DateTime"), "When it was given; null if that was before the gateway kept it.", |(membership, _), text| {
            match membership.since {
                Timestamp::EPOCH => text.null(),
                since => text.instant(since),
            }
        })
        .leaf("counts", required("Boolean"), "Whether it is in force: one user has a bounded number of scopes, and the oldest memberships stay.", |(_, counts), text| {
            text.json(&counts);
        })
}

fn import(documents: &Arc<DocumentTypes>) -> ObjectType<SyncImport> {
    ObjectType::<SyncImport>::new(
        "SyncImport",
        "How far the import of a type's collection has come.",
    )
    .type_name("The type.", documents, |import| import.stored_as.as_str())
    .leaf("done", required("Int"), "How many documents and entries were compared.", |import, text| {
        text.json(&shown(import.done));
    })
    .leaf("total", required("Int"), "About how many there are; 0 while that is unknown.", |import, text| {
        text.json(&shown(import.total));
    })
    .leaf("held", required("Boolean"), "Whether many documents are missing in the collection. Nothing is deleted until an operator says so.", |import, text| {
        text.json(&import.held);
    })
}

/// A count as an `Int`, which ends at 2,147,483,647.
fn shown(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub(super) fn declined() -> ObjectType<DeclineMemberships> {
    ObjectType::<DeclineMemberships>::new(
        "DeclineMembershipsPayload",
        "What is declined from now on.",
    )
    .leaf(
        "declinedGivers",
        list("ID"),
        "All givers that you decline now.",
        |givers, text| names(givers.iter(), text),
    )
}

/// Users as a list of ids, at most [`DECLINED_MAX`].
fn names<'u>(users: impl Iterator<Item = &'u UserId>, text: &mut Text) {
    text.strings(users.take(DECLINED_MAX).map(UserId::as_str));
}
