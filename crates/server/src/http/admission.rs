//! How many bytes of bodies may be on their way through the process at once (I7).
//!
//! A request reserves what it can hold in memory at most, before its first byte is taken, and gives it back when it is done. Waiting
//! for more while holding some would let requests wait for one another for ever, so nothing waits a second time.
//!
//! Long bodies and those of unknown length share three quarters of an account, so that clients that stall in the middle of an
//! upload do not keep short appends out. Nor may they keep one another out: a long body holds its whole reservation only while the
//! account has room to spare and the client is fast; else it is *lean*, and passes through in small gulps. Uploads and downloads
//! have an account each.

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
pub(crate) struct Admission(Arc<Account>);

#[derive(Debug)]
struct Account {
    bytes: Arc<Semaphore>,
    /// The share of long bodies. Taken before `bytes`, so that no short body queues behind a long one.
    long: Arc<Semaphore>,
    long_total: u32,
    /// The most that one streamed body reserves: longer bodies pass through in pieces.
    each: u32,
    /// What a lean one reserves.
    lean: u32,
    /// What one that is kept whole reserves at most: more will never be free.
    whole_max: u32,
    wait: Duration,
    refusals: AtomicU64,
}

/// The address's own room, which is taken first; `None` where it has no bound of its own.
pub(crate) type Own<'a> = Option<&'a Arc<Semaphore>>;

/// A reservation; dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct Reserved {
    account: Admission,
    /// Of the address, of the long ones, of all.
    held: [Option<OwnedSemaphorePermit>; 3],
    /// What it is when it is not lean.
    whole: u32,
    lean: bool,
}

/// What the smallest request reserves: buffers of a connection are never free.
const LEAST: u32 = 4096;
/// The longest body that counts as short.
const SHORT_MAX: u32 = 64 << 10;

impl Admission {
    /// `total` bytes for all requests, of which an address has at most `own`; at most `each` for one request or `lean` for a lean
    /// one, and at most `wait` of waiting.
    pub(crate) fn new(total: u64, own: u64, each: u64, lean: u64, wait: Duration) -> Admission {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(2 * LEAST);
        let long_total = total - total / 4;
        let each = u32::try_from(each).unwrap_or(u32::MAX).clamp(LEAST, long_total);
        Admission(Arc::new(Account {
            bytes: Arc::new(Semaphore::new(total as usize)),
            long: Arc::new(Semaphore::new(long_total as usize)),
            long_total,
            each,
            whole_max: long_total.min(clamped(own)),
            lean: u32::try_from(lean).unwrap_or(u32::MAX).clamp(LEAST, each),
            wait,
            refusals: AtomicU64::new(0),
        }))
    }

    /// How often there was no room.
    pub(crate) fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// Whether so much is taken that long bodies are lean.
    pub(crate) fn is_crowded(&self) -> bool {
        self.0.long.available_permits() < self.0.long_total as usize / 2
    }

    /// Bytes that are reserved.
    pub(crate) fn reserved(&self) -> u64 {
        let total = u64::from(self.0.long_total) * 4 / 3;
        total.saturating_sub(self.0.bytes.available_permits() as u64)
    }

    /// Reserves for a body of `length` bytes (unknown: the most that a request may reserve) that passes through in pieces. `None`
    /// when the process, or the address, had no room within the time allowed.
    pub(crate) async fn reserve(&self, length: Option<u64>, own: Own<'_>) -> Option<Reserved> {
        let account = &*self.0;
        let whole = length.map_or(account.each, clamped).clamp(LEAST, account.each);
        if whole <= SHORT_MAX {
            return self.counted(self.take(whole, false, own).await);
        }
        // While half is free. Who comes later finds room for many lean ones.
        if !self.is_crowded()
            && let Some(reserved) = self.try_take(whole, true, own)
        {
            return Some(reserved);
        }
        let reserved = self.take(whole.min(account.lean), true, own).await;
        let lean = whole > account.lean;
        self.counted(reserved.map(|reserved| Reserved { whole, lean, ..reserved }))
    }

