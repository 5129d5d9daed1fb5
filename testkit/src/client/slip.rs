//! The broken-rule switches of the reference client: each lets it break one rule.

/// A rule that a client may break (numbers are those of rules.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// Section 1: it takes pages that do not continue from its position.
    AnyPage,
    /// 1.2: it takes older versions than it has.
    VersionIgnored,
    /// 1.2: an UPSERT of the version that it has changes nothing.
    EqualIgnored,
    /// 1.3: a REVOKE removes the document wherever it moved.
    RevokeAnywhere,
    /// 1.4: documents that a reset left unseen stay.
    UnseenStay,
    /// 1.4: versions stay in another epoch.
    VersionsKept,
    /// 1.5: a retry carries the newest base versions.
    RetryAltered,
    /// 1.6: removals are not remembered while a push is unanswered.
    RemovalsForgotten,
    /// 1.6: a remembered REVOKE speaks of all scopes.
    RemovalsGlobal,
    /// 1.7: documents that no pull confirms stay.
    UnconfirmedStay,
    /// 1.18: it compares digests with what an answer brought since.
    DigestAtOnce,
    /// 1.18: what an answer kept from being compared is not compared later either.
    ComparisonForgotten,
    /// 1.18: it reads again what differs, and does not report it.
    DifferenceUnsaid,
    /// 1.18: it reports what differs, and does not read it again.
    NeverReread,
    /// 1.18: it asks only once to read a scope again, though the page may get lost.
    RereadForgotten,
    /// 1.18: it asks again for a scope that differs after it was read again.
    RereadForEver,
    /// 1.18: it does not ask again, after a start either, for a scope that differed after it was read again.
    DoubtKept,
    /// 1.18: it takes scopes that a page does not name for equal.
    UnnamedEqual,
    /// 4.4: it keeps its client id in another epoch.
    SameClientId,
    /// 4.4: it keeps its base versions in another epoch.
    BasesKept,
    /// 4.5: it sends what it had queued on a create that failed.
    QueueKept,
    /// 1.8: the view shows counters and sets as they were edited.
    ViewAbsolute,
    /// 1.8: an edit is joined with what is shown also after it was sent.
    SentJoined,
    /// 1.9: `base` has the values of the kept document.
    BaseOfHeld,
    /// 1.10: an update is folded into an earlier one that the view shows otherwise by now.
    FoldedUnshown,
    /// 1.12: it splits or refuses a push without asking whether an earlier copy was applied.
    SplitUnasked,
    /// 1.13: it sends again what consumed its ids.
    ReusedSentAgain,
    /// 1.13: it sends again what an earlier copy carried beside the push.
    RestForgotten,
    /// 1.13: it sends the rest of a transaction when another push has consumed some of its ids.
    RestOfTransaction,
    /// 1.15: an edit of a transaction is dropped alone.
    TransactionTorn,
    /// 1.15: what it drops has no outcome.
    DroppedUnsaid,
    /// 1.17: it asks only once to begin types again, though the page may get lost.
    RefreshForgotten,
}
