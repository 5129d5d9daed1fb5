//! Memberships: the table that lists them by user and giver, and how it is read. The core decides which of them count.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use tidegate_core::{
    entry::Membership,
    id::{DocumentId, DocumentKey, NameError, Scope, TypeName, UserId},
    membership::{Bounds, GIVEN_MAX, GiverAndUser, Memberships, ROWS_MAX, UserState},
    model::Role,
    value::Timestamp,
};

use super::{
    tables::{GIVEN, USERS},
    view::{ReadView, expect_ascending, unreadable},
};
use crate::store::StoreError;

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
pub(super) fn opens(membership: &Membership) -> (Cow<'_, str>, bool) {
    let scope = membership.scope.as_str();
    match &membership.role {
        Role::Read => (scope.into(), false),
        Role::Write => (scope.into(), true),
        // No name holds U+0000.
        Role::Named(name) => (format!("{scope}\0{name}").into(), false),
    }
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
            let table = transaction.open_table(USERS)?;
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
            let table = transaction.open_table(GIVEN)?;
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
    (opened, may_write): (&str, bool),
) -> Result<GivenRow, NameError> {
    let (scope, name) = match opened.split_once('\0') {
        Some((scope, name)) => (scope, Some(name)),
        None => (opened, None),
    };
    let role = match (name, may_write) {
        (Some(name), _) => Role::of(name).ok_or(NameError::Empty)?,
        (None, true) => Role::Write,
        (None, false) => Role::Read,
    };
    let key = DocumentKey {
        type_name: TypeName::new(type_name)?,
        id: DocumentId::new(id)?,
    };
    let giver = Some(giver).filter(|giver| !giver.is_empty());
    let membership = Membership {
        user: UserId::new(user)?,
        scope: Scope::new(scope)?,
        role,
        giver: giver.map(UserId::new).transpose()?,
        since: Timestamp::from_ms(since).unwrap_or(Timestamp::EPOCH),
    };
    Ok((key, membership))
}
