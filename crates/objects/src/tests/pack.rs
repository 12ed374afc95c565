//! Packing: many small extents become few, and nobody can tell.

use std::{future::poll_fn, sync::Arc, time::Duration};

use futures_core::Stream;
use ossia_store::{Decision, Writes, transact};
use proptest::prelude::*;

use super::support::{
    Mode, Stall, World, always_packing, collect, in_every_world, key, logs, modes, name, packing,
    pattern, plain, settings,
};
use crate::{
    Failure, Packing, Settings, keys,
    pack::Tier,
    records::{Extent, Source, Stored},
    words::crc64,
};

/// Appends pieces of these lengths and tells the whole.
async fn append_all(world: &World, at: &str, lengths: &[usize]) -> Vec<u8> {
    let mut whole = Vec::new();
    for (i, &length) in lengths.iter().enumerate() {
        let bytes = pattern(length, i as u64);
        world.append(at, whole.len() as u64, &bytes).await.unwrap();
        whole.extend_from_slice(&bytes);
    }
    whole
}

/// Waits for a condition, for a while.
async fn until(condition: impl AsyncFn() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), met).await.unwrap();
}

async fn extent_count(world: &World) -> usize {
    let mut count = 0;
    for (_, content) in world.contents().await {
        count += world.extents(content).await.len();
    }
    count
}

/// A world that packs when it is asked.
async fn manual(mode: Mode) -> World {
    World::new(mode, Settings { packing: packing(), ..settings() }).await
}

#[tokio::test]
async fn a_packed_log_has_few_extents_and_every_byte_that_it_had() {
    for mode in modes() {
        println!("{mode:?}");
        let mut world = manual(mode).await;
        // Runs of 10, 1, and 7; 100 bytes are a blob.
        let mut lengths = vec![9; 10];
        lengths.extend([100, 5, 100, 100]);
        lengths.extend([64, 1, 64, 1, 2, 3, 4]);
        let whole = append_all(&world, "log", &lengths).await;
        let before = world.objects.head(&logs(), &key("log")).await.unwrap();
        world.clock.advance_ms(60_000);
        world.pack(Tier::Payloads).await;
        let (_, content) = world.contents().await[0];
        let runs = [(90, true), (190, true), (195, false), (295, true), (395, true), (534, true)];
        assert_eq!(world.extents(content).await, runs);
        assert_eq!(world.objects.head(&logs(), &key("log")).await.unwrap(), before);
        assert_eq!(before.crc64, crc64::checksum(&whole));
        assert!(world.read("log").await == whole);
        let object = world.objects.get(&logs(), &key("log")).await.unwrap();
        for start in 0..whole.len() {
            let end = (start + 1 + start % 150).min(whole.len());
            let read = collect(object.read(start as u64..end as u64)).await.unwrap();
            assert!(read == whole[start..end], "{start}..{end}");
        }
        drop(object);
        // It goes on behind that as before, and a second round finds only what is new.
        world.append("log", 534, b"more").await.unwrap();
        world.pack(Tier::Payloads).await;
        assert_eq!(world.extents(content).await.len(), 7);
        world.assert_tidy().await;
        assert_eq!(world.read("log").await, [&whole[..], b"more"].concat());
    }
}

