//! The input of `declineMemberships`.

use async_graphql::{Value as GraphqlValue, dynamic::InputObject};
use tidegate_core::id::UserId;

use super::{object, present, text};
use crate::{
    graphql::{
        error::{ClientError, Code},
        shape::{argument, list, required},
    },
    sync::DeclineRequest,
};

pub(super) fn input() -> InputObject {
    InputObject::new("DeclineMembershipsInput")
        .description("Whose memberships you decline, or accept again.")
        .field(argument("givers", list("ID"), "The givers."))
        .field(
            argument(
                "decline",
                required("Boolean"),
                "Whether what they give you is declined; `false` takes it back.",
            )
            .default_value(true),
        )
}

/// Reads the input of `declineMemberships`.
pub(in crate::graphql) fn decline(input: GraphqlValue) -> Result<DeclineRequest, ClientError> {
    let mut input = object(input);
    let givers = match present(&mut input, "givers") {
        Some(GraphqlValue::List(givers)) => givers,
        _ => Vec::new(),
    };
    let givers = givers.into_iter().map(|giver| {
        let giver = text(giver).unwrap_or_default();
        UserId::new(&giver).map_err(|error| {
            let message = format!("`givers` names what is no user: {error}.");
            ClientError::new(Code::BadUserInput, message)
        })
    });
    let decline = present(&mut input, "decline");
    Ok(DeclineRequest {
        givers: givers.collect::<Result<_, _>>()?,
        decline: !matches!(decline, Some(GraphqlValue::Boolean(false))),
    })
}
