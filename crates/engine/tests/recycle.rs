//! Segments of the journal are emptied and used again; nothing that anybody can see changes by it.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{
    Folder, delete, everything, key, put, put_payload, read_payload, runtime, short_journal,
};
use ossia_engine::{EngineOptions, LocalEngine, OpenError};
use ossia_store::{Index, Partition, Payload, ReadError, Store, Writes};

const P: Partition = Partition(7);
/// How long a test waits for background work before it calls it missing.
const PATIENCE: Duration = Duration::from_secs(60);

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn names(folder: &Path, part: &str, end: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("shard-0").join(part)).unwrap();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(end)).collect()
}

fn bytes_of(folder: &Path, part: &str) -> u64 {
    let entries = fs::read_dir(folder.join("shard-0").join(part)).unwrap();
    // A file may go away between its name and its length.
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|about| about.len()).sum()
}

/// Waits until something is so that background work makes so; writes a little meanwhile, as that is what background work follows.
async fn until(engine: &LocalEngine, what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        put_payload(engine, Partition(99), "filler", "f", &[0; 2_000]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn payload(random: &mut Random) -> Vec<u8> {
    let length = match random.next(10) {
        0 => 1,
        1 => 20_000,
        _ => 200 + random.next(1_500),
    };
    (0..length).map(|_| random.next(256) as u8).collect()
}

type Model = BTreeMap<String, (String, Option<Vec<u8>>)>;

/// One random change, done to both.
async fn step(engine: &LocalEngine, model: &mut Model, random: &mut Random, number: usize) {
    let name = format!("k{:03}", random.next(120));
    match random.next(10) {
        0..6 => {
            let (value, bytes) = (format!("v{number}"), payload(random));
            put_payload(engine, P, &name, &value, &bytes).await;
            model.insert(name, (value, Some(bytes)));
        }
        6 | 7 => {
            delete(engine, P, &name).await;
            model.remove(&name);
        }
        8 => {
            // A record takes over the payload of another one, or keeps its own.
            let from = format!("k{:03}", random.next(120));
            let value = format!("of{number}");
            let (to, of) = (name.clone(), from.clone());
            let written = value.clone();
            ossia_store::transact(engine, P, Vec::new(), move |view| {
                view.get(&key(&of))?;
                let mut writes = Writes::none();
                writes.put_with(key(&to), written.clone(), Payload::Of(key(&of)));
                Ok(ossia_store::Decision::<(), ()>::Commit(writes, ()))
            })
            .await
            .unwrap()
            .unwrap();
            let bytes = model.get(&from).and_then(|(_, bytes)| bytes.clone());
            model.insert(name, (value, bytes));
        }
        _ => {
            put(engine, P, &name, "plain").await;
            model.insert(name, ("plain".into(), None));
        }
    }
}

async fn agrees(engine: &LocalEngine, model: &Model) {
    let mut told = everything_patiently(engine).await;
    told.retain(|(key, ..)| key.starts_with(b"k"));
    let told: Model = told
        .into_iter()
        .map(|(key, value, bytes)| {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            (text(&key), (text(&value), bytes.map(|bytes| bytes.to_vec())))
        })
        .collect();
    assert_eq!(told.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>());
    assert!(told == *model, "a payload differs");
}

/// As `everything`, for a store whose payloads move meanwhile.
async fn everything_patiently(engine: &LocalEngine) -> Vec<(Bytes, Bytes, Option<Bytes>)> {
    let mut told = Vec::new();
    for (key, ..) in keys(engine).await {
        loop {
            let Some(record) = engine.get(P, key.clone()).await.unwrap() else { break };
            let Some(payload) = record.payload else {
                told.push((key.clone(), record.value, None));
                break;
            };
            match engine.payloads(P, vec![(key.clone(), payload)]).await {
                Ok(mut bytes) => {
                    told.push((key.clone(), record.value, Some(bytes.remove(0))));
                    break;
                }
                Err(ReadError::Gone) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    told
}

async fn keys(engine: &LocalEngine) -> Vec<(Bytes, Bytes)> {
    let mut told = Vec::new();
    let mut start = Some(Bytes::new());
    while let Some(from) = start {
        let scan = ossia_store::Scan { start: from, end: None, limit: 100, fold: None };
        let page = engine.scan(P, scan).await.unwrap();
        for item in page.items {
            let ossia_store::Item::Record(key, record) = item else { panic!("nothing is folded") };
            told.push((key, record.value));
        }
        start = page.resume;
    }
    told
}

#[test]
fn a_store_much_larger_than_its_journal_is_what_was_written_and_the_journal_stays_short() {
    let folder = Folder::new();
    let runtime = runtime();
    let (mut model, mut random) = (Model::new(), Random(0x9e37_79b9_7f4a_7c15));
    for round in 0..4 {
        runtime.block_on(async {
            let engine = LocalEngine::open(short_journal(&folder)).unwrap();
            agrees(&engine, &model).await;
            for number in 0..500 {
                step(&engine, &mut model, &mut random, number).await;
                if number % 100 == 0 {
                    agrees(&engine, &model).await;
                }
            }
            agrees(&engine, &model).await;
            if round % 2 == 0 {
                engine.shutdown().await.unwrap();
            }
        });
        let segments = names(folder.path(), "journal", ".seg");
        // Eight, those that are kept for later use, the one that is made ahead, and what 20,000 bytes may lengthen.
        assert!(segments.len() <= 13, "{} segments", segments.len());
        assert!(!segments.contains("0000000000000001.seg"), "the first is long gone");
    }
    assert!(!names(folder.path(), "values", ".val").is_empty());
}

#[test]
fn a_kill_at_any_moment_of_emptying_and_reusing_loses_nothing() {
    let folder = Folder::new();
    let runtime = runtime();
    let (mut model, mut random) = (Model::new(), Random(0x0123_4567_89ab_cdef));
    runtime.block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        for number in 0..900 {
            step(&engine, &mut model, &mut random, number).await;
            if number % 15 == 7 {
                let copy = copy_of_moment(folder.path());
                let again = LocalEngine::open(short_journal(&copy)).unwrap();
                agrees(&again, &model).await;
                // What was interrupted goes on.
                let mut model = model.clone();
                for number in 0..40 {
                    step(&again, &mut model, &mut random, number).await;
                }
                agrees(&again, &model).await;
                again.shutdown().await.unwrap();
            }
        }
    });
}

/// A copy of the folder as a kill would leave it: files must not change their names or be removed while it is made.
fn copy_of_moment(folder: &Path) -> Folder {
    let state = || {
        let parts = ["journal", "values", "index/tables", "index", "copies"];
        let names = parts.map(|part| names(folder, part, ""));
        (names, fs::read(folder.join("shard-0/index/current")).ok(), headers(folder))
    };
    loop {
        let before = state();
        let copy = Folder::new();
        let done = common::copy(folder, copy.path());
        if done.is_ok() && before == state() {
            return copy;
        }
    }
}

fn headers(folder: &Path) -> Vec<Vec<u8>> {
    use std::io::Read;
    let head = |name: &String| {
        let mut bytes = vec![0; 64];
        let file = fs::File::open(folder.join("shard-0/journal").join(name));
        let _ = file.and_then(|mut file| file.read_exact(&mut bytes));
        bytes
    };
    names(folder, "journal", ".seg").iter().map(head).collect()
}

#[test]
fn a_payload_that_another_record_has_taken_over_outlives_its_segment() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        let bytes: Vec<u8> = (0..3_000).map(|at| at as u8).collect();
        put_payload(&engine, P, "first", "1", &bytes).await;
        // The second names it from a later segment, and the first goes.
        for _ in 0..3 {
            put_payload(&engine, P, "between", "b", &[1; 12_000]).await;
        }
        ossia_store::transact(&engine, P, Vec::new(), |view| {
            view.get(&key("first"))?;
            let mut writes = Writes::none();
            writes.put_with(key("second"), "2", Payload::Of(key("first")));
            writes.delete(key("first"));
            Ok(ossia_store::Decision::<(), ()>::Commit(writes, ()))
        })
        .await
        .unwrap()
        .unwrap();
        let first = "0000000000000001.seg";
        let journal = || names(folder.path(), "journal", ".seg");
        until(&engine, "the segment stays", || !journal().contains(first)).await;
        assert_eq!(read_payload(&engine, P, "second").await, bytes);
        engine.shutdown().await.unwrap();
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        assert_eq!(read_payload(&engine, P, "second").await, bytes);
    });
}

