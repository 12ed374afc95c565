//! What is uploaded: bytes, a file, or a stream, with or without a known length.
//!
//! Owns reading a body for one attempt while its CRC-64 and its progress are noted, so that after a lost answer it is known
//! whether the server can have got the whole of it.
//!
//! Invariants:
//! - a body of known length sends exactly that length or fails; a server cannot take a part of it for the whole;
//! - at most one chunk of a file and two of a stream are in memory (I7);
//! - a file is read on the blocking pool, never on a worker of the runtime.

use std::fmt;
use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use ossia_protocol::crc64::{self, Crc64};
use tokio::task::JoinHandle;

use crate::error::{BodyError, ClientError, InvalidInput};

/// Largest piece handed to the connection at once: progress is seen per piece.
const CHUNK_BYTES: usize = 256 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A body to upload.
///
/// Made from text or bytes with `into()`, from a file with [`Body::file`], from any stream with [`Body::stream`] or
/// [`Body::sized_stream`]. Bytes and files can be sent a second time, so requests with them can be retried; a stream is read once.
///
/// ```
/// use ossia_client::Body;
///
/// let text: Body = "one line\n".into();
/// let bytes: Body = vec![0u8, 1, 2].into();
/// let file = Body::file("/var/log/app.log");
/// let part = Body::file_part("/var/log/app.log", 4096, 1024);
/// # let _ = (text, bytes, file, part);
/// ```
#[derive(Default)]
pub struct Body(Kind);

enum Kind {
    Bytes(Bytes),
    File {
        path: PathBuf,
        offset: u64,
        /// To the end of the file if `None`.
        length: Option<u64>,
    },
    /// `None` once it was sent. The lock is never held; it makes a body `Sync`, so that futures that hold one are `Send`.
    Stream(Mutex<Option<BoxStream>>, Option<u64>),
}

impl Default for Kind {
    fn default() -> Self {
        Kind::Bytes(Bytes::new())
    }
}

impl Body {
    /// A file, read while it is sent. Its length is what it is when the request starts: bytes that are written to it later are
    /// not sent, and the request fails if it shrinks.
    pub fn file(path: impl AsRef<Path>) -> Body {
        Body(Kind::File { path: path.as_ref().to_owned(), offset: 0, length: None })
    }

    /// `length` bytes of a file from byte `offset` on; the request fails if the file has fewer.
    pub fn file_part(path: impl AsRef<Path>, offset: u64, length: u64) -> Body {
        Body(Kind::File { path: path.as_ref().to_owned(), offset, length: Some(length) })
    }

    /// A stream of unknown length, sent in chunks. An error in it breaks the request off, and nothing is stored.
    pub fn stream<S, E>(stream: S) -> Body
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Body(Kind::Stream(Mutex::new(Some(boxed(stream))), None))
    }

    /// A stream of `length` bytes. The request fails, and nothing is stored, if it yields fewer or more.
    pub fn sized_stream<S, E>(stream: S, length: u64) -> Body
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Body(Kind::Stream(Mutex::new(Some(boxed(stream))), Some(length)))
    }

    /// Whether the body can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self.0, Kind::Stream(..))
    }

    /// The bytes, where they are in memory.
    pub(crate) fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::File { .. } | Kind::Stream(..) => None,
        }
    }

    /// Makes the body ready for one attempt. Opens the file, so it can fail before anything is sent.
    pub(crate) async fn open(&mut self) -> Result<(Outgoing, Arc<Sent>), ClientError> {
        let (source, length) = match &mut self.0 {
            Kind::Bytes(bytes) => (Source::Bytes(bytes.clone()), Some(bytes.len() as u64)),
            Kind::File { path, offset, length } => {
                let (reader, length) = FileReader::open(path.clone(), *offset, *length).await?;
                (Source::File(reader), Some(length))
            }
            Kind::Stream(stream, length) => {
                let stream = stream.get_mut().unwrap_or_else(PoisonError::into_inner);
                let stream = stream.take().ok_or(InvalidInput::Contradiction(
                    "a stream was sent once and cannot be sent again",
                ))?;
                (Source::Stream { stream, held: None }, *length)
            }
        };
        let sent = Arc::new(Sent::default());
        // An empty body may never be polled.
        sent.complete.store(length == Some(0), Ordering::Release);
        let outgoing =
            Outgoing { source, remaining: length, crc: Crc64::new(), sent: Arc::clone(&sent) };
        Ok((outgoing, sent))
    }
}

