//! What a commit reads besides records and documents, in one `find`: epoch, version floor, lead, scopes, clients,
//! group number.
//!
//! One collection holds all of it, so that one `find` can read it. [`super::write`] writes it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use mongodb::bson::RawDocument;
use tidegate_core::{
    checkpoint::TokenKey,
    digest::KeptSums,
    entry::ScopeState,
    generation::ModelState,
    id::{ClientId, ClientKey, Epoch, Scope, ScopeNumber, Seq, UserId, Version},
    membership::UserState,
    push::{ClientState, erased_client},
    transaction::{Fence, LoadBytesMax, Reads},
};

use super::{
    error::MongoError,
    format::epoch_of,
    grant_order::GrantCounters,
    models,
    names::{self, StateKey, client_id, scope_id, user_id},
    reader::{ReadBudget, SessionReader, corrupt, text, unreadable},
};
use crate::store::{Clients, StoreError, codec, models::LeadRecord};

/// What is wanted in addition to what every read returns.
#[derive(Debug, Default)]
pub(super) struct StateQuery<'w> {
    /// The scopes whose heads and floors are wanted.
    pub(super) scopes: Option<&'w BTreeSet<Scope>>,
    /// The commit whose clients are wanted, in their order and as far as they have room.
    pub(super) commit: Option<&'w Reads>,
    /// The users whose states are wanted.
    pub(super) users: Vec<&'w UserId>,
    /// The slot whose last group number is wanted.
    pub(super) slot: Option<&'w str>,
    /// Whether the secret of checkpoints is wanted.
    pub(super) token_key: bool,
    /// Whether the number of the importer's lease is wanted.
    pub(super) lease: bool,
    /// Whether the counters of changed grants are wanted.
    pub(super) grants: bool,
}

/// What a commit finds beside records and documents.
#[derive(Debug)]
pub(super) struct CommitState {
    pub(super) epoch: Epoch,
    pub(super) models: Arc<ModelState>,
    pub(super) found: StateDocuments,
}

/// Documents of the state. A scope that was never written is absent, and so is a client without a state.
#[derive(Debug, Default)]
pub(super) struct StateDocuments {
    epoch: Option<Epoch>,
    lead: Option<LeadRecord>,
    reads_sums: bool,
    pub(super) version_floor: Version,
    /// Whether a conflict was ever opened.
    pub(super) has_inbox: bool,
    /// The secret of checkpoints. A store of an earlier version has none.
    pub(super) token_key: Option<TokenKey>,
    /// The secret under which last ids of erased clients are kept, if there are any.
    erasure: Option<TokenKey>,
    pub(super) scopes: HashMap<Scope, ScopeState>,
    /// The sums of scopes, if they are read for a commit that keeps them.
    pub(super) sums: HashMap<Scope, KeptSums>,
    pub(super) clients: Clients,
    pub(super) users: HashMap<UserId, UserState>,
    pub(super) group: Option<i64>,
    pub(super) lease: Option<Fence>,
    pub(super) grants: GrantCounters,
}

