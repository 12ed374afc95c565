//! A disk that fails: nothing is acknowledged that is not durable, and nothing acknowledged is lost (I1, I5).

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{io, sync::Arc};

use bytes::Bytes;
use common::{
    Folder, change, delete, everything,
    faulty::{FaultyDisk, Op},
    get, key, options, put, runtime,
};
use ossia_engine::{EngineOptions, LocalEngine};
use ossia_store::{
    BlobError, Blobs, Decision, Health, Index, Partition, Payload, Rejection, Settled, Store,
    StoreError, Token, Transaction, Writes, transact,
};

const P: Partition = Partition(1);

fn transaction(number: usize) -> Transaction {
    let body = move |_: &dyn ossia_store::View| {
        let mut writes = Writes::none();
        let payload = Payload::New(vec![Bytes::from(vec![number as u8; 500])]);
        writes.put_with(key(&format!("k{number:03}")), "v", payload);
        Ok(writes)
    };
    Transaction { partition: P, token: Token::unique(), hints: Vec::new(), body: Arc::new(body) }
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    let runtime = runtime();
    for op in [Op::Write, Op::Sync] {
        for at in 0..40 {
            let folder = Folder::new();
            let disk = FaultyDisk::default();
            // No flush: the tree's own files have no such disk, and a checkpoint would forget the tokens before it.
            let large = 8 << 20;
            let options = EngineOptions {
                memtable_bytes: large,
                checkpoint_bytes: large,
                ..options(&folder)
            };
            let (acked, unknown) = runtime.block_on(async {
                let engine = LocalEngine::open_on(options.clone(), Arc::new(disk.clone())).unwrap();
                disk.fail(op, at, "journal", io::ErrorKind::Other);
                let (mut acked, mut unknown, mut failed) = (Vec::new(), Vec::new(), false);
                for number in 0..60 {
                    let transaction = transaction(number);
                    let token = transaction.token;
                    match engine.submit(transaction).await {
                        Ok(()) => {
                            assert!(!failed, "acknowledged after a failure");
                            acked.push((number, token));
                        }
                        Err(StoreError::Unknown(_)) => {
                            assert!(!failed, "only one group can be unknown");
                            failed = true;
                            unknown.push((number, token));
                        }
                        Err(StoreError::Rejected(Rejection::Poisoned(_))) => failed = true,
                        Err(other) => panic!("{other}"),
                    }
                }
                assert!(failed, "{op:?} {at} never failed");
                assert!(matches!(engine.health(), Health::Poisoned(_)));
                // Reads go on, of durable state only.
                assert_eq!(everything(&engine, P).await.len(), acked.len());
                assert!(
                    engine.settle(P, acked.first().map_or(Token([0; 16]), |a| a.1)).await.is_err()
                );
                let refused = engine.create(Bytes::new()).await.map(|_| ());
                assert!(matches!(refused, Err(BlobError::Poisoned(_))));
                disk.heal();
                put_is_refused(&engine).await;
                assert!(engine.shutdown().await.is_err());
                (acked, unknown)
            });
            runtime.block_on(async {
                let engine = LocalEngine::open(options).unwrap();
                let mut stand = acked.len();
                for (number, token) in &acked {
                    let name = format!("k{number:03}");
                    assert_eq!(get(&engine, P, &name).await.as_deref(), Some("v"), "{op:?} {at}");
                    assert_eq!(engine.settle(P, *token).await, Ok(Settled::Committed));
                }
                for (number, token) in unknown {
                    let stands = get(&engine, P, &format!("k{number:03}")).await.is_some();
                    let told = engine.settle(P, token).await.unwrap();
                    assert_eq!(told == Settled::Committed, stands, "{op:?} {at}");
                    stand += usize::from(stands);
                }
                assert_eq!(everything(&engine, P).await.len(), stand);
                put(&engine, P, "goes on", "v").await;
            });
        }
    }
}

