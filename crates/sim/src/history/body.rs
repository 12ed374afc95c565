//! Bodies whose every line says who made them, so that bytes that come back can be attributed.

use std::fmt::Write as _;

use bytes::Bytes;

/// Bytes of a line: `cc:nnnnnn:lllll\n`, client, number of the operation and number of the line, in hex.
const LINE_BYTES: usize = 16;

/// Runs that are named; those at the end, where logs differ.
const RUNS_SHOWN: usize = 4;

/// The body of an operation. Bodies of 16 bytes and more differ from those of all other operations.
pub fn stamped(client: u16, number: u32, length: usize) -> Bytes {
    let mut text = String::with_capacity(length + LINE_BYTES);
    let mut line = 0_u32;
    while text.len() < length {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:02x}:{:06x}:{:05x}", client & 0xff, number & 0xff_ffff, line);
        line = (line + 1) & 0xf_ffff;
    }
    text.truncate(length);
    Bytes::from(text)
}

/// Bytes of one operation in a row.
struct Run {
    client: u16,
    number: u32,
    /// Where in its body.
    from: usize,
    length: usize,
}

/// Says whose bytes these are: the last few runs, as `c03 #127 [0..4096)`.
pub fn attribute(bytes: &[u8]) -> String {
    let mut runs: Vec<Run> = Vec::new();
    let mut strange = 0;
    let mut at = 0;
    while at < bytes.len() {
        match run_at(&bytes[at..]) {
            Some(run) => {
                at += run.length;
                runs.push(run);
            }
            None => {
                at += 1;
                strange += 1;
            }
        }
    }
    let first = runs.len().saturating_sub(RUNS_SHOWN);
    let mut text = if first > 0 { format!("{first} more, ") } else { String::new() };
    let shown = runs[first..].iter().map(|run| {
        let to = run.from + run.length;
        format!("c{:02} #{} [{}..{to})", run.client, run.number, run.from)
    });
    text.push_str(&shown.collect::<Vec<_>>().join(", "));
    if strange > 0 {
        let _ = write!(text, " and {strange} bytes of nobody");
    }
    text
}

fn run_at(bytes: &[u8]) -> Option<Run> {
    let (client, number, first) = line_at(bytes)?;
    let mut length = LINE_BYTES;
    let mut next = first + 1;
    while line_at(&bytes[length..]) == Some((client, number, next)) {
        length += LINE_BYTES;
        next += 1;
    }
    // A body may end in the middle of a line.
    let whole = format!("{client:02x}:{number:06x}:{next:05x}\n");
    length += bytes[length..].iter().zip(whole.as_bytes()).take_while(|(a, b)| a == b).count();
    Some(Run { client, number, from: first as usize * LINE_BYTES, length })
}

fn line_at(bytes: &[u8]) -> Option<(u16, u32, u32)> {
    let line = std::str::from_utf8(bytes.get(..LINE_BYTES)?).ok()?;
    let mut words = line.strip_suffix('\n')?.split(':');
    let client = u16::from_str_radix(words.next()?, 16).ok()?;
    let number = u32::from_str_radix(words.next()?, 16).ok()?;
    let line = u32::from_str_radix(words.next()?, 16).ok()?;
    Some((client, number, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_attributed_to_those_who_sent_them() {
        let bytes =
            [&stamped(3, 127, 600)[..], &stamped(5, 9, 16), &[0; 3], &stamped(1, 2, 100)[32..64]];
        assert_eq!(
            attribute(&bytes.concat()),
            "c03 #127 [0..600), c05 #9 [0..16), c01 #2 [32..64) and 3 bytes of nobody"
        );
        assert_eq!(attribute(&[]), "");
    }
}
