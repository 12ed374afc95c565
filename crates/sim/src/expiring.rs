//! A bucket whose rules remove what is old, and must remove nothing else: what is young, what is held.
//!
//! The bucket keeps versions. What was put is covered by a delete marker when it has expired, and removed for ever when it has been
//! covered for long enough; both not before the first begin of a day at which the age is reached. What is held stays, covered or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ossia_client::{Client, ClientError, Method, Outcome, RawRequest};
use ossia_protocol::crc64;

use crate::history::stamped;
use crate::kept::{create, list_versions, now_ms};
use crate::owned::Tally;
use crate::random::Random;

/// The bucket.
const BUCKET: &str = "expiring";
/// The length of a day of the rules, in seconds; see [`ARGUMENTS`].
const DAY_S: u64 = 1;
/// What a server must be set to.
pub const ARGUMENTS: [&str; 3] =
    ["lifecycle.every_s=1", "lifecycle.day_seconds=1", "restore.delay_ms=0"];
/// More objects than this are not made: each is looked at after every cut.
const OBJECTS_MAX: usize = 60;

/// What was put.
#[derive(Debug)]
struct Item {
    /// Its version; not known where the outcome is not.
    id: Option<String>,
    crc64: u64,
    /// The earliest second at which it can have been made.
    since_s: u64,
    held: Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Free,
    Perhaps,
    Surely,
}

/// A client and its bucket.
#[derive(Debug)]
pub struct Expirer {
    random: Random,
    made: bool,
    items: BTreeMap<String, Item>,
    next: u32,
    tally: Arc<Tally>,
    removed: u64,
}

/// The first begin of a day at which something of that age is due.
fn due_s(since_s: u64) -> u64 {
    (since_s + DAY_S).div_ceil(DAY_S) * DAY_S
}

impl Expirer {
    /// A client whose bucket is not made yet.
    pub fn new(random: Random, tally: Arc<Tally>) -> Expirer {
        let (made, items, next) = (false, BTreeMap::new(), 0);
        Expirer { random, made, items, next, tally, removed: 0 }
    }

    /// How many versions the rules have removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    async fn set_up(&mut self, client: &Client) -> Result<(), ClientError> {
        create(client, BUCKET).await?;
        let trim = "<NoncurrentDays>1</NoncurrentDays>";
        let rules = format!(
            "<Rule><ID>a</ID><Prefix></Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>\
             <NoncurrentVersionExpiration>{trim}</NoncurrentVersionExpiration></Rule>"
        );
        for (flag, body) in [
            (
                "versioning",
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                    .to_owned(),
            ),
            (
                "objectWorm",
                "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>"
                    .to_owned(),
            ),
            ("lifecycle", format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")),
        ] {
            client.call(RawRequest::new(Method::PUT, BUCKET, "").flag(flag).body(body)).await?;
        }
        Ok(())
    }

    /// Puts and holds until `stop` is set, or the server is gone.
    ///
    /// # Errors
    /// A refusal that nothing explains.
    pub async fn work(&mut self, client: &Client, stop: &AtomicBool) -> Result<(), String> {
        while self.made && self.items.len() < OBJECTS_MAX && !stop.load(Ordering::Relaxed) {
            self.tally.operations.fetch_add(1, Ordering::Relaxed);
            self.next += 1;
            let key = format!("{:06}", self.next);
            let length = self.random.below(2_000) as usize;
            let body = stamped(201, self.next, length);
            let crc64 = crc64::checksum(&body);
            let since_s = now_ms() / 1_000;
            let put = RawRequest::new(Method::PUT, BUCKET, key.as_str()).body(body);
            let mut item = Item { id: None, crc64, since_s, held: Held::Free };
            match client.call(put).await {
                Ok(told) => {
                    item.id = told.header("x-oss-version-id").map(str::to_owned);
                    self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.tally.refuse(&error);
                    if error.outcome() == Outcome::Unknown {
                        self.items.insert(key, item);
                    }
                    if error.status().is_none() {
                        return Ok(());
                    }
                    continue;
                }
            }
            if self.random.percent(25) {
                let body = "<LegalHold><Status>ON</Status></LegalHold>";
                let hold = RawRequest::new(Method::PUT, BUCKET, key.as_str())
                    .flag("legalHold")
                    .query("versionId", item.id.clone().unwrap_or_default())
                    .body(body);
                item.held = match client.call(hold).await {
                    Ok(_) => Held::Surely,
                    Err(error) if error.outcome() == Outcome::Unknown => Held::Perhaps,
                    // A machine that stood still for seconds: it has gone before it could be held.
                    Err(error) if error.code() == Some("NoSuchVersion") => Held::Perhaps,
                    Err(error) if error.status().is_none_or(|status| status >= 500) => Held::Free,
                    Err(error) => return Err(format!("{BUCKET}/{key}: {error}")),
                };
            }
            self.items.insert(key, item);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Makes the bucket, or looks whether all is there that must be, and as it was.
    ///
    /// # Errors
    /// What is not as it must be.
    pub async fn verify(&mut self, client: &Client) -> Result<(), String> {
        let text = |error: ClientError| format!("{BUCKET} cannot be looked at: {error}");
        if !self.made {
            self.set_up(client).await.map_err(text)?;
            self.made = true;
        }
        let listed = list_versions(client, BUCKET, "").await.map_err(text)??;
        let now_s = now_ms() / 1_000;
        let mut gone = Vec::new();
        for (key, item) in &self.items {
            let versions = listed.get(key).map(Vec::as_slice).unwrap_or_default();
            let objects: Vec<_> = versions.iter().filter(|it| it.object.is_some()).collect();
            let covered = versions.first().is_some_and(|version| version.object.is_none());
            let lost = |what: &str| {
                Err(format!("{BUCKET}/{key}: {what} at {now_s}: {item:?}, found {versions:?}"))
            };
            if covered && now_s < due_s(item.since_s) {
                return lost("EXPIRED TOO EARLY");
            }
            if versions.iter().skip(1).any(|version| version.object.is_none()) {
                return lost("COVERED TWICE");
            }
            let Some(version) = objects.first() else {
                let early = now_s < due_s(due_s(item.since_s));
                if item.held == Held::Surely || (early && item.id.is_some()) {
                    return lost("LOST");
                }
                self.removed += u64::from(item.id.is_some());
                gone.push(key.clone());
                continue;
            };
            if objects.len() > 1 || item.id.as_ref().is_some_and(|id| *id != version.id) {
                return lost("ANOTHER VERSION");
            }
            let get = RawRequest::new(Method::GET, BUCKET, key.as_str())
                .query("versionId", version.id.as_str());
            match client.call(get).await {
                Ok(told) if crc64::checksum(&told.body) == item.crc64 => {}
                Ok(_) => return lost("OTHER BYTES"),
                // It has gone since it was listed.
                Err(error)
                    if error.code() == Some("NoSuchVersion") && item.held != Held::Surely => {}
                Err(error) => return lost(&error.to_string()),
            }
        }
        // Of what has gone a marker may be left.
        let back = listed.iter().find(|(key, versions)| {
            !self.items.contains_key(*key) && versions.iter().any(|it| it.object.is_some())
        });
        if let Some((key, versions)) = back {
            return Err(format!("{BUCKET}/{key}: BACK AGAIN: {versions:?}"));
        }
        gone.iter().for_each(|key| drop(self.items.remove(key)));
        Ok(())
    }
}
