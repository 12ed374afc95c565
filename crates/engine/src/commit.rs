//! The commit thread: the one place where order is made.
//!
//! It takes what is queued, runs each transaction over the writes in flight, encodes one group, writes it with one call, syncs
//! once, inserts into the index, publishes, answers; the next group gathers meanwhile. It reads no disk and waits for no
//! background work, but for the next journal segment where the medium itself is the bottleneck, and for the tree's lock at a
//! rotation.
//!
//! - Durable first, then visible, then answered (I3); refusals too, if they saw a write in flight (I4).
//! - A failed write or sync is final (I5): the group's outcome is unknown, whatever comes later is refused.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lsm_tree::Memtable;
use ossia_store::{
    Change, KEYS_MAX, NotBrought, Payload, Record, Rejection, StoreError, Token, View, Writes,
    mutants::{self, Mutant},
};
use tokio::sync::oneshot;

use crate::{
    journal::{
        Draft, Journal, JournalError, Written,
        record::{
            self, Beside, CHANGE_HEAD_BYTES, Home, PLACE_BYTES, Place, TRANSACTION_HEAD_BYTES,
        },
    },
    overlay::Overlay,
    queue::{Entry, Extra, Preview, Reply, Wake},
    shared::Shared,
    tree::{self, Insert, value},
};

/// After this long without work the closing frame is synced.
const CLOSING_SYNC_AFTER: Duration = Duration::from_secs(1);
/// A group takes no more transactions than this, so that its tokens are remembered.
const GROUP_TRANSACTIONS_MAX: usize = 16 << 10;

/// The state that the commit thread alone has.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    journal: Journal,
    active: Arc<Memtable>,
    overlay: Overlay,
    draft: Draft,
    scratch: Vec<u8>,
    /// The last frame whose records are in the index.
    last: Option<Written>,
    since_checkpoint_bytes: u64,
    /// The engine's own records that this group changes, by their names.
    own: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    worked: Instant,
}

/// A put's payload, found.
enum Kept<'a> {
    Nothing,
    New(&'a [Bytes]),
    Placed(Place),
}

/// The state that a body sees: the writes in flight, then what was brought.
struct Live<'a> {
    overlay: &'a Overlay,
    entry: &'a Entry,
    group: u64,
    saw_group: Cell<bool>,
}

impl View for Live<'_> {
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought> {
        if let Some(recent) = self.overlay.get(self.entry.transaction.partition.0, key) {
            if recent.seq == self.group {
                self.saw_group.set(true);
            }
            return Ok(recent.record.clone());
        }
        self.entry.brought.get(key).cloned().ok_or_else(|| NotBrought(key.clone()))
    }
}

/// A view that notes what is read from it.
struct Noting<'a> {
    view: &'a dyn View,
    reads: RefCell<Vec<Bytes>>,
}

impl View for Noting<'_> {
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought> {
        let record = self.view.get(key)?;
        self.reads.borrow_mut().push(key.clone());
        Ok(record)
    }
}