fn boxed<S, E>(stream: S) -> BoxStream
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::pin(MapError { stream: Box::pin(stream) })
}

/// A caller's stream with its error put into ours.
struct MapError<S> {
    stream: Pin<Box<S>>,
}

impl<S, E> Stream for MapError<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream
            .as_mut()
            .poll_next(cx)
            .map(|item| item.map(|chunk| chunk.map_err(|error| BodyError::Stream(error.into()))))
    }
}

impl fmt::Debug for Body {
    // Bodies never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::File { path, .. } => write!(f, "Body(file {})", path.display()),
            Kind::Stream(_, length) => write!(f, "Body(stream, length {length:?})"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Body::from(Bytes::from_static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Body {
        Body::from(Bytes::from_static(bytes))
    }
}

/// What has been handed to the connection, seen from outside it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    crc: AtomicU64,
    complete: AtomicBool,
    error: Mutex<Option<BodyError>>,
}

/// What of a body had been handed to the connection at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) crc64: u64,
    /// Whether that was all of it. If not, no server can have taken it for whole.
    pub(crate) complete: bool,
}

impl Sent {
    pub(crate) fn progress(&self) -> Progress {
        // Read first: what is stored before the flag is then seen too.
        let complete = self.complete.load(Ordering::Acquire);
        Progress {
            bytes: self.bytes.load(Ordering::Acquire),
            crc64: self.crc.load(Ordering::Acquire),
            complete,
        }
    }

    /// Why the body could not be read, if that is what broke the request.
    pub(crate) fn take_error(&self) -> Option<BodyError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One attempt's body on its way out.
pub(crate) struct Outgoing {
    source: Source,
    /// What is still to come, where the length is known.
    remaining: Option<u64>,
    crc: Crc64,
    sent: Arc<Sent>,
}

enum Source {
    Bytes(Bytes),
    File(FileReader),
    Stream { stream: BoxStream, held: Option<Bytes> },
}

/// Tells the connection to break the request off; the reason waits in [`Sent`].
#[derive(Debug, thiserror::Error)]
#[error("the body could not be read")]
pub(crate) struct BrokenOff;

impl Outgoing {
    /// The announced length.
    pub(crate) fn length(&self) -> Option<u64> {
        self.remaining
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            Source::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Bytes(bytes) => {
                let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
                Poll::Ready(Some(Ok(chunk)))
            }
            Source::File(reader) => reader.poll_chunk(cx),
            Source::Stream { stream, held } => poll_stream(stream, held, self.remaining, cx),
        }
    }

