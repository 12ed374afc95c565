//! One partition: lookups, pages, and the rules by which a transaction's writes enter.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::meter::Meter;
use crate::{
    Body, Change, Fold, Item, KEYS_MAX, NotBrought, Page, Payload, PayloadPlace, PayloadRef,
    ReadError, Record, Rejection, SCAN_LIMIT_MAX, Scan, View, Writes, successor,
};

/// A payload's bytes. Its id is never used twice and follows the bytes wherever [`Payload::Of`] takes them, which is how a
/// reference that was read earlier is told from one to another payload under the same key.
#[derive(Debug)]
pub(super) struct Stored {
    id: u64,
    bytes: Bytes,
    meter: Arc<Meter>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.meter.give(self.bytes.len() as u64);
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    value: Bytes,
    payload: Option<Arc<Stored>>,
}

impl Entry {
    /// The entry as readers see it.
    pub(super) fn record(&self) -> Record {
        let payload = self.payload.as_ref().map(|stored| PayloadRef {
            length: stored.bytes.len() as u32,
            place: PayloadPlace([stored.id, 0, 0]),
        });
        Record { value: self.value.clone(), payload }
    }

    /// Whether a body could tell the two apart.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let id = |entry: &Self| entry.payload.as_ref().map(|stored| stored.id);
        self.value == other.value && id(self) == id(other)
    }
}

/// The keys of one partition.
#[derive(Debug, Default)]
pub(super) struct Records {
    entries: BTreeMap<Bytes, Entry>,
}

/// Writes that passed every check and for which room has been taken.
#[derive(Debug)]
pub(super) struct Plan(Vec<(Bytes, Option<Entry>)>);

/// What a plan needs from the store around the partition.
pub(super) struct Ground<'a> {
    pub(super) meter: &'a Arc<Meter>,
    pub(super) next_payload: &'a AtomicU64,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The bytes behind a reference that was read under `key`.
    pub(super) fn payload(&self, key: &[u8], wanted: &PayloadRef) -> Result<Bytes, ReadError> {
        let stored = self.get(key).and_then(|entry| entry.payload.as_ref());
        match stored {
            Some(stored)
                if stored.id == wanted.place.0[0]
                    && stored.bytes.len() == wanted.length as usize =>
            {
                Ok(stored.bytes.clone())
            }
            _ => Err(ReadError::Gone),
        }
    }

    /// Checks what a body that read the keys `read` wants written, resolves its payloads against this state, and takes the room.
    pub(super) fn plan(
        &self,
        writes: Writes,
        read: &HashSet<Bytes>,
        ground: &Ground<'_>,
    ) -> Result<Plan, Rejection> {
        writes.check()?;
        let changes = writes.into_changes();
        let only_written = changes.iter().filter(|(key, _)| !read.contains(key)).count();
        if read.len() + only_written > KEYS_MAX {
            return Err(Rejection::Limit("more than 1,024 keys"));
        }
        let read_before = |change: &Change| match change {
            Change::Put { payload: Payload::Of(other), .. } => read.contains(other),
            _ => true,
        };
        if !changes.iter().all(|(_, change)| read_before(change)) {
            return Err(Rejection::Limit("the payload of a key that the body has not read"));
        }
        self.take_room(&changes, ground.meter)?;
        let mut plan = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            // Copies throughout: a caller's key, value or piece may be a small slice of a large buffer, which must not live on.
            let entry = match change {
                Change::Delete => None,
                Change::Put { value, payload } => Some(Entry {
                    value: Bytes::copy_from_slice(&value),
                    payload: match payload {
                        Payload::None => None,
                        Payload::New(pieces) => store(&pieces, ground),
                        Payload::Of(other) => self.get(&other).and_then(|e| e.payload.clone()),
                    },
                }),
            };
            plan.push((Bytes::copy_from_slice(&key), entry));
        }
        Ok(Plan(plan))
    }

    /// Takes room for the growth of records and for new payloads; what replaced payloads give back, they give back themselves.
    fn take_room(&self, changes: &[(Bytes, Change)], meter: &Meter) -> Result<(), Rejection> {
        let (mut grown, mut shrunk, mut payload_bytes, mut deletes) = (0, 0, 0, false);
        for (key, change) in changes {
            let known = self.get(key);
            shrunk += known.map_or(0, |entry| key.len() + entry.value.len());
            match change {
                Change::Put { value, payload } => {
                    grown += key.len() + value.len();
                    payload_bytes += payload.new_bytes();
                }
                Change::Delete => deletes |= known.is_some(),
            }
        }
        let taken = grown.saturating_sub(shrunk) + payload_bytes;
        if deletes && payload_bytes == 0 {
            meter.take_from_reserve(taken as u64)
        } else {
            meter.take(taken as u64)
        }
        .map_err(Rejection::Full)?;
        meter.give(shrunk.saturating_sub(grown) as u64);
        Ok(())
    }

    pub(super) fn apply(&mut self, plan: Plan) {
        for (key, entry) in plan.0 {
            match entry {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// One page. Seeks past each common prefix, so that the cost follows the items.
    pub(super) fn page(&self, scan: &Scan) -> Page {
        let limit = scan.limit.clamp(1, SCAN_LIMIT_MAX);
        let mut items = Vec::new();
        let mut range = self.from(&scan.start, scan.end.as_deref());
        while let Some((key, entry)) = range.next() {
            if items.len() == limit {
                return Page { items, resume: Some(key.clone()) };
            }
            let Some(prefix) = scan.fold.as_ref().and_then(|fold| common_prefix(fold, key)) else {
                items.push(Item::Record(key.clone(), entry.record()));
                continue;
            };
            let past = successor(&prefix);
            items.push(Item::Prefix(prefix));
            match past {
                Some(past) => range = self.from(&past, scan.end.as_deref()),
                None => break,
            }
        }
        Page { items, resume: None }
    }

    fn from(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> std::collections::btree_map::Range<'_, Bytes, Entry> {
        // An inverted range is empty here and a panic in `BTreeMap`.
        let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.max(start)));
        self.entries.range::<[u8], _>((Bound::Included(start), end))
    }
}

