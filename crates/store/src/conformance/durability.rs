//! What outlives a shutdown: everything that was answered, and nothing that was not. Crashes are for the engines' own tests,
//! which know where they write.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    Subject,
    tools::{
        P, Seeded, adopt, blob, content, count, delete, delete_blob, get, increment, key, names,
        new, payload, put, put_with, run, staged, value, whole, write,
    },
};
use crate::{
    BlobError, Decision, Health, Partition, Payload, Rejection, Settled, Store, StoreError, Token,
    Transaction, Writes,
};

/// Shuts a store down, lets go of it and opens it again.
pub(super) async fn reopened(subject: &dyn Subject, store: Arc<dyn Store>) -> Arc<dyn Store> {
    assert_eq!(store.shutdown().await, Ok(()));
    drop(store);
    let store = subject.open().await;
    assert_eq!(store.health(), Health::Open);
    store
}

/// Records, payloads and deletes are as they were answered.
pub async fn answered_writes_outlive_a_shutdown(subject: &dyn Subject) {
    let mut seeded = Seeded::new(10);
    let large = seeded.bytes(1_500_000);
    let store = subject.open().await;
    put(&*store, P, &key("plain"), "record").await;
    put_with(&*store, P, &key("small"), "record", new("payload")).await;
    put_with(&*store, P, &key("large"), "record", new(large.clone())).await;
    put(&*store, P, &key("deleted"), "record").await;
    delete(&*store, P, &key("deleted")).await;
    put_with(&*store, P, &key("overwritten"), "old", new("old payload")).await;
    put(&*store, P, &key("overwritten"), "new").await;
    put(&*store, Partition(u64::MAX), &key("plain"), "elsewhere").await;
    let mut store = store;
    for _ in 0..3 {
        store = reopened(subject, store).await;
        let told = names(&*store, P, &whole(9)).await;
        assert_eq!(told, ["large", "overwritten", "plain", "small"].map(key));
        assert_eq!(value(&*store, P, &key("plain")).await, Some(key("record")));
        assert_eq!(payload(&*store, P, &key("small")).await, Some(key("payload")));
        assert!(payload(&*store, P, &key("large")).await.as_deref() == Some(&large[..]));
        assert_eq!(value(&*store, P, &key("overwritten")).await, Some(key("new")));
        assert_eq!(payload(&*store, P, &key("overwritten")).await, None);
        let elsewhere = value(&*store, Partition(u64::MAX), &key("plain")).await;
        assert_eq!(elsewhere, Some(key("elsewhere")));
    }
    assert_eq!(store.shutdown().await, Ok(()));
}

/// Payloads that were kept, moved and shared are still where they were named, also after the first key let go of them.
pub async fn named_payloads_outlive_a_shutdown(subject: &dyn Subject) {
    let store = subject.open().await;
    put_with(&*store, P, &key("a"), "1", new("bytes")).await;
    let mut share = Writes::none();
    share.put_with(key("b"), "2", Payload::Of(key("a")));
    share.put_with(key("c"), "3", Payload::Of(key("a")));
    share.delete(key("a"));
    write(&*store, P, share).await;
    let store = reopened(subject, store).await;
    let mut moved = Writes::none();
    moved.put_with(key("d"), "4", Payload::Of(key("b")));
    moved.delete(key("b"));
    write(&*store, P, moved).await;
    let store = reopened(subject, store).await;
    assert_eq!(names(&*store, P, &whole(9)).await, ["c", "d"].map(key));
    for each in ["c", "d"] {
        assert_eq!(payload(&*store, P, &key(each)).await, Some(key("bytes")), "{each}");
    }
    assert_eq!(store.shutdown().await, Ok(()));
}

/// A store that is opened many times goes on where it was, payloads of every run included.
pub async fn a_store_goes_on_where_it_was(subject: &dyn Subject) {
    let mut store = subject.open().await;
    for run in 0..6 {
        for step in 1..=10 {
            assert_eq!(increment(&*store, P, &key("counter")).await, run * 10 + step);
        }
        let own = key(format!("run {run}"));
        put_with(&*store, P, &own, "v", new(format!("payload {run}"))).await;
        store = reopened(subject, store).await;
        for earlier in 0..=run {
            let read = payload(&*store, P, &key(format!("run {earlier}"))).await;
            assert_eq!(read, Some(format!("payload {earlier}").into()));
        }
    }
    assert_eq!(store.shutdown().await, Ok(()));
}

