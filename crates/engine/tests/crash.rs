//! What is left after a stop of any kind: everything acknowledged, or a clear refusal (I1, I6).
//!
//! A copy of the folder of a running store is what a kill leaves. Losing what was not synced is added by cutting the copy's
//! journal: before a sync any part of the last frame may be missing.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed assertion with a line number")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use common::{
    Folder, change, everything,
    faulty::FaultyDisk,
    frames,
    frames::{BLOCK, Frame},
    get, key, options, options_at, put, put_payload, read_payload, runtime,
};
use ossia_engine::{AtRest, EngineOptions, Inspection, LocalEngine, OpenError};
use ossia_store::{Health, Index, Partition, Payload, ReadError, Store, Writes};
use proptest::prelude::*;

const P: Partition = Partition(1);

fn damaged(folder: &Folder) -> (PathBuf, String) {
    match LocalEngine::open(options(folder)) {
        Err(OpenError::Damaged { file, what, .. }) => (file, what),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the damaged store was opened"),
    }
}

fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

/// The value of step `number`: a payload beside it now and then.
async fn step(engine: &LocalEngine, number: usize) {
    let name = format!("k{number:04}");
    if number.is_multiple_of(3) {
        put_payload(engine, P, &name, "with", &vec![number as u8; 700 * (number % 9) + 1]).await;
    } else {
        put(engine, P, &name, "without").await;
    }
}

/// Checks that exactly the steps below `count` are there.
async fn check(engine: &LocalEngine, count: usize) {
    let all = everything(engine, P).await;
    assert_eq!(all.len(), count);
    for (number, (name, value, payload)) in all.into_iter().enumerate() {
        assert_eq!(name, format!("k{number:04}"));
        if number.is_multiple_of(3) {
            assert_eq!(value, "with");
            assert_eq!(payload.unwrap(), vec![number as u8; 700 * (number % 9) + 1]);
        } else {
            assert_eq!((&value[..], payload), (&b"without"[..], None));
        }
    }
}

#[test]
fn a_kill_after_any_group_loses_nothing() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..120 {
            step(&engine, number).await;
            let copy = Folder::copy_of(folder.path());
            let again = LocalEngine::open(options(&copy)).unwrap();
            check(&again, number + 1).await;
        }
    });
}

#[test]
fn a_torn_last_group_is_cut_and_nothing_else_is_lost() {
    let folder = Folder::new();
    runtime().block_on(async {
        // Large memtables: what the index has taken over was synced before, so it is never torn.
        let large = EngineOptions {
            memtable_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(large).unwrap();
        for number in 0..40 {
            step(&engine, number).await;
            let groups: Vec<Frame> =
                frames::frames(folder.path()).into_iter().filter(|frame| frame.kind == 1).collect();
            let last = groups.last().unwrap();
            // What a power cut during its write may leave: any of its sectors old, and nothing behind it.
            for (sector, fill) in [(0, 0), (0, 0xa5), (1, 0), (1, 0xa5)] {
                let at = match sector {
                    0 => last.offset,
                    _ => last.offset + (last.bytes() - BLOCK).next_multiple_of(512),
                };
                let copy = Folder::copy_of(folder.path());
                let path = copy.path().join(last.path.strip_prefix(folder.path()).unwrap());
                cut_behind(&path, last);
                overwrite(&path, at, &[fill; 512]);
                let again = LocalEngine::open(options(&copy)).unwrap();
                check(&again, number).await;
                // And a second stop right after it, before anything new is written.
                drop(again);
                let again = LocalEngine::open(options(&copy)).unwrap();
                check(&again, number).await;
                step(&again, number).await;
                let twice = Folder::copy_of(copy.path());
                let again = LocalEngine::open(options(&twice)).unwrap();
                check(&again, number + 1).await;
            }
        }
    });
}

#[test]
fn a_last_group_that_is_read_wrong_once_is_not_cut() {
    let folder = Folder::new();
    runtime().block_on(async {
        let large = EngineOptions {
            memtable_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(large).unwrap();
        for number in 0..10 {
            step(&engine, number).await;
            let groups: Vec<Frame> =
                frames::frames(folder.path()).into_iter().filter(|frame| frame.kind == 1).collect();
            let last = groups.last().unwrap();
            // In its head, and in its body.
            for at in [last.offset + 9, last.offset + last.bytes() - BLOCK + 9] {
                let copy = Folder::copy_of(folder.path());
                let path = copy.path().join(last.path.strip_prefix(folder.path()).unwrap());
                cut_behind(&path, last);
                let disk = FaultyDisk::default();
                disk.misread(&path, at as u64);
                let again = LocalEngine::open_on(options(&copy), std::sync::Arc::new(disk.clone()))
                    .unwrap();
                assert!(!disk.misread_is_due());
                check(&again, number + 1).await;
            }
        }
    });
}

/// Takes the store back to before it was noted how far its journal reaches, as it is while a group is being synced.
fn forget_reached(data: &Path) {
    match fs::remove_file(data.join("shard-0/reached")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}

/// Removes what stands behind a frame in its segment, the closing frame that would prove it, and whatever else would.
fn cut_behind(path: &Path, frame: &Frame) {
    forget_reached(path.ancestors().nth(3).unwrap());
    let length = fs::metadata(path).unwrap().len() as usize;
    let end = frame.offset + frame.bytes();
    if length > end {
        overwrite(path, end, &vec![0; length - end]);
    }
}

#[test]
fn a_journal_that_ends_early_reads_as_zeros() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..5 {
            step(&engine, number).await;
        }
        let last = frames::frames(folder.path()).into_iter().rfind(|frame| frame.kind == 1);
        let last = last.unwrap();
        for keep in (0..last.bytes()).step_by(512) {
            let copy = Folder::copy_of(folder.path());
            let path = copy.path().join(last.path.strip_prefix(folder.path()).unwrap());
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len((last.offset + keep) as u64).unwrap();
            forget_reached(copy.path());
            let again = LocalEngine::open(options(&copy)).unwrap();
            let count = everything(&again, P).await.len();
            assert!(count == 4 || (count == 5 && keep > 0), "{keep} bytes kept: {count}");
            check(&again, count).await;
        }
    });
}

