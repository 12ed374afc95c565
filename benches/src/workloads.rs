//! What the connections do: append, get, put, list.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ossia_client::{AppendObjectRequest, Client, Credentials, SignatureVersion};
use ossia_protocol::addressing::Target;

use crate::{
    error::BenchError,
    load::Worker,
    pattern::Pattern,
    stats::Dice,
    wire::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Ask, BUCKET, Connection, Head, Scribe, Signature},
};

/// A connection that signs what it sends.
pub(crate) struct Caller {
    connection: Connection,
    scribe: Scribe,
    head: Vec<u8>,
    query: String,
}

impl Caller {
    /// Connects.
    pub(crate) async fn open(
        address: SocketAddr,
        signature: Signature,
    ) -> Result<Caller, BenchError> {
        let connection = Connection::open(address).await?;
        let scribe = Scribe::new(address, signature);
        Ok(Caller { connection, scribe, head: Vec::new(), query: String::new() })
    }

    /// Makes the bucket of the benches.
    pub(crate) async fn make_bucket(&mut self) -> Result<(), BenchError> {
        let target = Target::new(Some(BUCKET), None);
        let path = format!("/{BUCKET}/");
        let ask = Ask {
            method: "PUT",
            target: &target,
            path: &path,
            query: "",
            length: Some(0),
            extra: None,
        };
        self.scribe.write(&mut self.head, ask)?;
        self.connection.exchange(&self.head, b"", |_| {}).await?;
        Ok(())
    }

