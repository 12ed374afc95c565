//! Encryption at rest: what the store holds, what can be read with which keys, and what a rotation does.

use std::{path::Path, sync::Arc};

use ossia_engine::{EngineOptions, LocalEngine};
use ossia_keys::MasterKeys;
use ossia_store::{Index, Payload, Store, Writes};

use super::{copy, support::*};
use crate::{
    AppendError, ChosenParts, CompleteUploadInput, CopyError, CreateBucketInput, Creation, Encrypt,
    Failure, InitiateUploadInput, ManualClock, Objects, PutError, ReadObjectError, Settings,
    UploadPartInput,
    core::run_plain,
    keys, keys_in_use,
    pack::Tier,
    records::{Extent, Head, Source, Stored},
    sealing::{CHUNK, PLAIN},
    words::ObjectType,
};

/// A length of several chunks, the last one not whole.
const LONG: usize = 3 * PLAIN + 1_000;

fn encrypted() -> Creation {
    Creation { encrypted: true, ..Creation::default() }
}

impl World {
    async fn put_encrypted(&self, at: &str, bytes: &[u8]) {
        let mut input = self.put_input(at, bytes);
        input.creation = encrypted();
        assert!(self.objects.put(input).await.unwrap().encrypted);
    }

    async fn append_encrypted(&self, at: &str, position: u64, bytes: &[u8]) {
        let mut input = self.append_input(at, position, body(bytes));
        input.creation = Some(encrypted());
        assert!(self.objects.append(input).await.unwrap().encrypted);
    }

    async fn is_encrypted(&self, at: &str) -> bool {
        self.objects.head(&logs(), &key(at)).await.unwrap().encrypted
    }

    /// The same store opened with other master keys.
    async fn reopen(&self, keys: MasterKeys) -> Objects {
        self.objects.close().await;
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Objects::open_with(store, clock, self.settings.clone(), Arc::new(keys)).await.unwrap()
    }
}

async fn read_range(
    objects: &Objects,
    at: &str,
    from: u64,
    to: u64,
) -> Result<Vec<u8>, ReadObjectError> {
    let object = objects.get(&logs(), &key(at)).await?;
    collect(object.read(from..to)).await
}

