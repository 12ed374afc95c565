//! Which segments of the journal are in use.
//!
//! ```text
//!      given up        emptied, not given up    may hold payloads           written
//! ... ---------------|-----------------------|---------------------------|----------
//!                given_up                 emptied                      active
//! ```
//!
//! A segment is *emptied* when nothing that the index names stands in it any more. It is *given up*, and its file used again, only
//! when a checkpoint that says so is in the index's tables and their manifest has its copy: until then a start may need it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ossia_store::mutants::{self, Mutant};

/// Segments that admission keeps for deletes and for the work that empties others; without them a full journal would stay full.
const RESERVED: u64 = 2;

/// The journal's segments in use, by their numbers.
#[derive(Debug)]
pub(crate) struct Span {
    active: AtomicU64,
    emptied: AtomicU64,
    given_up: AtomicU64,
    /// Segments below this are not needed by a start from the tables as they are.
    in_tables: AtomicU64,
    /// Nor by one from the copies of their manifest.
    passed: AtomicU64,
    /// Sealed memtables with the bound that holds once they are flushed.
    sealed: Mutex<Vec<(u64, u64)>>,
    rotation_wanted: AtomicBool,
    holds: Mutex<Holds>,
    segments_max: u64,
}

/// How many need every segment, and every file of the value log, to stay as it is.
#[derive(Debug, Default)]
struct Holds {
    segments: usize,
    values: usize,
}

impl Span {
    /// `first`: the lowest segment that stands; `oldest`: the first that may hold anything, as the checkpoint says; `active`: the one
    /// being written.
    pub(crate) fn new(first: u64, oldest: u64, active: u64, segments_max: u64) -> Self {
        Self {
            active: AtomicU64::new(active),
            emptied: AtomicU64::new(oldest),
            given_up: AtomicU64::new(first),
            in_tables: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            sealed: Mutex::default(),
            rotation_wanted: AtomicBool::new(false),
            holds: Mutex::default(),
            segments_max,
        }
    }

    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    /// Notes which segment is written; whether that is another one than before.
    pub(crate) fn advance(&self, segment: u64) -> bool {
        self.active.swap(segment, Ordering::AcqRel) != segment
    }

    /// The oldest segment that may hold a payload.
    pub(crate) fn emptied(&self) -> u64 {
        self.emptied.load(Ordering::Acquire)
    }

    /// Everything below `segment` is empty.
    pub(crate) fn empty(&self, segment: u64) {
        self.emptied.fetch_max(segment, Ordering::AcqRel);
    }

    /// Whether a segment's file may hold something else by now. Readers ask after they have read, which makes what they have read
    /// good if the answer is no: the number rises before the file is touched.
    pub(crate) fn is_given_up(&self, segment: u64) -> bool {
        segment < self.given_up.load(Ordering::SeqCst)
    }

    /// A memtable was sealed behind a checkpoint that needs nothing below `bound`.
    pub(crate) fn seal(&self, memtable: u64, bound: u64) {
        self.lock().push((memtable, bound));
    }

    /// Of these memtables the checkpoints are in tables now.
    pub(crate) fn flushed(&self, memtables: impl Iterator<Item = u64>) {
        let mut sealed = self.lock();
        for memtable in memtables {
            sealed.retain(|&(id, bound)| {
                if id == memtable {
                    self.in_tables.fetch_max(bound, Ordering::AcqRel);
                }
                id != memtable
            });
        }
    }

    /// The bound that may be passed once the copies are made, which have to be begun after this was asked.
    pub(crate) fn in_tables(&self) -> u64 {
        self.in_tables.load(Ordering::Acquire)
    }

    /// Whether only the copies are in the way of giving up more.
    pub(crate) fn lacks_copies(&self) -> bool {
        self.in_tables() > self.passed.load(Ordering::Acquire)
    }

    /// No start needs anything below `bound` any more; whether that is news.
    pub(crate) fn pass(&self, bound: u64) -> bool {
        self.passed.fetch_max(bound, Ordering::AcqRel) < bound
    }

    /// From now on no segment is given up and no file of the value log removed, until both are released.
    pub(crate) fn hold(&self) {
        let mut holds = self.holds();
        holds.segments += 1;
        holds.values += 1;
    }

    /// Segments may be given up again.
    pub(crate) fn release_segments(&self) {
        let mut holds = self.holds();
        holds.segments = holds.segments.saturating_sub(1);
    }

    /// Files of the value log may be removed again.
    pub(crate) fn release_values(&self) {
        let mut holds = self.holds();
        holds.values = holds.values.saturating_sub(1);
    }

