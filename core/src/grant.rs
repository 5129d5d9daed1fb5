//! Who may see and change what: an identity's claims and memberships, turned into access to scopes.
//!
//! Tokens are verified elsewhere. Their claims are trusted here.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    entry::{Entry, Membership},
    id::{DocumentId, Scope, UserId},
    membership::{Bounds, Memberships},
    model::{
        DefaultValue, DocumentType, FillError, GrantRule, GrantedRole, Model, Placeholder, Role,
        RoleSet, Roles, STORED_ID, ScopeTemplate, Template,
    },
    value::{Document, Timestamp, Value},
};

/// The identity of a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// All claims of the token.
    pub claims: Map<String, Json>,
    /// When the token expires.
    pub expires_at: Timestamp,
}

/// The roles of a user in scopes, by claims and by memberships, bounded in number and in text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The user who has them.
    user: Option<UserId>,
    /// The scopes whose documents the user may see.
    scopes: BTreeMap<Scope, RoleSet>,
    /// Scopes with roles that do not show them. None of them is in `scopes`.
    unseen: BTreeMap<Scope, RoleSet>,
    /// The bytes of their names.
    text_bytes: usize,
    bounds: Arc<Bounds>,
    /// The numbers of the roles.
    roles: Arc<Roles>,
}

impl Grants {
    /// What the model's `@grant` rules give to the claims. A rule without its claim gives nothing.
    ///
    /// # Errors
    /// [`FillError::TooMany`] when the claims open more scopes than one identity may have.
    pub fn of_claims(model: &Model, identity: &Identity) -> Result<Self, FillError> {
        Self::of_claims_within(model, identity, &Arc::default())
    }

    /// The same within other bounds, which hold for memberships as well.
    ///
    /// # Errors
    /// Those of [`Grants::of_claims`].
    pub fn of_claims_within(
        model: &Model,
        identity: &Identity,
        bounds: &Arc<Bounds>,
    ) -> Result<Self, FillError> {
        let mut grants = Self {
            user: Some(identity.user.clone()),
            bounds: Arc::clone(bounds),
            roles: Arc::clone(&model.roles),
            ..Self::default()
        };
        for rule in &model.grants {
            let roles = grants.granted(rule, identity);
            if roles.is_empty() {
                continue;
            }
            let scopes = match rule
                .scope
                .fill_all(|path| claim_texts(&identity.claims, path))
            {
                Err(error @ FillError::TooMany) => return Err(error),
                Err(_) => continue,
                Ok(scopes) => scopes,
            };
            for scope in scopes {
                if !grants.add(&scope, roles, rule.reads) {
                    return Err(FillError::TooMany);
                }
            }
        }
        Ok(grants)
    }

    /// The roles that a rule gives to the claims.
    fn granted(&self, rule: &GrantRule, identity: &Identity) -> RoleSet {
        let set_of = |role: &Role| self.roles.set_of(role).unwrap_or_default();
        match &rule.role {
            GrantedRole::Fixed(role) => set_of(role),
            GrantedRole::Claim(path) => {
                let names = claim_texts(&identity.claims, path).into_iter();
                let roles = names.filter_map(|name| Role::of(&name));
                roles.fold(RoleSet::NONE, |roles, role| roles.with(set_of(&role)))
            }
        }
    }

    /// Adds what memberships give. Memberships beyond the bounds are left out: the oldest stay. A role that this model does
    /// not name is one of the model that leads, and shows the scope.
    #[must_use]
    pub fn with(mut self, memberships: &Memberships) -> Self {
        for (_, membership) in memberships.oldest_first() {
            let roles = self.roles.set_of(&membership.role);
            self.add(&membership.scope, roles.unwrap_or(RoleSet::READ), true);
        }
        self
    }

    /// Adds roles in a scope if it fits. Returns whether it did.
    fn add(&mut self, scope: &Scope, roles: RoleSet, reads: bool) -> bool {
        if let Some(held) = self.scopes.get_mut(scope) {
            *held = held.with(roles);
            return true;
        }
        if let Some(held) = self.unseen.get_mut(scope) {
            *held = held.with(roles);
            if reads && let Some((scope, roles)) = self.unseen.remove_entry(scope) {
                self.scopes.insert(scope, roles);
            }
            return true;
        }
        let count = self.scopes.len() + self.unseen.len();
        let text_bytes = self.text_bytes + scope.as_str().len();
        let fits = count < self.bounds.scopes && text_bytes <= self.bounds.text_bytes;
        if fits {
            self.text_bytes = text_bytes;
            let scopes = match reads {
                true => &mut self.scopes,
                false => &mut self.unseen,
            };
            scopes.insert(scope.clone(), roles);
        }
        fits
    }

    /// The bounds of the grants.
    pub fn bounds(&self) -> &Arc<Bounds> {
        &self.bounds
    }

    /// Whether documents of `scope` may be seen.
    pub fn can_read(&self, scope: &Scope) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The roles that the user has in `scope`.
    pub fn roles(&self, scope: &Scope) -> RoleSet {
        let roles = self.scopes.get(scope).or_else(|| self.unseen.get(scope));
        roles.copied().unwrap_or_default()
    }

    /// The roles that the user has anywhere.
    pub fn all_roles(&self) -> RoleSet {
        let held = self.scopes.values().chain(self.unseen.values());
        held.fold(RoleSet::NONE, |all, held| all.with(*held))
    }

