//! Emptying the journal's oldest segment, so that its file can be used again, and the value log that what it held goes to.
//!
//! One thread for each shard. What the index still names in the oldest segment is copied to the value log, synced, and then named
//! there by transactions that the commit thread runs like any other: each moves a payload only if its record still names the old
//! place. Which records to look at is told by the segment's own frames, and for records of later segments by notes that the commit
//! thread leaves; where the frames cannot be read, the whole index is looked through.
//!
//! Files of the value log that have lost much of what they held are emptied the same way. How much they have lost is counted in a
//! pass over the index; there are no live counts to be kept right.
//!
//! All of it may stop or run twice at any point (I10): a payload that was copied and not named there is only room lost. It changes
//! no visible byte. A failure of a sync is final for the store (I5); anything else is tried again later.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lsm_tree::Slice;
use ossia_store::{Partition, PayloadRef, Rejection, StoreError, Token, Transaction, Writes};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    commit::run_body,
    disk::{Access, DiskFile, is_full},
    journal::{
        frame::{FrameKind, HEAD_BYTES},
        record::{self, Beside, Home, Place},
        recover::{self, Contents},
        segment::{self, Yard},
    },
    payloads::Payloads,
    queue::{Brought, Entry, Extra, Reply},
    shared::Shared,
    submit::Bringing,
    tree::{RUNS_STOP, SEALED_STOP, TreeFailed, value},
    values::{self, ValueLog},
};

/// Records looked at together.
const BATCH_RECORDS: usize = 1_024;
/// Payload bytes that are copied and synced together.
const CHUNK_BYTES: usize = 1 << 20;
/// Payloads that one transaction moves.
const MOVES_MAX: usize = 256;
/// Times a payload is read before it counts as damaged.
const LOOKS_MAX: usize = 4;
/// More than are ever taken.
const PERMITS: usize = 64;
/// How often a transaction may come back.
const ROUNDS_MAX: usize = 64;
/// The longest pause between two chunks, and the pauses after failures.
const PAUSE_MAX: Duration = Duration::from_millis(100);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The pause while the index is behind with its own work.
const BEHIND_PAUSE: Duration = Duration::from_millis(5);
/// A file of the value log is emptied when it has lost this part of its bytes.
const LOST_PERCENT: u64 = 30;
/// The files are looked at when all together have lost this part.
const LOOK_PERCENT: u64 = 15;
/// This many files of less than a quarter of the usual length are made into one.
const SMALL_FILES_MAX: usize = 8;
/// Records of a pass between two looks at whether the store closes.
const PASS_RECORDS: usize = 4_096;

/// Why work was left.
#[derive(Debug)]
enum Stop {
    /// The store is closing or poisoned.
    Ended,
    /// To be tried again.
    Later(String),
}

impl From<TreeFailed> for Stop {
    fn from(failed: TreeFailed) -> Self {
        Self::Later(format!("the index cannot be read: {failed}"))
    }
}

/// What became of a transaction.
enum Tried {
    Done,
    /// What was read for it is too old.
    TooOld,
    /// Its records are more than one transaction may write.
    TooLarge,
}

/// A record that may name a payload in a file that is being emptied.
#[derive(Debug)]
struct Candidate {
    partition: u64,
    key: Bytes,
    place: Place,
}

/// The thread's state.
pub(crate) struct Evacuator {
    shared: Arc<Shared>,
    yard: Yard,
    values: ValueLog,
    /// Where readers hold files open.
    payloads: Arc<Payloads>,
    permits: Arc<Semaphore>,
    /// What was empty when a rotation was last asked for.
    asked_at: u64,
    /// The segment that was written when the value log was last looked at.
    looked_at: u64,
    source: Option<(Home, u64, Arc<dyn DiskFile>)>,
    /// Bytes and files of the value log as they were last counted.
    counted: (u64, u64),
}

impl Evacuator {
    pub(crate) fn new(
        shared: Arc<Shared>,
        yard: Yard,
        values: ValueLog,
        payloads: Arc<Payloads>,
    ) -> Self {
        let looked_at = shared.span.active();
        // Only this thread takes them, one at a time; the commit thread gives one back a moment after it has answered.
        let permits = Arc::new(Semaphore::new(PERMITS));
        Self {
            shared,
            yard,
            values,
            payloads,
            permits,
            asked_at: 0,
            looked_at,
            source: None,
            counted: (0, 0),
        }
    }