async fn put_is_refused(engine: &LocalEngine) {
    let mut writes = Writes::none();
    writes.put(key("late"), "v");
    let told = change(engine, P, writes).await;
    assert!(matches!(told, Err(StoreError::Rejected(Rejection::Poisoned(_)))), "{told:?}");
}

#[test]
fn a_full_medium_refuses_writes_takes_deletes_and_goes_on_by_itself() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    runtime().block_on(async {
        let options = EngineOptions { reserve_bytes: 1 << 20, ..options(&folder) };
        let engine = LocalEngine::open_on(options, Arc::new(disk.clone())).unwrap();
        put(&engine, P, "a", "1").await;
        disk.set_free_bytes(Some(1_000));
        // The last look at the medium is good for half a second.
        until(|| matches!(engine.health(), Health::Full(_))).await;
        let mut writes = Writes::none();
        writes.put(key("b"), "2");
        let told = change(&engine, P, writes).await;
        assert!(matches!(told, Err(StoreError::Rejected(Rejection::Full(_)))), "{told:?}");
        let told = engine.create(Bytes::new()).await.map(|_| ());
        assert!(matches!(told, Err(BlobError::Full(_))), "{told:?}");
        assert_eq!(get(&engine, P, "a").await.as_deref(), Some("1"));
        delete(&engine, P, "a").await;
        assert_eq!(get(&engine, P, "a").await, None);
        disk.set_free_bytes(None);
        until(|| engine.health() == Health::Open).await;
        put(&engine, P, "b", "2").await;
    });
}

/// Waits until something holds; it must within some seconds.
async fn until(holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it does not come to hold");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_segment_that_cannot_be_made_refuses_and_does_not_poison() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        disk.fail(Op::Write, 0, ".new", io::ErrorKind::StorageFull);
        let mut full = 0;
        for number in 0..60 {
            match engine.submit(transaction(number)).await {
                Ok(()) => assert_eq!(full, 0),
                Err(StoreError::Rejected(Rejection::Full(_))) => full += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(full > 0);
        disk.heal();
        until(|| engine.health() == Health::Open).await;
        put(&engine, P, "again", "v").await;
        assert_eq!(everything(&engine, P).await.len(), 60 - full + 1);
    });
}

#[test]
fn what_is_queued_does_not_try_one_by_one_to_make_a_segment_on_a_full_medium() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        put(&engine, P, "a", "1").await;
        until(|| common::frames::segments(folder.path()).len() == 2).await;
        disk.hold_syncs(true);
        let submit = |number| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.submit(transaction(number)).await })
        };
        let first = submit(0);
        until(|| disk.held() > 0).await;
        let queued: Vec<_> = (1..=250).map(submit).collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        disk.fail(Op::Write, 0, "3.new", io::ErrorKind::StorageFull);
        let before = disk.writes();
        disk.hold_syncs(false);
        assert_eq!(first.await.unwrap(), Ok(()));
        let mut full = 0;
        for told in queued {
            match told.await.unwrap() {
                Ok(()) => {}
                Err(StoreError::Rejected(Rejection::Full(_))) => full += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(full > 100, "{full}");
        // Each try would write until no room is left.
        assert!(disk.writes() - before < 30, "{}", disk.writes() - before);
    });
}

#[test]
fn what_no_later_frame_proves_is_written_again_before_it_is_served() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    // After this sync the system may take the group's pages for written, and they are not.
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        put(&engine, P, "a", "1").await;
        until(|| common::frames::segments(folder.path()).len() == 2).await;
        disk.fail(Op::Sync, 0, "journal", io::ErrorKind::Other);
        assert!(matches!(engine.submit(transaction(1)).await, Err(StoreError::Unknown(_))));
        let _ = engine.shutdown().await;
    });
    let frames = common::frames::frames(folder.path());
    let [.., acknowledged, last] = &frames[..] else { panic!("frames are written") };
    let disk = FaultyDisk::default();
    let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
    assert!(runtime().block_on(get(&engine, P, "k001")).is_some());
    let written = disk.written();
    assert!(written.contains(&(last.path.clone(), last.offset as u64)), "{written:?}");
    assert!(!written.contains(&(acknowledged.path.clone(), acknowledged.offset as u64)));
}

