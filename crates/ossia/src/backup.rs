//! `ossia backup` and `ossia restore`.
//!
//! A backup is a copy of the store's files as of one moment, see `ossia_engine::Hold`; what is copied once is not copied again, see
//! `archive`. What is left to do here is to bring the blobs to that moment. A blob's file is made before a record names it and
//! removed after, so all that are needed stand at the moment; the question is what to do with those that stand and are not:
//!
//! ```text
//! 1. list blobs/                        P
//! 2. the moment; from here on no blob that was named is deleted
//! 3. list staging/, then blobs/         S, L
//! ```
//!
//! One in P and L had been adopted before the moment and is put back where it was. Any other may or may not have been named by
//! then, and goes to `staging/`, where a start finds out, as it does after a crash.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use ossia_engine::{AtRest, HeldBytes, HeldFile, OpenError, disk::make_private_folder, identify};
use ossia_keys::MasterKeys;
use ossia_objects::CheckOptions;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    task::JoinHandle,
};

use crate::{
    archive::{self, Archive, Entry, Line, Manifest, names},
    check, control,
};

/// How long a server's end may take to be heard of.
const STILL_THERE: Duration = Duration::from_millis(50);
/// How often a server is told that this goes on; it waits much longer than this.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// What `ossia backup` takes.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder that holds the backups of one store; made if it is absent
    #[arg(value_name = "BACKUP")]
    target: PathBuf,
    /// The data folder, of a running server or not
    #[arg(long, value_name = "DIR", default_value = "ossia-data")]
    data: PathBuf,
    /// Afterwards keep only so many backups, the newest [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    /// Make none; list those that are there
    #[arg(long, conflicts_with_all = ["verify", "keep"])]
    list: bool,
    /// Make none; read the newest one through and compare it with its checksums
    #[arg(long, conflicts_with = "keep")]
    verify: bool,
    /// With --verify: check the store in it, too, as `ossia check` does
    #[arg(long, requires = "verify")]
    deep: bool,
    /// With --verify: this one instead of the newest
    #[arg(long, value_name = "NUMBER", requires = "verify")]
    number: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `ossia restore` takes.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that holds the backups
    #[arg(value_name = "BACKUP")]
    source: PathBuf,
    /// The data folder to be made; it must be absent or empty
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// This backup instead of the newest
    #[arg(long, value_name = "NUMBER")]
    number: Option<u64>,
}

/// Why it did not come to an end, and the exit code.
struct Failed(String, u8);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed(error.to_string(), 1)
    }
}

fn failed(what: impl Into<String>) -> Failed {
    Failed(what.into(), 1)
}

fn exit(told: Result<u8, Failed>) -> ExitCode {
    match told {
        Ok(code) => ExitCode::from(code),
        Err(Failed(message, code)) => {
            eprintln!("ossia: {message}");
            ExitCode::from(code)
        }
    }
}

/// Makes a backup, or looks at those that are there.
pub(crate) async fn run(arguments: BackupArgs) -> ExitCode {
    exit(if arguments.list {
        list(&arguments)
    } else if arguments.verify {
        verify(&arguments).await
    } else {
        backup(&arguments).await
    })
}

/// Restores a backup.
pub(crate) async fn restore(arguments: RestoreArgs) -> ExitCode {
    exit(restored(&arguments).await)
}

/// What is to be copied, and what keeps it as it is.
struct Source {
    segments: Vec<HeldFile>,
    files: Vec<HeldFile>,
    small: Vec<HeldBytes>,
    keeper: Keeper,
}

