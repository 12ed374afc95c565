//! Recent writes, newer than what callers may have read.
//!
//! A caller reads on a snapshot and queues; by the time its transaction runs, others may have committed, or stand before it in
//! the same group. The commit thread takes such keys from here and never from a disk. Everything at or above the *floor* is
//! kept; a transaction whose snapshot is below it is sent back to read again, which bounds what must be kept (I7).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ossia_store::Record;

/// Writes are kept while a reader may need them, but not beyond this many keys and bytes.
const KEYS_KEPT_MAX: usize = 256 << 10;
const BYTES_KEPT_MAX: usize = 32 << 20;
/// Room for so many is kept when there are none.
const ORDER_KEPT_MAX: usize = 32 << 10;

type Key = (u64, Bytes);

/// The newest known write of a key.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    pub(crate) seq: u64,
    pub(crate) record: Option<Record>,
}

/// Recent writes by key.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// By partition, then by key: so a key can be looked up without owning one.
    newest: HashMap<u64, HashMap<Bytes, Recent>>,
    /// The writes in their order, with their sequence numbers.
    order: VecDeque<(u64, Key)>,
    bytes: usize,
    floor: u64,
}

impl Overlay {
    /// Nothing is known of writes below `floor`.
    pub(crate) fn new(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn get(&self, partition: u64, key: &Bytes) -> Option<&Recent> {
        self.newest.get(&partition)?.get(key)
    }

    /// Notes a write; `seq` never falls.
    pub(crate) fn put(&mut self, seq: u64, partition: u64, key: Bytes, record: Option<Record>) {
        self.bytes += cost(&key, record.as_ref());
        let newest = self.newest.entry(partition).or_default();
        if let Some(recent) = newest.get_mut(&key) {
            self.bytes -= cost(&key, recent.record.as_ref());
            let before = std::mem::replace(recent, Recent { seq, record });
            if before.seq == seq {
                return;
            }
        } else {
            newest.insert(key.clone(), Recent { seq, record });
        }
        self.order.push_back((seq, (partition, key)));
    }

    /// Forgets what no reader from `watermark` on needs, and the oldest beyond the bounds, but never group `current`.
    pub(crate) fn prune(&mut self, watermark: u64, current: u64) {
        while let Some((seq, _)) = self.order.front() {
            let full = self.order.len() > KEYS_KEPT_MAX || self.bytes > BYTES_KEPT_MAX;
            if *seq >= current || (*seq >= watermark && !full) {
                break;
            }
            let Some((seq, key)) = self.order.pop_front() else { break };
            self.floor = self.floor.max(seq + 1);
            let (partition, key) = key;
            let Some(newest) = self.newest.get_mut(&partition) else { continue };
            if newest.get(&key).is_some_and(|recent| recent.seq == seq)
                && let Some(gone) = newest.remove(&key)
            {
                self.bytes -= cost(&key, gone.record.as_ref());
                if newest.is_empty() {
                    self.newest.remove(&partition);
                }
            }
        }
        if self.order.is_empty() && self.order.capacity() > ORDER_KEPT_MAX {
            // A reader of long ago had made it grow.
            self.order = VecDeque::new();
        }
    }

    /// Writes of the group `seq`, once each.
    pub(crate) fn group(&self, seq: u64) -> impl Iterator<Item = (u64, &Bytes, &Recent)> {
        let group = self.order.iter().rev().take_while(move |(of, _)| *of == seq);
        group.filter_map(|(_, (partition, key))| {
            Some((*partition, key, self.newest.get(partition)?.get(key)?))
        })
    }
}

fn cost(key: &Bytes, record: Option<&Record>) -> usize {
    const ENTRY_BYTES: usize = 160;
    ENTRY_BYTES + key.len() + record.map_or(0, |record| record.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &'static str) -> Option<Record> {
        Some(Record { value: Bytes::from_static(value.as_bytes()), payload: None })
    }

    fn key(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    #[test]
    fn the_newest_write_of_a_key_is_told_until_no_reader_needs_it() {
        let mut overlay = Overlay::new(5);
        overlay.put(5, 1, key("a"), record("old"));
        overlay.put(6, 1, key("a"), record("new"));
        overlay.put(6, 1, key("a"), None);
        overlay.put(6, 2, key("a"), record("other partition"));
        assert_eq!(overlay.get(1, &key("a")).unwrap().record, None);
        assert_eq!(overlay.group(6).count(), 2);
        overlay.prune(6, 7);
        assert_eq!((overlay.floor(), overlay.get(1, &key("a")).unwrap().seq), (6, 6));
        overlay.prune(9, 6);
        assert_eq!(overlay.floor(), 6, "the group that is being made stays");
        overlay.prune(9, 9);
        assert!(overlay.get(1, &key("a")).is_none());
        assert_eq!((overlay.floor(), overlay.bytes, overlay.newest.len()), (7, 0, 0));
    }

    #[test]
    fn a_reader_that_never_ends_does_not_make_it_grow_without_end() {
        let mut overlay = Overlay::new(1);
        for seq in 1..(KEYS_KEPT_MAX as u64 + 100) {
            overlay.put(seq, 1, Bytes::from(seq.to_le_bytes().to_vec()), record("x"));
            overlay.prune(1, seq);
        }
        assert!(overlay.order.len() <= KEYS_KEPT_MAX + 1);
        assert!(overlay.floor() > 1);
    }
}
