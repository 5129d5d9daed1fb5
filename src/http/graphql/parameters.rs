//! The parameters of a GraphQL request, as they come in a body, a URL or a socket's message. Only their JSON types are
//! checked; `graphql::request` reads the document and the variables.

use axum::{extract::Query, http::Uri};
use serde_json::{Map, Value as Json};
use tidegate_core::value::unrepresentable::Unrepresentable;

use crate::{
    graphql::{
        QueryHash, RawRequest,
        error::{ClientError, Code},
    },
    http::json,
};

/// The request in a body.
///
/// # Errors
/// `BAD_REQUEST`, with the place where the body is no JSON, or the parameter that is wrong.
pub(super) fn from_body(body: &[u8]) -> Result<RawRequest, ClientError> {
    if body.is_empty() {
        return bad("The body is empty; send a JSON object with `query`.");
    }
    match json("The body", body)? {
        Json::Object(parameters) => from_json(parameters),
        Json::Array(_) => bad(
            "The body is a list, and batches of operations are not accepted; send each operation by itself.",
        ),
        _ => bad("The body is no JSON object; send one with `query`."),
    }
}

/// The request in the query part of a URL, where `variables` and `extensions` are JSON texts.
///
/// # Errors
/// `BAD_REQUEST`, naming the parameter that is wrong.
pub(super) fn from_uri(uri: &Uri) -> Result<RawRequest, ClientError> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return bad("The URL's parameters cannot be read.");
    };
    let mut parameters = Map::new();
    for (name, text) in pairs {
        let value = match name.as_str() {
            "variables" | "extensions" if !text.is_empty() => {
                json(&format!("`{name}`"), text.as_bytes())?
            }
            "query" | "operationName" | "variables" | "extensions" => Json::String(text),
            _ => continue,
        };
        if parameters.insert(name.clone(), value).is_some() {
            return bad(format!("`{name}` comes twice."));
        }
    }
    from_json(parameters)
}

