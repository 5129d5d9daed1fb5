//! Memberships: the index that lists them by user and giver, the oldest first, and its queries.
//!
//! The core decides which of them count.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Document, RawDocument, RawDocumentBuf, doc},
    options::{FindOptions, Hint, IndexOptions},
};
use tidegate_core::{
    entry::Membership,
    id::{DocumentKey, UserId},
    membership::{Bounds, GiverAndUser, Memberships, ROWS_MAX, UserState},
};

use super::{
    error::MongoError,
    reader::{KEYS_MAX, SessionReader, text, unreadable},
};
use crate::store::codec::{self, CodecError};

/// The fields of a membership, so that no record has to be read for it.
fn keys() -> Document {
    doc! { "g.u": 1, "g.b": 1, "g.a": 1, "t": 1, "i": 1, "g.s": 1, "g.w": 1, "g.r": 1 }
}

/// It holds only entries that give something.
pub(super) fn index() -> IndexModel {
    let options = IndexOptions::builder()
        .partial_filter_expression(doc! { "g.u": { "$exists": true } })
        .build();
    IndexModel::builder().keys(keys()).options(options).build()
}

impl SessionReader<'_> {
    /// The memberships of these users, whose states are taken out of `states`. One statement reads them for all users,
    /// as long as all of them together have no more than one user may have.
    pub(super) async fn memberships(
        &mut self,
        users: &BTreeSet<UserId>,
        states: &mut HashMap<UserId, UserState>,
        bounds: &Bounds,
    ) -> Result<HashMap<UserId, Arc<Memberships>>, MongoError> {
        let mut memberships: HashMap<UserId, Memberships> = HashMap::new();
        for user in users {
            let state = states.remove(user).unwrap_or_default();
            let rows = BTreeMap::new();
            memberships.insert(user.clone(), Memberships { state, rows });
        }
        let all: Vec<&str> = users.iter().map(UserId::as_str).collect();
        for users in all.chunks(KEYS_MAX) {
            let filter = doc! { "g.u": { "$in": users } };
            let found = self.rows(filter, None, ROWS_MAX + 1).await?;
            if found.len() <= ROWS_MAX {
                for (key, row) in found {
                    if let Some(of_user) = memberships.get_mut(&row.user) {
                        of_user.insert(key, row);
                    }
                }
                continue;
            }
            for user in users {
                let user = UserId::new(user).map_err(unreadable)?;
                if let Some(of_user) = memberships.get_mut(&user) {
                    self.oldest(&user, of_user, bounds).await?;
                }
            }
        }
        let shared = memberships.into_iter();
        Ok(shared.map(|(user, of)| (user, Arc::new(of))).collect())
    }

    /// The memberships of one user with very many: those of services, then the oldest of all others.
    async fn oldest(
        &mut self,
        user: &UserId,
        memberships: &mut Memberships,
        bounds: &Bounds,
    ) -> Result<(), MongoError> {
        let declined = memberships.state.declined.clone();
        let services = bounds.services.difference(&declined).map(UserId::as_str);
        let services = services.map(|name| Some(name.to_owned()));
        let services: Vec<Option<String>> = [None].into_iter().chain(services).collect();
        let excluded = bounds.services.union(&declined).map(UserId::as_str);
        let excluded: Vec<&str> = excluded.collect();
        let user = user.as_str();
        for givers in [
            doc! { "$in": services },
            doc! { "$gt": "", "$nin": excluded },
        ] {
            let left = ROWS_MAX - memberships.rows.len();
            if left > 0 {
                let order = doc! { "g.a": 1, "t": 1, "i": 1 };
                let filter = doc! { "g.u": user, "g.b": givers };
                let rows = self.rows(filter, Some(order), left).await?;
                memberships.rows.extend(rows);
            }
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        filter: Document,
        order: Option<Document>,
        limit: usize,
    ) -> Result<Vec<(DocumentKey, Membership)>, MongoError> {
        let context = self.context;
        let mut shown = keys();
        shown.insert("_id", 0);
        let options = FindOptions::builder()
            .projection(shown)
            .hint(Hint::Keys(keys()))
            .sort(order)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .build();
        let mut rows = Vec::new();
        let each = |raw: &RawDocument| {
            let given = raw.get_document("g").map_err(|_| CodecError::Field("g"))?;
            rows.push((codec::document_key(raw)?, codec::decode_membership(given)?));
            Ok(true)
        };
        self.find_each(&context.names.feed, filter, options, each)
            .await?;
        Ok(rows)
    }

    /// How many documents each of these givers gives, in one statement for each giver.
    pub(super) async fn given(
        &mut self,
        givings: &BTreeSet<GiverAndUser>,
    ) -> Result<BTreeMap<GiverAndUser, usize>, MongoError> {
        let context = self.context;
        let mut counted: BTreeMap<GiverAndUser, usize> =
            givings.iter().map(|giving| (giving.clone(), 0)).collect();
        let mut by_giver: BTreeMap<&UserId, Vec<&str>> = BTreeMap::new();
        for giving in givings {
            let users = by_giver.entry(&giving.giver).or_default();
            users.push(giving.user.as_str());
        }
        let feed = context
            .database
            .collection::<RawDocumentBuf>(&context.names.feed);
        for (giver, users) in by_giver {
            for users in users.chunks(KEYS_MAX) {
                let pipeline = [
                    doc! { "$match": { "g.u": { "$in": users }, "g.b": giver.as_str() } },
                    doc! { "$group": { "_id": "$g.u", "n": { "$sum": 1 } } },
                ];
                let counting = feed
                    .aggregate(pipeline)
                    .hint(Hint::Keys(keys()))
                    .max_time(context.call_max)
                    .with_type::<RawDocumentBuf>()
                    .session(&mut *self.session);
                let mut cursor = context.in_time(counting).await?;
                let mut found = cursor.stream(&mut *self.session);
                while let Some(raw) = context.in_time(found.try_next()).await? {
                    let giving = GiverAndUser {
                        giver: giver.clone(),
                        user: UserId::new(text(&raw, "_id")?).map_err(unreadable)?,
                    };
                    let count = raw.get_i32("n").map_err(unreadable)?;
                    counted.insert(giving, usize::try_from(count).unwrap_or_default());
                }
            }
        }
        Ok(counted)
    }
}
