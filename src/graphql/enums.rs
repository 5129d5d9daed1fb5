//! The enums of the API that are the same for every model, with the names of their values.

use async_graphql::dynamic::SchemaBuilder;
use tidegate_core::{
    change::RejectionCode,
    model::Policy,
    outcome::{Rule, Status, Taken},
    view::ChangeKind,
};

use super::table::ApiEnum;
use crate::sync::Start;

pub(super) fn register(builder: SchemaBuilder) -> SchemaBuilder {
    builder
        .register(KIND.register())
        .register(POLICY.register())
        .register(STATUS.register())
        .register(TAKEN.register())
        .register(RULE.register())
        .register(ERROR_CODE.register())
        .register(START.register())
        .register(SIDE.register())
}

pub(super) static KIND: ApiEnum<ChangeKind> = ApiEnum {
    name: "SyncChangeKind",
    description: "The kind of a change.",
    values: &[
        (
            ChangeKind::Upsert,
            "UPSERT",
            "The document is there, like this.",
        ),
        (ChangeKind::Delete, "DELETE", "The document is gone."),
        (
            ChangeKind::Revoke,
            "REVOKE",
            "The document left the scope `scope`; remove it if your copy is still of that scope.",
        ),
    ],
};

/// The policies from which a client may choose, if the model lets it.
pub(super) static POLICY: ApiEnum<Policy> = ApiEnum {
    name: "SyncPolicy",
    description: "What becomes of a stale change.",
    values: &[
        (
            Policy::ServerWins,
            "SERVER_WINS",
            "A stale change is not applied; its outcome shows the server's document.",
        ),
        (
            Policy::ClientWins,
            "CLIENT_WINS",
            "A stale change is applied.",
        ),
        (
            Policy::LastWriteWins,
            "LAST_WRITE_WINS",
            "Field by field, the later edit time wins.",
        ),
        (
            Policy::Merge,
            "MERGE",
            "Fields nobody else changed are applied; the others are joined as the model says.",
        ),
        (
            Policy::Manual,
            "MANUAL",
            "A stale change is kept in the inbox until a person resolves it.",
        ),
        (
            Policy::Webhook,
            "WEBHOOK",
            "The application decides what becomes of a stale change.",
        ),
    ],
};

pub(super) static STATUS: ApiEnum<Status> = ApiEnum {
    name: "SyncStatus",
    description: "What became of a change.",
    values: &[
        (
            Status::Applied,
            "APPLIED",
            "No other client had changed the document; the change is applied.",
        ),
        (
            Status::Merged,
            "MERGED",
            "Another client had changed the document; some or all of the change is applied.",
        ),
        (
            Status::Conflict,
            "CONFLICT",
            "Another client had changed the document; nothing of the change is applied.",
        ),
        (
            Status::Rejected,
            "REJECTED",
            "The change can never be applied; `error` says why.",
        ),
    ],
};

pub(super) static TAKEN: ApiEnum<Taken> = ApiEnum {
    name: "SyncTaken",
    description: "Whose value a field has now.",
    values: &[
        (Taken::Mine, "MINE", "Your value."),
        (Taken::Theirs, "THEIRS", "The server's value."),
        (Taken::Both, "BOTH", "Both, joined."),
    ],
};

pub(super) static RULE: ApiEnum<Rule> = ApiEnum {
    name: "SyncRule",
    description: "Why a field has the value it has now.",
    values: &[
        (
            Rule::NoOverlap,
            "NO_OVERLAP",
            "Nobody else had changed the field, or to the same value.",
        ),
        (Rule::Server, "SERVER", "The server wins."),
        (Rule::Client, "CLIENT", "The client wins."),
        (Rule::Latest, "LATEST", "The later edit wins."),
        (Rule::Counter, "COUNTER", "The differences were added up."),
        (
            Rule::Set,
            "SET",
            "What both had added and removed was added and removed.",
        ),
        (Rule::Text, "TEXT", "The sentences of both were joined."),
        (
            Rule::Items,
            "ITEMS",
            "What either side added to the list, removed, edited and moved holds.",
        ),
        (Rule::Max, "MAX", "The larger value wins."),
        (Rule::Min, "MIN", "The smaller value wins."),
        (
            Rule::Nested,
            "NESTED",
            "The fields of the embedded document were settled each by itself.",
        ),
        (
            Rule::Manual,
            "MANUAL",
            "Your value waits in the inbox; the server's value stays until a person resolves the conflict.",
        ),
        (Rule::Webhook, "WEBHOOK", "The application has decided."),
    ],
};

pub(super) static ERROR_CODE: ApiEnum<RejectionCode> = ApiEnum {
    name: "SyncErrorCode",
    description: "Why a change was rejected.",
    values: &RejectionCode::ALL,
};

pub(super) static START: ApiEnum<Start> = ApiEnum {
    name: "SyncStart",
    description: "Where a subscription starts.",
    values: &[
        (
            Start::Checkpoint,
            "CHECKPOINT",
            "At the checkpoint, or from nothing without one.",
        ),
        (
            Start::Now,
            "NOW",
            "At what is there now: for clients that pull by themselves.",
        ),
    ],
};

/// A side of a conflict that resolves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConflictSide {
    Mine,
    Theirs,
}

pub(super) static SIDE: ApiEnum<ConflictSide> = ApiEnum {
    name: "SyncSide",
    description: "A side of a conflict.",
    values: &[
        (
            ConflictSide::Mine,
            "MINE",
            "What the client had wanted that made the change.",
        ),
        (ConflictSide::Theirs, "THEIRS", "The document as it is."),
    ],
};
