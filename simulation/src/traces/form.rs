//! The form of traces (conformance/README.md) as types: a head, and steps with what must follow from each. It knows
//! nothing of the client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tidegate_core::model::Policy;

/// The first version of the form, which has all but starts and what a client says of comparisons.
pub(super) const FORM: u32 = 1;

/// The version that has these too.
pub(super) const FORM_OF_COMPARISONS: u32 = 2;

/// The fields of a document by name.
pub(super) type Fields = Map<String, Json>;

/// What happens to one client, and what must follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The first line.
    pub head: Head,
    /// The other lines.
    pub lines: Vec<Line>,
}

/// The first line of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The version of the form.
    pub trace: u32,
    /// Whether the client folds updates that wait (1.10).
    #[serde(default, skip_serializing_if = "is_default")]
    pub folds: bool,
    /// Whether something follows from the digests of its pages (1.18).
    #[serde(default, skip_serializing_if = "is_default")]
    pub digests: bool,
    /// The rules whose violation it shows, for people.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shows: Vec<String>,
}

/// A step, and what must follow from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What happens.
    #[serde(flatten)]
    pub step: Step,
    /// What must follow.
    #[serde(flatten)]
    pub follows: Follows,
}

/// What must follow from a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follows {
    /// Why an edit is not made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refused: Option<String>,
    /// Whether the client stops.
    #[serde(default, skip_serializing_if = "is_default")]
    pub halts: bool,
    /// The scopes of which the client reports that it holds something else than the server has (1.18).
    #[serde(default, skip_serializing_if = "is_default")]
    pub reports: Vec<String>,
    /// Whether the client says after a page that it equals the server (1.18).
    #[serde(default, skip_serializing_if = "is_default")]
    pub equals: bool,
    /// Whether the client makes another pull for a comparison, later (1.18).
    #[serde(default, skip_serializing_if = "is_default")]
    pub later: bool,
    /// What a `send` sends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sends: Option<Json>,
    /// A merge patch of the state.
    #[serde(default, skip_serializing_if = "is_default")]
    pub is: Option<Json>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "do",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Step {
    /// The application edits. Several edits are a transaction.
    Edit {
        /// In their order.
        edits: Vec<EditForm>,
        /// Whether they are one transaction.
        #[serde(default, skip_serializing_if = "is_default")]
        atomic: bool,
        /// The policy that the user prefers.
        #[serde(default, skip_serializing_if = "is_default")]
        policy: Option<PolicyName>,
        /// The device's clock.
        changed_at: String,
    },
    /// The application selects more of these types from now on.
    Refresh {
        /// Their names.
        types: Vec<String>,
    },
    /// A pull or a subscription begins.
    Begin,
    /// A page arrives.
    Page {
        /// The checkpoint that it was requested with.
        from: Option<String>,
        /// The round of its pull or subscription; none for a live page.
        round: Option<u32>,
        /// The types that were asked for; none for all.
        #[serde(default, skip_serializing_if = "is_default")]
        types: Option<Vec<String>>,
        /// The types that were asked for once more.
        #[serde(default, skip_serializing_if = "is_default")]
        refresh: Vec<String>,
        /// The scopes that were asked for once more.
        #[serde(default, skip_serializing_if = "is_default")]
        reread: Vec<String>,
        /// The page.
        page: PageForm,
    },
    /// A pull or a subscription is refused.
    Unread {
        /// The code.
        code: String,
    },
    /// The client sends what it has to send.
    Send {
        /// The number by which others name what was sent.
        request: u32,
        /// The most changes of a new push.
        #[serde(default, skip_serializing_if = "is_default")]
        limit: Option<usize>,
    },
    /// The answer to a push arrives.
    Answer {
        /// The request.
        to: u32,
        /// The outcomes of its changes.
        results: Vec<ResultForm>,
    },
    /// A push is refused as a whole.
    Refused {
        /// The request.
        to: u32,
        /// The code.
        code: String,
        /// What else the gateway says.
        #[serde(default, skip_serializing_if = "is_default")]
        extensions: Fields,
    },
    /// The answer to a question arrives.
    Last {
        /// The request.
        to: u32,
        /// The id that was consumed last.
        last_mutation_id: i32,
    },
    /// The app goes on with what is stored.
    Restart,
    /// The app starts, and its disk may have lost something since it ended.
    Start,
}

