//! One document through its versions: what it held, and what each user knew when changing it.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::{Action, BaseVersion},
    id::{DocumentKey, Version},
    model::{DocumentType, MergeStrategy, Model, Overlap, Policy},
    outcome::{FieldOutcome, Status, Taken},
    value::{Document, Value},
};
use tidegate_testkit::store::State;

use super::{
    Line, Sent,
    items::judge_joined,
    values::{alike, holds_documents, joined_sets, read, same, same_client, sum, whole},
};
use crate::{
    oracle::{Judged, Property, expect},
    people::{self, Edition},
};

/// The account of one document, version by version.
pub(super) struct Account<'l> {
    pub(super) document_type: &'l DocumentType,
    key: &'l DocumentKey,
    collected: &'l BTreeSet<(DocumentKey, Version)>,
    last: Option<&'l Line>,
    /// The edits of the living incarnation, its create first; empty while it is deleted.
    lines: Vec<&'l Line>,
    /// The last writer of each field.
    writers: BTreeMap<String, &'l Line>,
    body: Document,
    /// Fields with unknown values: a repeated answer does not report what was merged.
    untold: BTreeSet<String>,
}

impl<'l> Account<'l> {
    pub(super) fn new(
        model: &'l Model,
        key: &'l DocumentKey,
        collected: &'l BTreeSet<(DocumentKey, Version)>,
    ) -> Self {
        let document_type = model.stored_type(&key.type_name);
        Self {
            document_type: document_type.expect("edits are of types that the model has"),
            key,
            collected,
            last: None,
            lines: Vec::new(),
            writers: BTreeMap::new(),
            body: Document::new(),
            untold: BTreeSet::new(),
        }
    }

    /// The edit that made the next version.
    pub(super) fn enter(&mut self, line: &'l Line) -> Judged {
        let made = |last: &&Line| last.version == line.version;
        if self.last.as_ref().is_some_and(made) && line.kept() {
            return self.judge_kept(line);
        }
        self.judge_version(line)?;
        match &line.sent.change.action {
            Action::Create { document, .. } if self.lines.is_empty() => {
                self.judge_creation(line)?;
                self.body = document.clone();
                self.untold.clear();
                self.writers = document.keys().map(|name| (name.clone(), line)).collect();
                self.lines.push(line);
            }
            Action::Create { .. } => self.change(line)?,
            Action::Update { .. } => {
                expect(!self.lines.is_empty(), Property::NoRevival, || {
                    format!("{line:?} edited what was deleted")
                })?;
                self.change(line)?;
            }
            Action::Delete { .. } => {
                self.judge_delete(line)?;
                self.lines.clear();
            }
        }
        self.last = Some(line);
        Ok(())
    }

    /// A create that found the document exactly as it would have made it.
    fn judge_kept(&self, line: &Line) -> Judged {
        let Action::Create { document, .. } = &line.sent.change.action else {
            return Ok(());
        };
        let stands = document.iter().all(|(name, value)| {
            value.is_null() || self.untold.contains(name) || self.body.get(name) == Some(value)
        });
        expect(stands, Property::NothingLost, || {
            format!(
                "{line:?} has an answer that it is applied, over {:?}",
                self.body
            )
        })
    }

    /// Versions follow one another. Only a new incarnation may skip some, if the tombstone before it was collected.
    fn judge_version(&self, line: &Line) -> Judged {
        let last = self.last.map_or(Version::NONE, |last| last.version);
        let next = last.next() == Some(line.version);
        let forgotten = self.last.is_none() || self.collected.contains(&(self.key.clone(), last));
        let begins = forgotten && line.sent.is_create() && line.version > last;
        expect(next || begins, Property::ExactlyOnce, || {
            format!("{line:?} follows version {last} of {:?}", self.key)
        })
    }

    fn judge_creation(&self, line: &Line) -> Judged {
        let Some(deletion) = self.last else {
            return Ok(());
        };
        if self
            .collected
            .contains(&(self.key.clone(), deletion.version))
        {
            return Ok(());
        }
        let may =
            line.sent.knows(deletion) || line.status == Status::Merged && self.yields_whole(line);
        expect(may, Property::NoRevival, || {
            format!("{line:?} created over {deletion:?}, which it did not know")
        })
    }

    fn judge_delete(&self, line: &Line) -> Judged {
        let is_there = !self.lines.is_empty() || line.sent.is_of_withheld;
        expect(is_there, Property::NoRevival, || {
            format!("{line:?} deleted what was deleted")
        })?;
        let unknown = self
            .lines
            .iter()
            .find(|other| !line.sent.knows(other) && !same_client(line, other));
        let may = unknown.is_none() || self.yields_whole(line);
        expect(may, Property::NothingLost, || {
            format!("{line:?} deleted {unknown:?} unseen")
        })
    }

    /// An edit of a living document.
    fn change(&mut self, line: &'l Line) -> Judged {
        match line.status {
            Status::Applied => self.change_clean(line)?,
            _ => self.change_stale(line)?,
        }
        self.lines.push(line);
        Ok(())
    }