/// Staged blobs stay staged with their owners, adopted ones adopted, deleted ones deleted; unfinished ones are gone.
pub async fn blobs_outlive_a_shutdown(subject: &dyn Subject) {
    let bytes = Seeded::new(11).bytes(1_200_000);
    let store = subject.open().await;
    let waiting = blob(&*store, &key([0, 0xff]), &bytes).await.id;
    let adopted = blob(&*store, &key("adopted"), &bytes).await.id;
    let deleted = blob(&*store, &key("deleted"), &bytes).await.id;
    adopt(&*store, adopted).await.expect("a staged blob can be adopted");
    let copy = store.duplicate(adopted, key("copy")).await.expect("a blob can be duplicated").id;
    delete_blob(&*store, deleted).await;
    let mut unfinished = store.create(key("unfinished")).await.expect("a blob can be created");
    unfinished.write(bytes.clone().into()).await.expect("a blob can be written");
    assert_eq!(store.shutdown().await, Ok(()));
    drop((unfinished, store));

    let store = subject.open().await;
    let mut told = vec![(waiting, key([0, 0xff])), (copy, key("copy"))];
    told.sort();
    assert_eq!(staged(&*store).await, told);
    for id in [waiting, adopted, copy] {
        assert!(content(&*store, id).await == Ok(bytes.clone()));
    }
    assert_eq!(content(&*store, deleted).await, Err(BlobError::NotFound));
    adopt(&*store, waiting).await.expect("a staged blob can be adopted");
    delete_blob(&*store, adopted).await;
    let fresh = blob(&*store, &key("fresh"), b"content").await.id;
    assert!(![waiting, adopted, deleted, copy].contains(&fresh), "an id never comes again");

    let store = reopened(subject, store).await;
    let mut told = vec![(fresh, key("fresh")), (copy, key("copy"))];
    told.sort();
    assert_eq!(staged(&*store).await, told);
    assert!(content(&*store, waiting).await == Ok(bytes.clone()));
    assert!(content(&*store, copy).await == Ok(bytes));
    assert_eq!(content(&*store, adopted).await, Err(BlobError::NotFound));
    assert_eq!(store.shutdown().await, Ok(()));
}

/// What was answered while the store was shutting down is there afterwards, and what was turned away is not.
pub async fn answers_given_during_a_shutdown_hold(subject: &dyn Subject) {
    let store = subject.open().await;
    let (done, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, done, over) = (Arc::clone(&store), Arc::clone(&done), Arc::clone(&over));
        tasks.spawn(async move {
            let mut told: Vec<(Bytes, Option<bool>)> = Vec::new();
            for step in 0.. {
                let own = key(format!("{task} {step}"));
                let written = own.clone();
                let body = move |_: &dyn crate::View| {
                    let mut writes = Writes::none();
                    writes.put_with(written.clone(), "v", new("payload"));
                    Ok(writes)
                };
                let token = Token::unique();
                let body = Arc::new(body);
                let sent = Transaction { partition: P, token, hints: Vec::new(), body };
                let late = over.load(Ordering::SeqCst);
                let answer = store.submit(sent).await;
                let closed = Err(StoreError::Rejected(Rejection::Closed));
                assert!(!late || answer == closed, "a closed store answered {answer:?}");
                let happened = match answer {
                    Ok(()) => {
                        done.fetch_add(1, Ordering::SeqCst);
                        Some(true)
                    }
                    Err(StoreError::Rejected(Rejection::Closed)) => {
                        told.push((own, Some(false)));
                        break;
                    }
                    Err(StoreError::Rejected(_)) => Some(false),
                    Err(StoreError::Unknown(_)) => match store.settle(P, token).await {
                        Ok(settled) => Some(settled == Settled::Committed),
                        Err(_) => None,
                    },
                };
                told.push((own, happened));
            }
            told
        });
    }
    while done.load(Ordering::SeqCst) < 30 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.shutdown().await, Ok(()));
    over.store(true, Ordering::SeqCst);
    let told: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    drop(store);
    let store = subject.open().await;
    for (own, happened) in told {
        let there = get(&*store, P, &own).await.is_some();
        assert!(happened.is_none_or(|happened| happened == there), "{own:?}: {there}");
        if there {
            assert_eq!(payload(&*store, P, &own).await, Some(key("payload")));
        }
    }
    assert_eq!(store.shutdown().await, Ok(()));
}

/// A shutdown comes between a read and a write: the write decides on what outlived it.
pub async fn decisions_rest_on_what_outlived_the_shutdown(subject: &dyn Subject) {
    let mut store = subject.open().await;
    for expected in 0..4_u64 {
        let told = run(&*store, P, Vec::new(), move |view| {
            let seen = count(view.get(&key("fence"))?.as_ref());
            if seen != expected {
                return Ok(Decision::Refuse(seen));
            }
            let mut writes = Writes::none();
            writes.put(key("fence"), super::tools::number(seen + 1));
            Ok(Decision::Commit(writes, ()))
        });
        assert_eq!(told.await, Ok(Ok(())));
        store = reopened(subject, store).await;
    }
    assert_eq!(store.shutdown().await, Ok(()));
}