    /// The thread: returns when the store closes.
    pub(crate) fn run(mut self) {
        let mut retry = RETRY_FIRST;
        while self.wait() {
            let told = self.round();
            self.source = None;
            self.count_values();
            match told {
                Ok(()) => retry = RETRY_FIRST,
                Err(Stop::Ended) => return,
                Err(Stop::Later(what)) => {
                    tracing::warn!(what, "emptying the journal's oldest segment is put off");
                    if !self.shared.chores.pause(retry) {
                        return;
                    }
                    retry = (retry * 2).min(RETRY_MAX);
                    self.shared.chores.ask(|asked| asked.evacuate = true);
                }
            }
        }
    }

    fn count_values(&mut self) {
        let now = (self.values.bytes(), self.values.files());
        self.shared.counters.value_bytes.change(self.counted.0, now.0);
        self.shared.counters.value_files.change(self.counted.1, now.1);
        self.counted = now;
    }

    fn wait(&self) -> bool {
        let asked =
            |asked: &mut crate::shared::Asked| std::mem::take(&mut asked.evacuate).then_some(());
        self.shared.chores.wait(asked).is_some()
    }

    fn round(&mut self) -> Result<(), Stop> {
        if self.shared.span.lacks_copies() && !self.shared.renew_copies() {
            return Err(Stop::Later("the index's manifest cannot be copied".into()));
        }
        self.give_up();
        while self.shared.span.evacuation_due() {
            self.check()?;
            let segment = self.shared.span.emptied();
            self.empty_segment(segment)?;
            self.shared.span.empty(segment + 1);
            self.give_up();
            self.ask_for_rotation();
        }
        self.ask_for_rotation();
        if self.look_due() {
            self.look_after_values()?;
        }
        Ok(())
    }

    /// Gives the files of segments that nobody needs any more to who makes new ones.
    fn give_up(&self) {
        let mut any = false;
        while let Some(segment) = self.shared.span.give_up() {
            self.shared.spares.give_up(segment);
            self.shared.counters.segments_recycled.add(1);
            any = true;
        }
        if any {
            self.shared.measure_pressure();
        }
    }

    /// What is empty can only be given up once a checkpoint says so; has one made if that does not come soon enough by itself.
    fn ask_for_rotation(&mut self) {
        let emptied = self.shared.span.emptied();
        if self.shared.span.rotation_due() && self.asked_at < emptied {
            self.asked_at = emptied;
            self.shared.span.want_rotation();
            self.shared.queue.nudge();
        }
    }

    fn check(&self) -> Result<(), Stop> {
        let ended = self.shared.condition.poisoned().is_some() || self.shared.chores.is_stopped();
        if ended { Err(Stop::Ended) } else { Ok(()) }
    }

    /// Moves what the index names in a segment.
    fn empty_segment(&mut self, number: u64) -> Result<(), Stop> {
        let path = segment::path(&self.yard.folder, number);
        let read = recover::contents(&self.yard, number)
            .map_err(|error| Stop::Later(error.to_string()))?;
        let told = match read {
            Some(contents) => self.empty_frames(number, &contents)?,
            None => false,
        };
        if !told {
            tracing::error!(segment = %path.display(), "frames cannot be read; looking through the index instead");
            let in_it = |place: &Place| place.home == Home::Segment && place.number == number;
            self.move_all(in_it)?;
        }
        self.empty_references(number)
    }

    /// `false` when not all of the records can be read.
    fn empty_frames(&mut self, number: u64, contents: &Contents) -> Result<bool, Stop> {
        let mut batch = Vec::new();
        for frame in contents.frames.iter().filter(|frame| frame.head.kind == FrameKind::Group) {
            let records = recover::read_records(&contents.segments, frame).map_err(later)?;
            let Ok(records) = records else { return Ok(false) };
            let (count, payload_bytes) = (frame.head.transactions, frame.head.payload_bytes);
            let Some(transactions) = record::decode_transactions(&records, count, payload_bytes)
            else {
                return Ok(false);
            };
            let payloads_at = frame.offset + HEAD_BYTES as u64;
            for transaction in &transactions {
                for change in transaction.changes.iter().filter(|change| !change.own) {
                    let place = match change.put {
                        Some((_, Beside::New { at, length, check })) => {
                            let offset = payloads_at + u64::from(at);
                            Place { home: Home::Segment, number, offset, length, check }
                        }
                        Some((_, Beside::Placed(place))) => place,
                        _ => continue,
                    };
                    if (place.home, place.number) == (Home::Segment, number) {
                        let (partition, key) = (transaction.partition, change.key);
                        let key = Bytes::copy_from_slice(key);
                        batch.push(Candidate { partition, key, place });
                    }
                }
            }
            if batch.len() >= BATCH_RECORDS {
                self.move_live(std::mem::take(&mut batch))?;
            }
        }
        self.move_live(batch)?;
        Ok(true)
    }

