//! Transactions: one order, whole or not at all, and each failure its own.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{
    P, Seeded, count, delete, get, increment, key, new, number, payload, put, run, try_write,
    value, write,
};
use crate::{
    Decision, KEY_BYTES_MAX, KEYS_MAX, PAYLOAD_BYTES_MAX, Partition, Payload, RECORD_BYTES_MAX,
    Rejection, Store, StoreError, Token, Transaction, Writes,
};

/// Sixteen tasks count on one key: each answer is told once, and none is missing.
pub async fn increments_of_one_key_are_told_once_each(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut told = Vec::new();
            for _ in 0..20 {
                told.push(increment(&*store, P, &key("counter")).await);
            }
            assert!(told.is_sorted(), "one task's answers rise");
            told
        });
    }
    let told: BTreeSet<u64> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(told, (1..=320).collect());
    assert_eq!(count(get(&*store, P, &key("counter")).await.as_ref()), 320);
}

/// Random transfers between accounts in three partitions keep each partition's sum.
pub async fn transfers_keep_the_sum_of_each_partition(store: Arc<dyn Store>) {
    const ACCOUNTS: usize = 5;
    let partitions = [Partition(1), Partition(2), Partition(u64::MAX)];
    let account = |number: usize| key(format!("account {number}"));
    for partition in partitions {
        let mut writes = Writes::none();
        for each in 0..ACCOUNTS {
            writes.put(account(each), number(100));
        }
        write(&*store, partition, writes).await;
    }
    let seeded = Seeded::new(1);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, mut seeded) = (Arc::clone(&store), seeded.part(task));
        tasks.spawn(async move {
            for _ in 0..30 {
                let partition = partitions[seeded.below(3)];
                let first = seeded.below(ACCOUNTS);
                let (from, to) = (account(first), account((first + 1 + seeded.below(4)) % 5));
                let amount = seeded.below(60) as u64;
                let told = run(&*store, partition, vec![from.clone()], move |view| {
                    let (has, gets) = (view.get(&from)?, view.get(&to)?);
                    let Some(rest) = count(has.as_ref()).checked_sub(amount) else {
                        return Ok(Decision::Refuse(()));
                    };
                    let mut writes = Writes::none();
                    writes.put(from.clone(), number(rest));
                    writes.put(to.clone(), number(count(gets.as_ref()) + amount));
                    Ok(Decision::Commit(writes, ()))
                });
                let _ = told.await.expect("a transfer is taken");
            }
        });
    }
    tasks.join_all().await;
    for partition in partitions {
        let mut sum = 0;
        for each in 0..ACCOUNTS {
            sum += count(get(&*store, partition, &account(each)).await.as_ref());
        }
        assert_eq!(sum, 100 * ACCOUNTS as u64, "{partition:?}");
    }
}

/// Two transactions that each read what the other writes never both act on the state before either.
pub async fn write_skew_is_prevented(store: Arc<dyn Store>) {
    for round in 0..30 {
        let pair = [key(format!("left {round}")), key(format!("right {round}"))];
        let mut writes = Writes::none();
        writes.put(pair[0].clone(), "on duty");
        writes.put(pair[1].clone(), "on duty");
        write(&*store, P, writes).await;
        let mut tasks = JoinSet::new();
        for mine in 0..2 {
            let (store, pair) = (Arc::clone(&store), pair.clone());
            tasks.spawn(async move {
                let told = run(&*store, P, Vec::new(), move |view| {
                    if view.get(&pair[0])?.is_none() || view.get(&pair[1])?.is_none() {
                        return Ok(Decision::Refuse(()));
                    }
                    let mut writes = Writes::none();
                    writes.delete(pair[mine].clone());
                    Ok(Decision::Commit(writes, ()))
                });
                told.await.expect("the transaction is taken").is_ok()
            });
        }
        let left = tasks.join_all().await.into_iter().filter(|&left| left).count();
        assert_eq!(left, 1, "exactly one may leave");
    }
}

