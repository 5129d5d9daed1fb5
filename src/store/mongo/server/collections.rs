//! Whether the collections are of a kind that can hold their documents, by the options that the server reports.
//!
//! An odd collection would refuse changes one by one. Here each is named before.

use futures_util::TryStreamExt;
use mongodb::{
    Client,
    bson::{Document, doc},
    error::Error,
};
use tidegate_core::id::IdType;

use super::{ServerProblem, ServerRequirements};
use crate::store::{
    finding::{Finding, Topic},
    mongo::error::loggable,
};

/// Those of the collections that exist, as `listCollections` describes them.
///
/// # Errors
/// [`ServerProblem::Failing`].
pub(super) async fn list(
    client: &Client,
    needs: &ServerRequirements,
) -> Result<Vec<Document>, ServerProblem> {
    let application = needs.application.iter().map(|collection| &collection.name);
    let names: Vec<&String> = application.chain(&needs.own).collect();
    let list = doc! { "listCollections": 1, "filter": { "name": { "$in": names } } };
    let database = client.database(&needs.database);
    let listed = async { database.run_cursor_command(list).await?.try_collect().await };
    let listed = listed.await;
    listed.map_err(|error: Error| ServerProblem::Failing(loggable(&error)))
}

/// Findings about collections that exist.
pub(super) fn survey(existing: &[Document], needs: &ServerRequirements) -> Vec<Finding> {
    let odd = existing.iter().filter_map(|described| {
        let name = described.get_str("name").unwrap_or_default();
        let oddity = oddity(described)?;
        if needs.own.iter().any(|own| own == name) {
            let name = name.to_owned();
            let problem = ServerProblem::OwnCollection { name, oddity };
            return Some(Finding::obstacle(Topic::Collections, problem.to_string()));
        }
        let mut application = needs.application.iter();
        let collection = application.find(|collection| collection.name == name)?;
        of_application(name, oddity, collection.id_type)
    });
    let odd: Vec<Finding> = odd.collect();
    if !odd.is_empty() {
        return odd;
    }
    let message = format!(
        "{} collections of the model, of a kind that can be synced",
        needs.application.len()
    );
    vec![Finding::good(Topic::Collections, message)]
}

fn of_application(name: &str, oddity: &'static str, id_type: IdType) -> Option<Finding> {
    let say = |consequence| format!("the collection {name} {oddity}; {consequence}");
    match oddity {
        FOLDS if id_type != IdType::String => None,
        FOLDS => {
            let consequence = "of two such ids one is kept, and changes of the other are REJECTED";
            Some(Finding::warning(Topic::Collections, say(consequence)))
        }
        _ => {
            let consequence = "it cannot be synced, and changes of its documents are REJECTED: make it a plain collection, or take its type out of the model";
            Some(Finding::problem(Topic::Collections, say(consequence)))
        }
    }
}

/// Whether documents can be read in the order of their ids.
pub(super) fn is_plain(described: &Document) -> bool {
    let kind = described.get_str("type");
    kind.is_ok_and(|kind| kind == "collection")
}

/// Why the documents of a collection cannot be synced.
pub(in crate::store::mongo) fn unsyncable(described: &Document) -> Option<&'static str> {
    oddity(described).filter(|oddity| *oddity != FOLDS)
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