    /// Moves what records of later segments name in this one, and then removes the notes of them.
    ///
    /// As long as any record names the segment, another one may take its payload over, under whatever key; that leaves a note, too.
    /// So all notes stay until not one of them is about a record that names the segment in one state of the index: from then on
    /// there is nothing left to take over.
    fn empty_references(&mut self, number: u64) -> Result<(), Stop> {
        while !self.move_referenced(number)? {}
        let (mut from, to) = notes(number);
        loop {
            self.check()?;
            let snapshot = self.shared.snapshots.open();
            let found = self.notes(&from, &to, snapshot.seq, MOVES_MAX)?;
            drop(snapshot);
            let Some(last) = found.last() else { return Ok(()) };
            from = [&last[..], &[0]].concat();
            let own = found.iter().filter_map(|note| Some((note.get(1..)?.to_vec(), None)));
            self.commit(0, &[], Extra { own: own.collect(), ..Extra::default() })?;
        }
    }

    /// Looks at all records that there are notes of, and moves what they name; whether none of them named the segment in one state.
    fn move_referenced(&mut self, number: u64) -> Result<bool, Stop> {
        let (mut from, to) = notes(number);
        let mut none = true;
        let mut snapshot = self.shared.snapshots.open();
        loop {
            self.check()?;
            let found = self.notes(&from, &to, snapshot.seq, BATCH_RECORDS)?;
            let Some(last) = found.last() else { return Ok(none) };
            from = [&last[..], &[0]].concat();
            let mut batch = Vec::new();
            for note in &found {
                let Some((partition, key)) = value::referenced(note) else { continue };
                if let Some(place) = self.place_at(partition, key, snapshot.seq)?
                    && (place.home, place.number) == (Home::Segment, number)
                {
                    batch.push(Candidate { partition, key: Bytes::copy_from_slice(key), place });
                }
            }
            none &= batch.is_empty();
            self.move_live(batch)?;
            if !none {
                // There will be another look: this one need not be at one state, which would keep much in memory.
                snapshot = self.shared.snapshots.open();
            }
        }
    }

    /// The keys of some notes from one on.
    fn notes(&self, from: &[u8], to: &[u8], seq: u64, count: usize) -> Result<Vec<Slice>, Stop> {
        let found = self.shared.index.range(from, to, seq).take(count);
        found.map(|item| Ok(item?.0)).collect()
    }

    fn place_of(&self, partition: u64, key: &[u8]) -> Result<Option<Place>, Stop> {
        let snapshot = self.shared.snapshots.open();
        self.place_at(partition, key, snapshot.seq)
    }

    fn place_at(&self, partition: u64, key: &[u8], seq: u64) -> Result<Option<Place>, Stop> {
        let found = self.shared.index.get(&value::key(partition, key), seq)?;
        let Some(found) = found else { return Ok(None) };
        value::place(&found)
            .ok_or_else(|| Stop::Later("a record of the index is not of its form".into()))
    }

