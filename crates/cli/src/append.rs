//! `append` and `seal`.
//!
//! A file of known length is one append: all of it or nothing. Anything that arrives bit by bit is appended block by block, each
//! at the position where the one before ended, and its CRC-64 continued, so that a lost or foreign block is noticed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use ossia_client::{
    AppendObjectOutput, AppendObjectRequest, Body, Client, ClientError, ObjectAttributes,
    SealObjectRequest,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Session;
use crate::args::{AppendArgs, OssUri, SealArgs};
use crate::copy::content_type;
use crate::failure::Failure;
use crate::input::{Blocks, Pieces};
use crate::objects::object;
use crate::output::shown;

/// The exit code of a process that was interrupted, as shells know it.
const INTERRUPTED: i32 = 130;

/// Where an object ends.
#[derive(Debug, Clone, Copy)]
struct End {
    position: u64,
    crc64: Option<u64>,
}

/// What is to be appended.
enum Source {
    File(PathBuf),
    Pieces(Pieces),
}

pub(crate) async fn append(session: Session, args: AppendArgs) -> Result<(), Failure> {
    object(&args.object)?;
    // Opened before anything is asked for, so that a wrong name costs nothing.
    let source = open(args.file.as_deref())?;
    let content_type = args.content_type.or_else(|| content_type(&args.object.key));
    let end = match args.position {
        Some(position) => End { position, crc64: None },
        None => end_of(&session.client, &args.object, content_type.as_deref()).await?,
    };
    let mut appender =
        Appender { content_type, place: args.object, session, first: end.position, end };
    match source {
        Source::File(path) => {
            appender.append(Body::file(path)).await?;
            appender.report()
        }
        Source::Pieces(pieces) => {
            let flush_interval = Duration::from_millis(args.flush_interval_ms);
            let blocks = Blocks::new(pieces, args.block_bytes, flush_interval);
            let result = appender.follow(blocks).await;
            if result.is_err() {
                appender.tell_progress();
            }
            result
        }
    }
}

fn open(file: Option<&Path>) -> Result<Source, Failure> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return Ok(Source::Pieces(Pieces::read(io::stdin())));
    };
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file(path, &error))?;
    if metadata.is_file() {
        return Ok(Source::File(path.to_owned()));
    }
    // A named pipe has no length; it is read as it comes.
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    Ok(Source::Pieces(Pieces::read(file)))
}

/// The end of an object, 0 if there is none.
async fn end_of(
    client: &Client,
    place: &OssUri,
    content_type: Option<&str>,
) -> Result<End, Failure> {
    match client.head_object(&place.bucket, &place.key).await {
        Ok(head) => Ok(End { position: head.meta.length, crc64: head.meta.crc64 }),
        Err(error) if error.code() == Some("NoSuchKey") => Ok(End { position: 0, crc64: Some(0) }),
        Err(error) if error.code() == Some("AccessDenied") => {
            end_by_append(client, place, content_type).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The end of an object as somebody learns it who may write and not read: nothing is appended at the begin, which makes the object or
/// is told where it ends.
async fn end_by_append(
    client: &Client,
    place: &OssUri,
    content_type: Option<&str>,
) -> Result<End, Failure> {
    let request = AppendObjectRequest {
        bucket: place.bucket.clone(),
        key: place.key.clone(),
        position: Some(0),
        attributes: ObjectAttributes {
            content_type: content_type.map(str::to_owned),
            ..ObjectAttributes::default()
        },
        ..AppendObjectRequest::default()
    };
    match client.append_object(request).await {
        Ok(output) => Ok(End { position: output.next_position, crc64: output.crc64 }),
        Err(ClientError::PositionNotEqualToLength { next_position, crc64, .. }) => {
            Ok(End { position: next_position, crc64 })
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends when the user ends the input (Ctrl-C). Who does so twice does not want to wait for the last append either.
fn interrupted() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let (tell, told) = oneshot::channel();
    // Asked for here, not in the task: from now on the signal does not end the process.
    if let Ok(mut interrupts) = signal(SignalKind::interrupt()) {
        tokio::spawn(async move {
            interrupts.recv().await;
            if tell.send(()).is_ok() {
                interrupts.recv().await;
                std::process::exit(INTERRUPTED);
            }
        });
    }
    Box::pin(async move {
        // Where signals cannot be handled nobody tells, and the first one ends the process.
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Appends to one object, one block behind the other.
struct Appender {
    session: Session,
    place: OssUri,
    content_type: Option<String>,
    /// Where the first block went.
    first: u64,
    end: End,
}

impl Appender {
    async fn append(&mut self, data: Body) -> Result<AppendObjectOutput, Failure> {
        let request = AppendObjectRequest {
            bucket: self.place.bucket.clone(),
            key: self.place.key.clone(),
            data,
            position: Some(self.end.position),
            previous_crc64: self.end.crc64,
            attributes: ObjectAttributes {
                content_type: self.content_type.clone(),
                ..ObjectAttributes::default()
            },
            ..AppendObjectRequest::default()
        };
        let output = self.session.client.append_object(request).await?;
        self.end = End { position: output.next_position, crc64: output.crc64 };
        Ok(output)
    }

    /// Appends what comes until it ends, or until the user ends it (Ctrl-C): what was read by then is still appended.
    async fn follow(&mut self, mut blocks: Blocks) -> Result<(), Failure> {
        let mut stop = interrupted();
        let mut told = false;
        loop {
            let block = blocks
                .next(&mut stop)
                .await
                .map_err(|error| Failure::Usage(format!("the input could not be read: {error}")))?;
            let Some(block) = block else { break };
            self.append(Body::from(block)).await?;
            // Programs are told of every block, people once at the end.
            told = self.session.output.is_json();
            if told {
                self.report()?;
            }
        }
        if self.end.position == self.first {
            // An input that ended without a byte still leaves an object to append to.
            self.append(Body::default()).await?;
        }
        if told { Ok(()) } else { self.report() }
    }

    /// Tells what has been appended so far.
    fn report(&self) -> Result<(), Failure> {
        let End { position, crc64 } = self.end;
        let appended = position.saturating_sub(self.first);
        let place = shown(&self.place.to_string());
        let value = json!({
            "bucket": self.place.bucket,
            "key": self.place.key,
            "appended": appended,
            "next_position": position,
            // As text: it exceeds what many JSON readers keep exactly.
            "crc64": crc64.map(|crc64| crc64.to_string()),
        });
        let text = format!("appended {appended} bytes to {place}, next position {position}");
        self.session.output.result(&text, &value)
    }

    /// What is safe after a failure.
    fn tell_progress(&self) {
        let appended = self.end.position.saturating_sub(self.first);
        eprintln!("ossia: {appended} bytes were appended, next position {}", self.end.position);
    }
}

pub(crate) async fn seal(session: Session, args: SealArgs) -> Result<(), Failure> {
    let (bucket, key) = object(&args.object)?;
    let position = match args.position {
        Some(position) => position,
        None => session.client.head_object(bucket, key).await?.meta.length,
    };
    let request = SealObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), position };
    let sealed = session.client.seal_object(request).await?;
    let time = sealed.sealed_time.unwrap_or_default();
    let place = shown(&args.object.to_string());
    let value = json!({ "bucket": bucket, "key": key, "length": position, "sealed": time });
    session.output.result(&format!("sealed {place} at {position} bytes ({time})"), &value)
}
