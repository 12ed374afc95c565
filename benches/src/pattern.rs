//! The bytes that every workload stores: a stream that is a function of the position alone, so that whoever reads a part of an
//! object can tell whether it is the right part, and that no disk or file system can compress.

use bytes::Bytes;

use crate::stats::Dice;

/// The stream repeats after this many bytes. Odd, so that no power of two is a multiple of it.
const PERIOD: usize = (1 << 20) - 3;
/// The longest piece that is handed out without a copy.
pub(crate) const PIECE_MAX: usize = 1 << 20;

/// An endless stream of bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Bytes);

impl Pattern {
    /// Always the same stream.
    pub(crate) fn new() -> Pattern {
        let mut dice = Dice::new(0x0551A);
        let mut bytes = Vec::with_capacity(PERIOD + PIECE_MAX + 8);
        while bytes.len() < PERIOD {
            bytes.extend_from_slice(&dice.roll().to_le_bytes());
        }
        bytes.truncate(PERIOD);
        // Once more, so that a piece never wraps.
        while bytes.len() < PERIOD + PIECE_MAX {
            let more = (PERIOD + PIECE_MAX - bytes.len()).min(PERIOD);
            bytes.extend_from_within(..more);
        }
        Pattern(Bytes::from(bytes))
    }

    /// `length` bytes from `position` on; `length` is at most [`PIECE_MAX`].
    pub(crate) fn piece(&self, position: u64, length: usize) -> Bytes {
        let start = (position % PERIOD as u64) as usize;
        self.0.slice(start..start + length)
    }

    /// Whether these are the bytes from `position` on.
    pub(crate) fn holds(&self, position: u64, bytes: &[u8]) -> bool {
        let mut position = position;
        bytes.chunks(PIECE_MAX).all(|chunk| {
            let same = self.piece(position, chunk.len()) == chunk;
            position += chunk.len() as u64;
            same
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_put_together_are_the_stream() {
        let pattern = Pattern::new();
        let whole: Vec<u8> =
            (0..3).flat_map(|n| pattern.piece(n * PIECE_MAX as u64, PIECE_MAX)).collect();
        for (position, length) in [(0, 100), (PERIOD - 50, 100), (2 * PERIOD - 1, 3), (77, 1 << 20)]
        {
            assert_eq!(pattern.piece(position as u64, length), &whole[position..position + length]);
        }
        assert!(pattern.holds(0, &whole));
        assert!(!pattern.holds(1, &whole), "another position has other bytes");
    }
}
