//! Opening a store: verify, walk, sync, replay, and only then serve.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use lsm_tree::Memtable;
use ossia_store::mutants::{self, Mutant};
use tokio::sync::watch;

use crate::{
    EngineOptions, OpenError,
    commit::names_an_older_segment,
    counters::Counters,
    disk::{Access, Disk, Lock},
    journal::{
        Journal, Written,
        frame::{BLOCK_BYTES, FrameKind},
        reached,
        record::{self, Beside, Home, Place},
        recover::{self, Located, Walk},
        segment::{self, Spares, Yard},
    },
    layout::{self, Layout},
    queue::Queue,
    shared::{Chores, Condition, Pressure, Shared, Tokens},
    span::Span,
    tree::{self, Index, Insert, value},
    values::{self, ValueLog},
};

/// What [`open`] makes.
pub(crate) struct Opened {
    pub(crate) held: Lock,
    pub(crate) shards: Vec<OpenedShard>,
}

/// A part of the store that has a journal and an index of its own.
pub(crate) struct OpenedShard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) folder: PathBuf,
    pub(crate) yard: Yard,
    pub(crate) values: ValueLog,
    pub(crate) journal: Journal,
    pub(crate) active: Arc<Memtable>,
    pub(crate) last: Option<Written>,
    pub(crate) since_checkpoint_bytes: u64,
}

/// Opens the folder. Nothing runs yet.
pub(crate) fn open(
    options: EngineOptions,
    disk: Arc<dyn Disk>,
    counters: Arc<Counters>,
) -> Result<Opened, OpenError> {
    options.check()?;
    let folder = options.data.clone();
    disk.make_folder(&folder).map_err(OpenError::io(&folder))?;
    let held = layout::hold(&folder)?;
    let wanted = options.shards_of_new_store();
    let layout =
        layout::open_or_make(&disk, &folder, wanted, options.of_shard(wanted).segment_bytes)?;
    let condition = Condition::new(Arc::clone(&disk), folder.clone(), options.reserve_bytes);
    let condition = Arc::new(condition);
    if options.shards != 0 && options.shards != layout.shards {
        let (there, asked) = (layout.shards, options.shards);
        tracing::info!(there, asked, "the store keeps the number of shards that it was made with");
    }
    let options = options.of_shard(layout.shards);
    let mut read = Vec::with_capacity(layout.shards);
    // All are verified before the first is written to.
    for number in 0..layout.shards {
        read.push(read_shard(&options, &disk, &layout::shard(&folder, number), layout)?);
    }
    layout::upgrade(&disk, &folder, layout)?;
    let shards = read
        .into_iter()
        .map(|shard| shard.start(&options, &disk, &condition, &counters, layout))
        .collect::<Result<Vec<_>, OpenError>>()?;
    Ok(Opened { held, shards })
}

/// A shard whose journal has been replayed.
pub(crate) struct ReadShard {
    pub(crate) folder: PathBuf,
    pub(crate) yard: Yard,
    index: Index,
    pub(crate) walk: Walk,
    tokens: Tokens,
    active: Arc<Memtable>,
    last: Option<Written>,
    since_checkpoint_bytes: u64,
    oldest: u64,
}

pub(crate) fn read_shard(
    options: &EngineOptions,
    disk: &Arc<dyn Disk>,
    folder: &Path,
    layout: Layout,
) -> Result<ReadShard, OpenError> {
    let yard = layout::yard(disk, folder, layout);
    let (index, from) = Index::open(disk, folder, options.cache_bytes)?;
    let walk = recover::believe(&yard, from)?;
    reached::verify(&yard, &walk)?;
    recover::make_durable(&walk, &yard)?;
    let tokens = Tokens::default();
    let stood_on = |from: recover::Standing| Written {
        segment: from.segment,
        offset: from.offset,
        number: from.number,
        check: from.check,
        bytes: 0,
    };
    let mut replay = Replay {
        index: &index,
        options,
        tokens: &tokens,
        journal: yard.folder.clone(),
        active: index.active(),
        last: from.map(stood_on),
        since_checkpoint_bytes: 0,
        oldest: from.map_or(1, |from| from.oldest),
    };
    for frame in &walk.frames {
        replay.frame(&walk, frame)?;
    }
    let Replay { active, last, since_checkpoint_bytes, oldest, .. } = replay;
    tokens.durable(index.seq_bound());
    let folder = folder.to_owned();
    Ok(ReadShard {
        folder,
        yard,
        index,
        walk,
        tokens,
        active,
        last,
        since_checkpoint_bytes,
        oldest,
    })
}

