//! `GET /dev/token`: a token for a page in development. Only pages and programs of this machine get one, and only from a
//! gateway that listens on this machine alone. `cli::dev` signs the tokens.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, Request},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    accept::ResponseType,
    answer,
    origin::{self, AllowedOrigins},
};
use crate::graphql::error::{ClientError, Code};

/// The longest list of teams. A token with it is well below what the gateway reads of a request's head.
const TEAMS_BYTES_MAX: usize = 4096;

/// Signs a token for a user and teams, or says what is wrong with them.
pub(crate) type DevTokenSigner =
    Arc<dyn Fn(&str, &[&str]) -> Result<DevToken, String> + Send + Sync>;

/// A token, as the page gets it.
#[derive(Serialize)]
pub(crate) struct DevToken {
    pub(crate) token: String,
    /// When it expires (RFC 3339).
    pub(crate) expires: String,
}

pub(super) fn router<S>(sign: DevTokenSigner) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let serve = async move |request: Request| match token(&request, &sign) {
        Ok(token) => shown(&token),
        Err(failure) => answer::refused(ResponseType::Json, failure),
    };
    Router::new().route("/dev/token", get(serve))
}

fn shown(token: &DevToken) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    let text = serde_json::to_vec(token).expect("two texts always serialise");
    (headers, text).into_response()
}

fn token(request: &Request, sign: &DevTokenSigner) -> Result<DevToken, ClientError> {
    if !origin::is_of_this_machine(request) {
        let message =
            "Only this machine gets a token here, under a name of its own and without a proxy.";
        return Err(ClientError::new(Code::Forbidden, message));
    }
    let pages_of_this_machine = AllowedOrigins {
        named: Vec::new(),
        loopback: true,
    };
    origin::check_origin(request.headers(), &pages_of_this_machine)?;
    origin::check_get(request.headers(), &pages_of_this_machine)?;
    let bad = |message: &str| ClientError::new(Code::BadRequest, message);
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Query(pairs) = pairs.map_err(|_| bad("The URL's parameters cannot be read."))?;
    let (mut sub, mut teams) = (None, None);
    for (name, value) in pairs {
        let parameter = match name.as_str() {
            "sub" => &mut sub,
            "teams" => &mut teams,
            _ => {
                return Err(bad(
                    "The parameters are `sub`, and `teams` with commas between them.",
                ));
            }
        };
        if parameter.replace(value).is_some() {
            return Err(bad("A parameter comes twice."));
        }
    }
    let sub = sub.ok_or_else(|| bad("`sub` is missing: the user that the token is for."))?;
    let teams = teams.unwrap_or_default();
    if teams.len() > TEAMS_BYTES_MAX {
        return Err(bad("`teams` has more than 4,096 bytes."));
    }
    let teams: Vec<&str> = teams.split(',').filter(|team| !team.is_empty()).collect();
    sign(&sub, &teams).map_err(|reason| bad(&reason))
}
