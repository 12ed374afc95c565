//! Each trap of the `lsm-tree` crate that the engine must not fall into, by name, seen from outside. Those that need a look inside
//! are beside the code.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use common::{
    Folder, change, delete, everything, frames, get, key, options, put, put_payload, runtime,
};
use ossia_engine::{EngineOptions, LocalEngine, OpenError};
use ossia_store::{Health, Index, Item, Partition, Scan, Store, Writes};

const P: Partition = Partition(3);

async fn fill(engine: &LocalEngine, count: usize) {
    for number in 0..count {
        put(engine, P, &format!("k{number:04}"), "v").await;
    }
}

/// A closed store with tables, and a journal behind them.
fn closed_store(count: usize) -> Folder {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        fill(&engine, count).await;
        engine.shutdown().await.unwrap();
    });
    assert!(tables(folder.path()) > 0, "the test needs tables");
    folder
}

fn tables(data: &Path) -> usize {
    fs::read_dir(data.join("shard-0/index/tables")).unwrap().count()
}

fn refused(folder: &Folder) -> (std::path::PathBuf, String, String) {
    match LocalEngine::open(options(folder)) {
        Err(OpenError::Damaged { file, what, advice, .. }) => (file, what, advice),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_store_whose_current_is_missing_is_refused_and_keeps_its_tables() {
    let folder = closed_store(200);
    let before = tables(folder.path());
    let current = folder.path().join("shard-0/index/current");
    fs::remove_file(&current).unwrap();
    assert_eq!(refused(&folder).0, current);
    assert_eq!(tables(folder.path()), before);
}

#[test]
fn a_store_whose_index_is_missing_is_refused() {
    let folder = closed_store(200);
    fs::remove_dir_all(folder.path().join("shard-0/index")).unwrap();
    refused(&folder);
}

#[test]
fn any_damage_to_current_or_the_manifest_is_refused_and_the_advice_repairs_it() {
    let folder = closed_store(200);
    let index = folder.path().join("shard-0/index");
    let mut names: Vec<String> = fs::read_dir(&index)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name == "current" || name.starts_with('v'))
        .collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    let mut count = 0;
    for name in &names {
        let length = fs::metadata(index.join(name)).unwrap().len() as usize;
        for at in (0..length).step_by(if length > 100 { 7 } else { 1 }) {
            let copy = Folder::copy_of(folder.path());
            let before = tables(copy.path());
            let path = copy.path().join("shard-0/index").join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            let (_, _, advice) = refused(&copy);
            assert_eq!(tables(copy.path()), before, "{name} at {at}");
            count += 1;
            if at % 5 == 0 {
                // The advice names the two copies; do what it says.
                assert!(advice.contains("copies/current"), "{advice}");
                for entry in fs::read_dir(copy.path().join("shard-0/copies")).unwrap() {
                    let entry = entry.unwrap();
                    assert!(advice.contains(entry.path().to_str().unwrap()), "{advice}");
                    let to = copy.path().join("shard-0/index").join(entry.file_name());
                    fs::copy(entry.path(), to).unwrap();
                }
                let engine = LocalEngine::open(options(&copy)).unwrap();
                assert_eq!(runtime().block_on(everything(&engine, P)).len(), 200);
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_manifest_cut_short_is_refused() {
    let folder = closed_store(200);
    let index = folder.path().join("shard-0/index");
    for name in ["current", "v"] {
        let path = fs::read_dir(&index)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
            .unwrap();
        let copy = Folder::copy_of(folder.path());
        let path = copy.path().join(path.strip_prefix(folder.path()).unwrap());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        refused(&copy);
    }
}

#[test]
fn a_missing_table_is_refused() {
    let folder = closed_store(200);
    let path = fs::read_dir(folder.path().join("shard-0/index/tables")).unwrap().next();
    fs::remove_file(path.unwrap().unwrap().path()).unwrap();
    refused(&folder);
}

#[test]
fn a_checkpoint_beyond_the_journals_end_stops_the_start() {
    let folder = closed_store(300);
    // An older journal under a newer index, as a careless restore would leave.
    let segments = frames::segments(folder.path());
    for keep in 1..segments.len() - 2 {
        let copy = Folder::copy_of(folder.path());
        for segment in &segments[keep..] {
            fs::remove_file(copy.path().join(segment.strip_prefix(folder.path()).unwrap()))
                .unwrap();
        }
        let (_, what, _) = refused(&copy);
        assert!(what.contains("the journal does not hold"), "{what}");
    }
    // The segment is there, the frame is not.
    let all = frames::frames(folder.path());
    let copy = Folder::copy_of(folder.path());
    for segment in frames::segments(copy.path()).iter().skip(2) {
        let length = fs::metadata(segment).unwrap().len() as usize;
        let mut bytes = fs::read(segment).unwrap();
        bytes[frames::BLOCK..length].fill(0);
        fs::write(segment, bytes).unwrap();
    }
    assert!(all.len() > 10);
    refused(&copy);
}

#[test]
fn recovery_starts_from_the_checkpoint_also_when_the_last_thing_flushed_were_deletes() {
    let folder = Folder::new();
    let runtime = runtime();
    runtime.block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        fill(&engine, 150).await;
        for number in 0..150 {
            delete(&engine, P, &format!("k{number:04}")).await;
        }
        let copy = Folder::copy_of(folder.path());
        // The tree's own highest number is gone with the last records; what comes next must still be newer than all before.
        let again = LocalEngine::open(options(&copy)).unwrap();
        assert_eq!(everything(&again, P).await, []);
        for round in 0..3 {
            for number in (0..150).step_by(7) {
                put(&again, P, &format!("k{number:04}"), &format!("round {round}")).await;
                let told = get(&again, P, &format!("k{number:04}")).await;
                assert_eq!(told, Some(format!("round {round}")));
            }
        }
        let twice = Folder::copy_of(copy.path());
        let again = LocalEngine::open(options(&twice)).unwrap();
        let all = everything(&again, P).await;
        assert_eq!(all.len(), 150_usize.div_ceil(7));
        assert!(all.iter().all(|(_, value, _)| value == "round 2"));
    });
}

#[test]
fn no_reader_sees_half_a_group_while_memtables_are_flushed() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let names: Vec<String> = (0..12).map(|number| format!("k{number:02}")).collect();
        let writer = {
            let (engine, names) = (engine.clone(), names.clone());
            tokio::spawn(async move {
                for round in 0..400 {
                    let mut writes = Writes::none();
                    for name in &names {
                        writes.put(key(name), format!("round {round:04} {}", "x".repeat(100)));
                    }
                    change(&engine, P, writes).await.unwrap();
                }
            })
        };
        let mut seen = std::collections::BTreeSet::new();
        while !writer.is_finished() {
            let scan = Scan { start: Bytes::new(), end: None, limit: 100, fold: None };
            let page = engine.scan(P, scan).await.unwrap();
            let values: std::collections::BTreeSet<Bytes> = page
                .items
                .iter()
                .map(|item| match item {
                    Item::Record(_, record) => record.value.clone(),
                    Item::Prefix(_) => panic!("nothing is folded"),
                })
                .collect();
            assert!(values.len() <= 1, "a page shows two rounds: {values:?}");
            assert!(page.items.is_empty() || page.items.len() == 12);
            if let Some(value) = values.first() {
                assert!(seen.last() <= Some(value), "a reader went back");
                seen.insert(value.clone());
            }
        }
        writer.await.unwrap();
        assert!(tables(folder.path()) > 0, "the test needs flushes");
    });
}

