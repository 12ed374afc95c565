//! The audit log: one line of JSON for every request that was let through or refused: who asked for what, and why it was so.
//!
//! A line never holds a secret, a token or a signature: it is made of names alone, never of a query or of headers. Lines wait in
//! a queue of bounded length and are written by a thread of their own, so that no request ever waits for this disk (I7): what
//! finds the queue full is dropped and counted. The file is opened again when it has been moved away, and set aside when it is
//! too long.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{config, rarely::Rarely};

/// Lines that may wait: of usual length, some 4 MiB.
const WAITING_MAX: usize = 8_192;
/// Lines are written out at the latest when so many have been taken together.
const BATCH: usize = 512;

/// What happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its caller may do it; the status tells what came of it.
    Allowed,
    /// Its caller may not.
    Denied,
    /// Nobody knows whose it is.
    Refused,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
            Outcome::Refused => "refused",
        }
    }
}

/// What a line tells.
#[derive(Debug, Clone)]
pub(crate) struct Line<'l> {
    /// Milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) request_id: &'l str,
    pub(crate) peer: String,
    /// `root`, `user:<name>`, `role:<role>/<session>`, `anonymous`; `-` when it is not known.
    pub(crate) who: String,
    pub(crate) access_key_id: Option<&'l str>,
    pub(crate) operation: &'l str,
    pub(crate) action: &'l str,
    pub(crate) resource: &'l str,
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
    pub(crate) status: u16,
    pub(crate) code: Option<&'l str>,
}

impl Line<'_> {
    fn text(&self) -> String {
        let seconds = i64::try_from(self.time_ms / 1000).unwrap_or(i64::MAX);
        let time = ossia_protocol::time::iso_seconds(seconds);
        let time = format!("{}.{:03}Z", time.trim_end_matches('Z'), self.time_ms % 1000);
        let mut text = serde_json::json!({
            "time": time,
            "request_id": self.request_id,
            "peer": self.peer,
            "who": self.who,
            "access_key_id": self.access_key_id,
            "operation": self.operation,
            "action": self.action,
            "resource": self.resource,
            "outcome": self.outcome.as_str(),
            "reason": self.reason,
            "status": self.status,
            "code": self.code,
        })
        .to_string();
        text.push('\n');
        text
    }
}

enum Message {
    Line(String),
    /// Everything before this is to be in the file.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// Takes lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Option<Arc<Inner>>);

impl Audit {
    /// Opens the log; one that is off takes nothing.
    ///
    /// # Errors
    /// When the file cannot be opened: a server that should tell must not run without telling.
    pub(crate) fn open(set: &config::Audit) -> io::Result<Audit> {
        if set.file.as_os_str().is_empty() {
            return Ok(Audit::default());
        }
        let log = Log::open(&set.file, set.bytes_max)?;
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let losses = Arc::clone(&lost);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(log, &waiting, &losses))?;
        Ok(Audit(Some(Arc::new(Inner { queue, lost }))))
    }

    /// Whether lines are taken.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a line, or drops it when too many wait.
    pub(crate) fn note(&self, line: &Line<'_>) {
        let Some(inner) = &self.0 else { return };
        match inner.queue.try_send(Message::Line(line.text())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                inner.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many lines were dropped or could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.lost.load(Ordering::Relaxed))
    }

    /// Waits until what was taken is in the file, within `grace`.
    pub(crate) async fn flush(&self, grace: Duration) {
        let Some(inner) = self.0.clone() else { return };
        let (done, written) = oneshot::channel();
        let asked = tokio::task::spawn_blocking(move || {
            // Blocks while the queue is full, which its writer empties.
            inner.queue.send(Message::Flush(done)).is_ok()
        });
        let whole = async { asked.await.is_ok_and(|asked| asked) && written.await.is_ok() };
        if !tokio::time::timeout(grace, whole).await.unwrap_or(false) {
            tracing::warn!("the audit log was not written out in time");
        }
    }
}

