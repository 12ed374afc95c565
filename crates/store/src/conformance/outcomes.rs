//! Outcomes that are unknown at first: whatever `settle` tells is so, and stays so.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{P, get, increment, key, number, settle};
use crate::{Rejection, Settled, Store, StoreError, Token, Transaction, View, Writes};

/// Sends a transaction that puts its own key and counts on a shared one; tells whether it happened.
async fn send(store: &dyn Store, own: Bytes) -> bool {
    let token = Token::unique();
    let body = move |view: &dyn View| {
        let next = super::tools::count(view.get(&key("counter"))?.as_ref()) + 1;
        let mut writes = Writes::none();
        writes.put(key("counter"), number(next));
        writes.put(own.clone(), number(next));
        Ok(writes)
    };
    let transaction = Transaction { partition: P, token, hints: Vec::new(), body: Arc::new(body) };
    match store.submit(transaction).await {
        Ok(()) => true,
        Err(StoreError::Rejected(Rejection::Busy)) => false,
        Err(StoreError::Rejected(why)) => panic!("a plain write is taken: {why}"),
        Err(StoreError::Unknown(_)) => {
            let settled = settle(store, P, token).await;
            assert_eq!(settle(store, P, token).await, settled, "the answer stays");
            settled == Settled::Committed
        }
    }
}

/// Of many transactions exactly those happened that were answered, or settled as committed; and none happens later.
pub async fn a_settled_outcome_is_true_and_stays(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut told = Vec::new();
            for step in 0..40 {
                let own = key(format!("{task} {step}"));
                let happened = send(&*store, own.clone()).await;
                assert_eq!(get(&*store, P, &own).await.is_some(), happened, "{own:?}");
                told.push((own, happened));
            }
            told
        });
    }
    let told: Vec<(Bytes, bool)> = tasks.join_all().await.into_iter().flatten().collect();
    let happened = told.iter().filter(|(_, happened)| *happened).count() as u64;
    assert_eq!(increment(&*store, P, &key("counter")).await, happened + 1);
    for (own, happened) in told {
        assert_eq!(get(&*store, P, &own).await.is_some(), happened, "{own:?}");
    }
}