/// Only one of ten racing creators of a key, also of an absent one, finds it absent.
pub async fn one_of_ten_racing_creators_wins(store: Arc<dyn Store>) {
    for round in 0..10 {
        let mut tasks = JoinSet::new();
        for creator in 0..10 {
            let (store, key) = (Arc::clone(&store), key(format!("raced {round}")));
            tasks.spawn(async move {
                let told = run(&*store, P, vec![key.clone()], move |view| {
                    if let Some(known) = view.get(&key)? {
                        return Ok(Decision::Refuse(known.value));
                    }
                    let mut writes = Writes::none();
                    writes.put(key.clone(), number(creator));
                    Ok(Decision::Commit(writes, number(creator)))
                });
                told.await.expect("the transaction is taken")
            });
        }
        let told = tasks.join_all().await;
        let winners: Vec<_> = told.iter().filter_map(|told| told.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        let losers = told.iter().filter_map(|told| told.as_ref().err());
        assert!(losers.clone().all(|seen| seen == winners[0]), "each loser saw the winner");
        assert_eq!(losers.count(), 9);
    }
}

/// A body sees all that was committed before, and the records that one transaction wrote together stand together.
pub async fn a_transaction_takes_effect_whole(store: Arc<dyn Store>) {
    let pair = [key("a"), key("z")];
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let (store, pair) = (Arc::clone(&store), pair.clone());
        tasks.spawn(async move {
            for step in 0..25_u64 {
                let mut writes = Writes::none();
                writes.put_with(pair[0].clone(), number(writer * 100 + step), Payload::None);
                writes.put_with(pair[1].clone(), number(writer * 100 + step), Payload::None);
                write(&*store, P, writes).await;
            }
        });
    }
    for _ in 0..4 {
        let (store, pair) = (Arc::clone(&store), pair.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                let pair = pair.clone();
                let told = run(&*store, P, Vec::new(), move |view| {
                    let (one, other) = (view.get(&pair[0])?, view.get(&pair[1])?);
                    Ok(Decision::<_, ()>::Commit(Writes::none(), (one, other)))
                });
                let (one, other) = told.await.expect("a read is taken").expect("never refused");
                assert_eq!(one.map(|one| one.value), other.map(|other| other.value));
            }
        });
    }
    tasks.join_all().await;
}

/// A body that panics where two records differ that are always written together is never refused: a run on a state that never
/// stood does not count, whatever it does.
pub async fn a_run_on_a_state_that_never_stood_does_not_count(store: Arc<dyn Store>) {
    let pair = [key("a"), key("z")];
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, pair) = (Arc::clone(&store), pair.clone());
        tasks.spawn(async move {
            for _ in 0..20 {
                let pair = pair.clone();
                let told = run(&*store, P, Vec::new(), move |view| {
                    let (one, other) = (view.get(&pair[0])?, view.get(&pair[1])?);
                    let (one, other) = (count(one.as_ref()), count(other.as_ref()));
                    assert_eq!(one, other, "this state never stood");
                    let mut writes = Writes::none();
                    writes.put(pair[0].clone(), number(one + 1));
                    writes.put(pair[1].clone(), number(one + 1));
                    Ok(Decision::<(), ()>::Commit(writes, ()))
                });
                assert_eq!(told.await, Ok(Ok(())));
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(count(get(&*store, P, &pair[0]).await.as_ref()), 160);
}

/// What an answer or a refusal tells is visible when it is told (I3, I4).
pub async fn what_is_told_is_visible(store: Arc<dyn Store>) {
    let counter = key("counter");
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (store, counter) = (Arc::clone(&store), counter.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                let told = increment(&*store, P, &counter).await;
                let seen = count(get(&*store, P, &counter).await.as_ref());
                assert!(seen >= told, "answered {told}, then read {seen}");
            }
        });
    }
    for _ in 0..4 {
        let (store, counter) = (Arc::clone(&store), counter.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                let wanted = counter.clone();
                let told = run(&*store, P, Vec::new(), move |view| {
                    Ok(Decision::<(), _>::Refuse(count(view.get(&wanted)?.as_ref())))
                });
                let told = told.await.expect("the transaction is taken").expect_err("refused");
                let seen = count(get(&*store, P, &counter).await.as_ref());
                assert!(seen >= told, "refused with {told}, then read {seen}");
            }
        });
    }
    tasks.join_all().await;
}

/// A refusal writes nothing, and a commit of no writes changes nothing.
pub async fn a_refusal_writes_nothing(store: Arc<dyn Store>) {
    put(&*store, P, &key("k"), "before").await;
    let told = run(&*store, P, Vec::new(), |view| {
        Ok(Decision::<(), _>::Refuse(view.get(&key("k"))?.map(|record| record.value)))
    });
    assert_eq!(told.await, Ok(Err(Some(key("before")))));
    let told = run(&*store, P, Vec::new(), |_| Ok(Decision::<u8, ()>::Commit(Writes::none(), 5)));
    assert_eq!(told.await, Ok(Ok(5)));
    assert_eq!(value(&*store, P, &key("k")).await, Some(key("before")));
}

