//! What a create does: to no document, to a tombstone, to a living document of the same id.

use super::{
    BaseState, Decision, DecisionContext, Rebase, client_wins, defer, next_or_exhausted,
    update::{self, FieldUpdate},
};
use crate::{
    change::{BaseVersion, Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    id::{Scope, Version},
    inbox::ClientChange,
    model::{Field, Overlap, Policy},
    mutant::{Mutant, is_active},
    outcome::{FieldOutcome, Rule, Status, Taken},
    value::{Document, Value},
};

pub(super) fn decide(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &Change,
    document: &Document,
    base: Option<BaseVersion>,
) -> Result<Decision, Rejection> {
    let document = complete(context, document)?;
    let scope = context.scope_for(change, &document)?;
    if !is_active(Mutant::OldScopeOnly) {
        context.check_create(change, &document, &scope)?;
    }
    let new_document = NewDocument {
        context,
        change,
        document,
        scope,
    };
    let Some(entry) = entry else {
        new_document.check_fields()?;
        let restarts = is_active(Mutant::VersionsRestart);
        let floor = if restarts {
            Version::NONE
        } else {
            context.version_floor
        };
        let version = next_or_exhausted(floor)?;
        return Ok(new_document.incarnation(version, version, None, Status::Applied));
    };
    if !context.grants.can_read(&entry.scope) {
        return Err(id_taken());
    }
    new_document.check_over(entry)?;
    if let Some(base) = base.filter(|base| base.0 > entry.version.0) {
        return Err(context.version_unknown(base));
    }
    if entry.is_deleted() {
        new_document.over_tombstone(entry, base)
    } else {
        new_document.over_live(entry)
    }
}

/// The id belongs to a document out of sight (rules.md 4.6).
pub(super) fn id_taken() -> Rejection {
    let message = "the id belongs to a document you may not see; choose another";
    Rejection::new(RejectionCode::IdTaken, message)
}

/// A document that a create makes.
struct NewDocument<'a> {
    context: &'a DecisionContext<'a>,
    change: &'a Change,
    document: Document,
    scope: Scope,
}

