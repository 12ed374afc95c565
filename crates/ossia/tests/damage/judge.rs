//! Opens a damaged store and compares everything in it with what was acknowledged.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_core::Stream as _;
use ossia_engine::LocalEngine;
use ossia_objects::{
    AppendError, AppendInput, Body, BodyError, Creation, Failure, ListError, ListInput, Objects,
    ReadObjectError, SystemClock,
};
use ossia_store::Store as _;

use crate::{
    harm::Harm,
    store::{self, Known, Made, Open, Writer, bucket, key},
};

/// No damage may keep anyone waiting for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// One store in so many is written to after it was looked at, closed, and looked at again.
const WRITTEN_TO: usize = 8;

/// How a damaged store fared.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Everything is there and right.
    Served,
    /// So many answers were errors that say so; the rest is right.
    Refused(#[expect(dead_code, reason = "for a look at one verdict")] usize),
    /// It does not start, and says why.
    Stopped(String),
    /// Wrong, or missing, without a word; or a word that helps nobody.
    Silent(String),
}

/// One thread's means.
pub(crate) struct Judge {
    runtime: tokio::runtime::Runtime,
}

impl Judge {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.unwrap() }
    }

    pub(crate) fn try_one(&self, made: &Made, harm: &Harm, at: usize) -> (Verdict, PathBuf) {
        let folder = damaged_copy(made, harm);
        let data = folder.path().to_owned();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(async {
                let looked = look(made, &data, at.is_multiple_of(WRITTEN_TO));
                tokio::time::timeout(PATIENCE, looked).await
            })
        }));
        let verdict = match judged {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Verdict::Silent("it hangs".into()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
                Verdict::Silent(format!("panic: {}", text.unwrap_or_default()))
            }
        };
        (verdict, data)
    }
}

/// A copy of a store, damaged.
pub(crate) fn damaged_copy(made: &Made, harm: &Harm) -> tempfile::TempDir {
    let folder = store::folder();
    for (name, _) in &made.files {
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // What the engine never writes to in place need not be copied, unless it is what is damaged.
        let text = name.to_str().unwrap();
        let copied = text.contains("journal/") || text == "LOCK" || harm.touches(name);
        if copied || std::fs::hard_link(made.path().join(name), &to).is_err() {
            std::fs::copy(made.path().join(name), to).unwrap();
        }
    }
    harm.apply(made, folder.path());
    folder
}

/// A start that stops must name something in the folder, and what to do.
pub(crate) fn stopped(data: &Path, message: String) -> Verdict {
    let names = message.contains(&format!("{}/", data.display()));
    let advises = ["restore", "copy ", "remove "].iter().any(|word| message.contains(word));
    if names && advises {
        Verdict::Stopped(message)
    } else {
        Verdict::Silent(format!("a message that helps nobody: {message}"))
    }
}

async fn look(made: &Made, data: &Path, write: bool) -> Verdict {
    let open = match open(data).await {
        Ok(open) => open,
        Err(message) => return stopped(data, message),
    };
    let mut objects = made.objects.clone();
    let told = compare(&open.objects, made, &objects).await;
    let refused = match told {
        Ok(refused) => refused,
        Err(what) => {
            open.close_quietly().await;
            return Verdict::Silent(what);
        }
    };
    if write && refused == 0 {
        let mut deleted = made.deleted.clone();
        let mut writer =
            Writer { objects: &open.objects, known: &mut objects, deleted: &mut deleted };
        for number in 0..4 {
            writer.put(&format!("new/{number}"), vec![number; 3_000]).await;
            writer.append("logs/0", &[number; 2_000]).await;
            writer.append("logs/1", &[number; 2_000]).await;
        }
    }
    open.close_quietly().await;
    if write && refused == 0 {
        let open = match self::open(data).await {
            Ok(open) => open,
            Err(message) => return stopped(data, message),
        };
        let told = compare(&open.objects, made, &objects).await;
        open.close_quietly().await;
        if let Err(what) = told {
            return Verdict::Silent(format!("written to: {what}"));
        }
    }
    if refused == 0 { Verdict::Served } else { Verdict::Refused(refused) }
}

impl Open {
    async fn close_quietly(self) {
        self.objects.close().await;
        // What could not be closed well is told by the next start.
        let _ = self.engine.shutdown().await;
    }
}

async fn open(data: &Path) -> Result<Open, String> {
    let engine = LocalEngine::open(store::options(data)).map_err(|error| error.to_string())?;
    let store = Arc::new(engine.clone());
    match Objects::open(store, Arc::new(SystemClock), store::settings(false)).await {
        Ok(objects) => Ok(Open { engine, objects }),
        Err(error) => {
            let _ = engine.shutdown().await;
            Err(error.to_string())
        }
    }
}

