//! The bytes of a file, in blocks that the durable and the present state share until one of them changes.

use std::sync::Arc;

/// A file takes room in blocks of so many bytes.
pub(super) const BLOCK_BYTES: usize = 4096;

type Block = Arc<[u8; BLOCK_BYTES]>;

/// A file's bytes and length. What was never written reads as zeros and takes no room.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    length: u64,
    blocks: Vec<Option<Block>>,
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many blocks it takes.
    pub(super) fn taken(&self) -> u64 {
        self.blocks.iter().flatten().count() as u64
    }

    /// How many more blocks a write would take.
    pub(super) fn would_take(&self, offset: u64, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let first = block_of(offset);
        let last = block_of(offset + count as u64 - 1);
        (first..=last).filter(|at| !matches!(self.blocks.get(*at), Some(Some(_)))).count() as u64
    }

    /// Bytes from `offset` on; fewer where the file ends.
    pub(super) fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let count = self.length.saturating_sub(offset).min(count as u64) as usize;
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let within = (at % BLOCK_BYTES as u64) as usize;
            let piece = (BLOCK_BYTES - within).min(count - done);
            if let Some(Some(block)) = self.blocks.get(block_of(at)) {
                bytes[done..done + piece].copy_from_slice(&block[within..within + piece]);
            }
            done += piece;
        }
        bytes
    }

    /// Writes, making the file longer where it must.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.poke(offset, bytes);
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    /// Writes without a change of length: what lies behind the end shows when the length comes to reach it.
    pub(super) fn poke(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % BLOCK_BYTES as u64) as usize;
            let piece = (BLOCK_BYTES - within).min(bytes.len() - done);
            let index = block_of(at);
            if self.blocks.len() <= index {
                self.blocks.resize(index + 1, None);
            }
            let block = self.blocks[index].get_or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
            Arc::make_mut(block)[within..within + piece]
                .copy_from_slice(&bytes[done..done + piece]);
            done += piece;
        }
    }

    /// Makes the file this long; what is cut off is gone, what is added is zeros.
    pub(super) fn set_length(&mut self, length: u64) {
        self.clear_behind(length);
        self.length = length;
    }

    /// Sets the length alone; for [`Self::poke`].
    pub(super) fn tell_length(&mut self, length: u64) {
        self.length = length;
    }

    /// Makes everything from `end` on zeros that take no room.
    pub(super) fn clear_behind(&mut self, end: u64) {
        let whole = end.div_ceil(BLOCK_BYTES as u64) as usize;
        self.blocks.truncate(whole);
        let within = (end % BLOCK_BYTES as u64) as usize;
        if within > 0
            && let Some(Some(block)) = self.blocks.get_mut(block_of(end))
        {
            Arc::make_mut(block)[within..].fill(0);
        }
    }

    /// Some block that is taken, for leftovers of what this file was.
    pub(super) fn any_block(&self, pick: u64) -> Option<Block> {
        let taken = self.taken();
        if taken == 0 {
            return None;
        }
        self.blocks.iter().flatten().nth((pick % taken) as usize).cloned()
    }
}

fn block_of(offset: u64) -> usize {
    (offset / BLOCK_BYTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_holes_are_zeros() {
        let mut content = Content::default();
        content.write(5000, b"there");
        assert_eq!((content.length(), content.taken()), (5005, 1));
        assert_eq!(content.read(4998, 100), b"\0\0there");
        assert_eq!(content.would_take(4096, 4097), 1);
        content.set_length(5001);
        content.set_length(5005);
        assert_eq!(content.read(5000, 100), b"t\0\0\0\0");
        content.set_length(4096);
        assert_eq!(content.taken(), 0);
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut content = Content::default();
        content.write(0, b"old");
        let copy = content.clone();
        content.write(0, b"new");
        assert_eq!((copy.read(0, 3), content.read(0, 3)), (b"old".to_vec(), b"new".to_vec()));
    }
}
