//! Why a user sees a document or does not, and what the user may do with it: the grants of the token and of memberships,
//! beside what the store has of the document.
//!
//! It reads one snapshot and commits nothing. The core's own rules answer.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_core::{
    entry::{Entry, Membership},
    grant::{Grants, Identity},
    id::{DocumentKey, Scope},
    membership::{Bounds, Memberships},
    model::{DocumentType, GrantRule, Model, Operation, RoleSet},
    push,
};

use crate::store::{Snapshot, Store, StoreError};

/// The most bytes of the one document that is read.
const BYTES_MAX: usize = 16 << 20;

/// The question, and where the answer is.
pub struct Explainer {
    /// The model that the gateways have.
    pub model: Arc<Model>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The bounds of the gateways on the grants of a user.
    pub bounds: Arc<Bounds>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The user of the token.
    pub user: String,
    /// The document, as TYPE/ID.
    pub document: String,
    /// Whether the user sees it.
    pub sees: bool,
    /// Why, in a sentence.
    pub reason: String,
    /// What the store has of it.
    pub state: DocumentState,
    /// Its version in the feed.
    pub version: Option<i32>,
    /// Its scope in the feed.
    pub scope: Option<String>,
    /// The claims of the token.
    pub claims: Map<String, Value>,
    /// How many scopes the user sees.
    pub scopes: usize,
    /// What gives the user a role in the scope.
    pub grants: Vec<Grant>,
    /// What could give one, and does not.
    pub misses: Vec<Miss>,
    /// The user's roles in the scope.
    pub roles: Vec<String>,
    /// What the user may do with the document.
    pub may: Vec<&'static str>,
    /// The fields that the user may not change, if the user may update.
    pub fixed_fields: Vec<String>,
}

/// What a store has of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum DocumentState {
    /// It is in the feed.
    Living,
    /// It is deleted, and the feed has its tombstone.
    Deleted,
    /// It does not fit the model, and is shown to nobody.
    Withheld {
        /// Why, if the collection has it.
        because: Option<String>,
    },
    /// It is still in another scope than its fields make.
    Moving,
    /// The collection has it, and the feed does not yet.
    NotImported,
    /// There is none.
    Absent,
    /// The model has retired its type.
    Retired,
}

/// What gives a role.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The rule of the model, or the document that is the membership.
    pub by: String,
    /// The role.
    pub role: String,
    /// Whether it shows the documents of the scope.
    pub reads: bool,
}

/// What does not give a role.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Miss {
    /// The rule of the model, or the document that is the membership.
    pub by: String,
    /// Why not.
    pub because: String,
}

