//! The decision about one change. It is pure, so that every conflict replays as a plain test.
//!
//! Here the new entry is computed (rules.md sections 3 and 4). Numbering, storing and answering happen elsewhere.

mod create;
mod defer;
mod delete;
mod items;
mod merge;
mod retired;
mod rights;
mod server;
mod text;
mod update;
mod work;

pub(crate) use self::retired::without_retired;
pub use self::work::{WORK_MAX, Work};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode},
    entry::{Entry, Writer},
    grant::{self, Grants, Identity},
    id::{ClientId, MutationId, Scope, Version},
    import::Withheld,
    inbox::PendingConflict,
    model::{DocumentType, Model, Operation, Overlap, Policy},
    mutant::{Mutant, is_active},
    outcome::{FieldOutcome, Status},
    value::{Document, Timestamp, document_bytes, longest_list},
};

/// How far ahead of the server's clock a client's `changedAt` may be before it is clamped, in milliseconds.
pub const CLOCK_SKEW_MAX_MS: i64 = 60_000;

/// The most bytes to which small edits may grow a document. Each decision copies the document, each page that carries it
/// holds it in memory, and MongoDB takes 16 MiB together with its sync state.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Everything a decision depends on besides the entry and the change.
#[derive(Debug, Clone, Copy)]
pub struct DecisionContext<'a> {
    /// The model.
    pub model: &'a Model,
    /// The document's type.
    pub document_type: &'a DocumentType,
    /// The policy in force: the type's, or the one the push chose.
    pub policy: Policy,
    /// Who pushes.
    pub identity: &'a Identity,
    /// What the identity may do, over the push's own earlier changes.
    pub grants: &'a Grants,
    /// The client, if it named itself.
    pub client: Option<&'a ClientId>,
    /// The change's mutation id, if it has one.
    pub mutation: Option<MutationId>,
    /// Server time.
    pub now: Timestamp,
    /// Server time of the document's last version, if it has one. The clock may have been set back since.
    pub last_at: Option<Timestamp>,
    /// New documents begin above it (rules.md 3.1).
    pub version_floor: Version,
    /// What the merges of the push may still cost.
    pub work: &'a Work,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The entry is replaced by this one.
    Write {
        /// APPLIED or MERGED.
        status: Status,
        /// The new entry.
        entry: Box<Entry>,
        /// For each field of a stale change, how it was settled.
        fields: Option<Vec<FieldOutcome>>,
        /// The part of the change that goes to the inbox.
        pending: Option<PendingConflict>,
    },
    /// The entry stays as it is: a CONFLICT, or APPLIED if the entry already was what the change asks for.
    Keep {
        /// APPLIED or CONFLICT.
        status: Status,
        /// For each field of a stale change, how it was settled.
        fields: Option<Vec<FieldOutcome>>,
        /// The part of the change that goes to the inbox.
        pending: Option<PendingConflict>,
    },
    /// The entry stays as it is until the application has answered what to do with the change.
    NeedsWebhook(PendingConflict),
    /// REJECTED.
    Reject(Rejection),
}

impl Decision {
    fn keep(status: Status, fields: Option<Vec<FieldOutcome>>) -> Self {
        Self::Keep {
            status,
            fields,
            pending: None,
        }
    }

    fn write(status: Status, entry: Entry, fields: Option<Vec<FieldOutcome>>) -> Self {
        Self::Write {
            status,
            entry: Box::new(entry),
            fields,
            pending: None,
        }
    }
}

/// Decides what `change` does to `entry`, the document's state if it has one.
///
/// Checks that do not depend on the entry come first, so that another user's document and a missing one get the same
/// answer.
pub fn decide(context: &DecisionContext<'_>, entry: Option<&Entry>, change: &Change) -> Decision {
    decide_unbounded(context, entry, change)
        .and_then(|decision| within_bounds(context, entry, decision))
        .unwrap_or_else(Decision::Reject)
}