#[test]
fn who_holds_an_old_place_reads_what_stood_there_until_its_record_is_another() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        let bytes = vec![42; 2_500];
        put_payload(&engine, P, "held", "h", &bytes).await;
        let old = engine.get(P, key("held")).await.unwrap().unwrap().payload.unwrap();
        let wanted = || vec![(key("held"), old)];
        assert_eq!(engine.payloads(P, wanted()).await.unwrap()[0], bytes);
        let began = Instant::now();
        while engine.get(P, key("held")).await.unwrap().unwrap().payload == Some(old)
            || names(folder.path(), "journal", ".seg").contains("0000000000000001.seg")
        {
            assert!(began.elapsed() < PATIENCE, "its segment is never given up");
            put_payload(&engine, Partition(9), "filler", "f", &[7; 4_000]).await;
            assert_eq!(engine.payloads(P, wanted()).await.unwrap()[0], bytes);
        }
        put_payload(&engine, P, "held", "h", &[43; 2_500]).await;
        assert_eq!(engine.payloads(P, wanted()).await, Err(ReadError::Gone));
        assert_eq!(read_payload(&engine, P, "held").await, [43; 2_500]);
    });
}

#[test]
fn what_is_let_go_gives_its_room_back() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        for number in 0..600 {
            put_payload(&engine, P, &format!("k{number}"), "v", &[number as u8; 2_000]).await;
        }
        let values = || bytes_of(folder.path(), "values");
        until(&engine, "nothing is moved", || values() > 900_000).await;
        for number in 0..600 {
            read_payload(&engine, P, &format!("k{number}")).await;
        }
        for number in (0..600).filter(|number| number % 10 != 0) {
            // Read first, as the deletion of an object does.
            ossia_store::transact(&engine, P, Vec::new(), move |view| {
                let name = key(&format!("k{number}"));
                view.get(&name)?;
                let mut writes = Writes::none();
                writes.delete(name);
                Ok(ossia_store::Decision::<(), ()>::Commit(writes, ()))
            })
            .await
            .unwrap()
            .unwrap();
        }
        until(&engine, "the room is not given back", || values() < 400_000).await;
        // A file that is held open takes its room whether or not it has a name; one may be open at the moment to be emptied.
        let held = || removed_and_held(folder.path(), ".val");
        until(&engine, "removed files are held open", || held() <= 1).await;
        for number in (0..600).step_by(10) {
            let told = read_payload(&engine, P, &format!("k{number}")).await;
            assert_eq!(told, vec![number as u8; 2_000]);
        }
    });
}