#[test]
fn a_start_needs_few_files_however_many_segments_there_are() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..100 {
            engine.submit(transaction(number)).await.unwrap();
        }
    });
    // A start that is repeated without end makes a segment each time.
    for _ in 0..20 {
        drop(LocalEngine::open(options(&folder)).unwrap());
    }
    let segments = common::frames::segments(folder.path()).len();
    assert!(segments > 30, "{segments}");
    let disk = FaultyDisk::default();
    let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
    assert!(disk.most_open() <= 8, "{}", disk.most_open());
    assert_eq!(runtime().block_on(everything(&engine, P)).len(), 100);
}

#[test]
fn nothing_of_the_index_is_removed_before_what_a_kill_left_is_durable() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put(&engine, P, "a", "1").await;
        engine.shutdown().await.unwrap();
    });
    // What a compaction has replaced, but not removed yet, when the process was killed.
    let replaced = folder.path().join("shard-0/index/tables/4711");
    std::fs::write(&replaced, b"an older `current` would name it").unwrap();
    let disk = FaultyDisk::default();
    disk.fail(Op::SyncFolder, 0, "index", io::ErrorKind::Other);
    assert!(LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).is_err());
    assert!(replaced.exists());
    disk.heal();
    drop(LocalEngine::open_on(options(&folder), Arc::new(disk)).unwrap());
    assert!(!replaced.exists());
}

#[test]
fn a_blob_keeps_its_staged_name_until_its_adopted_one_is_durable() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        let mut writer = engine.create(Bytes::from_static(b"owner")).await.unwrap();
        writer.write(Bytes::from_static(b"bytes")).await.unwrap();
        let id = writer.finish().await.unwrap().id;
        let staged = folder.path().join("staging").join(id.to_string());
        let fan = format!("blobs/{}", &id.to_string()[..2]);
        disk.fail(Op::SyncFolder, 0, &fan, io::ErrorKind::Other);
        assert!(engine.adopt(id).await.is_err());
        assert!(staged.exists());
        disk.heal();
        engine.adopt(id).await.unwrap();
        assert!(!staged.exists());
        assert_eq!(engine.staged().await.unwrap(), []);
        assert_eq!(engine.open(id).await.unwrap().read(0, 5).await.unwrap(), "bytes");
        engine.adopt(id).await.unwrap();
        // Where there are no second names, it is moved.
        let mut writer = engine.create(Bytes::from_static(b"owner")).await.unwrap();
        writer.write(Bytes::from_static(b"moved")).await.unwrap();
        let id = writer.finish().await.unwrap().id;
        disk.without_links();
        engine.adopt(id).await.unwrap();
        engine.adopt(id).await.unwrap();
        assert_eq!(engine.staged().await.unwrap(), []);
        assert_eq!(engine.open(id).await.unwrap().read(0, 5).await.unwrap(), "moved");
        engine.delete(id).await.unwrap();
        assert_eq!(engine.adopt(id).await, Err(BlobError::NotFound));
    });
}

#[test]
fn all_folders_that_a_new_store_makes_get_durable_names() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    let data = folder.path().join("a").join("b").join("c");
    let options = EngineOptions { data: data.clone(), ..options(&folder) };
    drop(LocalEngine::open_on(options, Arc::new(disk.clone())).unwrap());
    let synced = disk.synced_folders();
    for made in data.ancestors().take(4) {
        assert!(synced.iter().any(|path| path == made), "{}", made.display());
    }
}

#[test]
fn the_closing_frame_is_synced_after_a_second_of_idleness() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        put(&engine, P, "a", "1").await;
        // The spare segment's sync may still come; the closing frame's comes after a second, on top of it.
        until(|| common::frames::segments(folder.path()).len() == 2).await;
        let before = disk.syncs();
        assert!(disk.wait_for_syncs(before + 1), "the closing frame was never synced");
        let frames = common::frames::frames(folder.path());
        assert_eq!(frames.last().unwrap().kind, 2);
    });
}