fn decide_unbounded(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &Change,
) -> Result<Decision, Rejection> {
    let settled = retired::settle(context, entry, change)?;
    let (sent, change) = (change, &*settled);
    match &change.action {
        Action::Update { base, set, .. } if set.is_empty() && sent != change => {
            update::change_nothing(context, entry, *base)
        }
        Action::Create { document, base } => {
            create::decide(context, entry, change, document, *base)
        }
        Action::Update { base, set, seen } => {
            let edit = update::UpdateFields {
                base: *base,
                set,
                seen: seen.as_ref(),
            };
            update::decide(context, entry, change, &edit)
        }
        Action::Delete { base } => delete::decide(context, entry, change, *base),
    }
}

/// Why a change to a withheld document is rejected (rules.md 8.8). A caller that may not see the document gets the same
/// answer as for any other.
pub fn withheld(context: &DecisionContext<'_>, withheld: &Withheld, change: &Change) -> Rejection {
    let Withheld { misfit, scope } = withheld;
    let scope = scope.as_ref().filter(|it| context.grants.can_read(it));
    let operation = match &change.action {
        Action::Create { .. } | Action::Update { .. } => Operation::Update,
        Action::Delete { .. } => Operation::Delete,
    };
    match scope.map(|scope| context.check_some(operation, scope)) {
        Some(Ok(())) => {
            let message = format!("the stored document does not fit the model: {misfit}");
            Rejection {
                code: RejectionCode::InvalidValue,
                message,
                field: Some(misfit.path.clone()).filter(|path| !path.is_empty()),
            }
        }
        Some(Err(forbidden)) => forbidden,
        None => match decide_unbounded(context, None, change) {
            Err(rejection) => rejection,
            Ok(_) => create::id_taken(),
        },
    }
}

fn within_bounds(
    context: &DecisionContext<'_>,
    before: Option<&Entry>,
    decision: Decision,
) -> Result<Decision, Rejection> {
    if let Decision::Write { entry, .. } = &decision
        && let Some(body) = &entry.body
    {
        check_bytes("the document", body)?;
        check_lists(context, before, entry, body)?;
    }
    Ok(decision)
}

/// Bounds the lists that a change leaves, also those that it joined. A list that is already longer, because another
/// service wrote it, can still be edited as long as it does not grow.
fn check_lists(
    context: &DecisionContext<'_>,
    before: Option<&Entry>,
    entry: &Entry,
    body: &Document,
) -> Result<(), Rejection> {
    let max = context.model.list_items_max;
    let before = before.and_then(|before| before.body.as_ref());
    let written = body
        .iter()
        .filter(|(name, _)| field_version(entry, name) == entry.version);
    for (name, value) in written {
        let stood = before
            .and_then(|before| before.get(name))
            .map_or(0, longest_list);
        if longest_list(value) > max.max(stood) {
            let message = format!("would have a list of more than {max} items");
            let name = context.document_type.field_name(name);
            return Err(Rejection::invalid(name, message));
        }
    }
    Ok(())
}

fn check_bytes(what: &str, document: &Document) -> Result<(), Rejection> {
    if document_bytes(document) <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{what} would have more than {DOCUMENT_BYTES_MAX} bytes");
    Err(Rejection::new(RejectionCode::InvalidValue, message))
}

/// How a change relates to the entry it meets (rules.md 4.5 and 4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staleness {
    /// No other client changed the document since.
    Clean,
    /// Another client changed the document after this version.
    Stale(BaseState),
    /// The document was deleted after the version of the change.
    OfDeleted,
}

/// The base of a stale edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BaseState {
    /// At a version of this incarnation.
    At(Version),
    /// A version of another epoch, or none: below all versions.
    Nothing,
}

impl BaseState {
    fn is_before(self, version: Version) -> bool {
        match self {
            Self::At(base) => version > base,
            Self::Nothing => true,
        }
    }
}

