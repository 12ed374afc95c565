//! Does what `hostility` decides: the worst engine that still keeps the contracts.
//!
//! A transaction runs as it would against a distant store. Its keys are fetched one by one, each at its own moment; a finished
//! run counts only if, under the partition's lock, all that it read still stands; else it is thrown away and the body runs again.
//! After a bounded number of runs the body runs under the lock, so that every transaction ends (I7).
//!
//! Invariants: the run that counts is the body's last; a token that was told to be absent has left `on_the_way`, which is the
//! only place from where it could commit; the partition's lock is taken before the chaos's own.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::{runtime::Handle, task::yield_now};

use super::{
    Inner, Shard,
    hostility::{Dice, Hostility},
    records::{Entry, Reading, run},
};
use crate::{
    BlobError, Item, KEYS_MAX, NotBrought, Page, Partition, ReadError, Record, Rejection, Scan,
    Settled, StoreError, Token, Transaction, View, Writes, successor,
};

/// Finished runs of one body before it runs under the lock.
const RUNS_MAX: usize = 16;
/// Transactions whose fate is open; the oldest is decided when there are more.
const ON_THE_WAY_MAX: usize = 16;
/// Outcomes that are remembered for `settle`.
const OUTCOMES_MAX: usize = 1 << 16;
/// Earlier values of keys that are remembered, to be shown to bodies.
const PAST_MAX: usize = 256;

/// The state of a hostile store's hostility.
pub(super) struct Chaos {
    knobs: Hostility,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    on_the_way: VecDeque<OnTheWay>,
    outcomes: HashMap<Token, Outcome>,
    outcome_order: VecDeque<Token>,
    past: HashMap<(Partition, Bytes), Option<Entry>>,
    past_order: VecDeque<(Partition, Bytes)>,
}

/// A transaction that was sent and not yet decided: it commits if what it read still stands.
struct OnTheWay {
    partition: Partition,
    token: Token,
    desk: Desk,
    writes: Writes,
}

struct Outcome {
    partition: Partition,
    settled: Option<Settled>,
    /// So many times it cannot be told yet.
    silences: u8,
}

/// How a transaction that could commit ends.
enum Fate {
    Told,
    CommittedUntold,
    Lost,
    OnTheWay,
}

/// What was fetched for a body, and which of it the last run looked at.
#[derive(Default)]
struct Desk {
    brought: HashMap<Bytes, Option<Entry>>,
    read: HashSet<Bytes>,
}

impl Desk {
    /// Forgets what the last run looked at and no longer stands; tells whether that was anything.
    fn drop_stale(&mut self, inner: &Inner, shard: &Shard, partition: Partition) -> bool {
        let before = self.brought.len();
        let Self { brought, read } = self;
        brought.retain(|key, seen| {
            !read.contains(key) || same(seen.as_ref(), inner.entry(shard, partition, key))
        });
        brought.len() < before
    }
}

fn same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// What a body sees of its desk.
struct DeskView<'a> {
    inner: &'a Inner,
    chaos: &'a Chaos,
    partition: Partition,
    /// Whether a missing key is fetched on the spot.
    generous: bool,
    desk: RefCell<&'a mut Desk>,
    missing: RefCell<Option<Bytes>>,
}

impl View for DeskView<'_> {
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought> {
        let mut desk = self.desk.borrow_mut();
        if !desk.brought.contains_key(key) {
            if !self.generous {
                *self.missing.borrow_mut() = Some(key.clone());
                return Err(NotBrought(key.clone()));
            }
            // Past the limit the run is refused anyway: what it reads need not be kept.
            if desk.read.len() > KEYS_MAX {
                return Ok(None);
            }
            let entry = self.chaos.fetch(self.inner, self.partition, key);
            desk.brought.insert(key.clone(), entry);
        }
        desk.read.insert(key.clone());
        let entry = desk.brought.get(key).and_then(Option::as_ref);
        Ok(entry.map(|entry| self.chaos.relocated(entry.record())))
    }
}

