//! Who may have seen or written what, and when.

use std::sync::Arc;

use tidegate_core::{
    change::{Action, Change},
    entry::{Entry, FeedItem, Membership, Record, Writer},
    grant::Grants,
    id::{ClientId, DocumentKey, Scope, UserId, Version},
    inbox::PENDING_MAX,
    membership::Memberships,
    model::{Model, Role, RoleSet},
    push::Outcome,
    transaction::ForeignState,
    value::Value,
};
use tidegate_testkit::store::State;

use super::{Judged, Property, expect, imports::met_in, took, uniques::is_duplicate, unnamed};
use crate::{
    people::{self, Edition},
    store::Moment,
};

/// What one caller may see and write, by its token and by the memberships of each moment.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) user: UserId,
    pub(crate) claimed: Grants,
}

impl Sight {
    /// All that it may see in a state.
    pub(crate) fn grants(&self, state: &State) -> Grants {
        self.claimed.clone().with(&self.memberships(state))
    }

    /// Its memberships, without those of givers that it declines.
    fn memberships(&self, state: &State) -> Memberships {
        let mut memberships = state.memberships(&self.user, self.claimed.bounds());
        let declined = state.user(&self.user).declined;
        let is_declined = |giver: &UserId| declined.contains(giver);
        memberships
            .rows
            .retain(|_, row| !row.giver.as_ref().is_some_and(is_declined));
        memberships
    }

    /// Everything on a page is in a scope that was granted at some moment since `since` and since it was written.
    pub(crate) fn judge_page(
        &self,
        items: &[FeedItem],
        moments: &[Moment],
        since: usize,
    ) -> Judged {
        for item in items {
            let written = written_at(moments, &item.record).max(since);
            self.judge(item.record.scope(), &moments[written..], || {
                format!("{item:?}")
            })?;
        }
        Ok(())
    }

    /// The same for the document of an outcome.
    pub(crate) fn judge_record(&self, record: &Record, moments: &[Moment]) -> Judged {
        let written = written_at(moments, record);
        self.judge(record.scope(), &moments[written..], || {
            format!("{record:?}")
        })
    }

    fn judge(&self, scope: &Scope, moments: &[Moment], what: impl Fn() -> String) -> Judged {
        let given = |moment: &Moment| self.is_given(&moment.state, scope, Role::Read);
        let seen = self.claimed.can_read(scope) || moments.iter().any(given);
        expect(seen, Property::Isolation, || {
            format!("{} sees {}", self.user, what())
        })
    }

    /// An applied change is in a scope that the caller could write to, before its transaction or after it.
    pub(crate) fn judge_write(
        &self,
        client: Option<&ClientId>,
        (key, version): (&DocumentKey, Version),
        moments: &[Moment],
    ) -> Judged {
        let is_it = |item: &FeedItem| match &item.record {
            Record::Entry(entry) => {
                let by_it = |writer: &Writer| {
                    writer.user.as_ref() == Some(&self.user) && writer.client.as_ref() == client
                };
                let written = entry.key == *key && entry.version == version;
                written && entry.writers.get(&version).is_some_and(by_it)
            }
            Record::Marker(_) => false,
        };
        let Some(at) = moments
            .iter()
            .rposition(|moment| moment.written.iter().any(is_it))
        else {
            return Ok(());
        };
        let entry = moments[at].written.iter().find(|item| is_it(item));
        let entry_written = entry.map(|item| &item.record);
        let Some(scope) = entry.map(|item| item.record.scope()) else {
            return Ok(());
        };
        if moments[at]
            .written
            .iter()
            .any(|item| is_membership(&item.record))
        {
            // Within a transaction memberships come and go between changes, which no moment shows.
            return Ok(());
        }
        let around = &moments[at.saturating_sub(1)..=at];
        let may = |scope: &Scope| {
            let given = |moment: &Moment| self.is_given(&moment.state, scope, Role::Write);
            self.claimed.roles(scope).meets(RoleSet::WRITE) || around.iter().any(given)
        };
        let before = around[0].state.entry(key);
        if let Some(Record::Entry(entry)) = entry_written.filter(|_| is_board(key)) {
            let before = before.filter(|before| !before.is_deleted());
            self.judge_board(before.map(Arc::as_ref), entry)?;
        }
        let left =
            before.filter(|before| !before.is_deleted() && before.version.next() == Some(version));
        let left = left.map(|before| &before.scope);
        for scope in [Some(scope), left].into_iter().flatten() {
            expect(may(scope), Property::Isolation, || {
                format!("{} wrote {key:?} {version} in {scope}", self.user)
            })?;
        }
        Ok(())
    }

    /// A board is created by its author, whom it names for good. Its author alone changes it, but for what is sealed, and
    /// nobody deletes it. The gateway keeps who made and last edited it, and when (rules.md 4.15).
    fn judge_board(&self, before: Option<&Entry>, after: &Entry) -> Judged {
        let field = |entry: &Entry, name: &str| {
            let body = entry.body.as_ref();
            body.and_then(|body| body.get(name)).cloned()
        };
        let author = Some(Value::String(self.user.to_string()));
        let is_authors = field(before.unwrap_or(after), "author") == author;
        let stays = |before: &Entry, names: [&str; 2]| {
            let mut names = names.into_iter();
            names.all(|name| field(before, name) == field(after, name))
        };
        let is_as_before = before.is_none_or(|before| stays(before, ["author", "sealed"]));
        let right = is_authors && !after.is_deleted() && is_as_before;
        expect(right, Property::Allowed, || {
            format!("{} made {after:?} of {before:?}", self.user)
        })?;
        let at = |entry: &Entry, name: &str| match field(entry, name) {
            Some(Value::DateTime(at)) => Some(at),
            _ => None,
        };
        let is_kept = field(after, "editor") == author
            && at(after, "touched") >= Some(after.at)
            && match before {
                Some(before) => {
                    stays(before, ["born", "maker"])
                        && at(after, "touched") >= at(before, "touched")
                }
                None => at(after, "born") == Some(after.at) && field(after, "maker") == author,
            };
        expect(is_kept, Property::Exact, || {
            format!("{} made {after:?} of {before:?}", self.user)
        })
    }