impl Explainer {
    /// Answers for the bearer of a token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn explain(
        &self,
        identity: &Identity,
        document_type: &DocumentType,
        key: &DocumentKey,
    ) -> Result<Explanation, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let memberships = match self.model.has_memberships() {
            true => snapshot.memberships(&identity.user, &self.bounds).await?,
            false => Memberships::default(),
        };
        let entries = snapshot.entries(&[key.clone()].into(), BYTES_MAX).await?;
        let entry = entries.found.get(key).map(Arc::as_ref);
        let state = self
            .state(snapshot.as_ref(), document_type, key, entry)
            .await?;
        let claimed = Grants::of_claims_within(&self.model, identity, &self.bounds);
        let too_many = claimed.is_err();
        let grants = claimed.unwrap_or_default().with(&memberships);
        let view = View {
            explainer: self,
            identity,
            document_type,
            entry,
            grants: &grants,
        };
        let scope = entry.map(|entry| &entry.scope);
        let sees = state == DocumentState::Living
            && !too_many
            && scope.is_some_and(|scope| grants.can_read(scope));
        let (given, misses) = match scope {
            Some(scope) => view.sources(scope, &memberships),
            None => Default::default(),
        };
        let may = view.may();
        let may_update = may.contains(&Operation::Update.verb());
        Ok(Explanation {
            reason: match too_many {
                true => "the claims of the token open more scopes than one user may have, so every request with it is refused".to_owned(),
                false => reason(&state, scope, &grants),
            },
            user: identity.user.to_string(),
            document: format!("{}/{}", document_type.name, key.id),
            sees,
            state,
            version: entry.map(|entry| entry.version.0),
            scope: scope.map(ToString::to_string),
            claims: identity.claims.clone(),
            scopes: grants.scopes().len(),
            grants: given,
            misses,
            roles: scope.map(|scope| view.roles(scope)).unwrap_or_default(),
            fixed_fields: match may_update {
                true => view.fixed_fields(),
                false => Vec::new(),
            },
            may,
        })
    }

    async fn state(
        &self,
        snapshot: &dyn Snapshot,
        document_type: &DocumentType,
        key: &DocumentKey,
        entry: Option<&Entry>,
    ) -> Result<DocumentState, StoreError> {
        if document_type.retired {
            return Ok(DocumentState::Retired);
        }
        let withheld = entry.is_some_and(|entry| entry.withheld);
        let living = entry.and_then(|entry| Some((entry, entry.body.as_ref()?)));
        if let Some((entry, body)) = living {
            let moves = snapshot.state().models.moving.contains(&key.type_name);
            let is_in_place = push::is_in_its_scope(document_type, entry, body);
            return Ok(match moves && !is_in_place {
                true => DocumentState::Moving,
                false => DocumentState::Living,
            });
        }
        let Some(collections) = self.store.collections() else {
            return Ok(match (entry, withheld) {
                (_, true) => DocumentState::Withheld { because: None },
                (Some(_), false) => DocumentState::Deleted,
                (None, false) => DocumentState::Absent,
            });
        };
        let keys = [key.clone()];
        let unfit = collections.unfit(&keys).await?;
        if let Some(unfit) = unfit.iter().find(|unfit| unfit.is_withheld) {
            let because = Some(unfit.misfit.to_string());
            return Ok(DocumentState::Withheld { because });
        }
        let is_missing = !collections.missing(&keys).await?.is_empty();
        Ok(match (entry, withheld, is_missing) {
            (_, true, _) => DocumentState::Withheld { because: None },
            (_, false, false) => DocumentState::NotImported,
            (Some(_), false, true) => DocumentState::Deleted,
            (None, false, true) => DocumentState::Absent,
        })
    }
}

fn reason(state: &DocumentState, scope: Option<&Scope>, grants: &Grants) -> String {
    let shown = match (scope, scope.map(|scope| grants.can_read(scope))) {
        (Some(scope), Some(true)) => format!("the user sees the scope {scope}"),
        (Some(scope), _) if grants.roles(scope).is_empty() => {
            format!("nothing gives the user a role in the scope {scope}")
        }
        (Some(scope), _) => format!("no role of the user shows the scope {scope}"),
        (None, _) => String::new(),
    };
    match state {
        DocumentState::Living => shown,
        DocumentState::Deleted => "it is deleted".to_owned(),
        DocumentState::Withheld { because: None } => {
            "what another service wrote does not fit the model, so nobody sees it".to_owned()
        }
        DocumentState::Withheld {
            because: Some(because),
        } => format!("it does not fit the model, so nobody sees it: {because}"),
        DocumentState::Moving => {
            "it is moving to the scope that its fields make, and is shown when it is there"
                .to_owned()
        }
        DocumentState::NotImported => {
            "the collection has it, and the gateways have not imported it".to_owned()
        }
        DocumentState::Absent => "there is no such document".to_owned(),
        DocumentState::Retired => "the model has retired its type".to_owned(),
    }
}

/// What there is to say of one user and one document.
struct View<'v> {
    explainer: &'v Explainer,
    identity: &'v Identity,
    document_type: &'v DocumentType,
    entry: Option<&'v Entry>,
    grants: &'v Grants,
}