#[test]
fn damage_to_a_group_that_a_later_one_proves_stops_the_start() {
    let folder = Folder::new();
    runtime().block_on(async {
        // Large memtables: all groups must be replayed, so all damage is on the way.
        let options = EngineOptions {
            memtable_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(options).unwrap();
        for number in 0..12 {
            step(&engine, number).await;
        }
        let frames = frames::frames(folder.path());
        let groups: Vec<&Frame> = frames.iter().filter(|frame| frame.kind == 1).collect();
        for group in &groups[..groups.len() - 1] {
            for (at, fill) in [(0, 0), (0, 0xff), (16, 0xff), (64 + group.payload_bytes, 0xff)] {
                let copy = Folder::copy_of(folder.path());
                let path = copy.path().join(group.path.strip_prefix(folder.path()).unwrap());
                let count = if fill == 0 { BLOCK } else { 8 };
                overwrite(&path, group.offset + at, &vec![fill; count]);
                let (file, what) = damaged(&copy);
                assert_eq!(file, path);
                assert!(what.contains(&format!("frame {}", group.number)), "{what}");
            }
        }
    });
}

#[test]
fn the_first_group_of_a_segment_is_proved_by_the_closing_frame_behind_it() {
    let folder = Folder::new();
    runtime().block_on(async {
        let large = EngineOptions {
            memtable_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(large).unwrap();
        let mut rolls = 0;
        for number in 0..60 {
            step(&engine, number).await;
            let copy = Folder::copy_of(folder.path());
            let frames = frames::frames(copy.path());
            let [.., group, closing] = &frames[..] else { panic!("frames are written") };
            if group.kind != 1 || group.offset != BLOCK || closing.kind != 2 {
                continue;
            }
            rolls += 1;
            overwrite(&group.path, group.offset, &[0; BLOCK]);
            assert_eq!(damaged(&copy).0, group.path);
        }
        assert!(rolls > 3, "{rolls}");
    });
}

#[test]
fn after_a_clean_close_even_the_last_group_is_proved() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put_payload(&engine, P, "a", "v", b"payload").await;
        put(&engine, P, "b", "v").await;
        engine.shutdown().await.unwrap();
    });
    let frames = frames::frames(folder.path());
    let closing = frames.last().unwrap();
    assert_eq!(closing.kind, 2);
    let group = &frames[frames.len() - 2];
    assert_eq!(group.kind, 1);
    for at in [0, 20, 64 + group.payload_bytes] {
        let copy = Folder::copy_of(folder.path());
        let path = copy.path().join(group.path.strip_prefix(folder.path()).unwrap());
        overwrite(&path, group.offset + at, &[0xee; 4]);
        damaged(&copy);
    }
}

