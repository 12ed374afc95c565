//! The socket by which `ossia backup` and `ossia usage` talk to the server that has a data folder open.
//!
//! A Unix socket without a file, named after the folder's device and inode, so that it leaves nothing behind and lies in no file
//! system. Both sides ask the system who the other is: a server talks to its own user and to root, a client to the folder's
//! owner, to root and to its own user. One connection asks for one thing, in lines of text:
//!
//! ```text
//! backup            ->  "segment LENGTH NAME PATH", "file LENGTH NAME PATH", "bytes HEX PATH" as often as needed, then "end"
//!   segments copied     the journal may go on being used again
//!   going on            now and then, as it comes further
//!                       everything else is kept until the connection ends, however it does
//! usage             ->  one JSON object a line, then "end"
//! ```
//!
//! or "error WHY". Whoever backs up reads the files itself: the server only keeps them, so a backup costs it next to nothing, and
//! one that dies lets go of everything. One that hangs must not fill the medium: of whom nothing is heard for long, or whom writers
//! wait for, is told "error WHY", and nothing is kept any more.

use std::{
    fmt::Write as _,
    fs, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{fs::MetadataExt as _, net::SocketAddr},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use ossia_engine::{Hold, LocalEngine};
use ossia_objects::{BucketUsage, Objects};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Take},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

/// Connections at once.
const CONNECTIONS_MAX: usize = 4;
/// The longest line that is taken.
const LINE_BYTES_MAX: u64 = 1 << 10;

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// A client says what it wants, and takes what it is told.
    client: Duration,
    /// A backup is heard of again.
    silence: Duration,
    /// Writers whose journal is full of segments that a backup has not copied.
    writers: Duration,
    /// How often the last two are looked at.
    look: Duration,
}

const PATIENCE: Patience = Patience {
    client: Duration::from_secs(60),
    silence: Duration::from_secs(300),
    // Below `engine.admission_wait_ms`, after which they would be refused.
    writers: Duration::from_secs(7),
    look: Duration::from_secs(1),
};

/// The listening socket; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Control(JoinHandle<()>);

