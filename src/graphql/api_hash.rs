//! The hash of an API. Apps send it, so that a gateway with another model knows which of the two is newer.
//!
//! It is made of the printed schema, so that an app has it at build time, in the first line of what it is built from.

use apollo_parser::{Lexer, Token, TokenKind};
use sha2::{Digest, Sha256};
use tidegate_core::id::ApiHash;

/// The first 16 bytes of the SHA-256 of the schema's tokens, each with a line feed behind it. Commas, comments and
/// descriptions are left out: they decide about no operation.
pub(super) fn of(sdl: &str) -> ApiHash {
    let mut hash = Sha256::new();
    for token in Lexer::new(sdl).flatten().filter(is_of_the_api) {
        hash.update(token.data());
        hash.update("\n");
    }
    let hash: [u8; 32] = hash.finalize().into();
    let (first, _) = hash.split_first_chunk().expect("it has 32 bytes");
    ApiHash(*first)
}

/// Only descriptions are printed as block strings.
fn is_of_the_api(token: &Token<'_>) -> bool {
    match token.kind() {
        TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof => false,
        TokenKind::StringValue => !token.data().starts_with("\"\"\""),
        _ => true,
    }
}

/// The line that says the hash, at the beginning of what is generated for apps.
pub(super) fn comment(hash: ApiHash) -> String {
    format!("# API hash: {hash}\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_core::model::Model;

    use super::*;
    use crate::graphql::{Api, ApiOptions};

    const MODEL: &str = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
"A thing." type Task @collection(name: "tasks") @scope(by: "user:{owner}") { id: ID! owner: ID! title: String @default(value: "a, b") kind: Kind }
enum Kind { GOOD BAD }
"#;

    fn hash(model: &str) -> ApiHash {
        let model = Model::parse("model.graphql", model).unwrap();
        let api = Api::new(&Arc::new(model), ApiOptions::default()).unwrap();
        let said = format!("# API hash: {}", api.hash());
        assert_eq!(api.sdl().lines().next(), Some(&*said));
        assert_eq!(of(api.sdl()), api.hash(), "the comment is left out");
        api.hash()
    }

    #[test]
    fn what_changes_no_operation_changes_no_hash() {
        let api = hash(MODEL);
        for (part, other) in [
            ("A thing.", "Another \\\"thing\\\"."),
            ("kind: Kind", "\"What it is.\" kind: Kind"),
            ("user:{owner}", "team:{owner}"),
            (
                "name: \"tasks\"",
                "name: \"jobs\", singular: \"task\", plural: \"tasks\"",
            ),
        ] {
            assert_eq!(hash(&MODEL.replace(part, other)), api, "{other}");
        }
    }

    #[test]
    fn what_changes_the_api_changes_the_hash() {
        let api = hash(MODEL);
        for (part, other) in [
            ("kind: Kind", ""),
            ("kind: Kind", "kind: Kind!"),
            ("kind: Kind", "kind: Kind more: Int"),
            ("GOOD BAD", "GOOD"),
            ("a, b", "a b"),
            ("type Task", "type Job"),
            (
                "{ id: ID!",
                "@index(fields: [\"kind\", \"title\"]) { id: ID!",
            ),
        ] {
            assert_ne!(hash(&MODEL.replace(part, other)), api, "{other}");
        }
    }
}