    /// Moves those of the payloads that their records still name.
    fn move_live(&mut self, mut batch: Vec<Candidate>) -> Result<(), Stop> {
        self.check()?;
        let mut failed = None;
        batch.retain(|candidate| match self.place_of(candidate.partition, &candidate.key) {
            Ok(now) => now == Some(candidate.place),
            Err(stop) => {
                failed = Some(stop);
                false
            }
        });
        if let Some(stop) = failed {
            return Err(stop);
        }
        batch.sort_by_key(|c| (c.place.home, c.place.number, c.place.offset));
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let mut bytes = 0_usize;
            let fits = |candidate: &&Candidate| {
                let before = bytes;
                bytes = bytes.saturating_add(candidate.place.length as usize);
                before == 0 || bytes <= CHUNK_BYTES
            };
            let (chunk, others) = rest.split_at(rest.iter().take_while(fits).count());
            rest = others;
            let began = Instant::now();
            self.move_chunk(chunk)?;
            let gives_way = !self.shared.span.is_pressed();
            if gives_way && !self.shared.chores.pause(began.elapsed().min(PAUSE_MAX)) {
                return Err(Stop::Ended);
            }
        }
        Ok(())
    }

    fn move_chunk(&mut self, chunk: &[Candidate]) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        let mut starts: HashMap<Place, usize> = HashMap::new();
        for candidate in chunk {
            let place = candidate.place;
            // Several records may share a payload.
            if starts.contains_key(&place) {
                continue;
            }
            starts.insert(place, bytes.len());
            self.read(place, &mut bytes)?;
        }
        let (number, new) = self.values.writable().map_err(|error| self.failed(&error))?;
        if new {
            let named = (value::values_file(number), Some(vec![1]));
            let named = self.commit(0, &[], Extra { own: vec![named], ..Extra::default() });
            if named.is_err() {
                // Nothing may be put into a file that the next start would remove.
                self.values.close();
            }
            named?;
        }
        let appended = self.values.append(&bytes);
        let (number, offset) = appended.map_err(|error| self.failed(&error))?;
        self.shared.counters.evacuated_bytes.add(bytes.len() as u64);
        let moves: HashMap<Place, Place> = starts
            .into_iter()
            .map(|(from, start)| (from, values::place(number, offset + start as u64, &from)))
            .collect();
        let mut partitions: BTreeMap<u64, Vec<(Bytes, PayloadRef)>> = BTreeMap::new();
        for candidate in chunk {
            let keys = partitions.entry(candidate.partition).or_default();
            keys.push((candidate.key.clone(), candidate.place.to_ref()));
        }
        for (partition, keys) in partitions {
            for keys in keys.chunks(MOVES_MAX) {
                self.commit_moves(partition, keys, &moves)?;
            }
        }
        Ok(())
    }

    /// Adds a payload's bytes as they stand: damaged ones stay damaged, with the checksum that tells. What was read wrong once may
    /// only have been read wrong, and this copy will be the only one, so it takes several looks to believe in damage.
    fn read(&mut self, place: Place, into: &mut Vec<u8>) -> Result<(), Stop> {
        let start = into.len();
        into.resize(start + place.length as usize, 0);
        let target = into.get_mut(start..).unwrap_or_default();
        for look in 1..=LOOKS_MAX {
            let file = self.source_of(place)?;
            let read = file.read_at(target, place.offset).map_err(later)?;
            let whole = read == place.length as usize;
            if whole && crc32c::crc32c(target) == place.check {
                return Ok(());
            }
            // Opened anew for the next look.
            self.source = None;
            if look == LOOKS_MAX {
                let (file, offset) = (self.path_of(place), place.offset);
                let file = file.display();
                if whole {
                    tracing::error!(%file, offset, "a payload does not match its checksum");
                } else {
                    // Damage that cannot be copied as it stands: zeros under the same checksum tell as much.
                    tracing::error!(%file, offset, "the file ends within a payload");
                }
            }
        }
        Ok(())
    }

    fn path_of(&self, place: Place) -> std::path::PathBuf {
        match place.home {
            Home::Segment => segment::path(&self.yard.folder, place.number),
            Home::Values => values::path(&self.values_folder(), place.number),
        }
    }

    fn source_of(&mut self, place: Place) -> Result<Arc<dyn DiskFile>, Stop> {
        if let Some((home, number, file)) = &self.source
            && (*home, *number) == (place.home, place.number)
        {
            return Ok(Arc::clone(file));
        }
        let file = self.shared.disk.open(&self.path_of(place), Access::Read).map_err(later)?;
        self.source = Some((place.home, place.number, Arc::clone(&file)));
        Ok(file)
    }

    fn values_folder(&self) -> std::path::PathBuf {
        self.yard.folder.with_file_name("values")
    }

    /// What a failed write or sync of the value log means.
    fn failed(&self, error: &io::Error) -> Stop {
        if is_full(error) {
            return Stop::Later(format!("the medium is full: {error}"));
        }
        self.shared.poison(format!("writing the value log failed: {error}"));
        Stop::Ended
    }

    fn commit_moves(
        &self,
        partition: u64,
        keys: &[(Bytes, PayloadRef)],
        moves: &HashMap<Place, Place>,
    ) -> Result<(), Stop> {
        let of = |(_, from): &(Bytes, PayloadRef)| {
            let from = Place::of_ref(*from)?;
            Some((from, moves.get(&from).copied()?))
        };
        let moves = keys.iter().filter_map(of).collect();
        self.commit(partition, keys, Extra { moves, own: Vec::new() })
    }

    /// Runs a transaction of the engine: for each key, if its record names this payload, keeps it, at the place where it stands now.
    fn commit(
        &self,
        partition: u64,
        keys: &[(Bytes, PayloadRef)],
        extra: Extra,
    ) -> Result<(), Stop> {
        let wanted = keys.to_vec();
        let body = move |view: &dyn ossia_store::View| {
            let mut writes = Writes::none();
            for (key, from) in &wanted {
                if let Some(record) = view.get(key)?
                    && record.payload == Some(*from)
                {
                    let kept = ossia_store::Payload::Of(key.clone());
                    writes.put_with(key.clone(), record.value, kept);
                }
            }
            Ok(writes)
        };
        let transaction = Transaction {
            partition: Partition(partition),
            token: Token::unique(),
            hints: keys.iter().map(|(key, _)| key.clone()).collect(),
            body: Arc::new(body),
        };
        for _ in 0..ROUNDS_MAX {
            self.wait_for_index()?;
            match self.try_commit(&transaction, &extra)? {
                Tried::Done => return Ok(()),
                Tried::TooOld => {}
                Tried::TooLarge if keys.len() > 1 => {
                    let (first, second) = keys.split_at(keys.len() / 2);
                    let moves = extra.moves.clone();
                    self.commit(partition, first, Extra { moves, own: Vec::new() })?;
                    return self.commit(partition, second, extra);
                }
                Tried::TooLarge => break,
            }
        }
        Err(Stop::Later("the commit thread does not take a transaction of its own".into()))
    }

    fn try_commit(&self, transaction: &Transaction, extra: &Extra) -> Result<Tried, Stop> {
        let snapshot = Arc::new(self.shared.snapshots.open());
        let mut brought = Brought::new();
        for key in &transaction.hints {
            let whole = value::key(transaction.partition.0, key);
            let record = match self.shared.index.get(&whole, snapshot.seq)? {
                None => None,
                Some(found) => Some(value::decode(&found).ok_or_else(|| {
                    Stop::Later("a record of the index is not of its form".into())
                })?),
            };
            brought.insert(key.clone(), record);
        }
        let later = |what: String| Stop::Later(format!("a transaction of its own: {what}"));
        let ran = match run_body(transaction, &Bringing(&brought)) {
            // Records that are large together are split among transactions.
            Err(Rejection::Limit(_)) => return Ok(Tried::TooLarge),
            told => told,
        };
        let preview = ran
            .map_err(|rejection| later(rejection.to_string()))?
            .map_err(|_| later("it reads what it has not named".into()))?;
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| later("too many are under way".into()))?;
        let (reply, told) = oneshot::channel();
        let (transaction, extra) = (transaction.clone(), Some(Box::new(extra.clone())));
        let entry = Entry { transaction, snapshot, brought, preview, extra, reply, permit };
        if self.shared.queue.push(entry).is_err() {
            return Err(Stop::Ended);
        }
        match told.blocking_recv() {
            Ok(Reply::Done(Ok(()))) => Ok(Tried::Done),
            Ok(Reply::Again { .. }) => Ok(Tried::TooOld),
            Ok(Reply::Done(Err(StoreError::Rejected(Rejection::Full(what))))) => Err(later(what)),
            Ok(Reply::Done(Err(error))) => {
                self.check()?;
                Err(later(error.to_string()))
            }
            Err(_) => Err(Stop::Ended),
        }
    }

    /// Moves add to the index: they wait while that is behind.
    fn wait_for_index(&self) -> Result<(), Stop> {
        loop {
            self.check()?;
            let now = *self.shared.pressure.borrow();
            if now.runs < RUNS_STOP && now.sealed < SEALED_STOP {
                return Ok(());
            }
            if !self.shared.chores.pause(BEHIND_PAUSE) {
                return Err(Stop::Ended);
            }
        }
    }

    /// Moves every payload that the index names where `leaves` says.
    ///
    /// Page by page, each on a state of its own: a state that is looked at keeps all memtables since in memory. So a record may take
    /// a payload over under a key that has been passed already: the caller looks again.
    fn move_all(&mut self, leaves: impl Fn(&Place) -> bool) -> Result<(), Stop> {
        let (mut from, to) = value::users();
        loop {
            let (mut batch, mut last) = (Vec::new(), None);
            {
                let snapshot = self.shared.snapshots.open();
                for item in self.shared.index.range(&from, &to, snapshot.seq).take(PASS_RECORDS) {
                    let (key, found) = item?;
                    let (partition, own, place) = named(&key, &found)?;
                    if let Some(place) = place.filter(|place| leaves(place)) {
                        let key = Bytes::copy_from_slice(own);
                        batch.push(Candidate { partition, key, place });
                    }
                    last = Some(key);
                }
            }
            let Some(last) = last else { return Ok(()) };
            from = [&last[..], &[0]].concat();
            self.move_live(batch)?;
            if !self.shared.chores.pause(Duration::from_millis(1)) {
                return Err(Stop::Ended);
            }
        }
    }

    fn look_due(&self) -> bool {
        use std::sync::atomic::Ordering;
        let bytes = self.values.bytes();
        let let_go = self.shared.values_let_go.load(Ordering::Relaxed);
        let floor = self.shared.options.segment_bytes;
        if let_go > floor && let_go.saturating_mul(100) > bytes.saturating_mul(LOOK_PERCENT) {
            return true;
        }
        // What was let go before this start is not known: once everything could have been written anew a few times, it is looked up.
        let written = (self.shared.span.active() - self.looked_at).saturating_mul(floor);
        bytes > 0 && written / 4 > bytes.max(self.shared.options.journal_bytes)
    }

    /// Empties the files of the value log that have lost much, and removes those that nothing names.
    fn look_after_values(&mut self) -> Result<(), Stop> {
        self.looked_at = self.shared.span.active();
        self.shared.values_let_go.store(0, std::sync::atomic::Ordering::Relaxed);
        let closed: BTreeMap<u64, u64> = self.values.closed().collect();
        let live = self.live_bytes()?;
        let of = |number: &u64| live.get(number).copied().unwrap_or(0);
        let small = self.shared.options.segment_bytes / 4;
        let smalls = closed.values().filter(|&&bytes| bytes < small).count();
        let leaves: BTreeSet<u64> = closed
            .iter()
            .filter(|&(number, &bytes)| {
                let lost = bytes.saturating_sub(of(number));
                lost.saturating_mul(100) >= bytes.saturating_mul(LOST_PERCENT)
                    || (bytes < small && smalls >= SMALL_FILES_MAX)
            })
            .map(|(&number, _)| number)
            .collect();
        if leaves.is_empty() {
            return Ok(());
        }
        let to_move = leaves.iter().any(|number| of(number) > 0);
        let left = if to_move {
            self.move_all(|place| place.home == Home::Values && leaves.contains(&place.number))?;
            self.live_bytes()?
        } else {
            live
        };
        let gone = leaves.into_iter().filter(|number| !left.contains_key(number));
        let span = Arc::clone(&self.shared.span);
        for number in gone {
            let told = span.unless_held(|| {
                let unnamed = (value::values_file(number), None);
                self.commit(0, &[], Extra { own: vec![unnamed], ..Extra::default() })?;
                self.values.remove(number).map_err(later)
            });
            match told {
                // They are looked at again.
                None => return Ok(()),
                Some(removed) => removed?,
            }
            self.payloads.forget(Home::Values, number);
        }
        Ok(())
    }

    /// Bytes that the index names in each file of the value log.
    ///
    /// One state of the index is looked at throughout: so what no record named there, none will ever name.
    fn live_bytes(&self) -> Result<BTreeMap<u64, u64>, Stop> {
        let mut live = BTreeMap::new();
        let snapshot = self.shared.snapshots.open();
        let (from, to) = value::users();
        for (count, item) in self.shared.index.range(&from, &to, snapshot.seq).enumerate() {
            if count % PASS_RECORDS == 0 && !self.shared.chores.pause(Duration::from_millis(1)) {
                return Err(Stop::Ended);
            }
            let (key, found) = item?;
            if let (.., Some(place)) = named(&key, &found)?
                && place.home == Home::Values
            {
                *live.entry(place.number).or_default() += u64::from(place.length);
            }
        }
        Ok(live)
    }
}

/// The partition and the key of a record of the index, and where its payload stands.
fn named<'a>(key: &'a [u8], found: &[u8]) -> Result<(u64, &'a [u8], Option<Place>), Stop> {
    let told = value::split(key).zip(value::place(found));
    let ((partition, key), place) =
        told.ok_or_else(|| Stop::Later("a record of the index is not of its form".into()))?;
    Ok((partition, key, place))
}

/// Where the notes about a segment begin in the index, and the first key behind them.
fn notes(segment: u64) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = value::references(segment);
    (value::own_key(&from), value::own_key(&to))
}

fn later(error: io::Error) -> Stop {
    Stop::Later(error.to_string())
}
