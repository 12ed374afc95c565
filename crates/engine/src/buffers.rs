//! Large buffers for reads, used again: fresh memory has to be zeroed and mapped page by page, which costs as much as the read.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// What is shorter is left to the allocator, which has such pieces at hand.
const SHORTEST: usize = 64 << 10;
/// What is longer is rare.
const LONGEST: usize = 1 << 20;
/// The most that is kept for later, in bytes (I7). What is in use is its readers' to bound.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By length.
    free: [Vec<Vec<u8>>; (LONGEST / SHORTEST).ilog2() as usize + 1],
    bytes: usize,
}

/// A buffer of some length, filled with anything.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffers {
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Buffer { bytes: vec![0; length], length, home: None };
        }
        let whole = length.next_power_of_two();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = kept.free.get_mut(class(whole)).and_then(Vec::pop);
        kept.bytes -= free.as_ref().map_or(0, Vec::len);
        drop(kept);
        let bytes = free.unwrap_or_else(|| vec![0; whole]);
        Buffer { bytes, length, home: Some(Arc::clone(self)) }
    }
}

fn class(whole: usize) -> usize {
    (whole / SHORTEST).ilog2() as usize
}

impl Buffer {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// The bytes, to be shared; the buffer is free again when the last part of them goes.
    pub(crate) fn freeze(mut self) -> Bytes {
        if self.home.is_some() {
            return Bytes::from_owner(self);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.length);
        bytes.into()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + bytes.len() > KEPT_BYTES_MAX {
            return;
        }
        let count = bytes.len();
        if let Some(free) = kept.free.get_mut(class(count)) {
            free.push(bytes);
            kept.bytes += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_the_last_part_of_its_bytes_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.take(70_000);
        first.as_mut().fill(7);
        let at = first.as_ref().as_ptr();
        let part = first.freeze().slice(69_999..);
        assert_ne!(buffers.take(70_000).as_ref().as_ptr(), at);
        assert_eq!(part, [7][..]);
        drop(part);
        let mut again = buffers.take(128 << 10);
        assert_eq!((again.as_ref().as_ptr(), again.as_mut().len()), (at, 128 << 10));
        again.truncate(5);
        assert_eq!(again.freeze().len(), 5);
    }

    #[test]
    fn what_is_kept_is_bounded_and_small_or_huge_buffers_are_not_kept() {
        let buffers = Arc::new(Buffers::default());
        let many: Vec<_> = (0..40).map(|_| buffers.take(300 << 10).freeze()).collect();
        drop(many);
        assert_eq!(buffers.0.lock().unwrap().bytes, KEPT_BYTES_MAX);
        for length in [0, 1, SHORTEST - 1, LONGEST + 1] {
            assert_eq!(buffers.take(length).freeze().len(), length);
        }
        assert_eq!(buffers.0.lock().unwrap().bytes, KEPT_BYTES_MAX);
        drop(buffers.take(LONGEST));
        assert_eq!(buffers.0.lock().unwrap().bytes, KEPT_BYTES_MAX);
    }
}