#[tokio::test]
async fn a_blob_holds_no_more_than_it_may() {
    let limits = Packing { blob_bytes_max: 100, blob_appends_max: 8, ..packing() };
    let mut world = World::new(plain(1), Settings { packing: limits, ..settings() }).await;
    let whole = append_all(&world, "log", &[30, 30, 30, 30, 64, 60, 64, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let whole = whole.await;
    world.pack(Tier::Payloads).await;
    let (_, content) = world.contents().await[0];
    let ends = world.extents(content).await;
    // 90 bytes; 30 + 64; 60; then 64 and seven of one byte; two of one byte.
    let runs = [(90, true), (184, true), (244, false), (315, true), (317, true)];
    assert_eq!(ends, runs);
    assert!(world.read("log").await == whole);
    world.assert_tidy().await;
}

#[tokio::test]
async fn small_appends_are_packed_while_a_log_grows_and_when_it_rests() {
    for mode in modes() {
        println!("{mode:?}");
        let mut world = World::new(mode, always_packing()).await;
        let whole = append_all(&world, "log", &[7; 100]).await;
        until(async || {
            let (_, content) = world.contents().await[0];
            world.extents(content).await.iter().filter(|(_, blob)| !blob).count() <= 1
        })
        .await;
        assert!(extent_count(&world).await <= 51);
        assert!(world.read("log").await == whole);
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn what_a_run_before_left_unpacked_is_found_at_the_next_start() {
    for mode in modes() {
        let mut world = World::new(mode, settings()).await;
        let whole = append_all(&world, "log", &[7; 50]).await;
        append_all(&world, "lone", &[7]).await;
        assert_eq!(extent_count(&world).await, 51);
        world.settings = always_packing();
        world.restart().await;
        until(async || extent_count(&world).await == 2).await;
        assert!(world.read("log").await == whole);
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn an_append_after_a_restart_has_the_older_part_of_its_run_packed_with_it() {
    // Nobody walks here.
    let quiet = Packing { quiet: Duration::from_secs(3_600), ..always_packing().packing };
    let mut world = World::new(plain(1), settings()).await;
    let mut whole = append_all(&world, "log", &[7; 50]).await;
    world.settings = Settings { packing: quiet, ..settings() };
    world.restart().await;
    for _ in 0..2 {
        world.append("log", whole.len() as u64, b"new").await.unwrap();
        whole.extend_from_slice(b"new");
    }
    until(async || extent_count(&world).await == 1).await;
    assert!(world.read("log").await == whole);
    world.assert_tidy().await;
}

#[tokio::test]
async fn an_open_download_reads_on_across_packing() {
    for tier in [Tier::Payloads, Tier::Blobs] {
        in_every_world(async |world| {
            let mut world = World {
                settings: Settings { packing: packing(), read_piece_bytes: 1 << 10, ..settings() },
                ..world
            };
            world.restart().await;
            let length = if tier == Tier::Blobs { 130 } else { 60 };
            let whole = append_all(&world, "log", &[length; 100]).await;
            let object = world.objects.get(&logs(), &key("log")).await.unwrap();
            let mut streams = Vec::new();
            for begun in [0, 1, 3] {
                let mut stream = Box::pin(object.read(0..u64::MAX));
                let mut read = Vec::new();
                for _ in 0..begun {
                    let piece = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
                    read.extend_from_slice(&piece.unwrap().unwrap());
                }
                streams.push((stream, read));
            }
            drop(object);
            world.pack(tier).await;
            assert_eq!(extent_count(&world).await, 1);
            // Blobs that were folded are there for those who may still read them.
            let blobs = if tier == Tier::Blobs { 101 } else { 1 };
            let _ = world.objects.core.reap_all().await;
            assert_eq!(world.store.blobs.lock().unwrap().len(), blobs);
            for (mut stream, mut read) in streams {
                while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    read.extend_from_slice(&piece.unwrap());
                }
                assert!(read == whole);
            }
            world.reap().await;
            assert_eq!(world.store.blobs.lock().unwrap().len(), 1);
            assert!(world.read("log").await == whole);
            world.assert_tidy().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_log_deleted_between_staging_and_naming_takes_the_blob_with_it() {
    for overwrite in [false, true] {
        let mut world = manual(plain(1)).await;
        append_all(&world, "log", &[7; 20]).await;
        let (partition, content) = world.contents().await[0];
        let stall = Stall { key: keys::bucket(), reached: Arc::default(), go_on: Arc::default() };
        *world.store.stall_blob.lock().unwrap() = Some(stall.clone());
        let packing = {
            let core = Arc::clone(&world.objects.core);
            tokio::spawn(async move {
                core.pack_content(partition, content, 0, Tier::Payloads).await.unwrap()
            })
        };
        stall.reached.notified().await;
        if overwrite {
            world.put("log", b"new").await;
        } else {
            world.objects.delete(&logs(), &key("log")).await.unwrap();
        }
        // Once with the tombstone in the way, once with all extents gone and the tombstone, too.
        if overwrite {
            world.reap().await;
        }
        stall.go_on.notify_one();
        assert!(packing.await.unwrap().gone);
        assert!(world.store.blobs.lock().unwrap().is_empty(), "before any restart");
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_log_half_reaped_under_the_packer_is_gone_not_damaged() {
    for reaped_whole in [false, true] {
        let mut world = manual(plain(1)).await;
        append_all(&world, "log", &[7; 20]).await;
        let (partition, content) = world.contents().await[0];
        let tombstone = keys::tombstone(content);
        let stall = Stall { key: tombstone, reached: Arc::default(), go_on: Arc::default() };
        *world.store.stall.lock().unwrap() = Some(stall.clone());
        let packing = {
            let core = Arc::clone(&world.objects.core);
            tokio::spawn(
                async move { core.pack_content(partition, content, 0, Tier::Payloads).await },
            )
        };
        // The packer has found no tombstone, and looks for extents only after this.
        stall.reached.notified().await;
        world.objects.delete(&logs(), &key("log")).await.unwrap();
        if reaped_whole {
            world.reap().await;
        } else {
            let first = keys::extent(content, 7);
            let remove = transact(&*world.store, partition, vec![first.clone()], move |_| {
                let mut writes = Writes::none();
                writes.delete(first.clone());
                Ok(Decision::<(), ()>::Commit(writes, ()))
            });
            remove.await.unwrap().unwrap();
        }
        stall.go_on.notify_one();
        let left = packing.await.unwrap().unwrap();
        assert_eq!((left.gone, left.extents), (!reaped_whole, 0));
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn two_packers_at_once_do_no_harm() {
    for mode in modes() {
        let mut world = manual(mode).await;
        let whole = append_all(&world, "log", &[7; 40]).await;
        for _ in 0..3 {
            tokio::join!(world.pack(Tier::Payloads), world.pack(Tier::Payloads));
        }
        assert_eq!(extent_count(&world).await, 1);
        assert!(world.read("log").await == whole);
        world.assert_tidy().await;
    }
}

#[tokio::test]
async fn many_small_blobs_are_folded_into_one() {
    in_every_world(async |world| {
        let mut world =
            World { settings: Settings { packing: packing(), ..settings() }, ..world.clone() };
        world.restart().await;
        let mut lengths = vec![65; 40];
        lengths.extend([5; 3]);
        lengths.extend([70; 5]);
        let whole = append_all(&world, "log", &lengths).await;
        world.pack(Tier::Blobs).await;
        let (partition, content) = world.contents().await[0];
        let extents = world.extents(content).await;
        // One of forty, three payloads, and five that are too few.
        assert_eq!(extents.len(), 1 + 3 + 5);
        assert!(world.read("log").await == whole);
        let core = &world.objects.core;
        let left = core.pack_content(partition, content, 0, Tier::Blobs).await.unwrap();
        assert_eq!((left.blobs, left.seen), (6, whole.len() as u64));
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn damage_is_never_packed() {
    let mut world = manual(plain(1)).await;
    append_all(&world, "log", &[7; 20]).await;
    let (partition, content) = world.contents().await[0];
    let at = keys::extent(content, 70);
    let damaged = transact::<(), (), _>(&world.store.inner, partition, vec![], move |view| {
        let record = view.get(&at)?.unwrap();
        let extent = Extent::decode(&record.value).unwrap();
        assert_eq!(extent.source, Source::Payload);
        let mut writes = Writes::none();
        let wrong = Extent { crc64: !extent.crc64, ..extent };
        writes.put_with(at.clone(), wrong.encode(), ossia_store::Payload::Of(at.clone()));
        Ok(Decision::Commit(writes, ()))
    });
    damaged.await.unwrap().unwrap();
    let before = world.keys(partition).await;
    let told = world.objects.core.pack_content(partition, content, 0, Tier::Payloads).await;
    assert!(matches!(told, Err(Failure::Damaged(_))), "{told:?}");
    assert_eq!(world.keys(partition).await, before);
    assert_eq!(world.store.blobs.lock().unwrap().len(), 0);
    world.assert_tidy().await;
}

#[tokio::test]
async fn a_bucket_whose_logs_were_packed_can_be_deleted() {
    for mode in modes() {
        let mut world = World::new(mode, always_packing()).await;
        world.create(&name("doomed")).await;
        for i in 0..30 {
            let mut input = world.append_input("log", i * 5, super::support::body(&[7; 5]));
            input.bucket = name("doomed");
            world.objects.append(input).await.unwrap();
        }
        world.objects.delete(&name("doomed"), &key("log")).await.unwrap();
        world.objects.delete_bucket(&name("doomed")).await.unwrap();
        world.assert_tidy().await;
    }
}

/// Appenders, readers, deleters, packers of both kinds and reapers at once: every read is of one whole version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_a_hole_while_everything_is_packed_deleted_and_reaped() {
    for mode in modes() {
        println!("{mode:?}");
        let rounds = if mode.hostile.is_some() { 15 } else { 60 };
        let settings = Settings { reap_batch: 2, ..always_packing() };
        let mut world = World::new(mode, settings).await;
        let shared = Arc::new(world.clone());
        let appenders: Vec<_> = (0..3)
            .map(|n| {
                let world = Arc::clone(&shared);
                tokio::spawn(async move {
                    let at = format!("k{n}");
                    for i in 0..rounds {
                        // Every byte of a version is the same.
                        for n in 0..30 {
                            let length = if n % 10 == 9 { 80 } else { 20 };
                            let info = world.objects.head(&logs(), &key(&at)).await;
                            let position = info.map_or(0, |info| info.length);
                            world.append(&at, position, &vec![i as u8; length]).await.unwrap();
                        }
                        if i % 3 == 0 {
                            world.put(&at, &vec![i as u8; 300]).await;
                        }
                        world.objects.delete(&logs(), &key(&at)).await.unwrap();
                    }
                    append_all(&world, &at, &[11; 40]).await;
                })
            })
            .collect();
        let last: Vec<u8> = (0..40).flat_map(|i| pattern(11, i)).collect();
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (world, last) = (Arc::clone(&shared), last.clone());
                tokio::spawn(async move {
                    for i in 0..rounds * 5 {
                        let at = format!("k{}", (i + reader) % 3);
                        let Ok(object) = world.objects.get(&logs(), &key(&at)).await else {
                            continue;
                        };
                        let read = collect(object.read(0..object.info.length)).await.unwrap();
                        assert_eq!(read.len() as u64, object.info.length);
                        let of_one = read.iter().all(|byte| *byte == read[0]);
                        assert!(of_one || last.starts_with(&read), "a mixed version");
                    }
                })
            })
            .collect();
        let packers: Vec<_> = [Tier::Payloads, Tier::Blobs, Tier::Blobs]
            .into_iter()
            .map(|tier| {
                let world = Arc::clone(&shared);
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        world.pack(tier).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in appenders.into_iter().chain(readers).chain(packers) {
            task.await.unwrap();
        }
        drop(shared);
        world.assert_tidy().await;
        for n in 0..3 {
            assert_eq!(world.read(&format!("k{n}")).await.len(), 440);
        }
    }
}

/// What a program does with a log.
#[derive(Debug, Clone)]
enum Act {
    Append(usize),
    Read(usize, usize),
    Delete,
    Overwrite(usize),
    Pack(bool),
    Reap,
    Restart,
    /// Opens a download, to be read to its end later.
    Open,
    Finish,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        30 => (0_usize..90).prop_map(Act::Append),
        8 => (0_usize..1_500, 0_usize..1_500).prop_map(|(from, to)| Act::Read(from, to)),
        1 => Just(Act::Delete),
        1 => (0_usize..200).prop_map(Act::Overwrite),
        3 => any::<bool>().prop_map(Act::Pack),
        1 => Just(Act::Reap),
        1 => Just(Act::Restart),
        2 => Just(Act::Open),
        2 => Just(Act::Finish),
    ];
    proptest::collection::vec(act, 1..80)
}

async fn act_all(mode: Mode, acts: Vec<Act>) {
    let mut world = World::new(mode, always_packing()).await;
    // The bytes, and whether they may be appended to.
    let mut model: Option<(Vec<u8>, bool)> = None;
    let mut open = Vec::new();
    for (i, act) in acts.into_iter().enumerate() {
        match act {
            Act::Append(length) => {
                let bytes = pattern(length, i as u64);
                if matches!(model, Some((_, false))) {
                    continue;
                }
                let (whole, _) = model.get_or_insert((Vec::new(), true));
                let told = world.append("log", whole.len() as u64, &bytes).await.unwrap();
                whole.extend_from_slice(&bytes);
                assert_eq!(told.crc64, crc64::checksum(whole));
            }
            Act::Read(from, to) => {
                let object = world.objects.get(&logs(), &key("log")).await.ok();
                assert_eq!(object.is_some(), model.is_some());
                if let Some((object, (whole, _))) = object.zip(model.as_ref()) {
                    let read = collect(object.read(from as u64..to as u64)).await.unwrap();
                    let to = to.min(whole.len());
                    assert!(read == whole[from.min(to)..to]);
                }
            }
            Act::Delete => {
                world.objects.delete(&logs(), &key("log")).await.unwrap();
                model = None;
            }
            Act::Overwrite(length) => {
                let bytes = pattern(length, i as u64);
                world.put("log", &bytes).await;
                model = Some((bytes, false));
            }
            Act::Pack(blobs) => {
                world.pack(if blobs { Tier::Blobs } else { Tier::Payloads }).await;
            }
            Act::Reap => {
                let _ = world.objects.core.reap_all().await;
            }
            Act::Restart => {
                open.clear();
                world.restart().await;
            }
            Act::Open => {
                if let Some((whole, _)) = &model {
                    let object = world.objects.get(&logs(), &key("log")).await.unwrap();
                    let mut stream = Box::pin(object.read(0..u64::MAX));
                    let first = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
                    let first = first.map(Result::unwrap).unwrap_or_default().to_vec();
                    open.push((stream, first, whole.clone()));
                }
            }
            Act::Finish => {
                for (stream, mut read, whole) in open.drain(..) {
                    read.extend(collect(stream).await.unwrap());
                    assert!(read == whole);
                }
            }
        }
    }
    open.clear();
    world.assert_tidy().await;
    if let Some((whole, _)) = model {
        assert!(world.read("log").await == whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_is_its_bytes_however_it_is_packed(acts in acts(), seed in 0_u64..16, hostile: bool) {
        let mode = Mode { partitions: 1, hostile: hostile.then_some(seed) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(act_all(mode, acts));
    }
}