impl Chaos {
    pub(super) fn new(knobs: Hostility) -> Self {
        Self { dice: Dice::new(knobs.seed), knobs, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets other tasks go first.
    pub(super) async fn pause(&self) {
        for _ in 0..self.dice.up_to(self.knobs.yields_max.into()) {
            yield_now().await;
        }
    }

    /// Before a read of the index.
    pub(super) async fn before_read(
        &self,
        inner: &Inner,
        partition: Partition,
    ) -> Result<(), ReadError> {
        self.pause().await;
        self.land_some(inner, partition);
        if self.dice.chance(self.knobs.read_fails_per_mille) {
            return Err(ReadError::Io("hostility".into()));
        }
        Ok(())
    }

    /// Before a blob is made, written or read.
    pub(super) async fn before_blob(&self) -> Result<(), BlobError> {
        self.blob_step(self.knobs.blob_fails_per_mille).await
    }

    /// Before a blob is adopted or deleted.
    pub(super) async fn before_blob_move(&self) -> Result<(), BlobError> {
        self.blob_step(self.knobs.blob_move_fails_per_mille).await
    }

    async fn blob_step(&self, per_mille: u16) -> Result<(), BlobError> {
        self.pause().await;
        if self.dice.chance(per_mille) { Err(BlobError::Io("hostility".into())) } else { Ok(()) }
    }

    /// The record with its payload somewhere else than before.
    pub(super) fn relocated(&self, mut record: Record) -> Record {
        if let Some(payload) = &mut record.payload
            && self.dice.chance(self.knobs.relocation_per_mille)
        {
            payload.place.0[1] = self.dice.roll();
        }
        record
    }

    /// A page of what `whole` answers, cut short where the contract permits it.
    pub(super) fn page(&self, mut scan: Scan, whole: impl Fn(&Scan) -> Page) -> Page {
        let short = self.dice.chance(self.knobs.short_page_per_mille);
        if short {
            scan.limit = 1 + self.dice.up_to(scan.limit.max(1) - 1);
        }
        let mut page = whole(&scan);
        for item in &mut page.items {
            if let Item::Record(_, record) = item {
                *record = self.relocated(record.clone());
            }
        }
        if !short {
            return page;
        }
        match page.items.last() {
            // Nothing at all, where the engine can say that there is nothing before the first key.
            Some(_) if self.dice.chance(250) => {
                let first = whole(&Scan { limit: 1, fold: None, ..scan.clone() });
                if let Some(Item::Record(key, _)) = first.items.first()
                    && *key > scan.start
                {
                    return Page { items: Vec::new(), resume: Some(key.clone()) };
                }
            }
            // A resume that is no key, perhaps with nothing behind it.
            Some(last) => {
                let after = match last {
                    Item::Record(key, _) => Some(next_key(key)),
                    Item::Prefix(prefix) => successor(prefix),
                };
                page.resume = after.filter(|after| scan.end.as_ref().is_none_or(|end| after < end));
            }
            None => {}
        }
        page
    }

    /// What stands under a key, or, now and then, what stood there before.
    fn fetch(&self, inner: &Inner, partition: Partition, key: &Bytes) -> Option<Entry> {
        let shard = inner.shard(partition);
        if self.dice.chance(self.knobs.stale_per_mille)
            && let Some(past) = self.state().past.get(&(partition, key.clone()))
        {
            return past.clone();
        }
        inner.entry(&shard, partition, key).cloned()
    }

    /// Lets some of the partition's undecided transactions take effect.
    fn land_some(&self, inner: &Inner, partition: Partition) {
        let mut shard = inner.shard(partition);
        let mut landing = Vec::new();
        let mut state = self.state();
        let mut place = 0;
        while let Some(sent) = state.on_the_way.get(place) {
            if sent.partition == partition && self.dice.chance(300) {
                landing.extend(state.on_the_way.remove(place));
            } else {
                place += 1;
            }
        }
        drop(state);
        for sent in landing {
            self.land(inner, &mut shard, sent);
        }
    }

    /// Decides a transaction that was on its way.
    fn land(&self, inner: &Inner, shard: &mut Shard, mut sent: OnTheWay) -> Settled {
        let stale = sent.desk.drop_stale(inner, shard, sent.partition);
        let landed = !stale
            && !inner.is_closed()
            && self.commit(inner, shard, sent.partition, sent.writes, &sent.desk.read).is_ok();
        let settled = if landed { Settled::Committed } else { Settled::Absent };
        if let Some(outcome) = self.state().outcomes.get_mut(&sent.token) {
            outcome.settled = Some(settled);
        }
        settled
    }

    /// Commits, and remembers what stood before.
    fn commit(
        &self,
        inner: &Inner,
        shard: &mut Shard,
        partition: Partition,
        writes: Writes,
        read: &HashSet<Bytes>,
    ) -> Result<(), Rejection> {
        let before: Vec<_> = writes
            .changes()
            .iter()
            .map(|(key, _)| (key.clone(), inner.entry(shard, partition, key).cloned()))
            .collect();
        inner.commit(shard, partition, writes, read)?;
        // What is remembered keeps its bytes; a store with a bound must be able to let go of them.
        if inner.options.bytes_max.is_none() {
            let mut state = self.state();
            for (key, entry) in before {
                state.remember((partition, key), entry);
            }
        }
        Ok(())
    }

    fn fate(&self) -> Fate {
        if !self.dice.chance(self.knobs.unknown_per_mille) {
            return Fate::Told;
        }
        match self.dice.up_to(2) {
            0 => Fate::CommittedUntold,
            1 => Fate::Lost,
            _ => Fate::OnTheWay,
        }
    }

    /// Ends a transaction whose run counts, as its fate has it.
    fn end(
        &self,
        inner: &Inner,
        shard: &mut Shard,
        transaction: &Transaction,
        desk: Desk,
        writes: Writes,
    ) -> Result<(), StoreError> {
        let Transaction { partition, token, .. } = *transaction;
        match self.fate() {
            Fate::Told => Ok(self.commit(inner, shard, partition, writes, &desk.read)?),
            Fate::CommittedUntold => {
                self.commit(inner, shard, partition, writes, &desk.read)?;
                self.untold(partition, token, Some(Settled::Committed))
            }
            Fate::Lost => self.untold(partition, token, Some(Settled::Absent)),
            Fate::OnTheWay => {
                let mut state = self.state();
                state.on_the_way.push_back(OnTheWay { partition, token, desk, writes });
                if state.on_the_way.len() > ON_THE_WAY_MAX
                    && let Some(lost) = state.on_the_way.pop_front()
                    && let Some(outcome) = state.outcomes.get_mut(&lost.token)
                {
                    outcome.settled = Some(Settled::Absent);
                }
                drop(state);
                self.untold(partition, token, None)
            }
        }
    }

    fn untold(
        &self,
        partition: Partition,
        token: Token,
        settled: Option<Settled>,
    ) -> Result<(), StoreError> {
        let seldom = self.dice.chance(250);
        let most = if seldom { self.knobs.settle_unknown_max } else { 0 };
        let silences = self.dice.up_to(most.into()) as u8;
        let mut state = self.state();
        state.outcomes.insert(token, Outcome { partition, settled, silences });
        state.outcome_order.push_back(token);
        if state.outcome_order.len() > OUTCOMES_MAX
            && let Some(oldest) = state.outcome_order.pop_front()
        {
            state.outcomes.remove(&oldest);
        }
        Err(StoreError::Unknown("hostility".into()))
    }

    pub(super) async fn settle(
        &self,
        inner: &Inner,
        partition: Partition,
        token: Token,
    ) -> Result<Settled, StoreError> {
        self.pause().await;
        let mut shard = inner.shard(partition);
        if inner.is_closed() {
            return Err(Rejection::Closed.into());
        }
        let mut state = self.state();
        let Some(outcome) = state.outcomes.get_mut(&token).filter(|o| o.partition == partition)
        else {
            return Err(Rejection::Limit(super::NOTHING_TO_SETTLE).into());
        };
        if outcome.silences > 0 {
            outcome.silences -= 1;
            return Err(StoreError::Unknown("hostility".into()));
        }
        if let Some(settled) = outcome.settled {
            return Ok(settled);
        }
        let place = state.on_the_way.iter().position(|sent| sent.token == token);
        let sent = place.and_then(|place| state.on_the_way.remove(place));
        if self.dice.chance(500)
            && let Some(sent) = sent
        {
            drop(state);
            return Ok(self.land(inner, &mut shard, sent));
        }
        if let Some(outcome) = state.outcomes.get_mut(&token) {
            outcome.settled = Some(Settled::Absent);
        }
        Ok(Settled::Absent)
    }

    /// Runs the body until all that it asks for is on its desk; an error is what the run would answer, did it count.
    async fn run(
        &self,
        inner: &Inner,
        transaction: &Transaction,
        desk: &mut Desk,
        brings: &mut usize,
    ) -> Result<Writes, Rejection> {
        loop {
            self.pause().await;
            desk.read.clear();
            let (ran, missing) = {
                let view = DeskView {
                    inner,
                    chaos: self,
                    partition: transaction.partition,
                    generous: *brings == 0,
                    desk: RefCell::new(desk),
                    missing: RefCell::default(),
                };
                (run(&*transaction.body, &view), view.missing.into_inner())
            };
            let Some(key) = missing else {
                return ran?.map_err(|_| Rejection::Limit(super::ASKED_FOR_NOTHING));
            };
            *brings -= 1;
            let entry = self.fetch(inner, transaction.partition, &key);
            desk.brought.insert(key, entry);
        }
    }

    /// Ends the transaction if the run counts; `None` when the body must run again.
    fn judge(
        &self,
        inner: &Inner,
        transaction: &Transaction,
        desk: &mut Desk,
        ran: Result<Writes, Rejection>,
        discards: &mut usize,
    ) -> Option<Result<(), StoreError>> {
        let mut shard = inner.shard(transaction.partition);
        if inner.is_closed() {
            return Some(Err(Rejection::Closed.into()));
        }
        if desk.drop_stale(inner, &shard, transaction.partition) {
            return None;
        }
        if *discards > 0 {
            *discards -= 1;
            if self.dice.chance(500) {
                desk.brought.clear();
            }
            return None;
        }
        let ended = ran.map_err(StoreError::from).and_then(|writes| {
            self.end(inner, &mut shard, transaction, std::mem::take(desk), writes)
        });
        Some(ended)
    }

    /// Runs the body where nothing can come between.
    fn run_under_the_lock(
        &self,
        inner: &Inner,
        transaction: &Transaction,
    ) -> Result<(), StoreError> {
        let partition = transaction.partition;
        let mut shard = inner.shard(partition);
        if inner.is_closed() {
            return Err(Rejection::Closed.into());
        }
        let view = Reading::new(shard.get(&partition));
        let writes = run(&*transaction.body, &view)?
            .map_err(|_| Rejection::Limit(super::ASKED_FOR_NOTHING))?;
        let read = view.into_read();
        let stands = |key: &Bytes| (key.clone(), inner.entry(&shard, partition, key).cloned());
        let brought = read.iter().map(stands).collect();
        self.end(inner, &mut shard, transaction, Desk { brought, read }, writes)
    }

    async fn transact(&self, inner: &Inner, transaction: Transaction) -> Result<(), StoreError> {
        self.pause().await;
        self.land_some(inner, transaction.partition);
        if inner.is_closed() {
            return Err(Rejection::Closed.into());
        }
        if self.dice.chance(self.knobs.busy_per_mille) {
            return Err(Rejection::Busy.into());
        }
        let mut desk = Desk::default();
        if self.dice.chance(500) {
            for key in transaction.hints.iter().take(KEYS_MAX) {
                let entry = self.fetch(inner, transaction.partition, key);
                desk.brought.insert(key.clone(), entry);
            }
        }
        let mut brings = self.dice.up_to(self.knobs.brings_max.into());
        let mut discards = self.dice.up_to(self.knobs.discards_max.into());
        for _ in 0..RUNS_MAX {
            let ran = self.run(inner, &transaction, &mut desk, &mut brings).await;
            self.pause().await;
            if let Some(ended) = self.judge(inner, &transaction, &mut desk, ran, &mut discards) {
                return ended;
            }
        }
        self.run_under_the_lock(inner, &transaction)
    }
}

/// Runs a transaction the hard way. On a runtime it goes on when the caller goes away, as it would on a commit thread.
pub(super) async fn submit(inner: &Arc<Inner>, transaction: Transaction) -> Result<(), StoreError> {
    let inner = Arc::clone(inner);
    let work = async move {
        let chaos = inner.chaos.as_ref().expect("only a hostile store comes here");
        chaos.transact(&inner, transaction).await
    };
    match Handle::try_current() {
        Ok(handle) => match handle.spawn(work).await {
            Ok(told) => told,
            Err(ended) => Err(StoreError::Unknown(ended.to_string())),
        },
        Err(_) => work.await,
    }
}

impl State {
    fn remember(&mut self, key: (Partition, Bytes), entry: Option<Entry>) {
        if self.past.insert(key.clone(), entry).is_none() {
            self.past_order.push_back(key);
        }
        if self.past_order.len() > PAST_MAX
            && let Some(oldest) = self.past_order.pop_front()
        {
            self.past.remove(&oldest);
        }
    }
}

/// The least key after `key`.
fn next_key(key: &Bytes) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