/// An edit as the application makes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditForm {
    /// Its number.
    pub edit: u32,
    /// What it does.
    pub op: Op,
    /// The type of the document.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The id of the document.
    pub id: String,
    /// The document of a create.
    #[serde(default, skip_serializing_if = "is_default")]
    pub document: Option<Fields>,
    /// The fields of an update.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fields: Option<BTreeMap<String, IntentForm>>,
}

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Op {
    /// A document comes into being.
    Create,
    /// Some fields change.
    Update,
    /// The document goes.
    Delete,
}

/// What an update does to a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IntentForm {
    /// It has this value.
    Set(Json),
    /// A counter rises.
    Increment(i32),
    /// A set has these items more.
    Add(Vec<Json>),
    /// A set has these items no more.
    Remove(Vec<Json>),
}

/// A policy by its name in the API.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PolicyName {
    /// The server's document stays.
    ServerWins,
    /// The change is applied.
    ClientWins,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::ServerWins => Self::ServerWins,
            PolicyName::ClientWins => Self::ClientWins,
        }
    }
}

impl PolicyName {
    /// The name of a policy that the model of traces lets clients choose.
    pub fn of(policy: Policy) -> Option<Self> {
        match policy {
            Policy::ServerWins => Some(Self::ServerWins),
            Policy::ClientWins => Some(Self::ClientWins),
            _ => None,
        }
    }
}

/// A page as a gateway answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageForm {
    /// The changes.
    pub changes: Vec<ChangeForm>,
    /// The position after it.
    pub checkpoint: String,
    /// Whether there is more.
    pub has_more: bool,
    /// Whether it begins again.
    pub reset: bool,
    /// The scopes that were withdrawn.
    pub revoked_scopes: Vec<String>,
    /// The epoch of its versions.
    pub epoch: String,
    /// What is live in each scope.
    #[serde(default, skip_serializing_if = "is_default")]
    pub digests: Vec<DigestForm>,
}

/// What is live in a scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestForm {
    /// Its name.
    pub scope: String,
    /// 32 digits, base 16.
    pub digest: String,
}

/// A change of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeForm {
    /// The type of the document.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The id of the document.
    pub document_id: String,
    /// What it is.
    pub kind: Kind,
    /// The version.
    pub version: i32,
    /// The scope.
    pub scope: String,
    /// The document of an UPSERT.
    #[serde(default, skip_serializing_if = "is_default")]
    pub document: Option<Fields>,
}

/// What a change of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// The document as it is.
    Upsert,
    /// It is deleted.
    Delete,
    /// It is no longer in the scope.
    Revoke,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultForm {
    /// The type of the document.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The id of the document.
    pub document_id: String,
    /// The outcome.
    pub status: StatusName,
    /// The version that it made or met.
    pub version: Option<i32>,
    /// The document after it, with `syncVersion` and `syncScope`.
    pub document: Option<Fields>,
}

/// An outcome by its name in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusName {
    /// It is in force.
    Applied,
    /// Some of it is.
    Merged,
    /// None of it is.
    Conflict,
    /// None of it ever will be.
    Rejected,
}

impl PageForm {
    /// Whether it has a digest of the scope.
    pub(super) fn names(&self, scope: &str) -> bool {
        self.digests.iter().any(|digest| digest.scope == scope)
    }
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().ok_or("there is no head")?;
        let head: Head = serde_json::from_str(first).map_err(|error| format!("line 1: {error}"))?;
        if ![FORM, FORM_OF_COMPARISONS].contains(&head.trace) {
            return Err(format!("the form is {}", head.trace));
        }
        let read = |(nth, line): (usize, &str)| {
            Line::read(line).map_err(|error| format!("line {}: {error}", nth + 2))
        };
        let lines = lines.enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { head, lines })
    }

    /// Writes it, a line each.
    pub fn text(&self) -> String {
        let write = |line: &Line| serde_json::to_string(line);
        let lines = self.lines.iter().map(write);
        let head = serde_json::to_string(&self.head);
        let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
        let texts = lines
            .into_iter()
            .map(|line| line.expect("its keys are texts") + "\n");
        texts.collect()
    }
}

impl Line {
    fn read(text: &str) -> serde_json::Result<Self> {
        let mut step: Fields = serde_json::from_str(text)?;
        let names = [
            "refused", "halts", "reports", "equals", "later", "sends", "is",
        ];
        let follows = names.map(|name| step.remove_entry(name));
        let follows: Fields = follows.into_iter().flatten().collect();
        Ok(Self {
            step: serde_json::from_value(step.into())?,
            follows: serde_json::from_value(follows.into())?,
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