    /// The names of roles.
    pub fn names(&self, roles: RoleSet) -> impl Iterator<Item = &str> {
        self.roles.names(roles)
    }

    /// The names of the roles that the user has in `scope`.
    pub fn role_names(&self, scope: &Scope) -> impl Iterator<Item = &str> {
        self.names(self.roles(scope))
    }

    /// Whether the user may do this to some documents of a type in `scope`: to all of them, or to own ones.
    pub fn may_some(&self, scope: &Scope, roles: RoleSet) -> bool {
        let held = self.roles(scope);
        held.meets(roles) || !held.is_empty() && roles.meets(RoleSet::OWNER)
    }

    /// The user who has them, if they are those of an identity.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// All scopes that may be seen, in order.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// The scopes in which documents of some type may be changed: those that may be seen, and then the others, each in
    /// order.
    pub fn writable(&self) -> impl Iterator<Item = &Scope> {
        let scopes = self.scopes.iter().chain(&self.unseen);
        scopes
            .filter(|(scope, held)| self.roles.may_change(scope, **held))
            .map(|(scope, _)| scope)
    }
}

/// The value that a default gives to a document that an identity creates.
///
/// # Errors
/// [`FillError`] when a claim is missing or unusable.
pub fn default_for(default: &DefaultValue, identity: &Identity) -> Result<Value, FillError> {
    let claim = |path: &Placeholder| {
        let mut texts = claim_texts(&identity.claims, path);
        if texts.len() == 1 { texts.pop() } else { None }
    };
    match default {
        DefaultValue::Literal(value) => Ok(value.clone()),
        DefaultValue::Claims(template) => template.fill(claim).map(Value::String),
        DefaultValue::Scope(template) => {
            let scope = template.fill(claim)?;
            Ok(Value::String(scope.as_str().to_owned()))
        }
    }
}

/// The scope of a document by its fields.
///
/// # Errors
/// [`FillError`] when a field of the template is absent or null, or the text is no scope. It names the field as the SDL does.
pub fn scope_of(
    document_type: &DocumentType,
    id: &DocumentId,
    document: &Document,
) -> Result<Scope, FillError> {
    let scope = document_type
        .scope
        .fill(|path| field_text(id, document, path));
    scope.map_err(|error| error.renamed(|stored| document_type.field_name(stored).to_owned()))
}

/// The scope of a document, or nobody's if its fields form none: one has no value, or the text would be too long.
pub fn place_of(document_type: &DocumentType, id: &DocumentId, document: &Document) -> Scope {
    scope_of(document_type, id, document).unwrap_or_else(|_| nobodys())
}

/// No template gives this scope, so it is never granted.
fn nobodys() -> Scope {
    Scope::new("%").expect("one character is a usable name")
}

/// What a document gives, if its type is one of memberships and its fields name a user, a scope and a role.
pub fn membership_of(
    document_type: &DocumentType,
    id: &DocumentId,
    document: &Document,
) -> Option<Membership> {
    let rule = document_type.membership.as_ref()?;
    let scope = rule.scope.fill(|path| field_text(id, document, path));
    let scope = scope.ok()?;
    let text = |template: &Template| template.fill(|path| field_text(id, document, path)).ok();
    let role = Role::of(&text(&rule.access)?)?;
    if matches!(role, Role::Named(_)) && !rule.roles.contains(&role) {
        return None;
    }
    Some(Membership {
        user: UserId::new(&text(&rule.to)?).ok()?,
        scope,
        role,
        giver: None,
        since: Timestamp::EPOCH,
    })
}

/// Whether no rule of the model grants the scope that a document names itself. No user sees it.
pub fn is_out_of_reach(model: &Model, entry: &Entry) -> bool {
    let document_type = model.stored_type(&entry.key.type_name);
    let names_it = document_type.is_some_and(|ty| matches!(ty.scope, ScopeTemplate::Whole(_)));
    let claims = model.grants.iter().map(|rule| &rule.scope);
    let memberships = model.types.iter().filter_map(|ty| ty.membership.as_ref());
    let mut granted = claims.chain(memberships.map(|rule| &rule.scope));
    names_it && entry.body.is_some() && !granted.any(|template| template.can_give(&entry.scope))
}

fn claim_texts(claims: &Map<String, Json>, path: &Placeholder) -> Vec<String> {
    let [first, rest @ ..] = path.path() else {
        return Vec::new();
    };
    let claim = rest
        .iter()
        .try_fold(claims.get(first), |json, name| Some(json?.get(name)));
    match claim.flatten() {
        Some(Json::Array(items)) => items.iter().filter_map(claim_text).collect(),
        Some(json) => claim_text(json).into_iter().collect(),
        None => Vec::new(),
    }
}

fn claim_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

fn field_text(id: &DocumentId, document: &Document, path: &Placeholder) -> Option<String> {
    document_text(id, document, path.path().first()?)
}

/// The value of a field by its stored name, if it can stand in a template.
pub(crate) fn document_text(id: &DocumentId, document: &Document, name: &str) -> Option<String> {
    if name == STORED_ID {
        return Some(id.as_str().to_owned());
    }
    match document.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Long(number) => Some(number.to_string()),
        _ => None,
    }
}
