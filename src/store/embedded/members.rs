//! Memberships: the table that lists them by user and giver, how it is read, and how it is rebuilt from what earlier
//! versions wrote.
//!
//! The core decides which of them count.

use std::collections::{BTreeMap, BTreeSet};

use redb::{Database, ReadableDatabase, ReadableTable, TableError};
use tidegate_core::{
    entry::{Membership, Record},
    id::{DocumentId, DocumentKey, NameError, Scope, TypeName, UserId},
    membership::{Bounds, GIVEN_MAX, GiverAndUser, Memberships, ROWS_MAX, UserState},
    model::Access,
    value::Timestamp,
};

use super::{
    tables::{ENTRIES, FEED, GIVEN, MEMBERS, META, USERS},
    view::{ReadView, expect_ascending, unreadable},
};
use crate::store::{StoreError, codec};

/// A row of [`GIVEN`] without its user.
type GivenRow = (DocumentKey, Membership);

/// The key of a membership in [`GIVEN`].
pub(super) fn place<'m>(
    key: &'m DocumentKey,
    membership: &'m Membership,
) -> (&'m str, &'m str, i64, &'m str, &'m str) {
    let giver = membership.giver.as_ref().map_or("", UserId::as_str);
    let (type_name, id) = (key.type_name.as_str(), key.id.as_str());
    let since = membership.since.ms();
    (membership.user.as_str(), giver, since, type_name, id)
}

/// The value of a membership in [`GIVEN`].
pub(super) fn opens(membership: &Membership) -> (&str, bool) {
    let may_write = membership.access == Access::Write;
    (membership.scope.as_str(), may_write)
}

/// The oldest memberships so far, up to a bound.
struct Oldest {
    max: usize,
    rows: BTreeMap<(Timestamp, DocumentKey), Membership>,
}

impl Oldest {
    fn new(max: usize) -> Self {
        Self {
            max,
            rows: BTreeMap::new(),
        }
    }

    /// Whether a younger membership of the same giver may still be among the oldest.
    fn take(&mut self, (key, membership): GivenRow) -> bool {
        let since = membership.since;
        self.rows.insert((since, key), membership);
        if self.rows.len() > self.max {
            self.rows.pop_last();
        }
        let last = self.rows.last_key_value();
        self.rows.len() < self.max || last.is_some_and(|((last, _), _)| since <= *last)
    }
}

impl ReadView {
    pub(super) fn user(&self, user: &UserId) -> Result<UserState, StoreError> {
        self.watched(|transaction| {
            let table = match transaction.open_table(USERS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(UserState::default()),
                opened => opened?,
            };
            let Some(row) = table.get(user.as_str())? else {
                return Ok(UserState::default());
            };
            let (stamp, declined) = row.value();
            let declined = declined.split('\0').filter(|name| !name.is_empty());
            let declined: Result<_, NameError> = declined.map(UserId::new).collect();
            Ok(UserState {
                stamp,
                declined: declined.map_err(unreadable)?,
            })
        })
    }