    /// Appends at a position and checks that the answer names the next one.
    pub(crate) async fn append(
        &mut self,
        object: &Object,
        position: u64,
        record: &[u8],
    ) -> Result<Head, BenchError> {
        self.query.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.query, "append&position={position}");
        let ask = Ask { query: &self.query, ..object.ask("POST", Some(record.len() as u64)) };
        self.scribe.write(&mut self.head, ask)?;
        let head = self.connection.exchange(&self.head, record, |_| {}).await?;
        if head.next_position != Some(position + record.len() as u64) {
            return Err(BenchError::answer("an append answers another next position"));
        }
        Ok(head)
    }

    /// Stores an object of `length` bytes of the pattern.
    pub(crate) async fn put(
        &mut self,
        object: &Object,
        pattern: &Pattern,
        length: u64,
    ) -> Result<(), BenchError> {
        self.scribe.write(&mut self.head, object.ask("PUT", Some(length)))?;
        let mut sent = length.min(crate::pattern::PIECE_MAX as u64);
        self.connection.send(&self.head, &pattern.piece(0, sent as usize)).await?;
        while sent < length {
            let more = (length - sent).min(crate::pattern::PIECE_MAX as u64);
            self.connection.send_more(&pattern.piece(sent, more as usize)).await?;
            sent += more;
        }
        self.connection.receive(|_| {}).await?;
        Ok(())
    }

    /// Reads an object; `sink` gets its bytes.
    pub(crate) async fn get(
        &mut self,
        object: &Object,
        sink: impl FnMut(&[u8]),
    ) -> Result<Head, BenchError> {
        self.scribe.write(&mut self.head, object.ask("GET", None))?;
        self.connection.exchange(&self.head, b"", sink).await
    }

    /// Reads an object and compares it with the pattern.
    pub(crate) async fn verify(
        &mut self,
        object: &Object,
        pattern: &Pattern,
        length: u64,
    ) -> Result<(), BenchError> {
        let (mut position, mut same) = (0, true);
        let sink = |piece: &[u8]| {
            same &= pattern.holds(position, piece);
            position += piece.len() as u64;
        };
        let head = self.get(object, sink).await?;
        if !same || position != length {
            let key = &object.path;
            let text = format!("{key} has {position} bytes of {length}, equal so far: {same}");
            return Err(BenchError::Content(text));
        }
        if let Some(crc64) = head.crc64 {
            let mut wanted = ossia_protocol::crc64::Crc64::new();
            let mut left = length;
            while left > 0 {
                let some = left.min(crate::pattern::PIECE_MAX as u64);
                wanted.update(&pattern.piece(length - left, some as usize));
                left -= some;
            }
            if wanted.value() != crc64 {
                return Err(BenchError::Content(format!("{} has another CRC-64", object.path)));
            }
        }
        Ok(())
    }

    /// Reads a part of an object, by a range unless it is all of it, and compares it with the pattern, which the object has
    /// from `base` on. Of a whole object the CRC-64 is compared, too.
    pub(crate) async fn verify_from(
        &mut self,
        object: &Object,
        pattern: &Pattern,
        base: u64,
        part: Range<u64>,
        length: u64,
    ) -> Result<(), BenchError> {
        let whole = part == (0..length);
        let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
        let extra = (!whole).then_some(("range", range.as_str()));
        self.scribe.write(&mut self.head, Ask { extra, ..object.ask("GET", None) })?;
        let (mut position, mut same) = (part.start, true);
        let mut crc64 = ossia_protocol::crc64::Crc64::new();
        let sink = |piece: &[u8]| {
            same &= pattern.holds(base + position, piece);
            position += piece.len() as u64;
            if whole {
                crc64.update(piece);
            }
        };
        let head = self.connection.exchange(&self.head, b"", sink).await?;
        let key = &object.path;
        if !same || position != part.end {
            let text = format!("{key} ends at {position} of {}, equal so far: {same}", part.end);
            return Err(BenchError::Content(text));
        }
        if whole && head.crc64 != Some(crc64.value()) {
            return Err(BenchError::Content(format!("{key} has another CRC-64, or none")));
        }
        Ok(())
    }

    /// Stores these bytes as an object.
    pub(crate) async fn put_bytes(
        &mut self,
        object: &Object,
        body: &[u8],
    ) -> Result<Head, BenchError> {
        self.scribe.write(&mut self.head, object.ask("PUT", Some(body.len() as u64)))?;
        self.connection.exchange(&self.head, body, |_| {}).await
    }

    /// Announces `length` bytes, sends only these, and leaves. The connection is of no use afterwards.
    pub(crate) async fn put_and_leave(
        mut self,
        object: &Object,
        length: u64,
        body: &[u8],
    ) -> Result<(), BenchError> {
        self.scribe.write(&mut self.head, object.ask("PUT", Some(length)))?;
        self.connection.send(&self.head, body).await
    }

    /// Copies an object that was put whole.
    pub(crate) async fn copy(&mut self, from: &Object, to: &Object) -> Result<(), BenchError> {
        let ask = Ask { extra: Some(("x-oss-copy-source", &from.path)), ..to.ask("PUT", Some(0)) };
        self.scribe.write(&mut self.head, ask)?;
        self.connection.exchange(&self.head, b"", |_| {}).await?;
        Ok(())
    }

    /// Seals an appendable object at its length.
    pub(crate) async fn seal(&mut self, object: &Object, length: u64) -> Result<(), BenchError> {
        self.query.clear();
        let _ = write!(self.query, "seal&position={length}");
        let ask = Ask { query: &self.query, ..object.ask("POST", Some(0)) };
        self.scribe.write(&mut self.head, ask)?;
        self.connection.exchange(&self.head, b"", |_| {}).await?;
        Ok(())
    }

    /// Deletes an object.
    pub(crate) async fn delete(&mut self, object: &Object) -> Result<(), BenchError> {
        self.scribe.write(&mut self.head, object.ask("DELETE", None))?;
        self.connection.exchange(&self.head, b"", |_| {}).await?;
        Ok(())
    }

    /// Lists one page behind `marker`; returns how many keys it has, or where keys are rolled up, how many prefixes.
    pub(crate) async fn list(&mut self, marker: &str, ask: Listing) -> Result<u64, BenchError> {
        let (max_keys, more) = ask.query();
        let page = self.page(marker, max_keys, more).await?;
        let count = |word: &[u8]| page.windows(word.len()).filter(|it| *it == word).count() as u64;
        Ok(if ask == Listing::Rolled { count(b"<CommonPrefixes>") } else { count(b"<Key>") })
    }

    /// Starts a multipart upload and returns its id.
    pub(crate) async fn initiate(&mut self, object: &Object) -> Result<String, BenchError> {
        let ask = Ask { query: "uploads", ..object.ask("POST", Some(0)) };
        self.scribe.write(&mut self.head, ask)?;
        let mut body = Vec::new();
        self.connection.exchange(&self.head, b"", |piece| body.extend_from_slice(piece)).await?;
        let body = String::from_utf8_lossy(&body);
        let id = body.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next());
        id.map(str::to_owned).ok_or_else(|| BenchError::answer("an upload without an id"))
    }

    /// Sends a part.
    pub(crate) async fn part(
        &mut self,
        object: &Object,
        upload: &str,
        number: u64,
        bytes: &[u8],
    ) -> Result<(), BenchError> {
        self.query.clear();
        let _ = write!(self.query, "partNumber={number}&uploadId={upload}");
        let ask = Ask { query: &self.query, ..object.ask("PUT", Some(bytes.len() as u64)) };
        self.scribe.write(&mut self.head, ask)?;
        self.connection.exchange(&self.head, bytes, |_| {}).await?;
        Ok(())
    }

    /// Makes an object of all parts.
    pub(crate) async fn complete(
        &mut self,
        object: &Object,
        upload: &str,
    ) -> Result<Head, BenchError> {
        self.query.clear();
        let _ = write!(self.query, "uploadId={upload}");
        let extra = Some(("x-oss-complete-all", "yes"));
        let ask = Ask { query: &self.query, extra, ..object.ask("POST", Some(0)) };
        self.scribe.write(&mut self.head, ask)?;
        self.connection.exchange(&self.head, b"", |_| {}).await
    }

    /// The keys of one page behind `marker`; as they are, without a look at XML's escapes, which keys of benches do not need.
    pub(crate) async fn keys(
        &mut self,
        marker: &str,
        max_keys: u32,
    ) -> Result<Vec<String>, BenchError> {
        let page = self.page(marker, max_keys, "").await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let keys = page.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap_or(rest));
        Ok(keys.map(str::to_owned).collect())
    }

    async fn page(
        &mut self,
        marker: &str,
        max_keys: u32,
        more: &str,
    ) -> Result<Vec<u8>, BenchError> {
        self.query.clear();
        let _ = write!(self.query, "max-keys={max_keys}{more}");
        if !marker.is_empty() {
            let _ = write!(self.query, "&marker={marker}");
        }
        let (target, path) = (Target::new(Some(BUCKET), None), format!("/{BUCKET}/"));
        let query = &self.query;
        let ask =
            Ask { method: "GET", target: &target, path: &path, query, length: None, extra: None };
        self.scribe.write(&mut self.head, ask)?;
        let mut page = Vec::new();
        self.connection.exchange(&self.head, b"", |piece| page.extend_from_slice(piece)).await?;
        Ok(page)
    }
}

