//! Any text as a model. Only that its API can be built is checked, not its meaning.

use std::sync::Arc;

use tidegate::graphql::{Api, ApiOptions};
use tidegate_core::model::Model;

/// Parses the bytes; a model whose API cannot be built should have been refused with a mistake.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Model::parse("model.graphql", text) {
        Ok(model) => {
            if let Err(error) = Api::new(&Arc::new(model), ApiOptions::default()) {
                panic!("{error}");
            }
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "a refusal says why"),
    }
}
