//! Stores of the formats that this version must open, as they were closed by the versions that made them.
//!
//! `fixtures/format-N.store` is a small store with everything in it: segments, values, tables, packed blobs, appended, copied and
//! sealed objects. `format-N.list` says what is in it: key, length, CRC-64, and whether it is appendable and sealed.
//!
//! When `FORMAT` in the engine's `layout.rs` rises, a new fixture is made, once, by
//!
//! ```text
//! OSSIA_MAKE_FIXTURE=crates/ossia/tests/fixtures/format-N cargo test -p ossia --test format
//! ```
//!
//! and the older ones stay as they are: a fixture is never made anew for a format that has one.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "damage/store.rs"]
mod store;

use std::{fmt::Write as _, future::poll_fn, path::Path, sync::Arc};

use common::Random;
use futures_core::Stream as _;
use ossia_engine::LocalEngine;
use ossia_objects::{ListInput, Objects, SystemClock, words::ObjectType};
use ossia_store::Store as _;

/// A fixture leaves out what is zero, in pieces of this size.
const PIECE_BYTES: usize = 64;

/// Files one after the other: length of the name 2, name, length 8, number of pieces 4, pieces: number 4, bytes 64. Little-endian.
fn pack(data: &Path) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, _) in store::files(data) {
        let bytes = std::fs::read(data.join(&name)).unwrap();
        let name = name.to_str().unwrap();
        packed.extend((name.len() as u16).to_le_bytes());
        packed.extend(name.as_bytes());
        packed.extend((bytes.len() as u64).to_le_bytes());
        let pieces: Vec<_> = bytes
            .chunks(PIECE_BYTES)
            .enumerate()
            .filter(|(_, piece)| piece.iter().any(|&byte| byte != 0))
            .collect();
        packed.extend((pieces.len() as u32).to_le_bytes());
        for (number, piece) in pieces {
            packed.extend((number as u32).to_le_bytes());
            packed.extend(piece);
            packed.extend(vec![0; PIECE_BYTES - piece.len()]);
        }
    }
    packed
}

fn unpack(packed: &[u8], data: &Path) {
    let mut rest = packed;
    let mut take = |count: usize| {
        let (taken, others) = rest.split_at(count);
        rest = others;
        taken
    };
    let mut left = packed.len();
    while left > 0 {
        let name = u16::from_le_bytes(take(2).try_into().unwrap()) as usize;
        let path = data.join(std::str::from_utf8(take(name)).unwrap());
        let length = u64::from_le_bytes(take(8).try_into().unwrap()) as usize;
        let pieces = u32::from_le_bytes(take(4).try_into().unwrap()) as usize;
        let mut bytes = vec![0; length.next_multiple_of(PIECE_BYTES)];
        for _ in 0..pieces {
            let at = u32::from_le_bytes(take(4).try_into().unwrap()) as usize * PIECE_BYTES;
            bytes[at..at + PIECE_BYTES].copy_from_slice(take(PIECE_BYTES));
        }
        bytes.truncate(length);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        left -= 2 + name + 8 + 4 + pieces * (4 + PIECE_BYTES);
    }
}

/// What is in a store, in the form of a fixture's list: everything is read, and its CRC-64 computed from the bytes.
async fn listed(objects: &Objects) -> String {
    let mut text = String::new();
    let input = ListInput {
        bucket: store::bucket(),
        prefix: String::new(),
        delimiter: None,
        after: None,
        limit: 1_000,
    };
    for info in objects.list(input).await.unwrap().objects {
        let object = objects.get(&store::bucket(), &info.key).await.unwrap();
        let mut crc64 = ossia_protocol::crc64::Crc64::new();
        let mut length = 0;
        let mut download = std::pin::pin!(object.read(0..u64::MAX));
        while let Some(piece) = poll_fn(|cx| download.as_mut().poll_next(cx)).await {
            let piece = piece.unwrap();
            crc64.update(&piece);
            length += piece.len() as u64;
        }
        assert_eq!((length, crc64.value()), (info.length, info.crc64), "{}", info.key.as_str());
        let kind = if info.kind == ObjectType::Appendable { "appendable" } else { "whole" };
        let sealed = if info.sealed_at.is_some() { " sealed" } else { "" };
        writeln!(text, "{} {length} {:016x} {kind}{sealed}", info.key.as_str(), crc64.value())
            .unwrap();
    }
    text
}

async fn open(data: &Path) -> (LocalEngine, Objects) {
    let engine = LocalEngine::open(store::options(data)).unwrap();
    let store = Arc::new(engine.clone());
    let settings = store::settings(false);
    (engine, Objects::open(store, Arc::new(SystemClock), settings).await.unwrap())
}

#[tokio::test]
async fn a_store_of_every_format_is_opened_and_read() {
    if let Ok(path) = std::env::var("OSSIA_MAKE_FIXTURE") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        assert!(!path.with_extension("store").exists(), "a fixture is never made anew");
        let mut random = Random::seeded();
        let made = tokio::task::spawn_blocking(move || store::make_small(&mut random));
        let made = made.await.unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let packed = pack(made.path());
        std::fs::write(path.with_extension("store"), &packed).unwrap();
        let folder = store::folder();
        unpack(&packed, folder.path());
        let (engine, objects) = open(folder.path()).await;
        std::fs::write(path.with_extension("list"), listed(&objects).await).unwrap();
        objects.close().await;
        engine.shutdown().await.unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut formats = Vec::new();
    for entry in std::fs::read_dir(&fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "store") {
            continue;
        }
        let folder = store::folder();
        unpack(&std::fs::read(&path).unwrap(), folder.path());
        let expected = std::fs::read_to_string(path.with_extension("list")).unwrap();
        // Twice: the first start may make it one of a newer format.
        for _ in 0..2 {
            let (engine, objects) = open(folder.path()).await;
            assert_eq!(listed(&objects).await, expected, "{}", path.display());
            objects.close().await;
            engine.shutdown().await.unwrap();
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        formats.push(name);
    }
    formats.sort();
    // The newest format that the engine writes has one.
    let folder = store::folder();
    drop(LocalEngine::open(store::options(folder.path())).unwrap());
    let layout = std::fs::read_to_string(folder.path().join("LAYOUT")).unwrap();
    let now = layout.lines().nth(1).unwrap().replace(' ', "-");
    assert!(formats.contains(&now), "{formats:?} lack {now}: see the head of this file");
}