/// How many files this process holds open that have been removed; none where the system does not tell.
fn removed_and_held(folder: &Path, end: &str) -> usize {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return 0 };
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let end = format!("{end} (deleted)");
    targets.filter(|to| to.starts_with(folder) && to.to_string_lossy().ends_with(&end)).count()
}

#[test]
fn a_segment_whose_frames_cannot_be_read_is_emptied_by_what_the_index_knows() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine =
            LocalEngine::open(EngineOptions { journal_bytes: 1 << 20, ..short_journal(&folder) })
                .unwrap();
        for number in 0..12 {
            put_payload(&engine, P, &format!("k{number:02}"), "v", &[number; 3_000]).await;
        }
        engine.shutdown().await.unwrap();
    });
    // The engine has checkpointed past the damage: a start does not read it again.
    runtime().block_on(async {
        let engine = LocalEngine::open(EngineOptions {
            idle_flush_ms: 20,
            journal_bytes: 1 << 20,
            ..short_journal(&folder)
        })
        .unwrap();
        put(&engine, P, "more", "m").await;
        let began = Instant::now();
        while names(folder.path(), "index/tables", "").is_empty() {
            assert!(began.elapsed() < PATIENCE, "nothing is flushed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        engine.shutdown().await.unwrap();
    });
    let first = folder.path().join("shard-0/journal/0000000000000001.seg");
    let mut bytes = fs::read(&first).unwrap();
    bytes[4_096..4_160].fill(0);
    fs::write(&first, bytes).unwrap();
    runtime().block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        let journal = || names(folder.path(), "journal", ".seg");
        until(&engine, "the segment stays", || !journal().contains("0000000000000001.seg")).await;
        for number in 0..12 {
            assert_eq!(read_payload(&engine, P, &format!("k{number:02}")).await, [number; 3_000]);
        }
    });
}

