//! Random sequences of uploads against a model that keeps whole byte strings.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{Mode, World, key, logs, pattern, settings};
use crate::{
    ChosenParts, CompleteUploadError, ListPartsInput, Settings, UploadError, UploadId,
    UploadPartError, words::crc64,
};

#[derive(Debug, Clone)]
enum Act {
    Initiate,
    Part {
        upload: usize,
        number: u16,
        length: usize,
        seed: u64,
    },
    Complete {
        upload: usize,
        skip: Option<u16>,
    },
    /// The store dies at a change of its own while this completes, and everything starts again.
    Die {
        upload: usize,
        at: u64,
        after: bool,
    },
    Abort {
        upload: usize,
    },
    Put {
        length: usize,
        seed: u64,
    },
    Append {
        length: usize,
        seed: u64,
    },
    Delete,
    Reap,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let upload = 0..3_usize;
    let length = prop_oneof![Just(0), 5..30_usize, 60..70_usize, 100..400_usize];
    prop_oneof![
        2 => Just(Act::Initiate),
        8 => (upload.clone(), 1..7_u16, length.clone(), 0..9_u64)
            .prop_map(|(upload, number, length, seed)| Act::Part { upload, number, length, seed }),
        3 => (upload.clone(), proptest::option::of(1..7_u16))
            .prop_map(|(upload, skip)| Act::Complete { upload, skip }),
        3 => (upload.clone(), 1..6_u64, any::<bool>())
            .prop_map(|(upload, at, after)| Act::Die { upload, at, after }),
        1 => upload.prop_map(|upload| Act::Abort { upload }),
        1 => (length.clone(), 0..9_u64).prop_map(|(length, seed)| Act::Put { length, seed }),
        1 => (length, 0..9_u64).prop_map(|(length, seed)| Act::Append { length, seed }),
        1 => Just(Act::Delete),
        2 => Just(Act::Reap),
        1 => Just(Act::Restart),
    ]
}

type Parts = BTreeMap<u16, Vec<u8>>;

/// What should be there: one object, and uploads in the order of their start.
#[derive(Debug, Default)]
struct Model {
    object: Option<Vec<u8>>,
    appendable: bool,
    uploads: Vec<(UploadId, Option<Parts>)>,
}

impl Model {
    fn upload(&self, at: usize) -> Option<(usize, UploadId)> {
        let at = self.uploads.len().checked_sub(1 + at)?;
        Some((at, self.uploads[at].0))
    }

    /// What a completion answers: the bytes, or whether a part is too small, or that there is nothing to complete.
    fn made(&self, at: usize, skip: Option<u16>) -> Result<Vec<u8>, &'static str> {
        let parts = self.uploads[at].1.as_ref().ok_or("no upload")?;
        let chosen: Vec<_> =
            parts.iter().filter(|(number, _)| Some(**number) != skip).map(|(_, b)| b).collect();
        let (_, but_last) = chosen.split_last().ok_or("no parts")?;
        if but_last.iter().any(|part| part.len() < 5) {
            return Err("too small");
        }
        Ok(chosen.into_iter().flatten().copied().collect())
    }
}

fn word(told: &Result<crate::CompleteUploadOutput, CompleteUploadError>) -> &'static str {
    match told {
        Ok(_) => "",
        Err(CompleteUploadError::NoSuchUpload) => "no upload",
        Err(CompleteUploadError::NoParts) => "no parts",
        Err(CompleteUploadError::PartTooSmall { .. }) => "too small",
        Err(other) => panic!("{other}"),
    }
}

async fn run(mode: Mode, settings: Settings, acts: Vec<Act>) {
    let mut world = World::new(mode, settings).await;
    let mut model = Model::default();
    for act in acts {
        step(&mut world, &mut model, act).await;
        check(&world, &model).await;
    }
    world.assert_tidy().await;
    check(&world, &model).await;
    for (id, parts) in &model.uploads {
        if parts.is_some() {
            world.abort("k", *id).await.unwrap();
        }
    }
    world.assert_tidy().await;
}