/// A body that learns from one key which key to read next gets all of them, though no hint named one.
pub async fn a_body_gets_keys_that_no_hint_named(store: Arc<dyn Store>) {
    let link = |number: u64| key(format!("link {number}"));
    let mut writes = Writes::none();
    for each in 0..60 {
        writes.put(link(each), number(each + 1));
    }
    write(&*store, P, writes).await;
    let told = run(&*store, P, Vec::new(), move |view| {
        let mut at = 0;
        while let Some(record) = view.get(&link(at))? {
            at = count(Some(&record));
        }
        Ok(Decision::<_, ()>::Commit(Writes::none(), at))
    });
    assert_eq!(told.await, Ok(Ok(60)));
}

/// Hints that are wrong, repeated or of no use change nothing.
pub async fn hints_are_only_hints(store: Arc<dyn Store>) {
    put(&*store, P, &key("known"), "1").await;
    let hints = vec![key("absent"), key("known"), key("known"), key("never read")];
    let told = run(&*store, P, hints, |view| {
        let known = view.get(&key("known"))?.is_some();
        let absent = view.get(&key("absent"))?.is_none();
        let unhinted = view.get(&key("unhinted"))?.is_none();
        Ok(Decision::<_, ()>::Commit(Writes::none(), (known, absent, unhinted)))
    });
    assert_eq!(told.await, Ok(Ok((true, true, true))));
}

/// Deletes, of what stands and of what does not; and of several changes of one key the last counts.
pub async fn the_last_change_of_a_key_counts(store: Arc<dyn Store>) {
    put(&*store, P, &key("gone"), "1").await;
    let mut writes = Writes::none();
    writes.put(key("gone"), "2");
    writes.delete(key("gone"));
    writes.delete(key("never was"));
    writes.delete(key("kept"));
    writes.put(key("kept"), "3");
    write(&*store, P, writes).await;
    assert_eq!(value(&*store, P, &key("gone")).await, None);
    assert_eq!(value(&*store, P, &key("never was")).await, None);
    assert_eq!(value(&*store, P, &key("kept")).await, Some(key("3")));
    delete(&*store, P, &key("kept")).await;
    assert_eq!(value(&*store, P, &key("kept")).await, None);
}

/// A body that panics is refused; those beside it are not, and the partition goes on.
pub async fn a_panicking_body_is_refused_alone(store: Arc<dyn Store>) {
    put(&*store, P, &key("trap"), "armed").await;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..5 {
                if task % 2 == 0 {
                    let told = run(&*store, P, Vec::new(), |view| {
                        let trap = view.get(&key("trap"))?;
                        assert!(trap.is_none(), "this body panics on purpose");
                        Ok(Decision::<(), ()>::Commit(Writes::none(), ()))
                    });
                    assert_eq!(told.await, Err(Rejection::Panicked));
                } else {
                    increment(&*store, P, &key("counter")).await;
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(increment(&*store, P, &key("counter")).await, 21);
    assert_eq!(value(&*store, P, &key("trap")).await, Some(key("armed")));
}

/// A body never runs once its transaction has been answered.
pub async fn no_body_runs_after_its_answer(store: Arc<dyn Store>) {
    let ran_late = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, ran_late) = (Arc::clone(&store), Arc::clone(&ran_late));
        tasks.spawn(async move {
            for _ in 0..10 {
                let answered = Arc::new(AtomicBool::new(false));
                let (seen, ran_late) = (Arc::clone(&answered), Arc::clone(&ran_late));
                // The flags are only watched: what the body returns depends on what it reads alone.
                let body = move |view: &dyn crate::View| {
                    ran_late.fetch_or(seen.load(Ordering::SeqCst), Ordering::SeqCst);
                    let next = count(view.get(&key("counter"))?.as_ref()) + 1;
                    let mut writes = Writes::none();
                    writes.put(key("counter"), number(next));
                    Ok(writes)
                };
                let sent = store.submit(Transaction {
                    partition: P,
                    token: Token::unique(),
                    hints: Vec::new(),
                    body: Arc::new(body),
                });
                match sent.await {
                    Ok(()) | Err(StoreError::Unknown(_)) => {}
                    Err(StoreError::Rejected(why)) => assert_eq!(why, Rejection::Busy),
                }
                answered.store(true, Ordering::SeqCst);
            }
        });
    }
    tasks.join_all().await;
    // Work enough for a run that came late to show.
    for _ in 0..10 {
        increment(&*store, P, &key("counter")).await;
    }
    assert!(!ran_late.load(Ordering::SeqCst), "a body ran after its answer");
}

fn many(count: usize) -> Writes {
    let mut writes = Writes::none();
    for number in 0..count {
        writes.put(key(format!("many {number:05}")), "v");
    }
    writes
}

fn one(length: usize, value_length: usize) -> Writes {
    let mut writes = Writes::none();
    writes.put(key(vec![b'k'; length]), vec![1; value_length]);
    writes
}