#[test]
fn a_full_journal_takes_deletes_and_becomes_empty_again() {
    let folder = Folder::new();
    runtime().block_on(async {
        let options = EngineOptions { admission_wait_ms: 60_000, ..short_journal(&folder) };
        let engine = LocalEngine::open(options).unwrap();
        // Far more than fits, from many at once: whoever finds it full waits, and nobody is refused.
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for number in 0..60 {
                        let name = format!("w{writer}n{number}");
                        put_payload(&engine, P, &name, "v", &[writer; 9_000]).await;
                        if number % 3 > 0 {
                            delete(&engine, P, &name).await;
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        for writer in 0..16 {
            let told = read_payload(&engine, P, &format!("w{writer}n0")).await;
            assert_eq!(told, [writer; 9_000]);
        }
        assert!(names(folder.path(), "journal", ".seg").len() < 40);
    });
}

#[test]
fn a_value_log_file_that_is_missing_or_another_one_stops_the_start_and_is_named() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(short_journal(&folder)).unwrap();
        for number in 0..200 {
            put_payload(&engine, P, &format!("k{number}"), "v", &[number as u8; 2_000]).await;
        }
        let values = || bytes_of(folder.path(), "values");
        until(&engine, "nothing is moved", || values() > 100_000).await;
        engine.shutdown().await.unwrap();
    });
    let name = names(folder.path(), "values", ".val").pop_first().unwrap();
    let path = |folder: &Folder| folder.path().join("shard-0/values").join(&name);
    let refused = |folder: &Folder| match LocalEngine::open(short_journal(folder)).unwrap_err() {
        OpenError::Damaged { file, .. } => assert_eq!(file, path(folder)),
        other => panic!("{other}"),
    };
    let missing = Folder::copy_of(folder.path());
    fs::remove_file(path(&missing)).unwrap();
    refused(&missing);
    let damaged = Folder::copy_of(folder.path());
    let mut bytes = fs::read(path(&damaged)).unwrap();
    bytes[20] ^= 1;
    fs::write(path(&damaged), bytes).unwrap();
    refused(&damaged);
    // One that no record names is what a crash left of its making.
    let stray = folder.path().join("shard-0/values/00000000000000ff.val");
    fs::write(&stray, b"half a header").unwrap();
    drop(LocalEngine::open(short_journal(&folder)).unwrap());
    assert!(!stray.exists());
}

#[test]
fn shards_keep_what_they_were_given_and_a_store_keeps_its_number_of_them() {
    let folder = Folder::new();
    let options = |shards| EngineOptions { shards, ..short_journal(&folder) };
    runtime().block_on(async {
        let engine = LocalEngine::open(options(4)).unwrap();
        assert_eq!(engine.partitions_per_bucket(), 4);
        for partition in 0..12 {
            for number in 0..20 {
                let name = format!("k{number}");
                put_payload(&engine, Partition(partition), &name, "v", &[number; 5_000]).await;
            }
        }
        engine.shutdown().await.unwrap();
        let engine = LocalEngine::open(options(2)).unwrap();
        assert_eq!(engine.partitions_per_bucket(), 4);
        for partition in 0..12 {
            assert_eq!(everything(&engine, Partition(partition)).await.len(), 20);
            let told = read_payload(&engine, Partition(partition), "k7").await;
            assert_eq!(told, [7; 5_000]);
        }
    });
    assert!(folder.path().join("shard-3/journal").is_dir());
    assert!(!folder.path().join("shard-4").exists());
}

