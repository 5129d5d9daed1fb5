//! Switches that break one rule each. The simulation turns them on one at a time and shows that it notices.
//!
//! Only the feature `mutants` compiles them, and only tests turn it on. Everywhere else [`is_active`] is a constant
//! `false`, and nothing of them remains. This module names the broken rules; the code that calls `is_active` breaks them.

/// A rule taken out (numbers are those of rules.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// 2.1: a position does not remember where the scope's head was when the client began.
    NoStart,
    /// 2.3: a client below the floor continues.
    BelowTheFloor,
    /// 2.4: a client of another epoch continues.
    OtherEpoch,
    /// 2.5: types that a client adds are not caught up.
    AddedTypes,
    /// 2.3: a track of types that the gateway does not know counts for continuity.
    UnknownBelowTheFloor,
    /// 2.5: a gateway moves types that it does not know with those that it reads.
    UnknownTypesPassed,
    /// 2.5a: what a reader cannot show is passed for good.
    UnreadPassed,
    /// 2.5a: what a leading gateway cannot show is passed for good, also when another one leads.
    TermIgnored,
    /// 2.5b: a client that goes back forgets where it stood.
    StartForgotten,
    /// 2.5b: a client that goes back is taken to have had everything.
    StartAtHead,
    /// 2.6: a revoked scope is reported and kept in the checkpoint.
    RevokedScopeKept,
    /// 2.7: a full page says that there is no more.
    NoMore,
    /// 2.8: a client that begins a scope gets what was removed before.
    PastSent,
    /// 2.8: a client that begins a scope does not get what is removed while it reads.
    RemovalsSparedToHead,
    /// 2.8: a client that began a scope long ago gets no removals either.
    RemovalsSparedAlways,
    /// 2.10: a document that moves stays in the digest of the scope that it leaves.
    SumsKeptByMoves,
    /// 2.10: withheld documents count in digests.
    WithheldSummed,
    /// 2.10: a page has digests before the client has everything.
    DigestEarly,
    /// 2.10: a page has the digests of scopes of which it hides something.
    DigestOfHidden,
    /// 3.1: a version begins at 1 again when the entry was collected.
    VersionsRestart,
    /// 3.1: `collect` leaves the floor where it was.
    FloorStays,
    /// 3.1: a marker takes a seq that another write of its scope has.
    SeqTwice,
    /// 3.3: no marker when a document is created again elsewhere.
    MarkerMissing,
    /// 4.2: a repeated push is decided again.
    NotReplayed,
    /// 4.2: a client's last id is collected with the outcomes of its last push.
    LastIdForgotten,
    /// 4.2: a push may skip ids.
    HoleAccepted,
    /// 4.2: any number of clients of one user are remembered.
    ClientsUnbounded,
    /// 4.2: the epoch is compared before repeats are known.
    EpochBeforeRepeats,
    /// 4.3: a document, a conflict or a client that a transaction left out of what it loaded is taken for absent.
    LeftOutIsAbsent,
    /// 4.3: an atomic push keeps what it did before it failed.
    AtomicHalf,
    /// 4.3: an outcome shows its document to every caller.
    OutcomeShowsAll,
    /// 4.5: base 0 stands for the present incarnation, whichever client began it.
    AnyonesCreate,
    /// 4.5: an edit brings a deleted document back.
    EditRevives,
    /// 4.5: a create replaces any tombstone.
    CreateRevives,
    /// 4.6: only the scope that a document is in counts, not the one it enters.
    OldScopeOnly,
    /// 4.6: only the scope that a document enters counts, not the one it is in.
    NewScopeOnly,
    /// 4.6: a change that fails takes over others' writes.
    ImportsAnyway,
    /// 4.6: memberships of declined givers count.
    DeclinedCounts,
    /// 4.7: the last writer's edits are clean, however short its run is.
    LastWriter,
    /// 4.7: a field written since the base overlaps, even if the same client wrote it.
    OwnFieldOverlaps,
    /// 4.7: fields never overlap.
    NothingOverlaps,
    /// 4.8: differences are written as absolute values.
    Absolute,
    /// 4.8: an item that a client removes stays when lists are merged.
    RemovedItemStays,
    /// 4.11: any number of conflicts of one user and document wait.
    InboxUnbounded,
    /// 4.11: the conflicts of all users of a document count together.
    InboxShared,
    /// 4.14: who may do something to documents of a type may do everything.
    AnyRight,
    /// 4.14: everybody who may write a document may write all of its fields.
    FieldsFree,
    /// 4.14: a create that meets a living document needs no UPDATE.
    CreateOverwrites,
    /// 4.15: the gateway sets none of the fields that it keeps.
    ServerFieldsStay,
    /// 4.16: nobody asks who has a unique value.
    HoldersUnread,
    /// 4.16: a unique value that an earlier change of the transaction leaves stays taken.
    LeftStaysTaken,
    /// 6.1: a ring releases writes in the order of their arrival.
    NoHoldBack,
    /// 6.3: rings continue after a restart of the tail.
    RingsSurvive,
    /// 6.3: a subscription that memberships woke does not read the rings.
    RingsUnread,
    /// 6.4: a scope is watched only after its page was read, and not read again.
    RegisteredLate,
    /// 6.3: a user who loses a membership gets no new stamp, only one who receives one.
    LoserUnstamped,
    /// 6.3: a user's memberships are not read again although the stamp rose.
    StampIgnored,
    /// Section 7: open subscriptions do not read grants again.
    GrantsOnce,
    /// 8.1: an importer stamps what an earlier snapshot showed.
    StampUnlocked,
    /// 8.2: a position is stored before the stamps of what came before it.
    PositionBeforeStamps,
    /// 8.3: the position is taken after the first scan.
    PositionAfterScan,
    /// 8.3: a scan's cursor is stored before its stamps.
    CursorBeforeStamps,
    /// 8.4: lost history leads to no scan.
    LostUnscanned,
    /// 8.5: a scan goes from the collection to the feed only.
    ScanOneWay,
    /// 8.6: a scan deletes whatever is missing.
    NothingHeld,
    /// 8.9: an importer that lost its lease goes on.
    StampUnfenced,
    /// 8.10: what others write is shown though another document has its unique value.
    DuplicatesShown,
    /// 8.10: an importer never proposes what waits for a unique value.
    FreedUnproposed,
    /// 9.1: a gateway takes the lead though a later model is there.
    LaterIgnored,
    /// 9.5: a change of the lead scans nothing.
    LeadUnscanned,
    /// 9.6: a gateway whose model does not lead takes over others' writes without a write of the document.
    ImportedAlone,
    /// 9.6: a gateway whose model does not lead decides about types that the lead scopes otherwise.
    OtherShapes,
    /// 9.7: a write drops what its model does not name.
    OthersDropped,
    /// 9.7: an item that cannot be identified is written as a new one.
    ItemsGuessed,
    /// 9.9: a stamp compares a document with its collection only, and not with the rules of the model.
    MisplacedStays,
    /// 9.10, 9.11: a document that is still in another scope than its fields make is shown, and memberships that are not
    /// stamped count.
    MovingShown,
}

/// Whether this rule is broken on this thread.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn is_active(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switched::{is_active, switch};

#[cfg(feature = "mutants")]
mod switched {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this rule is broken on this thread.
    pub fn is_active(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Breaks this rule on this thread, or none with `None`.
    pub fn switch(mutant: Option<Mutant>) {
        ON.set(mutant);
    }
}