    /// Removes a file of the value log, unless they have to stay; whoever comes to hold them waits for its end.
    pub(crate) fn unless_held<T>(&self, remove: impl FnOnce() -> T) -> Option<T> {
        let holds = self.holds();
        (holds.values == 0).then(remove)
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest segment that stands.
    pub(crate) fn first(&self) -> u64 {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Gives up the next segment that may be; its file is the caller's from then on.
    pub(crate) fn give_up(&self) -> Option<u64> {
        // Under this lock, so that whoever holds knows what is left.
        let holds = self.holds();
        if holds.segments > 0 {
            return None;
        }
        let segment = self.given_up.load(Ordering::SeqCst);
        let early = mutants::on(Mutant::RecycledEarly);
        let passed = if early { u64::MAX } else { self.passed.load(Ordering::Acquire) };
        let bound = passed.min(self.emptied()).min(self.active());
        (segment < bound).then(|| {
            self.given_up.store(segment + 1, Ordering::SeqCst);
            segment
        })
    }

    /// Segments that stand and are in use.
    fn live(&self) -> u64 {
        (self.active() + 1).saturating_sub(self.given_up.load(Ordering::SeqCst))
    }

    /// Whether the oldest segment should be emptied. Late, so that most of what it holds is gone by itself.
    pub(crate) fn evacuation_due(&self) -> bool {
        (self.active() + 1).saturating_sub(self.emptied()) > self.segments_max / 2
    }

    /// Whether what is empty should be given up soon.
    pub(crate) fn rotation_due(&self) -> bool {
        self.emptied() > self.given_up.load(Ordering::SeqCst)
            && self.live() > self.segments_max - self.segments_max / 4
    }

    /// Whether segments must be emptied as fast as possible.
    pub(crate) fn is_pressed(&self) -> bool {
        self.live() > self.segments_max - self.segments_max / 4
    }

    /// Whether only deletes and the work that empties segments are accepted.
    pub(crate) fn is_full(&self) -> bool {
        self.live() + RESERVED > self.segments_max
    }

    pub(crate) fn want_rotation(&self) {
        self.rotation_wanted.store(true, Ordering::Release);
    }

    pub(crate) fn take_rotation(&self) -> bool {
        self.rotation_wanted.load(Ordering::Acquire)
            && self.rotation_wanted.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, u64)>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_given_up_when_it_is_empty_and_a_checkpoint_has_passed_it() {
        let span = Span::new(1, 1, 5, 8);
        assert_eq!(span.give_up(), None);
        span.empty(4);
        assert_eq!(span.give_up(), None, "no checkpoint says so");
        span.seal(7, 3);
        span.seal(8, 4);
        span.flushed([7].into_iter());
        assert!(span.in_tables() == 3 && span.lacks_copies());
        assert_eq!(span.give_up(), None, "its manifest has no copy");
        assert!(span.pass(3) && !span.pass(3) && !span.lacks_copies());
        assert!(!span.is_given_up(1));
        assert_eq!([span.give_up(), span.give_up(), span.give_up()], [Some(1), Some(2), None]);
        assert!(span.is_given_up(2) && !span.is_given_up(3));
        span.flushed([9, 8].into_iter());
        assert_eq!(span.in_tables(), 4);
    }

    #[test]
    fn the_segment_that_is_written_is_never_given_up() {
        let span = Span::new(1, 1, 2, 8);
        span.empty(9);
        span.pass(9);
        assert_eq!([span.give_up(), span.give_up()], [Some(1), None]);
    }

    #[test]
    fn nothing_is_given_up_while_somebody_holds() {
        let span = Span::new(1, 1, 5, 8);
        span.empty(4);
        span.pass(4);
        span.hold();
        span.hold();
        assert_eq!((span.give_up(), span.unless_held(|| ())), (None, None));
        span.release_segments();
        assert_eq!(span.give_up(), None);
        span.release_segments();
        assert_eq!((span.give_up(), span.unless_held(|| ())), (Some(1), None));
        span.release_values();
        span.release_values();
        assert_eq!((span.first(), span.unless_held(|| 7)), (2, Some(7)));
    }

    #[test]
    fn two_segments_are_kept_back() {
        let span = Span::new(1, 1, 6, 8);
        assert!(!span.is_full() && span.evacuation_due());
        assert!(span.advance(7) && !span.advance(7));
        assert!(span.is_full() && span.is_pressed() && !span.rotation_due());
        span.empty(2);
        assert!(span.rotation_due());
    }
}
