//! Stored documents that do not fit the model, and optional fields that are shown as null because they do not fit.
//!
//! Both are read from the collections, document by document, and only the reasons are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, RawDocument, RawDocumentBuf, doc};
use tidegate_core::{
    id::{DocumentKey, TypeName},
    model::{Field, Model},
    transaction::Misfit,
    value::{
        Document,
        fit::{fit, unfit_as_null, without_unfit},
    },
};
use tokio::time::{Duration, timeout};

use super::{
    MongoContext, MongoOptions, MongoStore,
    document::bson_type,
    error::{MongoError, loggable},
    layout::{FieldLayout, ModelLayout, TypeLayout, id_to_bson, id_to_text, is_id},
    opening::connect,
    reader::ReadBudget,
    snapshot::MongoSnapshot,
};
use crate::store::{
    StoreError,
    collections::UnfitDocument,
    finding::{Examples, Finding, Topic},
};

/// How many documents of each collection are looked at before a start, and how long that may take.
const SAMPLE: i64 = 100;
const SAMPLE_MAX: Duration = Duration::from_secs(5);

impl ModelLayout {
    /// Reads a document. An optional field that does not fit is absent, if the type shows such fields as null.
    ///
    /// # Errors
    /// The first value that the model cannot hold.
    pub(super) fn read_document(
        &self,
        of: &TypeLayout,
        stored: &RawDocument,
    ) -> Result<Document, Misfit> {
        let document = self.read(&of.fields, stored)?;
        let shown = without_unfit(&self.model, &of.modelled.fields, &document);
        Ok(shown.unwrap_or(document))
    }

    /// The optional fields that are shown as null because they do not fit, each with the reason.
    pub(super) fn nulled<'l>(
        &self,
        of: &'l TypeLayout,
        stored: &RawDocument,
    ) -> Vec<(&'l FieldLayout, Misfit)> {
        let unfit = of.nulled().filter_map(|(layout, field)| {
            let raw = layout.find(stored).ok().flatten()?;
            let misfit = match self.read_value(&layout.holds, raw, 1) {
                Err(misfit) => misfit.inside(&layout.name),
                Ok(value) => {
                    let document = Document::from([(field.stored_as.clone(), value)]);
                    unfit_as_null(&self.model, field, &document)?
                }
            };
            Some((layout, misfit))
        });
        unfit.collect()
    }

    /// Why a document is withheld, or else why a field of it is shown as null.
    fn judge(&self, of: &TypeLayout, stored: &RawDocument) -> Option<(Misfit, bool)> {
        let read = self.read_document(of, stored);
        let read = read.and_then(|read| fit(&self.model, &of.modelled.fields, &read).map(drop));
        match read {
            Err(misfit) => Some((misfit, true)),
            Ok(()) => {
                let (_, misfit) = self.nulled(of, stored).into_iter().next()?;
                Some((misfit, false))
            }
        }
    }
}

impl TypeLayout {
    /// The fields that show as null what does not fit.
    fn nulled(&self) -> impl Iterator<Item = (&FieldLayout, &Field)> {
        let fields = self.fields.iter().zip(&self.modelled.fields);
        fields.filter(|(_, field)| field.nulls_misfits)
    }
}

impl MongoStore {
    /// Looks at some documents of each collection, for those who have not imported them yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Unsuitable`] if the server cannot be examined.
    pub async fn sample_documents(
        options: &MongoOptions,
        model: &Model,
    ) -> Result<Vec<Finding>, StoreError> {
        let (context, _) = connect(options, ModelLayout::of(model)).await?;
        Ok(context.sample_documents().await)
    }
}

