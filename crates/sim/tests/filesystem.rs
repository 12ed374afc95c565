//! The file system itself, through a real mount: what is synced survives every cut, and what is not does not always.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ossia_sim::fs::{Call, CutPoint, Effect, Fault, SimFs, SimOptions};

const MIB: u64 = 1 << 20;
/// Seeds that each property is tried with.
const SEEDS: u64 = 60;

fn mount() -> SimFs {
    SimFs::mount(SimOptions { capacity_bytes: 64 * MIB, ..SimOptions::default() }).unwrap()
}

/// Writes on an empty file system, cuts, and tells what is found, for many seeds.
fn cuts<T>(write: impl Fn(&Path), find: impl Fn(&Path) -> T) -> Vec<T> {
    let sim = mount();
    (0..SEEDS)
        .map(|seed| {
            sim.reset(64 * MIB);
            write(sim.path());
            sim.freeze();
            sim.cut(seed);
            find(sim.path())
        })
        .collect()
}

fn synced_file(path: &Path, bytes: &[u8]) -> File {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = file.unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    sync_folder(path.parent().unwrap());
    file
}

fn sync_folder(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_synced_survives_every_cut_and_the_rest_does_not_always() {
    let (old, new) = ([1; 5000], [2; 5000]);
    let found = cuts(
        |root| {
            let file = synced_file(&root.join("a"), &old);
            // Behind what was synced, and never synced itself.
            file.write_all_at(&new, old.len() as u64).unwrap();
        },
        |root| fs::read(root.join("a")).unwrap(),
    );
    assert!(found.iter().all(|bytes| bytes.starts_with(&old)));
    assert!(found.iter().any(|bytes| bytes.len() == old.len()), "sometimes all of it is lost");
    assert!(found.iter().any(|bytes| bytes[old.len()..] == new), "sometimes none of it is");
    let torn = |bytes: &Vec<u8>| bytes.len() == 10_000 && bytes[old.len()..] != new;
    assert!(found.iter().any(torn), "sometimes the length is there and some bytes are not");
}

#[test]
fn an_overwrite_that_was_not_synced_is_torn_at_sectors_and_nowhere_else() {
    let (old, new) = ([1; 8192], [2; 8192]);
    let found = cuts(
        |root| synced_file(&root.join("a"), &old).write_all_at(&new, 0).unwrap(),
        |root| fs::read(root.join("a")).unwrap(),
    );
    assert!(found.iter().any(|bytes| bytes.contains(&1) && bytes.contains(&2)), "torn at times");
    for bytes in found {
        assert_eq!(bytes.len(), 8192);
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "no sector is mixed");
        }
    }
}

#[test]
fn later_writes_survive_without_earlier_ones_at_times_but_not_within_a_sector() {
    let found = cuts(
        |root| {
            let file = synced_file(&root.join("a"), &[0; 8192]);
            file.write_all_at(&[1; 100], 0).unwrap();
            file.write_all_at(&[2; 100], 4096).unwrap();
            file.write_all_at(&[3; 100], 100).unwrap();
        },
        |root| {
            let bytes = fs::read(root.join("a")).unwrap();
            (bytes[0], bytes[100], bytes[4096])
        },
    );
    assert!(found.iter().any(|(first, _, second)| *first == 0 && *second == 2));
    assert!(found.iter().any(|(first, _, second)| *first == 1 && *second == 0));
    assert!(found.iter().all(|(first, third, _)| *third == 0 || *first == 1));
}

#[test]
fn a_name_lives_only_by_its_folders_sync() {
    let lost = |sync_names| {
        let options = SimOptions { sync_names, ..SimOptions::default() };
        let sim = SimFs::mount(options).unwrap();
        let cut = |seed| {
            sim.reset(64 * MIB);
            let file = File::create(sim.path().join("a")).unwrap();
            file.write_all_at(b"x", 0).unwrap();
            file.sync_all().unwrap();
            drop(file);
            sim.freeze();
            sim.cut(seed);
            names(sim.path()).is_empty()
        };
        (0..SEEDS).filter(|seed| cut(*seed)).count()
    };
    assert!((1..SEEDS as usize).contains(&lost(false)));
    assert_eq!(lost(true), 0);
}

#[test]
fn renames_and_removals_that_were_not_synced_are_undone_at_times_and_never_in_half() {
    let found = cuts(
        |root| {
            fs::create_dir(root.join("to")).unwrap();
            synced_file(&root.join("a"), b"a");
            synced_file(&root.join("b"), b"b");
            synced_file(&root.join("to/c"), b"c");
            fs::rename(root.join("a"), root.join("to/c")).unwrap();
            fs::remove_file(root.join("b")).unwrap();
        },
        |root| {
            let found = (names(root), fs::read(root.join("to/c")).unwrap());
            match (found.0.join(" ").as_str(), found.1.as_slice()) {
                ("a b to", b"c") => 0,
                ("a to", b"c") => 1,
                ("b to", b"a") => 2,
                ("to", b"a") => 3,
                other => panic!("{other:?}"),
            }
        },
    );
    for way in 0..4 {
        assert!(found.contains(&way), "way {way}");
    }
}

#[test]
fn a_synced_folder_keeps_its_renames_links_and_removals() {
    let found = cuts(
        |root| {
            fs::create_dir(root.join("from")).unwrap();
            fs::create_dir(root.join("to")).unwrap();
            sync_folder(root);
            synced_file(&root.join("from/a"), b"a");
            fs::hard_link(root.join("from/a"), root.join("from/link")).unwrap();
            fs::rename(root.join("from/a"), root.join("to/b")).unwrap();
            sync_folder(&root.join("to"));
            fs::remove_file(root.join("to/b")).unwrap();
        },
        |root| (names(&root.join("from")), names(&root.join("to"))),
    );
    for (from, to) in &found {
        assert!(!from.contains(&"a".into()), "the rename was synced on one side and so is whole");
        assert!(to.is_empty() || *to == ["b"]);
    }
    assert!(found.iter().any(|(from, _)| *from == ["link"]));
    assert!(found.iter().any(|(from, _)| from.is_empty()));
    assert!(found.iter().any(|(_, to)| to.is_empty()));
    assert!(found.iter().any(|(_, to)| !to.is_empty()));
}