/// An object by name. Keys are made of letters, digits, `-` and `/`, so that they stand in a path as they are.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    target: Target,
    path: String,
}

impl Object {
    /// In the bucket of the benches.
    pub(crate) fn new(key: &str) -> Object {
        Object { target: Target::new(Some(BUCKET), Some(key)), path: format!("/{BUCKET}/{key}") }
    }

    /// Where nginx has it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A request for it.
    pub(crate) fn ask(&self, method: &'static str, length: Option<u64>) -> Ask<'_> {
        Ask { method, target: &self.target, path: &self.path, query: "", length, extra: None }
    }
}

/// Appends records of one size to one object, each at the end of the one before.
pub(crate) struct Appender {
    pub(crate) caller: Caller,
    pub(crate) object: Object,
    pub(crate) pattern: Pattern,
    pub(crate) record: usize,
    pub(crate) position: u64,
}

impl Worker for Appender {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let record = self.pattern.piece(self.position, self.record);
        self.caller.append(&self.object, self.position, &record).await?;
        self.position += self.record as u64;
        Ok(Some(self.record as u64))
    }
}

/// The same through our client, to show what it costs.
pub(crate) struct ClientAppender {
    pub(crate) client: Client,
    pub(crate) key: String,
    pub(crate) pattern: Pattern,
    pub(crate) record: usize,
    pub(crate) position: u64,
    pub(crate) crc64: u64,
}

impl ClientAppender {
    /// A client for one thread's connections.
    pub(crate) fn client(address: SocketAddr, signature: Signature) -> Result<Client, BenchError> {
        let version = match signature {
            Signature::V1 | Signature::Unsigned => SignatureVersion::V1,
            Signature::V4 => SignatureVersion::V4,
        };
        Client::builder(format!("http://{address}"))
            .credentials(Credentials::new(ACCESS_KEY_ID, ACCESS_KEY_SECRET))
            .signature(version)
            .build()
            .map_err(|error| BenchError::Usage(error.to_string()))
    }
}