/// How many answers were refused, or what was wrong.
async fn compare(
    objects: &Objects,
    made: &Made,
    known: &BTreeMap<String, Known>,
) -> Result<usize, String> {
    let mut refused = 0;
    for (name, known) in known {
        refused += usize::from(!get(objects, name, known).await?);
        refused += usize::from(!head(objects, name, known).await?);
        if known.appendable && !known.sealed {
            refused += usize::from(!position(objects, name, known).await?);
        }
    }
    for name in &made.deleted {
        match objects.head(&bucket(), &key(name)).await {
            Err(ReadObjectError::NoSuchKey) => {}
            Err(ReadObjectError::Store(failure)) => refused += usize::from(clear(name, failure)?),
            told => return Err(format!("{name} was deleted: {told:?}")),
        }
    }
    refused += usize::from(!list(objects, known).await?);
    Ok(refused)
}

/// Whether a failure is one that says what is the matter.
fn clear(name: &str, failure: Failure) -> Result<bool, String> {
    match failure {
        Failure::Damaged(_) | Failure::Io(_) | Failure::Poisoned(_) => Ok(true),
        other => Err(format!("{name}: {other:?}")),
    }
}

fn refusal(name: &str, error: ReadObjectError) -> Result<bool, String> {
    match error {
        ReadObjectError::Store(failure) => clear(name, failure).map(|_| false),
        other => Err(format!("{name}: {other:?}")),
    }
}

async fn get(objects: &Objects, name: &str, known: &Known) -> Result<bool, String> {
    let object = match objects.get(&bucket(), &key(name)).await {
        Ok(object) => object,
        Err(error) => return refusal(name, error),
    };
    if object.info.crc64 != known.crc64 || object.info.length != known.bytes.len() as u64 {
        return Err(format!("{name}: {:?}", object.info));
    }
    let mut download = std::pin::pin!(object.read(0..u64::MAX));
    let mut bytes = Vec::new();
    while let Some(piece) = poll_fn(|cx| download.as_mut().poll_next(cx)).await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            // What came before it must be right all the same: it has been sent.
            Err(error) if known.bytes.starts_with(&bytes) => return refusal(name, error),
            Err(error) => return Err(format!("{name}: wrong bytes before {error}")),
        }
    }
    if bytes == known.bytes { Ok(true) } else { Err(format!("{name}: wrong bytes")) }
}

async fn head(objects: &Objects, name: &str, known: &Known) -> Result<bool, String> {
    match objects.head(&bucket(), &key(name)).await {
        Ok(info)
            if (info.length, info.crc64, &info.etag, info.sealed_at.is_some())
                == (known.bytes.len() as u64, known.crc64, &known.etag, known.sealed) =>
        {
            Ok(true)
        }
        Ok(info) => Err(format!("{name}: {info:?}")),
        Err(error) => refusal(name, error),
    }
}

struct Nothing;

impl futures_core::Stream for Nothing {
    type Item = Result<bytes::Bytes, BodyError>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(None)
    }
}

/// What an append at a wrong position is told.
async fn position(objects: &Objects, name: &str, known: &Known) -> Result<bool, String> {
    let body = Body { stream: Box::pin(Nothing), length: Some(0), md5: None, crc64: None };
    let input = AppendInput {
        bucket: bucket(),
        key: key(name),
        position: known.bytes.len() as u64 + 1,
        creation: Some(Creation::default()),
        acl: None,
        body,
    };
    match objects.append(input).await {
        Err(AppendError::PositionMismatch { length, crc64 })
            if (length, crc64) == (known.bytes.len() as u64, known.crc64) =>
        {
            Ok(true)
        }
        Err(AppendError::Store(failure)) => clear(name, failure).map(|_| false),
        told => Err(format!("{name}: {told:?}")),
    }
}

async fn list(objects: &Objects, known: &BTreeMap<String, Known>) -> Result<bool, String> {
    let mut listed = BTreeMap::new();
    let mut after = None;
    loop {
        let input = ListInput {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            after: after.take(),
            limit: 100,
        };
        let page = match objects.list(input).await {
            Ok(page) => page,
            Err(ListError::Store(failure)) => return clear("the listing", failure).map(|_| false),
            Err(error) => return Err(format!("the listing: {error}")),
        };
        for info in page.objects {
            listed.insert(info.key.as_str().to_owned(), (info.length, info.crc64));
        }
        if !page.truncated {
            break;
        }
        after = page.last;
    }
    let expected: BTreeMap<_, _> = known
        .iter()
        .map(|(name, known)| (name.clone(), (known.bytes.len() as u64, known.crc64)))
        .collect();
    if listed == expected {
        return Ok(true);
    }
    let lost: Vec<_> = expected.keys().filter(|name| !listed.contains_key(*name)).collect();
    let new: Vec<_> = listed.keys().filter(|name| !expected.contains_key(*name)).collect();
    Err(format!("the listing lacks {lost:?}, has {new:?}"))
}
