//! Inventory reports: lists of a bucket's objects as compressed CSV, made by the rules of the bucket and written through the object
//! layer like any other object.
//!
//! A report's manifest is written last, so what has a manifest is whole. A report that is interrupted is made anew at the next look,
//! over the same names, since those follow from the rule and its turn (I10). A bucket is read page by page and a file written as it
//! is made, so a report takes the same memory whatever the bucket's size (I7).

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::Write as _,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_core::Stream;
use md5::{Digest as _, Md5};
use ossia_objects::{
    Body, BodyError, Clock, ConfigKind, Creation, ListBucketsInput, ListInput, ListVersionsInput,
    ObjectInfo, Objects, PutInput, PutOutput, VersionId, VersionInfo,
};
use ossia_protocol::{
    attributes::{ObjectType, StorageClass},
    names::{BucketName, ObjectKey},
    time::Civil,
    uri,
    xml::config::{Frequency, InventoryRule},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::{config, rarely::Rarely};

/// Objects read at once.
const PAGE: usize = 1000;
/// Compressed bytes handed on at once, and how many such pieces wait.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_WAITING: usize = 4;
/// Reports whose last turn is remembered.
const TURNS_MAX: usize = 100_000;

/// Makes reports until it is closed.
#[derive(Debug)]
pub(crate) struct Inventories {
    end: Arc<Notify>,
    task: JoinHandle<()>,
}

struct Worker {
    objects: Objects,
    clock: Arc<dyn Clock>,
    day_ms: u64,
    file_rows: u64,
    /// When a report of a rule was made last, in milliseconds since 1970.
    turns: HashMap<(String, String), u64>,
}

/// Why a report was not made. It is tried again at the next look.
type Failed = String;

impl Inventories {
    pub(crate) fn begin(
        objects: Objects,
        clock: Arc<dyn Clock>,
        set: &config::Inventory,
    ) -> Option<Inventories> {
        if set.look_ms == 0 {
            return None;
        }
        let every = Duration::from_millis(set.look_ms);
        let (day_ms, file_rows) = (set.day_ms, set.file_rows);
        let end = Arc::new(Notify::new());
        let ended = Arc::clone(&end);
        let task = tokio::spawn(async move {
            let mut worker = Worker { objects, clock, day_ms, file_rows, turns: HashMap::new() };
            let work = async {
                loop {
                    tokio::time::sleep(every).await;
                    worker.look().await;
                }
            };
            tokio::select! {
                () = work => {}
                () = ended.notified() => {}
            }
        });
        Some(Inventories { end, task })
    }

    /// Ends it; a report under way is left without a manifest.
    pub(crate) async fn close(self) {
        self.end.notify_one();
        let _ = self.task.await;
    }
}

impl Worker {
    /// Looks at every rule of every bucket once.
    async fn look(&mut self) {
        static FAILURES: Rarely = Rarely::new();
        let mut after = None;
        loop {
            let input = ListBucketsInput { prefix: String::new(), marker: after, limit: PAGE };
            let Ok(page) = self.objects.list_buckets(input).await else { return };
            for bucket in &page.buckets {
                if let Err(error) = self.look_at(&bucket.name).await
                    && FAILURES.now()
                {
                    tracing::warn!(bucket = %bucket.name, %error, "an inventory was not made");
                }
            }
            after = page.next_marker;
            if !page.truncated || after.is_none() {
                return;
            }
        }
    }

    async fn look_at(&mut self, bucket: &BucketName) -> Result<(), Failed> {
        let found = self.objects.configuration(Some(bucket), ConfigKind::Inventory).await;
        let mut failed = Ok(());
        for (_, element) in found.map_err(|error| error.to_string())? {
            let rule = InventoryRule::parse(&element).map_err(|error| error.to_string())?;
            if rule.enabled && self.is_due(bucket, &rule).await? {
                // One that cannot be made does not keep the others from being.
                if let Err(error) = self.make(bucket, &rule).await {
                    failed = Err(format!("{}: {error}", rule.id));
                }
            }
        }
        failed
    }

    fn period_ms(&self, rule: &InventoryRule) -> u64 {
        let days = match rule.frequency {
            Frequency::Once => return u64::MAX,
            Frequency::Daily => 1,
            Frequency::Weekly => 7,
            Frequency::Monthly => 30,
        };
        self.day_ms.saturating_mul(days)
    }

    async fn is_due(&mut self, bucket: &BucketName, rule: &InventoryRule) -> Result<bool, Failed> {
        let name = (bucket.as_str().to_owned(), rule.id.clone());
        let last = match self.turns.get(&name) {
            Some(last) => Some(*last),
            None => self.last_report(bucket, rule).await?,
        };
        let now = self.clock.now_ms();
        let Some(last) = last else { return Ok(true) };
        if self.turns.len() >= TURNS_MAX {
            self.turns.clear();
        }
        self.turns.insert(name, last);
        Ok(now >= last.saturating_add(self.period_ms(rule)))
    }

    /// When the newest report began, by the names of those that are there.
    async fn last_report(
        &self,
        bucket: &BucketName,
        rule: &InventoryRule,
    ) -> Result<Option<u64>, Failed> {
        let mut newest = None;
        let mut after = None;
        loop {
            let input = ListInput {
                bucket: rule.destination.clone(),
                prefix: format!("{}/", base(bucket, rule)),
                delimiter: Some("/".to_owned()),
                after: after.clone(),
                limit: PAGE,
            };
            let page = self.objects.list(input).await.map_err(|error| error.to_string())?;
            let times = page
                .prefixes
                .iter()
                .filter_map(|prefix| parse_turn(prefix.strip_suffix('/')?.rsplit('/').next()?));
            newest = times.max().max(newest);
            after = page.last;
            if !page.truncated || after.is_none() {
                return Ok(newest);
            }
        }
    }

    async fn make(&mut self, bucket: &BucketName, rule: &InventoryRule) -> Result<(), Failed> {
        let start_ms = self.clock.now_ms();
        let base = base(bucket, rule);
        // The same for a report that is made anew in its turn.
        let turn = start_ms / self.period_ms(rule);
        let uuid = uuid(&format!("{base}\n{turn}"));
        let mut files = Vec::new();
        let mut rows = Rows {
            worker: self,
            bucket,
            rule,
            after: None,
            after_version: None,
            page: Vec::new(),
            more: true,
        };
        while rows.fill().await? {
            let name = match files.len() {
                0 => format!("{base}/data/{uuid}.csv.gz"),
                number => format!("{base}/data/{uuid}-{number}.csv.gz"),
            };
            let (size, md5) = rows.write_file(&name).await?;
            files.push(serde_json::json!({
                "MD5checksum": upper_hex(&md5),
                "key": name,
                "size": size,
            }));
        }
        // A report of nothing is none.
        if !files.is_empty() {
            let manifest = serde_json::json!({
                "creationTimestamp": (start_ms / 1000).to_string(),
                "destinationBucket": rule.destination.as_str(),
                "fileFormat": "CSV",
                "fileSchema": schema(rule),
                "files": files,
                "sourceBucket": bucket.as_str(),
                "version": "2019-09-01",
            });
            let manifest = Bytes::from(manifest.to_string());
            let folder = format!("{base}/{}", turn_name(start_ms));
            let checksum = Bytes::from(upper_hex(&Md5::digest(&manifest).into()));
            self.put_small(rule, &format!("{folder}/manifest.checksum"), checksum).await?;
            self.put_small(rule, &format!("{folder}/manifest.json"), manifest).await?;
        }
        self.turns.insert((bucket.as_str().to_owned(), rule.id.clone()), start_ms);
        Ok(())
    }

    async fn put_small(
        &self,
        rule: &InventoryRule,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), Failed> {
        let (sender, receiver) = mpsc::channel(2);
        let _ = sender.try_send(Piece::Bytes(bytes));
        let _ = sender.try_send(Piece::End);
        put(self.objects.clone(), rule, name.to_owned(), receiver).await.map(|_| ())
    }
}

/// The rows of a report on their way.
struct Rows<'w> {
    worker: &'w Worker,
    bucket: &'w BucketName,
    rule: &'w InventoryRule,
    after: Option<String>,
    after_version: Option<VersionId>,
    /// Those of the page that were not written yet, the next one last.
    page: Vec<Listed>,
    more: bool,
}

