//! One change against one entry, under all policies: the base of the decision tables.
//!
//! An entry is the history that led to it, so that no test can begin from a state that the rules never reach.

use std::sync::Arc;

use serde_json::{Map, json};
use tidegate_core::{
    decide::{Decision, DecisionContext, Work, decide},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ClientId, MutationId, UserId, Version},
    model::{Model, Policy},
    outcome::Status,
    value::{Document, Value},
};

use crate::drafts::{Draft, model, start};

/// The client that makes a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Who {
    /// Alice's phone, which numbers its changes: the client of most tables.
    Phone,
    /// Another client of the same user.
    Laptop,
    /// Another user, whose client happens to have the same id.
    Bob,
    /// A client of Alice's that names itself and does not number its changes.
    Unnumbered,
    /// A client of Alice's without a name.
    Anonymous,
}

/// One edit of a history; each is made on the version before it.
pub(crate) type Step = (Who, Draft);

/// The columns of a decision table: the rule, and whether the edit was made before or after all those that it meets.
pub(crate) const COLUMNS: [(&str, Option<i64>); 10] = [
    ("SERVER_WINS", None),
    ("CLIENT_WINS", None),
    ("LAST_WRITE_WINS", Some(EARLIER)),
    ("LAST_WRITE_WINS", Some(LATER)),
    ("MERGE/SERVER_WINS", None),
    ("MERGE/CLIENT_WINS", None),
    ("MERGE/LAST_WRITE_WINS", Some(EARLIER)),
    ("MERGE/LAST_WRITE_WINS", Some(LATER)),
    ("MERGE/MANUAL", None),
    ("MANUAL", None),
];
const EARLIER: i64 = -60_000;
const LATER: i64 = 60_000;
const DECIDED_AT: i64 = 100_000;
const STEP: i64 = 1_000;

/// Checks a change under every rule. The row holds a sign for each of [`COLUMNS`]: `A` APPLIED, `M` MERGED, both with
/// all of the change applied; `P` MERGED, with all applied but the title; `C` CONFLICT and `=` APPLIED, the entry
/// staying as it was; `H` CONFLICT with all of the change left pending, and `Q` as `P` with the title left pending; `N`
/// NOT_FOUND, `V` VERSION_UNKNOWN; `.` not checked. WEBHOOK asks where MANUAL leaves something pending.
pub(crate) fn check(name: &str, history: &[Step], who: Who, change: &Draft, row: &str) {
    let signs: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(signs.len(), COLUMNS.len(), "{name}: a sign for each column");
    for ((rule, edited), sign) in COLUMNS.into_iter().zip(signs) {
        let bench = Bench::new(rule);
        let before = bench.entry_after(history);
        let change = edited.map_or(change.clone(), |ms| change.clone().at(ms));
        if rule == "MANUAL" {
            bench.asks_where_it_holds(before.as_ref(), who, &change);
        }
        let decision = bench.decide(before.as_ref(), who, &change);
        let found = bench.sign(before.as_ref(), &change, &decision);
        assert!(
            sign == "." || sign == found,
            "{name} under {rule} (edited {edited:?}): {sign} was expected, found {found}: {decision:#?}"
        );
    }
}

/// A decision table, a line for a change: `name: history, who change => row;`, as [`check`] reads them.
macro_rules! decisions {
    ($($name:literal: $history:expr, $who:ident $change:expr => $row:literal;)+) => {
        $($crate::bench::check($name, &$history, $who, &$change, $row);)+
    };
}
pub(crate) use decisions;

/// A model and the people who use it.
pub(crate) struct Bench {
    pub(crate) model: Arc<Model>,
}

impl Bench {
    pub(crate) fn new(rule: &str) -> Self {
        Self { model: model(rule) }
    }

    /// The entry after a history. Everything in it is applied, whatever the model's policy.
    pub(crate) fn entry_after(&self, history: &[Step]) -> Option<Entry> {
        history.iter().zip(1..).fold(None, |entry, (step, i)| {
            let (who, draft) = step;
            let decision = self.decide_at(
                i * STEP,
                Some(Policy::ClientWins),
                entry.as_ref(),
                *who,
                draft,
            );
            Some(written(decision, &format!("{step:?}")))
        })
    }

    /// The decision about a change under the model's policy, after every history.
    pub(crate) fn decide(&self, entry: Option<&Entry>, who: Who, draft: &Draft) -> Decision {
        self.decide_at(DECIDED_AT, None, entry, who, draft)
    }

