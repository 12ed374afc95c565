//! The socket by which `ossia backup` and `ossia usage` talk to the server that has a data folder open.
//!
//! A Unix socket without a file, named after the folder's device and inode, so that it leaves nothing behind and lies in no file
//! system. Both sides ask the system who the other is: a server talks to its own user and to root, a client to the folder's
//! owner, to root and to its own user. One connection asks for one thing, in lines of text:
//!
//! ```text
//! backup            ->  "segment LENGTH NAME PATH", "file LENGTH NAME PATH", "bytes HEX PATH" as often as needed, then "end"
//!   segments copied     the journal may go on being used again
//!                       everything else is kept until the connection ends, however it does
//! usage             ->  one JSON object a line, then "end"
//! ```
//!
//! or "error WHY". Whoever backs up reads the files itself: the server only keeps them, so a backup costs it next to nothing, and
//! one that dies lets go of everything.

use std::{
    fmt::Write as _,
    fs, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{fs::MetadataExt as _, net::SocketAddr},
    },
    path::Path,
    sync::Arc,
};

use ossia_engine::LocalEngine;
use ossia_objects::{BucketUsage, Objects};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinHandle,
};

/// Connections at once.
const CONNECTIONS_MAX: usize = 4;
/// The longest line that is taken.
const LINE_BYTES_MAX: u64 = 1 << 10;

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
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let told = socket.peer_cred().map(|peer| peer.uid());
        if !told.is_ok_and(|user| user == 0 || user == own_user()) {
            continue;
        }
        let (engine, objects, backups) = (engine.clone(), objects.clone(), Arc::clone(&backups));
        tokio::spawn(async move {
            // Who goes away in the middle has nothing more to be told.
            let _ = answer(socket, engine, objects, &backups).await;
            drop(permit);
        });
    }
}

async fn answer(
    socket: UnixStream,
    engine: LocalEngine,
    objects: Objects,
    backups: &Semaphore,
) -> io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(tokio::io::AsyncReadExt::take(read, LINE_BYTES_MAX));
    let mut line = String::new();
    read.read_line(&mut line).await?;
    match line.trim() {
        "usage" => {
            let mut text = String::new();
            let told = objects.usage(|usage| {
                let _ = writeln!(text, "{}", json(&usage));
            });
            if let Err(failure) = told.await {
                text = format!("error {failure}\n");
            } else {
                text.push_str("end\n");
            }
            write.write_all(text.as_bytes()).await
        }
        "backup" => {
            let Ok(_only) = backups.try_acquire() else {
                return write.write_all(b"error another backup is under way\n").await;
            };
            let kept = objects.keep_blobs().await;
            let held = tokio::task::spawn_blocking(move || engine.hold()).await;
            let mut hold = match held.map_err(io::Error::other).and_then(|held| held) {
                Ok(hold) => hold,
                Err(error) => return write.write_all(format!("error {error}\n").as_bytes()).await,
            };
            tracing::info!("a backup begins");
            write.write_all(listing(&hold).as_bytes()).await?;
            loop {
                line.clear();
                if read.read_line(&mut line).await? == 0 {
                    break;
                }
                if line.trim() == "segments copied" {
                    hold.segments_copied();
                }
            }
            drop((hold, kept));
            tracing::info!("a backup has ended");
            Ok(())
        }
        _ => write.write_all(b"error there are `backup` and `usage`\n").await,
    }
}

fn listing(hold: &ossia_engine::Hold) -> String {
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
        "damaged": usage.damaged,
    })
}