impl Worker for ClientAppender {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let record = self.pattern.piece(self.position, self.record);
        let request = AppendObjectRequest::new(BUCKET, self.key.as_str(), record)
            .position(self.position)
            .previous_crc64(self.crc64);
        let output = self
            .client
            .append_object(request)
            .await
            .map_err(|error| BenchError::answer(error.to_string()))?;
        self.position = output.next_position;
        self.crc64 = output.crc64.unwrap_or(0);
        Ok(Some(self.record as u64))
    }
}

/// Reads objects of one length in turn. That the bytes are right was seen before; here only their number is checked.
pub(crate) struct Getter {
    pub(crate) caller: Caller,
    pub(crate) objects: Arc<[Object]>,
    pub(crate) length: u64,
    pub(crate) next: usize,
}

impl Worker for Getter {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let object = &self.objects[self.next % self.objects.len()];
        self.next += 1;
        let mut length = 0;
        self.caller.get(object, |piece| length += piece.len() as u64).await?;
        if length != self.length {
            return Err(BenchError::Content(format!("{} is {length} bytes long", object.path)));
        }
        Ok(Some(length))
    }
}

/// Stores numbered objects until there are enough.
pub(crate) struct Loader {
    pub(crate) caller: Caller,
    pub(crate) pattern: Pattern,
    pub(crate) length: usize,
    pub(crate) next: Arc<AtomicU64>,
    pub(crate) count: u64,
}

impl Loader {
    /// The key with this number, under one of ten prefixes. Numbers are mixed, so that keys do not come in their order.
    pub(crate) fn key(number: u64) -> String {
        let mixed = Dice::new(number).roll();
        format!("load/{}/{mixed:016x}", mixed % 10)
    }
}

impl Worker for Loader {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.count {
            return Ok(None);
        }
        let object = Object::new(&Loader::key(number));
        self.caller.put(&object, &self.pattern, self.length as u64).await?;
        Ok(Some(self.length as u64))
    }
}

/// What a listing asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// A page of keys.
    Keys(u32),
    /// The same with a delimiter that no key has.
    Delimited(u32),
    /// The common prefixes of all keys.
    Rolled,
}

impl Listing {
    /// `max-keys`, and more of the query.
    fn query(self) -> (u32, &'static str) {
        match self {
            Listing::Keys(max) => (max, ""),
            Listing::Delimited(max) => (max, "&delimiter=-"),
            Listing::Rolled => (1_000, "&prefix=load/&delimiter=/"),
        }
    }
}

/// Lists pages here and there.
pub(crate) struct Lister {
    pub(crate) caller: Caller,
    pub(crate) dice: Dice,
    pub(crate) ask: Listing,
    /// Of a store that has no more than a page.
    pub(crate) from_the_start: bool,
}

impl Worker for Lister {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let marker = if self.from_the_start || self.ask == Listing::Rolled {
            String::new()
        } else {
            // Behind it come all keys of the last prefix at least, so that every page is full.
            format!("load/{}/{:016x}", self.dice.below(9), self.dice.roll())
        };
        let found = self.caller.list(&marker, self.ask).await?;
        if found == 0 || (self.ask == Listing::Rolled && found != 10) {
            return Err(BenchError::Content(format!("{:?} found {found}", self.ask)));
        }
        Ok(Some(found))
    }
}

/// Sends parts of one length, their bytes one after another in the pattern, until there are enough.
pub(crate) struct PartSender {
    pub(crate) caller: Caller,
    pub(crate) pattern: Pattern,
    pub(crate) object: Object,
    pub(crate) upload: Arc<str>,
    pub(crate) length: usize,
    pub(crate) next: Arc<AtomicU64>,
    pub(crate) count: u64,
}

impl Worker for PartSender {
    async fn step(&mut self) -> Result<Option<u64>, BenchError> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        if at >= self.count {
            return Ok(None);
        }
        let bytes = self.pattern.piece(at * self.length as u64, self.length);
        self.caller.part(&self.object, &self.upload, at + 1, &bytes).await?;
        Ok(Some(self.length as u64))
    }
}
