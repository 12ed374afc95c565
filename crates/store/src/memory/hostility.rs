//! Decides what a hostile store does next; the doing stands in `hostile`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Everything that the contracts permit an engine to do, done on purpose and drawn from a seed.
///
/// Chances are in thousandths of the calls that they concern; 0 is never, 1,000 always. On one thread the same seed and the same
/// calls give the same history. [`Hostility::new`] turns on what a correct caller never lets its own callers notice; what must
/// surface as an error, the three chances at the end, is off until asked for.
#[derive(Debug, Clone)]
pub struct Hostility {
    /// Decides everything else.
    pub seed: u64,
    /// At most so many runs of a body see keys missing and end in [`crate::NotBrought`], one key a run; then all come at once.
    pub brings_max: u8,
    /// At most so many complete runs of a body are thrown away, whatever they returned.
    pub discards_max: u8,
    /// How often a body is shown what a key held before its last change. Keys come one by one, so that a run that does not count
    /// may see a mixture of states that never stood together.
    pub stale_per_mille: u16,
    /// At most so many times each step lets other tasks go first.
    pub yields_max: u8,
    /// How often a transaction that could commit answers [`crate::StoreError::Unknown`]: having committed, having been lost, or
    /// still on its way, to land or to be fenced off later.
    pub unknown_per_mille: u16,
    /// At most so many times [`crate::Index::settle`] cannot tell yet, for each transaction; seldom more than none.
    pub settle_unknown_max: u8,
    /// How often a page ends early: with fewer items than asked for, with none, or with a `resume` at the end of the range.
    pub short_page_per_mille: u16,
    /// How often a payload has another place than when it was last seen.
    pub relocation_per_mille: u16,
    /// How often a blob cannot be adopted or deleted for now.
    pub blob_move_fails_per_mille: u16,
    /// How often a transaction is turned away with [`crate::Rejection::Busy`].
    pub busy_per_mille: u16,
    /// How often a read of the index fails with [`crate::ReadError::Io`].
    pub read_fails_per_mille: u16,
    /// How often a blob cannot be created, written, finished, opened, duplicated or read: [`crate::BlobError::Io`].
    pub blob_fails_per_mille: u16,
}

impl Default for Hostility {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Hostility {
    /// As hostile as a store can be without any correct caller failing for it.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            brings_max: 4,
            discards_max: 2,
            stale_per_mille: 150,
            yields_max: 2,
            unknown_per_mille: 40,
            settle_unknown_max: 1,
            short_page_per_mille: 400,
            relocation_per_mille: 500,
            blob_move_fails_per_mille: 100,
            busy_per_mille: 0,
            read_fails_per_mille: 0,
            blob_fails_per_mille: 0,
        }
    }
}

/// A sequence of numbers that follows from its seed (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn roll(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to `most`.
    pub(super) fn up_to(&self, most: usize) -> usize {
        (self.roll() % (most as u64 + 1)) as usize
    }

    pub(super) fn chance(&self, per_mille: u16) -> bool {
        self.roll() % 1_000 < u64::from(per_mille)
    }
}