#[test]
fn a_payload_that_is_taken_over_again_and_again_while_its_segment_is_emptied_outlives_it() {
    let folder = Folder::new();
    runtime().block_on(async {
        let options = EngineOptions { journal_bytes: 9 << 20, ..short_journal(&folder) };
        let engine = LocalEngine::open(options).unwrap();
        let bytes: Vec<u8> = (0..3_000).map(|at| (at * 7) as u8).collect();
        put_payload(&engine, P, "z", "first", &bytes).await;
        for _ in 0..3 {
            put_payload(&engine, P, "between", "b", &[1; 12_000]).await;
        }
        // So many notes that emptying the segment takes a while after the first of them was looked at.
        for number in 0..600 {
            take_over(&engine, "z", &format!("m{number:03}")).await;
        }
        delete(&engine, P, "z").await;
        let journal = || names(folder.path(), "journal", ".seg");
        let first = "0000000000000001.seg";
        let began = Instant::now();
        let mut copies = 0;
        while journal().contains(first) {
            assert!(began.elapsed() < PATIENCE, "the segment stays");
            // Before all the others in order, from the last of them.
            take_over(&engine, "m599", &format!("a{copies:05}")).await;
            copies += 1;
            if copies % 16 == 0 {
                put_payload(&engine, Partition(99), "filler", "f", &[0; 8_000]).await;
            }
        }
        for number in 0..copies {
            let told = read_payload(&engine, P, &format!("a{number:05}")).await;
            assert_eq!(told, bytes, "copy {number} of {copies}");
        }
    });
}

async fn take_over(engine: &LocalEngine, from: &str, to: &str) {
    let (from, to) = (key(from), key(to));
    ossia_store::transact(engine, P, Vec::new(), move |view| {
        view.get(&from)?;
        let mut writes = Writes::none();
        writes.put_with(to.clone(), "copy", Payload::Of(from.clone()));
        Ok(ossia_store::Decision::<(), ()>::Commit(writes, ()))
    })
    .await
    .unwrap()
    .unwrap();
}

#[test]
fn a_full_journal_becomes_empty_once_the_index_can_be_copied_again() {
    let folder = Folder::new();
    runtime().block_on(async {
        let options = EngineOptions { admission_wait_ms: 300, ..short_journal(&folder) };
        let engine = LocalEngine::open(options).unwrap();
        let copies = folder.path().join("shard-0/copies");
        let away = folder.path().join("shard-0/away");
        fs::rename(&copies, &away).unwrap();
        let put = async || {
            let mut writes = Writes::none();
            let payload = Payload::New(vec![Bytes::from_static(&[5; 5_000])]);
            writes.put_with(key("k"), "v", payload);
            common::change(&engine, P, writes).await
        };
        let (began, mut refused) = (Instant::now(), 0);
        while refused < 5 {
            assert!(began.elapsed() < PATIENCE, "segments are used again without a copy");
            refused = if put().await.is_err() { refused + 1 } else { 0 };
        }
        fs::rename(&away, &copies).unwrap();
        let began = Instant::now();
        while put().await.is_err() {
            assert!(began.elapsed() < PATIENCE / 2, "nobody tries again");
        }
        assert_eq!(read_payload(&engine, P, "k").await, [5; 5_000]);
    });
}

#[test]
fn payloads_of_records_that_are_too_large_for_one_transaction_are_moved_by_several() {
    let folder = Folder::new();
    runtime().block_on(async {
        let options = EngineOptions {
            segment_bytes: 2 << 20,
            journal_bytes: 16 << 20,
            ..short_journal(&folder)
        };
        let engine = LocalEngine::open(options).unwrap();
        let value = "v".repeat(9_000);
        for number in 0..200 {
            put_payload(&engine, P, &format!("k{number}"), &value, &[number as u8; 100]).await;
        }
        let journal = || names(folder.path(), "journal", ".seg");
        let began = Instant::now();
        while journal().contains("0000000000000001.seg") {
            assert!(began.elapsed() < PATIENCE, "the segment stays");
            put_payload(&engine, Partition(99), "filler", "f", &[0; 100_000]).await;
        }
        for number in 0..200 {
            let told = read_payload(&engine, P, &format!("k{number}")).await;
            assert_eq!(told, [number as u8; 100]);
        }
    });
}
