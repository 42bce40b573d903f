//! Mistakes that the simulation (tests/sim) has to find: one at a time, in builds with the feature
//! `planted` alone. In every other build the question whether one is planted is answered when it is
//! compiled, and nothing is left of it.

macro_rules! mistakes {
    ($($(#[$doc:meta])* $mistake:ident = $name:literal,)*) => {
        /// A mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {$(
            $(#[$doc])*
            $mistake,
        )*}

        impl Mistake {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$mistake),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$mistake => $name,)*
                }
            }
        }
    };
}

mistakes! {
    /// The log says that entries are on disk before they are synced.
    AcknowledgedBeforeSync = "acknowledged-before-sync",
    /// A vote is kept in memory alone.
    VoteNotKept = "vote-not-kept",
    /// A truncation of the log is not written down.
    TruncationForgotten = "truncation-forgotten",
    /// A command that was answered before is carried out again.
    DuplicateUnseen = "duplicate-unseen",
    /// A follower counts as one that has entries which it was not sent, now and then.
    MinorityAnswers = "minority-answers",
    /// A linearizable read is answered from what the node happens to have.
    ReadUnconfirmed = "read-unconfirmed",
    /// A linearizable read is confirmed, and then does not wait for the state.
    ReadTooEarly = "read-too-early",
    /// A cancelled order keeps what it held.
    ReservationKept = "reservation-kept",
    /// A snapshot is sent without the end of its journal.
    SnapshotWithoutTail = "snapshot-without-tail",
    /// The journal says that it is synced and is not.
    JournalNotSynced = "journal-not-synced",
    /// A change of the state is lost now and then on one node, and nobody compares the digests.
    DigestsNotCompared = "digests-not-compared",
    /// Proposals are applied although one before them is missing.
    TicketUnchecked = "ticket-unchecked",
    /// Each node stamps records with its own clock.
    OwnClock = "own-clock",
    /// A session goes on after one of its requests was refused.
    SessionGoesOn = "session-goes-on",
    /// A node that asks for votes claims a log that it does not have.
    LogEndClaimed = "log-end-claimed",
    /// A node that comes back without its disk is taken for the one it was.
    DiskUnchecked = "disk-unchecked",
    /// A snapshot is taken for safe before it is synced.
    SnapshotNotSynced = "snapshot-not-synced",
    /// The commands that come with a snapshot are not noted as used.
    SnapshotIdsForgotten = "snapshot-ids-forgotten",
    /// A node keeps the membership that it had when it installs a snapshot.
    SnapshotMembershipForgotten = "snapshot-membership-forgotten",
}

/// The names of all of them.
#[must_use]
pub fn names() -> Vec<&'static str> {
    Mistake::ALL.iter().map(|mistake| mistake.name()).collect()
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

/// Plants the mistake of this name, for the whole process. Returns whether there is one.
#[cfg(feature = "planted")]
pub fn plant(name: &str) -> bool {
    let place = Mistake::ALL.iter().position(|mistake| mistake.name() == name);
    PLANTED.store(place.unwrap_or(usize::MAX), std::sync::atomic::Ordering::Relaxed);
    place.is_some()
}

/// Whether this mistake is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(mistake: Mistake) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == mistake as usize
}

/// Whether this mistake is planted: never, in this build.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline(always)]
pub const fn is(_: Mistake) -> bool {
    false
}
