//! Runs the corpus and every input that ever found something, without a fuzzer.

use std::{fs, path::Path};

use ossia_fuzz::TARGETS;

fn replay(folder: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut count = 0;
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(root.join(target.name)) else { continue };
        for entry in entries {
            let path = entry.expect("a folder of the repository").path();
            let input = fs::read(&path).expect("a file of the repository");
            // Printed only when the target panics.
            println!("{}", path.display());
            (target.run)(&input);
            count += 1;
        }
    }
    count
}

#[test]
fn nothing_in_the_corpus_breaks_its_target() {
    assert!(replay("corpus") >= TARGETS.len());
}

#[test]
fn what_once_broke_a_target_no_longer_does() {
    replay("regressions");
}

#[test]
fn every_target_takes_nothing_and_a_little_of_everything() {
    for target in TARGETS {
        (target.run)(b"");
        for byte in 0..=255 {
            (target.run)(&[byte]);
            (target.run)(&[byte; 64]);
        }
    }
}
