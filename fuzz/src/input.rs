//! How inputs are laid out: text by lines where the protocol is text, so that a corpus can be read and written by people.

use std::borrow::Cow;

use ossia_protocol::{
    addressing::{Addressing, RequestTarget, Target},
    auth::HeaderList,
    query::Query,
};

/// Takes numbers off the front of bytes; zeros when there are no more.
pub(crate) struct Dice<'a>(pub(crate) &'a [u8]);

impl<'a> Dice<'a> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from(self.u8()) << 8 | u16::from(self.u8())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.u8()))
    }

    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request: `METHOD target host`, then a header in each line, `name: value`.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) raw_query: String,
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) headers: HeaderList,
    /// What stands behind an empty line.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// `None` for what a server refuses before it looks at the rest.
    pub(crate) fn parse(data: &[u8]) -> Option<Request> {
        let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
            Some(at) => (&data[..at], &data[at + 2..]),
            None => (data, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next()?);
        let mut words = first.split(' ');
        let method = words.next()?.to_owned();
        let raw = words.next().unwrap_or("/").to_owned();
        let host = words.next();
        let addressing = addressing();
        let split = RequestTarget::split(&raw);
        let raw_query = split.query.unwrap_or_default().to_owned();
        let query = Query::parse(raw_query.as_bytes()).ok()?;
        let target = addressing.resolve(host, split.path);
        let mut headers = HeaderList::new();
        for line in lines {
            let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
            // Names are tokens of visible ASCII by the time a server sees them, and values have no control characters.
            let Ok(name) = std::str::from_utf8(&line[..at]) else { continue };
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                continue;
            }
            let value = line[at + 1..].trim_ascii();
            if value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f) {
                headers.push(name, value);
            }
        }
        Some(Request { method, raw_query, target, query, headers, body: body.to_vec() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

pub(crate) fn addressing() -> Addressing {
    Addressing::new(["oss.example.com", "example.org"], [("files.example.com", "cnamed")])
}

pub(crate) fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}
