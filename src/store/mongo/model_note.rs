//! What is learned of a database before its store is opened, and the notes of gateways of the format before.

use mongodb::{
    bson::doc,
    options::{ClientOptions, ConnectionString, ReadConcern},
};
use tidegate_core::model::Model;

use super::{
    MongoContext, MongoOptions, MongoStore, layout::ModelLayout, opening::connect, server,
};
use crate::store::{
    StoreError,
    finding::{Finding, StorePresence},
};

/// The driver's options for a URL. The hosts of a `mongodb+srv` URL are looked up.
///
/// # Errors
/// [`StoreError`] when they are not found, or the options contradict one another.
pub async fn client_options(url: ConnectionString) -> Result<ClientOptions, StoreError> {
    let options = ClientOptions::parse(url).await;
    options.map_err(|error| server::of_options(&error).into())
}

impl MongoStore {
    /// Examines the server as for an opening. Returns also whether the database has a store. None is created or
    /// converted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Unsuitable`] if the server cannot be examined.
    pub async fn examine(
        options: &MongoOptions,
        model: &Model,
    ) -> Result<(StorePresence, Vec<Finding>), StoreError> {
        let (context, mut findings) = connect(options, ModelLayout::of(model)).await?;
        if findings.iter().any(|finding| finding.prevents_start) {
            return Ok((StorePresence::None, findings));
        }
        let presence = context.presence().await?;
        if presence == StorePresence::Convertible {
            findings.push(context.convertible().await?);
        }
        findings.extend(context.unkeyed_lists().await);
        Ok((presence, findings))
    }
}

impl MongoContext {
    pub(super) async fn noted(&self, id: &str) -> Result<Option<String>, StoreError> {
        let state = self.state();
        let find = state
            .find_one(doc! { "_id": id })
            .read_concern(ReadConcern::majority());
        let note = self.in_time(find).await?;
        Ok(note.and_then(|note| note.get_str("text").map(str::to_owned).ok()))
    }
}