fn store(pieces: &[Bytes], ground: &Ground<'_>) -> Option<Arc<Stored>> {
    let bytes = Bytes::from(pieces.concat());
    (!bytes.is_empty()).then(|| {
        let id = ground.next_payload.fetch_add(1, Ordering::Relaxed);
        Arc::new(Stored { id, bytes, meter: Arc::clone(ground.meter) })
    })
}

/// The part of `key` up to and with the first delimiter found at or after the fold's byte.
fn common_prefix(fold: &Fold, key: &Bytes) -> Option<Bytes> {
    let searched = key.get(fold.at..)?;
    let width = fold.delimiter.len();
    if width == 0 {
        return None;
    }
    let found = searched.windows(width).position(|window| window == fold.delimiter)?;
    Some(key.slice(..fold.at + found + width))
}

/// What a body sees of one partition; remembers what it looked at.
pub(super) struct Reading<'a> {
    records: Option<&'a Records>,
    read: RefCell<HashSet<Bytes>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(records: Option<&'a Records>) -> Self {
        Self { records, read: RefCell::default() }
    }

    /// The keys that were looked at.
    pub(super) fn into_read(self) -> HashSet<Bytes> {
        self.read.into_inner()
    }
}

impl View for Reading<'_> {
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought> {
        let mut read = self.read.borrow_mut();
        // One key past the limit is enough to refuse the run.
        if read.len() <= KEYS_MAX {
            read.insert(key.clone());
        }
        Ok(self.records.and_then(|records| records.get(key)).map(Entry::record))
    }
}

/// Runs a body; its panic is its own.
pub(super) fn run(body: &Body, view: &dyn View) -> Result<Result<Writes, NotBrought>, Rejection> {
    catch_unwind(AssertUnwindSafe(|| body(view))).map_err(|_| Rejection::Panicked)
}
