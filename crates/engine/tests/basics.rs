//! The store's contract in small, on tiny segments and memtables.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use bytes::Bytes;
use common::{Folder, delete, get, key, options, put, put_payload, read_payload, runtime};
use ossia_engine::{EngineMetrics, EngineOptions, LocalEngine, OpenError};
use ossia_store::{
    Blobs, Decision, Fold, Health, Index, Item, Partition, Payload, ReadError, Rejection, Scan,
    Settled, Store, StoreError, Token, Writes, transact,
};

const P: Partition = Partition(7);

#[test]
fn what_was_committed_is_there_after_a_clean_close() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put(&engine, P, "a", "1").await;
        put_payload(&engine, P, "b", "2", b"the payload").await;
        put(&engine, P, "c", "3").await;
        delete(&engine, P, "c").await;
        engine.shutdown().await.unwrap();
        assert_eq!(engine.health(), Health::Closed);
        drop(engine);
        let engine = LocalEngine::open(options(&folder)).unwrap();
        assert_eq!(get(&engine, P, "a").await.as_deref(), Some("1"));
        assert_eq!(read_payload(&engine, P, "b").await, b"the payload");
        assert_eq!(get(&engine, P, "c").await, None);
        assert_eq!(get(&engine, Partition(8), "a").await, None, "partitions are apart");
    });
}

#[test]
fn a_second_open_of_the_folder_is_refused_and_names_the_process() {
    let folder = Folder::new();
    let first = LocalEngine::open(options(&folder)).unwrap();
    let refused = LocalEngine::open(options(&folder)).unwrap_err();
    match &refused {
        OpenError::Locked { pid, .. } => assert_eq!(*pid, Some(std::process::id())),
        other => panic!("{other}"),
    }
    assert!(refused.to_string().contains("in use by another process"));
    drop(first);
    LocalEngine::open(options(&folder)).unwrap();
}

#[test]
fn contended_counters_lose_no_step() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let counter = key("counter");
                        let hints = vec![counter.clone()];
                        let done = transact(&engine, P, hints, move |view| {
                            let next = view.get(&counter)?.map_or(1, |record| {
                                u32::from_le_bytes(record.value[..].try_into().unwrap()) + 1
                            });
                            let mut writes = Writes::none();
                            writes.put(counter.clone(), next.to_le_bytes().to_vec());
                            Ok(Decision::<u32, ()>::Commit(writes, next))
                        });
                        done.await.unwrap().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let record = engine.get(P, key("counter")).await.unwrap().unwrap();
        assert_eq!(u32::from_le_bytes(record.value[..].try_into().unwrap()), 64 * 20);
    });
}

#[test]
fn a_body_may_read_keys_that_it_did_not_hint_at() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for step in 0..20 {
            put(&engine, P, &format!("k{step}"), &format!("k{}", step + 1)).await;
        }
        let steps = transact(&engine, P, Vec::new(), |view| {
            let (mut at, mut steps) = (key("k0"), 0);
            while let Some(record) = view.get(&at)? {
                (at, steps) = (record.value.clone(), steps + 1);
            }
            Ok(Decision::<i32, ()>::Commit(Writes::none(), steps))
        });
        assert_eq!(steps.await.unwrap(), Ok(20));
    });
}

#[test]
fn a_panicking_body_refuses_itself_alone() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let panicked = transact(&engine, P, Vec::new(), |_| -> Result<Decision<(), ()>, _> {
            std::panic::resume_unwind(Box::new("on purpose"))
        });
        assert_eq!(panicked.await, Err(StoreError::Rejected(Rejection::Panicked)));
        put(&engine, P, "after", "1").await;
        assert_eq!(engine.health(), Health::Open);
    });
}

#[test]
fn payloads_can_be_kept_moved_and_let_go() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put_payload(&engine, P, "a", "1", b"bytes").await;
        let old = engine.get(P, key("a")).await.unwrap().unwrap().payload.unwrap();
        let moved = transact(&engine, P, Vec::new(), |_| {
            let mut writes = Writes::none();
            writes.put_with(key("b"), "2", Payload::Of(key("a")));
            writes.put(key("a"), "bare");
            Ok(Decision::<(), ()>::Commit(writes, ()))
        });
        moved.await.unwrap().unwrap();
        assert_eq!(read_payload(&engine, P, "b").await, b"bytes");
        let record = engine.get(P, key("a")).await.unwrap().unwrap();
        assert_eq!((&record.value[..], record.payload), (&b"bare"[..], None));
        delete(&engine, P, "b").await;
        let stale = engine.payloads(P, vec![(key("b"), old)]).await;
        assert!(stale == Err(ReadError::Gone) || stale == Ok(vec![key("bytes")]), "{stale:?}");
    });
}

#[test]
fn many_payloads_come_back_in_the_order_asked() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let mut wanted = Vec::new();
        for number in 0..200_u32 {
            let name = format!("k{number:03}");
            let body = vec![number as u8; 1 + (number as usize * 37) % 3_000];
            put_payload(&engine, P, &name, "v", &body).await;
            let record = engine.get(P, key(&name)).await.unwrap().unwrap();
            wanted.push((key(&name), record.payload.unwrap()));
        }
        wanted.reverse();
        let told = engine.payloads(P, wanted).await.unwrap();
        for (number, bytes) in (0..200_u32).rev().zip(told) {
            assert_eq!(bytes, vec![number as u8; 1 + (number as usize * 37) % 3_000]);
        }
    });
}