/// An object, or one of its versions.
struct Listed {
    key: ObjectKey,
    /// Empty in a bucket that never had versions.
    version: String,
    latest: bool,
    last_modified: u64,
    /// `None` for a delete marker.
    info: Option<ObjectInfo>,
}

impl Listed {
    fn of_object(info: ObjectInfo) -> Listed {
        Listed {
            key: info.key.clone(),
            version: info.version_id.map(|id| id.to_string()).unwrap_or_default(),
            latest: true,
            last_modified: info.last_modified,
            info: Some(info),
        }
    }

    fn of_version(version: VersionInfo) -> Listed {
        match version.object {
            Some(info) => Listed { latest: version.latest, ..Listed::of_object(info) },
            None => Listed {
                key: version.key,
                version: version.version.to_string(),
                latest: version.latest,
                last_modified: version.last_modified,
                info: None,
            },
        }
    }

    fn passes(&self, rule: &InventoryRule) -> bool {
        let (size, class) = match &self.info {
            Some(info) => (info.length, info.storage_class),
            None => (0, StorageClass::Standard),
        };
        rule.takes(size, self.last_modified, class)
    }
}

impl Rows<'_> {
    /// Whether there is a row, reading on as far as needed.
    async fn fill(&mut self) -> Result<bool, Failed> {
        while self.page.is_empty() && self.more {
            match self.rule.all_versions {
                true => self.read_versions().await?,
                false => self.read_objects().await?,
            }
            self.page.retain(|listed| listed.passes(self.rule));
            self.page.reverse();
        }
        Ok(!self.page.is_empty())
    }

    async fn read_objects(&mut self) -> Result<(), Failed> {
        let input = ListInput {
            bucket: self.bucket.clone(),
            prefix: self.rule.prefix.clone(),
            delimiter: None,
            after: self.after.take(),
            limit: PAGE,
        };
        let list = self.worker.objects.list(input).await.map_err(|error| error.to_string())?;
        self.more = list.truncated && list.last.is_some();
        self.after = list.last;
        self.page = list.objects.into_iter().map(Listed::of_object).collect();
        Ok(())
    }

    async fn read_versions(&mut self) -> Result<(), Failed> {
        let input = ListVersionsInput {
            bucket: self.bucket.clone(),
            prefix: self.rule.prefix.clone(),
            delimiter: None,
            after: self.after.take(),
            after_version: self.after_version.take(),
            limit: PAGE,
        };
        let list = self.worker.objects.list_versions(input).await;
        let list = list.map_err(|error| error.to_string())?;
        self.more = list.truncated && list.last.is_some();
        (self.after, self.after_version) = (list.last, list.last_version);
        self.page = list.versions.into_iter().map(Listed::of_version).collect();
        Ok(())
    }

    /// Writes a file; gives its length and MD5.
    async fn write_file(&mut self, name: &str) -> Result<(u64, [u8; 16]), Failed> {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let objects = self.worker.objects.clone();
        let putting = put(objects, self.rule, name.to_owned(), receiver);
        let (written, put) = tokio::join!(self.write_rows(sender), putting);
        // The put tells more than that nobody took its bytes.
        let output = put?;
        written?;
        Ok((output.length, output.md5))
    }

    async fn write_rows(&mut self, sender: mpsc::Sender<Piece>) -> Result<(), Failed> {
        let gone = |_| "the report's file is not taken".to_owned();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut row = String::new();
        for _ in 0..self.worker.file_rows {
            if !self.fill().await? {
                break;
            }
            let Some(listed) = self.page.pop() else { break };
            row.clear();
            write_row(&mut row, self.bucket, self.rule, &listed);
            encoder.write_all(row.as_bytes()).map_err(|error| error.to_string())?;
            if encoder.get_ref().len() >= PIECE_BYTES {
                let piece = mem::take(encoder.get_mut());
                sender.send(Piece::Bytes(piece.into())).await.map_err(gone)?;
            }
        }
        let rest = encoder.finish().map_err(|error| error.to_string())?;
        sender.send(Piece::Bytes(rest.into())).await.map_err(gone)?;
        sender.send(Piece::End).await.map_err(gone)
    }
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The bytes of a file as they are made. One that breaks off is no whole file.
struct Pieces(mpsc::Receiver<Piece>);