    /// Notes a chunk that is about to be handed out.
    fn note(&mut self, chunk: &Bytes) -> Result<(), BodyError> {
        let length = chunk.len() as u64;
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.checked_sub(length).ok_or(BodyError::TooLong)?;
        }
        self.crc.update(chunk);
        self.sent.bytes.fetch_add(length, Ordering::AcqRel);
        self.sent.crc.store(self.crc.value(), Ordering::Release);
        if self.remaining == Some(0) {
            self.sent.complete.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        match self.remaining {
            Some(missing) if missing > 0 => Err(BodyError::TooShort { missing }),
            _ => {
                self.sent.complete.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: BodyError) -> BrokenOff {
        *self.sent.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        BrokenOff
    }
}

/// The next chunk of a stream. The chunk that completes an announced length is held back until the stream has ended, so
/// that a longer stream fails whatever its chunks look like.
fn poll_stream(
    stream: &mut BoxStream,
    held: &mut Option<Bytes>,
    remaining: Option<u64>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BodyError>>> {
    loop {
        match ready!(stream.as_mut().poll_next(cx)) {
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(chunk)) if chunk.is_empty() => {}
            Some(Ok(_)) if held.is_some() || remaining == Some(0) => {
                return Poll::Ready(Some(Err(BodyError::TooLong)));
            }
            Some(Ok(chunk)) if remaining == Some(chunk.len() as u64) => *held = Some(chunk),
            Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk))),
            None => return Poll::Ready(held.take().map(Ok)),
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        let step = match ready!(this.poll_chunk(cx)) {
            Some(Ok(chunk)) => this.note(&chunk).map(|()| Some(chunk)),
            Some(Err(error)) => Err(error),
            None => this.finish().map(|()| None),
        };
        Poll::Ready(match step {
            Ok(chunk) => chunk.map(|chunk| Ok(Frame::data(chunk))),
            Err(error) => Some(Err(this.fail(error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_empty(),
            Source::File(_) | Source::Stream { .. } => self.remaining == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads a file piece by piece on the blocking pool.
struct FileReader {
    path: PathBuf,
    left: u64,
    state: ReaderState,
}

enum ReaderState {
    Idle(File),
    Reading(JoinHandle<(File, io::Result<Bytes>)>),
    Over,
}

impl FileReader {
    /// Opens a file at `offset` and says how many bytes will be read.
    async fn open(
        path: PathBuf,
        offset: u64,
        length: Option<u64>,
    ) -> Result<(FileReader, u64), ClientError> {
        let shown = path.clone();
        let opened = tokio::task::spawn_blocking(move || open_at(&path, offset, length)).await;
        let error = |source| BodyError::File { path: shown.display().to_string(), source };
        let (file, left) =
            opened.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(error)?;
        Ok((FileReader { path: shown, left, state: ReaderState::Idle(file) }, left))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.state, ReaderState::Over) {
                ReaderState::Idle(_) | ReaderState::Over if self.left == 0 => {
                    return Poll::Ready(None);
                }
                // An earlier read failed.
                ReaderState::Over => return Poll::Ready(None),
                ReaderState::Idle(file) => {
                    let limit = self.left.min(CHUNK_BYTES as u64);
                    let read = tokio::task::spawn_blocking(move || read_chunk(file, limit));
                    self.state = ReaderState::Reading(read);
                }
                ReaderState::Reading(mut read) => {
                    let Poll::Ready(done) = Pin::new(&mut read).poll(cx) else {
                        self.state = ReaderState::Reading(read);
                        return Poll::Pending;
                    };
                    return Poll::Ready(self.took(done));
                }
            }
        }
    }

    fn took(
        &mut self,
        done: Result<(File, io::Result<Bytes>), tokio::task::JoinError>,
    ) -> Option<Result<Bytes, BodyError>> {
        let result = match done {
            Ok((file, Ok(chunk))) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                self.state = ReaderState::Idle(file);
                Ok(chunk)
            }
            Ok((_, Err(error))) => Err(error),
            Err(panic) => Err(io::Error::other(panic)),
        };
        match result {
            // The file has shrunk; what is missing is told by the length that was announced.
            Ok(chunk) if chunk.is_empty() => {
                self.state = ReaderState::Over;
                None
            }
            Ok(chunk) => Some(Ok(chunk)),
            Err(source) => {
                Some(Err(BodyError::File { path: self.path.display().to_string(), source }))
            }
        }
    }
}

fn open_at(path: &Path, offset: u64, length: Option<u64>) -> io::Result<(File, u64)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let available = metadata.len().saturating_sub(offset);
    let left = length.unwrap_or(available);
    if offset > metadata.len() || left > available {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short"));
    }
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))?;
    }
    Ok((file, left))
}

fn read_chunk(mut file: File, limit: u64) -> (File, io::Result<Bytes>) {
    let mut chunk = Vec::with_capacity(usize::try_from(limit).unwrap_or(CHUNK_BYTES));
    let read = (&mut file).take(limit).read_to_end(&mut chunk);
    (file, read.map(|_| Bytes::from(chunk)))
}