impl DecisionContext<'_> {
    /// How an update or a delete with this base relates to `entry`.
    fn staleness(&self, entry: &Entry, base: BaseVersion) -> Result<Staleness, Rejection> {
        if base.0 > entry.version.0 || base.0 < BaseVersion::OTHER_EPOCH.0 {
            return Err(self.version_unknown(base));
        }
        if entry.is_deleted() && !is_active(Mutant::EditRevives) {
            return Ok(Staleness::OfDeleted);
        }
        if base == BaseVersion::OTHER_EPOCH {
            return Ok(Staleness::Stale(BaseState::Nothing));
        }
        let base = match base {
            BaseVersion::OWN_CREATE
                if self.wrote(entry, entry.began) || is_active(Mutant::AnyonesCreate) =>
            {
                entry.began
            }
            BaseVersion(version) => Version(version),
        };
        if base < entry.began {
            return Ok(Staleness::OfDeleted);
        }
        let in_own_run = self.mutation.is_some()
            && (base.0 >= entry.run.0 - 1 || is_active(Mutant::LastWriter))
            && self.wrote(entry, entry.version);
        if base == entry.version || in_own_run {
            return Ok(Staleness::Clean);
        }
        Ok(Staleness::Stale(BaseState::At(base)))
    }

    fn version_unknown(&self, base: BaseVersion) -> Rejection {
        let message = format!(
            "baseVersion {} is not a version this document has had",
            base.0
        );
        Rejection::new(RejectionCode::VersionUnknown, message)
    }

    /// Whether this client made `version`; an anonymous writer never equals another.
    fn wrote(&self, entry: &Entry, version: Version) -> bool {
        entry
            .writers
            .get(&version)
            .is_some_and(|writer| self.is_same_client(writer))
    }

    fn is_same_client(&self, writer: &Writer) -> bool {
        self.client.is_some()
            && writer.client.as_ref() == self.client
            && writer.user.as_ref() == Some(&self.identity.user)
    }

    /// Whether another client wrote the field after the base.
    fn changed_by_another(&self, entry: &Entry, field: &str, base: BaseState) -> bool {
        let own = self.wrote(entry, field_version(entry, field));
        self.changed_since(entry, field, base)
            && (!own || is_active(Mutant::OwnFieldOverlaps))
            && !is_active(Mutant::NothingOverlaps)
    }

    /// Whether any client wrote the field after the base.
    fn changed_since(&self, entry: &Entry, field: &str, base: BaseState) -> bool {
        base.is_before(field_version(entry, field))
    }

    /// The latest of the edits by others after the base.
    fn latest_other_writer<'e>(&self, entry: &'e Entry, base: BaseState) -> Option<&'e Writer> {
        entry
            .writers
            .iter()
            .filter(|(version, writer)| base.is_before(**version) && !self.is_same_client(writer))
            .map(|(_, writer)| writer)
            .max_by_key(|writer| writer.order())
    }

    /// The overlap rule that the policy comes down to where a change wins or loses as a whole.
    fn overlap_for_whole_change(&self) -> Overlap {
        match self.policy {
            Policy::ServerWins => Overlap::ServerWins,
            Policy::ClientWins => Overlap::ClientWins,
            Policy::LastWriteWins => Overlap::LastWriteWins,
            Policy::Merge => self.document_type.conflict.overlap,
            Policy::Manual | Policy::Webhook => Overlap::Manual,
        }
    }

    /// Whether the policy leaves whole stale changes to a person or to the application.
    fn leaves_open(&self) -> bool {
        matches!(self.policy, Policy::Manual | Policy::Webhook)
    }

    /// The time at which the client says it made the edit, clamped to what the server accepts. Without one it is the
    /// server's, which does not go back on a document (rules.md 4.9).
    fn edit_time(&self, change: &Change) -> Timestamp {
        let latest = self.now.plus_ms(CLOCK_SKEW_MAX_MS);
        let arrival = self.last_at.map_or(self.now, |at| at.max(self.now));
        change.changed_at.map_or(arrival, |at| at.min(latest))
    }

    /// The writer that the change names.
    fn requested_writer(&self, change: &Change) -> Writer {
        Writer {
            user: Some(self.identity.user.clone()),
            client: self.client.cloned(),
            edited_at: self.edit_time(change),
            mutation: self.mutation,
        }
    }

    /// The writer to record: it comes after the edits it replaces (rules.md 4.9).
    fn writer(&self, change: &Change, previous: Option<&Writer>) -> Writer {
        let mut writer = self.requested_writer(change);
        if let Some(previous) = previous.filter(|previous| writer.order() <= previous.order()) {
            writer.edited_at = previous.edited_at.plus_ms(1);
        }
        writer
    }

    /// The scope that `document` belongs to.
    fn scope_for(&self, change: &Change, document: &Document) -> Result<Scope, Rejection> {
        grant::scope_of(self.document_type, &change.key.id, document)
            .map_err(|error| Rejection::new(RejectionCode::InvalidScope, error.to_string()))
    }

    /// The version and run that a change by this writer gives to `entry`.
    fn next_version(&self, entry: &Entry) -> Result<(Version, Version), Rejection> {
        let version = next_or_exhausted(entry.version)?;
        let run = if self.wrote(entry, entry.version) {
            entry.run
        } else {
            version
        };
        Ok((version, run))
    }
}