    fn change_clean(&mut self, line: &'l Line) -> Judged {
        let Action::Update { base, set, seen } = &line.sent.change.action else {
            let text = || format!("{line:?} was created over a living document");
            return expect(false, Property::NothingLost, text);
        };
        let unknown = self.lines.iter().find(|other| !line.sent.knows(other));
        let clean = unknown.is_none() && *base != BaseVersion::OTHER_EPOCH;
        expect(clean, Property::NothingLost, || {
            format!("{line:?} was taken as clean over {unknown:?}")
        })?;
        for (name, mine) in set {
            let seen = seen.as_ref().and_then(|seen| seen.get(name));
            let value = self.joined(&line.sent, name, mine, seen);
            self.write(line, name, value);
        }
        Ok(())
    }

    fn change_stale(&mut self, line: &'l Line) -> Judged {
        let Some(fields) = &line.fields else {
            let untold = match &line.sent.change.action {
                Action::Create { document, .. } => document,
                Action::Update { set, .. } => set,
                Action::Delete { .. } => return Ok(()),
            };
            self.untold.extend(untold.keys().cloned());
            // A document that was replaced whole may have lost the other fields.
            let whole = line.sent.is_create();
            self.untold
                .extend(self.body.keys().filter(|_| whole).cloned());
            return Ok(());
        };
        for field in fields {
            self.judge_theirs(line, field)?;
            self.judge_join(line, field)?;
            self.judge_yielding(line, field)?;
            if field.taken == Taken::Theirs {
                self.judge_conflict(line, field)?;
            } else {
                self.judge_overwritten(line, field)?;
                let result = field.result.clone().unwrap_or(Value::Null);
                self.write(line, &field.field, Some(result));
            }
        }
        Ok(())
    }

    /// An edit without effect.
    pub(super) fn meet(&self, line: &Line) -> Judged {
        if self.lines.is_empty() {
            return Ok(());
        }
        for field in line.fields.iter().flatten() {
            self.judge_theirs(line, field)?;
            self.judge_join(line, field)?;
            self.judge_yielding(line, field)?;
            self.judge_conflict(line, field)?;
        }
        let all_known = self.lines.iter().all(|other| {
            other.version <= line.sent.known.synced
                || line.sent.follows(&other.sent) && same_client(line, other)
        });
        let queued_on_create = line.sent.base() == Some(BaseVersion::OWN_CREATE);
        let own = self.lines.iter().all(|other| same_client(line, other));
        let based = match line.sent.base() {
            None | Some(BaseVersion::OTHER_EPOCH) => false,
            Some(_) => !queued_on_create || own,
        };
        expect(!(all_known && based), Property::NoFalseConflict, || {
            format!("{line:?} conflicts, and knew of all: {:?}", self.lines)
        })
    }

    /// The server's value in an outcome is the value that was there.
    fn judge_theirs(&self, line: &Line, field: &FieldOutcome) -> Judged {
        let reported = self.untold.contains(&field.field)
            || same(self.body.get(&field.field), field.theirs.as_ref());
        expect(reported, Property::Exact, || {
            format!(
                "{field:?} of {line:?}, where {:?} stood",
                self.body.get(&field.field)
            )
        })
    }

    /// A field that was overwritten was known, or the policy allows it.
    fn judge_overwritten(&self, line: &Line, field: &FieldOutcome) -> Judged {
        let reported = !self.untold.contains(&field.field);
        let Some(writer) = self.writers.get(&field.field).filter(|_| reported) else {
            return Ok(());
        };
        let shown = field.base.is_some() && alike(line, &field.base, &field.theirs);
        let may = line.sent.knows(writer)
            || same_client(line, writer)
            || alike(line, &field.mine, &field.theirs)
            || shown
            || self.yields(line, field);
        expect(may, Property::NothingLost, || {
            format!("{line:?} overwrote {writer:?} unseen")
        })
    }

    /// An update gives way only if the policy allows it.
    fn judge_yielding(&self, line: &Line, field: &FieldOutcome) -> Judged {
        if field.taken != Taken::Theirs || line.sent.is_create() {
            return Ok(());
        }
        let merges = self.policy(line) == Policy::Merge;
        let (mine, theirs) = (field.mine.as_ref(), field.theirs.as_ref());
        let may = match self.strategy(&field.field).filter(|_| merges) {
            Some(MergeStrategy::Client) => false,
            Some(MergeStrategy::Max) => whole(mine) <= whole(theirs),
            Some(MergeStrategy::Min) => whole(mine) >= whole(theirs),
            Some(MergeStrategy::Server | MergeStrategy::Latest) => true,
            _ => self.overlap(line) != Overlap::ClientWins,
        };
        expect(may, Property::NothingLost, || {
            format!("{field:?} of {line:?} gave way against its policy")
        })
    }

