//! `transact` against an index that answers as it is told to, and against a hostile store.

#![expect(clippy::unwrap_used, reason = "a panic is a failed assertion with a line number")]

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use ossia_store::{
    BoxFuture, Decision, Hostility, Index, MemoryOptions, MemoryStore, Page, Partition, PayloadRef,
    ReadError, Record, Rejection, Scan, Settled, StoreError, Token, Transaction, Writes, transact,
};
use tokio::task::JoinSet;

/// What the index answers to one call of `submit`.
#[derive(Clone)]
enum Submit {
    Done,
    Rejected(Rejection),
    Unknown,
}

/// Runs each body on an empty partition and answers from the two lists; writes nothing.
#[derive(Default)]
struct Scripted {
    submits: Mutex<VecDeque<Submit>>,
    settles: Mutex<VecDeque<Result<Settled, StoreError>>>,
    tokens: Mutex<Vec<Token>>,
    runs: Mutex<u32>,
}

impl Scripted {
    fn new(
        submits: impl IntoIterator<Item = Submit>,
        settles: impl IntoIterator<Item = Result<Settled, StoreError>>,
    ) -> Self {
        Self {
            submits: Mutex::new(submits.into_iter().collect()),
            settles: Mutex::new(settles.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Transacts with a body that answers how often it has run.
    async fn transact(self: &Arc<Self>) -> Result<Result<u32, &'static str>, StoreError> {
        let runs = Arc::clone(self);
        transact(&**self, Partition(1), Vec::new(), move |view| {
            view.get(&Bytes::from_static(b"k"))?;
            let mut runs = runs.runs.lock().unwrap();
            *runs += 1;
            Ok(Decision::Commit(Writes::none(), *runs))
        })
        .await
    }

    fn submitted(&self) -> usize {
        let tokens = self.tokens.lock().unwrap();
        let different: HashSet<_> = tokens.iter().collect();
        assert_eq!(different.len(), tokens.len(), "each attempt has a token of its own");
        tokens.len()
    }
}

struct Nothing;

impl ossia_store::View for Nothing {
    fn get(&self, _key: &Bytes) -> Result<Option<Record>, ossia_store::NotBrought> {
        Ok(None)
    }
}

impl Index for Scripted {
    fn partitions_per_bucket(&self) -> u16 {
        1
    }

    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.tokens.lock().unwrap().push(transaction.token);
            let answer = self.submits.lock().unwrap().pop_front().expect("one more was expected");
            if let Submit::Rejected(rejection) = answer {
                return Err(rejection.into());
            }
            // Two runs: the last one counts.
            for _ in 0..2 {
                (transaction.body)(&Nothing).unwrap();
            }
            match answer {
                Submit::Unknown => Err(unknown()),
                _ => Ok(()),
            }
        })
    }

    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(async move {
            assert_eq!(partition, Partition(1));
            assert_eq!(Some(&token), self.tokens.lock().unwrap().last(), "the last one is open");
            self.settles.lock().unwrap().pop_front().expect("one more was expected")
        })
    }

    fn get(
        &self,
        _partition: Partition,
        _key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        unreachable!("a transaction reads through its view")
    }

    fn scans(
        &self,
        _partition: Partition,
        _scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        unreachable!("a transaction reads through its view")
    }

    fn payloads(
        &self,
        _partition: Partition,
        _wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>> {
        unreachable!("a transaction reads through its view")
    }
}

fn unknown() -> StoreError {
    StoreError::Unknown("on purpose".into())
}

#[tokio::test]
async fn the_answer_is_that_of_the_last_run() {
    let index = Arc::new(Scripted::new([Submit::Done], []));
    assert_eq!(index.transact().await, Ok(Ok(2)));
    assert_eq!(index.submitted(), 1);
}

#[tokio::test]
async fn a_refusal_is_carried() {
    let index = Arc::new(Scripted::new([Submit::Done], []));
    let told = transact(&*index, Partition(1), Vec::new(), |_| {
        Ok(Decision::<(), _>::Refuse("no such thing"))
    });
    assert_eq!(told.await, Ok(Err("no such thing")));
}

#[tokio::test]
async fn a_rejection_is_told_at_once() {
    let index = Arc::new(Scripted::new([Submit::Rejected(Rejection::Busy)], []));
    assert_eq!(index.transact().await, Err(StoreError::Rejected(Rejection::Busy)));
    assert_eq!(index.submitted(), 1);
}