impl MongoContext {
    /// Those of these documents that are not shown whole. Each is read and let go of again.
    pub(super) async fn unfit(
        self: &Arc<Self>,
        keys: &[DocumentKey],
    ) -> Result<Vec<UnfitDocument>, MongoError> {
        let mut by_type: BTreeMap<&TypeName, Vec<&DocumentKey>> = BTreeMap::new();
        for key in keys {
            by_type.entry(&key.type_name).or_default().push(key);
        }
        let mut snapshot = MongoSnapshot::open(self, &BTreeSet::new(), None).await?;
        let mut unfit = Vec::new();
        for (type_name, keys) in by_type {
            let Some(layout) = self.layout.document_type(type_name) else {
                continue;
            };
            if self.is_capped(&layout.collection).await? {
                continue;
            }
            let ids = keys.into_iter().filter_map(|key| {
                let id = id_to_bson(layout.id_type, key.id.as_str())?;
                Bson::try_from(id).ok()
            });
            let judge = |stored: &RawDocument| {
                let id = stored.get("_id").ok().flatten();
                let id = id.and_then(|id| id_to_text(layout.id_type, id));
                if let Some((id, found)) = id.zip(self.layout.judge(layout, stored)) {
                    let (misfit, is_withheld) = found;
                    unfit.push(UnfitDocument {
                        type_name: type_name.clone(),
                        id,
                        misfit,
                        is_withheld,
                    });
                }
                Ok(())
            };
            let mut budget = ReadBudget::unlimited();
            let mut reader = snapshot.reader();
            let read = reader.each_by_id(&layout.collection, ids, &mut budget, judge);
            read.await
                .inspect_err(|failure| self.suspect(&layout.collection, failure))?;
        }
        Ok(unfit)
    }

    async fn sample_documents(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (type_name, layout) in self.layout.types() {
            let sampled = timeout(SAMPLE_MAX, self.sample(layout)).await;
            match sampled {
                Ok(Ok(sample)) => {
                    let name = self.layout.model.type_name(type_name.as_str());
                    findings.extend(sample.findings(name, &layout.collection));
                }
                Ok(Err(error)) => findings.push(unread(&layout.collection, &loggable(&error))),
                Err(_) => findings.push(unread(&layout.collection, &"no answer in time")),
            }
        }
        findings.sort_by(|one, other| one.message.cmp(&other.message));
        findings
    }

    async fn sample(&self, layout: &TypeLayout) -> Result<DocumentSample, mongodb::error::Error> {
        let documents = self
            .database
            .collection::<RawDocumentBuf>(&layout.collection);
        let pipeline = [doc! { "$sample": { "size": SAMPLE } }];
        let found = documents.aggregate(pipeline).max_time(SAMPLE_MAX);
        let mut found = found.with_type::<RawDocumentBuf>().await?;
        let mut sample = DocumentSample::default();
        while let Some(stored) = found.try_next().await? {
            sample.take(&self.layout, layout, &stored);
        }
        Ok(sample)
    }
}

fn unread(collection: &str, problem: &dyn std::fmt::Display) -> Finding {
    let message = format!("documents of the collection {collection} cannot be read: {problem}");
    Finding::warning(Topic::Withheld, message)
}

/// Some documents of a collection, by the model. Those with another `_id` are a matter of their own.
#[derive(Default)]
struct DocumentSample {
    all: u64,
    withheld: Examples,
    nulled: Examples,
}

impl DocumentSample {
    fn take(&mut self, layout: &ModelLayout, of: &TypeLayout, stored: &RawDocument) {
        let id = stored.get("_id").ok().flatten();
        let Some(id) = id.filter(|id| is_id(of.id_type, *id)) else {
            return;
        };
        self.all += 1;
        let Some((misfit, is_withheld)) = layout.judge(of, stored) else {
            return;
        };
        let examples = match is_withheld {
            true => &mut self.withheld,
            false => &mut self.nulled,
        };
        let text = id_to_text(of.id_type, id).unwrap_or_else(|| bson_type(id).to_owned());
        examples.take(|| format!("{text}: {misfit}"));
    }

    fn findings(self, type_name: &str, collection: &str) -> impl Iterator<Item = Finding> {
        let looked_at = format!(
            "of {} documents of {type_name} that were looked at in the collection {collection}",
            self.all
        );
        let of = |found: Examples, rest: &str| {
            let message = format!("{} {looked_at} {rest}", found.count);
            let finding = Finding::warning(Topic::Withheld, message);
            (found.count > 0).then(|| finding.about(found.count, found.first))
        };
        let withheld = of(
            self.withheld,
            "do not fit the model, and are withheld; mend them, or change the model",
        );
        let nulled = of(
            self.nulled,
            "have an optional field that does not fit, which is shown as null",
        );
        withheld.into_iter().chain(nulled)
    }
}

#[cfg(test)]
mod tests;
