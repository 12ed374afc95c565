//! A journal is written as the engine writes it, damaged as disks damage, and recovered.
//!
//! Damage keeps within what CRC-32C is sure to see (a few bits, or bytes from elsewhere, which match by chance only once in four
//! thousand million): a fuzzer that may write any bytes forges checksums, and a disk does not.

use std::{path::Path, sync::Arc};

use ossia_engine::{
    disk::Disk,
    fuzzing::{FRAME_HEAD_BYTES, Frame, recover_journal, write_journal},
};

use crate::{disk::MemoryDisk, input::Dice};

const GROUPS_MAX: usize = 12;
const DAMAGES_MAX: usize = 6;
const SEGMENT_BYTES: u64 = 32 << 10;
const BLOCK: usize = 4_096;
const SECTOR: usize = 512;

pub(crate) fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let groups = usize::from(dice.u8()) % (GROUPS_MAX + 1);
    let rolls = dice.u16();
    let stuff: Vec<u8> = (0..3 * BLOCK as u32).map(|n| (n % 251) as u8).collect();
    let groups: Vec<&[u8]> =
        (0..groups).map(|_| &stuff[..usize::from(dice.u16()) % stuff.len()]).collect();
    let memory = MemoryDisk::default();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let folder = Path::new("/journal");
    let written = write_journal(&disk, folder, &groups, SEGMENT_BYTES, |number| {
        rolls >> (number % 16) & 1 == 1
    });
    if written.is_empty() {
        return;
    }
    assert_eq!(
        recover_journal(&disk, folder).ok().as_ref(),
        Some(&written),
        "an undamaged journal"
    );
    let heads = |memory: &MemoryDisk| -> Vec<Vec<u8>> {
        written.iter().map(|frame| head(memory, frame)).collect()
    };
    let before = heads(&memory);
    let mut damages = 0;
    while !dice.is_empty() && damages < DAMAGES_MAX {
        damage(&memory, &mut dice);
        damages += 1;
    }
    let told = recover_journal(&disk, folder);
    let again = recover_journal(&disk, folder);
    assert_eq!(format!("{told:?}"), format!("{again:?}"), "the same journal says the same");
    let Ok(found) = told else { return };
    // The last head that is still there proves all frames before its own.
    let after = heads(&memory);
    let last = (0..before.len()).rev().find(|at| before[*at] == after[*at]);
    let proven = last.unwrap_or(0);
    assert!(found.len() >= proven, "{} of {proven} proven frames", found.len());
    for (found, written) in found.iter().zip(&written) {
        assert_eq!(
            (found.number, found.segment, found.offset),
            (written.number, written.segment, written.offset)
        );
        assert!(
            found.records.is_none() || found.records == written.records,
            "what was not written"
        );
    }
    assert!(found.len() <= written.len(), "more than was written");
}

fn path(frame: &Frame) -> std::path::PathBuf {
    Path::new("/journal").join(format!("{:016x}.seg", frame.segment))
}

fn head(memory: &MemoryDisk, frame: &Frame) -> Vec<u8> {
    let bytes = memory.bytes(&path(frame));
    let at = usize::try_from(frame.offset).unwrap_or(usize::MAX);
    bytes.get(at..at.saturating_add(FRAME_HEAD_BYTES)).unwrap_or_default().to_vec()
}

fn damage(memory: &MemoryDisk, dice: &mut Dice<'_>) {
    let paths = memory.paths();
    let Some(path) = paths.get(usize::from(dice.u8()) % paths.len().max(1)) else { return };
    let kind = dice.u8() % 6;
    let (at, other) = (usize::from(dice.u16()), usize::from(dice.u16()));
    memory.change(path, |bytes| {
        if bytes.is_empty() {
            return;
        }
        let sector = at % bytes.len() / SECTOR * SECTOR;
        let sector_end = (sector + SECTOR).min(bytes.len());
        match kind {
            0 => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << (other % 8);
            }
            1 => bytes[sector..sector_end].fill(0),
            2 => bytes[sector..sector_end].fill(0xff),
            3 => bytes.truncate(at % bytes.len()),
            // A block written to the wrong place.
            4 => {
                let blocks = bytes.len() / BLOCK;
                if blocks > 0 {
                    let (from, to) = (at % blocks * BLOCK, other % blocks * BLOCK);
                    bytes.copy_within(from..from + BLOCK, to);
                }
            }
            // A write that never arrived.
            _ => {
                let from = at % bytes.len() / BLOCK * BLOCK;
                let end = (from + (other % 4 + 1) * BLOCK).min(bytes.len());
                bytes[from..end].fill(0);
            }
        }
    });
    if kind == 3 && other % 8 == 0 {
        let _ = memory.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use ossia_engine::disk::Access;

    use super::*;

    #[test]
    fn a_file_of_the_memory_disk_is_what_was_written() {
        let disk = MemoryDisk::default();
        let file = disk.open(Path::new("/a/b"), Access::Create).unwrap();
        file.write_at(b"abc", 2).unwrap();
        let mut bytes = [9; 8];
        assert_eq!(file.read_at(&mut bytes, 1).unwrap(), 4);
        assert_eq!(bytes, [0, b'a', b'b', b'c', 9, 9, 9, 9]);
        assert_eq!(disk.list(Path::new("/a")).unwrap(), ["b"]);
        assert!(disk.open(Path::new("/a/c"), Access::Read).is_err());
    }
}
