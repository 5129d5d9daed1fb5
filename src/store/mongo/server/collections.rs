//! Whether the collections are of a kind that can hold their documents, by the options that the server reports.
//!
//! An odd collection would refuse changes one by one. Here each is named before.

use futures_util::TryStreamExt;
use mongodb::{
    Client,
    bson::{Document, doc},
    error::Error,
};

use super::{ServerProblem, ServerRequirements};
use crate::store::mongo::error::loggable;

/// Warnings about the application's collections, one sentence each.
///
/// # Errors
/// [`ServerProblem::OwnCollection`] if one of Tidegate's own is odd, and [`ServerProblem::Failing`].
pub(super) async fn survey(
    client: &Client,
    needs: &ServerRequirements,
) -> Result<Vec<String>, ServerProblem> {
    let found = list(client, needs).await;
    let found = found.map_err(|error: Error| ServerProblem::Failing(loggable(&error)))?;
    let mut warnings = Vec::new();
    for collection in &found {
        let name = collection.get_str("name").unwrap_or_default();
        let Some(oddity) = oddity(collection) else {
            continue;
        };
        if needs.own.iter().any(|own| own == name) {
            return Err(ServerProblem::OwnCollection {
                name: name.to_owned(),
                oddity,
            });
        }
        let consequence = match oddity {
            FOLDS if !needs.with_text_ids.iter().any(|folding| folding == name) => continue,
            FOLDS => "of two such ids one is kept, and changes of the other are REJECTED",
            _ => "changes of its documents are REJECTED",
        };
        warnings.push(format!("the collection {name} {oddity}; {consequence}"));
    }
    Ok(warnings)
}

async fn list(client: &Client, needs: &ServerRequirements) -> Result<Vec<Document>, Error> {
    let names: Vec<&String> = needs.application.iter().chain(&needs.own).collect();
    let list = doc! { "listCollections": 1, "filter": { "name": { "$in": names } } };
    let database = client.database(&needs.database);
    database.run_cursor_command(list).await?.try_collect().await
}

const FOLDS: &str = "has a collation, which may take different ids for the same";

/// What is odd about a collection, as `listCollections` describes it.
fn oddity(collection: &Document) -> Option<&'static str> {
    let options = collection.get_document("options").ok();
    let is_capped = options.is_some_and(|options| options.get_bool("capped").is_ok_and(|is| is));
    match collection.get_str("type") {
        Ok("view") => Some("is a view, which takes no writes"),
        Ok("timeseries") => Some("is one of time series, which takes no writes in transactions"),
        _ if is_capped => Some("is capped, and takes no writes in transactions"),
        _ => options?.contains_key("collation").then_some(FOLDS),
    }
}
