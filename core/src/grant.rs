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
        Access, DefaultValue, DocumentType, FillError, Model, Placeholder, STORED_ID,
        ScopeTemplate, Template,
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

/// Access to scopes, by claims and by memberships, bounded in number and in text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    scopes: BTreeMap<Scope, Access>,
    /// The bytes of their names.
    text_bytes: usize,
    bounds: Arc<Bounds>,
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
            bounds: Arc::clone(bounds),
            ..Self::default()
        };
        for rule in &model.grants {
            let scopes = match rule
                .scope
                .fill_all(|path| claim_texts(&identity.claims, path))
            {
                Err(error @ FillError::TooMany) => return Err(error),
                Err(_) => continue,
                Ok(scopes) => scopes,
            };
            for scope in scopes {
                if !grants.add(&scope, rule.access) {
                    return Err(FillError::TooMany);
                }
            }
        }
        Ok(grants)
    }

    /// Adds what memberships give. Memberships beyond the bounds are left out: the oldest stay.
    #[must_use]
    pub fn with(mut self, memberships: &Memberships) -> Self {
        for (_, membership) in memberships.oldest_first() {
            self.add(&membership.scope, membership.access);
        }
        self
    }

    /// Adds a scope if it fits. Returns whether it did.
    fn add(&mut self, scope: &Scope, access: Access) -> bool {
        if let Some(held) = self.scopes.get_mut(scope) {
            *held = access.max(*held);
            return true;
        }
        let text_bytes = self.text_bytes + scope.as_str().len();
        let fits = self.scopes.len() < self.bounds.scopes && text_bytes <= self.bounds.text_bytes;
        if fits {
            self.text_bytes = text_bytes;
            self.scopes.insert(scope.clone(), access);
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

    /// Whether documents of `scope` may be changed.
    pub fn can_write(&self, scope: &Scope) -> bool {
        self.scopes.get(scope) == Some(&Access::Write)
    }

    /// All scopes that may be seen, in order.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// The scopes that may be changed, in order.
    pub fn writable(&self) -> impl Iterator<Item = &Scope> {
        self.scopes
            .iter()
            .filter(|(_, access)| **access == Access::Write)
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

/// What a document gives, if its type is one of memberships and its fields name a user, a scope and an access.
pub fn membership_of(
    document_type: &DocumentType,
    id: &DocumentId,
    document: &Document,
) -> Option<Membership> {
    let rule = document_type.membership.as_ref()?;
    let scope = rule.scope.fill(|path| field_text(id, document, path));
    let scope = scope.ok()?;
    let text = |template: &Template| template.fill(|path| field_text(id, document, path)).ok();
    let access = match text(&rule.access)?.as_str() {
        "READ" => Access::Read,
        "WRITE" => Access::Write,
        _ => return None,
    };
    Some(Membership {
        user: UserId::new(&text(&rule.to)?).ok()?,
        scope,
        access,
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
    let name = path.path().first()?;
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