#[test]
fn a_transaction_larger_than_a_segment_gets_a_longer_one() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let large: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 7) as u8).collect();
        put_payload(&engine, P, "large", "v", &large).await;
        put_payload(&engine, P, "small", "v", b"s").await;
        engine.shutdown().await.unwrap();
        drop(engine);
        let engine = LocalEngine::open(options(&folder)).unwrap();
        assert_eq!(read_payload(&engine, P, "large").await, large);
        assert_eq!(read_payload(&engine, P, "small").await, b"s");
    });
}

#[test]
fn pages_fold_and_resume_across_memory_and_tables() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..300 {
            put(&engine, P, &format!("d{}/k{number:03}", number % 10), "v").await;
        }
        put(&engine, P, "top", "v").await;
        let fold = Some(Fold { at: 0, delimiter: key("/") });
        let scan = |start: Bytes, limit, fold| Scan { start, end: None, limit, fold };
        let page = engine.scan(P, scan(key(""), 4, fold.clone())).await.unwrap();
        let names: Vec<_> = page.items.iter().map(name).collect();
        assert_eq!(names, ["d0/", "d1/", "d2/", "d3/"]);
        let page = engine.scan(P, scan(page.resume.unwrap(), 100, fold)).await.unwrap();
        let names: Vec<_> = page.items.iter().map(name).collect();
        assert_eq!(names, ["d4/", "d5/", "d6/", "d7/", "d8/", "d9/", "top"]);
        assert_eq!(page.resume, None);
        let (mut start, mut count) = (Some(key("")), 0);
        while let Some(from) = start {
            let page = engine.scan(P, scan(from, 7, None)).await.unwrap();
            (start, count) = (page.resume, count + page.items.len());
        }
        assert_eq!(count, 301);
        let bounded = Scan { start: key("d3/"), end: Some(key("d4/")), limit: 1_000, fold: None };
        assert_eq!(engine.scan(P, bounded).await.unwrap().items.len(), 30);
    });
}

fn name(item: &Item) -> String {
    let (Item::Record(key, _) | Item::Prefix(key)) = item;
    String::from_utf8(key.to_vec()).unwrap()
}

#[test]
fn tokens_of_the_journals_end_are_known_after_a_reopen() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let token = Token::unique();
        let transaction = ossia_store::Transaction {
            partition: P,
            token,
            hints: Vec::new(),
            body: std::sync::Arc::new(|_| {
                let mut writes = Writes::none();
                writes.put(key("k"), "v");
                Ok(writes)
            }),
        };
        engine.submit(transaction.clone()).await.unwrap();
        assert_eq!(engine.settle(P, token).await, Ok(Settled::Committed));
        engine.shutdown().await.unwrap();
        drop(engine);
        let engine = LocalEngine::open(options(&folder)).unwrap();
        assert_eq!(engine.settle(P, token).await, Ok(Settled::Committed));
        let other = Token::unique();
        assert_eq!(engine.settle(P, other).await, Ok(Settled::Absent));
        let late = ossia_store::Transaction { token: other, ..transaction };
        assert!(matches!(engine.submit(late).await, Err(StoreError::Rejected(_))));
    });
}

#[test]
fn a_closed_store_refuses_and_closing_twice_is_harmless() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        engine.shutdown().await.unwrap();
        engine.shutdown().await.unwrap();
        assert_eq!(engine.get(P, key("a")).await, Err(ReadError::Closed));
        let refused = transact(&engine, P, Vec::new(), |_| {
            Ok(Decision::<(), ()>::Commit(Writes::none(), ()))
        });
        assert_eq!(refused.await, Err(StoreError::Rejected(Rejection::Closed)));
    });
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = Folder::new();
    let bad = EngineOptions { segment_bytes: 5_000, ..options(&folder) };
    assert!(matches!(
        LocalEngine::open(bad),
        Err(OpenError::Setting { name: "segment_bytes", .. })
    ));
}

#[test]
fn what_the_engine_does_is_counted() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let before = engine.metrics();
        let payload = vec![7; 5_000];
        for number in 0..20 {
            put_payload(&engine, P, &format!("k{number}"), "v", &payload).await;
        }
        let mut blob = engine.create(Bytes::from_static(b"owner")).await.unwrap();
        blob.write(Bytes::from(vec![1; 100_000])).await.unwrap();
        let blob = blob.finish().await.unwrap();
        engine.delete(blob.id).await.unwrap();
        let after = engine.metrics();
        let since = |of: fn(&EngineMetrics) -> u64| of(&after) - of(&before);
        assert_eq!((since(|m| m.groups), since(|m| m.transactions)), (20, 20));
        assert_eq!(since(|m| m.payload_bytes), 100_000);
        let journal = since(|m| m.journal_bytes);
        assert!(journal >= 20 * 8_192 && journal.is_multiple_of(4_096), "{journal}");
        assert!(since(|m| m.syncs) >= 20 + 3, "each group, the blob and its names: {after:?}");
        assert!(since(|m| m.written_bytes) > journal + 100_000, "{after:?}");
        assert!(since(|m| m.rotations) > 0 && after.segments > 1, "{after:?}");
        assert_eq!((since(|m| m.blobs_created), since(|m| m.blobs_deleted)), (1, 1));
        assert_eq!(since(|m| m.blob_bytes_created), 100_000);
        assert!(since(|m| m.blob_bytes_deleted) > 100_000, "header and checksums are in the file");
        assert_eq!((after.refused_busy, after.refused_full, after.queue_bytes), (0, 0, 0));
        // Flushes take their own time; each put gives them some more.
        for number in 0..100_000 {
            if engine.metrics().index_bytes > 0 {
                break;
            }
            put(&engine, P, &format!("more{number}"), "v").await;
        }
        assert!(engine.metrics().index_bytes > 0, "sealed memtables are written out");
    });
}