    /// The memberships of a user: the oldest of services, then the oldest of others.
    pub(super) fn memberships(
        &self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        let state = self.user(user)?;
        let (mut services, mut others) = (Oldest::new(ROWS_MAX), Oldest::new(ROWS_MAX));
        self.watched(|transaction| {
            let table = match transaction.open_table(GIVEN) {
                // A file of an earlier version that cannot be written now: there are no further memberships.
                Err(TableError::TableDoesNotExist(_)) => {
                    let table = transaction.open_table(MEMBERS)?;
                    for row in table.range((user.as_str(), "", "")..)?.take(ROWS_MAX) {
                        let (key, value) = row?;
                        let (of_user, type_name, id) = key.value();
                        if of_user != user.as_str() {
                            break;
                        }
                        let row = row_of((of_user, "", 0, type_name, id), value.value());
                        services.take(row.map_err(unreadable)?);
                    }
                    return Ok(());
                }
                opened => opened?,
            };
            let mut from = String::new();
            loop {
                let begin = (user.as_str(), from.as_str(), i64::MIN, "", "");
                let Some(first) = table.range(begin..)?.next() else {
                    return Ok(());
                };
                let (key, _) = first?;
                let (of_user, giver, ..) = key.value();
                if of_user != user.as_str() {
                    return Ok(());
                }
                expect_ascending(from.as_str() <= giver)?;
                let named = |users: &BTreeSet<UserId>| {
                    UserId::new(giver).is_ok_and(|giver| users.contains(&giver))
                };
                let is_service = giver.is_empty() || named(&bounds.services);
                let oldest = if is_service {
                    &mut services
                } else {
                    &mut others
                };
                if !named(&state.declined) {
                    let mut last = None;
                    for row in table.range((of_user, giver, i64::MIN, "", "")..)? {
                        let (key, value) = row?;
                        let (still_of, still_by, ..) = key.value();
                        if (still_of, still_by) != (of_user, giver) {
                            break;
                        }
                        let row = row_of(key.value(), value.value()).map_err(unreadable)?;
                        let at = Some((row.1.since, row.0.clone()));
                        expect_ascending(last < at)?;
                        last = at;
                        if !oldest.take(row) {
                            break;
                        }
                    }
                }
                // The key right after it, since no name holds U+0000.
                from = format!("{giver}\0");
            }
        })?;
        let left = ROWS_MAX - services.rows.len();
        let rows = services
            .rows
            .into_iter()
            .chain(others.rows.into_iter().take(left));
        Ok(Memberships {
            state,
            rows: rows
                .map(|((_, key), membership)| (key, membership))
                .collect(),
        })
    }

    /// How many documents each of these givers gives, up to the bound that was asked for.
    pub(super) fn given(
        &self,
        givings: &BTreeSet<GiverAndUser>,
    ) -> Result<BTreeMap<GiverAndUser, usize>, StoreError> {
        self.watched(|transaction| {
            let mut counted = BTreeMap::new();
            if givings.is_empty() {
                return Ok(counted);
            }
            let table = transaction.open_table(GIVEN)?;
            for giving in givings {
                let (user, giver) = (giving.user.as_str(), giving.giver.as_str());
                let range = (user, giver, i64::MIN, "", "")..=(user, giver, i64::MAX, "", "");
                let mut count = 0;
                for row in table.range(range)?.take(GIVEN_MAX) {
                    row?;
                    count += 1;
                }
                counted.insert(giving.clone(), count);
            }
            Ok(counted)
        })
    }
}

fn row_of(
    (user, giver, since, type_name, id): (&str, &str, i64, &str, &str),
    (scope, may_write): (&str, bool),
) -> Result<GivenRow, NameError> {
    let key = DocumentKey {
        type_name: TypeName::new(type_name)?,
        id: DocumentId::new(id)?,
    };
    let giver = Some(giver).filter(|giver| !giver.is_empty());
    let membership = Membership {
        user: UserId::new(user)?,
        scope: Scope::new(scope)?,
        access: if may_write {
            Access::Write
        } else {
            Access::Read
        },
        giver: giver.map(UserId::new).transpose()?,
        since: Timestamp::from_ms(since).unwrap_or(Timestamp::EPOCH),
    };
    Ok((key, membership))
}