impl ReadShard {
    fn start(
        self,
        options: &EngineOptions,
        disk: &Arc<dyn Disk>,
        condition: &Arc<Condition>,
        counters: &Arc<Counters>,
        layout: Layout,
    ) -> Result<OpenedShard, OpenError> {
        let values = self.values(options, disk, layout)?;
        let segments_max = options.journal_bytes / options.segment_bytes;
        let spares_max = usize::try_from(segments_max / 4).unwrap_or(usize::MAX);
        let (yard, walk) = (&self.yard, &self.walk);
        let (journal, spares) = Journal::resume(yard, options.segment_bytes, spares_max, walk)?;
        let (active, last) = (Arc::clone(&self.active), self.last);
        let (yard, folder) = (yard.clone(), self.folder.clone());
        let since_checkpoint_bytes = self.since_checkpoint_bytes;
        let shared = self.share(options, disk, condition, counters, (journal.segment(), spares));
        Ok(OpenedShard {
            shared,
            folder,
            yard,
            values,
            journal,
            active,
            last,
            since_checkpoint_bytes,
        })
    }

    /// The value log of this shard, its files verified.
    pub(crate) fn values(
        &self,
        options: &EngineOptions,
        disk: &Arc<dyn Disk>,
        layout: Layout,
    ) -> Result<ValueLog, OpenError> {
        values(&self.index, options, disk, &self.folder, layout)
    }

    /// What callers and threads of this shard share; `journal` is the segment that is written, and where the next ones come from.
    pub(crate) fn share(
        self,
        options: &EngineOptions,
        disk: &Arc<dyn Disk>,
        condition: &Arc<Condition>,
        counters: &Arc<Counters>,
        (segment, spares): (u64, Arc<Spares>),
    ) -> Arc<Shared> {
        let segments_max = options.journal_bytes / options.segment_bytes;
        let snapshots = Arc::new(self.index.snapshots());
        let (pressure, _) = watch::channel(Pressure::default());
        let first = self.walk.segments.first().map_or(1, |segment| segment.number);
        let span = Span::new(first, self.oldest, segment, segments_max);
        let shared = Arc::new(Shared {
            options: options.clone(),
            disk: Arc::clone(disk),
            index: self.index,
            snapshots,
            queue: Queue::default(),
            spares,
            condition: Arc::clone(condition),
            tokens: self.tokens,
            pressure,
            measuring: Mutex::default(),
            chores: Chores::default(),
            span: Arc::new(span),
            // The opening frame is the first of its segment.
            end: Mutex::new((segment, 2 * BLOCK_BYTES)),
            values_let_go: AtomicU64::new(0),
            counters: Arc::clone(counters),
        });
        shared.measure_pressure();
        shared
    }
}

/// The value log: removes files that no record names, and refuses to start without one that is named.
fn values(
    index: &Index,
    options: &EngineOptions,
    disk: &Arc<dyn Disk>,
    shard: &Path,
    layout: Layout,
) -> Result<ValueLog, OpenError> {
    let folder = layout::values(shard);
    disk.make_folder(&folder).map_err(OpenError::io(&folder))?;
    disk.sync_folder(shard).map_err(OpenError::io(shard))?;
    let mut named = BTreeSet::new();
    let (from, to) = (value::own_key(b"v"), value::own_key(b"w"));
    for item in index.range(&from, &to, index.seq_bound()) {
        let (key, _) = item.map_err(|failed| index.blame(failed))?;
        named.extend(value::values_number(&key));
    }
    let mut files = BTreeMap::new();
    for name in disk.list(&folder).map_err(OpenError::io(&folder))? {
        let Some(number) = values::number_of(&name) else { continue };
        let path = folder.join(&name);
        if !named.contains(&number) {
            disk.remove(&path).map_err(OpenError::io(&path))?;
            continue;
        }
        let file = disk.open(&path, Access::Read).map_err(OpenError::io(&path))?;
        let mut header = vec![0; BLOCK_BYTES as usize];
        let read = file.read_at(&mut header, 0).map_err(OpenError::io(&path))?;
        header.truncate(read);
        if !values::is_header(&header, layout.store, number) {
            return Err(OpenError::Damaged {
                file: path,
                offset: 0,
                what: "its header is not that of this file of this store".into(),
                advice: recover::ADVICE.into(),
            });
        }
        files.insert(number, file.length().map_err(OpenError::io(&path))?);
    }
    if let Some(missing) = named.iter().find(|number| !files.contains_key(number)) {
        return Err(OpenError::Damaged {
            file: values::path(&folder, *missing),
            offset: 0,
            what: "it is missing, and the index names it".into(),
            advice: recover::ADVICE.into(),
        });
    }
    Ok(ValueLog::new(Arc::clone(disk), folder, layout.store, options.segment_bytes, files))
}