/// Runs a body on a view, and checks the contract's limits; a panic refuses the one transaction.
///
/// Tells what it wrote and what it read, payloads taken from other keys included.
pub(crate) fn run_body(
    transaction: &ossia_store::Transaction,
    view: &dyn View,
) -> Result<Result<Preview, NotBrought>, Rejection> {
    let view = Noting { view, reads: RefCell::default() };
    let run = || (transaction.body)(&view);
    let ran = catch_unwind(AssertUnwindSafe(run)).map_err(|_| Rejection::Panicked)?;
    let writes = match ran {
        Ok(writes) => writes,
        Err(missing) => return Ok(Err(missing)),
    };
    writes.check()?;
    for (_, change) in writes.changes() {
        if let Change::Put { payload: Payload::Of(key), .. } = change
            && let Err(missing) = view.get(key)
        {
            return Ok(Err(missing));
        }
    }
    let reads = view.reads.into_inner();
    if reads.len() + writes.changes().len() > KEYS_MAX {
        let written = writes.changes().iter().map(|(key, _)| key);
        let keys: HashSet<&Bytes> = reads.iter().chain(written).collect();
        if keys.len() > KEYS_MAX {
            return Err(Rejection::Limit("more than 1,024 keys"));
        }
    }
    Ok(Ok(Preview { reads, writes }))
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        journal: Journal,
        active: Arc<Memtable>,
        last: Option<Written>,
        since_checkpoint_bytes: u64,
    ) -> Self {
        let overlay = Overlay::new(shared.index.seq_bound());
        Self {
            shared,
            journal,
            active,
            overlay,
            draft: Draft::default(),
            scratch: Vec::new(),
            last,
            since_checkpoint_bytes,
            own: BTreeMap::new(),
            worked: Instant::now(),
        }
    }

    /// The thread: returns when the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut pending = VecDeque::new();
        loop {
            // What has gathered meanwhile is the next group; only when there is none is there something to close.
            self.shared.queue.drain(&mut pending);
            if pending.is_empty() {
                if self.shared.condition.poisoned().is_none() {
                    let closed = self.journal.close();
                    self.must(closed, "writing the journal's closing frame");
                }
                match self.shared.queue.wait(&mut pending, self.deadline()) {
                    Wake::Work => {}
                    Wake::Nudge => {
                        if self.shared.span.take_rotation() {
                            self.rotate();
                        }
                        self.publish();
                        self.shared.chores.ask(|asked| asked.trim = true);
                        continue;
                    }
                    Wake::Idle => {
                        self.idle();
                        continue;
                    }
                    Wake::Closed => break,
                }
            }
            self.commit(&mut pending);
            self.worked = Instant::now();
        }
        if self.shared.condition.poisoned().is_none() {
            let closed = self.journal.close().and_then(|()| self.journal.sync_closing());
            if self.must(closed, "syncing the journal's closing frame") {
                self.journal.note();
            }
        }
    }

    fn must(&self, result: std::io::Result<()>, what: &str) -> bool {
        if self.shared.condition.poisoned().is_some() {
            return false;
        }
        if let Err(error) = &result {
            self.shared.poison(format!("{what} failed: {error}"));
        }
        result.is_ok()
    }

    /// When to look after things if no work comes.
    fn deadline(&self) -> Option<Instant> {
        if self.shared.condition.poisoned().is_some() {
            return None;
        }
        if self.journal.has_unsynced_closing() {
            return Some(self.worked + CLOSING_SYNC_AFTER.min(self.idle_flush_after()));
        }
        let flush = !self.active.is_empty() && self.last.is_some();
        flush.then(|| self.worked + self.idle_flush_after())
    }

    fn idle_flush_after(&self) -> Duration {
        Duration::from_millis(self.shared.options.idle_flush_ms)
    }

    fn idle(&mut self) {
        let synced = self.journal.sync_closing();
        if !self.must(synced, "syncing the journal's closing frame") {
            return;
        }
        if self.worked.elapsed() >= self.idle_flush_after() && !self.active.is_empty() {
            self.rotate();
        }
        self.publish();
        self.shared.chores.ask(|asked| asked.trim = true);
    }

    /// Makes everything inserted visible. Nothing may be half inserted.
    fn publish(&mut self) {
        let watermark = self.shared.snapshots.publish(self.shared.index.seq_bound());
        self.overlay.prune(watermark, u64::MAX);
    }

    /// Commits one group from the front of what is pending, and answers for it.
    fn commit(&mut self, pending: &mut VecDeque<Entry>) {
        if let Some(what) = self.shared.condition.poisoned() {
            for entry in pending.drain(..) {
                answer(entry.reply, Err(Rejection::Poisoned(what.into()).into()));
            }
            return;
        }
        if mutants::on(Mutant::ReplyBeforePublish) {
            self.publish();
        }
        let group = self.shared.index.next_seq();
        self.own.clear();
        let mut waiting = Vec::new();
        let mut begun = false;
        while let Some(entry) = pending.pop_front() {
            let full = self.draft.bytes() >= self.shared.options.group_bytes_max
                || waiting.len() >= GROUP_TRANSACTIONS_MAX;
            if begun && full {
                pending.push_front(entry);
                break;
            }
            match self.take(&entry, group, &mut begun) {
                // Its snapshot and what it brought are of no more use.
                Taken::Waits => waiting.push((entry.reply, entry.permit)),
                Taken::Answered(result) => answer(entry.reply, result),
                Taken::Again(missing) => {
                    // A caller that has gone away needs no answer.
                    let _ = entry.reply.send(Reply::Again { missing, permit: entry.permit });
                }
                Taken::NextGroup => {
                    pending.push_front(entry);
                    break;
                }
            }
        }
        if begun && !self.draft.is_empty() && !self.make_durable(group) {
            let what = self.shared.condition.poisoned().unwrap_or("the commit failed");
            for (reply, _permit) in waiting {
                answer(reply, Err(StoreError::Unknown(what.into())));
            }
            return;
        }
        if !mutants::on(Mutant::ReplyBeforePublish) {
            self.publish();
        }
        for (reply, _permit) in waiting {
            answer(reply, Ok(()));
        }
        if mutants::on(Mutant::AckBeforeSync) {
            let synced = self.journal.sync();
            self.must(synced, "syncing the journal");
        }
        self.rotate_if_due();
    }

    /// Writes and syncs the group, and inserts it into the index.
    fn make_durable(&mut self, group: u64) -> bool {
        let (payloads, transactions) = (self.draft.payload_bytes(), self.draft.transactions());
        let written = match self.journal.write(&mut self.draft) {
            Ok(written) => written,
            Err(error) => return self.must(Err(error), "writing the journal"),
        };
        let unsynced = mutants::on(Mutant::AckBeforeSync)
            || (mutants::on(Mutant::DeleteUnsynced) && payloads == 0);
        let synced = if unsynced { Ok(()) } else { self.journal.sync() };
        let swallowed = mutants::on(Mutant::SwallowedSyncError) && synced.is_err();
        if !swallowed && !self.must(synced, "syncing the journal") {
            return false;
        }
        // Before anyone can hear of it, see `hold`.
        let end = (written.segment, written.offset.saturating_add(written.bytes));
        *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        self.shared.tokens.durable(group + 1);
        let counters = &self.shared.counters;
        counters.groups.add(1);
        counters.transactions.add(transactions.into());
        counters.journal_bytes.add(written.bytes);
        counters.payload_bytes.add(payloads as u64);
        for (partition, key, recent) in self.overlay.group(group) {
            let change = match &recent.record {
                None => Insert::Delete,
                Some(record) => Insert::Put(&record.value, record.payload.and_then(Place::of_ref)),
            };
            tree::insert(&self.active, &mut self.scratch, partition, key, &change, group);
            let place = recent.record.as_ref().and_then(|record| record.payload);
            if let Some(place) = place.and_then(Place::of_ref)
                && names_an_older_segment(&place, written.segment)
            {
                self.own.insert(value::reference(place.number, partition, key), Some(vec![1]));
            }
        }
        for (name, change) in &self.own {
            tree::insert_own(&self.active, name, change.as_deref(), group);
        }
        if self.shared.span.advance(written.segment) {
            self.shared.measure_pressure();
            self.shared.chores.ask(|asked| asked.evacuate = true);
        }
        self.last = Some(written);
        self.since_checkpoint_bytes += written.bytes;
        true
    }

    fn rotate_if_due(&mut self) {
        let options = &self.shared.options;
        if self.active.size() >= options.memtable_bytes
            || self.since_checkpoint_bytes >= options.checkpoint_bytes
            || self.shared.span.take_rotation()
        {
            self.rotate();
        }
    }

    /// Seals the memtable behind a checkpoint, and has it flushed.
    fn rotate(&mut self) {
        let Some(last) = self.last else { return };
        let oldest = self.shared.span.emptied();
        let Some(sealed) = self.shared.index.rotate(&self.active, last, oldest) else { return };
        self.shared.span.seal(sealed.id(), oldest.min(last.segment));
        self.shared.counters.rotations.add(1);
        self.active = self.shared.index.active();
        self.since_checkpoint_bytes = 0;
        let active = Arc::clone(&self.active);
        self.shared.snapshots.change_view(|view| {
            view.sealed.insert(0, sealed);
            view.active = active;
        });
        self.shared.pressure.send_modify(|pressure| pressure.sealed += 1);
        self.shared.chores.ask(|asked| asked.flush = true);
    }

    /// Puts one transaction into the group, or says why not.
    fn take(&mut self, entry: &Entry, group: u64, begun: &mut bool) -> Taken {
        let (writes, saw_group) = match self.writes(entry, group) {
            Ok(writes) => writes,
            Err(taken) => return taken,
        };
        let extra = entry.extra.as_deref();
        let own = extra.map_or(&[][..], |extra| &extra.own);
        if writes.is_empty() && own.is_empty() {
            // What it saw is durable already, unless it stands in this group (I4).
            let waits = saw_group && !mutants::on(Mutant::RefusalBeforeSync);
            return if waits { Taken::Waits } else { Taken::Answered(Ok(())) };
        }
        let changes = match self.find_payloads(entry, group, &writes) {
            Ok(changes) => changes,
            Err(NotBrought(key)) => return Taken::Again(Some(key)),
        };
        let (payload_bytes, record_bytes) = sizes(&changes, own);
        if !*begun {
            match self.journal.begin(&mut self.draft, payload_bytes, record_bytes) {
                Ok(()) => *begun = true,
                Err(JournalError::Full(what)) => {
                    self.shared.condition.found_full(what.clone());
                    return Taken::Answered(Err(Rejection::Full(what).into()));
                }
                Err(JournalError::Failed(what)) => {
                    self.shared.poison(what.clone());
                    return Taken::Answered(Err(Rejection::Poisoned(what).into()));
                }
            }
        } else if !self.draft.fits(payload_bytes, record_bytes) {
            return Taken::NextGroup;
        }
        let token = entry.transaction.token;
        if !self.shared.tokens.enter(token, group) {
            return Taken::Answered(Err(Rejection::Busy.into()));
        }
        self.apply(token, entry.transaction.partition.0, group, &changes, entry, own);
        Taken::Waits
    }

    /// What the transaction writes on the state before it, and whether it saw a write of this group.
    fn writes<'a>(&self, entry: &'a Entry, group: u64) -> Result<(Cow<'a, Writes>, bool), Taken> {
        if entry.snapshot.seq < self.overlay.floor() {
            return Err(Taken::Again(None));
        }
        let partition = entry.transaction.partition.0;
        let changed = |key: &Bytes| {
            self.overlay.get(partition, key).is_some_and(|recent| recent.seq >= entry.snapshot.seq)
        };
        if !entry.preview.reads.iter().any(changed) {
            return Ok((Cow::Borrowed(&entry.preview.writes), false));
        }
        let live = Live { overlay: &self.overlay, entry, group, saw_group: Cell::new(false) };
        match run_body(&entry.transaction, &live) {
            Ok(Ok(ran)) => Ok((Cow::Owned(ran.writes), live.saw_group.get())),
            Ok(Err(NotBrought(key))) => Err(Taken::Again(Some(key))),
            Err(rejection) => Err(Taken::Answered(Err(rejection.into()))),
        }
    }

    /// Follows payloads that the transaction takes from other keys, on the state before it.
    fn find_payloads<'a>(
        &self,
        entry: &Entry,
        group: u64,
        writes: &'a Writes,
    ) -> Result<Vec<Found<'a>>, NotBrought> {
        let live = Live { overlay: &self.overlay, entry, group, saw_group: Cell::new(false) };
        let mut changes = Vec::with_capacity(writes.changes().len());
        for (key, change) in writes.changes() {
            let put = match change {
                Change::Delete => None,
                Change::Put { value, payload } => {
                    let kept = match payload {
                        Payload::None => Kept::Nothing,
                        Payload::New(_) if payload.new_bytes() == 0 => Kept::Nothing,
                        Payload::New(pieces) => Kept::New(pieces),
                        Payload::Of(other) => live
                            .get(other)?
                            .and_then(|record| Place::of_ref(record.payload?))
                            .map_or(Kept::Nothing, |place| Kept::Placed(moved(entry, place))),
                    };
                    Some((value, kept))
                }
            };
            changes.push(Found { key, put });
        }
        Ok(changes)
    }

    /// Adds the transaction to the draft and to what later ones see.
    fn apply(
        &mut self,
        token: Token,
        partition: u64,
        group: u64,
        found: &[Found<'_>],
        entry: &Entry,
        own: &[(Vec<u8>, Option<Vec<u8>>)],
    ) {
        let mut changes = Vec::with_capacity(found.len() + own.len());
        for change in found {
            let put = change.put.as_ref().map(|(value, kept)| {
                let (beside, place) = match kept {
                    Kept::Nothing => (Beside::Nothing, None),
                    Kept::Placed(place) => (Beside::Placed(*place), Some(*place)),
                    Kept::New(pieces) => {
                        let (place, at) = self.draft.payload(pieces);
                        let (length, check) = (place.length, place.check);
                        (Beside::New { at, length, check }, Some(place))
                    }
                };
                ((&value[..], beside), place)
            });
            let record = change.put.as_ref().zip(put).map(|((value, _), (_, place))| Record {
                value: Bytes::clone(value),
                payload: place.map(Place::to_ref),
            });
            self.note_values_let_go(entry, change.key, record.as_ref());
            self.overlay.put(group, partition, change.key.clone(), record);
            let put = put.map(|(put, _)| put);
            changes.push(record::Change { own: false, key: change.key, put });
        }
        for (name, value) in own {
            let put = value.as_deref().map(|value| (value, Beside::Nothing));
            changes.push(record::Change { own: true, key: name, put });
            self.own.insert(name.clone(), value.clone());
        }
        record::encode_transaction(self.draft.transaction(), token, partition, &changes);
    }
}

