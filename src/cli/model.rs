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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModelSource {
    File(PathBuf),
    Example,
}

impl LoadedModel {
    pub(super) fn new(source: ModelSource, text: String) -> Result<Self, CliError> {
        let model = Arc::new(Model::parse(&source.to_string(), &text)?);
        Ok(Self {
            model,
            text,
            source,
        })
    }

    /// Whether it is the example, built in or as a file.
    pub(super) fn is_example(&self) -> bool {
        self.text == EXAMPLE
    }
}

impl ModelSource {
    /// The model named, or `model.graphql` here, or the built-in example.
    pub(super) fn find(named: Option<&Path>) -> Self {
        let here = Path::new("model.graphql");
        let found = named.or_else(|| here.exists().then_some(here));
        found.map_or(Self::Example, |path| Self::File(path.to_owned()))
    }

    /// The text of the model.
    pub(super) fn read(&self) -> Result<String, CliError> {
        match self {
            Self::File(path) => fs::read_to_string(path).map_err(|error| {
                CliError(format!(
                    "the model {} cannot be read: {error}",
                    path.display()
                ))
            }),
            Self::Example => Ok(EXAMPLE.to_owned()),
        }
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
    let source = ModelSource::find(named);
    let text = source.read()?;
    LoadedModel::new(source, text)
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
