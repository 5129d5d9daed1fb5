//! All rules that can be broken here: in the gateway's own code, in a store, in a client.

use tidegate_core::mutant::Mutant;
use tidegate_testkit::client::Slip;

use crate::{Story, Violation, store::StoreFault, tell};

/// A broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// In the core or the service.
    Gateway(Mutant),
    /// In a store.
    Store(StoreFault),
    /// In a client.
    Client(Slip),
}

/// A broken rule in words.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    /// Which.
    pub fault: Fault,
    /// Its number in rules.md.
    pub rule: &'static str,
    /// What is done wrong.
    pub says: &'static str,
}

impl Broken {
    /// The name of its switch.
    pub fn name(&self) -> String {
        format!("{:?}", self.fault)
    }
}

/// All rules that are broken, each alone.
#[rustfmt::skip]
pub const CATALOGUE: [Broken; 108] = [
    Broken { fault: Fault::Gateway(Mutant::NoStart), rule: "2.1", says: "a position does not remember the scope's head at its beginning" },
    Broken { fault: Fault::Store(StoreFault::TwoSnapshots), rule: "2.2", says: "a page reads its records in another snapshot than heads and floors" },
    Broken { fault: Fault::Store(StoreFault::FloorReadFirst), rule: "2.2", says: "floors are read before everything else" },
    Broken { fault: Fault::Gateway(Mutant::BelowTheFloor), rule: "2.3", says: "a client below the floor goes on" },
    Broken { fault: Fault::Gateway(Mutant::OtherEpoch), rule: "2.4", says: "a client of another epoch goes on" },
    Broken { fault: Fault::Gateway(Mutant::AddedTypes), rule: "2.5", says: "types that a client adds are not caught up" },
    Broken { fault: Fault::Gateway(Mutant::UnknownBelowTheFloor), rule: "2.3", says: "positions of types that the gateway does not know count for continuity" },
    Broken { fault: Fault::Gateway(Mutant::UnknownTypesPassed), rule: "2.5", says: "a gateway passes types that it does not know" },
    Broken { fault: Fault::Gateway(Mutant::UnreadPassed), rule: "2.5a", says: "what a gateway cannot read is passed for good" },
    Broken { fault: Fault::Gateway(Mutant::TermIgnored), rule: "2.5a", says: "what a leading gateway cannot read is passed for good, also when another model leads" },
    Broken { fault: Fault::Gateway(Mutant::StartForgotten), rule: "2.5b", says: "a client that goes back forgets where it stood" },
    Broken { fault: Fault::Gateway(Mutant::StartAtHead), rule: "2.5b", says: "a client that goes back is taken to have had everything" },
    Broken { fault: Fault::Gateway(Mutant::RevokedScopeKept), rule: "2.6", says: "a revoked scope stays in the checkpoint" },
    Broken { fault: Fault::Gateway(Mutant::NoMore), rule: "2.7", says: "a full page says that there is no more" },
    Broken { fault: Fault::Gateway(Mutant::PastSent), rule: "2.8", says: "a client that begins a scope is sent what was removed before" },
    Broken { fault: Fault::Gateway(Mutant::RemovalsSparedToHead), rule: "2.8", says: "it is not sent what is removed while it reads" },
    Broken { fault: Fault::Gateway(Mutant::RemovalsSparedAlways), rule: "2.8", says: "a client that began a scope long ago is not sent removals either" },
    Broken { fault: Fault::Gateway(Mutant::SumsKeptByMoves), rule: "2.10", says: "a document that moves stays in the digest of the scope that it leaves" },
    Broken { fault: Fault::Gateway(Mutant::WithheldSummed), rule: "2.10", says: "withheld documents count in digests" },
    Broken { fault: Fault::Gateway(Mutant::DigestEarly), rule: "2.10", says: "a page has digests before the client has everything" },
    Broken { fault: Fault::Gateway(Mutant::DigestOfHidden), rule: "2.10", says: "a page has the digests of scopes of which it hides something" },
    Broken { fault: Fault::Gateway(Mutant::VersionsRestart), rule: "3.1", says: "versions begin at 1 again when an entry was collected" },
    Broken { fault: Fault::Gateway(Mutant::FloorStays), rule: "3.1", says: "`collect` leaves the floor where it was" },
    Broken { fault: Fault::Gateway(Mutant::SeqTwice), rule: "3.1", says: "a marker takes a seq that another write has" },
    Broken { fault: Fault::Gateway(Mutant::MarkerMissing), rule: "3.3", says: "no marker when a document is created again elsewhere" },
    Broken { fault: Fault::Gateway(Mutant::NotReplayed), rule: "4.2", says: "what was answered before is decided again" },
    Broken { fault: Fault::Gateway(Mutant::LastIdForgotten), rule: "4.2", says: "a client's last id is collected with the outcomes of its last push" },
    Broken { fault: Fault::Gateway(Mutant::HoleAccepted), rule: "4.2", says: "a push may leave mutation ids out" },
    Broken { fault: Fault::Gateway(Mutant::EpochBeforeRepeats), rule: "4.2", says: "the epoch is compared before repeats are known" },
    Broken { fault: Fault::Gateway(Mutant::ClientsUnbounded), rule: "4.2", says: "any number of clients of one user are remembered" },
    Broken { fault: Fault::Gateway(Mutant::LeftOutIsAbsent), rule: "4.3", says: "a document or a client that a transaction left out of what it loaded is taken for absent" },
    Broken { fault: Fault::Gateway(Mutant::AtomicHalf), rule: "4.3", says: "an atomic push keeps what it did before it failed" },
    Broken { fault: Fault::Gateway(Mutant::OutcomeShowsAll), rule: "4.3", says: "an outcome shows its document to every caller" },
    Broken { fault: Fault::Gateway(Mutant::AnyonesCreate), rule: "4.5", says: "base 0 stands for the present incarnation, whichever client began it" },
    Broken { fault: Fault::Gateway(Mutant::EditRevives), rule: "4.5", says: "an edit brings a deleted document back" },
    Broken { fault: Fault::Gateway(Mutant::CreateRevives), rule: "4.5", says: "a create replaces any tombstone" },
    Broken { fault: Fault::Gateway(Mutant::OldScopeOnly), rule: "4.6", says: "only the scope that a document is in counts, not the one it enters" },
    Broken { fault: Fault::Gateway(Mutant::NewScopeOnly), rule: "4.6", says: "only the scope that a document enters counts, not the one it is in" },
    Broken { fault: Fault::Gateway(Mutant::ImportsAnyway), rule: "4.6", says: "a change that fails takes over what another service wrote" },
    Broken { fault: Fault::Gateway(Mutant::DeclinedCounts), rule: "4.6", says: "memberships of declined givers count" },
    Broken { fault: Fault::Gateway(Mutant::LastWriter), rule: "4.7", says: "the last writer's edits are clean, however short its run" },
    Broken { fault: Fault::Gateway(Mutant::OwnFieldOverlaps), rule: "4.7", says: "a field written since the base overlaps, even if the same client wrote it" },
    Broken { fault: Fault::Gateway(Mutant::NothingOverlaps), rule: "4.7", says: "no field overlaps" },
    Broken { fault: Fault::Gateway(Mutant::Absolute), rule: "4.8", says: "differences are written as absolute values" },
    Broken { fault: Fault::Gateway(Mutant::RemovedItemStays), rule: "4.8", says: "an item that a client removes stays when lists are merged" },
    Broken { fault: Fault::Gateway(Mutant::InboxUnbounded), rule: "4.11", says: "any number of conflicts of one user and document wait" },
    Broken { fault: Fault::Gateway(Mutant::InboxShared), rule: "4.11", says: "the conflicts of all users of a document count together" },
    Broken { fault: Fault::Gateway(Mutant::AnyRight), rule: "4.14", says: "who may do something to documents of a type may do everything" },
    Broken { fault: Fault::Gateway(Mutant::FieldsFree), rule: "4.14", says: "who may write a document may write all of its fields" },
    Broken { fault: Fault::Gateway(Mutant::CreateOverwrites), rule: "4.14", says: "a create that meets a living document needs no UPDATE" },
    Broken { fault: Fault::Gateway(Mutant::ServerFieldsStay), rule: "4.15", says: "the gateway sets none of the fields that it keeps" },
    Broken { fault: Fault::Gateway(Mutant::HoldersUnread), rule: "4.16", says: "nobody asks who has a unique value" },
    Broken { fault: Fault::Gateway(Mutant::LeftStaysTaken), rule: "4.16", says: "a unique value that an earlier change of the transaction leaves stays taken" },
    Broken { fault: Fault::Gateway(Mutant::NoHoldBack), rule: "6.1", says: "a ring releases what comes in the order in which it comes" },
    Broken { fault: Fault::Gateway(Mutant::RingsSurvive), rule: "6.3", says: "rings go on after a restart of the tail" },
    Broken { fault: Fault::Gateway(Mutant::RingsUnread), rule: "6.3", says: "a subscription that memberships woke does not read the rings" },
    Broken { fault: Fault::Gateway(Mutant::RegisteredLate), rule: "6.4", says: "a scope is watched only after its page was read" },
    Broken { fault: Fault::Gateway(Mutant::LoserUnstamped), rule: "6.3", says: "a user who loses a membership is not stamped" },
    Broken { fault: Fault::Gateway(Mutant::StampIgnored), rule: "6.3", says: "memberships are not read again though their stamp moved" },
    Broken { fault: Fault::Gateway(Mutant::GrantsOnce), rule: "7", says: "open subscriptions do not read grants again" },
    Broken { fault: Fault::Gateway(Mutant::StampUnlocked), rule: "8.1", says: "an importer stamps what an earlier snapshot showed" },
    Broken { fault: Fault::Gateway(Mutant::PositionBeforeStamps), rule: "8.2", says: "a position is stored before the stamps of what came before it" },
    Broken { fault: Fault::Gateway(Mutant::PositionAfterScan), rule: "8.3", says: "the position is taken after the scan" },
    Broken { fault: Fault::Gateway(Mutant::LostUnscanned), rule: "8.4", says: "lost history leads to no scan" },
    Broken { fault: Fault::Gateway(Mutant::ScanOneWay), rule: "8.5", says: "a scan goes from the collection to the feed only" },
    Broken { fault: Fault::Gateway(Mutant::NothingHeld), rule: "8.6", says: "whatever is missing is deleted" },
    Broken { fault: Fault::Gateway(Mutant::StampUnfenced), rule: "8.9", says: "an importer that lost its lease goes on" },
    Broken { fault: Fault::Gateway(Mutant::DuplicatesShown), rule: "8.10", says: "what others write is shown though another document has its unique value" },
    Broken { fault: Fault::Gateway(Mutant::FreedUnproposed), rule: "8.10", says: "what waits for a unique value is not shown once that is free" },
    Broken { fault: Fault::Store(StoreFault::OthersUnheard), rule: "9.4", says: "an importer hears of no gateway's commits, also not of those with another model" },
    Broken { fault: Fault::Gateway(Mutant::LaterIgnored), rule: "9.1", says: "a gateway takes the lead though a later model is there" },
    Broken { fault: Fault::Gateway(Mutant::LeadUnscanned), rule: "9.5", says: "a change of the lead scans nothing" },
    Broken { fault: Fault::Gateway(Mutant::ImportedAlone), rule: "9.6", says: "a gateway whose model does not lead takes over what others wrote without a write of its own" },
    Broken { fault: Fault::Gateway(Mutant::OtherShapes), rule: "9.6", says: "a gateway whose model does not lead decides about types that the lead scopes otherwise" },
    Broken { fault: Fault::Gateway(Mutant::OthersDropped), rule: "9.7", says: "a write drops what its model does not name" },
    Broken { fault: Fault::Gateway(Mutant::ItemsGuessed), rule: "9.7", says: "an item that cannot be identified is written as a new one" },
    Broken { fault: Fault::Gateway(Mutant::MisplacedStays), rule: "9.9", says: "a stamp compares a document with its collection only, and not with the rules of the model" },
    Broken { fault: Fault::Gateway(Mutant::MovingShown), rule: "9.10", says: "a document that is still in another scope than its fields make is shown" },
    Broken { fault: Fault::Client(Slip::AnyPage), rule: "1.1", says: "the client takes pages that do not go on from where it stands" },
    Broken { fault: Fault::Client(Slip::VersionIgnored), rule: "1.2", says: "it takes what is older than what it has" },
    Broken { fault: Fault::Client(Slip::EqualIgnored), rule: "1.2", says: "a document of the version that it has changes nothing" },
    Broken { fault: Fault::Client(Slip::RevokeAnywhere), rule: "1.3", says: "a REVOKE removes the document wherever it went" },
    Broken { fault: Fault::Client(Slip::UnseenStay), rule: "1.4", says: "what a reset left unseen stays" },
    Broken { fault: Fault::Client(Slip::VersionsKept), rule: "1.4", says: "versions stay in another epoch" },
    Broken { fault: Fault::Client(Slip::RetryAltered), rule: "1.5", says: "a retry carries the newest base versions" },
    Broken { fault: Fault::Client(Slip::RemovalsForgotten), rule: "1.6", says: "removals are not remembered while a push is unanswered" },
    Broken { fault: Fault::Client(Slip::RemovalsGlobal), rule: "1.6", says: "a remembered REVOKE speaks of all scopes" },
    Broken { fault: Fault::Client(Slip::UnconfirmedStay), rule: "1.7", says: "what no pull confirms stays" },
    Broken { fault: Fault::Client(Slip::RefreshForgotten), rule: "1.17", says: "it asks only once to begin types again, though the page gets lost" },
    Broken { fault: Fault::Client(Slip::DigestAtOnce), rule: "1.18", says: "it compares digests with what an answer brought since" },
    Broken { fault: Fault::Client(Slip::ComparisonForgotten), rule: "1.18", says: "what an answer kept from being compared is not compared later either" },
    Broken { fault: Fault::Client(Slip::DifferenceUnsaid), rule: "1.18", says: "it reads again what differs, and does not report it" },
    Broken { fault: Fault::Client(Slip::NeverReread), rule: "1.18", says: "it reports what differs, and does not read it again" },
    Broken { fault: Fault::Client(Slip::RereadForgotten), rule: "1.18", says: "it asks only once to read a scope again, though the page gets lost" },
    Broken { fault: Fault::Client(Slip::RereadForEver), rule: "1.18", says: "it asks again for what differs after it was read again" },
    Broken { fault: Fault::Client(Slip::DoubtKept), rule: "1.18", says: "it never asks again for what differed after it was read again, after a start either" },
    Broken { fault: Fault::Client(Slip::SameClientId), rule: "4.4", says: "the client keeps its client id in another epoch" },
    Broken { fault: Fault::Client(Slip::BasesKept), rule: "4.4", says: "it keeps its base versions in another epoch" },
    Broken { fault: Fault::Client(Slip::ViewAbsolute), rule: "1.8", says: "the view shows what was set, and not what is added" },
    Broken { fault: Fault::Client(Slip::SentJoined), rule: "1.8", says: "the view adds what was sent to a page that may hold it" },
    Broken { fault: Fault::Client(Slip::BaseOfHeld), rule: "1.9", says: "`base` has the values of the kept document" },
    Broken { fault: Fault::Client(Slip::SplitUnasked), rule: "1.12", says: "a push that does not fit is refused without asking whether it was applied before" },
    Broken { fault: Fault::Client(Slip::ReusedSentAgain), rule: "1.13", says: "the client sends again what consumed its ids" },
    Broken { fault: Fault::Client(Slip::RestForgotten), rule: "1.13", says: "it sends again what an earlier copy carried beside the push" },
    Broken { fault: Fault::Client(Slip::RestOfTransaction), rule: "1.13", says: "it sends the rest of a transaction when another push has some of its ids" },
    Broken { fault: Fault::Client(Slip::TransactionTorn), rule: "1.15", says: "an edit of a transaction is dropped alone" },
    Broken { fault: Fault::Client(Slip::DroppedUnsaid), rule: "1.15", says: "what is dropped has no outcome" },
    Broken { fault: Fault::Client(Slip::QueueKept), rule: "1.15", says: "it sends what it had queued on a create that failed" },
];

