//! Access logs: a line for every answered request to a bucket that wants them, appended to an object of the bucket that they go to.
//!
//! Lines wait in memory within a bound and are appended in batches, to one object for each source bucket and hour, by the object
//! layer itself: what the server writes here is no request, and so is never logged. A line is no acknowledged data. Lines are lost
//! when the process is killed before they are appended, when more come than may wait, and when their target does not take them;
//! losses are counted and told in the server's own log.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use ossia_objects::{AppendError, AppendInput, Body, BodyError, Creation, Objects};
use ossia_protocol::{
    attributes::StorageClass,
    names::{BucketName, ObjectKey},
    time::{self, Civil},
    uri,
    xml::config::LoggingTarget,
};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{config, rarely::Rarely};

/// How much is handed to the object layer at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Longest line, in bytes: what a client sends of it is bounded by the limits on heads, which a setting may raise.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Objects whose ends are remembered.
const ENDS_MAX: usize = 1_024;
/// Objects of one hour that are tried when the ones before take nothing more.
const OBJECTS_OF_HOUR_MAX: u32 = 9_999;
/// How often an append is tried again at the length that it was told.
const TRIES_MAX: usize = 4;

/// What a line tells. Texts are as they came: the line escapes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) peer: Option<IpAddr>,
    /// Milliseconds since 1970.
    pub(crate) arrived_ms: u64,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: &'static str,
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    /// Until the last byte of the answer, in milliseconds.
    pub(crate) request_ms: u64,
    pub(crate) referer: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) host: String,
    pub(crate) request_id: String,
    pub(crate) requester: Option<String>,
    pub(crate) operation: &'static str,
    pub(crate) bucket: String,
    /// URL-encoded.
    pub(crate) object: Option<String>,
    pub(crate) object_size: Option<u64>,
    /// Until the answer began, in milliseconds.
    pub(crate) server_ms: u64,
    pub(crate) error: Option<&'static str>,
    pub(crate) request_bytes: u64,
    pub(crate) owner: String,
    pub(crate) delta: Option<u64>,
    pub(crate) storage_class: Option<String>,
    pub(crate) access_key_id: Option<String>,
}

impl Entry {
    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let mut line = String::with_capacity(512);
        let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        let quoted = |value: Option<&str>| {
            format!("\"{}\"", value.filter(|text| !text.is_empty()).map_or("-".into(), escaped))
        };
        let peer = self.peer.map_or("-".to_owned(), |peer| peer.to_canonical().to_string());
        let fields = [
            peer,
            "-".into(),
            "-".into(),
            log_time(self.arrived_ms / 1000),
            format!(
                "\"{} {} {}\"",
                self.method,
                escaped(&without_secrets(&self.target)),
                self.version
            ),
            self.status.to_string(),
            self.sent_bytes.to_string(),
            self.request_ms.to_string(),
            // A page that was read by a signed URL may name it in what it refers to.
            quoted(self.referer.as_deref().map(without_secrets).as_deref()),
            quoted(self.user_agent.as_deref()),
            quoted(Some(&self.host)),
            quoted(Some(&self.request_id)),
            quoted(Some("true")),
            quoted(self.requester.as_deref()),
            quoted(Some(self.operation)),
            quoted(Some(&self.bucket)),
            quoted(self.object.as_deref()),
            number(self.object_size),
            self.server_ms.to_string(),
            quoted(self.error),
            self.request_bytes.to_string(),
            quoted(Some(&self.owner)),
            number(self.delta),
            quoted(None),
            quoted(self.storage_class.as_deref()),
            quoted(None),
            quoted(None),
            quoted(self.access_key_id.as_deref()),
            quoted(Some(&format!("acs:oss:*:{}:{}", self.owner, self.bucket))),
        ];
        for (number, field) in fields.iter().enumerate() {
            if number > 0 {
                line.push(' ');
            }
            line.push_str(field);
        }
        line.push('\n');
        line
    }
}

/// What would end a quoted field or a line is percent-encoded.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '"' || letter.is_control() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// A signed URL lets whoever reads it do what its signer may; the log is not to hand that on.
fn without_secrets(target: &str) -> String {
    const SECRETS: [&str; 4] =
        ["Signature", "x-oss-signature", "security-token", "x-oss-security-token"];
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            // However it is written: it counts decoded.
            let name = uri::decode(pair.split('=').next().unwrap_or_default().as_bytes());
            !SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
        })
        .collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// `[03/Jan/2021:14:59:49 +0000]`.