impl Control {
    /// Listens for the data folder. `None` where no socket can be made: then only a stopped server can be backed up.
    pub(crate) fn open(data: &Path, engine: LocalEngine, objects: Objects) -> Option<Control> {
        match listen(data) {
            Ok(listener) => Some(Control(tokio::spawn(accept_all(listener, engine, objects)))),
            Err(error) => {
                tracing::info!(%error, "no control socket: `ossia backup` needs the server stopped");
                None
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The socket's name, and who owns the folder.
fn address(data: &Path) -> io::Result<(SocketAddr, u32)> {
    let folder = fs::metadata(data)?;
    let name = format!("ossia/{:x}/{:x}", folder.dev(), folder.ino());
    Ok((SocketAddr::from_abstract_name(name)?, folder.uid()))
}

fn listen(data: &Path) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::bind_addr(&address(data)?.0)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Connects to the server that has the folder open.
pub(crate) async fn connect(data: &Path) -> io::Result<UnixStream> {
    let (address, owner) = address(data)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    // Anyone may take a name that is free.
    match stream.peer_cred()?.uid() {
        server if server == 0 || server == owner || server == own_user() => Ok(stream),
        server => Err(io::Error::other(format!("user {server} answers in its place"))),
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

async fn accept_all(listener: UnixListener, engine: LocalEngine, objects: Objects) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // One backup at a time.
    let backups = Arc::new(Semaphore::new(1));
    // They end with this: once the store is closed another server may have the folder, and nothing is kept any more.
    let mut answers = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while answers.try_join_next().is_some() {}
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let told = socket.peer_cred().map(|peer| peer.uid());
        if !told.is_ok_and(|user| user == 0 || user == own_user()) {
            continue;
        }
        let (engine, objects, backups) = (engine.clone(), objects.clone(), Arc::clone(&backups));
        answers.spawn(async move {
            // Who goes away in the middle has nothing more to be told.
            let _ = answer(socket, engine, objects, &backups, PATIENCE).await;
            drop(permit);
        });
    }
}

type Asked = Lines<BufReader<Take<OwnedReadHalf>>>;

/// Tells it, unless it is not taken in time.
async fn tell(to: &mut OwnedWriteHalf, text: &str, patience: Patience) -> io::Result<()> {
    timeout(patience.client, to.write_all(text.as_bytes())).await.map_err(io::Error::other)?
}

async fn answer(
    socket: UnixStream,
    engine: LocalEngine,
    objects: Objects,
    backups: &Semaphore,
    patience: Patience,
) -> io::Result<()> {
    let (read, mut write) = socket.into_split();
    let read = tokio::io::AsyncReadExt::take(read, LINE_BYTES_MAX);
    let mut asked = BufReader::new(read).lines();
    let first = timeout(patience.client, asked.next_line()).await.map_err(io::Error::other)??;
    match first.as_deref().map(str::trim) {
        Some("usage") => {
            let mut text = String::new();
            let told = objects.usage(|usage| {
                let _ = writeln!(text, "{}", json(&usage));
            });
            if let Err(failure) = told.await {
                text = format!("error {failure}\n");
            } else {
                text.push_str("end\n");
            }
            tell(&mut write, &text, patience).await
        }
        Some("backup") => {
            let Ok(_only) = backups.try_acquire() else {
                return tell(&mut write, "error another backup is under way\n", patience).await;
            };
            let kept = objects.keep_blobs().await;
            let held = tokio::task::spawn_blocking(move || engine.hold()).await;
            let mut hold = match held.map_err(io::Error::other).and_then(|held| held) {
                Ok(hold) => hold,
                Err(error) => return tell(&mut write, &format!("error {error}\n"), patience).await,
            };
            tracing::info!("a backup begins");
            tell(&mut write, &listing(&hold), patience).await?;
            let told = while_it_goes_on(&mut asked, &mut hold, patience).await;
            drop((hold, kept));
            match told {
                Ok(()) => tracing::info!("a backup has ended"),
                Err(why) => {
                    tracing::warn!(why, "a backup was given up");
                    tell(&mut write, &format!("error {why}\n"), patience).await?;
                }
            }
            Ok(())
        }
        _ => tell(&mut write, "error there are `backup` and `usage`\n", patience).await,
    }
}

/// Returns when the client has ended, or why nothing is kept for it any more.
async fn while_it_goes_on(
    asked: &mut Asked,
    hold: &mut Hold,
    patience: Patience,
) -> Result<(), &'static str> {
    let (mut heard, mut wait_since) = (Instant::now(), None);
    loop {
        match timeout(patience.look, asked.next_line()).await {
            Ok(Ok(Some(line))) => {
                heard = Instant::now();
                asked.get_mut().get_mut().set_limit(LINE_BYTES_MAX);
                if line.trim() == "segments copied" {
                    hold.segments_copied();
                }
            }
            Ok(_) => return Ok(()),
            Err(_) => {}
        }
        if heard.elapsed() >= patience.silence {
            return Err("nothing was heard of the backup for too long");
        }
        if !hold.stops_writers() {
            wait_since = None;
        } else if wait_since.get_or_insert_with(Instant::now).elapsed() >= patience.writers {
            return Err(
                "writers filled the journal while the backup copied it; make it when there is less to do, or to \
                 a faster medium",
            );
        }
    }
}

fn listing(hold: &Hold) -> String {
    let mut text = String::new();
    let kinds = [("segment", &hold.segments), ("file", &hold.files)];
    for (kind, files) in kinds {
        for file in files {
            let name = if file.name.is_empty() { "-" } else { &file.name };
            let _ = writeln!(text, "{kind} {} {name} {}", file.length, file.path.display());
        }
    }
    for small in &hold.small {
        let hex = super::archive::hex(&small.bytes);
        let _ = writeln!(text, "bytes {hex} {}", small.path.display());
    }
    text.push_str("end\n");
    text
}

/// What a bucket holds, for other programs.
pub(crate) fn json(usage: &BucketUsage) -> serde_json::Value {
    let stat = |stat: &ossia_objects::ClassStat| serde_json::json!({ "objects": stat.object_count, "bytes": stat.storage });
    let of = |map: &std::collections::BTreeMap<&'static str, ossia_objects::ClassStat>| {
        map.iter()
            .map(|(&name, told)| (name.to_owned(), stat(told)))
            .collect::<serde_json::Map<_, _>>()
    };
    serde_json::json!({
        "bucket": usage.bucket, "objects": usage.all.object_count, "bytes": usage.all.storage,
        "classes": of(&usage.classes), "types": of(&usage.types), "let_go": stat(&usage.let_go),
        "noncurrent": stat(&usage.noncurrent), "delete_markers": usage.delete_markers,
        "damaged": usage.damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ossia_engine::EngineOptions;
    use ossia_objects::{Settings, SystemClock};
    use ossia_store::{Decision, Partition, Payload, Writes, transact};
    use tokio::io::AsyncReadExt as _;

    /// Everything that a server says to a backup that asks and is then silent.
    async fn said_to_a_silent_one(patience: Patience) -> String {
        let folder = tempfile::tempdir().unwrap();
        let engine = LocalEngine::open(EngineOptions::new(folder.path())).unwrap();
        let store = Arc::new(engine.clone());
        let objects = Objects::open(store, Arc::new(SystemClock), Settings::default());
        let objects = objects.await.unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let backups = Semaphore::new(1);
        ours.write_all(b"backup\n").await.unwrap();
        answer(theirs, engine.clone(), objects.clone(), &backups, patience).await.unwrap();
        let mut said = String::new();
        ours.read_to_string(&mut said).await.unwrap();
        // Blobs and segments are free again.
        drop(objects.keep_blobs().await);
        assert_eq!(backups.available_permits(), 1);
        objects.close().await;
        said
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_backup_that_hangs_keeps_nothing_for_ever() {
        let look = Duration::from_millis(5);
        let patience = Patience { silence: Duration::from_millis(20), look, ..PATIENCE };
        let said = tokio::time::timeout(PATIENCE.client, said_to_a_silent_one(patience));
        let said = said.await.unwrap();
        assert!(said.contains("\nend\nerror nothing was heard"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writers_do_not_wait_long_for_a_backup_that_copies_slowly() {
        let folder = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            shards: 1,
            segment_bytes: 64 << 10,
            journal_bytes: 512 << 10,
            reserve_bytes: 0,
            admission_wait_ms: 60_000,
            ..EngineOptions::new(folder.path())
        };
        let engine = LocalEngine::open(options).unwrap();
        let store = Arc::new(engine.clone());
        let objects = Objects::open(store, Arc::new(SystemClock), Settings::default());
        let objects = objects.await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, mut write) = ours.into_split();
        let mut said = BufReader::new(read).lines();
        let look = Duration::from_millis(5);
        let patience = Patience { writers: Duration::from_millis(20), look, ..PATIENCE };
        let asked = engine.clone();
        let answering = tokio::spawn(async move {
            answer(theirs, asked, objects, &Semaphore::new(1), patience).await
        });
        write.write_all(b"backup\n").await.unwrap();
        while said.next_line().await.unwrap().unwrap() != "end" {}
        // Far more than the journal holds: it is used again only once the backup has let go of it.
        for _ in 0..48 {
            let done = transact(&engine, Partition(1), Vec::new(), |_| {
                let (mut writes, bytes) = (Writes::none(), vec![7_u8; 32 << 10]);
                writes.put_with(Bytes::from_static(b"k"), "v", Payload::New(vec![bytes.into()]));
                Ok(Decision::<(), ()>::Commit(writes, ()))
            });
            let committed = timeout(PATIENCE.client, done).await.unwrap();
            assert_eq!(committed.unwrap(), Ok(()));
        }
        let told = timeout(PATIENCE.client, said.next_line()).await.unwrap().unwrap().unwrap();
        assert!(told.starts_with("error writers filled the journal"), "{told}");
        answering.await.unwrap().unwrap();
    }
}