async fn step(world: &mut World, model: &mut Model, act: Act) {
    match act {
        Act::Initiate => model.uploads.push((world.initiate("k").await, Some(Parts::new()))),
        Act::Part { upload, number, length, seed } => {
            let Some((at, id)) = model.upload(upload) else { return };
            let bytes = pattern(length, seed);
            let told = world.part("k", id, number, &bytes).await;
            match &mut model.uploads[at].1 {
                Some(parts) => {
                    assert_eq!(told.unwrap().crc64, crc64::checksum(&bytes));
                    parts.insert(number, bytes);
                }
                None => assert_eq!(told, Err(UploadPartError::NoSuchUpload)),
            }
        }
        Act::Complete { upload, skip } => {
            let Some((at, id)) = model.upload(upload) else { return };
            let chosen = match skip {
                None => ChosenParts::All,
                Some(skip) => listed(world, id, skip).await,
            };
            let told = world.complete("k", id, chosen).await;
            match model.made(at, skip) {
                Ok(bytes) => {
                    assert_eq!(told.unwrap().crc64, crc64::checksum(&bytes));
                    (model.object, model.appendable) = (Some(bytes), false);
                    model.uploads[at].1 = None;
                }
                Err(why) => assert_eq!(word(&told), why),
            }
        }
        Act::Die { upload, at, after } => {
            let Some((place, id)) = model.upload(upload) else { return };
            world.store.die_at(at, after);
            let told = world.complete("k", id, ChosenParts::All).await;
            world.restart().await;
            let there = world.objects.upload(&logs(), &key("k"), id).await;
            match model.made(place, None) {
                // It has happened, told or not, or it has not.
                Ok(bytes) if there == Err(UploadError::NoSuchUpload) => {
                    (model.object, model.appendable) = (Some(bytes), false);
                    model.uploads[place].1 = None;
                }
                Ok(_) => assert!(told.is_err() && there.is_ok()),
                Err(why) => assert_eq!(why == "no upload", there.is_err()),
            }
        }
        Act::Abort { upload } => {
            let Some((at, id)) = model.upload(upload) else { return };
            let told = world.abort("k", id).await;
            assert_eq!(told.is_ok(), model.uploads[at].1.take().is_some());
        }
        Act::Put { length, seed } => {
            world.put("k", &pattern(length, seed)).await;
            (model.object, model.appendable) = (Some(pattern(length, seed)), false);
        }
        Act::Append { length, seed } => {
            let position = model.object.as_ref().map_or(0, Vec::len);
            let told = world.append("k", position as u64, &pattern(length, seed)).await;
            if model.appendable || model.object.is_none() {
                told.unwrap();
                model.object.get_or_insert_default().extend(pattern(length, seed));
                model.appendable = true;
            } else {
                assert_eq!(told, Err(crate::AppendError::NotAppendable));
            }
        }
        Act::Delete => {
            world.objects.delete(&logs(), &key("k")).await.unwrap();
            (model.object, model.appendable) = (None, false);
        }
        Act::Reap => world.reap().await,
        Act::Restart => world.restart().await,
    }
}

async fn parts(world: &World, id: UploadId) -> Result<Vec<crate::PartInfo>, UploadError> {
    let (bucket, key) = (logs(), key("k"));
    let input = ListPartsInput { bucket, key, upload: id, after: 0, limit: 1_000 };
    Ok(world.objects.list_parts(input).await?.parts)
}

async fn listed(world: &World, id: UploadId, skip: u16) -> ChosenParts {
    let parts = parts(world, id).await.unwrap_or_default();
    let kept = parts.into_iter().filter(|part| part.number != skip);
    ChosenParts::Listed(kept.map(|part| (part.number.into(), part.etag)).collect())
}

async fn check(world: &World, model: &Model) {
    match &model.object {
        Some(bytes) => assert!(world.read("k").await == *bytes, "other bytes"),
        None => assert!(world.objects.head(&logs(), &key("k")).await.is_err()),
    }
    for (id, wanted) in &model.uploads {
        let found = parts(world, *id).await;
        match wanted {
            None => assert_eq!(found, Err(UploadError::NoSuchUpload)),
            Some(wanted) => {
                let sums = found.unwrap().into_iter().map(|part| (part.number, part.crc64));
                let wanted = wanted.iter().map(|(n, bytes)| (*n, crc64::checksum(bytes)));
                assert!(sums.eq(wanted), "other parts");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uploads_do_what_a_model_of_byte_strings_says(
        acts in proptest::collection::vec(act(), 1..30),
        three in any::<bool>(),
        packs in any::<bool>(),
    ) {
        let settings = if packs { super::support::always_packing() } else { settings() };
        let mode = Mode { partitions: if three { 3 } else { 1 }, hostile: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(mode, settings, acts));
    }
}