impl SessionReader<'_> {
    pub(super) async fn state(
        &mut self,
        wanted: &StateQuery<'_>,
    ) -> Result<CommitState, MongoError> {
        let context = self.context;
        let single = [
            names::FORMAT,
            names::VERSION_FLOOR,
            names::INBOX,
            names::MODEL,
            names::ERASURE,
        ];
        let scopes = wanted.scopes.into_iter().flatten().map(scope_id);
        let clients = wanted.commit.into_iter().flat_map(|reads| &reads.clients);
        let clients: Vec<ClientKey> = clients.cloned().collect();
        let ids = single.map(str::to_owned).into_iter();
        let users = wanted.users.iter().copied().map(user_id);
        let ids = ids.chain(scopes).chain(users);
        let ids = ids.chain(wanted.slot.map(str::to_owned));
        let ids = ids.chain(wanted.token_key.then(|| names::TOKEN_KEY.to_owned()));
        let ids = ids.chain(wanted.lease.then(|| names::LEASE.to_owned()));
        let ids = ids.chain(wanted.grants.then(GrantCounters::ids).into_iter().flatten());
        let bytes_max = wanted.commit.map(|reads| reads.bytes_max);
        let LoadBytesMax(bytes_max) = bytes_max.unwrap_or_default();
        let collection = &context.names.state;
        let reads_sums = wanted.commit.is_some() && context.keeps_sums;
        let mut found = StateDocuments::reading(reads_sums);
        // MongoDB answers in no order. If there is no room for all of it, the clients are read by themselves.
        let all = ids.clone().chain(clients.iter().map(client_id));
        let mut budget = ReadBudget::of(bytes_max);
        let take = |raw: &RawDocument| found.take(raw);
        if !self.each_by_id(collection, all, &mut budget, take).await? {
            found = StateDocuments::reading(reads_sums);
            for raw in self.by_ids(collection, ids).await? {
                found.take(&raw)?;
            }
            found.clients = self.clients(&clients, bytes_max).await?;
        }
        if let Some(secret) = found.erasure.take() {
            let erased = self.erased(&secret, &clients, &found.clients, bytes_max);
            let erased = erased.await?;
            found.clients.found.extend(erased);
        }
        let models = self.model_state(found.lead.take()).await?;
        found.with(models)
    }

    /// The last ids of those clients that have no state and were erased.
    async fn erased(
        &mut self,
        secret: &TokenKey,
        clients: &[ClientKey],
        found: &Clients,
        bytes_max: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, MongoError> {
        let clients = clients
            .iter()
            .filter(|key| !found.found.contains_key(*key) && !found.left_out.contains(*key));
        let named = clients.map(|key| (erased_client(secret, key), key));
        let named: HashMap<ClientKey, &ClientKey> = named.collect();
        let names: Vec<ClientKey> = named.keys().cloned().collect();
        let kept = self.clients(&names, bytes_max).await?.found.into_iter();
        let kept = kept.filter_map(|(name, state)| Some(((*named.get(&name)?).clone(), state)));
        Ok(kept.collect())
    }

    /// The last id of a client without a state, if it was erased.
    pub(super) async fn erased_client(
        &mut self,
        client: &ClientKey,
    ) -> Result<Option<(ClientKey, ClientState)>, MongoError> {
        let collection = &self.context.names.state;
        let mut found = StateDocuments::default();
        for raw in self.by_ids(collection, [names::ERASURE]).await? {
            found.take(&raw)?;
        }
        let Some(secret) = found.erasure else {
            return Ok(None);
        };
        let client = std::slice::from_ref(client);
        let erased = self.erased(&secret, client, &Clients::default(), 0).await?;
        Ok(erased.into_iter().next())
    }

    /// Only heads and floors. A scope that was never written is absent.
    pub(super) async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, MongoError> {
        Ok(self.scopes_read(scopes, false).await?.scopes)
    }

    /// Heads, floors and sums.
    pub(super) async fn scopes_with_sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(HashMap<Scope, ScopeState>, HashMap<Scope, KeptSums>), MongoError> {
        let read = self.scopes_read(scopes, true).await?;
        Ok((read.scopes, read.sums))
    }

    async fn scopes_read(
        &mut self,
        scopes: &BTreeSet<Scope>,
        reads_sums: bool,
    ) -> Result<StateDocuments, MongoError> {
        let context = self.context;
        let ids = scopes.iter().map(scope_id);
        let mut found = StateDocuments::reading(reads_sums);
        for raw in self.by_ids(&context.names.state, ids).await? {
            found.take(&raw)?;
        }
        Ok(found)
    }

    pub(super) async fn user(&mut self, user: &UserId) -> Result<UserState, MongoError> {
        let context = self.context;
        let mut found = StateDocuments::default();
        for raw in self.by_ids(&context.names.state, [user_id(user)]).await? {
            found.take(&raw)?;
        }
        Ok(found.users.remove(user).unwrap_or_default())
    }

    /// Clients in the order of `keys`, as far as their records have room. The first one that exists always has.
    pub(super) async fn clients(
        &mut self,
        keys: &[ClientKey],
        bytes_max: usize,
    ) -> Result<Clients, MongoError> {
        let collection = &self.context.names.state;
        let decode = |raw: &RawDocument| match StateKey::of(text(raw, "_id")?) {
            Some(StateKey::Client { user, client }) => client_state(user, client, raw),
            _ => Err(corrupt("a client's record has the id of something else")),
        };
        self.in_order(collection, keys, bytes_max, client_id, decode)
            .await
    }
}