enum Keeper {
    /// Nobody has the store open.
    AtRest(#[expect(dead_code, reason = "holding it is all it is for")] AtRest),
    /// The server that has it.
    Server { from: Lines<BufReader<OwnedReadHalf>>, to: Arc<OwnedWriteHalf>, _beats: Beats },
}

/// Tells the server that this goes on for as long as it does; a server keeps nothing for one that hangs.
struct Beats(JoinHandle<()>);

impl Beats {
    fn start(to: Arc<OwnedWriteHalf>, moved: Arc<AtomicU64>) -> Beats {
        Beats(tokio::spawn(async move {
            let mut before = 0;
            loop {
                tokio::time::sleep(BEAT_EVERY).await;
                let now = moved.load(Ordering::Relaxed);
                if now != before && say(&to, "going on\n").await.is_err() {
                    return;
                }
                before = now;
            }
        }))
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says a short line.
async fn say(to: &OwnedWriteHalf, line: &str) -> io::Result<()> {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Keeper {
    async fn segments_copied(&mut self) -> io::Result<()> {
        match self {
            Keeper::AtRest(_) => Ok(()),
            Keeper::Server { to, .. } => say(to, "segments copied\n").await,
        }
    }

    /// That it has kept everything until now: without that the copy is worth nothing.
    async fn still_there(&mut self) -> Result<(), Failed> {
        let Keeper::Server { from, .. } = self else { return Ok(()) };
        // A server that is gone ends the connection; one that is there has nothing to say, unless it gave this up.
        match tokio::time::timeout(STILL_THERE, from.next_line()).await {
            Err(_) => Ok(()),
            Ok(Ok(Some(line))) => {
                let why = line.strip_prefix("error ").unwrap_or(&line);
                Err(failed(format!("the server no longer keeps what was being copied: {why}")))
            }
            Ok(_) => {
                Err(failed("the server has ended, and with it what was being copied; try again"))
            }
        }
    }
}

async fn source(data: &Path, moved: &Arc<AtomicU64>) -> Result<Source, Failed> {
    let at_rest = match AtRest::of(data) {
        Ok(mut rest) => {
            let (files, small) = (std::mem::take(&mut rest.files), std::mem::take(&mut rest.small));
            return Ok(Source { segments: Vec::new(), files, small, keeper: Keeper::AtRest(rest) });
        }
        Err(locked @ OpenError::Locked { .. }) => locked,
        Err(error) => return Err(error.into()),
    };
    let stream = control::connect(data).await.map_err(|error| {
        Failed(format!("{at_rest}, and it does not answer: {error}; stop it first"), check::IN_USE)
    })?;
    let (from, mut to) = stream.into_split();
    to.write_all(b"backup\n").await?;
    let mut from = BufReader::new(from).lines();
    let (mut segments, mut files, mut small) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(line) = from.next_line().await? {
        let nonsense = || failed(format!("the server said something that makes no sense: {line}"));
        let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match kind {
            "end" => {
                let to = Arc::new(to);
                let _beats = Beats::start(Arc::clone(&to), Arc::clone(moved));
                let keeper = Keeper::Server { from, to, _beats };
                return Ok(Source { segments, files, small, keeper });
            }
            "error" => return Err(failed(format!("the server refuses: {rest}"))),
            "segment" | "file" => {
                let mut words = rest.splitn(3, ' ');
                let length = words.next().and_then(|word| word.parse().ok());
                let (name, path) = (words.next(), words.next());
                let (Some(length), Some(name), Some(path)) = (length, name, path) else {
                    return Err(nonsense());
                };
                let name = if name == "-" { String::new() } else { name.to_owned() };
                let file = HeldFile { path: path.into(), length, name };
                if kind == "segment" { segments.push(file) } else { files.push(file) }
            }
            "bytes" => {
                let (hex, path) = rest.split_once(' ').ok_or_else(nonsense)?;
                let bytes = archive::unhex(hex).ok_or_else(nonsense)?;
                small.push(HeldBytes { path: path.into(), bytes });
            }
            _ => return Err(nonsense()),
        }
    }
    Err(failed("the server has ended; try again"))
}

/// Copies, and counts.
struct Copying<'a> {
    archive: &'a Archive,
    data: &'a Path,
    /// What the backup before has of other files than blobs.
    before: HashMap<String, Entry>,
    copied: u64,
    copied_files: u64,
}

async fn backup(arguments: &BackupArgs) -> Result<u8, Failed> {
    let began = Instant::now();
    let began_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let data = &arguments.data;
    let (store, format) = identify(data)?;
    let named = |error: io::Error| failed(format!("{}: {error}", arguments.target.display()));
    let archive = Archive::write_to(&arguments.target, &store).map_err(named)?;
    let generations = archive.generations()?;
    let last = generations.last().copied();
    // One that is damaged helps nobody: everything is copied then.
    let last_good = last.filter(|&number| archive.verify_manifest(number).is_ok());
    let blobs_before = Spool::of(data, &archive)?;
    let mut source = source(data, &archive.moved).await?;
    // A folder that was removed while its server runs leaves its inode to another.
    let layout = fs::read(data.join("LAYOUT"))?;
    if !source.small.iter().any(|small| small.path == Path::new("LAYOUT") && small.bytes == layout)
    {
        return Err(failed("the server that answers has another store open"));
    }
    let mut copying =
        Copying { archive: &archive, data, before: HashMap::new(), copied: 0, copied_files: 0 };
    if let Some(number) = last_good {
        for entry in archive.entries(number)? {
            let entry = entry?;
            if !entry.stored.starts_with("blobs/") {
                copying.before.insert(entry.stored.clone(), entry);
            }
        }
    }
    // First what the server waits for.
    let mut entries = BTreeMap::new();
    for file in source.segments.iter().chain(&source.files) {
        if source.files.first() == Some(file) {
            source.keeper.segments_copied().await?;
        }
        let entry = match copying.file(file) {
            Ok(entry) => entry,
            Err(error) => {
                // A server that has let go explains whatever went wrong.
                source.keeper.still_there().await?;
                return Err(error);
            }
        };
        entries.insert(entry.stored.clone(), entry);
    }
    source.keeper.segments_copied().await?;
    source.keeper.still_there().await?;
    let mut manifest = Manifest::begin(&archive, last.map_or(1, |last| last + 1))?;
    manifest.line(&Line::Store(store))?;
    manifest.line(&Line::Format(format))?;
    manifest.line(&Line::Began(began_s))?;
    if let Err(error) = copying.blobs(blobs_before, last_good, &mut manifest) {
        source.keeper.still_there().await?;
        return Err(error);
    }
    for entry in entries.into_values() {
        manifest.line(&Line::File(entry))?;
    }
    // The identity, which the server reads once.
    if let Ok(bytes) = fs::read(data.join("identity.toml")) {
        source.small.push(HeldBytes { path: "identity.toml".into(), bytes });
    }
    for HeldBytes { path, bytes } in std::mem::take(&mut source.small) {
        manifest.line(&Line::Small { path, bytes })?;
    }
    source.keeper.still_there().await?;
    let (copied, copied_files) = (copying.copied, copying.copied_files);
    let (files, bytes) = manifest.finish()?;
    drop(source);
    let removed = match arguments.keep {
        Some(keep) => archive.prune(keep.into())?,
        None => 0,
    };
    let number = last.map_or(1, |last| last + 1);
    let seconds = began.elapsed().as_secs_f64();
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({
                "number": number, "files": files, "bytes": bytes, "copied_files": copied_files,
                "copied_bytes": copied, "removed_bytes": removed, "seconds": seconds,
            })
        );
    } else {
        println!(
            "backup {number}: {files} files of {bytes} bytes; copied {copied_files} of {copied} bytes, removed {removed} bytes of old \
             ones; {seconds:.1} s"
        );
    }
    Ok(0)
}

impl Copying<'_> {
    fn file(&mut self, file: &HeldFile) -> Result<Entry, Failed> {
        let from = self.data.join(&file.path);
        let kind = file
            .path
            .iter()
            .find_map(|part| ["journal", "index", "values"].into_iter().find(|kind| part == *kind));
        let name = if file.name.is_empty() {
            // Files of a store only grow, so bytes that stood at one time are the same at any other.
            let told = fs::metadata(&from)?;
            let path = file.path.display().to_string().replace('/', "_");
            format!(
                "{path}-{:x}-{:x}-{:x}-{:x}",
                file.length,
                told.mtime(),
                told.mtime_nsec(),
                told.ino()
            )
        } else {
            file.name.clone()
        };
        let stored = format!("{}/{name}", kind.unwrap_or("other"));
        let known = self.before.remove(&stored).filter(|known| known.length == file.length);
        let crc64 = self.keep(&from, file.length, &stored, known)?;
        Ok(Entry { length: file.length, crc64, stored, path: file.path.clone() })
    }

