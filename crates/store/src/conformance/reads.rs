//! Reads: all that was answered, partition by partition.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{
    P, count, get, increment, key, name, names, new, payload, put, put_with, scan_all, value, whole,
};
use crate::{Item, KEY_BYTES_MAX, Page, Partition, Scan, Store};

/// A write that was answered is what the next get and the next scan see.
pub async fn what_was_answered_is_read(store: Arc<dyn Store>) {
    for step in 0..30 {
        let key = key(format!("k{}", step % 7));
        put_with(&*store, P, &key, format!("{step}"), new(format!("payload {step}"))).await;
        assert_eq!(value(&*store, P, &key).await, Some(format!("{step}").into()));
        assert_eq!(payload(&*store, P, &key).await, Some(format!("payload {step}").into()));
        let scanned = scan_all(&*store, P, &whole(100)).await;
        let told = scanned.iter().find(|item| *name(item) == key).expect("the key is scanned");
        let Item::Record(_, record) = told else { panic!("nothing was folded") };
        assert_eq!(record.value, format!("{step}"));
    }
}

/// The same keys in many partitions are different records.
pub async fn partitions_are_apart(store: Arc<dyn Store>) {
    let partitions = [0, 1, 2, 255, 256, 1 << 32, u64::MAX - 1, u64::MAX].map(Partition);
    let keys = [key(""), key("k"), key([0xff; 9]), key([0; 9])];
    for partition in partitions {
        for each in keys.iter().filter(|key| !key.is_empty()) {
            let own = format!("{partition:?} {each:?}");
            put_with(&*store, partition, each, own.clone(), new(own)).await;
        }
    }
    for partition in partitions {
        let scanned = scan_all(&*store, partition, &whole(2)).await;
        let told: Vec<&Bytes> = scanned.iter().map(name).collect();
        assert_eq!(told, [&keys[3], &keys[1], &keys[2]]);
        for each in told {
            let own = format!("{partition:?} {each:?}");
            assert_eq!(value(&*store, partition, each).await, Some(own.clone().into()));
            assert_eq!(payload(&*store, partition, each).await, Some(own.into()));
        }
    }
    assert!(names(&*store, Partition(3), &whole(10)).await.is_empty());
}

/// Of a hundred partitions each has its own value under one key, for readers and for transactions.
pub async fn many_partitions_have_a_key_each(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            put(&*store, Partition(number), &key("k"), super::tools::number(number)).await;
        });
    }
    tasks.join_all().await;
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let seen = get(&*store, Partition(number), &key("k")).await;
            assert_eq!(count(seen.as_ref()), number);
            assert_eq!(increment(&*store, Partition(number), &key("k")).await, number + 1);
            assert_eq!(names(&*store, Partition(number), &whole(9)).await, [key("k")]);
            assert_eq!(get(&*store, Partition(100 + number), &key("k")).await, None);
        });
    }
    tasks.join_all().await;
}

/// What was never written is absent, and not an error.
pub async fn what_never_was_is_absent(store: Arc<dyn Store>) {
    assert_eq!(get(&*store, P, &key("k")).await, None);
    assert_eq!(get(&*store, Partition(u64::MAX), &key([0xff; KEY_BYTES_MAX])).await, None);
    assert_eq!(store.scan(P, whole(1)).await, Ok(Page::default()));
    put(&*store, P, &key("key"), "v").await;
    for near in ["ke", "key0", "key\0", "kex", "kez"] {
        assert_eq!(get(&*store, P, &key(near)).await, None, "{near:?}");
    }
    let behind = Scan { start: key("key\0"), ..whole(5) };
    assert!(names(&*store, P, &behind).await.is_empty());
}

/// One reader's view of a key under writers never goes back.
pub async fn reads_never_go_back(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..25 {
                increment(&*store, P, &key("counter")).await;
            }
        });
    }
    for reader in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut last = 0;
            while last < 100 {
                let seen = if reader % 2 == 0 {
                    count(get(&*store, P, &key("counter")).await.as_ref())
                } else {
                    match scan_all(&*store, P, &whole(10)).await.first() {
                        Some(Item::Record(_, record)) => count(Some(record)),
                        _ => 0,
                    }
                };
                assert!(seen >= last, "read {last}, then {seen}");
                last = seen;
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}