#[test]
fn a_closed_journal_that_has_lost_its_end_stops_the_start() {
    let folder = Folder::new();
    runtime().block_on(async {
        // Large memtables: no checkpoint tells where the journal ends.
        let large = EngineOptions {
            memtable_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            ..options(&folder)
        };
        let engine = LocalEngine::open(large).unwrap();
        for number in 0..40 {
            step(&engine, number).await;
        }
        engine.shutdown().await.unwrap();
    });
    let last = frames::frames(folder.path()).pop().unwrap();
    let name = last.path.strip_prefix(folder.path()).unwrap();
    // From the last segment's first frame on, and with it whatever segments are behind it.
    for (keep, behind) in [(BLOCK, false), (BLOCK, true), (0, true)] {
        let copy = Folder::copy_of(folder.path());
        for segment in frames::segments(copy.path()) {
            if segment > copy.path().join(name) && behind {
                fs::remove_file(segment).unwrap();
            }
        }
        let path = copy.path().join(name);
        match keep {
            0 => fs::remove_file(path).unwrap(),
            keep => {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(keep as u64).unwrap();
            }
        }
        // Whoever looks at it sees what a start would refuse, and so does a copy of it.
        let scratch = Folder::new();
        let looked = Inspection::open(copy.path(), scratch.path());
        let Err(OpenError::Damaged { file, what, .. }) = looked else { panic!("{looked:?}") };
        assert_eq!(file, fs::canonicalize(copy.path()).unwrap().join(name), "{what}");
        let rest = AtRest::of(copy.path()).unwrap();
        assert!(rest.small.iter().any(|small| small.path.ends_with("reached")));
        drop(rest);
        let (file, what) = damaged(&copy);
        assert_eq!(file, copy.path().join(name), "{what}");
        // A store of a version that made no such note opens with what is there.
        forget_reached(copy.path());
        drop(LocalEngine::open(options(&copy)).unwrap());
    }
}

#[test]
fn a_damaged_payload_is_told_and_never_served() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put_payload(&engine, P, "a", "v", &[1; 1_000]).await;
        put_payload(&engine, P, "b", "v", &[2; 1_000]).await;
        engine.shutdown().await.unwrap();
        drop(engine);
        let frames = frames::frames(folder.path());
        let first = frames.iter().find(|frame| frame.kind == 1).unwrap();
        overwrite(&first.path, first.offset + 64 + 500, &[9]);
        let engine = LocalEngine::open(options(&folder)).unwrap();
        let record = engine.get(P, key("a")).await.unwrap().unwrap();
        let told = engine.payloads(P, vec![(key("a"), record.payload.unwrap())]).await;
        assert!(matches!(told, Err(ReadError::Damaged(_))), "{told:?}");
        assert_eq!(read_payload(&engine, P, "b").await, [2; 1_000]);
    });
}

#[test]
fn a_missing_or_damaged_segment_header_stops_the_start() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..60 {
            step(&engine, number).await;
        }
        engine.shutdown().await.unwrap();
    });
    let segments = frames::segments(folder.path());
    assert!(segments.len() > 3, "the test needs several segments");
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.strip_prefix(folder.path()).unwrap();
        let copy = Folder::copy_of(folder.path());
        let salt = fs::read(segment).unwrap()[40];
        overwrite(&copy.path().join(name), 40, &[salt ^ 1]);
        assert_eq!(damaged(&copy).0, copy.path().join(name));
        if index + 1 < segments.len() {
            let copy = Folder::copy_of(folder.path());
            fs::remove_file(copy.path().join(name)).unwrap();
            assert_eq!(damaged(&copy).0, copy.path().join(name));
        }
    }
}

