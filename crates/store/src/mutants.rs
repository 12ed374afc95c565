//! Faults planted on purpose, so that the tests which look for such faults can be tested themselves.
//!
//! With the feature `mutants` one of them may be switched on for a process by the environment variable `OSSIA_MUTANT`; without the
//! feature [`on`] is a constant `false` and nothing of them is left in a program. Each is planted where a tired author could have
//! made it. They stand here, in the crate that both an engine and the object layer know, so that one list is the whole list.
//!
//! A release build with the feature is refused.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants faults that lose data: never in a release build");

/// The environment variable that names the fault of this process.
pub const VARIABLE: &str = "OSSIA_MUTANT";

macro_rules! mutants {
    ($($(#[doc = $what:literal])+ $variant:ident = $name:literal, seen by $seen:literal;)+) => {
        /// A planted fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {$(
            $(#[doc = $what])+
            #[doc = ""]
            #[doc = concat!("Should be seen by: ", $seen, ".")]
            $variant,
        )+}

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What `OSSIA_MUTANT` calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The kind of run that should see it.
            pub const fn seen_by(self) -> &'static str {
                match self { $(Self::$variant => $seen),+ }
            }

            /// What is wrong, in one line.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => concat!($($what),+)),+ }
            }
        }
    };
}

mutants! {
    /// The commit thread publishes and answers a group, and syncs it afterwards.
    AckBeforeSync = "ack-before-sync", seen by "power cut";
    /// A refusal that tells of a write in flight is answered at once, before that write is durable (I4).
    RefusalBeforeSync = "refusal-before-sync", seen by "power cut";
    /// A group without payloads, as deletes make, is answered without a sync of its own.
    DeleteUnsynced = "delete-unsynced", seen by "power cut";
    /// The journal's folder is not synced after a segment got its name.
    SegmentFolderUnsynced = "segment-folder-unsynced", seen by "power cut";
    /// A blob's folder is not synced before its staged name goes.
    BlobFolderUnsynced = "blob-folder-unsynced", seen by "power cut";
    /// A blob gets its finished name, and is named by the index, without a sync of its file.
    BlobUnsynced = "blob-unsynced", seen by "power cut";
    /// A group is answered when it is durable, and published with the next one.
    ReplyBeforePublish = "reply-before-publish", seen by "racing clients";
    /// A read of one key looks one sequence number into the past.
    StaleSnapshot = "stale-snapshot", seen by "racing clients";
    /// The position of an append is compared before its body is read, and not in the transaction.
    PositionOnlyEarly = "position-only-early", seen by "racing clients";
    /// The reaper waits for nobody who reads.
    EagerReaper = "eager-reaper", seen by "long download with delete";
    /// A delete writes the tombstone in one transaction and removes the head in the next.
    DeleteInTwoSteps = "delete-in-two-steps", seen by "power cut, racing clients";
    /// A version that another one comes on top of is let go, and not kept.
    OlderForgotten = "older-forgotten", seen by "power cut, racing clients";
    /// A version that is named is removed, whatever retention or hold it has.
    HoldIgnored = "hold-ignored", seen by "power cut";
    /// A failed sync of the journal is logged, and the group is answered.
    SwallowedSyncError = "swallowed-sync-error", seen by "sync fault";
    /// Recovery cuts the last group that it finds even where that is whole.
    WrongCut = "wrong-cut", seen by "power cut";
    /// Recovery does not look whether the last group is whole.
    TornGroupServed = "torn-group-served", seen by "power cut";
    /// A start takes the tree's own highest number for the frame that its tables reach to.
    CheckpointFromTree = "checkpoint-from-tree", seen by "power cut";
    /// A segment is used again once it is empty, though no checkpoint has passed it.
    RecycledEarly = "recycled-early", seen by "power cut";
    /// What is moved out of a segment is not synced before the index names its new place.
    EvacuationUnsynced = "evacuation-unsynced", seen by "power cut";
    /// What is left of a completed upload is cleared as if it had been aborted: with the object's bytes.
    CompletedCleared = "completed-cleared", seen by "power cut, racing clients";
    /// A completion does not look whether parts have come since it began.
    CompletedStale = "completed-stale", seen by "racing clients";
}

impl Mutant {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}

/// The fault of this process, if any.
///
/// # Panics
/// When the variable names none: a run that looks for a fault must not run without it.
#[cfg(feature = "mutants")]
pub fn chosen() -> Option<Mutant> {
    static CHOSEN: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        let mutant = Mutant::named(&name);
        assert!(
            mutant.is_some(),
            "{VARIABLE}={name} is no planted fault; `ossia mutants` lists them"
        );
        mutant
    })
}

/// Whether this fault is switched on.
#[cfg(feature = "mutants")]
pub fn on(mutant: Mutant) -> bool {
    chosen() == Some(mutant)
}

/// Whether this fault is switched on: never, without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn on(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::named(mutant.name()), Some(*mutant));
            assert!(!mutant.what().is_empty() && !mutant.seen_by().is_empty());
        }
        assert_eq!(Mutant::named("none"), None);
    }
}