    fn decide_at(
        &self,
        ms: i64,
        policy: Option<Policy>,
        entry: Option<&Entry>,
        who: Who,
        draft: &Draft,
    ) -> Decision {
        let change = match draft.change(&self.model) {
            Ok(change) => change,
            Err(rejection) => return Decision::Reject(rejection),
        };
        let document_type = self
            .model
            .stored_type(&change.key.type_name)
            .expect("drafts are of types that the model has");
        let identity = identity(if who == Who::Bob { "bob" } else { "alice" }, &[]);
        let grants = Grants::of_claims(&self.model, &identity).expect("few scopes");
        let client = match who {
            Who::Phone | Who::Bob => Some("phone"),
            Who::Laptop => Some("laptop"),
            Who::Unnumbered => Some("browser"),
            Who::Anonymous => None,
        };
        let client = client.map(|id| ClientId::new(id).expect("a short name"));
        let numbered = !matches!(who, Who::Unnumbered | Who::Anonymous);
        decide(
            &DecisionContext {
                model: &self.model,
                document_type,
                policy: policy.unwrap_or(document_type.conflict.policy),
                identity: &identity,
                grants: &grants,
                client: client.as_ref(),
                mutation: numbered.then_some(MutationId(1)),
                now: start().plus_ms(ms),
                last_at: entry.map(|entry| entry.at),
                version_floor: Version::NONE,
                work: &Work::of_a_push(),
            },
            entry,
            &change,
        )
    }

    /// WEBHOOK asks about what MANUAL holds back. Both treat everything else alike.
    fn asks_where_it_holds(&self, entry: Option<&Entry>, who: Who, draft: &Draft) {
        let by = |policy| self.decide_at(DECIDED_AT, Some(policy), entry, who, draft);
        match (by(Policy::Manual), by(Policy::Webhook)) {
            (Decision::Keep { pending: held, .. }, Decision::NeedsWebhook(asked)) => {
                assert_eq!(held, Some(asked))
            }
            (manual, webhook) => assert_eq!(manual, webhook),
        }
    }

    fn sign(&self, before: Option<&Entry>, draft: &Draft, decision: &Decision) -> String {
        match decision {
            Decision::Keep {
                pending: Some(_), ..
            } => "H".into(),
            Decision::Keep { status, .. } if *status == Status::Applied => "=".into(),
            Decision::Keep { .. } => "C".into(),
            Decision::NeedsWebhook(_) => "?".into(),
            Decision::Reject(rejection) => rejection.code.name()[..1].into(),
            Decision::Write {
                status,
                entry,
                pending: held,
                ..
            } => {
                let mut left: Document = draft.fields(&self.model);
                left.retain(|name, value| {
                    entry.body.as_ref().and_then(|body| body.get(name)) != Some(value)
                });
                let next = before.map_or(1, |before| before.version.0 + 1);
                assert_eq!(entry.version, Version(next), "one version for one change");
                let left: Vec<&str> = left.keys().map(String::as_str).collect();
                match (status, &left[..], held) {
                    (Status::Applied, [], None) => "A".into(),
                    (Status::Merged, [], None) => "M".into(),
                    (Status::Merged, ["title"], None) => "P".into(),
                    (Status::Merged, ["title"], Some(held)) if held.fields == ["title"] => {
                        "Q".into()
                    }
                    (status, left, held) => {
                        format!("{status:?} without {left:?}, holding {held:?}")
                    }
                }
            }
        }
    }
}

/// The entry of a decision to write.
pub(crate) fn written(decision: Decision, what: &str) -> Entry {
    match decision {
        Decision::Write { entry, .. } => *entry,
        other => panic!("{what} should be written, not {other:#?}"),
    }
}

/// The value of a field, `None` if it is absent.
pub(crate) fn value(entry: &Entry, field: &str) -> Option<Value> {
    entry.body.as_ref()?.get(field).cloned()
}

/// A user with teams.
pub(crate) fn identity(user: &str, teams: &[&str]) -> Identity {
    let mut claims = Map::new();
    claims.insert("sub".into(), json!(user));
    claims.insert("teams".into(), json!(teams));
    Identity {
        user: UserId::new(user).expect("a short name"),
        claims,
        expires_at: start().plus_ms(86_400_000),
    }
}