#[test]
fn a_long_replay_under_tiny_memtables_piles_up_no_runs() {
    let folder = Folder::new();
    let runtime = runtime();
    runtime.block_on(async {
        let large = EngineOptions {
            memtable_bytes: 64 << 20,
            checkpoint_bytes: 1 << 30,
            segment_bytes: 4 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(large).unwrap();
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for number in 0..120 {
                        put(&engine, P, &format!("{task:02} {number:04}"), "v").await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let copy = Folder::copy_of(folder.path());
        let tiny = EngineOptions { memtable_bytes: 1, ..options(&copy) };
        let again = LocalEngine::open(tiny.clone()).unwrap();
        assert_eq!(everything(&again, P).await.len(), 32 * 120);
        // More rotations than a manifest could hold runs, and it opens again.
        again.shutdown().await.unwrap();
        drop(again);
        let again = LocalEngine::open(tiny).unwrap();
        assert_eq!(everything(&again, P).await.len(), 32 * 120);
    });
}

#[test]
fn an_idle_store_gives_its_memtables_back() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(EngineOptions {
            memtable_bytes: 1 << 20,
            checkpoint_bytes: 64 << 20,
            idle_flush_ms: 100,
            ..options(&folder)
        })
        .unwrap();
        for number in 0..200 {
            put_payload(&engine, P, &format!("k{number:04}"), &"v".repeat(500), b"p").await;
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let idle = |(past, bytes): (usize, u64)| past == 0 && bytes == 0;
        while !idle(engine.index_memory()) {
            assert!(std::time::Instant::now() < deadline, "{:?}", engine.index_memory());
            tokio::task::yield_now().await;
        }
        assert_eq!(everything(&engine, P).await.len(), 200);
        assert_eq!(engine.health(), Health::Open);
    });
}

#[test]
fn a_newer_layout_is_named_as_such() {
    let folder = closed_store(100);
    let path = folder.path().join("LAYOUT");
    let text = fs::read_to_string(&path).unwrap().replace("format 2", "format 9");
    let body = text.split("check").next().unwrap().to_owned();
    let check = crc(body.as_bytes());
    fs::write(&path, format!("{body}check {check:08x}\n")).unwrap();
    let told = LocalEngine::open(options(&folder)).unwrap_err();
    assert!(matches!(told, OpenError::NewerFormat { found: 9, .. }), "{told}");
}

/// CRC-32C, slowly.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
