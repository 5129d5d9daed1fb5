//! `schema` and `operations`: what is generated from a model, on standard output.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_core::model::Model;

use super::{CliError, CliResult, ModelArgs, OperationsArgs, print};
use crate::graphql::{Api, ApiOptions, Operations};

/// The model that `dev` starts with when there is no other.
const EXAMPLE: &str = include_str!("../../model.graphql");

/// A model, and its source.
pub(super) struct LoadedModel {
    pub(super) model: Arc<Model>,
    pub(super) text: String,
    pub(super) source: ModelSource,
}

/// The source of a model.
#[derive(Debug)]
pub(super) enum ModelSource {
    File(PathBuf),
    Example,
}

impl LoadedModel {
    /// Whether it is the example, built in or as a file.
    pub(super) fn is_example(&self) -> bool {
        self.text == EXAMPLE
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Example => f.write_str("the built-in example"),
        }
    }
}

/// Reads the model named, or `model.graphql` here, or the built-in example.
pub(super) fn load(named: Option<&Path>) -> Result<LoadedModel, CliError> {
    let here = Path::new("model.graphql");
    match named.or_else(|| here.exists().then_some(here)) {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("the model {} cannot be read: {error}", path.display()))?;
            let model = Model::parse(&path.display().to_string(), &text)?;
            Ok(LoadedModel {
                model: Arc::new(model),
                text,
                source: ModelSource::File(path.to_owned()),
            })
        }
        None => {
            let model = Model::parse("the built-in example", EXAMPLE)?;
            let text = EXAMPLE.to_owned();
            Ok(LoadedModel {
                model: Arc::new(model),
                text,
                source: ModelSource::Example,
            })
        }
    }
}

pub(super) fn schema(args: &ModelArgs) -> CliResult {
    let LoadedModel { model, .. } = load(args.model.as_deref())?;
    print(Api::new(&model, ApiOptions::default())?.sdl());
    Ok(())
}

pub(super) fn operations(args: &OperationsArgs) -> CliResult {
    let LoadedModel { model, .. } = load(args.model.model.as_deref())?;
    let api = Api::new(&model, ApiOptions::default())?;
    let operations = Operations::new(&model);
    if args.typescript {
        print(&operations.typescript(&model, api.hash()));
    } else {
        print(&(api.hash_comment() + &operations.text()));
    }
    Ok(())
}
