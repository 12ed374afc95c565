//! Opening a store: verify, walk, sync, replay, and only then serve.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use lsm_tree::Memtable;
use tokio::sync::watch;

use crate::{
    EngineOptions, OpenError,
    disk::{Disk, Lock},
    journal::{
        Journal, Written,
        frame::FrameKind,
        record::{self, Beside, Home, Place},
        recover::{self, Located, Walk},
        segment,
    },
    layout,
    queue::Queue,
    shared::{Chores, Condition, Pressure, Shared, Tokens},
    tree::{self, Index, Insert},
};

/// What [`open`] makes.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) held: Lock,
    pub(crate) journal: Journal,
    pub(crate) active: Arc<Memtable>,
    pub(crate) last: Option<Written>,
    pub(crate) since_checkpoint_bytes: u64,
    pub(crate) oldest: u64,
}

/// Opens the folder. Nothing runs yet.
pub(crate) fn open(options: EngineOptions, disk: Arc<dyn Disk>) -> Result<Opened, OpenError> {
    options.check()?;
    let folder = options.data.clone();
    disk.make_folder(&folder).map_err(OpenError::io(&folder))?;
    let held = layout::hold(&folder)?;
    let layout = layout::open_or_make(&disk, &folder, options.segment_bytes)?;
    let shard = layout::shard(&folder);
    let yard = layout::yard(&disk, &shard, layout);
    let (index, from) = Index::open(&disk, &shard, options.cache_bytes)?;
    let walk = recover::walk(&yard, recover::segments(&yard)?, from)?;
    recover::make_durable(&walk, &yard)?;
    let tokens = Tokens::default();
    let mut replay = Replay {
        index: &index,
        options: &options,
        tokens: &tokens,
        journal: yard.folder.clone(),
        active: index.active(),
        last: None,
        since_checkpoint_bytes: 0,
        oldest: from.map_or(1, |from| from.oldest),
    };
    for frame in &walk.frames {
        replay.frame(&walk, frame)?;
    }
    let Replay { active, last, since_checkpoint_bytes, oldest, .. } = replay;
    tokens.durable(index.seq_bound());
    let (journal, spares) = Journal::resume(&yard, options.segment_bytes, &walk)?;
    let snapshots = Arc::new(index.snapshots());
    let (pressure, _) = watch::channel(Pressure::default());
    let condition = Condition::new(Arc::clone(&disk), folder, options.reserve_bytes);
    let shared = Arc::new(Shared {
        options,
        disk,
        index,
        snapshots,
        queue: Queue::default(),
        spares,
        condition,
        tokens,
        pressure,
        chores: Chores::default(),
    });
    shared.measure_pressure();
    Ok(Opened { shared, held, journal, active, last, since_checkpoint_bytes, oldest })
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
        if frame.head.kind == FrameKind::Group {
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
        for transaction in transactions {
            self.tokens.enter(transaction.token, group);
            for change in &transaction.changes {
                newest.insert((transaction.partition, change.key), change.put);
            }
        }
        let mut scratch = Vec::new();
        for ((partition, key), put) in newest {
            let insert = match put {
                None => Insert::Delete,
                Some((value, Beside::Nothing)) => Insert::Put(value, None),
                Some((value, Beside::Placed(place))) => Insert::Put(value, Some(place)),
                Some((value, Beside::New { at, length, check })) => {
                    let offset = payloads_at + u64::from(at);
                    let home = Home::Segment;
                    let place = Place { home, number: segment, offset, length, check };
                    Insert::Put(value, Some(place))
                }
            };
            tree::insert(&self.active, &mut scratch, partition, key, &insert, group);
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
        let failed = |failed: tree::TreeFailed| OpenError::Io {
            path: self.journal.clone(),
            error: std::io::Error::other(format!("flushing the index failed: {failed}")),
        };
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