/// Builds [`GIVEN`] from the entries, if it is missing or an earlier version has written since.
pub(super) fn keep_in_step(database: &Database) -> Result<(), StoreError> {
    let reading = database.begin_read()?;
    let meta = reading.open_table(META)?.get(())?;
    let commits = meta.map_or(0, |meta| i64::try_from(meta.value().2).unwrap_or_default());
    let in_step = match reading.open_table(USERS) {
        Err(TableError::TableDoesNotExist(_)) => false,
        opened => opened?.get("")?.is_some_and(|row| row.value().0 == commits),
    };
    if in_step {
        return Ok(());
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.delete_table(GIVEN)?;
    {
        let mut given = transaction.open_table(GIVEN)?;
        let (entries, feed) = (reading.open_table(ENTRIES)?, reading.open_table(FEED)?);
        let mut last = None;
        for row in reading.open_table(MEMBERS)?.iter()? {
            let (key, _) = row?;
            let (user, type_name, id) = key.value();
            let this = Some((user.to_owned(), type_name.to_owned(), id.to_owned()));
            expect_ascending(last < this)?;
            last = this;
            let Some(at) = entries.get((type_name, id))? else {
                continue;
            };
            let (scope, seq, ..) = at.value();
            let Some(stored) = feed.get((scope, seq))? else {
                continue;
            };
            let item = codec::decode_item(stored.value().1).map_err(unreadable)?;
            if let Record::Entry(entry) = item.record
                && let Some(membership) = &entry.membership
            {
                given.insert(place(&entry.key, membership), opens(membership))?;
            }
        }
        transaction.open_table(USERS)?.insert("", (commits, ""))?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use redb::Builder;
    use tempfile::TempDir;
    use tidegate_core::{
        checkpoint::TokenKey,
        entry::Entry,
        id::{Epoch, Version},
        transaction::{Reads, Writes},
    };

    use super::{
        super::{EmbeddedOptions, EmbeddedStore, tables},
        *,
    };
    use crate::store::Store;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn open(directory: &Path) -> EmbeddedStore {
        let options = EmbeddedOptions::new(Epoch::new("e1").unwrap(), TokenKey([7; 32]));
        EmbeddedStore::open(directory, &options).unwrap()
    }

    async fn give(store: &EmbeddedStore, version: i32, to: &str) {
        let entry = Entry {
            key: DocumentKey {
                type_name: TypeName::new("Member").unwrap(),
                id: DocumentId::new("m").unwrap(),
            },
            scope: Scope::new("roster").unwrap(),
            version: Version(version),
            began: Version(1),
            run: Version(1),
            field_versions: BTreeMap::new(),
            writers: BTreeMap::new(),
            body: Some(BTreeMap::new()),
            withheld: false,
            at: Timestamp::EPOCH,
            membership: Some(Membership {
                user: user(to),
                scope: Scope::new("team:red").unwrap(),
                access: Access::Read,
                giver: Some(user("alice")),
                since: Timestamp::EPOCH.plus_ms(5),
            }),
        };
        let writes = Writes {
            entries: vec![Arc::new(entry)],
            ..Writes::default()
        };
        let decide = move |_: &_| writes.clone();
        store
            .commit(Reads::default(), Arc::new(decide))
            .await
            .unwrap();
    }

    async fn givers(store: &EmbeddedStore, of: &str) -> Vec<Option<UserId>> {
        let mut snapshot = store.snapshot().await.unwrap();
        let (user, bounds) = (user(of), Bounds::default());
        let rows = snapshot.memberships(&user, &bounds).await.unwrap().rows;
        rows.into_values().map(|row| row.giver).collect()
    }

    /// An earlier version lacks both new tables, and writes the old one.
    #[tokio::test]
    async fn a_file_that_an_earlier_version_made_or_wrote_gives_the_memberships_it_has() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("tidegate.redb");
        let store = open(directory.path());
        give(&store, 1, "bob").await;
        drop(store);
        let database = Builder::new().open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.delete_table(GIVEN).unwrap();
        transaction.delete_table(USERS).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let store = open(directory.path());
        assert_eq!(givers(&store, "bob").await, [Some(user("alice"))]);
        drop(store);

        // The earlier version ends the membership, in a commit of its own.
        let database = Builder::new().open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut members = transaction.open_table(MEMBERS).unwrap();
            members.remove(("bob", "Member", "m")).unwrap();
            let mut meta = transaction.open_table(tables::META).unwrap();
            let (epoch, floor, commits) = {
                let row = meta.get(()).unwrap().unwrap();
                let (epoch, floor, commits) = row.value();
                (epoch.to_owned(), floor, commits)
            };
            meta.insert((), (epoch.as_str(), floor, commits + 1))
                .unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let store = open(directory.path());
        assert!(givers(&store, "bob").await.is_empty());
        give(&store, 2, "carol").await;
        assert_eq!(givers(&store, "carol").await, [Some(user("alice"))]);
        drop(store);
        let store = open(directory.path());
        assert_eq!(givers(&store, "carol").await, [Some(user("alice"))]);
    }
}