fn with_payload(lengths: &[usize]) -> Writes {
    let mut writes = Writes::none();
    for (number, length) in lengths.iter().enumerate() {
        let payload =
            Payload::New(vec![vec![7; length / 2].into(), vec![8; length.div_ceil(2)].into()]);
        writes.put_with(key(format!("payload {number}")), "v", payload);
    }
    writes
}

/// Every limit itself is within what is taken.
pub async fn writes_at_each_limit_are_taken(store: Arc<dyn Store>) {
    const PART: usize = RECORD_BYTES_MAX / 8;
    let mut parts = Writes::none();
    for number in 0..8 {
        parts.put(key(format!("part {number}")), vec![2; PART - 6]);
    }
    let mut all_at_once = one(KEY_BYTES_MAX, RECORD_BYTES_MAX - KEY_BYTES_MAX - 2);
    all_at_once.put_with(key("q"), "v", new(vec![9; PAYLOAD_BYTES_MAX]));
    let cases = [
        many(KEYS_MAX),
        one(1, 1),
        one(KEY_BYTES_MAX, 1),
        one(7, RECORD_BYTES_MAX - 7),
        parts,
        with_payload(&[PAYLOAD_BYTES_MAX]),
        with_payload(&[PAYLOAD_BYTES_MAX - 1_000_001, 1, 1_000_000]),
        all_at_once,
    ];
    for (number, writes) in cases.into_iter().enumerate() {
        let partition = Partition(number as u64);
        write(&*store, partition, writes.clone()).await;
        for (key, change) in writes.changes() {
            let crate::Change::Put { value: written, payload: with } = change else { continue };
            assert_eq!(value(&*store, partition, key).await.as_ref(), Some(written));
            if let Payload::New(pieces) = with {
                let read = payload(&*store, partition, key).await;
                assert!(read == Some(pieces.concat().into()), "the payload comes back");
            }
        }
    }
}

/// One past each limit is refused as such, and nothing of it is written.
pub async fn writes_past_each_limit_are_refused(store: Arc<dyn Store>) {
    let mut no_key = Writes::none();
    no_key.put(Bytes::new(), "v");
    let mut deleted_no_key = Writes::none();
    deleted_no_key.delete(Bytes::new());
    let mut deleted_long_key = Writes::none();
    deleted_long_key.delete(key(vec![b'k'; KEY_BYTES_MAX + 1]));
    let cases = [
        many(KEYS_MAX + 1),
        no_key,
        deleted_no_key,
        deleted_long_key,
        one(KEY_BYTES_MAX + 1, 1),
        one(7, 0),
        one(7, RECORD_BYTES_MAX - 6),
        with_payload(&[PAYLOAD_BYTES_MAX + 1]),
        with_payload(&[PAYLOAD_BYTES_MAX - 1_000_000, 1, 1_000_000]),
    ];
    for (number, mut writes) in cases.into_iter().enumerate() {
        if writes.changes().len() < KEYS_MAX {
            writes.put(key("beside"), "v");
        }
        let told = try_write(&*store, P, writes.clone()).await;
        assert!(matches!(told, Err(Rejection::Limit(_))), "case {number}: {told:?}");
        for (key, _) in writes.changes().iter().filter(|(key, _)| key.len() < KEY_BYTES_MAX) {
            assert_eq!(get(&*store, P, key).await, None, "case {number}");
        }
    }
    increment(&*store, P, &key("counter")).await;
}

/// Keys that are read count with those that are written, each key once.
pub async fn keys_read_and_written_count_together(store: Arc<dyn Store>) {
    // What is read, what is written, and whether it is within the limit.
    let cases = [
        (0..KEYS_MAX, 0..0, true),
        (0..KEYS_MAX, 0..KEYS_MAX, true),
        (0..600, 600..KEYS_MAX, true),
        (0..KEYS_MAX + 1, 0..0, false),
        (0..600, 600..KEYS_MAX + 1, false),
    ];
    for (reads, writes, taken) in cases {
        let case = format!("{reads:?} and {writes:?}");
        let told = run(&*store, P, Vec::new(), move |view| {
            for number in reads.clone() {
                view.get(&key(format!("many {number:05}")))?;
            }
            let mut changes = Writes::none();
            for number in writes.clone() {
                changes.put(key(format!("many {number:05}")), "v");
            }
            Ok(Decision::<(), ()>::Commit(changes, ()))
        });
        match told.await {
            Ok(_) => assert!(taken, "{case}"),
            Err(told) => assert!(!taken && matches!(told, Rejection::Limit(_)), "{case}: {told}"),
        }
    }
}