impl Stream for Pieces {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => None,
            None => Some(Err(BodyError::Broken("the report broke off".to_owned()))),
        })
    }
}

async fn put(
    objects: Objects,
    rule: &InventoryRule,
    name: String,
    pieces: mpsc::Receiver<Piece>,
) -> Result<PutOutput, Failed> {
    let key = ObjectKey::new(&name).map_err(|error| error.to_string())?;
    let stream = Box::pin(Pieces(pieces));
    let body = Body { stream, length: None, md5: None, crc64: None };
    let bucket = rule.destination.clone();
    let rules = objects.rules(&bucket).await.map_err(|error| error.to_string())?;
    let encrypted = rule.encrypted || rules.encrypted;
    let creation = Creation { encrypted, ..Creation::default() };
    let input = PutInput { bucket, key, creation, body, forbid_overwrite: false };
    objects.put(input).await.map_err(|error| error.to_string())
}

/// The name of an object that a report would have now, by which the right to have it written is decided.
pub(crate) fn sample(bucket: &BucketName, rule: &InventoryRule, now_ms: u64) -> String {
    format!("{}/{}/manifest.json", base(bucket, rule), turn_name(now_ms))
}

/// `[prefix/]source/id`.
fn base(bucket: &BucketName, rule: &InventoryRule) -> String {
    let prefix = rule.destination_prefix.trim_matches('/');
    let joint = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{joint}{bucket}/{}", rule.id)
}

