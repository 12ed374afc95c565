//! How many bytes of bodies may be on their way through the process at once (I7).
//!
//! A request reserves what it can hold in memory at most, before its first byte is taken, and gives it back when it is done.
//! Reserving up front, not chunk by chunk, keeps requests that each hold a part from waiting for one another for ever.
//!
//! Long bodies and those of unknown length share three quarters of an account: a few hundred clients that stall in the middle of
//! an upload must not keep short appends out. Uploads and downloads have an account each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// An account of body bytes.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    bytes: Arc<Semaphore>,
    /// The share of long bodies. Taken before `bytes`, so that no short body queues behind a long one.
    long: Arc<Semaphore>,
    long_total: u32,
    /// The most that one streamed body reserves: longer bodies pass through in pieces.
    each: u32,
    wait: Duration,
    refusals: Arc<AtomicU64>,
}

/// A reservation; dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Reserved {
    _bytes: OwnedSemaphorePermit,
    _long: Option<OwnedSemaphorePermit>,
}

/// What the smallest request reserves: buffers of a connection are never free.
const LEAST: u32 = 4096;
/// The longest body that counts as short.
const SHORT_MAX: u32 = 64 << 10;

impl Admission {
    /// `total` bytes for all requests, at most `each` for one request, and at most `wait` of waiting for them.
    pub(crate) fn new(total: u64, each: u64, wait: Duration) -> Admission {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(2 * LEAST);
        let long_total = total - total / 4;
        let each = u32::try_from(each).unwrap_or(u32::MAX).clamp(LEAST, long_total);
        Admission {
            bytes: Arc::new(Semaphore::new(total as usize)),
            long: Arc::new(Semaphore::new(long_total as usize)),
            long_total,
            each,
            wait,
            refusals: Arc::default(),
        }
    }

    /// How often there was no room.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Reserves for a body of `length` bytes (unknown: the most that a request may reserve) that passes through in pieces. `None`
    /// when the process had no room within the time allowed.
    pub(crate) async fn reserve(&self, length: Option<u64>) -> Option<Reserved> {
        self.take(length.map_or(self.each, clamped).min(self.each)).await
    }

    /// The same for a body that is kept whole, of `length` bytes or, if that is unknown, of up to `limit`.
    pub(crate) async fn reserve_whole(
        &self,
        length: Option<u64>,
        limit: usize,
    ) -> Option<Reserved> {
        let limit = limit as u64;
        self.take(clamped(length.unwrap_or(limit).min(limit)).min(self.long_total)).await
    }

    async fn take(&self, wanted: u32) -> Option<Reserved> {
        let taken = self.take_in_time(wanted).await;
        if taken.is_none() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    async fn take_in_time(&self, wanted: u32) -> Option<Reserved> {
        let wanted = wanted.max(LEAST);
        let until = Instant::now() + self.wait;
        let long = match wanted > SHORT_MAX {
            true => Some(acquire(&self.long, wanted, until).await?),
            false => None,
        };
        let bytes = acquire(&self.bytes, wanted, until).await?;
        Some(Reserved { _bytes: bytes, _long: long })
    }
}

fn clamped(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

async fn acquire(
    account: &Arc<Semaphore>,
    wanted: u32,
    until: Instant,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(account).try_acquire_many_owned(wanted) {
        return Some(permit);
    }
    let room = Arc::clone(account).acquire_many_owned(wanted);
    tokio::time::timeout_at(until, room).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_account_turns_requests_away_and_takes_them_again_later() {
        let admission = Admission::new(1_000_000, 700_000, Duration::from_millis(50));
        let first = admission.reserve(Some(1 << 40)).await.unwrap();
        assert_eq!(admission.bytes.available_permits(), 300_000);
        assert!(admission.reserve(None).await.is_none());
        assert_eq!(admission.refusals(), 1);
        drop(first);
        assert_eq!(admission.bytes.available_permits(), 1_000_000);
        assert!(admission.reserve(None).await.is_some());
    }

    #[tokio::test]
    async fn small_requests_reserve_a_floor() {
        let admission = Admission::new(10_000, 7_000, Duration::from_millis(50));
        let _one = admission.reserve(Some(1)).await.unwrap();
        assert_eq!(admission.bytes.available_permits(), 10_000 - LEAST as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_leave_room_for_short_ones() {
        let admission = Admission::new(1 << 20, 128 << 10, Duration::from_millis(50));
        let mut held = Vec::new();
        while let Some(reserved) = admission.reserve(None).await {
            held.push(reserved);
        }
        assert_eq!(held.len(), 6, "three quarters of the account");
        assert!(admission.reserve_whole(None, 2 << 20).await.is_none());
        assert!(admission.reserve(Some(u64::from(SHORT_MAX))).await.is_some());
        drop(held);
        let whole = admission.reserve_whole(Some(1 << 40), 512 << 10).await.unwrap();
        assert_eq!(admission.bytes.available_permits(), 512 << 10);
        drop(whole);
    }
}
