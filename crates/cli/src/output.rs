//! Results on standard output, for people or for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use ossia_protocol::time;
use serde_json::Value;

use crate::failure::Failure;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes one result: `text` for people, `value` for programs.
    pub(crate) fn result(self, text: &str, value: &Value) -> Result<(), Failure> {
        let line = if self.json { value.to_string() } else { text.to_owned() };
        writeln!(io::stdout().lock(), "{line}").map_err(|error| Failure::output(&error))
    }
}

/// A name as a terminal may show it: control characters, which could drive the terminal, are escaped.
pub(crate) fn shown(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() {
            // Writing into a string cannot fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A time for people and programs alike.
pub(crate) fn date(unix_seconds: i64) -> String {
    time::iso_seconds(unix_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{4e2d}"), "a\\u{1b}[2Jb\\nc\u{4e2d}");
        assert_eq!(shown("plain name"), "plain name");
    }
}
