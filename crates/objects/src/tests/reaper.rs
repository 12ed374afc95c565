//! The reaper: what nobody reads goes, what somebody reads stays.

use std::{future::poll_fn, sync::Arc};

use futures_core::Stream;

use super::support::{Stall, World, in_every_world, key, logs, modes, pattern, plain, settings};
use crate::{
    Settings,
    keys::{self, ContentId},
};

/// Keys of content and tombstones in the whole world.
async fn leftovers(world: &World) -> usize {
    let mut count = 0;
    for partition in world.partitions().await {
        let keys = world.keys(partition).await;
        count += keys.iter().filter(|(key, _)| b"cpst".contains(&key[0])).count();
    }
    count
}

#[tokio::test]
async fn letting_go_is_one_tombstone_and_the_reaper_does_the_rest() {
    in_every_world(async |mut world| {
        let mut position = 0;
        for i in 0..40 {
            let length = if i % 10 == 0 { 100 } else { 10 };
            let told = world.append("log", position, &pattern(length, i)).await.unwrap();
            position = told.next_position;
        }
        let before = world.store.counts.all();
        world.objects.delete(&logs(), &key("log")).await.unwrap();
        // Nobody's turn but ours on this thread: the reaper has not run yet.
        let after = world.store.counts.all();
        if !world.hostile {
            assert_eq!(after[0] - before[0], 1, "one transaction lets go of everything");
        }
        world.reap().await;
        assert_eq!(leftovers(&world).await, 0);
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn the_reaper_does_not_start_over_at_each_step() {
    let mut world = World::new(plain(1), settings()).await;
    for i in 0..30 {
        world.append("log", i * 10, &pattern(10, i)).await.unwrap();
    }
    world.store.started.lock().unwrap().clear();
    world.objects.delete(&logs(), &key("log")).await.unwrap();
    world.reap().await;
    let content = keys::extents(ContentId::new(0)).len();
    let starts = world.store.started.lock().unwrap().clone();
    let whole = starts.iter().filter(|start| start[0] == b'c' && start.len() == content).count();
    // At its begin and at its end, by us and by the reaper in the background; ten batches lie between.
    assert!(whole <= 4, "{whole} scans of everything");
    assert_eq!(leftovers(&world).await, 0);
    world.assert_tidy().await;
}

#[tokio::test]
async fn a_slow_reader_reads_to_the_end_what_is_deleted_meanwhile() {
    in_every_world(async |mut world| {
        let mut whole = Vec::new();
        for i in 0..60 {
            let bytes = pattern(if i % 7 == 0 { 1_500 } else { 40 }, i);
            world.append("log", whole.len() as u64, &bytes).await.unwrap();
            whole.extend_from_slice(&bytes);
        }
        let object = world.objects.get(&logs(), &key("log")).await.unwrap();
        let mut stream = Box::pin(object.read(0..u64::MAX));
        let mut read = Vec::new();
        for _ in 0..2 {
            let piece = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
            read.extend_from_slice(&piece.unwrap().unwrap());
        }
        world.put("log", b"new").await;
        let held = leftovers(&world).await;
        // As often as one likes.
        for _ in 0..3 {
            let _ = world.objects.core.reap_all().await;
        }
        assert_eq!(leftovers(&world).await, held, "reaped under a reader");
        drop(object);
        while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            read.extend_from_slice(&piece.unwrap());
        }
        assert!(read == whole);
        drop(stream);
        world.reap().await;
        assert_eq!(leftovers(&world).await, 0);
        assert_eq!(world.read("log").await, b"new");
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_between_its_head_and_its_pin_is_waited_for() {
    in_every_world(async |mut world| {
        let bytes = pattern(500, 1);
        for i in 0..10 {
            world.append("log", i * 50, &bytes[i as usize * 50..][..50]).await.unwrap();
        }
        let stall = Stall {
            key: crate::keys::head(&key("log")),
            reached: Arc::default(),
            go_on: Arc::default(),
        };
        *world.store.stall.lock().unwrap() = Some(stall.clone());
        let reader = {
            let world = world.clone();
            tokio::spawn(async move { world.read("log").await })
        };
        stall.reached.notified().await;
        world.objects.delete(&logs(), &key("log")).await.unwrap();
        let reapers: Vec<_> = (0..2)
            .map(|_| {
                let core = Arc::clone(&world.objects.core);
                tokio::spawn(async move { core.reap_all().await })
            })
            .collect();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let few = if world.settings.packing.enabled { 3 } else { 10 };
        assert!(leftovers(&world).await >= few, "reaped under a reader");
        stall.go_on.notify_one();
        assert!(reader.await.unwrap() == bytes);
        for reaper in reapers {
            reaper.await.unwrap().unwrap();
        }
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_read_wakes_the_reaper() {
    let world = World::new(super::support::plain(3), settings()).await;
    world.put("k", &pattern(500, 1)).await;
    let object = world.objects.get(&logs(), &key("k")).await.unwrap();
    world.objects.delete(&logs(), &key("k")).await.unwrap();
    // The reaper has seen it and gone to sleep for an hour when nothing is dirty any more.
    assert!(world.objects.core.reap_all().await.unwrap());
    drop(object);
    let gone = async {
        while leftovers(&world).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.unwrap();
}

/// Readers, writers, deleters and two reapers at once: every read is of one whole version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_see_a_hole_while_everything_is_overwritten_and_reaped() {
    for mode in modes() {
        println!("{mode:?}");
        let rounds = if mode.hostile.is_some() { 40 } else { 150 };
        let mut world = World::new(mode, Settings { reap_batch: 1, ..settings() }).await;
        let shared = Arc::new(world.clone());
        let writer = {
            let world = Arc::clone(&shared);
            tokio::spawn(async move {
                for i in 0..rounds {
                    let at = format!("k{}", i % 3);
                    if i % 5 == 4 {
                        world.objects.delete(&logs(), &key(&at)).await.unwrap();
                    } else if i % 2 == 0 {
                        // Every byte of a version is the same.
                        world.put(&at, &vec![i as u8; 2_000 + i]).await;
                    } else {
                        world.objects.delete(&logs(), &key(&at)).await.unwrap();
                        for n in 0..5 {
                            world.append(&at, n * 300, &vec![i as u8; 300]).await.unwrap();
                        }
                    }
                }
            })
        };
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let world = Arc::clone(&shared);
                tokio::spawn(async move {
                    for i in 0..rounds {
                        let at = format!("k{}", (i + reader) % 3);
                        let Ok(object) = world.objects.get(&logs(), &key(&at)).await else {
                            continue;
                        };
                        let range = 0..object.info.length;
                        let read = super::support::collect(object.read(range)).await.unwrap();
                        assert_eq!(read.len() as u64, object.info.length);
                        assert!(read.iter().all(|byte| *byte == read[0]), "a mixed version");
                    }
                })
            })
            .collect();
        let reapers: Vec<_> = (0..2)
            .map(|_| {
                let world = Arc::clone(&shared);
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        let told = world.objects.core.reap_all().await;
                        assert!(told.is_ok() || world.hostile, "{told:?}");
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        writer.await.unwrap();
        for task in readers.into_iter().chain(reapers) {
            task.await.unwrap();
        }
        drop(shared);
        world.assert_tidy().await;
    }
}