/// The CRC-64 of an object after `appended` was put behind bytes whose CRC-64 was `before`.
pub(crate) fn crc64_after(before: u64, appended: &Progress) -> u64 {
    crc64::combine(before, appended.crc64, appended.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::collections::VecDeque;

    /// A stream over chunks that are there already.
    struct Chunks(VecDeque<Result<Bytes, io::Error>>);

    impl Chunks {
        fn of(chunks: &[&'static str]) -> Chunks {
            Chunks(chunks.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect())
        }
    }

    impl Stream for Chunks {
        type Item = Result<Bytes, io::Error>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    async fn send(mut body: Body) -> (Result<Bytes, BodyError>, Progress) {
        let (outgoing, sent) = body.open().await.unwrap();
        let collected = outgoing.collect().await.map(|all| all.to_bytes());
        (collected.map_err(|_| sent.take_error().unwrap()), sent.progress())
    }

    #[tokio::test]
    async fn bytes_come_in_pieces_and_are_summed() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 2 + 7).map(|i| i as u8).collect();
        let (sent, progress) = send(Body::from(bytes.clone())).await;
        assert_eq!(sent.unwrap(), bytes);
        let expected =
            Progress { bytes: bytes.len() as u64, crc64: crc64::checksum(&bytes), complete: true };
        assert_eq!(progress, expected);
    }

    #[tokio::test]
    async fn an_empty_body_is_complete_without_being_read() {
        let (outgoing, sent) = Body::from("").open().await.unwrap();
        assert!(http_body::Body::is_end_stream(&outgoing));
        assert_eq!(sent.progress(), Progress { bytes: 0, crc64: 0, complete: true });
    }

    #[tokio::test]
    async fn a_file_is_sent_from_an_offset_and_a_second_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        let bytes: Vec<u8> = (0..CHUNK_BYTES + 100).map(|i| (i * 7) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut whole = Body::file(&path);
        for _ in 0..2 {
            let (outgoing, sent) = whole.open().await.unwrap();
            assert_eq!(outgoing.length(), Some(bytes.len() as u64));
            assert_eq!(outgoing.collect().await.unwrap().to_bytes(), bytes);
            assert!(sent.progress().complete);
        }
        let (part, _) = send(Body::file_part(&path, 50, CHUNK_BYTES as u64)).await;
        assert_eq!(part.unwrap(), bytes[50..50 + CHUNK_BYTES]);
        let past = Body::file_part(&path, 50, bytes.len() as u64).open().await;
        assert!(matches!(past, Err(ClientError::Body(BodyError::File { .. }))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(whole.open().await, Err(ClientError::Body(BodyError::File { .. }))));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_sent_breaks_the_request_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        std::fs::write(&path, vec![1u8; CHUNK_BYTES * 2]).unwrap();
        let (outgoing, sent) = Body::file(&path).open().await.unwrap();
        std::fs::write(&path, vec![1u8; CHUNK_BYTES]).unwrap();
        assert!(outgoing.collect().await.is_err());
        let missing = CHUNK_BYTES as u64;
        assert!(
            matches!(sent.take_error(), Some(BodyError::TooShort { missing: m }) if m == missing)
        );
        assert!(!sent.progress().complete);
    }

    #[tokio::test]
    async fn a_stream_goes_out_once_and_its_length_is_checked() {
        let mut body = Body::stream(Chunks::of(&["ab", "", "c"]));
        let (outgoing, sent) = body.open().await.unwrap();
        assert_eq!(outgoing.length(), None);
        assert!(!sent.progress().complete);
        assert_eq!(outgoing.collect().await.unwrap().to_bytes(), "abc");
        assert!(sent.progress().complete);
        assert!(matches!(body.open().await, Err(ClientError::InvalidInput(_))));

        let (exact, progress) = send(Body::sized_stream(Chunks::of(&["ab", "c", ""]), 3)).await;
        assert_eq!(exact.unwrap(), "abc");
        assert!(progress.complete);
        for longer in [&["ab", "c", "d"][..], &["ab", "cd"], &["abcd"]] {
            let (result, progress) = send(Body::sized_stream(Chunks::of(longer), 3)).await;
            assert!(matches!(result, Err(BodyError::TooLong)), "{longer:?}");
            assert!(!progress.complete);
        }
        let (shorter, progress) = send(Body::sized_stream(Chunks::of(&["ab"]), 3)).await;
        assert!(matches!(shorter, Err(BodyError::TooShort { missing: 1 })));
        assert!(!progress.complete);
    }

    #[tokio::test]
    async fn an_error_in_a_stream_is_the_callers_own() {
        let chunks =
            Chunks(VecDeque::from([Ok("ab".into()), Err(io::Error::other("disk on fire"))]));
        let (result, progress) = send(Body::stream(chunks)).await;
        assert!(
            matches!(result, Err(BodyError::Stream(error)) if error.to_string() == "disk on fire")
        );
        assert!(!progress.complete);
    }
}
