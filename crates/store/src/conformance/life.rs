//! A store's life: open, used, shut down.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::task::JoinSet;

use super::tools::{
    P, adopt, blob, increment, key, names, new, put_with, reference, staged, whole,
};
use crate::{
    BlobError, Health, ReadError, Rejection, Store, StoreError, Token, Transaction, Writes,
};

/// A new store takes writes and has nothing.
pub async fn a_new_store_is_open_and_empty(store: Arc<dyn Store>) {
    assert_eq!(store.health(), Health::Open);
    assert!(store.partitions_per_bucket() >= 1);
    assert_eq!(staged(&*store).await, []);
    assert!(names(&*store, P, &whole(1_024)).await.is_empty());
    increment(&*store, P, &key("counter")).await;
    assert_eq!(store.health(), Health::Open);
}

/// After a shutdown, which is safe to repeat, everything answers that the store is closed, and no body runs.
pub async fn a_store_that_was_shut_down_is_closed(store: Arc<dyn Store>) {
    put_with(&*store, P, &key("k"), "v", new("payload")).await;
    let wanted = reference(&*store, P, &key("k")).await;
    let finished = blob(&*store, &key("owner"), b"content").await;
    adopt(&*store, finished.id).await.expect("a staged blob can be adopted");
    for _ in 0..2 {
        assert_eq!(store.shutdown().await, Ok(()));
        assert_eq!(store.health(), Health::Closed);
    }
    let sent = store.submit(Transaction {
        partition: P,
        token: Token::unique(),
        hints: vec![key("k")],
        body: Arc::new(|_| panic!("a body ran in a closed store")),
    });
    assert_eq!(sent.await, Err(StoreError::Rejected(Rejection::Closed)));
    assert_eq!(store.get(P, key("k")).await, Err(ReadError::Closed));
    assert_eq!(store.scan(P, whole(1)).await, Err(ReadError::Closed));
    let told = store.payloads(P, vec![(key("k"), wanted)]).await;
    assert_eq!(told, Err(ReadError::Closed));
    let told = store.create(key("owner")).await.map(|_| ());
    assert_eq!(told, Err(BlobError::Closed));
    assert!(store.open(finished.id).await.is_err());
    assert!(store.duplicate(finished.id, key("owner")).await.is_err());
    assert!(store.delete(finished.id).await.is_err());
    assert!(store.staged().await.is_err());
}

/// A shutdown under load ends, and each transaction is answered: done, or turned away because the store is closed.
pub async fn a_shutdown_under_load_answers_everyone(store: Arc<dyn Store>) {
    let (done, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, done, over) = (Arc::clone(&store), Arc::clone(&done), Arc::clone(&over));
        tasks.spawn(async move {
            for step in 0.. {
                let own = key(format!("{task} {step}"));
                let body = move |_: &dyn crate::View| {
                    let mut writes = Writes::none();
                    writes.put(own.clone(), "v");
                    Ok(writes)
                };
                let sent = store.submit(Transaction {
                    partition: P,
                    token: Token::unique(),
                    hints: Vec::new(),
                    body: Arc::new(body),
                });
                let late = over.load(Ordering::SeqCst);
                let answer = sent.await;
                let closed = Err(StoreError::Rejected(Rejection::Closed));
                assert!(!late || answer == closed, "a closed store answered {answer:?}");
                match answer {
                    Ok(()) => drop(done.fetch_add(1, Ordering::SeqCst)),
                    Err(StoreError::Unknown(_) | StoreError::Rejected(Rejection::Busy)) => {}
                    Err(StoreError::Rejected(why)) => return why,
                }
                tokio::task::yield_now().await;
            }
            unreachable!("steps have no end")
        });
    }
    while done.load(Ordering::SeqCst) < 30 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.shutdown().await, Ok(()));
    over.store(true, Ordering::SeqCst);
    let told = tasks.join_all().await;
    assert!(told.iter().all(|why| *why == Rejection::Closed), "{told:?}");
}
