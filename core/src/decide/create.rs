//! What a create does: to no document, to a tombstone, to a living document of the same id.

use super::{
    Base, Context, Decision, client_wins, hold, next_or_exhausted,
    update::{self, FieldEdit},
};
use crate::{
    change::{BaseVersion, Change, Rejection, RejectionCode},
    entry::Entry,
    grant,
    id::{Scope, Version},
    inbox::Mine,
    model::{Field, Overlap, Policy},
    mutant::{Mutant, breaks},
    outcome::{FieldOutcome, Rule, Status, Taken},
    value::{Document, Value},
};

pub(super) fn decide(
    context: &Context<'_>,
    entry: Option<&Entry>,
    change: &Change,
    document: &Document,
    base: Option<BaseVersion>,
) -> Result<Decision, Rejection> {
    let document = complete(context, document)?;
    let scope = context.scope_for(change, &document)?;
    let birth = Birth {
        context,
        change,
        document,
        scope,
    };
    let Some(entry) = entry else {
        let restarts = breaks(Mutant::VersionsRestart);
        let floor = if restarts {
            Version::NONE
        } else {
            context.version_floor
        };
        let version = next_or_exhausted(floor)?;
        return Ok(birth.incarnation(version, version, None, Status::Applied));
    };
    if !context.grants.can_read(&entry.scope) {
        return Err(taken());
    }
    context.check_write(&entry.scope)?;
    if let Some(base) = base.filter(|base| base.0 > entry.version.0) {
        return Err(context.version_unknown(base));
    }
    if entry.is_deleted() {
        birth.over_tombstone(entry, base)
    } else {
        birth.over_live(entry)
    }
}

/// The id belongs to a document out of sight (rules.md 4.6).
pub(super) fn taken() -> Rejection {
    let message = "the id belongs to a document you may not see; choose another";
    Rejection::new(RejectionCode::IdTaken, message)
}

/// A document that a create makes.
struct Birth<'a> {
    context: &'a Context<'a>,
    change: &'a Change,
    document: Document,
    scope: Scope,
}

impl Birth<'_> {
    fn over_tombstone(
        self,
        entry: &Entry,
        base: Option<BaseVersion>,
    ) -> Result<Decision, Rejection> {
        let context = self.context;
        let own = context.mutation.is_some() && context.wrote(entry, entry.version);
        let named = base.is_some_and(|base| base.0 == entry.version.0);
        let status = if own || named || breaks(Mutant::CreateRevives) {
            Status::Applied
        } else {
            Status::Merged
        };
        if status == Status::Merged && context.whole_overlap() == Overlap::Manual {
            return hold::whole(
                context,
                entry,
                self.change,
                Mine::Created(self.document),
                None,
            );
        }
        if status == Status::Merged && !self.wins_over_tombstone(entry) {
            return Ok(Decision::keep(Status::Conflict, None));
        }
        let (version, run) = context.next_version(entry)?;
        Ok(self.incarnation(version, run, Some(entry), status))
    }

    fn wins_over_tombstone(&self, entry: &Entry) -> bool {
        let context = self.context;
        client_wins(context.whole_overlap(), || {
            context.is_later_than_version(self.change, entry, entry.version)
        }) == Some(true)
    }

    fn over_live(self, entry: &Entry) -> Result<Decision, Rejection> {
        let context = self.context;
        let settable = || {
            context
                .document_type
                .fields
                .iter()
                .filter(|field| !field.read_only)
        };
        let equal = settable()
            .all(|f| update::same(self.document.get(&f.name), update::current(entry, &f.name)));
        if equal {
            return Ok(Decision::keep(Status::Applied, None));
        }
        let fields: Vec<FieldOutcome> = settable()
            .filter_map(|field| self.settle(entry, field).transpose())
            .collect::<Result<_, _>>()?;
        if context.defers() {
            return hold::whole(
                context,
                entry,
                self.change,
                Mine::Created(self.document),
                Some(fields),
            );
        }
        let held = hold::fields(context, entry, self.change, &fields)?;
        let stands = |side: &Option<Value>, outcome: &FieldOutcome| {
            update::same(side.as_ref(), outcome.theirs.as_ref())
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
                held,
            });
        }
        update::write(context, entry, self.change, fields, Status::Merged)
            .map(|decision| hold::beside(decision, held))
    }

    /// Under MERGE each field that the create sets is settled as if it were stale from nothing. Under the other
    /// policies the document is taken or left as a whole, including absent fields.
    fn settle(&self, entry: &Entry, field: &Field) -> Result<Option<FieldOutcome>, Rejection> {
        let context = self.context;
        let mine = self.document.get(&field.name);
        if context.policy == Policy::Merge {
            let Some(mine) = mine.filter(|mine| self.speaks(field, mine)) else {
                return Ok(None);
            };
            let edit = FieldEdit {
                field,
                mine,
                seen: None,
            };
            let settled = update::settle_stale(context, entry, self.change, Base::Nothing, &edit)?;
            return Ok(Some(update::outcome(entry, &edit, settled)));
        }
        let theirs = update::current(entry, &field.name);
        if mine.is_none() && theirs.is_none() {
            return Ok(None);
        }
        let wins = context.policy != Policy::ServerWins
            && context.wins_whole(context.whole_overlap(), self.change, entry, Base::Nothing);
        let (result, taken) = if wins {
            (mine, Taken::Mine)
        } else {
            (theirs, Taken::Theirs)
        };
        let rule = if update::same(mine, theirs) {
            Rule::NoOverlap
        } else {
            context.whole_overlap().into()
        };
        Ok(Some(FieldOutcome {
            field: field.name.clone(),
            base: None,
            mine: mine.cloned(),
            theirs: theirs.cloned(),
            result: result.cloned(),
            taken,
            rule,
        }))
    }

    /// Whether a value counts. Null and a default are in a create without the user's intent, and must not undo what
    /// others have written since.
    fn speaks(&self, field: &Field, mine: &Value) -> bool {
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
        let entry = Entry {
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
        Decision::write(status, entry, None)
    }
}

/// The document with its defaults, checked.
fn complete(context: &Context<'_>, given: &Document) -> Result<Document, Rejection> {
    for (name, value) in given {
        update::check_field(context, name, value)?;
    }
    let mut document = given.clone();
    for field in &context.document_type.fields {
        if document.contains_key(&field.name) {
            continue;
        }
        match default_value(context, field)? {
            Some(value) => {
                document.insert(field.name.clone(), value);
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

fn default_value(context: &Context<'_>, field: &Field) -> Result<Option<Value>, Rejection> {
    let default = field.default.as_ref();
    let value = default.map(|default| grant::default_for(default, context.identity));
    value.transpose().map_err(|error| {
        let message = format!("has no default for you: {error}; set it");
        Rejection::invalid(&field.name, message)
    })
}