    /// The reason of a rejection was true at one of these moments.
    pub(crate) fn judge_rejection(
        &self,
        (model, gateway): (&Model, Edition),
        code: &str,
        change: &Change,
        atomic: bool,
        moments: &[Moment],
    ) -> Judged {
        let entered = match &change.action {
            Action::Create { document: set, .. } | Action::Update { set, .. } => {
                let name = people::scope_field(gateway, &change.key.type_name);
                set.get(name).and_then(Value::as_str)
            }
            Action::Delete { .. } => None,
        };
        let is_so = |moment: &Moment| {
            let grants = self.grants(&moment.state);
            let met = met_in(&moment.state, &change.key, gateway);
            let seen = met.as_ref().is_some_and(|scope| grants.can_read(scope));
            let writes = |scope: &Scope| grants.roles(scope).meets(RoleSet::WRITE);
            match code {
                "NOT_FOUND" => !seen,
                "ID_TAKEN" => met.is_some() && !seen,
                "FORBIDDEN" if is_board(&change.key) => true,
                "FORBIDDEN" => {
                    let entered = entered.and_then(|scope| Scope::new(scope).ok());
                    met.is_some_and(|scope| !writes(&scope))
                        || entered.is_some_and(|scope| !writes(&scope))
                }
                // It has a value that the model in force does not hold, or one that another document has.
                "INVALID_VALUE" => match moment.state.foreign.get(&change.key) {
                    Some(ForeignState::Misfit { .. }) => true,
                    _ => is_duplicate(&moment.state, &change.key),
                },
                // It is judged with its push (`uniques.rs`).
                "NOT_UNIQUE" => true,
                "ITEM_UNIDENTIFIED" => holds_unnamed_items(model, &change.key, moment),
                "ATOMIC_ABORTED" => atomic,
                "INBOX_FULL" => {
                    let open = moment.state.conflicts().into_iter();
                    let own = open.filter(|it| it.key == change.key && it.opened_by == self.user);
                    own.count() >= PENDING_MAX
                }
                _ => false,
            }
        };
        expect(moments.iter().any(is_so), Property::NoFalseConflict, || {
            format!("{change:?} of {} was rejected: {code}", self.user)
        })
    }

    /// The document of an outcome is what the caller could see at one of these moments, after the change if that is
    /// applied.
    pub(crate) fn judge_shown(
        &self,
        key: &DocumentKey,
        outcome: &Outcome,
        gateway: Edition,
        moments: &[Moment],
    ) -> Judged {
        let made = outcome
            .version
            .filter(|_| took(outcome))
            .unwrap_or_default();
        let is_so = |moment: &Moment| {
            let entry = moment.state.entry(key);
            let grants = self.grants(&moment.state);
            let seen = entry.filter(|entry| grants.can_read(&entry.scope) && !entry.is_deleted());
            let shown = outcome
                .document
                .as_ref()
                .filter(|entry| !entry.is_deleted());
            let after = entry.is_none_or(|entry| entry.version >= made);
            let leads = moment.lead() == gateway;
            let is_hidden = |entry: &Arc<Entry>| {
                let body = entry.body.as_ref();
                let is_read = |body| people::reads(gateway, &key.type_name, body);
                !body.is_none_or(is_read) || leads && !people::is_in_place(gateway, entry)
            };
            let is_as_seen = shown.map(|entry| entry.version) == seen.map(|entry| entry.version);
            after && (is_as_seen || shown.is_none() && seen.is_some_and(is_hidden))
        };
        expect(moments.iter().any(is_so), Property::OwnWrites, || {
            format!("{outcome:?} shows what {} could not see then", self.user)
        })
    }

    fn is_given(&self, state: &State, scope: &Scope, role: Role) -> bool {
        let gives = |membership: &Membership| membership.scope == *scope && membership.role >= role;
        self.memberships(state).rows.values().any(gives)
    }
}

fn is_board(key: &DocumentKey) -> bool {
    key.type_name.as_str() == "Board"
}

/// Whether a list of the document, in the collection or in the feed, holds what the model does not name.
fn holds_unnamed_items(model: &Model, key: &DocumentKey, moment: &Moment) -> bool {
    let in_feed = moment.state.entry(key).and_then(|it| it.body.as_ref());
    let bodies = moment.document(key).into_iter().chain(in_feed);
    let document_type = model.document_type(key.type_name.as_str());
    let fields = document_type.map_or(&[][..], |it| &it.fields);
    bodies
        .into_iter()
        .any(|it| unnamed::has_items(model, fields, it))
}

fn is_membership(record: &Record) -> bool {
    record.key().type_name.as_str() == "Member"
}

/// The first moment at which a record has its present form.
fn written_at(moments: &[Moment], record: &Record) -> usize {
    let is_it = |item: &FeedItem| {
        item.record.key() == record.key()
            && item.record.scope() == record.scope()
            && item.record.version() == record.version()
    };
    moments
        .iter()
        .rposition(|moment| moment.written.iter().any(is_it))
        .unwrap_or(0)
}