#[tokio::test]
async fn an_unknown_outcome_that_was_a_commit_answers_from_its_own_run() {
    let index = Arc::new(Scripted::new([Submit::Unknown], [Ok(Settled::Committed)]));
    assert_eq!(index.transact().await, Ok(Ok(2)));
    assert_eq!(index.submitted(), 1, "what has happened is not sent again");
}

#[tokio::test]
async fn a_lost_transaction_is_sent_again_and_answers_from_the_new_run() {
    let submits = [Submit::Unknown, Submit::Unknown, Submit::Done];
    let index = Arc::new(Scripted::new(submits, [Ok(Settled::Absent), Ok(Settled::Absent)]));
    assert_eq!(index.transact().await, Ok(Ok(6)));
    assert_eq!(index.submitted(), 3);
}

#[tokio::test(start_paused = true)]
async fn settling_is_tried_again_while_the_outcome_cannot_be_told() {
    let settles = [Err(unknown()), Err(unknown()), Err(unknown()), Ok(Settled::Committed)];
    let index = Arc::new(Scripted::new([Submit::Unknown], settles));
    assert_eq!(index.transact().await, Ok(Ok(2)));
    assert_eq!(index.submitted(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_told_as_unknown_and_never_sent_again() {
    let index = Arc::new(Scripted::new([Submit::Unknown], std::iter::repeat_n(Err(unknown()), 8)));
    assert!(matches!(index.transact().await, Err(StoreError::Unknown(_))));
    assert_eq!(index.submitted(), 1);
    assert!(index.settles.lock().unwrap().is_empty(), "every try was used");
}

#[tokio::test]
async fn an_outcome_that_can_no_longer_be_told_stays_unknown() {
    let settled = Err(StoreError::Rejected(Rejection::Closed));
    let index = Arc::new(Scripted::new([Submit::Unknown], [settled]));
    assert!(matches!(index.transact().await, Err(StoreError::Unknown(_))));
    assert_eq!(index.submitted(), 1);
}

#[tokio::test]
async fn a_transaction_that_is_always_lost_is_told_as_not_done() {
    let submits = std::iter::repeat_n(Submit::Unknown, 8);
    let settles = std::iter::repeat_n(Ok(Settled::Absent), 8);
    let index = Arc::new(Scripted::new(submits, settles));
    assert_eq!(index.transact().await, Err(StoreError::Rejected(Rejection::Busy)));
    assert_eq!(index.submitted(), 8);
}

/// A store that hardly ever tells an outcome, and seldom at the first asking.
fn secretive(seed: u64) -> MemoryStore {
    let hostility =
        Hostility { unknown_per_mille: 900, settle_unknown_max: 5, ..Hostility::new(seed) };
    MemoryStore::new(MemoryOptions { hostility: Some(hostility), ..Default::default() })
}

/// Appends a line that names the appender, and answers the position; every answer must be where the line stands.
#[tokio::test(start_paused = true)]
async fn appends_to_a_store_that_hardly_ever_tells_are_neither_lost_nor_doubled() {
    for seed in 0..5 {
        let store = secretive(seed);
        let mut tasks = JoinSet::new();
        for task in 0..6 {
            let store = store.clone();
            tasks.spawn(async move {
                let mut told = Vec::new();
                for step in 0..15 {
                    let line = format!("{task}.{step};");
                    let written = line.clone();
                    let head = Bytes::from_static(b"log");
                    let position = transact(&store, Partition(9), Vec::new(), move |view| {
                        let log = view.get(&head)?.map_or(Bytes::new(), |record| record.value);
                        let mut writes = Writes::none();
                        writes.put(head.clone(), [&log[..], written.as_bytes()].concat());
                        Ok(Decision::<usize, ()>::Commit(writes, log.len()))
                    });
                    match position.await {
                        Ok(position) => told.push((position.unwrap(), line)),
                        // Lost eight times in a row: certainly not done.
                        Err(StoreError::Rejected(Rejection::Busy)) => {}
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
                told
            });
        }
        let told: BTreeSet<_> = tasks.join_all().await.into_iter().flatten().collect();
        let log = store.get(Partition(9), Bytes::from_static(b"log")).await.unwrap().unwrap().value;
        let written: String = told.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(log, written, "seed {seed}");
        let mut end = 0;
        for (position, line) in &told {
            assert_eq!(*position, end, "seed {seed}");
            end += line.len();
        }
    }
}
