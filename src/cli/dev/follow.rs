//! Serves the changes of the model file. What a start refuses is refused here too, and the model before it stays.
//!
//! The file is read again and again. An editor may replace it, and directories that a container or a network shares
//! report no changes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    super::{
        CliError, CliResult,
        model::{LoadedModel, ModelSource},
        print_error,
        serve::Stage,
    },
    Development,
};
use crate::{
    app::{AppError, OwnModel},
    store::StoreError,
};

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_millis(250);

/// How long requests of the gateway before may keep the embedded store open. The longest operation takes 40 s.
const RELEASE_MAX: Duration = Duration::from_secs(60);
const RELEASE_PAUSE: Duration = Duration::from_millis(20);

/// Serves what the model file holds, from each change to the next.
///
/// # Errors
/// Why not even the model that was served can be served again.
pub(super) async fn model(
    development: &Development,
    stage: &mut Stage,
    mut served: LoadedModel,
) -> CliResult {
    let mut file = ModelFile::holding(&served);
    loop {
        let read = file.changed().await;
        let source = &file.source;
        match serve(development, stage, &served, source, read).await {
            Ok(next) => {
                served = next;
                stage.announce(&format!("Tidegate serves {source} as it is now\n"));
            }
            Err(CliError(reason)) => print_error(&format!(
                "{source} has changed, and is not served; the model before it stays\n{reason}"
            )),
        }
        if stage.current().is_none() {
            put(development, stage, &served).await?;
        }
    }
}

/// Serves another model if nothing stands against it. Its gateway takes the place of the one that serves.
async fn serve(
    development: &Development,
    stage: &mut Stage,
    served: &LoadedModel,
    source: &ModelSource,
    read: Result<String, String>,
) -> Result<LoadedModel, CliError> {
    let next = LoadedModel::new(source.clone(), read?)?;
    if next.text != served.text {
        let own = OwnModel {
            accepted: development.accepted,
            ..OwnModel::new(&next.model, &next.text)?
        };
        if let Some(gateway) = stage.current() {
            gateway.judge(&development.store, &own).await?;
        }
        stage.clear().await;
        put(development, stage, &next).await?;
    }
    Ok(next)
}

/// Starts a gateway, once those before it have closed the embedded store.
async fn put(development: &Development, stage: &mut Stage, loaded: &LoadedModel) -> CliResult {
    let began = Instant::now();
    let gateway = loop {
        match development.start(loaded).await {
            Err(AppError::Store(StoreError::InUse { .. })) if began.elapsed() < RELEASE_MAX => {}
            started => break started?,
        }
        sleep(RELEASE_PAUSE).await;
    };
    stage.put(gateway, development.http_options(loaded));
    Ok(())
}

/// The file, and what it held when it was looked at.
struct ModelFile {
    source: ModelSource,
    /// The text, or why it cannot be read.
    known: Result<String, String>,
    last: Result<String, String>,
}

impl ModelFile {
    fn holding(loaded: &LoadedModel) -> Self {
        Self {
            source: loaded.source.clone(),
            known: Ok(loaded.text.clone()),
            last: Ok(loaded.text.clone()),
        }
    }

    /// Waits until it holds something else. Two reads in a row have to find the same, since an editor may be writing.
    async fn changed(&mut self) -> Result<String, String> {
        loop {
            sleep(READ_EVERY).await;
            // A file may take the place of the built-in example.
            if self.source == ModelSource::Example {
                self.source = ModelSource::find(None);
            }
            let found = self.source.read().map_err(|CliError(reason)| reason);
            let is_settled = found == self.last;
            self.last = found.clone();
            if is_settled && found != self.known {
                self.known = found.clone();
                return found;
            }
        }
    }
}
