//! The examination behind `doctor`: what a start would find, and then everything that a store relies on.

use std::{path::Path, sync::Arc};

use indicatif::ProgressBar;
use tidegate_core::{generation::Generation, model::Model, transaction::Fence};

use super::{
    OwnModel, new_epoch, new_token_key, now,
    open_store::{examine_embedded, mongo_options},
    system_clock,
};
use crate::{
    config::{StoreConfig, StoreUrl},
    store::{
        Store, StoreError,
        embedded::{EmbeddedOptions, EmbeddedStore},
        finding::{Finding, StorePresence, Topic},
        mongo::MongoStore,
    },
    sync::{FeedExamination, examine_digests},
};

/// All that was found.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// Why the rest could not be examined.
    pub(crate) failure: Option<StoreError>,
}

/// Examines the configured place. What was found before a failure is reported too. With `repairs` it makes what is
/// missing, as a start does, and stamps documents that differ from their entries.
pub(crate) async fn examine_all(config: &StoreConfig, own: &OwnModel, repairs: bool) -> Report {
    let mut report = Report::default();
    let examined = report.examine(config, own, repairs).await;
    report.failure = examined.err();
    report
}

impl Report {
    async fn examine(
        &mut self,
        config: &StoreConfig,
        own: &OwnModel,
        repairs: bool,
    ) -> Result<(), StoreError> {
        let url = match &config.url {
            StoreUrl::Embedded(directory) => {
                return self.embedded(config, directory, own, repairs).await;
            }
            StoreUrl::Mongodb(url) => url,
        };
        let model = &own.model;
        let options = mongo_options(config, url).await?;
        if repairs && MongoStore::examine(&options, model).await?.0 == StorePresence::Current {
            MongoStore::open(&options, model).await?;
        }
        let (can_be_opened, findings) = MongoStore::examine_all(&options, model, now).await?;
        self.findings.extend(findings);
        if !can_be_opened {
            return Ok(());
        }
        let store = Arc::new(match repairs {
            true => MongoStore::open_existing(&options, model).await?,
            false => MongoStore::open_to_read(&options, model).await?,
        });
        if config.digests {
            let digests = examine_digests(store.as_ref(), repairs).await?;
            self.findings.push(digests);
        }
        self.model(own, store.as_ref()).await?;
        let models = store.models();
        let record = models.record().await?;
        let lead = record.generation_of(&own.text);
        match lead.filter(|own| *own == record.state.lead) {
            Some(lead) if repairs => models.serve_as(lead).await?,
            None if record.state.lead != Generation::default() => {
                self.findings.push(not_in_force());
                return Ok(());
            }
            _ => {}
        }
        self.feed(model, &store, repairs).await
    }

    async fn model(&mut self, own: &OwnModel, store: &dyn Store) -> Result<(), StoreError> {
        self.findings.extend(own.plan(store).await?.findings);
        Ok(())
    }

    /// Another gateway that imports waits while documents are stamped.
    async fn feed(
        &mut self,
        model: &Arc<Model>,
        store: &Arc<MongoStore>,
        repairs: bool,
    ) -> Result<(), StoreError> {
        let held = match repairs {
            true => Some(store.seize_lease().await?),
            false => None,
        };
        let compared = compare(model, store.clone(), held).await;
        if let (Some(held), Some(collections)) = (held, store.collections()) {
            collections.release(held).await?;
        }
        self.findings.extend(compared?);
        Ok(())
    }

    async fn embedded(
        &mut self,
        config: &StoreConfig,
        directory: &Path,
        own: &OwnModel,
        repairs: bool,
    ) -> Result<(), StoreError> {
        let (presence, findings) = examine_embedded(directory)?;
        self.findings.extend(findings);
        match presence {
            StorePresence::Current => {}
            StorePresence::Convertible => return Ok(()),
            StorePresence::None => {
                let message = format!(
                    "no store in {} yet; the first start makes it",
                    directory.display()
                );
                self.findings.push(Finding::good(Topic::Store, message));
                return Ok(());
            }
        }
        let store = EmbeddedStore::open(
            directory,
            &EmbeddedOptions::new(new_epoch(), new_token_key()),
        )?;
        let message = "an embedded store, of which heads, feed and model are examined: it has no server, no collections of other services and no importer";
        self.findings.push(Finding::good(Topic::Store, message));
        self.findings.extend(store.examine_all().await?);
        if config.digests {
            self.findings.push(examine_digests(&store, repairs).await?);
        }
        self.model(own, &store).await
    }
}

/// A stamp by another model than the one in force would undo what that one says.
fn not_in_force() -> Finding {
    let message =
        "the feed is compared with the collections by the model in force, and this is another one";
    Finding::good(Topic::Feed, message)
}

/// Compares the feed with the collections, and shows how far that has come.
async fn compare(
    model: &Arc<Model>,
    store: Arc<dyn Store>,
    lease: Option<Fence>,
) -> Result<Vec<Finding>, StoreError> {
    let clock = system_clock();
    let Some(examination) = FeedExamination::new(Arc::clone(model), store, clock, lease) else {
        return Ok(Vec::new());
    };
    let bar =
        ProgressBar::new(examination.total().await?).with_message("documents and entries compared");
    let findings = examination.examine(|passed| bar.inc(passed)).await;
    bar.finish_and_clear();
    findings
}
