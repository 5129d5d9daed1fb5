//! Draws a model from a MongoDB database: samples its collections, looks for the ids that they have in common.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    config::MongodbUrl,
    infer::{CollectionSample, Drawn, IdValue, IdsByCollection, Samples},
    store::{
        StoreError,
        mongo::{self, Listed, Sampler, Unread},
    },
};

/// The collections that are sampled. A model of more has no reader.
const COLLECTIONS_MAX: usize = 1_000;

/// No collection is begun after this time.
const READING_MAX: Duration = Duration::from_secs(15 * 60);

/// What is read of a database.
#[derive(Debug, Clone)]
pub(crate) struct InferOptions {
    /// The documents that are read of each collection.
    pub(crate) sample: u32,
    /// Only these collections; none is all.
    pub(crate) only: Vec<String>,
    /// The prefix of the names of Tidegate's own collections.
    pub(crate) prefix: String,
}

/// The model as a file, for a person to finish.
///
/// # Errors
/// [`StoreError`], with what to do.
pub(crate) async fn infer_model(
    url: &MongodbUrl,
    options: &InferOptions,
) -> Result<String, StoreError> {
    let client = mongo::client_options(url.connection.clone()).await?;
    let sampler = Sampler::connect(&client, &url.database).await?;
    let mut listed = sampler.collections().await?;
    listed.retain(|collection| !collection.name.starts_with(&options.prefix));
    check_wanted(&listed, options, url)?;
    listed.retain(|it| options.only.is_empty() || options.only.contains(&it.name));
    let beyond = listed.split_off(listed.len().min(COLLECTIONS_MAX));
    let beyond = beyond.into_iter().map(|it| {
        let reason = format!("beyond the first {COLLECTIONS_MAX} collections");
        (it.name, reason)
    });
    let mut samples = Samples::new(beyond.collect());
    sample_all(&sampler, listed, options.sample, &mut samples).await;
    let drawn = Drawn::new(&url.database, samples);
    if drawn.is_empty() {
        return Err(nothing_drawn(&drawn, url));
    }
    let found = find_all(&sampler, drawn.wanted()).await;
    Ok(drawn.finish(&found))
}

fn check_wanted(
    listed: &[Listed],
    options: &InferOptions,
    url: &MongodbUrl,
) -> Result<(), StoreError> {
    let is_there = |name: &&String| listed.iter().any(|it| it.name == **name);
    match options.only.iter().find(|name| !is_there(name)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Unsuitable(format!(
            "the database {} has no collection {name:?}, or the user may not see it",
            url.database
        ))),
    }
}

async fn sample_all(sampler: &Sampler, listed: Vec<Listed>, size: u32, samples: &mut Samples) {
    let bar = bar("collections sampled", listed.len());
    let until = Instant::now() + READING_MAX;
    for Listed { name, unsyncable } in listed {
        bar.set_message(name.clone());
        let has_time = Instant::now() < until;
        let late = || {
            let minutes = READING_MAX.as_secs() / 60;
            format!("not read, because the others took {minutes} minutes; draw it by --collection")
        };
        match unsyncable.or_else(|| (!has_time).then(late)) {
            Some(reason) => samples.leave_out(name, reason),
            None => match sample(sampler, &name, size, samples).await {
                Ok(sample) => samples.add(sample),
                Err(Unread(reason)) => samples.leave_out(name, reason),
            },
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
}

async fn sample(
    sampler: &Sampler,
    name: &str,
    size: u32,
    samples: &Samples,
) -> Result<CollectionSample, Unread> {
    let total = sampler.total(name).await?;
    let mut sample = samples.begin(name, total);
    let each = |document: &_| sample.add(document);
    sample.interrupted = sampler.sample(name, total, size, each).await?;
    Ok(sample)
}

/// Those of the wanted ids that are there. A collection that cannot be asked now has none.
async fn find_all(sampler: &Sampler, wanted: IdsByCollection) -> IdsByCollection {
    let bar = bar("references looked for", wanted.len());
    let mut found = IdsByCollection::new();
    for (name, ids) in wanted {
        bar.set_message(name.clone());
        let ids = ids.iter().map(IdValue::to_bson).collect();
        match sampler.existing(&name, ids).await {
            Ok(documents) => {
                let there = documents.iter().filter_map(|document| {
                    let id = document.get("_id").ok().flatten()?;
                    IdValue::of(id)
                });
                found.insert(name, there.collect());
            }
            Err(Unread(reason)) => {
                tracing::warn!("{name}: its _ids were not compared: it {reason}")
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    found
}

fn nothing_drawn(drawn: &Drawn, url: &MongodbUrl) -> StoreError {
    const NAMED_MAX: usize = 10;
    let reasons = drawn.left_out.iter().take(NAMED_MAX);
    let reasons: String = reasons
        .map(|(name, reason)| format!("\n  {name}: {reason}"))
        .collect();
    StoreError::Unsuitable(format!(
        "the database {} has no collection from which a model can be drawn; see that the URL names the right database{reasons}",
        url.database
    ))
}

fn bar(what: &str, length: usize) -> ProgressBar {
    let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} {{msg}}");
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style)
}