impl View<'_> {
    /// What gives roles in the scope, and what could.
    fn sources(&self, scope: &Scope, memberships: &Memberships) -> (Vec<Grant>, Vec<Miss>) {
        let (mut given, mut misses) = (Vec::new(), Vec::new());
        for rule in &self.explainer.model.grants {
            let by = format!("@grant(scope: \"{}\")", rule.scope);
            match self.given_by(rule, scope) {
                Some(Ok(roles)) => given.extend(roles.into_iter().map(|role| Grant {
                    by: by.clone(),
                    role,
                    reads: rule.reads,
                })),
                Some(Err(because)) => misses.push(Miss { by, because }),
                None => {}
            }
        }
        let of_scope = memberships.oldest_first().into_iter();
        for (key, membership) in of_scope.filter(|(_, it)| it.scope == *scope) {
            let by = self.named(key, membership);
            match self.grants.can_read(scope) {
                true => given.push(Grant {
                    by,
                    role: membership.role.to_string(),
                    reads: true,
                }),
                false => misses.push(Miss {
                    by,
                    because: "the user has as many scopes as one may have, and older ones stay"
                        .to_owned(),
                }),
            }
        }
        (given, misses)
    }

    /// The roles that a rule gives in the scope, or why it gives none there. A rule that never gives it is not mentioned.
    fn given_by(&self, rule: &GrantRule, scope: &Scope) -> Option<Result<Vec<String>, String>> {
        if !rule.scope.can_give(scope) {
            return None;
        }
        let alone = Model {
            grants: vec![rule.clone()],
            ..Model::clone(&self.explainer.model)
        };
        let grants = Grants::of_claims_within(&alone, self.identity, &self.explainer.bounds);
        let grants = match grants {
            Ok(grants) => grants,
            Err(error) => return Some(Err(error.to_string())),
        };
        let roles: Vec<String> = grants.role_names(scope).map(str::to_owned).collect();
        Some(match roles.is_empty() {
            false => Ok(roles),
            true if grants.writable().next().is_none() && grants.scopes().len() == 0 => {
                Err("the token lacks a claim of it, or names no role of the model".to_owned())
            }
            true => Err("the claims of the token give other scopes".to_owned()),
        })
    }

    fn named(&self, key: &DocumentKey, membership: &Membership) -> String {
        let name = self.explainer.model.type_name(key.type_name.as_str());
        let giver = match &membership.giver {
            Some(giver) => format!("given by {giver}"),
            None => "given by a service".to_owned(),
        };
        format!("{name}/{}, {giver}", key.id)
    }

    /// The roles of the user, and OWNER if the document is the user's.
    fn roles(&self, scope: &Scope) -> Vec<String> {
        let mut roles: Vec<String> = self.grants.role_names(scope).map(str::to_owned).collect();
        if !roles.is_empty() && self.owns() {
            roles.push("OWNER".to_owned());
        }
        roles
    }

    fn owns(&self) -> bool {
        let living = self
            .entry
            .and_then(|entry| Some((entry, entry.body.as_ref()?)));
        living.is_some_and(|(entry, body)| {
            let (rights, user) = (&self.document_type.rights, &self.identity.user);
            rights.owns(user, &entry.key.id, body)
        })
    }

    fn held(&self) -> RoleSet {
        let held = self.entry.map(|entry| self.grants.roles(&entry.scope));
        let held = held.unwrap_or_default();
        match !held.is_empty() && self.owns() {
            true => held.with(RoleSet::OWNER),
            false => held,
        }
    }

    /// What the user may do with the living document. A user who does not see it cannot change it.
    fn may(&self) -> Vec<&'static str> {
        let living = self.entry.filter(|entry| !entry.is_deleted());
        let Some(entry) = living.filter(|entry| self.grants.can_read(&entry.scope)) else {
            return Vec::new();
        };
        let held = self.held();
        let rights = &self.document_type.rights;
        let operations = [Operation::Update, Operation::Delete].into_iter();
        let allowed = operations.filter(|it| held.meets(rights.roles(*it)));
        let mut may: Vec<&str> = allowed.map(Operation::verb).collect();
        if self.grants.may_some(&entry.scope, rights.create) {
            may.push("create others in its scope");
        }
        may
    }

    fn fixed_fields(&self) -> Vec<String> {
        let held = self.held();
        let owner = self.document_type.rights.owner.as_deref();
        let fields = self.document_type.fields.iter();
        let fixed = fields.filter(|field| {
            let is_owner = owner == Some(&*field.stored_as) && field.writers.is_none();
            let by_others = field.writers.is_some_and(|writers| !held.meets(writers));
            field.read_only || field.immutable || is_owner || by_others
        });
        fixed.map(|field| field.name.clone()).collect()
    }
}