#[test]
fn a_full_disk_says_so_and_takes_more_when_there_is_room() {
    let sim = mount();
    sim.reset(MIB);
    let file = File::create(sim.path().join("a")).unwrap();
    file.write_all_at(&[1; 768 << 10], 0).unwrap();
    let error = file.write_all_at(&[1; 512 << 10], 768 << 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let room = rustix::fs::statvfs(sim.path()).unwrap();
    assert_eq!((room.f_bavail, room.f_blocks * room.f_frsize), (0, MIB));
    // What is there may still be overwritten, and removing gives room.
    file.write_all_at(&[2; 4096], 0).unwrap();
    drop(file);
    fs::remove_file(sim.path().join("a")).unwrap();
    // The kernel tells in its own time that the file is closed.
    let deadline = Instant::now() + Duration::from_secs(60);
    while sim.taken_bytes() > 0 {
        assert!(Instant::now() < deadline, "the room is given back");
        std::thread::yield_now();
    }
    fs::write(sim.path().join("b"), [1; 512 << 10]).unwrap();
    sim.set_capacity(2 * MIB);
    fs::write(sim.path().join("c"), [1; 1 << 20]).unwrap();
}

#[test]
fn the_nth_call_fails_and_only_on_the_files_that_are_meant() {
    let sim = mount();
    let (a, b) = (sim.path().join("a"), sim.path().join("b"));
    fs::write(&a, b"a").unwrap();
    fs::write(&b, b"b").unwrap();
    sim.add_fault(Fault::nth(Call::Read, 2, Effect::Fail).on("b"));
    let read = |path: &Path| File::open(path).unwrap().read_at(&mut [0], 0);
    read(&a).unwrap();
    read(&b).unwrap();
    read(&a).unwrap();
    assert_eq!(read(&b).unwrap_err().raw_os_error(), Some(5));
    read(&b).unwrap();
    sim.add_fault(Fault::every(Call::Write, Effect::Full));
    assert_eq!(fs::write(&a, b"new").unwrap_err().kind(), ErrorKind::StorageFull);
    sim.clear_faults();
    fs::write(&a, b"new").unwrap();
    sim.add_fault(Fault::nth(Call::Read, 1, Effect::Flip));
    let flipped = fs::read(&a).unwrap();
    let bits: u32 = flipped.iter().zip(b"new").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((flipped.len(), bits), (3, 1));
    assert_eq!(fs::read(&a).unwrap(), b"new");
    assert!(sim.flip("/a", 0, 0));
    assert_eq!(fs::read(&a).unwrap(), b"oew");
    assert!(!sim.flip("/a", 3, 0));
}

/// As on Linux: the pages are clean afterwards, so that a second sync finds nothing to do.
#[test]
fn a_sync_after_one_that_failed_makes_up_for_nothing() {
    let sim = mount();
    let mut lost = 0;
    for seed in 0..SEEDS {
        sim.reset(64 * MIB);
        sim.seed_faults(seed);
        let file = synced_file(&sim.path().join("a"), b"old");
        file.write_all_at(b"new", 0).unwrap();
        sim.add_fault(Fault::nth(Call::Sync, 1, Effect::Fail));
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
        file.sync_data().unwrap();
        assert_eq!(fs::read(sim.path().join("a")).unwrap(), b"new");
        drop(file);
        sim.freeze();
        sim.cut(seed);
        lost += usize::from(fs::read(sim.path().join("a")).unwrap() == b"old");
    }
    assert!((1..SEEDS as usize).contains(&lost), "{lost}");
}

#[test]
fn everything_hangs_from_the_chosen_call_on_until_it_is_let_go() {
    for done in [false, true] {
        let sim = mount();
        let file = synced_file(&sim.path().join("a"), b"old");
        sim.freeze_at(CutPoint { call: Call::Sync, number: 2, done });
        file.write_all_at(b"one", 0).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(b"two", 0).unwrap();
        assert!(!sim.wait_frozen(Duration::ZERO));
        let second = std::thread::spawn(move || file.sync_data());
        assert!(sim.wait_frozen(Duration::from_secs(60)));
        let path = sim.path().join("a");
        let third = std::thread::spawn(move || fs::read(path));
        // Neither can end by itself: that is what is meant.
        assert!(!second.is_finished());
        sim.let_go();
        assert!(second.join().unwrap().is_err());
        assert!(third.join().unwrap().is_err());
        let mut found = Vec::new();
        sim.cut(7);
        found.extend(fs::read(sim.path().join("a")).unwrap());
        assert!(if done { found == b"two" } else { found == b"one" || found == b"two" });
    }
}

#[test]
fn the_same_seed_leaves_the_same() {
    let sim = mount();
    let cut = |seed| {
        sim.reset(64 * MIB);
        let file = synced_file(&sim.path().join("a"), &[1; 65536]);
        for at in 0..16 {
            file.write_all_at(&[2; 4096], at * 4096).unwrap();
            fs::write(sim.path().join(format!("b{at}")), b"b").unwrap();
        }
        drop(file);
        sim.freeze();
        let report = sim.cut(seed);
        (report, names(sim.path()), fs::read(sim.path().join("a")).unwrap())
    };
    for seed in 0..10 {
        assert!(cut(seed) == cut(seed), "seed {seed}");
    }
}