#[test]
fn a_blob_whose_sync_fails_is_not_finished_and_poisons_the_store() {
    for op in [Op::Sync, Op::SyncFolder] {
        let folder = Folder::new();
        let disk = FaultyDisk::default();
        runtime().block_on(async {
            let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
            let mut writer = engine.create(Bytes::from_static(b"owner")).await.unwrap();
            writer.write(Bytes::from_static(b"bytes")).await.unwrap();
            disk.fail(op, 0, "staging", io::ErrorKind::Other);
            assert!(matches!(writer.finish().await, Err(BlobError::Poisoned(_))));
            put_is_refused(&engine).await;
        });
    }
}

#[test]
fn a_refusal_that_saw_a_write_in_flight_shares_its_fate() {
    for fails in [false, true] {
        let folder = Folder::new();
        let disk = FaultyDisk::default();
        // One thread, so that what is spawned first is queued first.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = EngineOptions { segment_bytes: 1 << 20, ..options(&folder) };
            let engine = LocalEngine::open_on(options, Arc::new(disk.clone())).unwrap();
            put(&engine, P, "first", "1").await;
            until(|| common::frames::segments(folder.path()).len() == 2).await;
            disk.hold_syncs(true);
            let other = engine.clone();
            let before = tokio::spawn(async move { other.submit(transaction(1)).await });
            until(|| disk.held() == 1).await;
            // Both of these stand in the next group: a write, and one that writes nothing because of it.
            let other = engine.clone();
            let write = tokio::spawn(async move { other.submit(transaction(2)).await });
            let other = engine.clone();
            let refusal = tokio::spawn(async move {
                let told = transact(&other, P, vec![key("k002")], |view| {
                    Ok(match view.get(&key("k002"))? {
                        Some(_) => Decision::Refuse("it is there"),
                        None => Decision::Commit(Writes::none(), "it is not there"),
                    })
                });
                told.await
            });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!refusal.is_finished());
            if fails {
                disk.fail(Op::Sync, 1, "journal", io::ErrorKind::Other);
            }
            disk.hold_syncs(false);
            assert_eq!(before.await.unwrap(), Ok(()));
            let (write, refusal) = (write.await.unwrap(), refusal.await.unwrap());
            if fails {
                assert!(matches!(write, Err(StoreError::Unknown(_))), "{write:?}");
                assert!(matches!(refusal, Err(StoreError::Unknown(_))), "{refusal:?}");
            } else {
                assert_eq!(write, Ok(()));
                assert_eq!(refusal, Ok(Err("it is there")));
            }
        });
    }
}

#[test]
fn a_refusal_of_durable_state_costs_no_sync() {
    let folder = Folder::new();
    let disk = FaultyDisk::default();
    runtime().block_on(async {
        let engine = LocalEngine::open_on(options(&folder), Arc::new(disk.clone())).unwrap();
        put(&engine, P, "k", "1").await;
        until(|| common::frames::segments(folder.path()).len() == 2).await;
        // Once the closing frame, the third, is noted beside the journal, no sync is due any more. Syncs are not counted up to there:
        // on a busy machine they may have come before the count began.
        let note = folder.path().join("shard-0/reached");
        let closing = 3_u64.to_le_bytes();
        until(|| std::fs::read(&note).is_ok_and(|note| note.get(40..48) == Some(&closing[..])))
            .await;
        let before = disk.syncs();
        for _ in 0..50 {
            let told = transact(&engine, P, Vec::new(), |view| {
                Ok(match view.get(&key("k"))? {
                    Some(record) => Decision::<(), Bytes>::Refuse(record.value),
                    None => Decision::Commit(Writes::none(), ()),
                })
            });
            assert_eq!(told.await, Ok(Err(key("1"))));
        }
        assert_eq!(disk.syncs(), before);
    });
}