fn log_time(seconds: u64) -> String {
    let date = time::http_date(i64::try_from(seconds).unwrap_or(i64::MAX));
    let mut words = date.split(' ').skip(1);
    let mut word = || words.next().unwrap_or("-");
    let (day, month, year, clock) = (word(), word(), word(), word());
    format!("[{day}/{month}/{year}:{clock} +0000]")
}

/// Where lines of one bucket and hour go: the bucket, and the object's name but for its number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    bucket: BucketName,
    stem: String,
}

/// The end of the object that lines went to last.
#[derive(Debug, Clone, Copy)]
struct End {
    number: u32,
    position: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    batches: HashMap<Place, Vec<u8>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    bytes_max: usize,
    lost: AtomicU64,
    /// Much waits, or the end has come.
    bell: Notify,
    ends: AtomicBool,
}

/// Takes lines and delivers them.
#[derive(Debug, Clone)]
pub(crate) struct AccessLogs(Arc<Shared>);

/// The delivery, which runs until it is closed.
#[derive(Debug)]
pub(crate) struct Delivery {
    logs: AccessLogs,
    task: JoinHandle<()>,
}

impl AccessLogs {
    pub(crate) fn new(set: &config::Logging) -> AccessLogs {
        AccessLogs(Arc::new(Shared {
            waiting: Mutex::default(),
            bytes_max: set.buffer_bytes,
            lost: AtomicU64::new(0),
            bell: Notify::new(),
            ends: AtomicBool::new(false),
        }))
    }

    /// Takes a line for the log of a bucket, of the hour of `now_ms`. Never waits.
    pub(crate) fn note(&self, target: &LoggingTarget, source: &str, now_ms: u64, line: &str) {
        let shared = &*self.0;
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if line.len() > LINE_BYTES_MAX || waiting.bytes + line.len() > shared.bytes_max {
            drop(waiting);
            self.lose(1, &Loss::Failed("too many lines wait".to_owned()));
            return;
        }
        waiting.bytes += line.len();
        let place = Place { bucket: target.bucket.clone(), stem: stem(target, source, now_ms) };
        waiting.batches.entry(place).or_default().extend_from_slice(line.as_bytes());
        if waiting.bytes > shared.bytes_max / 2 {
            shared.bell.notify_one();
        }
    }

    fn lose(&self, lines: u64, loss: &Loss) {
        static LOSSES: Rarely = Rarely::new();
        let lost = self.0.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        match loss {
            // Its owner deleted it or turned it against logs: nothing that who runs the server could mend.
            Loss::Refused(why) => tracing::debug!(lost, why, "a bucket takes no access logs"),
            Loss::Failed(why) if LOSSES.now() => {
                tracing::warn!(lost, why, "lines of access logs are lost");
            }
            Loss::Failed(_) => {}
        }
    }

    /// Begins to deliver, every `every`.
    pub(crate) fn deliver(&self, objects: Objects, every: Duration) -> Delivery {
        let logs = self.clone();
        let task = tokio::spawn(async move {
            let mut ends = HashMap::new();
            loop {
                let _ = tokio::time::timeout(every, logs.0.bell.notified()).await;
                // Looked at first: what came before the end is delivered.
                let last = logs.0.ends.load(Ordering::Acquire);
                logs.flush(&objects, &mut ends).await;
                if last {
                    return;
                }
            }
        });
        Delivery { logs: self.clone(), task }
    }

    async fn flush(&self, objects: &Objects, ends: &mut HashMap<Place, End>) {
        let taken = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut waiting.batches)
        };
        if ends.len() > ENDS_MAX {
            ends.clear();
        }
        for (place, batch) in taken {
            let batch = Bytes::from(batch);
            let end = ends.get(&place).copied().unwrap_or(End { number: 1, position: 0 });
            match append(objects, &place, end, &batch).await {
                Ok(end) => {
                    ends.insert(place, end);
                }
                Err(error) => {
                    let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.lose(lines, &error);
                }
            }
            // Held until now: what is on its way to the store waits as well.
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.bytes = waiting.bytes.saturating_sub(batch.len());
        }
    }
}

