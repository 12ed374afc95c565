//! Finds frames in segment files, from the drawing in `docs/FORMAT.md` alone.

use std::path::{Path, PathBuf};

pub(crate) const BLOCK: usize = 4_096;

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) path: PathBuf,
    pub(crate) offset: usize,
    pub(crate) kind: u8,
    pub(crate) number: u64,
    pub(crate) payload_bytes: usize,
    pub(crate) records_bytes: usize,
}

impl Frame {
    pub(crate) fn bytes(&self) -> usize {
        (64 + self.payload_bytes + self.records_bytes).next_multiple_of(BLOCK)
    }
}

/// The segments of a store in their order.
pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(data.join("shard-0/journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .collect();
    paths.sort();
    paths
}

/// The frames of a store in the order of their numbers, those behind a cut included.
pub(crate) fn frames(data: &Path) -> Vec<Frame> {
    let mut frames = Vec::new();
    for path in segments(data) {
        let bytes = std::fs::read(&path).unwrap();
        let mut offset = BLOCK;
        while let Some(head) = bytes.get(offset..offset + 64) {
            if &head[..4] != b"OSJF" {
                offset += BLOCK;
                continue;
            }
            let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let frame = Frame {
                path: path.clone(),
                offset,
                kind: head[4],
                number: u64::from_le_bytes(head[16..24].try_into().unwrap()),
                payload_bytes: u32_at(40) as usize,
                records_bytes: u32_at(44) as usize,
            };
            offset += frame.bytes();
            frames.push(frame);
        }
    }
    frames
}