struct Replay<'a> {
    index: &'a Index,
    options: &'a EngineOptions,
    tokens: &'a Tokens,
    journal: PathBuf,
    active: Arc<Memtable>,
    last: Option<Written>,
    since_checkpoint_bytes: u64,
    oldest: u64,
}

impl Replay<'_> {
    fn frame(&mut self, walk: &Walk, frame: &Located) -> Result<(), OpenError> {
        let number = walk.segments.get(frame.at).map_or(0, |segment| segment.number);
        let path = segment::path(&self.journal, number);
        let bytes = frame.head.frame_bytes();
        let in_tables = mutants::on(Mutant::CheckpointFromTree)
            && self.index.highest_in_tables().is_some_and(|highest| frame.head.number <= highest);
        if frame.head.kind == FrameKind::Group && !in_tables {
            let damaged = |what: &str| OpenError::Damaged {
                file: path.clone(),
                offset: frame.offset,
                what: format!("frame {}: {what}", frame.head.number),
                advice: recover::ADVICE.into(),
            };
            let records = recover::read_records(&walk.segments, frame)
                .map_err(OpenError::io(&path))?
                .map_err(damaged)?;
            let (count, payload_bytes) = (frame.head.transactions, frame.head.payload_bytes);
            let transactions = record::decode_transactions(&records, count, payload_bytes)
                .ok_or_else(|| damaged("the records are not of their form"))?;
            self.insert(number, frame.offset, &transactions);
        }
        self.last = Some(Written {
            segment: number,
            offset: frame.offset,
            number: frame.head.number,
            check: frame.check,
            bytes,
        });
        self.since_checkpoint_bytes += bytes;
        self.rotate_if_due()
    }

    fn insert(&mut self, segment: u64, offset: u64, transactions: &[record::Transaction<'_>]) {
        let group = self.index.next_seq();
        let payloads_at = offset + crate::journal::frame::HEAD_BYTES as u64;
        // Within a group the last change of a key counts; all have one sequence number.
        let mut newest = HashMap::new();
        let mut own = HashMap::new();
        for transaction in transactions {
            self.tokens.enter(transaction.token, group);
            for change in &transaction.changes {
                if change.own {
                    own.insert(change.key.to_vec(), change.put.map(|(value, _)| value.to_vec()));
                } else {
                    newest.insert((transaction.partition, change.key), change.put);
                }
            }
        }
        let mut scratch = Vec::new();
        for ((partition, key), put) in newest {
            let insert = match put {
                None => Insert::Delete,
                Some((value, Beside::Nothing)) => Insert::Put(value, None),
                Some((value, Beside::Placed(place))) => {
                    if names_an_older_segment(&place, segment) {
                        let note = value::reference(place.number, partition, key);
                        own.insert(note, Some(vec![1]));
                    }
                    Insert::Put(value, Some(place))
                }
                Some((value, Beside::New { at, length, check })) => {
                    let offset = payloads_at + u64::from(at);
                    let home = Home::Segment;
                    let place = Place { home, number: segment, offset, length, check };
                    Insert::Put(value, Some(place))
                }
            };
            tree::insert(&self.active, &mut scratch, partition, key, &insert, group);
        }
        for (name, change) in own {
            tree::insert_own(&self.active, &name, change.as_deref(), group);
        }
    }

    /// A long replay must not take more memory than the commits that it replays.
    fn rotate_if_due(&mut self) -> Result<(), OpenError> {
        let Some(last) = self.last else { return Ok(()) };
        let due = self.active.size() >= self.options.memtable_bytes
            || self.since_checkpoint_bytes >= self.options.checkpoint_bytes;
        if !due || self.active.is_empty() {
            return Ok(());
        }
        self.index.rotate(&self.active, last, self.oldest);
        self.active = self.index.active();
        self.since_checkpoint_bytes = 0;
        let failed = |failed: tree::TreeFailed| self.index.blame(failed);
        // No reader is there yet, so everything older may go.
        let watermark = self.index.seq_bound();
        self.index.flush(watermark).map_err(failed)?;
        // Without this a long replay could pile up more runs than lsm-tree can reopen.
        while self.index.runs() >= tree::RUNS_SLOW
            && self.index.compact(watermark).map_err(failed)?
        {}
        self.index.renew_copies();
        self.index.trim(self.index.seq_bound());
        Ok(())
    }
}