impl Committer {
    /// Counts bytes of the value log that lose their record, as far as that is known without a look at the index.
    fn note_values_let_go(&self, entry: &Entry, key: &Bytes, now: Option<&Record>) {
        let before = match self.overlay.get(entry.transaction.partition.0, key) {
            Some(recent) => recent.record.as_ref(),
            None => entry.brought.get(key).and_then(Option::as_ref),
        };
        let place = |record: &Record| record.payload.and_then(Place::of_ref);
        let before = before.and_then(place).filter(|place| place.home == Home::Values);
        if let Some(before) = before
            && now.and_then(place) != Some(before)
        {
            let bytes = &self.shared.values_let_go;
            bytes.fetch_add(before.length.into(), std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// What became of an entry.
enum Taken {
    /// It is answered with the group.
    Waits,
    Answered(Result<(), StoreError>),
    Again(Option<Bytes>),
    NextGroup,
}

/// A change whose payload has been found.
struct Found<'a> {
    key: &'a Bytes,
    put: Option<(&'a Bytes, Kept<'a>)>,
}

/// Where a payload that a transaction keeps stands from now on.
fn moved(entry: &Entry, place: Place) -> Place {
    let moves = |extra: &Extra| extra.moves.get(&place).copied();
    entry.extra.as_deref().and_then(moves).unwrap_or(place)
}

/// Whether the evacuation of the payload's segment would not find this record among that segment's own.
pub(crate) fn names_an_older_segment(place: &Place, segment: u64) -> bool {
    place.home == Home::Segment && place.number != segment
}

/// Upper bounds of what a transaction takes in a frame: payloads, records.
fn sizes(changes: &[Found<'_>], own: &[(Vec<u8>, Option<Vec<u8>>)]) -> (usize, usize) {
    let mut payload_bytes = 0;
    let mut record_bytes = TRANSACTION_HEAD_BYTES;
    for (name, value) in own {
        record_bytes += CHANGE_HEAD_BYTES + name.len() + value.as_ref().map_or(0, Vec::len);
    }
    for change in changes {
        record_bytes += CHANGE_HEAD_BYTES + change.key.len();
        if let Some((value, kept)) = &change.put {
            // The largest of what may stand behind a value.
            record_bytes += value.len() + PLACE_BYTES;
            if let Kept::New(pieces) = kept {
                payload_bytes += pieces.iter().map(Bytes::len).sum::<usize>();
            }
        }
    }
    (payload_bytes, record_bytes)
}

fn answer(reply: oneshot::Sender<Reply>, result: Result<(), StoreError>) {
    // A caller that has gone away needs no answer.
    let _ = reply.send(Reply::Done(result));
}
