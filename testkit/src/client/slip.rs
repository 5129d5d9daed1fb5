//! The broken-rule switches of the reference client: each lets it break one rule.

/// What a client may get wrong (numbers are those of rules.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// Section 1: it takes pages that do not go on from where it stands.
    AnyPage,
    /// 1.2: it takes what is older than what it has.
    VersionIgnored,
    /// 1.3: a REVOKE removes the document wherever it went.
    RevokeAnywhere,
    /// 1.4: what a reset left unseen stays.
    UnseenStay,
    /// 1.4: versions stay in another epoch.
    VersionsKept,
    /// 1.5: a retry carries the newest base versions.
    RetryAltered,
    /// 1.6: removals are not remembered while a push is unanswered.
    RemovalsForgotten,
    /// 1.6: a remembered REVOKE speaks of all scopes.
    RemovalsGlobal,
    /// 1.7: what no pull confirms stays.
    UnconfirmedStay,
    /// 4.4: it keeps its client id in another epoch.
    SameClientId,
    /// 4.4: it keeps its base versions in another epoch.
    BasesKept,
    /// 4.5: it sends what it had queued on a create that failed.
    QueueKept,
}