impl<'a> NewDocument<'a> {
    fn onto(&self, entry: &'a Entry) -> Rebase<'a> {
        Rebase {
            context: self.context,
            entry,
            change: self.change,
        }
    }

    fn check_fields(&self) -> Result<(), Rejection> {
        let Self {
            context,
            change,
            document,
            scope,
        } = self;
        context.check_new_fields(change, document, scope)
    }

    /// Whether the caller may create the document over what is there. A tombstone is replaced by a new document, which leaves
    /// its scope. A living document is changed (rules.md 4.14), unless all of it is as it is.
    fn check_over(&self, entry: &'a Entry) -> Result<(), Rejection> {
        let Self {
            context,
            change,
            document,
            scope,
        } = self;
        if entry.is_deleted() {
            if entry.scope != *scope && !is_active(Mutant::NewScopeOnly) {
                context.check_create(change, document, &entry.scope)?;
            }
            return self.check_fields();
        }
        if self.equals(entry) || is_active(Mutant::CreateOverwrites) {
            return Ok(());
        }
        let mut wanted = entry.body.clone().unwrap_or_default();
        for field in self.settable() {
            let name = &field.stored_as;
            match document.get(name) {
                Some(mine) if self.speaks_of(field, mine) => {
                    wanted.insert(name.clone(), mine.clone());
                }
                None if context.policy != Policy::Merge => {
                    wanted.remove(name);
                }
                _ => {}
            }
        }
        let scope = context.scope_for(change, &wanted).ok();
        context.check_edit(entry, &wanted, scope.as_ref())
    }

    /// The fields that a create can set.
    fn settable(&self) -> impl Iterator<Item = &'a Field> + use<'a> {
        let fields = self.context.document_type.fields.iter();
        fields.filter(|field| !field.read_only && !field.retired)
    }

    /// Whether the document is there already.
    fn equals(&self, entry: &Entry) -> bool {
        self.settable().all(|field| {
            let name = &field.stored_as;
            let theirs = update::current(entry, name);
            self.context.same(name, self.document.get(name), theirs)
        })
    }

    fn over_tombstone(
        self,
        entry: &'a Entry,
        base: Option<BaseVersion>,
    ) -> Result<Decision, Rejection> {
        let context = self.context;
        let own = context.mutation.is_some() && context.wrote(entry, entry.version);
        let named = base.is_some_and(|base| base.0 == entry.version.0);
        let status = if own || named || is_active(Mutant::CreateRevives) {
            Status::Applied
        } else {
            Status::Merged
        };
        if status == Status::Merged && context.overlap_for_whole_change() == Overlap::Manual {
            let rebase = self.onto(entry);
            return rebase.defer_change(ClientChange::Created(self.document), None);
        }
        if status == Status::Merged && !self.wins_over_tombstone(entry) {
            return Ok(Decision::keep(Status::Conflict, None));
        }
        let (version, run) = context.next_version(entry)?;
        Ok(self.incarnation(version, run, Some(entry), status))
    }

    fn wins_over_tombstone(&self, entry: &'a Entry) -> bool {
        client_wins(self.context.overlap_for_whole_change(), || {
            self.onto(entry).is_later_than_version(entry.version)
        }) == Some(true)
    }

    fn over_live(self, entry: &'a Entry) -> Result<Decision, Rejection> {
        let (context, rebase) = (self.context, self.onto(entry));
        if self.equals(entry) {
            return Ok(Decision::keep(Status::Applied, None));
        }
        let fields: Vec<FieldOutcome> = self
            .settable()
            .filter_map(|field| self.decide(entry, field).transpose())
            .collect::<Result<_, _>>()?;
        if context.leaves_open() {
            let mine = ClientChange::Created(self.document);
            return rebase.defer_change(mine, Some(fields));
        }
        let pending = rebase.defer_fields(&fields)?;
        let stands = |side: &Option<Value>, outcome: &FieldOutcome| {
            context.same(&outcome.field, side.as_ref(), outcome.theirs.as_ref())
        };
        if fields
            .iter()
            .all(|outcome| stands(&outcome.result, outcome))
        {
            let lost = fields.iter().any(|outcome| !stands(&outcome.mine, outcome));
            return Ok(Decision::Keep {
                status: if lost {
                    Status::Conflict
                } else {
                    Status::Applied
                },
                fields: lost.then_some(fields),
                pending,
            });
        }
        let decision = rebase.write(fields, Status::Merged)?;
        Ok(defer::with_pending(decision, pending))
    }

    /// Under MERGE each field that the create sets is settled as if it were stale from nothing. Under the other
    /// policies the document is taken or left as a whole, including absent fields.
    fn decide(&self, entry: &'a Entry, field: &Field) -> Result<Option<FieldOutcome>, Rejection> {
        let context = self.context;
        let mine = self.document.get(&field.stored_as);
        if context.policy == Policy::Merge {
            let Some(mine) = mine.filter(|mine| self.speaks_of(field, mine)) else {
                return Ok(None);
            };
            let edit = FieldUpdate {
                field,
                mine,
                seen: None,
            };
            let settled = self.onto(entry).merge_stale(BaseState::Nothing, &edit)?;
            return Ok(Some(update::outcome(entry, &edit, settled)));
        }
        let theirs = update::current(entry, &field.stored_as);
        if mine.is_none() && theirs.is_none() {
            return Ok(None);
        }
        let wins =
            context.policy != Policy::ServerWins && self.onto(entry).wins(BaseState::Nothing);
        let (result, taken) = if wins {
            (mine, Taken::Mine)
        } else {
            (theirs, Taken::Theirs)
        };
        let rule = if context.same(&field.stored_as, mine, theirs) {
            Rule::NoOverlap
        } else {
            context.overlap_for_whole_change().into()
        };
        Ok(Some(FieldOutcome {
            field: field.stored_as.clone(),
            base: None,
            mine: mine.cloned(),
            theirs: theirs.cloned(),
            result: result.cloned(),
            taken,
            rule,
        }))
    }

    /// Whether a value counts. Under MERGE null and a default are in a create without the user's intent, and must not undo
    /// what others have written since.
    fn speaks_of(&self, field: &Field, mine: &Value) -> bool {
        if self.context.policy != Policy::Merge {
            return true;
        }
        let default = default_value(self.context, field).ok().flatten();
        !mine.is_null() && default.as_ref() != Some(mine)
    }

    /// The first version of a new incarnation.
    fn incarnation(
        self,
        version: Version,
        run: Version,
        tombstone: Option<&Entry>,
        status: Status,
    ) -> Decision {
        let context = self.context;
        let previous = tombstone.and_then(|entry| entry.writers.get(&entry.version));
        let writer = context.writer(self.change, previous);
        let mut entry = Entry {
            key: self.change.key.clone(),
            scope: self.scope,
            version,
            began: version,
            run,
            field_versions: self
                .document
                .keys()
                .map(|name| (name.clone(), version))
                .collect(),
            writers: [(version, writer)].into(),
            membership: grant::membership_of(
                context.document_type,
                &self.change.key.id,
                &self.document,
            ),
            body: Some(self.document),
            withheld: false,
            at: context.now,
        };
        context.keep_server_fields(&mut entry);
        Decision::write(status, entry, None)
    }
}

/// The document with its defaults, checked.
fn complete(context: &DecisionContext<'_>, given: &Document) -> Result<Document, Rejection> {
    for (name, value) in given {
        update::check_field(context, name, value)?;
    }
    let mut document = given.clone();
    for field in &context.document_type.fields {
        if document.contains_key(&field.stored_as) {
            continue;
        }
        match default_value(context, field)? {
            Some(value) => {
                document.insert(field.stored_as.clone(), value);
            }
            None if field.ty.required => {
                let message = "is required and has no default";
                return Err(Rejection::invalid(&field.name, message));
            }
            None => {}
        }
    }
    Ok(document)
}

fn default_value(context: &DecisionContext<'_>, field: &Field) -> Result<Option<Value>, Rejection> {
    let default = field.default.as_ref();
    let value = default.map(|default| grant::default_for(default, context.identity));
    value.transpose().map_err(|error| {
        let message = format!("has no default for you: {error}; set it");
        Rejection::invalid(&field.name, message)
    })
}
