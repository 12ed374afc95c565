//! Keeps the log small whatever clients do.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Lets one message through a second: a full disk under load would otherwise fill the log as well.
#[derive(Debug)]
pub(crate) struct Rarely {
    next_ms: AtomicU64,
}

impl Rarely {
    /// One that lets the first message through.
    pub(crate) const fn new() -> Rarely {
        Rarely { next_ms: AtomicU64::new(0) }
    }

    /// Whether a message may pass now.
    pub(crate) fn now(&self) -> bool {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_ms.load(Ordering::Relaxed);
        let later = now.saturating_add(1000);
        now >= next
            && self
                .next_ms
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_a_second_passes() {
        let rarely = Rarely::new();
        assert!(rarely.now());
        assert!((0..1000).all(|_| !rarely.now()));
    }
}