fn civil(seconds: u64) -> Civil {
    Civil::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// `YYYY-MM-DDTHH-MMZ`.
fn turn_name(ms: u64) -> String {
    let Civil { year, month, day, hour, minute, .. } = civil(ms / 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}Z")
}

fn parse_turn(name: &str) -> Option<u64> {
    let (day, clock) = name.strip_suffix('Z')?.split_once('T')?;
    let mut numbers = day.split('-').chain(clock.split('-')).map(|text| text.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let (year, month, day, hour, minute) = (next()?, next()?, next()?, next()?, next()?);
    let civil = Civil { year: year.into(), month, day, hour, minute, second: 0 };
    u64::try_from(civil.to_unix()?).ok()?.checked_mul(1000)
}

fn schema(rule: &InventoryRule) -> String {
    let mut columns = vec!["Bucket", "Key"];
    if rule.all_versions {
        columns.extend(["VersionId", "IsLatest", "IsDeleteMarker"]);
    }
    columns.extend(rule.fields.iter().map(String::as_str));
    columns.join(", ")
}

fn write_row(row: &mut String, bucket: &BucketName, rule: &InventoryRule, listed: &Listed) {
    row.push_str(bucket.as_str());
    let mut cell = |text: &str| {
        let _ = write!(row, ",\"{text}\"");
    };
    cell(&uri::encode(listed.key.as_bytes()));
    if rule.all_versions {
        cell(&listed.version);
        cell(if listed.latest { "true" } else { "false" });
        cell(if listed.info.is_none() { "true" } else { "false" });
    }
    for field in &rule.fields {
        if field == "LastModifiedDate" {
            let Civil { year, month, day, hour, minute, second } = civil(listed.last_modified);
            let date = format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z");
            cell(&date);
            continue;
        }
        let Some(info) = &listed.info else {
            cell("");
            continue;
        };
        match field.as_str() {
            "Size" => cell(&info.length.to_string()),
            "StorageClass" => cell(info.storage_class.as_str()),
            "ETag" => cell(&info.etag),
            "IsMultipartUploaded" => {
                cell(if info.kind == ObjectType::Multipart { "true" } else { "false" });
            }
            "EncryptionStatus" => cell(if info.encrypted { "true" } else { "false" }),
            "ObjectAcl" => cell(info.acl.as_str()),
            "TaggingCount" => cell(&info.tags.len().to_string()),
            "ObjectType" => cell(info.kind.as_str()),
            "Crc64" => cell(&info.crc64.to_string()),
            _ => cell(""),
        }
    }
    row.push('\n');
}

fn upper_hex(bytes: &[u8; 16]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// An id in the form of a UUID that is always the same for a text.
fn uuid(text: &str) -> String {
    let hex = upper_hex(&Md5::digest(text).into()).to_ascii_lowercase();
    let piece = |from, to| hex.get(from..to).unwrap_or_default();
    let parts = [piece(0, 8), piece(8, 12), piece(12, 16), piece(16, 20), piece(20, 32)];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_read_back_from_its_name() {
        for ms in [0, 1_768_465_800_000, 4_000_000_020_000] {
            assert_eq!(parse_turn(&turn_name(ms + 59_999)), Some(ms));
        }
        for name in ["", "data", "2026-01-15T08-30", "2026-02-30T08-30Z", "a-b-cTd-eZ"] {
            assert_eq!(parse_turn(name), None, "{name}");
        }
        assert_eq!(uuid("a").len(), 36);
    }
}