impl StateDocuments {
    fn reading(reads_sums: bool) -> Self {
        Self {
            reads_sums,
            ..Self::default()
        }
    }

    fn with(mut self, models: Arc<ModelState>) -> Result<CommitState, MongoError> {
        Ok(CommitState {
            epoch: self.epoch.take().ok_or_else(gone)?,
            models,
            found: self,
        })
    }

    fn take(&mut self, raw: &RawDocument) -> Result<(), MongoError> {
        match StateKey::of(text(raw, "_id")?) {
            Some(StateKey::Scope(name)) => {
                let scope = Scope::new(name).map_err(unreadable)?;
                let kept = self.reads_sums.then(|| codec::read_sums(raw)).flatten();
                self.sums.extend(kept.map(|kept| (scope.clone(), kept)));
                self.scopes.insert(scope, scope_state(raw)?);
            }
            Some(StateKey::Client { user, client }) => {
                let (key, state) = client_state(user, client, raw)?;
                self.clients.found.insert(key, state);
            }
            Some(StateKey::User(name)) => {
                let user = UserId::new(name).map_err(unreadable)?;
                self.users.insert(user, user_state(raw)?);
            }
            Some(StateKey::Grants(counter)) => {
                self.grants
                    .raise(counter, raw.get_i64("n").map_err(unreadable)?);
            }
            Some(StateKey::Group) => self.group = Some(raw.get_i64("n").map_err(unreadable)?),
            Some(StateKey::Single(names::FORMAT)) => self.epoch = Some(epoch_of(raw)?),
            Some(StateKey::Single(names::VERSION_FLOOR)) => {
                self.version_floor = Version(raw.get_i32("v").map_err(unreadable)?);
            }
            Some(StateKey::Single(names::MODEL)) => self.lead = Some(models::decode_lead(raw)?),
            Some(StateKey::Single(names::TOKEN_KEY)) => {
                self.token_key = Some(secret(raw)?);
            }
            Some(StateKey::Single(names::ERASURE)) => self.erasure = Some(secret(raw)?),
            Some(StateKey::Single(names::INBOX)) => self.has_inbox = true,
            Some(StateKey::Single(names::LEASE)) => {
                self.lease = Some(Fence(raw.get_i64("fence").map_err(unreadable)?));
            }
            Some(StateKey::Single(_)) | None => {}
        }
        Ok(())
    }
}

fn secret(raw: &RawDocument) -> Result<TokenKey, MongoError> {
    let key = raw.get_binary("k").map_err(unreadable)?;
    Ok(TokenKey(key.bytes.try_into().map_err(unreadable)?))
}

/// The error of a store without an epoch: its database was dropped, or is being restored.
pub(super) fn gone() -> MongoError {
    let reason = "its epoch is missing, as after dropDatabase; bring the store back, or restart the gateways to begin an empty one";
    MongoError::Final(StoreError::Unavailable(reason.to_owned()))
}

/// Reads what is kept of a client.
pub(super) fn client_state(
    user: &str,
    client: &str,
    raw: &RawDocument,
) -> Result<(ClientKey, ClientState), MongoError> {
    let key = ClientKey {
        user: UserId::new(user).map_err(unreadable)?,
        client: ClientId::new(client).map_err(unreadable)?,
    };
    Ok((key, codec::decode_client(raw.as_bytes())?))
}

/// Reads what is kept of a user. Without `d`, no giver is declined.
fn user_state(raw: &RawDocument) -> Result<UserState, MongoError> {
    let mut declined = BTreeSet::new();
    if raw.get("d")?.is_some() {
        for giver in raw.get_array("d").map_err(unreadable)? {
            let giver = giver?.as_str().unwrap_or_default();
            declined.insert(UserId::new(giver).map_err(unreadable)?);
        }
    }
    Ok(UserState {
        stamp: raw.get_i64("n").map_err(unreadable)?,
        declined,
    })
}

/// Reads a scope's counters and its number.
pub(super) fn scope_state(raw: &RawDocument) -> Result<ScopeState, MongoError> {
    let seq = |name| raw.get_i64(name).map(Seq).map_err(unreadable);
    Ok(ScopeState {
        head: seq("h")?,
        floor: seq("f")?,
        number: raw.get_i64("i").ok().and_then(|number| {
            let number = u32::try_from(number).ok()?;
            Some(ScopeNumber(number))
        }),
    })
}