#[test]
fn bytes_that_look_like_frames_inside_a_payload_are_none() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put(&engine, P, "a", "1").await;
        // A user who has seen the journal of some store stores pieces of it, on block boundaries wherever they may fall.
        let stolen = fs::read(&frames::segments(folder.path())[0]).unwrap();
        let mut body = vec![0; BLOCK - 64];
        body.extend(&stolen[BLOCK..(4 * BLOCK).min(stolen.len())]);
        put_payload(&engine, P, "b", "2", &body).await;
        let copy = Folder::copy_of(folder.path());
        let last = frames::frames(copy.path()).into_iter().rfind(|frame| frame.kind == 1).unwrap();
        // The head that leads to them is torn: they must not prove that it was synced.
        cut_behind(&last.path, &last);
        let group = frames::frames(folder.path())
            .into_iter()
            .find(|frame| frame.kind == 1 && frame.payload_bytes > 0)
            .unwrap();
        let path = copy.path().join(group.path.strip_prefix(folder.path()).unwrap());
        overwrite(&path, group.offset, &[0; 512]);
        cut_behind(&path, &group);
        let again = LocalEngine::open(options(&copy)).unwrap();
        assert_eq!(get(&again, P, "a").await.as_deref(), Some("1"));
        assert_eq!(get(&again, P, "b").await, None);
    });
}

#[test]
fn stops_without_end_at_every_step_of_many_short_lives() {
    let mut folder = Folder::new();
    let runtime = runtime();
    for life in 0..40 {
        folder = runtime.block_on(async {
            let engine = LocalEngine::open(options(&folder)).unwrap();
            check(&engine, life * 2).await;
            step(&engine, life * 2).await;
            step(&engine, life * 2 + 1).await;
            Folder::copy_of(folder.path())
        });
        // Some lives end before they have done anything.
        if life % 3 == 0 {
            for _ in 0..3 {
                let engine = LocalEngine::open(options(&folder)).unwrap();
                let copy = Folder::copy_of(folder.path());
                drop(engine);
                folder = copy;
            }
        }
    }
}

#[test]
fn a_start_that_crashed_while_it_made_the_store_makes_it_again() {
    let folder = Folder::new();
    drop(LocalEngine::open(options(&folder)).unwrap());
    // Nothing but the first segment, still blank, and no layout: the last step was never reached.
    let copy = Folder::copy_of(folder.path());
    let first = &frames::segments(copy.path())[0];
    fs::remove_file(copy.path().join("LAYOUT")).unwrap();
    fs::write(first, vec![0; 20_000]).unwrap();
    let engine = LocalEngine::open(options(&copy)).unwrap();
    assert_eq!(engine.health(), Health::Open);
}

#[test]
fn a_store_that_has_lost_its_layout_is_not_made_anew() {
    let folder = Folder::new();
    runtime().block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        put(&engine, P, "a", "1").await;
    });
    fs::remove_file(folder.path().join("LAYOUT")).unwrap();
    assert_eq!(damaged(&folder).0, folder.path().join("LAYOUT"));
}

