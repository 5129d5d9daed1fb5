//! Reading from the store: gateways, pages, and the tokens of checkpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate_core::{
    checkpoint::{
        Checkpoint, CheckpointError, KnownTypes, Refresh, RequestedTypes, Token, TokenKey,
    },
    digest::ScopeDigest,
    entry::{Entry, FeedItem, Record},
    generation::{Generation, Standing, Term},
    id::{Scope, TypeName, UserId},
    model::Model,
    page::{FeedRange, PageCursor, PageInputs, PageRequest, seqs_above_head},
};
use tidegate_testkit::{
    client::{Page, Place},
    store::Range,
};

use super::Store;
use crate::drafts::key;

/// The secret of the store.
const KEY: TokenKey = TokenKey([7; 32]);

/// A gateway that reads the store.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) known: KnownTypes,
    pub(crate) standing: Standing,
    /// Whether it can show a document.
    pub(crate) shows: fn(&Entry) -> bool,
}

/// What a client asks a gateway for.
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) types: RequestedTypes,
    pub(crate) refresh: &'a [&'a str],
    /// A fingerprint of what it selects.
    pub(crate) selection: u64,
    pub(crate) limit: usize,
    /// The scopes that it reads again.
    pub(crate) reread: &'a [&'a str],
}

impl Store {
    /// A page of all types.
    pub(crate) fn page(&self, user: &str, token: Option<&str>, limit: usize) -> Page {
        self.page_of(user, token, RequestedTypes::All, limit)
    }

    pub(crate) fn page_of(
        &self,
        user: &str,
        token: Option<&str>,
        types: RequestedTypes,
        limit: usize,
    ) -> Page {
        let asked = Asked {
            user,
            token,
            types,
            refresh: &[],
            selection: 0,
            limit,
            reread: &[],
        };
        self.page_at(&self.gateway(), &asked)
    }

    /// A gateway with the store's only model.
    pub(crate) fn gateway(&self) -> Gateway {
        Gateway {
            known: KnownTypes::of(&self.model, &self.models),
            standing: Standing {
                generation: Generation(1),
                leads: true,
                term: Term(1),
            },
            shows: |_| true,
        }
    }

    /// A gateway with an earlier model, which lacks the type Note, in the second term of a later one.
    pub(crate) fn older_gateway(&self) -> Gateway {
        let mut model = Model::clone(&self.model);
        model.types.retain(|of| of.name.as_str() != "Note");
        Gateway {
            known: KnownTypes::of(&model, &self.models),
            standing: Standing {
                generation: Generation(1),
                leads: false,
                term: Term(2),
            },
            shows: |_| true,
        }
    }

    /// The page of a gateway.
    pub(crate) fn page_at(&self, gateway: &Gateway, asked: &Asked<'_>) -> Page {
        let grants = self.grants(asked.user);
        let checkpoint = asked.token.map(|token| {
            let opened = self.open(asked.user, token);
            opened.expect("it came from a page")
        });
        let checkpoint = checkpoint.flatten();
        let above = checkpoint
            .as_ref()
            .map(|c| seqs_above_head(c, &gateway.known, &grants, &self.state.scopes));
        let confirm = |scope: Scope| (scope.clone(), self.scope(scope.as_str()).head);
        let confirmed = above.unwrap_or_default().into_keys().map(confirm).collect();
        let view = PageInputs {
            epoch: &self.state.epoch,
            grants: &grants,
            scopes: &self.state.scopes,
            confirmed: &confirmed,
            known: &gateway.known,
            standing: gateway.standing,
        };
        let refresh = asked.refresh.iter();
        let request = PageRequest {
            checkpoint,
            types: asked.types.clone(),
            refresh: Refresh {
                types: refresh.map(|name| key(name, "x").type_name).collect(),
                selection: asked.selection,
            },
            reread: asked
                .reread
                .iter()
                .map(|name| Scope::new(name).expect("a short name"))
                .collect(),
        };
        let mut cursor = PageCursor::resume(request, &view);
        let (mut changes, filled) = self.fill(&mut cursor, asked.limit);
        let mut digests = self.digests(&cursor);
        for item in &mut changes {
            withhold(gateway, item, &mut cursor.checkpoint);
        }
        digests.retain(|scope, _| !cursor.checkpoint.skipped.contains_key(scope));
        Page {
            digests,
            changes,
            has_more: cursor.finish(filled.as_ref()),
            reset: cursor.reset,
            revoked: cursor.revoked.clone(),
            place: Place::new(self.seal(asked.user, &cursor.checkpoint), cursor.checkpoint),
        }
    }

    fn digests(&self, cursor: &PageCursor) -> BTreeMap<Scope, ScopeDigest> {
        let digest = |scope: Scope| {
            let mut sums = self.state.sums[&scope].clone();
            sums.retain(&cursor.types());
            (scope, sums.digest(TypeName::to_string))
        };
        cursor.caught_up().into_iter().map(digest).collect()
    }

    /// The checkpoint of a token; `None` if it is of another epoch.
    pub(crate) fn open(
        &self,
        user: &str,
        token: &str,
    ) -> Result<Option<Checkpoint>, CheckpointError> {
        let user = UserId::new(user).expect("a short name");
        let Some(token) = Token::parse(token)?.unseal(&self.state.epoch, &KEY, &user)? else {
            return Ok(None);
        };
        let scopes = self.state.scopes.iter();
        let names = scopes.filter_map(|(scope, state)| Some((state.number?, scope.clone())));
        Ok(token.checkpoint(&names.collect(), &self.models))
    }

    /// The token of a checkpoint.
    pub(crate) fn seal(&self, user: &str, checkpoint: &Checkpoint) -> String {
        checkpoint.seal(&KEY, &UserId::new(user).expect("a short name"))
    }

    fn fill(&self, cursor: &mut PageCursor, limit: usize) -> (Vec<FeedItem>, Option<Scope>) {
        let mut changes: Vec<FeedItem> = Vec::new();
        for range in cursor.ranges() {
            let mut items = self.scan(&range);
            let room = limit - changes.len();
            if items.len() <= room {
                cursor.advance(&range, range.through);
                changes.extend(items);
                continue;
            }
            items.truncate(room);
            if let Some(last) = items.last() {
                cursor.advance(&range, last.seq);
            }
            changes.extend(items);
            return (changes, Some(range.scope));
        }
        (changes, None)
    }

    fn scan(&self, range: &FeedRange) -> Vec<FeedItem> {
        self.state.scan(Range {
            scope: &range.scope,
            types: Some(&range.types),
            removals: range.removals,
            after: range.after,
            through: range.through,
        })
    }
}

/// Rules.md 2.5a: what the gateway cannot show is a REVOKE, and the checkpoint remembers it.
fn withhold(gateway: &Gateway, item: &mut FeedItem, checkpoint: &mut Checkpoint) {
    if let Record::Entry(entry) = &mut item.record
        && !entry.is_deleted()
        && !(gateway.shows)(entry)
    {
        checkpoint.skip(&entry.scope, item.seq, gateway.standing);
        let entry = Arc::make_mut(entry);
        entry.body = None;
        entry.withheld = true;
    }
}

/// The names in a set of types.
pub(crate) fn only(names: &[&str]) -> RequestedTypes {
    let names: BTreeSet<_> = names.iter().map(|name| key(name, "x").type_name).collect();
    RequestedTypes::Only(names)
}
