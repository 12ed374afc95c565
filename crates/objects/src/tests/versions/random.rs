//! Random sequences of everything that makes and removes versions, against a list of what there should be.

use std::collections::BTreeMap;

use super::*;

/// A version as it should be.
#[derive(Debug, Clone, PartialEq)]
struct Should {
    id: VersionId,
    /// `None`: a marker.
    bytes: Option<Vec<u8>>,
    appendable: bool,
}

/// What should be there: the versions of each key, the oldest first.
#[derive(Debug, Default)]
struct Shoulds {
    state: Option<Versioning>,
    keys: BTreeMap<String, Vec<Should>>,
}

impl Shoulds {
    /// A version on top, as the state of the bucket has it.
    fn add(&mut self, at: &str, told: Option<VersionId>, bytes: Option<Vec<u8>>, appendable: bool) {
        let all = self.keys.entry(at.to_owned()).or_default();
        let id = told.unwrap_or_default();
        match self.state {
            Some(Versioning::Enabled) => assert!(all.iter().all(|old| old.id != id), "twice"),
            _ => assert_eq!(id, VersionId::Null),
        }
        assert_eq!(told.is_some(), self.state.is_some());
        all.retain(|old| old.id != id);
        all.push(Should { id, bytes, appendable });
    }

    fn current(&self, at: &str) -> Option<&Should> {
        self.keys.get(at)?.last()
    }
}

const KEYS: [&str; 4] = ["a", "a/b", "a/c", "b"];

async fn step(world: &World, should: &mut Shoulds, dice: &mut Dice) {
    let at = KEYS[dice.roll(KEYS.len())];
    let bytes = pattern([0, 3, 64, 65, 200][dice.roll(5)], dice.0);
    let bottom = should.keys.get(at).filter(|all| !all.is_empty()).cloned().unwrap_or_default();
    match dice.roll(10) {
        0 => {
            let to = [Versioning::Enabled, Versioning::Suspended][dice.roll(2)];
            world.versioning(to).await;
            should.state = Some(to);
        }
        1 | 2 => {
            let told = world.put(at, &bytes).await;
            should.add(at, told.version_id, Some(bytes), false);
        }
        3..=5 => {
            let current = should.current(at).filter(|current| current.bytes.is_some());
            let length = current.map_or(0, |now| now.bytes.as_ref().unwrap().len()) as u64;
            let told = world.append(at, length, &bytes).await;
            if let Some(false) = current.map(|current| current.appendable) {
                assert_eq!(told, Err(AppendError::NotAppendable));
                return;
            }
            let told = told.unwrap();
            if current.is_none() {
                assert!(told.created);
                should.add(at, told.version_id, Some(bytes), true);
            } else {
                let all = should.keys.get_mut(at).unwrap();
                let current = all.last_mut().unwrap();
                assert_eq!(told.version_id.unwrap_or_default(), current.id);
                current.bytes.as_mut().unwrap().extend_from_slice(&bytes);
            }
        }
        6 => {
            let told = world.delete(at).await;
            if should.state.is_some() {
                should.add(at, told.version_id, None, false);
            } else {
                assert_eq!(told.version_id, None);
                should.keys.remove(at);
            }
        }
        7 if bottom.is_empty() => {
            let told = world.remove(at, VersionId::Null, DeleteIf::Any).await;
            assert!(!told.existed);
        }
        7 => {
            let which = dice.roll(bottom.len());
            let one = &bottom[which];
            let told = world.remove(at, one.id, DeleteIf::Any).await;
            assert_eq!((told.existed, told.delete_marker), (true, one.bytes.is_none()));
            should.keys.get_mut(at).unwrap().remove(which);
        }
        8 if !bottom.is_empty() => {
            let one = &bottom[dice.roll(bottom.len())];
            let to = KEYS[dice.roll(KEYS.len())];
            let onto_itself = to == at && should.state.is_none();
            let input = copy(at, Some(one.id), to);
            let input = CopyInput { forbid_overwrite: false, ..input };
            match (world.objects.copy(input).await, &one.bytes) {
                (Ok(told), Some(bytes)) if !one.appendable => {
                    if !onto_itself {
                        should.add(to, told.version_id, Some(bytes.clone()), false);
                    }
                }
                (Err(CopyError::SourceAppendable), Some(_)) if one.appendable => {}
                (Err(CopyError::SourceDeleteMarker { .. }), None) => {}
                (told, _) => panic!("{told:?} of {one:?}"),
            }
        }
        _ => {
            world.clock.advance_ms(700);
            world.reap().await;
        }
    }
}

async fn compare(world: &World, should: &Shoulds, limit: usize) {
    let all = world.versions(limit).await;
    let told = |version: &VersionInfo| {
        (version.key.as_str().to_owned(), version.version, version.latest, version.object.is_some())
    };
    let wanted = should.keys.iter().flat_map(|(at, all)| {
        all.iter()
            .rev()
            .enumerate()
            .map(|(i, one)| (at.clone(), one.id, i == 0, one.bytes.is_some()))
    });
    assert_eq!(all.iter().map(told).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    assert!(all.iter().all(|version| version.latest == version.noncurrent_since.is_none()));
    let listed = world.objects.list(list()).await.unwrap().objects;
    let listed: Vec<_> = listed.iter().map(|object| object.key.as_str().to_owned()).collect();
    let currents = should
        .keys
        .iter()
        .filter(|(_, all)| all.last().is_some_and(|current| current.bytes.is_some()));
    assert_eq!(listed, currents.map(|(at, _)| at.clone()).collect::<Vec<_>>());
    for (at, all) in &should.keys {
        for one in all {
            let read = match should.state {
                Some(_) => world.read_version(at, one.id).await,
                None => Ok(world.read(at).await),
            };
            match &one.bytes {
                Some(bytes) => assert_eq!(read.as_ref(), Ok(bytes)),
                None => assert_eq!(read, Err(marker(one.id, true))),
            }
        }
    }
    let stat = world.objects.bucket_stat(&logs()).await.unwrap();
    let objects = should.keys.values().flatten().filter_map(|one| one.bytes.as_ref());
    assert_eq!(stat.storage, objects.map(|bytes| bytes.len() as u64).sum::<u64>());
    let markers = should.keys.values().flatten().filter(|one| one.bytes.is_none());
    assert_eq!(stat.delete_marker_count, markers.count() as u64);
}

#[tokio::test]
async fn random_sequences_leave_the_versions_that_they_should() {
    for seed in 1..=60_u64 {
        let mode = match seed % 3 {
            0 => Mode { partitions: 1 + (seed % 2) as u16 * 2, hostile: Some(seed) },
            _ => plain(1 + (seed % 2) as u16 * 2),
        };
        println!("seed {seed}, {mode:?}");
        let settings = if seed % 4 == 0 { always_packing() } else { settings() };
        let mut world = World::new(mode, settings).await;
        let mut should = Shoulds::default();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..60 {
            step(&world, &mut should, &mut dice).await;
            if dice.roll(8) == 0 {
                compare(&world, &should, 1 + dice.roll(5)).await;
            }
            if dice.roll(40) == 0 {
                world.restart().await;
            }
        }
        compare(&world, &should, 1_000).await;
        world.objects.close().await;
        world.reap().await;
        if !world.hostile {
            assert_eq!(world.findings().await, Vec::<String>::new());
        }
        world.assert_tidy().await;
        compare(&world, &should, 3).await;
    }
}