    /// The same for a body that is kept whole, of `length` bytes or, if that is unknown, of up to `limit`.
    pub(crate) async fn reserve_whole(
        &self,
        length: Option<u64>,
        limit: usize,
        own: Own<'_>,
    ) -> Option<Reserved> {
        let limit = limit as u64;
        let wanted = clamped(length.unwrap_or(limit).min(limit)).min(self.0.whole_max);
        self.counted(self.take(wanted.max(LEAST), wanted > SHORT_MAX, own).await)
    }

    /// Reserves `bytes` more for a request that holds some already, at once or not at all: those that wait while they hold some
    /// could wait for one another.
    pub(crate) fn reserve_more(&self, bytes: usize, own: Own<'_>) -> Option<Reserved> {
        self.counted(self.try_take(clamped(bytes as u64), true, own))
    }

    fn counted(&self, taken: Option<Reserved>) -> Option<Reserved> {
        if taken.is_none() {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// The accounts that bytes come from, in the order in which they are taken.
    fn accounts<'a>(&'a self, long: bool, own: Own<'a>) -> [Own<'a>; 3] {
        [own, long.then_some(&self.0.long), Some(&self.0.bytes)]
    }

    async fn take(&self, wanted: u32, long: bool, own: Own<'_>) -> Option<Reserved> {
        if let Some(reserved) = self.try_take(wanted, long, own) {
            return Some(reserved);
        }
        let until = Instant::now() + self.0.wait;
        let mut held = [const { None }; 3];
        for (place, account) in held.iter_mut().zip(self.accounts(long, own)) {
            let Some(account) = account else { continue };
            let room = Arc::clone(account).acquire_many_owned(wanted);
            *place = Some(tokio::time::timeout_at(until, room).await.ok()?.ok()?);
        }
        Some(Reserved { account: self.clone(), held, whole: wanted, lean: false })
    }

    fn try_take(&self, wanted: u32, long: bool, own: Own<'_>) -> Option<Reserved> {
        let mut held = [const { None }; 3];
        for (place, account) in held.iter_mut().zip(self.accounts(long, own)) {
            let Some(account) = account else { continue };
            *place = Some(Arc::clone(account).try_acquire_many_owned(wanted).ok()?);
        }
        Some(Reserved { account: self.clone(), held, whole: wanted, lean: false })
    }
}

impl Reserved {
    /// Whether it is small, and the body is to pass in small gulps.
    pub(crate) fn is_lean(&self) -> bool {
        self.lean
    }

    /// Whether it could be smaller.
    pub(crate) fn can_be_lean(&self) -> bool {
        self.lean || self.whole > self.account.0.lean
    }

    /// Gives back all but what a lean body needs. The body must hold no more than that.
    pub(crate) fn make_lean(&mut self) {
        if self.lean || !self.can_be_lean() {
            return;
        }
        let back = (self.whole - self.account.0.lean) as usize;
        for permit in self.held.iter_mut().flatten() {
            drop(permit.split(back));
        }
        self.lean = true;
    }

    /// Gives back what is more than `bytes`: it has turned out to be no longer.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        for permit in self.held.iter_mut().flatten() {
            let least = bytes.max(LEAST as usize);
            drop(permit.split(permit.num_permits().saturating_sub(least)));
        }
    }

    /// Takes the whole again, if there is room to spare at once.
    pub(crate) fn make_whole(&mut self) {
        let account = &self.account.0;
        if !self.lean || self.account.is_crowded() {
            return;
        }
        let more = self.whole - account.lean;
        let mut found = [const { None }; 3];
        for (place, permit) in found.iter_mut().zip(&self.held) {
            let Some(permit) = permit else { continue };
            match Arc::clone(permit.semaphore()).try_acquire_many_owned(more) {
                Ok(permit) => *place = Some(permit),
                Err(_) => return,
            }
        }
        for (permit, more) in self.held.iter_mut().zip(found) {
            if let (Some(permit), Some(more)) = (permit, more) {
                permit.merge(more);
            }
        }
        self.lean = false;
    }
}