/// The request in a JSON object.
///
/// # Errors
/// `BAD_REQUEST`, naming the parameter that is wrong.
pub(in crate::http) fn from_json(
    mut parameters: Map<String, Json>,
) -> Result<RawRequest, ClientError> {
    let mut extensions = object(&mut parameters, "extensions")?;
    let hash = extensions.remove("persistedQuery").map(hash).transpose()?;
    let query = match parameters.remove("query") {
        Some(Json::String(query)) => query,
        None | Some(Json::Null) if hash.is_some() => String::new(),
        None => return bad("`query` is missing; it holds the GraphQL document."),
        Some(_) => return bad("`query` must be a string: the GraphQL document."),
    };
    if Unrepresentable::find(&query).is_some() {
        return bad("`query` holds half a surrogate pair, which no GraphQL document can.");
    }
    let operation_name = match parameters.remove("operationName") {
        None | Some(Json::Null) => None,
        // An empty name means none: forms send it for an empty field, and GraphQL-over-HTTP defines it so for URLs.
        Some(Json::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(_) => return bad("`operationName` must be a string."),
    };
    let variables = object(&mut parameters, "variables")?;
    Ok(RawRequest {
        query,
        hash,
        operation_name,
        variables,
    })
}

/// The hash by which a client names its document (Apollo's automatic persisted queries).
fn hash(persisted_query: Json) -> Result<QueryHash, ClientError> {
    let version = persisted_query["version"].as_u64();
    let hash = persisted_query["sha256Hash"]
        .as_str()
        .and_then(QueryHash::parse);
    match (version, hash) {
        (Some(1), Some(hash)) => Ok(hash),
        _ => bad(
            "`extensions.persistedQuery` must be of version 1, with a SHA-256 in hexadecimal as `sha256Hash`.",
        ),
    }
}

fn object(
    parameters: &mut Map<String, Json>,
    name: &str,
) -> Result<Map<String, Json>, ClientError> {
    match parameters.remove(name) {
        None | Some(Json::Null) => Ok(Map::new()),
        // An empty field of a form is an absent one.
        Some(Json::String(text)) if text.is_empty() => Ok(Map::new()),
        Some(Json::Object(object)) => Ok(object),
        Some(_) => bad(format!("`{name}` must be a JSON object.")),
    }
}

fn json(what: &str, text: &[u8]) -> Result<Json, ClientError> {
    json::read(text).map_err(|error| {
        let reason = error.to_string();
        let fault = if error.is_eof() {
            "ends before its JSON does"
        } else if reason.starts_with("recursion limit exceeded") {
            "is nested deeper than 128 levels"
        } else if reason.starts_with("number out of range") {
            "holds a number larger than any 64-bit float"
        } else {
            "is not JSON"
        };
        let (line, column) = (error.line(), error.column());
        let message = format!("{what} {fault}; see line {line}, column {column}.");
        ClientError::new(Code::BadRequest, message)
    })
}

fn bad<T>(message: impl Into<String>) -> Result<T, ClientError> {
    Err(ClientError::new(Code::BadRequest, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(request: Result<RawRequest, ClientError>) -> String {
        match request {
            Ok(raw) => {
                let name = raw.operation_name.unwrap_or_default();
                format!("{}|{name}|{}", raw.query, Json::Object(raw.variables))
            }
            Err(failure) => {
                assert_eq!(failure.code, Code::BadRequest);
                failure.message
            }
        }
    }

    const UNREADABLE_HASH: &str = "`extensions.persistedQuery` must be of version 1, with a SHA-256 in hexadecimal as `sha256Hash`.";

    #[test]
    fn a_hash_may_stand_for_the_query() {
        let hex = "0aF".repeat(21) + "9";
        let body = |version: u8, hash: &str| {
            format!(
                r#"{{"extensions":{{"persistedQuery":{{"version":{version},"sha256Hash":"{hash}"}}}}}}"#
            )
        };
        let bare = from_body(body(1, &hex).as_bytes()).unwrap();
        let prefixed = from_body(body(1, &format!("sha256:{hex}")).as_bytes()).unwrap();
        assert_eq!(bare.query, "");
        assert!(bare.hash.is_some());
        assert_eq!(bare.hash, prefixed.hash);
        for wrong in [
            body(2, &hex),
            body(1, &hex.replace('9', "g")),
            body(1, &format!("+{}", &hex[1..])),
            body(1, &hex[2..]),
            body(1, &format!("md5:{hex}")),
        ] {
            assert_eq!(
                outcome(from_body(wrong.as_bytes())),
                UNREADABLE_HASH,
                "{wrong}"
            );
        }
    }

    #[test]
    fn each_fault_of_a_body_has_its_own_sentence() {
        let long = format!("{{\"query\": {}", "[".repeat(200));
        for (body, expected) in [
            (r#"{"query":"{a}"}"#, "{a}||{}"),
            (
                r#"{"query":"{a}","operationName":"A","variables":{"x":1},"extensions":{"y":2},"more":3}"#,
                r#"{a}|A|{"x":1}"#,
            ),
            (
                r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null}"#,
                "{a}||{}",
            ),
            (
                r#"{"query":"{a}","operationName":"","variables":"","extensions":""}"#,
                "{a}||{}",
            ),
            ("", "The body is empty; send a JSON object with `query`."),
            ("{\n  nope", "The body is not JSON; see line 2, column 3."),
            (
                r#"{"query":"#,
                "The body ends before its JSON does; see line 1, column 9.",
            ),
            (
                r#"{"query":"{a}"} x"#,
                "The body is not JSON; see line 1, column 17.",
            ),
            (
                &long,
                "The body is nested deeper than 128 levels; see line 1, column 137.",
            ),
            (
                r#"{"query":"{a}","variables":{"x":1e400}}"#,
                "{a}||{\"x\":\"\u{fdd0}\u{fdee}\"}",
            ),
            (
                r#"{"query":"{a(b: \"\ud83d\")}"}"#,
                "`query` holds half a surrogate pair, which no GraphQL document can.",
            ),
            (
                r#"{"query":"{a}","variables":{"x":1e400}]"#,
                "The body holds a number larger than any 64-bit float; see line 1, column 37.",
            ),
            (
                r#"[{"query":"{a}"}]"#,
                "The body is a list, and batches of operations are not accepted; send each operation by itself.",
            ),
            (
                r#""{a}""#,
                "The body is no JSON object; send one with `query`.",
            ),
            ("{}", "`query` is missing; it holds the GraphQL document."),
            (
                r#"{"query":null}"#,
                "`query` must be a string: the GraphQL document.",
            ),
            (
                r#"{"query":["{a}"]}"#,
                "`query` must be a string: the GraphQL document.",
            ),
            (
                r#"{"query":"{a}","operationName":7}"#,
                "`operationName` must be a string.",
            ),
            (
                r#"{"query":"{a}","variables":[1]}"#,
                "`variables` must be a JSON object.",
            ),
            (
                r#"{"query":"{a}","variables":"{}"}"#,
                "`variables` must be a JSON object.",
            ),
            (
                r#"{"query":"{a}","extensions":true}"#,
                "`extensions` must be a JSON object.",
            ),
            (
                r#"{"query":"{a}","extensions":{"persistedQuery":{"version":1,"sha256Hash":"abc"}}}"#,
                UNREADABLE_HASH,
            ),
            (
                r#"{"query":"{a}","extensions":{"persistedQuery":7}}"#,
                UNREADABLE_HASH,
            ),
        ] {
            assert_eq!(outcome(from_body(body.as_bytes())), expected, "{body}");
        }
        let not_utf8 = outcome(from_body(b"{\"query\":\"\xff\"}"));
        assert!(not_utf8.starts_with("The body is not JSON"), "{not_utf8}");
    }

    #[test]
    fn an_empty_operation_name_is_none_in_a_body_and_in_a_url() {
        let body = from_body(br#"{"query":"{a}","operationName":""}"#);
        let url = from_uri(&"/graphql?query=%7Ba%7D&operationName=".parse().unwrap());
        for request in [body, url] {
            assert_eq!(request.unwrap().operation_name, None);
        }
    }

    #[test]
    fn a_url_carries_the_same_parameters() {
        for (query, expected) in [
            ("query=%7Ba%7D", "{a}||{}"),
            (
                "query={a}&operationName=A&variables=%7B%22x%22:%221+2%22%7D&other=x",
                r#"{a}|A|{"x":"1 2"}"#,
            ),
            ("query={a}&operationName=&variables=&extensions=", "{a}||{}"),
            (
                "variables={}",
                "`query` is missing; it holds the GraphQL document.",
            ),
            ("", "`query` is missing; it holds the GraphQL document."),
            ("query={a}&query={b}", "`query` comes twice."),
            (
                "query={a}&variables=[]",
                "`variables` must be a JSON object.",
            ),
            (
                "query={a}&variables=%7B",
                "`variables` ends before its JSON does; see line 1, column 1.",
            ),
        ] {
            let uri = format!("/graphql?{query}")
                .replace('{', "%7B")
                .replace('}', "%7D");
            assert_eq!(
                outcome(from_uri(&uri.parse().unwrap())),
                expected,
                "{query}"
            );
        }
    }
}