    fn keep(
        &mut self,
        from: &Path,
        length: u64,
        stored: &str,
        known: Option<Entry>,
    ) -> io::Result<u64> {
        let stands = |length| {
            fs::metadata(self.archive.stored(stored)).is_ok_and(|found| found.len() == length)
        };
        if let Some(known) = known
            && stands(known.length)
        {
            return Ok(known.crc64);
        }
        let (crc64, written) = self.archive.keep(from, length, stored)?;
        self.copied += written;
        self.copied_files += u64::from(written > 0);
        Ok(crc64)
    }

    fn blobs(
        &mut self,
        mut before: Spool,
        last: Option<u64>,
        manifest: &mut Manifest,
    ) -> Result<(), Failed> {
        let staged: BTreeSet<String> =
            names(&self.data.join("staging"))?.into_iter().filter(|name| is_blob(name)).collect();
        let mut known = match last {
            Some(number) => Some(self.archive.entries(number)?.peekable()),
            None => None,
        };
        for first in 0..=u8::MAX {
            let fan = format!("{first:02x}");
            let adopted: BTreeSet<String> = names(&self.data.join("blobs").join(&fan))?
                .into_iter()
                .filter(|name| is_blob(name))
                .collect();
            let settled = before.fan(first)?;
            for name in adopted
                .iter()
                .chain(staged.iter().filter(|name| name.starts_with(&fan)))
                .collect::<BTreeSet<_>>()
            {
                let stored = format!("blobs/{fan}/{name}");
                let mut entry = None;
                if let Some(known) = &mut known {
                    while known
                        .next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.stored < stored))
                        .is_some()
                    {}
                    if let Some(found) = known
                        .next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.stored == stored))
                    {
                        entry = Some(found?);
                    }
                }
                let path = if settled.contains(name) && adopted.contains(name) {
                    Path::new("blobs").join(&fan).join(name)
                } else {
                    Path::new("staging").join(name)
                };
                if let Some((length, crc64)) =
                    self.blob(&fan, name, &stored, entry, adopted.contains(name))?
                {
                    manifest.line(&Line::File(Entry { length, crc64, stored, path }))?;
                }
            }
        }
        before.end();
        Ok(())
    }

    /// Copies one. `None` for one that was given up before anything named it.
    fn blob(
        &mut self,
        fan: &str,
        name: &str,
        stored: &str,
        known: Option<Entry>,
        adopted: bool,
    ) -> Result<Option<(u64, u64)>, Failed> {
        self.archive.moved.fetch_add(1, Ordering::Relaxed);
        let (at, staged) =
            (self.data.join("blobs").join(fan).join(name), self.data.join("staging").join(name));
        // It may be adopted while this looks, so the second place is asked twice.
        for from in [&at, &staged, &at] {
            let length = match fs::metadata(from) {
                Ok(found) => found.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(format!("{}: {error}", from.display()))),
            };
            let known = known.clone().filter(|known| known.length == length);
            match self.keep(from, length, stored, known) {
                Ok(crc64) => return Ok(Some((length, crc64))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if adopted {
            Err(failed(format!("{} has gone; try again", at.display())))
        } else {
            Ok(None)
        }
    }
}

/// Whether a file name is that of a finished blob.
fn is_blob(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names of the adopted blobs at one time, on disk: there may be more than memory should hold.
struct Spool {
    path: PathBuf,
    ends: Vec<u64>,
}

impl Spool {
    fn of(data: &Path, archive: &Archive) -> io::Result<Spool> {
        use io::Write as _;
        let path = archive.folder.join("blobs.list");
        let mut to = io::BufWriter::new(fs::File::create(&path)?);
        let (mut ends, mut end) = (Vec::with_capacity(257), 0);
        ends.push(0);
        for first in 0..=u8::MAX {
            for name in names(&data.join("blobs").join(format!("{first:02x}")))? {
                if is_blob(&name) {
                    to.write_all(name.as_bytes())?;
                    end += 32;
                }
            }
            ends.push(end);
        }
        to.flush()?;
        Ok(Spool { path, ends })
    }

    fn fan(&mut self, first: u8) -> io::Result<BTreeSet<String>> {
        use std::os::unix::fs::FileExt as _;
        let at = |index: usize| self.ends.get(index).copied().unwrap_or(0);
        let (from, to) = (at(first.into()), at(usize::from(first) + 1));
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        fs::File::open(&self.path)?.read_exact_at(&mut bytes, from)?;
        Ok(bytes.chunks(32).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    fn end(self) {
        // The next backup writes it anew.
        let _ = fs::remove_file(self.path);
    }
}

fn list(arguments: &BackupArgs) -> Result<u8, Failed> {
    let archive = Archive::read_from(&arguments.target)?;
    for number in archive.generations()? {
        let good = archive.verify_manifest(number).is_ok();
        let (mut began, mut files, mut bytes) = (0, 0, 0);
        for line in archive.lines(number).into_iter().flatten().take_while(|_| good) {
            match line? {
                Line::Began(told) => began = told,
                Line::End { files: told, bytes: of } => (files, bytes) = (told, of),
                _ => {}
            }
        }
        if arguments.json {
            let line = serde_json::json!({ "number": number, "began": began, "files": files, "bytes": bytes, "whole": good });
            println!("{line}");
        } else if good {
            println!(
                "{number}: begun {began} (seconds since 1970), {files} files of {bytes} bytes"
            );
        } else {
            println!("{number}: its manifest is damaged");
        }
    }
    Ok(0)
}

/// The generation that is asked for, or the newest.
fn chosen(archive: &Archive, number: Option<u64>) -> Result<u64, Failed> {
    let generations = archive.generations()?;
    match number {
        Some(number) if generations.contains(&number) => Ok(number),
        Some(number) => {
            Err(failed(format!("there is no backup {number}; --list shows those that are there")))
        }
        None => {
            generations.last().copied().ok_or_else(|| failed("no backup has come to its end there"))
        }
    }
}

async fn verify(arguments: &BackupArgs) -> Result<u8, Failed> {
    let archive = Archive::read_from(&arguments.target)?;
    let number = chosen(&archive, arguments.number)?;
    archive.verify_manifest(number)?;
    let (mut files, mut damaged) = (0_u64, 0_u64);
    for entry in archive.entries(number)? {
        let entry = entry?;
        files += 1;
        let path = archive.stored(&entry.stored);
        let what = match archive::checksum(&path, entry.length) {
            Ok(crc64) if crc64 == entry.crc64 => continue,
            Ok(_) => "it does not have its checksum".to_owned(),
            Err(error) => error.to_string(),
        };
        damaged += 1;
        let (path, part) = (path.display(), entry.path.display());
        println!(
            "{path}: {what}; it is {part} of the store; remove it, and the next backup copies it again if the store still has it"
        );
    }
    println!("backup {number}: {files} files, {damaged} damaged");
    if damaged > 0 || !arguments.deep {
        return Ok(u8::from(damaged > 0));
    }
    let scratch = Scratch::in_(&archive)?;
    put_back(&archive, number, &scratch.0, Way::Link)?;
    let options = CheckOptions { bytes: true, jobs: 4, bytes_per_s: 0 };
    Ok(check::check(&scratch.0, &options, no_keys(), arguments.json).await)
}

/// A folder beside the stored files; removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn in_(archive: &Archive) -> io::Result<Scratch> {
        let folder = archive.folder.join(format!("verify-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the way of nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How the files of a generation get into a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Copied, and compared with their checksums.
    Copy,
    /// As second names, for a folder that is only looked at.
    Link,
}

fn put_back(archive: &Archive, number: u64, data: &Path, way: Way) -> Result<(u64, u64), Failed> {
    let (mut files, mut bytes) = (0, 0);
    let mut layout = None;
    let folder_of = |path: &Path| path.parent().map_or(Ok(()), make_private_folder);
    for line in archive.lines(number)? {
        match line? {
            Line::File(entry) => {
                let (from, to) = (archive.stored(&entry.stored), data.join(&entry.path));
                folder_of(&to)?;
                if way == Way::Link && fs::hard_link(&from, &to).is_ok() {
                    continue;
                }
                let crc64 = archive::copy(&from, entry.length, &to, &archive.moved)?;
                let longer = fs::metadata(&from)?.len() != entry.length;
                if crc64 != entry.crc64 || longer {
                    return Err(failed(format!(
                        "{} is damaged: it does not have its checksum; it is {} of the store. Nothing can be started from what has \
                         been restored so far; choose another backup with --number",
                        from.display(),
                        entry.path.display()
                    )));
                }
                (files, bytes) = (files + 1, bytes + entry.length);
            }
            // Last: without it the folder is no store.
            Line::Small { path, bytes } if path == Path::new("LAYOUT") => layout = Some(bytes),
            Line::Small { path, bytes } => {
                let to = data.join(path);
                folder_of(&to)?;
                archive::write_durably(&to, &bytes)?;
            }
            _ => {}
        }
    }
    let layout = layout.ok_or_else(|| failed("the manifest lacks LAYOUT"))?;
    for folder in ["blobs", "staging"] {
        make_private_folder(data.join(folder))?;
    }
    if way == Way::Copy {
        rustix::fs::syncfs(&fs::File::open(data)?)?;
    }
    archive::write_durably(&data.join("LAYOUT"), &layout)?;
    Ok((files, bytes))
}

async fn restored(arguments: &RestoreArgs) -> Result<u8, Failed> {
    let began = Instant::now();
    let archive = Archive::read_from(&arguments.source)?;
    let number = chosen(&archive, arguments.number)?;
    archive.verify_manifest(number)?;
    let data = &arguments.data;
    if !names(data)?.is_empty() {
        return Err(failed(format!("{} is not empty; restore into a new folder", data.display())));
    }
    make_private_folder(data)?;
    let (files, bytes) = put_back(&archive, number, data, Way::Copy)?;
    if let Some(above) = fs::canonicalize(data)?.parent() {
        // The folder's own name.
        fs::File::open(above)?.sync_all()?;
    }
    println!(
        "backup {number} restored: {files} files of {bytes} bytes, each with its checksum; {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // The records, too; the bytes are those that were read when they were copied.
    let options = CheckOptions { bytes: false, jobs: 4, bytes_per_s: 0 };
    Ok(check::check(data, &options, no_keys(), false).await)
}

/// A backup is compared with the checksums of what is stored, which takes no key: who keeps it need not have any.
fn no_keys() -> Arc<MasterKeys> {
    Arc::new(MasterKeys::none())
}