#[tokio::test]
async fn ranges_over_the_edges_of_chunks_are_those_of_the_plain_bytes() {
    for (inline, packed) in [(64, false), (1 << 20, false), (64, true), (1 << 20, true)] {
        let settings = Settings { inline_bytes_max: inline, packing: packing(), ..settings() };
        let world = World::new(plain(1), settings).await;
        let all = pattern(LONG, 7);
        world.put_encrypted("put", &all).await;
        // Pieces of uneven lengths.
        let (mut position, mut length) = (0, 1);
        while position < all.len() {
            let end = (position + length).min(all.len());
            world.append_encrypted("log", position as u64, &all[position..end]).await;
            (position, length) = (end, length * 2 + 777);
        }
        if packed {
            world.pack(Tier::Payloads).await;
            world.pack(Tier::Blobs).await;
        }
        let edges: Vec<u64> = [0, 1, PLAIN - 1, PLAIN, PLAIN + 1, CHUNK, 2 * PLAIN, LONG - 1, LONG]
            .map(|edge| edge as u64)
            .into();
        for at in ["put", "log"] {
            for &from in &edges {
                for &to in edges.iter().filter(|to| **to >= from) {
                    let told = read_range(&world.objects, at, from, to).await.unwrap();
                    assert!(told == all[from as usize..to as usize], "{at} {from}..{to}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_first_append_decides_for_all_later_ones() {
    in_every_world(async |mut world| {
        world.settings.encrypt_all = false;
        world.restart().await;
        world.append_encrypted("yes", 0, b"first").await;
        // Says nothing about encryption.
        let later = world.append("yes", 5, b" later").await.unwrap();
        assert!(later.encrypted);
        assert_eq!(world.read("yes").await, b"first later");
        world.append("no", 0, b"first").await.unwrap();
        let mut input = world.append_input("no", 5, body(b" later"));
        input.creation = Some(encrypted());
        assert!(!world.objects.append(input).await.unwrap().encrypted);
        assert_eq!(world.read("no").await, b"first later");
        assert!(world.is_encrypted("yes").await && !world.is_encrypted("no").await);
        world.assert_tidy().await;
    })
    .await;
}

#[tokio::test]
async fn of_appends_that_race_to_make_an_object_one_wins_and_all_bytes_can_be_read() {
    for seed in 0..20 {
        let mode = Mode { partitions: 1, hostile: (seed % 2 == 1).then_some(seed) };
        let world = World::new(mode, settings()).await;
        let mut racing = tokio::task::JoinSet::new();
        for racer in 0..6_u8 {
            let world = world.clone();
            racing.spawn(async move {
                let mut position = 0;
                for _ in 0..50 {
                    let mut input = world.append_input("log", position, body(&[racer; 40]));
                    input.creation =
                        Some(Creation { encrypted: racer % 2 == 0, ..Creation::default() });
                    match world.objects.append(input).await {
                        Ok(_) => return,
                        Err(AppendError::PositionMismatch { length, .. }) => position = length,
                        Err(AppendError::Store(Failure::Busy)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(told) = racing.join_next().await {
            told.unwrap();
        }
        let read = world.read("log").await;
        let mut racers: Vec<u8> = read.chunks(40).map(|chunk| chunk[0]).collect();
        assert!(read.chunks(40).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
        racers.sort_unstable();
        assert_eq!(racers, [0, 1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn copies_are_encrypted_as_they_say_whatever_their_source_is() {
    let settings = Settings { copy_appendable: true, ..settings() };
    let mut world = World::new(plain(3), settings).await;
    for (name, bytes) in [("small", pattern(50, 1)), ("large", pattern(LONG, 2))] {
        world.put(&format!("{name}-plain"), &bytes).await;
        world.put_encrypted(&format!("{name}-sealed"), &bytes).await;
        for from in ["plain", "sealed"] {
            for encrypt in [Encrypt::No, Encrypt::ByDefault, Encrypt::Named] {
                let from = format!("{name}-{from}");
                let mut input = copy::input(&from, "copy");
                input.encrypt = encrypt;
                let told = world.objects.copy(input).await.unwrap();
                assert_eq!(told.encrypted, encrypt != Encrypt::No);
                assert_eq!(world.is_encrypted("copy").await, told.encrypted);
                assert!(world.read("copy").await == bytes, "{from} {encrypt:?}");
            }
        }
    }
    // The source goes, and its key with it.
    let mut input = copy::input("large-sealed", "copy");
    input.encrypt = Encrypt::Named;
    world.objects.copy(input).await.unwrap();
    world.objects.delete(&logs(), &key("large-sealed")).await.unwrap();
    world.reap().await;
    assert!(world.read("copy").await == pattern(LONG, 2));
    world.assert_tidy().await;
}

#[tokio::test]
async fn a_copy_onto_itself_encrypts_where_it_says_so_and_changes_nothing_of_the_bytes_else() {
    let mut world = World::new(plain(1), settings()).await;
    let bytes = pattern(LONG, 3);
    let before = world.put("k", &bytes).await;
    for (encrypt, after) in [
        (Encrypt::No, false),
        (Encrypt::ByDefault, false),
        (Encrypt::Named, true),
        (Encrypt::No, true),
    ] {
        let mut input = copy::input("k", "k");
        input.encrypt = encrypt;
        let told = world.objects.copy(input).await.unwrap();
        assert_eq!((told.encrypted, world.is_encrypted("k").await), (after, after), "{encrypt:?}");
        assert_eq!((told.etag, told.crc64), (before.etag.clone(), before.crc64));
        assert!(world.read("k").await == bytes);
    }
    world.assert_tidy().await;
}

/// Everything that holds bytes: inline, blob, appends, packed, parts, a copy.
async fn fill(world: &World, long: &[u8], short: &[u8]) {
    world.put_encrypted("inline", short).await;
    world.put_encrypted("blob", long).await;
    for i in 0..20 {
        world.append_encrypted("log", i * short.len() as u64, short).await;
    }
    world.append_encrypted("log", 20 * short.len() as u64, long).await;
    let upload = world
        .objects
        .initiate_upload(InitiateUploadInput {
            bucket: logs(),
            key: key("parts"),
            creation: encrypted(),
            acl: None,
            sequential: false,
            forbid_overwrite: false,
        })
        .await
        .unwrap();
    for (number, bytes) in [(1, long), (2, short), (3, short)] {
        let input = UploadPartInput {
            bucket: logs(),
            key: key("parts"),
            upload,
            number,
            body: body(bytes),
        };
        assert!(world.objects.upload_part(input).await.unwrap().encrypted);
    }
    let input = CompleteUploadInput {
        bucket: logs(),
        key: key("parts"),
        upload,
        parts: ChosenParts::All,
        acl: None,
        forbid_overwrite: false,
    };
    assert!(world.objects.complete_upload(input).await.unwrap().encrypted);
    let mut input = copy::input("blob", "copy");
    input.encrypt = Encrypt::Named;
    world.objects.copy(input).await.unwrap();
}

async fn assert_filled(objects: &Objects, long: &[u8], short: &[u8]) {
    let log = [&short.repeat(20)[..], long].concat();
    for (at, bytes) in [
        ("inline", short.to_vec()),
        ("blob", long.to_vec()),
        ("log", log),
        ("parts", [long, short, short].concat()),
        ("copy", long.to_vec()),
    ] {
        let read = read_range(objects, at, 0, u64::MAX).await.unwrap();
        assert!(read == bytes, "{at}");
    }
}

#[tokio::test]
async fn after_a_rotation_every_data_key_is_sealed_anew_and_nothing_changes_that_is_read() {
    let mut world = World::new(plain(3), Settings { packing: packing(), ..settings() }).await;
    let (long, short) = (pattern(LONG, 4), pattern(60, 5));
    fill(&world, &long, &short).await;
    let core = &world.objects.core;
    assert_eq!(core.walk_keys().await.unwrap().found, 0, "all are under the current key");
    let before = core.keys.current().unwrap();
    let fresh = core.keys.rotate().unwrap();
    assert!(fresh != before);
    assert_eq!(core.walk_keys().await.unwrap().found, 5, "one for each object");
    assert_eq!(core.walk_keys().await.unwrap().found, 0, "twice does no harm");
    for partition in world.partitions().await {
        for (key, record) in world.keys(partition).await {
            if key[0] == keys::DATA_KEY {
                let record = crate::records::KeyRecord::decode(&record.value).unwrap();
                assert_eq!(record.master(), Some(fresh));
            }
        }
    }
    assert_filled(&world.objects, &long, &short).await;
    world.append("log", 20 * 60 + LONG as u64, b"more").await.unwrap();
    world.pack(Tier::Payloads).await;
    world.assert_tidy().await;
}

#[tokio::test]
async fn no_two_objects_have_one_data_key_but_those_that_share_their_bytes() {
    let world = World::new(plain(1), settings()).await;
    let core = &world.objects.core;
    let (one, other) = (core.new_cipher().unwrap(), core.new_cipher().unwrap());
    assert!(!one.is_the_key_of(&other));
    assert_ne!(one.id(), other.id());
    let shared = core.same_cipher(&one);
    assert!(shared.is_the_key_of(&one));
    assert_ne!(shared.id(), one.id(), "each has a record of its own");
}

/// A walk that stopped at the end of a page would tell that a master key is not needed any more while it is.
#[tokio::test]
async fn a_rotation_reaches_every_object_of_every_bucket() {
    let world = World::new(plain(2), settings()).await;
    let mut all = 0;
    for bucket in 0..7 {
        let bucket = name(&format!("b-{bucket}"));
        world.create(&bucket).await;
        for at in 0..9 {
            let mut input = world.put_input(&format!("k{at}"), b"some bytes");
            (input.creation, input.bucket) = (encrypted(), bucket.clone());
            assert!(world.objects.put(input).await.unwrap().encrypted);
            all += 1;
        }
    }
    let core = &world.objects.core;
    let fresh = core.keys.rotate().unwrap();
    assert_eq!(core.walk_keys().await.unwrap().found, all);
    let mut seen = 0;
    for partition in world.partitions().await {
        for (key, record) in world.keys(partition).await {
            if key[0] == keys::DATA_KEY {
                let record = crate::records::KeyRecord::decode(&record.value).unwrap();
                assert_eq!(record.master(), Some(fresh));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn sealing_anew_brings_back_no_data_key_that_went_or_changed_meanwhile() {
    let world = World::new(plain(1), settings()).await;
    world.put_encrypted("gone", b"bytes").await;
    world.put_encrypted("there", b"bytes").await;
    let partition = keys::partition(1, 1, &key("gone"));
    let data_keys = async || {
        let all = world.keys(partition).await.into_iter();
        all.filter(|(key, _)| key[0] == keys::DATA_KEY).collect::<Vec<_>>()
    };
    let before = data_keys().await;
    assert_eq!(before.len(), 2);
    let batch: Vec<_> = before
        .iter()
        .map(|(key, _)| (key.clone(), "another".into(), "sealed anew".into()))
        .collect();
    world.objects.core.put_renewed(partition, batch).await.unwrap();
    let values = |of: &[(bytes::Bytes, ossia_store::Record)]| {
        of.iter().map(|(_, record)| record.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&data_keys().await), values(&before), "they were not what was seen");
    let batch: Vec<_> = before
        .iter()
        .map(|(key, record)| (key.clone(), record.value.clone(), record.value.clone()))
        .collect();
    world.objects.delete(&logs(), &key("gone")).await.unwrap();
    world.objects.core.reap_all().await.unwrap();
    assert_eq!(data_keys().await.len(), 1);
    world.objects.core.put_renewed(partition, batch).await.unwrap();
    assert_eq!(data_keys().await.len(), 1, "what is gone stays gone");
}

#[tokio::test]
async fn a_data_key_that_nothing_names_is_found_and_no_other_one() {
    let world = World::new(plain(1), settings()).await;
    let (long, short) = (pattern(LONG, 4), pattern(60, 5));
    fill(&world, &long, &short).await;
    for at in 0..10 {
        world.put_encrypted(&format!("more/{at}"), &short).await;
    }
    // Under way, over and let go: their keys are named by other records than heads.
    let upload = InitiateUploadInput {
        bucket: logs(),
        key: key("open"),
        creation: encrypted(),
        acl: None,
        sequential: false,
        forbid_overwrite: false,
    };
    world.objects.initiate_upload(upload).await.unwrap();
    world.objects.delete(&logs(), &key("blob")).await.unwrap();
    assert_eq!(world.findings().await, [""; 0]);

    let partition = keys::partition(1, 1, &key("copy"));
    let of_copy = keys::head(&key("copy"));
    let head = world.store.get(partition, of_copy.clone()).await.unwrap().unwrap();
    let used = Head::decode(&head.value).unwrap().sealing.unwrap().key;
    run_plain(&*world.store, partition, vec![], move |_| {
        let mut writes = Writes::none();
        writes.delete(of_copy.clone());
        Ok((writes, ()))
    })
    .await
    .unwrap();
    let found = world.findings().await;
    let id = u128::from_be_bytes(used.0);
    let wanted = format!("no object names the data key {id:032x}");
    let of_keys = found.iter().filter(|finding| finding.contains("data key"));
    assert_eq!(of_keys.filter(|finding| finding.contains(&wanted)).count(), 1, "{found:?}");
    let of_contents =
        found.iter().filter(|finding| finding.contains("no object names the content"));
    assert_eq!((of_contents.count(), found.len()), (1, 2), "{found:?}");
}

#[tokio::test]
async fn without_its_master_key_what_is_encrypted_is_refused_and_everything_else_is_served() {
    let world = World::new(plain(1), settings()).await;
    let (long, short) = (pattern(LONG, 4), pattern(60, 5));
    fill(&world, &long, &short).await;
    world.put("plain", b"for all").await;
    let right = world.objects.core.keys.current().unwrap();
    for other in [MasterKeys::none(), MasterKeys::ephemeral().unwrap()] {
        let has_one = other.current().is_some();
        let objects = world.reopen(other).await;
        assert_eq!(read_range(&objects, "plain", 0, 99).await.unwrap(), b"for all");
        let missing = Failure::NoMasterKey(Some(right));
        assert!(missing.to_string().contains(&right.to_string()));
        for at in ["inline", "blob", "log", "parts", "copy"] {
            assert!(
                objects.head(&logs(), &key(at)).await.unwrap().encrypted,
                "its record is plain"
            );
            let told = read_range(&objects, at, 0, 1).await.unwrap_err();
            assert_eq!(told, ReadObjectError::Store(missing.clone()), "{at}");
        }
        let length = 20 * 60 + LONG as u64;
        let told = objects.append(world.append_input("log", length, body(b"x"))).await;
        assert_eq!(told.unwrap_err(), AppendError::Store(missing.clone()));
        let mut input = copy::input("blob", "other");
        input.encrypt = Encrypt::No;
        assert_eq!(objects.copy(input).await.unwrap_err(), CopyError::Store(missing));
        let mut input = world.put_input("new", b"secret");
        input.creation = encrypted();
        match objects.put(input).await {
            Ok(told) => assert!(has_one && told.encrypted),
            Err(error) => {
                assert_eq!(error, PutError::Store(Failure::NoMasterKey(None)));
                assert!(!has_one);
            }
        }
        objects.delete(&logs(), &key("copy")).await.unwrap();
        world.put_encrypted("copy", &long).await;
    }
    let store = Arc::clone(&world.store) as Arc<dyn Store>;
    assert!(keys_in_use(&store).await.unwrap().contains(&right));
}

#[tokio::test]
async fn stored_bytes_that_were_changed_are_refused_whatever_records_say() {
    let world = World::new(plain(1), settings()).await;
    let (one, two) = (pattern(50, 1), pattern(50, 2));
    world.append_encrypted("log", 0, &one).await;
    world.append_encrypted("log", 50, &two).await;
    let (partition, content) = world.contents().await[0];
    // The two payloads change their places, and their records with them, as only the bytes themselves can tell.
    let (first, second) = (keys::extent(content, 50), keys::extent(content, 100));
    run_plain(&*world.store, partition, vec![first.clone(), second.clone()], move |view| {
        let mut writes = Writes::none();
        let a = view.get(&first)?.unwrap();
        let b = view.get(&second)?.unwrap();
        writes.put_with(first.clone(), b.value, Payload::Of(second.clone()));
        writes.put_with(second.clone(), a.value, Payload::Of(first.clone()));
        Ok((writes, ()))
    })
    .await
    .unwrap();
    let told = read_range(&world.objects, "log", 0, 100).await.unwrap_err();
    assert!(matches!(told, ReadObjectError::Store(Failure::Damaged(_))), "{told}");

    // A plain extent in the place of an encrypted one.
    world.put("plain", &pattern(500, 3)).await;
    world.put_encrypted("sealed", &pattern(500, 4)).await;
    let mut blobs = Vec::new();
    for at in ["plain", "sealed"] {
        let record = world.store.get(partition, keys::head(&key(at))).await.unwrap().unwrap();
        let content = Head::decode(&record.value).unwrap().content_id().unwrap();
        let name = keys::extent(content, 500);
        let record = world.store.get(partition, name.clone()).await.unwrap().unwrap();
        blobs.push((name, Extent::decode(&record.value).unwrap()));
    }
    let (name, extent) = blobs[1].clone();
    let forged = Extent { source: blobs[0].1.source, ..extent };
    for forged in [Extent { sealing: None, ..forged }, forged] {
        let name = name.clone();
        run_plain(&*world.store, partition, vec![], move |_| {
            let mut writes = Writes::none();
            writes.put(name.clone(), forged.encode());
            Ok((writes, ()))
        })
        .await
        .unwrap();
        let told = read_range(&world.objects, "sealed", 0, 500).await.unwrap_err();
        assert!(matches!(told, ReadObjectError::Store(Failure::Damaged(_))), "{told}");
    }
}

#[tokio::test]
async fn packing_without_the_master_key_leaves_everything_as_it_is() {
    let settings = Settings { packing: packing(), ..settings() };
    let world = World::new(plain(1), settings).await;
    for i in 0..10 {
        world.append_encrypted("log", i * 30, &pattern(30, i)).await;
    }
    let objects = world.reopen(MasterKeys::none()).await;
    let (partition, content) = world.contents().await[0];
    let told = objects.core.pack_content(partition, content, 0, Tier::Payloads).await;
    assert!(matches!(told, Err(Failure::NoMasterKey(Some(_)))), "{told:?}");
    objects.close().await;
    let mut world = world;
    world.restart().await;
    world.pack(Tier::Payloads).await;
    let record = world.keys(partition).await.into_iter().find(|(key, _)| key[0] == keys::PACKED);
    let packed = Extent::decode(&record.unwrap().1.value).unwrap();
    assert!(packed.sealing.is_some() && matches!(packed.source, Source::Blob { .. }));
    let all: Vec<u8> = (0..10).flat_map(|i| pattern(30, i)).collect();
    assert_eq!(world.read("log").await, all);
    world.assert_tidy().await;
}

/// Every file below a folder, as one.
fn everything_in(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.extend_from_slice(&std::fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Where any 16 bytes of `known` stand in `all`.
fn run_of(known: &[u8], all: &[u8]) -> Option<usize> {
    let runs: std::collections::HashSet<&[u8]> = known.windows(16).collect();
    all.windows(16).position(|window| runs.contains(window))
}

#[tokio::test]
async fn the_data_folder_holds_no_sixteen_bytes_of_what_is_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        segment_bytes: 1 << 20,
        journal_bytes: 64 << 20,
        ..EngineOptions::new(folder.path())
    };
    let store = Arc::new(LocalEngine::open(options.clone()).unwrap());
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let (long, short) = (pattern(LONG, 8), pattern(60, 9));
    // Packed all the time, so that what packing writes is there as well.
    let settings = Settings { copy_appendable: true, ..always_packing() };
    let keys = Arc::clone(master_keys());
    let world =
        World::on(ossia_store::MemoryStore::new(Default::default()), settings.clone(), false);
    let mut world = world.await;
    world.objects.close().await;
    world.objects =
        Objects::open_with(store.clone(), clock.clone(), settings.clone(), keys).await.unwrap();
    let input =
        CreateBucketInput { name: logs(), acl: None, storage_class: None, redundancy: None };
    world.objects.create_bucket(input).await.unwrap();
    fill(&world, &long, &short).await;
    let (partition, content) = {
        let info = world.objects.head(&logs(), &key("log")).await.unwrap();
        assert_eq!(info.kind, ObjectType::Appendable);
        let place = world.objects.core.place::<ReadObjectError>(&logs()).await.unwrap();
        let partition = place.partition(&key("log"));
        let record = store.get(partition, keys::head(&key("log"))).await.unwrap().unwrap();
        (partition, Head::decode(&record.value).unwrap().content_id().unwrap())
    };
    for tier in [Tier::Payloads, Tier::Blobs] {
        world.objects.core.pack_content(partition, content, 0, tier).await.unwrap();
    }
    assert_filled(&world.objects, &long, &short).await;
    // What is not encrypted is found, so that the search is known to find.
    let (canary, inline_canary) = (pattern(LONG, 10), pattern(40, 11));
    world.put("plain", &canary).await;
    world.put("plain-inline", &inline_canary).await;
    world.objects.close().await;
    store.shutdown().await.unwrap();
    drop((world, store));
    let all = everything_in(folder.path());
    assert!(run_of(&canary, &all).is_some() && run_of(&inline_canary, &all).is_some());
    assert_eq!(run_of(&long, &all), None);
    assert_eq!(run_of(&short, &all), None);
}