    /// Merged differences are added, whichever other clients wrote.
    fn judge_join(&self, line: &Line, field: &FieldOutcome) -> Judged {
        let differs = self.policy(line) == Policy::Merge && line.sent.mutation.is_some();
        let (Some(mine), Some(seen), true) = (&field.mine, &field.base, differs) else {
            return Ok(());
        };
        let theirs = field.theirs.as_ref();
        let joined = match self.strategy(&field.field) {
            _ if mine.is_null() => return Ok(()),
            Some(MergeStrategy::Items) => return judge_joined(line, field),
            Some(MergeStrategy::Counter) => sum(theirs, Some(mine), Some(seen)),
            Some(MergeStrategy::Set) => Some(joined_sets(theirs, mine, seen)),
            _ => return Ok(()),
        };
        expect(
            same(joined.as_ref(), field.result.as_ref()),
            Property::Exact,
            || format!("{field:?} is not {joined:?}"),
        )
    }

    /// Another client has written a field that was not taken.
    fn judge_conflict(&self, line: &Line, field: &FieldOutcome) -> Judged {
        let policy = self.policy(line);
        let (Some(writer), Some(base)) = (self.writers.get(&field.field), line.sent.base()) else {
            return Ok(());
        };
        let reported = !self.untold.contains(&field.field);
        let known =
            reported && base.0 > 0 && (writer.version.0 <= base.0 || same_client(line, writer));
        let defers = matches!(
            policy,
            Policy::ServerWins | Policy::Manual | Policy::Webhook
        );
        let plain = self.strategy(&field.field).is_none() && !defers;
        let differs = !alike(line, &field.mine, &field.theirs);
        expect(
            !(known && plain && differs),
            Property::NoFalseConflict,
            || format!("{field:?} of {line:?} gave way to {writer:?}"),
        )
    }

    /// The value that a clean edit leaves in a field; nothing if only the merge itself can compute it.
    fn joined(&self, sent: &Sent, name: &str, mine: &Value, seen: Option<&Value>) -> Option<Value> {
        let strategy = self.strategy(name).filter(|_| sent.known.device.is_some());
        let (Some(strategy), Some(seen), false) = (strategy, seen, mine.is_null()) else {
            return Some(mine.clone());
        };
        let theirs = self.body.get(name);
        match strategy {
            MergeStrategy::Counter | MergeStrategy::Set if self.untold.contains(name) => None,
            MergeStrategy::Counter => sum(theirs, Some(mine), Some(seen)),
            MergeStrategy::Set => Some(joined_sets(theirs, mine, seen)),
            // What the app does not name stays.
            MergeStrategy::Items => {
                let theirs = theirs.map(|it| read(Edition::A, it));
                let is_whole = sent.gateway == Edition::A || theirs.as_ref() == self.body.get(name);
                let is_seen = same(theirs.as_ref(), Some(&read(Edition::A, seen)));
                (is_whole && is_seen && !self.untold.contains(name)).then(|| mine.clone())
            }
            MergeStrategy::Text => None,
            _ => Some(mine.clone()),
        }
    }

    fn write(&mut self, line: &'l Line, name: &str, value: Option<Value>) {
        self.writers.insert(name.to_owned(), line);
        match self.kept(line, name, value) {
            Some(value) => {
                self.untold.remove(name);
                self.body.insert(name.to_owned(), value);
            }
            None => drop(self.untold.insert(name.to_owned())),
        }
    }

    /// The value with what the gateway's model does not name of the one before (rules.md 9.7). A repeated answer does not
    /// say which gateway applied the edit.
    fn kept(&self, line: &Line, name: &str, value: Option<Value>) -> Option<Value> {
        let mut value = value?;
        if holds_documents(&value) && !line.first_answer {
            return None;
        }
        if line.sent.gateway == Edition::A {
            people::keep_only_b(self.body.get(name), &mut value);
        }
        Some(value)
    }

    /// The store has the result of the edits.
    pub(super) fn compare(&self, state: &State) -> Judged {
        let Some(last) = self.last else { return Ok(()) };
        let Some(entry) = state.entry(self.key) else {
            return expect(self.lines.is_empty(), Property::ExactlyOnce, || {
                format!("{:?} is missing after {last:?}", self.key)
            });
        };
        expect(entry.version == last.version, Property::ExactlyOnce, || {
            format!("{entry:?} is not what {last:?} made")
        })?;
        let Some(body) = &entry.body else {
            return expect(self.lines.is_empty(), Property::ExactlyOnce, || {
                format!("{entry:?} was deleted by nobody; {last:?}")
            });
        };
        let names: BTreeSet<&String> = body.keys().chain(self.body.keys()).collect();
        // No edit says what the gateway keeps.
        let is_server = |name: &str| {
            let field = self.document_type.stored_field(name);
            field.is_some_and(|field| field.server.is_some())
        };
        let differs = names.into_iter().find(|name| {
            !self.untold.contains(*name)
                && !is_server(name)
                && !same(body.get(*name), self.body.get(*name))
        });
        expect(differs.is_none(), Property::Exact, || {
            format!(
                "{differs:?} of {body:?} in the store, of {:?} by the edits",
                self.body
            )
        })
    }
}
