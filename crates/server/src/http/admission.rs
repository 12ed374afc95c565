//! How many bytes of bodies may be on their way through the process at once (I7).
//!
//! A request reserves what it can hold in memory at most, before its first byte is taken, and gives it back when it is done.
//! Reserving up front, not chunk by chunk, keeps requests that each hold a part from waiting for one another for ever.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The shared account of body bytes.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    bytes: Arc<Semaphore>,
    /// The most that one request reserves: longer bodies pass through in pieces.
    each: u32,
    wait: Duration,
}

/// A reservation; dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Reserved {
    _permit: OwnedSemaphorePermit,
}

/// What the smallest request reserves: buffers of a connection are never free.
const LEAST: u32 = 4096;

impl Admission {
    /// `total` bytes for the whole process, at most `each` for one request, and at most `wait` of waiting for them.
    pub(crate) fn new(total: u64, each: u64, wait: Duration) -> Admission {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(LEAST);
        let each = u32::try_from(each).unwrap_or(u32::MAX).clamp(LEAST, total);
        Admission { bytes: Arc::new(Semaphore::new(total as usize)), each, wait }
    }

    /// Reserves for a body of `length` bytes (unknown: the most that a request may reserve). `None` when the process had no room
    /// within the time allowed.
    pub(crate) async fn reserve(&self, length: Option<u64>) -> Option<Reserved> {
        let wanted = length.map_or(self.each, |l| u32::try_from(l).unwrap_or(u32::MAX));
        let wanted = wanted.clamp(LEAST, self.each);
        let bytes = Arc::clone(&self.bytes);
        if let Ok(permit) = Arc::clone(&bytes).try_acquire_many_owned(wanted) {
            return Some(Reserved { _permit: permit });
        }
        match tokio::time::timeout(self.wait, bytes.acquire_many_owned(wanted)).await {
            Ok(Ok(permit)) => Some(Reserved { _permit: permit }),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_account_turns_requests_away_and_takes_them_again_later() {
        let admission = Admission::new(10_000, 8_000, Duration::from_millis(50));
        let first = admission.reserve(Some(1 << 40)).await.unwrap();
        assert_eq!(admission.bytes.available_permits(), 2_000);
        assert!(admission.reserve(None).await.is_none());
        drop(first);
        assert_eq!(admission.bytes.available_permits(), 10_000);
        assert!(admission.reserve(None).await.is_some());
    }

    #[tokio::test]
    async fn small_requests_reserve_a_floor() {
        let admission = Admission::new(10_000, 8_000, Duration::from_millis(50));
        let _one = admission.reserve(Some(1)).await.unwrap();
        assert_eq!(admission.bytes.available_permits(), 10_000 - LEAST as usize);
    }
}
