//! Counts stored bytes and says when there is no more room (I7).

use std::sync::atomic::{AtomicU64, Ordering};

/// What transactions that let go of something may use past the bound.
const RESERVE_BYTES: u64 = 8 << 20;

/// The stored bytes of one store.
#[derive(Debug)]
pub(super) struct Meter {
    used: AtomicU64,
    max: u64,
    /// The use at the last refusal; the store counts as full until use has fallen below.
    full_at: AtomicU64,
}

impl Meter {
    pub(super) fn new(bytes_max: Option<u64>) -> Self {
        Self {
            used: AtomicU64::new(0),
            max: bytes_max.unwrap_or(u64::MAX),
            full_at: AtomicU64::new(u64::MAX),
        }
    }

    /// Takes room for `bytes` more.
    pub(super) fn take(&self, bytes: u64) -> Result<(), String> {
        self.take_within(bytes, self.max)
    }

    /// As [`Meter::take`], for what makes room in the end.
    pub(super) fn take_from_reserve(&self, bytes: u64) -> Result<(), String> {
        self.take_within(bytes, self.max.saturating_add(RESERVE_BYTES))
    }

    fn take_within(&self, bytes: u64, bound: u64) -> Result<(), String> {
        if bytes == 0 {
            return Ok(());
        }
        let grown = |used: u64| used.checked_add(bytes).filter(|&next| next <= bound);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown) {
            Ok(_) => Ok(()),
            Err(used) => {
                self.full_at.store(used, Ordering::Release);
                Err(format!("{used} of {} bytes are used, {bytes} more were asked for", self.max))
            }
        }
    }

    /// Gives room back.
    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Why the store is full, if it is.
    pub(super) fn full(&self) -> Option<String> {
        let used = self.used.load(Ordering::Acquire);
        let full = used >= self.full_at.load(Ordering::Acquire);
        full.then(|| format!("{used} of {} bytes are used", self.max))
    }
}