/// The first of the histories with these seeds that shows the broken rule, and how.
pub fn catch(fault: Fault, mut seeds: impl Iterator<Item = u64>) -> Option<(Story, Violation)> {
    seeds.find_map(|seed| {
        let story = match needs_two_models(fault) {
            true => Story::of_two_models(seed),
            false => Story::of(seed),
        };
        let story = story.with(fault);
        let violation = tell(&story).err()?;
        Some((story, violation))
    })
}

/// Whether only gateways of two models show the broken rule.
fn needs_two_models(fault: Fault) -> bool {
    use Mutant::{
        DigestOfHidden, ImportedAlone, LaterIgnored, LeadUnscanned, MisplacedStays, MovingShown,
        OtherShapes, OthersDropped, StartAtHead, StartForgotten, TermIgnored, UnknownBelowTheFloor,
        UnknownTypesPassed, UnreadPassed,
    };
    match fault {
        Fault::Gateway(mutant) => matches!(
            mutant,
            DigestOfHidden
                | ImportedAlone
                | LaterIgnored
                | LeadUnscanned
                | MisplacedStays
                | MovingShown
                | OtherShapes
                | OthersDropped
                | StartAtHead
                | StartForgotten
                | TermIgnored
                | UnknownBelowTheFloor
                | UnknownTypesPassed
                | UnreadPassed
        ),
        Fault::Client(slip) => matches!(slip, Slip::EqualIgnored | Slip::RefreshForgotten),
        Fault::Store(fault) => fault == StoreFault::OthersUnheard,
    }
}