/// Ends when nobody is left to send.
fn write_all(mut log: Log, waiting: &Receiver<Message>, lost: &AtomicU64) {
    static TOLD: Rarely = Rarely::new();
    while let Ok(first) = waiting.recv() {
        let mut taken = 0_u64;
        let mut done = Vec::new();
        let mut written = Ok(());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    taken += 1;
                    written = written.and_then(|()| log.write(&line));
                }
                Message::Flush(sender) => done.push(sender),
            }
            next = if taken < BATCH as u64 { waiting.try_recv().ok() } else { None };
        }
        if let Err(error) = written.and_then(|()| log.end_batch()) {
            lost.fetch_add(taken, Ordering::Relaxed);
            if TOLD.now() {
                tracing::error!(%error, "the audit log cannot be written");
            }
        }
        for sender in done {
            let _ = sender.send(());
        }
    }
}

/// The file.
struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    bytes_max: u64,
}

impl Log {
    fn open(path: &Path, bytes_max: u64) -> io::Result<Log> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Log { path: path.to_owned(), file: BufWriter::new(file), bytes, bytes_max })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Writes out, and looks whether the file is still the one to write to.
    fn end_batch(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if self.bytes >= self.bytes_max {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            std::fs::rename(&self.path, aside)?;
        } else if self.is_current() {
            return Ok(());
        }
        *self = Log::open(&self.path, self.bytes_max)?;
        Ok(())
    }

    /// Whether the path still names the open file: whatever rotates logs moves it away.
    #[cfg(unix)]
    fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let id = |found: io::Result<std::fs::Metadata>| found.ok().map(|m| (m.dev(), m.ino()));
        let open = id(self.file.get_ref().metadata());
        open.is_some() && open == id(std::fs::metadata(&self.path))
    }

    #[cfg(not(unix))]
    fn is_current(&self) -> bool {
        self.path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(resource: &str) -> Line<'_> {
        Line {
            time_ms: 1_700_000_000_123,
            request_id: "5C3D9175B6FC201293ADA1B2",
            peer: "127.0.0.1".to_owned(),
            who: "user:lee".to_owned(),
            access_key_id: Some("AK"),
            operation: "PutObject",
            action: "oss:PutObject",
            resource,
            outcome: Outcome::Denied,
            reason: "no statement of any policy allows it".to_owned(),
            status: 403,
            code: Some("AccessDenied"),
        }
    }

    #[test]
    fn a_line_is_one_line_of_json_whatever_names_hold() {
        let text = line("acs:oss:*:1:b/a\n\"b\u{0}").text();
        assert_eq!(text.matches('\n').count(), 1);
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(told["resource"], "acs:oss:*:1:b/a\n\"b\u{0}");
        assert_eq!(told["outcome"], "denied");
    }

    #[tokio::test]
    async fn lines_follow_a_file_that_is_moved_and_set_one_aside_that_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let set = config::Audit { file: path.clone(), bytes_max: 4 << 10 };
        let audit = Audit::open(&set).unwrap();
        let grace = Duration::from_secs(60);
        audit.note(&line("first"));
        audit.flush(grace).await;
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        // The one that finds it moved still goes where it was.
        audit.note(&line("second"));
        audit.flush(grace).await;
        audit.note(&line("third"));
        audit.flush(grace).await;
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("moved").contains("first") && read("audit.log").contains("third"));
        let aside = folder.path().join("audit.log.1");
        for _ in 0..40 {
            if !aside.exists() {
                audit.note(&line("more"));
                audit.flush(grace).await;
            }
        }
        assert!(read("audit.log.1").contains("third"));
        assert_eq!(audit.lost(), 0);
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_an_error_and_none_takes_nothing() {
        let set = config::Audit { file: "/nowhere/at/all/audit.log".into(), bytes_max: 1 };
        assert!(Audit::open(&set).is_err());
        let off = Audit::open(&config::Audit::default()).unwrap();
        off.note(&line("x"));
        assert!(!off.is_on() && off.lost() == 0);
    }

    #[test]
    fn what_finds_the_queue_full_is_dropped_and_counted() {
        let (queue, waiting) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let audit = Audit(Some(Arc::new(Inner { queue, lost })));
        audit.note(&line("kept"));
        audit.note(&line("dropped"));
        assert_eq!(audit.lost(), 1);
        assert!(matches!(waiting.try_recv(), Ok(Message::Line(text)) if text.contains("kept")));
    }
}
