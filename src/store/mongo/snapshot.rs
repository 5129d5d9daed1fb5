//! A snapshot: a snapshot session on the primary, fixed to one moment by its first read.
//!
//! Dropping it ends the session. MongoDB keeps a moment for five minutes, so a snapshot must be short-lived.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use mongodb::{ClientSession, options::SessionOptions};
use tidegate_core::{
    digest::ScopeSums,
    entry::{Entry, ScopeState},
    id::{ClientId, ClientKey, ConflictId, DocumentKey, Scope, ScopeNumber, UserId},
    inbox::InboxRecord,
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    query::IndexRead,
    value::Timestamp,
};

use super::{MongoContext, names::FORMAT, reader::SessionReader, state::StateQuery};
use crate::store::{
    ClientCount, ConflictWalk, Entries, InboxRange, InboxScan, Listed, Scan, ScanRange, Snapshot,
    StoreError, StoreState,
};

/// The store as it was at one moment.
pub(super) struct MongoSnapshot {
    context: Arc<MongoContext>,
    session: ClientSession,
    state: StoreState,
    /// The states of the scopes named in the hint.
    scopes: HashMap<Scope, ScopeState>,
    /// The state of the user named in the hint.
    user: Option<(UserId, UserState)>,
}

impl MongoSnapshot {
    /// A snapshot with all that was acknowledged before. After an election it first asks the new primary for something
    /// that the primary can only answer once a majority has replicated its write.
    pub(super) async fn open(
        context: &Arc<MongoContext>,
        foreseen: &BTreeSet<Scope>,
        user: Option<&UserId>,
    ) -> Result<Self, StoreError> {
        loop {
            let election = context.elections.latest();
            if !context.elections.is_confirmed(election) {
                context.linearizable(&context.names.state, FORMAT).await?;
                context.elections.confirm(election);
            }
            let snapshot = Self::of_majority(context, foreseen, user).await?;
            if context.elections.latest() == election {
                return Ok(snapshot);
            }
        }
    }

    /// Its first read is of the epoch, and fixes the moment to the last commit that the primary knows a majority to
    /// have.
    async fn of_majority(
        context: &Arc<MongoContext>,
        foreseen: &BTreeSet<Scope>,
        user: Option<&UserId>,
    ) -> Result<Self, StoreError> {
        let options = SessionOptions::builder().snapshot(true).build();
        let start = context.client.start_session().with_options(options);
        let mut session = context.in_time(start).await?;
        let mut reader = SessionReader {
            context,
            session: &mut session,
        };
        let wanted = StateQuery {
            scopes: Some(foreseen),
            users: user.into_iter().collect(),
            token_key: true,
            ..StateQuery::default()
        };
        let state = reader.state(&wanted).await?;
        let (models, mut found) = (state.models, state.found);
        for scope in foreseen {
            found.scopes.entry(scope.clone()).or_default();
        }
        let user_state = |user: &UserId| {
            let state = found.users.remove(user).unwrap_or_default();
            (user.clone(), state)
        };
        Ok(Self {
            context: Arc::clone(context),
            session,
            user: user.map(user_state),
            state: StoreState {
                epoch: state.epoch,
                standing: models.standing(context.models.own()),
                models,
                token_key: found.token_key.unwrap_or_else(|| context.first_key.clone()),
            },
            scopes: found.scopes,
        })
    }

    pub(super) fn reader(&mut self) -> SessionReader<'_> {
        SessionReader {
            context: &self.context,
            session: &mut self.session,
        }
    }
}

#[async_trait]
impl Snapshot for MongoSnapshot {
    fn state(&self) -> &StoreState {
        &self.state
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        Ok(self.reader().scopes_numbered(numbers).await?)
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        let unread = scopes.iter().filter(|s| !self.scopes.contains_key(s));
        let unread: BTreeSet<Scope> = unread.cloned().collect();
        let read = self.reader().scopes(&unread).await?;
        let state = |scope: &Scope| {
            let state = read.get(scope).or_else(|| self.scopes.get(scope));
            (scope.clone(), state.copied().unwrap_or_default())
        };
        Ok(scopes.iter().map(state).collect())
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        match &self.user {
            Some((foreseen, state)) if foreseen == user => Ok(state.clone()),
            _ => Ok(self.reader().user(user).await?),
        }
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        let mut states = HashMap::from([(user.clone(), self.user(user).await?)]);
        let users = BTreeSet::from([user.clone()]);
        let mut reader = self.reader();
        let mut read = reader.memberships(&users, &mut states, bounds).await?;
        let memberships = read.remove(user);
        Ok(memberships.map(Arc::unwrap_or_clone).unwrap_or_default())
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        Ok(self.reader().scan(range).await?)
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        Ok(self.reader().entries_within(keys, bytes_max).await?)
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        Ok(self.reader().walk(after, limit).await?)
    }

    async fn sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        Ok(self.reader().sums(scopes).await?)
    }

    async fn count(&mut self, scope: &Scope) -> Result<ScopeSums, StoreError> {
        Ok(self.reader().count(scope).await?)
    }

    async fn list(&mut self, read: &IndexRead) -> Result<Listed, StoreError> {
        Ok(self.reader().list(read).await?)
    }

    async fn scopes_after(
        &mut self,
        after: Option<&Scope>,
        limit: usize,
    ) -> Result<Vec<Scope>, StoreError> {
        Ok(self.reader().scopes_after(after, limit).await?)
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        let mut read = self.reader().records(std::slice::from_ref(id), 0).await?;
        Ok(read.found.remove(id))
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        Ok(self.reader().conflicts(range).await?)
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        let mut reader = self.reader();
        let mut read = reader.clients(std::slice::from_ref(key), 0).await?;
        if read.found.is_empty() {
            read.found.extend(reader.erased_client(key).await?);
        }
        Ok(read.found.remove(key))
    }

    async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError> {
        Ok(self.reader().clients_of_user(user, after, limit).await?)
    }

    async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError> {
        Ok(self.reader().walk_conflicts(after, limit).await?)
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        Ok(self.reader().clients_by_api(since, limit).await?)
    }
}
