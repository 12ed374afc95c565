//! A small XML writer that emits only what every SDK's parser takes: elements and text, no attributes, no namespaces.

use std::fmt::Write as _;

use crate::uri;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Appends elements to one growing text. Element names are constants of the protocol and are written as they are.
#[derive(Debug)]
pub struct Writer {
    out: String,
}

impl Writer {
    /// A document with its declaration, and room for about `capacity` bytes more.
    pub fn document(capacity: usize) -> Self {
        let mut out = String::with_capacity(DECLARATION.len() + capacity);
        out.push_str(DECLARATION);
        Self { out }
    }

    /// The finished document.
    pub fn finish(self) -> String {
        self.out
    }

    /// `<name>`
    pub fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    /// `</name>`
    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// `<name>text</name>`, escaped. Characters that XML cannot carry go out raw, which makes the document unreadable: that is
    /// what the service does with such a key when `encoding-type=url` was not asked for, and clients rely on it.
    pub fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        self.push_escaped(text, false);
        self.close(name);
    }

    /// As [`Writer::text`], with U+FFFD for what XML cannot carry: for texts that must not spoil the document.
    pub fn safe_text(&mut self, name: &str, text: &str) {
        self.open(name);
        self.push_escaped(text, true);
        self.close(name);
    }

    /// `<name>text</name>` where `url` asks for the text in the form of `encoding-type=url`: everything outside `A-Z a-z 0-9 - _
    /// . ~` as `%XX`. Form decoders and percent decoders then agree on it.
    pub fn name_text(&mut self, name: &str, text: &str, url: bool) {
        if url {
            self.open(name);
            self.out.push_str(&uri::encode(text.as_bytes()));
            self.close(name);
        } else {
            self.text(name, text);
        }
    }

    /// `<name>number</name>`
    pub fn number(&mut self, name: &str, number: u64) {
        self.open(name);
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{number}");
        self.close(name);
    }

    /// `<name>true</name>` or `<name>false</name>`, in lower case as one SDK insists.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// `<name>"etag"</name>`: the quotes belong to the value, clients strip or keep them.
    pub fn etag(&mut self, name: &str, etag: &str) {
        self.open(name);
        self.out.push('"');
        self.push_escaped(etag, true);
        self.out.push('"');
        self.close(name);
    }

    fn push_escaped(&mut self, text: &str, replace_illegal: bool) {
        if text.bytes().all(is_plain) {
            self.out.push_str(text);
            return;
        }
        self.out.reserve(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(is_special) {
            let (plain, tail) = rest.split_at(at);
            self.out.push_str(plain);
            let mut chars = tail.chars();
            match chars.next() {
                Some('&') => self.out.push_str("&amp;"),
                Some('<') => self.out.push_str("&lt;"),
                Some('>') => self.out.push_str("&gt;"),
                Some('"') => self.out.push_str("&quot;"),
                // A bare carriage return would be read back as a line feed.
                Some('\r') => self.out.push_str("&#13;"),
                Some(_) if replace_illegal => self.out.push('\u{fffd}'),
                Some(illegal) => self.out.push(illegal),
                None => {}
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
    }
}

/// Whether the byte is certainly no part of anything [`is_special`]: most texts are of these alone, and quickly looked through.
fn is_plain(byte: u8) -> bool {
    // 0xEF begins U+FFFE and U+FFFF.
    byte >= b' ' && !matches!(byte, b'&' | b'<' | b'>' | b'"' | 0xef)
}

fn is_special(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\r') || is_illegal(c)
}

/// Whether XML 1.0 has no way to carry the character, escaped or not.
fn is_illegal(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_that_needs_care_looks_plain() {
        for c in '\0'..=char::MAX {
            let plain = c.encode_utf8(&mut [0; 4]).bytes().all(is_plain);
            assert!(!(plain && is_special(c)), "{c:?}");
        }
    }
}