fn clamped(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(50);

    fn free(admission: &Admission) -> usize {
        admission.0.bytes.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_account_turns_requests_away_and_takes_them_again_later() {
        let admission = Admission::new(1_000_000, 1_000_000, 700_000, 64 << 10, MS);
        let first = admission.reserve(Some(1 << 40), None).await.unwrap();
        assert_eq!(free(&admission), 300_000);
        assert!(admission.reserve(None, None).await.is_none());
        assert_eq!((admission.refusals(), admission.reserved()), (1, 700_000));
        drop(first);
        assert_eq!(free(&admission), 1_000_000);
        assert!(admission.reserve(None, None).await.is_some());
    }

    #[tokio::test]
    async fn small_requests_reserve_a_floor() {
        let admission = Admission::new(10_000, 10_000, 7_000, 7_000, MS);
        let _one = admission.reserve(Some(1), None).await.unwrap();
        assert_eq!(free(&admission), 10_000 - LEAST as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_leave_room_for_short_ones_and_the_late_are_lean() {
        let admission = Admission::new(4 << 20, 4 << 20, 1 << 20, 64 << 10, MS);
        let mut held = Vec::new();
        while let Some(reserved) = admission.reserve(None, None).await {
            held.push(reserved);
        }
        assert_eq!(held.iter().filter(|one| !one.is_lean()).count(), 2, "until half is taken");
        assert_eq!(held.iter().filter(|one| one.is_lean()).count(), 16, "three quarters in all");
        assert!(admission.reserve_whole(None, 2 << 20, None).await.is_none());
        assert!(admission.reserve(Some(u64::from(SHORT_MAX) - 1), None).await.is_some());
        drop(held);
        let whole = admission.reserve_whole(Some(1 << 40), 512 << 10, None).await.unwrap();
        assert_eq!(free(&admission), (4 << 20) - (512 << 10));
        drop(whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reservation_shrinks_and_grows_again_when_there_is_room() {
        let admission = Admission::new(4 << 20, 4 << 20, 2 << 20, 64 << 10, MS);
        let own = Arc::new(Semaphore::new(3 << 20));
        let mut one = admission.reserve(None, Some(&own)).await.unwrap();
        assert!(admission.reserve(None, Some(&own)).await.is_some_and(|other| other.is_lean()));
        one.make_lean();
        one.make_lean();
        assert_eq!(free(&admission), (4 << 20) - (64 << 10));
        assert_eq!(own.available_permits(), (3 << 20) - (64 << 10));
        let other = admission.reserve(None, None).await.unwrap();
        one.make_whole();
        assert!(one.is_lean(), "the other has what it wanted");
        drop(other);
        one.make_whole();
        assert!(!one.is_lean());
        assert_eq!(own.available_permits(), 1 << 20);
        drop(one);
        assert_eq!((free(&admission), own.available_permits()), (4 << 20, 3 << 20));
    }

    #[tokio::test]
    async fn what_was_not_needed_is_given_back_before_the_end() {
        let admission = Admission::new(4 << 20, 4 << 20, 1 << 20, 64 << 10, MS);
        let own = Arc::new(Semaphore::new(1 << 20));
        let mut one = admission.reserve_whole(Some(512 << 10), 1 << 20, Some(&own)).await.unwrap();
        one.shrink_to(1 << 20);
        assert_eq!(own.available_permits(), 512 << 10);
        one.shrink_to(100_000);
        one.shrink_to(200_000);
        assert_eq!(free(&admission), (4 << 20) - 100_000);
        assert_eq!(own.available_permits(), (1 << 20) - 100_000);
        one.shrink_to(0);
        drop(one);
        assert_eq!((free(&admission), own.available_permits()), (4 << 20, 1 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_has_its_share_waits_for_itself_only() {
        let admission = Admission::new(4 << 20, 4 << 20, 1 << 20, 64 << 10, MS);
        let (one, two) = (Arc::new(Semaphore::new(128 << 10)), Arc::new(Semaphore::new(128 << 10)));
        let held: Vec<_> = [admission.reserve(None, Some(&one)).await.unwrap()]
            .into_iter()
            .chain(admission.reserve(None, Some(&one)).await)
            .collect();
        assert_eq!(held.len(), 2);
        assert!(admission.reserve(Some(100), Some(&one)).await.is_none());
        assert!(admission.reserve(None, Some(&two)).await.is_some());
    }
}