/// A change, and the entry that it is brought onto.
#[derive(Clone, Copy)]
struct Rebase<'a> {
    context: &'a DecisionContext<'a>,
    entry: &'a Entry,
    change: &'a Change,
}

impl Rebase<'_> {
    /// Whether the change's edit comes after the one that made `version`.
    fn is_later_than_version(&self, version: Version) -> bool {
        let theirs = self.entry.writers.get(&version);
        theirs.is_none_or(|theirs| self.is_later_than(theirs))
    }

    /// Whether the change's edit comes after that of `writer`.
    fn is_later_than(&self, writer: &Writer) -> bool {
        self.context.requested_writer(self.change).order() > writer.order()
    }

    /// Whether a stale change that must win or lose as a whole wins.
    fn wins(&self, base: BaseState) -> bool {
        // SERVER_WINS also holds if no other writer is named any more: what others added to a counter, a set or a text
        // stands in a field that this client may have written since.
        client_wins(self.context.overlap_for_whole_change(), || {
            let theirs = self.context.latest_other_writer(self.entry, base);
            theirs.is_none_or(|theirs| self.is_later_than(theirs))
        }) == Some(true)
    }
}

/// Whether the client's side wins under an overlap rule; `None` if a person decides.
fn client_wins(overlap: Overlap, is_later: impl FnOnce() -> bool) -> Option<bool> {
    match overlap {
        Overlap::ServerWins => Some(false),
        Overlap::ClientWins => Some(true),
        Overlap::LastWriteWins => Some(is_later()),
        Overlap::Manual => None,
    }
}

fn next_or_exhausted(version: Version) -> Result<Version, Rejection> {
    version.next().ok_or_else(|| {
        let message = "the document has had as many versions as can be counted";
        Rejection::new(RejectionCode::VersionExhausted, message)
    })
}

/// The version that last wrote a field. A field that was never written since has the version at which the incarnation
/// began.
pub(crate) fn field_version(entry: &Entry, field: &str) -> Version {
    entry
        .field_versions
        .get(field)
        .copied()
        .unwrap_or(entry.began)
}

/// Keeps the writers that are still needed: those of the fields, of the beginning and of the last version.
pub(crate) fn prune_writers(entry: &mut Entry) {
    let (began, version, fields) = (entry.began, entry.version, &entry.field_versions);
    entry
        .writers
        .retain(|v, _| *v == began || *v == version || fields.values().any(|field| field == v));
}
