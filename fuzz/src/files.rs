//! The engine's forms, each with bytes as they are and with the right checksum.

use ossia_engine::fuzzing;

use crate::input::Dice;

pub(crate) fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let kind = dice.u8() % 4;
    match kind {
        0 => {
            let (segment, salt, offset) = (dice.u64(), dice.u64(), dice.u64());
            fuzzing::frame_head(dice.0, segment, salt, offset);
        }
        1 => {
            let (count, payload_bytes) = (u32::from(dice.u8()), u32::from(dice.u16()));
            fuzzing::records(dice.0, count, payload_bytes);
            // What no frame has, but a head could say.
            fuzzing::records(dice.0, u32::MAX, u32::MAX);
        }
        2 => fuzzing::tree(dice.0),
        _ => {
            let number = dice.u64();
            fuzzing::files(dice.0, number);
        }
    }
}