#[test]
fn random_damage_to_a_closed_store_is_told_or_harms_nothing() {
    let folder = Folder::new();
    let runtime = runtime();
    runtime.block_on(async {
        let engine = LocalEngine::open(options(&folder)).unwrap();
        for number in 0..80 {
            step(&engine, number).await;
        }
        engine.shutdown().await.unwrap();
    });
    let mut files = Vec::new();
    collect(folder.path(), &mut files);
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let (mut refused, mut harmless, mut told) = (0, 0, 0);
    for _ in 0..300 {
        let file = &files[next() % files.len()];
        let length = fs::metadata(file).unwrap().len() as usize;
        let at = next() % length;
        let name = file.strip_prefix(folder.path()).unwrap();
        let copy = Folder::copy_of(folder.path());
        let path = copy.path().join(name);
        match next() % 3 {
            0 => {
                let byte = fs::read(&path).unwrap()[at];
                overwrite(&path, at, &[byte ^ (1 << (next() % 8))]);
            }
            1 => overwrite(&path, at, &vec![0; 512.min(length - at)]),
            _ => overwrite(
                &path,
                at / BLOCK * BLOCK,
                &vec![0; BLOCK.min(length - at / BLOCK * BLOCK)],
            ),
        }
        let engine = match LocalEngine::open(options(&copy)) {
            Ok(engine) => engine,
            Err(OpenError::Damaged { .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("{}: {other}", name.display()),
        };
        let clean = runtime.block_on(async {
            let mut clean = true;
            for number in 0..80 {
                let name = format!("k{number:04}");
                match engine.get(P, key(&name)).await {
                    Ok(record) => {
                        let record = record.unwrap_or_else(|| panic!("{name} is silently gone"));
                        if let Some(payload) = record.payload {
                            let wanted = vec![number as u8; 700 * (number % 9) + 1];
                            match engine.payloads(P, vec![(key(&name), payload)]).await {
                                Ok(bytes) => assert_eq!(bytes[0], wanted),
                                Err(ReadError::Damaged(_)) => clean = false,
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                    Err(ReadError::Damaged(_) | ReadError::Io(_)) => clean = false,
                    Err(other) => panic!("{other}"),
                }
            }
            clean
        });
        if clean { harmless += 1 } else { told += 1 }
    }
    assert!(refused > 20 && harmless > 20 && told > 5, "{refused} {harmless} {told}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            files.push(path);
        }
    }
}

/// One step of the model test.
#[derive(Debug, Clone)]
enum Act {
    Change(Vec<(u8, Option<(u8, u16)>)>),
    Close,
    Kill,
    Burst(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let write = (0..24_u8, proptest::option::of((any::<u8>(), 0..3_000_u16)));
    prop_oneof![
        12 => proptest::collection::vec(write, 1..6).prop_map(Act::Change),
        1 => Just(Act::Close),
        2 => Just(Act::Kill),
        2 => (1..40_u8).prop_map(Act::Burst),
    ]
}

fn writes(changes: &[(u8, Option<(u8, u16)>)]) -> Writes {
    let mut writes = Writes::none();
    for (name, put) in changes {
        let name = Bytes::from(vec![b'k', *name]);
        match put {
            None => writes.delete(name),
            Some((fill, count)) => {
                let payload = Payload::New(vec![Bytes::from(vec![*fill; usize::from(*count)])]);
                writes.put_with(name, vec![*fill, 1], payload);
            }
        }
    }
    writes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_agree_with_an_ordered_map(acts in proptest::collection::vec(act(), 1..60)) {
        let runtime = runtime();
        let mut folder = Folder::new();
        let mut model: BTreeMap<Bytes, (Bytes, Option<Bytes>)> = BTreeMap::new();
        let mut engine = Some(LocalEngine::open(options(&folder)).unwrap());
        for act in acts {
            match act {
                Act::Change(changes) => {
                    let engine = engine.as_ref().unwrap();
                    runtime.block_on(change(engine, P, writes(&changes))).unwrap();
                    apply(&mut model, &changes);
                }
                Act::Burst(count) => {
                    let burst: Vec<_> =
                        (0..count).map(|at| vec![(at % 24, Some((at, 300)))]).collect();
                    runtime.block_on(async {
                        let engine = engine.as_ref().unwrap();
                        let mut tasks = Vec::new();
                        // Each key once, so that the order among them does not matter.
                        for changes in burst.iter().take(24) {
                            let (engine, writes) = (engine.clone(), writes(changes));
                            tasks.push(tokio::spawn(async move {
                                change(&engine, P, writes).await.unwrap();
                            }));
                        }
                        for task in tasks {
                            task.await.unwrap();
                        }
                    });
                    burst.iter().take(24).for_each(|changes| apply(&mut model, changes));
                }
                Act::Close => {
                    runtime.block_on(engine.take().unwrap().shutdown()).unwrap();
                    engine = Some(LocalEngine::open(options(&folder)).unwrap());
                }
                Act::Kill => {
                    let copy = Folder::copy_of(folder.path());
                    drop(engine.take());
                    folder = copy;
                    engine = Some(LocalEngine::open(options_at(folder.path())).unwrap());
                }
            }
            let told = runtime.block_on(everything(engine.as_ref().unwrap(), P));
            let wanted: Vec<_> =
                model.iter().map(|(k, (v, p))| (k.clone(), v.clone(), p.clone())).collect();
            prop_assert_eq!(told, wanted);
        }
    }
}

fn apply(model: &mut BTreeMap<Bytes, (Bytes, Option<Bytes>)>, changes: &[(u8, Option<(u8, u16)>)]) {
    for (name, put) in changes {
        let name = Bytes::from(vec![b'k', *name]);
        match put {
            None => {
                model.remove(&name);
            }
            Some((fill, count)) => {
                let payload = (*count > 0).then(|| Bytes::from(vec![*fill; usize::from(*count)]));
                model.insert(name, (Bytes::from(vec![*fill, 1]), payload));
            }
        }
    }
}