impl Delivery {
    /// Delivers what waits, and ends; after `grace` it ends anyway.
    pub(crate) async fn close(self, grace: Duration) {
        self.logs.0.ends.store(true, Ordering::Release);
        self.logs.0.bell.notify_one();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(grace, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Why lines are lost.
enum Loss {
    /// The bucket that they are for takes none.
    Refused(String),
    /// The server could not.
    Failed(String),
}

/// The name of an object that lines would go to now, by which the right to have them written is decided.
pub(crate) fn sample(target: &LoggingTarget, source: &str, now_ms: u64) -> String {
    format!("{}0001", stem(target, source, now_ms))
}

/// `<prefix><source>YYYY-mm-DD-HH-00-00-`.
fn stem(target: &LoggingTarget, source: &str, now_ms: u64) -> String {
    let seconds = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
    let Civil { year, month, day, hour, .. } = Civil::from_unix(seconds);
    format!("{}{source}{year:04}-{month:02}-{day:02}-{hour:02}-00-00-", target.prefix)
}

async fn append(
    objects: &Objects,
    place: &Place,
    mut end: End,
    batch: &Bytes,
) -> Result<End, Loss> {
    let rules = objects.rules(&place.bucket).await;
    let encrypted = rules.map_err(|error| Loss::Failed(error.to_string()))?.encrypted;
    while end.number <= OBJECTS_OF_HOUR_MAX {
        let name = format!("{}{:04}", place.stem, end.number);
        let key = ObjectKey::new(&name).map_err(|error| Loss::Refused(error.to_string()))?;
        let mut taken = None;
        for _ in 0..TRIES_MAX {
            match objects.append(input(&place.bucket, &key, end.position, encrypted, batch)).await {
                Ok(output) => taken = Some(output.next_position),
                Err(AppendError::PositionMismatch { length, .. }) => {
                    end.position = length;
                    continue;
                }
                // It is somebody else's, or full: the next one.
                Err(
                    AppendError::NotAppendable
                    | AppendError::Sealed
                    | AppendError::Immutable
                    | AppendError::TooLarge { .. },
                ) => {}
                Err(error @ AppendError::NoSuchBucket) => {
                    return Err(Loss::Refused(error.to_string()));
                }
                Err(error) => return Err(Loss::Failed(error.to_string())),
            }
            break;
        }
        match taken {
            Some(position) => return Ok(End { position, ..end }),
            None => end = End { number: end.number + 1, position: 0 },
        }
    }
    Err(Loss::Refused("no object of the hour takes more".to_owned()))
}

fn input(
    bucket: &BucketName,
    key: &ObjectKey,
    position: u64,
    encrypted: bool,
    batch: &Bytes,
) -> AppendInput {
    let mut creation =
        Creation { storage_class: Some(StorageClass::Standard), encrypted, ..Creation::default() };
    creation.attributes.content_type = Bytes::from_static(b"text/plain");
    let mut rest = batch.clone();
    let mut pieces = VecDeque::new();
    while !rest.is_empty() {
        pieces.push_back(rest.split_to(rest.len().min(PIECE_BYTES)));
    }
    let length = Some(batch.len() as u64);
    AppendInput {
        bucket: bucket.clone(),
        key: key.clone(),
        position,
        creation: Some(creation),
        acl: None,
        body: Body { stream: Box::pin(Pieces(pieces)), length, md5: None, crc64: None },
    }
}

struct Pieces(VecDeque<Bytes>);

impl Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_field_and_no_secret_and_nothing_ends_it_early() {
        let entry = Entry {
            peer: Some("::ffff:1.2.3.4".parse().unwrap()),
            arrived_ms: 1_609_657_189_123,
            method: "GET".into(),
            target: "/a\"b?x-tag=1&Signature=s&security-token=t&X-OSS-Signature=u".into(),
            version: "HTTP/1.1",
            status: 200,
            sent_bytes: 5,
            user_agent: Some("a\r\n\"b\"".into()),
            host: "h".into(),
            operation: "GetObject",
            bucket: "bkt".into(),
            object: Some("a%22b".into()),
            owner: "1".into(),
            ..Entry::default()
        };
        let line = entry.line();
        assert!(
            line.starts_with(
                "1.2.3.4 - - [03/Jan/2021:06:59:49 +0000] \"GET /a%22b?x-tag=1 HTTP/1.1\" 200 5 0 \"-\" \
                 \"a%0D%0A%22b%22\" \"h\" \"-\" \"true\" \"-\" \"GetObject\" \"bkt\" \"a%22b\" - 0 \"-\" 0 \"1\" - \
                 \"-\" \"-\" \"-\" \"-\" \"-\" \"acs:oss:*:1:bkt\"\n"
            ),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn objects_are_named_by_prefix_source_and_hour() {
        let target = LoggingTarget {
            bucket: BucketName::new("logs").unwrap(),
            prefix: "p/".into(),
            role: None,
        };
        assert_eq!(stem(&target, "src", 1_609_657_189_123), "p/src2021-01-03-06-00-00-");
    }
}
