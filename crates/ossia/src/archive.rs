//! A backup on disk: files that are written once, and generations that name them.
//!
//! ```text
//! OSSIA-BACKUP                       text: which store this is a backup of
//! LOCK                               held while somebody writes
//! files/blobs/3f/<blob id>           what was copied, each under a name that only these bytes ever have
//! files/index/..., journal/..., values/...
//! generations/0000000000000001       a manifest: everything that one backup consists of
//! ```
//!
//! A manifest is text, sorted by stored name:
//!
//! ```text
//! ossia-backup-manifest 1
//! store <32 hex digits>
//! format <of the data folder>
//! began <seconds since 1970>
//! file <length> <CRC-64, 16 hex digits> <stored name> <name in the data folder>
//! small <bytes in hex, or -> <name in the data folder>
//! end <number of files> <their bytes>
//! check <CRC-64 of all lines above, 16 hex digits>
//! ```
//!
//! It is written last, after everything that it names is durable, and gets its name when it is durable itself: so a generation that
//! stands is whole. What an interrupted backup has copied is used by the next one. Manifests hold the root key's secret.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ossia_engine::disk::make_private_folder;
use ossia_protocol::crc64::Crc64;
use rustix::fs::{FlockOperation, flock};

const HEADER: &str = "ossia-backup-manifest 1";
const MARK: &str = "OSSIA-BACKUP";
const COPY_BYTES: usize = 1 << 20;
const SYNC_BYTES: usize = 64 << 20;

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// And back.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// A line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Store(String),
    Format(u32),
    Began(u64),
    File(Entry),
    Small { path: PathBuf, bytes: Vec<u8> },
    End { files: u64, bytes: u64 },
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) length: u64,
    pub(crate) crc64: u64,
    /// Beneath `files/`.
    pub(crate) stored: String,
    /// In the data folder.
    pub(crate) path: PathBuf,
}

impl Line {
    fn text(&self) -> String {
        match self {
            Line::Store(store) => format!("store {store}\n"),
            Line::Format(format) => format!("format {format}\n"),
            Line::Began(began) => format!("began {began}\n"),
            Line::File(entry) => {
                let Entry { length, crc64, stored, path } = entry;
                format!("file {length} {crc64:016x} {stored} {}\n", path.display())
            }
            Line::Small { path, bytes } if bytes.is_empty() => {
                format!("small - {}\n", path.display())
            }
            Line::Small { path, bytes } => format!("small {} {}\n", hex(bytes), path.display()),
            Line::End { files, bytes } => format!("end {files} {bytes}\n"),
        }
    }

    fn parse(line: &str) -> Option<Line> {
        let (kind, rest) = line.split_once(' ')?;
        Some(match kind {
            "store" => Line::Store(rest.to_owned()),
            "format" => Line::Format(rest.parse().ok()?),
            "began" => Line::Began(rest.parse().ok()?),
            "file" => {
                let mut words = rest.splitn(4, ' ');
                let length = words.next()?.parse().ok()?;
                let crc64 = u64::from_str_radix(words.next()?, 16).ok()?;
                let stored = words.next()?.to_owned();
                let path = inside(words.next()?)?;
                inside(&stored)?;
                Line::File(Entry { length, crc64, stored, path })
            }
            "small" => {
                let (hex, path) = rest.split_once(' ')?;
                let bytes = if hex == "-" { Vec::new() } else { unhex(hex)? };
                Line::Small { path: inside(path)?, bytes }
            }
            "end" => {
                let (files, bytes) = rest.split_once(' ')?;
                Line::End { files: files.parse().ok()?, bytes: bytes.parse().ok()? }
            }
            _ => return None,
        })
    }
}

/// A name that cannot lead out of its folder.
fn inside(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    (path.components().count() > 0 && path.components().all(plain)).then_some(path)
}

/// A backup that is read or written.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) folder: PathBuf,
    /// Rises as something is copied or compared.
    pub(crate) moved: Arc<AtomicU64>,
    _held: Option<File>,
}

impl Archive {
    /// Opens a backup to be written, making it where the folder is empty.
    pub(crate) fn write_to(folder: &Path, store: &str) -> io::Result<Archive> {
        make_private_folder(folder)?;
        let mark = folder.join(MARK);
        let text = format!("ossia-backup\nformat 1\nstore {store}\n");
        match fs::read_to_string(&mark) {
            Ok(found) if found == text => {}
            Ok(_) => {
                return Err(io::Error::other(
                    "it is a backup of another store; give a folder of its own",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::read_dir(folder)?.next().is_some() {
                    return Err(io::Error::other("the folder is neither empty nor a backup"));
                }
                write_durably(&mark, text.as_bytes())?;
            }
            Err(error) => return Err(error),
        }
        let held = private()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("LOCK"))?;
        if flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(io::Error::other("another backup into it is under way"));
        }
        make_private_folder(folder.join("files"))?;
        make_private_folder(folder.join("generations"))?;
        Ok(Archive { folder: folder.to_owned(), moved: Arc::default(), _held: Some(held) })
    }

    /// Opens a backup to be read.
    pub(crate) fn read_from(folder: &Path) -> io::Result<Archive> {
        let mark = fs::read_to_string(folder.join(MARK)).map_err(|error| {
            io::Error::new(error.kind(), format!("it is no backup of Ossia's ({MARK}: {error})"))
        })?;
        if !mark.starts_with("ossia-backup\nformat 1\n") {
            return Err(io::Error::other(
                "it is a backup of a form that this version does not know; use a newer one",
            ));
        }
        Ok(Archive { folder: folder.to_owned(), moved: Arc::default(), _held: None })
    }

    /// The generations that stand, oldest first.
    pub(crate) fn generations(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder.join("generations"))? {
            let name = entry?.file_name();
            numbers.extend(
                name.to_str()
                    .filter(|name| name.len() == 16)
                    .and_then(|name| name.parse::<u64>().ok()),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.folder.join("generations").join(format!("{number:016}"))
    }

    /// Where a stored file is.
    pub(crate) fn stored(&self, stored: &str) -> PathBuf {
        self.folder.join("files").join(stored)
    }

    /// Verifies a manifest as a whole.
    pub(crate) fn verify_manifest(&self, number: u64) -> io::Result<()> {
        let path = self.generation(number);
        let damaged = || {
            io::Error::other(format!("{} is damaged; choose another generation", path.display()))
        };
        let mut sum = Crc64::new();
        let (mut last, mut check) = (String::new(), None);
        let mut reader = BufReader::new(File::open(&path)?);
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if check.is_some() {
                return Err(damaged());
            }
            if let Some(told) = line.strip_prefix(b"check ") {
                check = std::str::from_utf8(told)
                    .ok()
                    .and_then(|told| u64::from_str_radix(told.trim_end(), 16).ok());
                if check != Some(sum.value()) {
                    return Err(damaged());
                }
            } else {
                sum.update(&line);
                last = String::from_utf8(line).map_err(|_| damaged())?;
            }
        }
        if check.is_none() || !last.starts_with("end ") { Err(damaged()) } else { Ok(()) }
    }

    /// The lines of a manifest; verify it before.
    pub(crate) fn lines(
        &self,
        number: u64,
    ) -> io::Result<impl Iterator<Item = io::Result<Line>> + use<>> {
        let path = self.generation(number);
        let mut lines = BufReader::new(File::open(&path)?).lines();
        if lines.next().transpose()?.as_deref() != Some(HEADER) {
            return Err(io::Error::other(format!(
                "{} is of a form that this version does not know",
                path.display()
            )));
        }
        let parse = move |line: io::Result<String>| {
            let line = line?;
            Line::parse(&line).ok_or_else(|| {
                io::Error::other(format!("{}: a line makes no sense", path.display()))
            })
        };
        let more =
            |line: &io::Result<String>| !line.as_ref().is_ok_and(|line| line.starts_with("check "));
        Ok(lines.take_while(more).map(parse))
    }

    /// The files of a generation, sorted by their stored names.
    pub(crate) fn entries(
        &self,
        number: u64,
    ) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        Ok(self.lines(number)?.filter_map(|line| match line {
            Ok(Line::File(entry)) => Some(Ok(entry)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    /// Copies the first bytes of a file under a stored name, durably; what an interrupted backup has left there is used. Its CRC-64,
    /// and the bytes written.
    pub(crate) fn keep(&self, from: &Path, length: u64, stored: &str) -> io::Result<(u64, u64)> {
        let to = self.stored(stored);
        if fs::metadata(&to).is_ok_and(|found| found.len() == length) {
            // Nobody has written down yet what it should be, so it is compared.
            let crc64 = checksum_of_first(from, length, &self.moved)?;
            if checksum_of_first(&to, length, &self.moved)? == crc64 {
                return Ok((crc64, 0));
            }
        }
        if let Some(folder) = to.parent() {
            make_private_folder(folder)?;
        }
        // The name comes after the bytes, so whatever has it is whole.
        let scratch = to.with_extension("new");
        let crc64 = copy(from, length, &scratch, &self.moved)?;
        fs::rename(&scratch, &to)?;
        Ok((crc64, length))
    }

    /// Removes the oldest generations but for the last `keep`, and files that no generation names any more.
    pub(crate) fn prune(&self, keep: usize) -> io::Result<u64> {
        let generations = self.generations()?;
        let (old, kept) = generations.split_at(generations.len().saturating_sub(keep.max(1)));
        for &number in kept {
            // What a damaged manifest names is not known.
            self.verify_manifest(number)?;
        }
        for &number in old {
            fs::remove_file(self.generation(number))?;
        }
        File::open(self.folder.join("generations"))?.sync_all()?;
        // Manifests and folders are walked in one order, so that no more than one folder's names are in memory.
        let mut manifests = Vec::new();
        for &number in kept {
            manifests.push(self.entries(number)?.peekable());
        }
        let mut removed = 0;
        for folder in self.file_folders()? {
            let prefix = format!("{folder}/");
            let mut named = std::collections::HashSet::new();
            for manifest in &mut manifests {
                while let Some(entry) = manifest.next_if(|entry| {
                    entry.as_ref().map_or(true, |entry| {
                        entry.stored < prefix || entry.stored.starts_with(&prefix)
                    })
                }) {
                    named.insert(entry?.stored);
                }
            }
            for entry in fs::read_dir(self.stored(&folder))? {
                let entry = entry?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_file() && !named.contains(&name) {
                    removed += entry.metadata()?.len();
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(removed)
    }

    /// Folders that files are stored in, in the order of the stored names.
    fn file_folders(&self) -> io::Result<Vec<String>> {
        let mut folders = Vec::new();
        for kind in names(&self.folder.join("files"))? {
            if kind == "blobs" {
                let fans = names(&self.folder.join("files/blobs"))?;
                folders.extend(fans.into_iter().map(|fan| format!("blobs/{fan}")));
            } else {
                folders.push(kind);
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }
}

/// The names in a folder, sorted; none where there is no folder.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        told => told?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// A manifest that is being written.
pub(crate) struct Manifest {
    to: BufWriter<File>,
    scratch: PathBuf,
    path: PathBuf,
    sum: Crc64,
    files: u64,
    bytes: u64,
}

impl Manifest {
    pub(crate) fn begin(archive: &Archive, number: u64) -> io::Result<Manifest> {
        let path = archive.generation(number);
        let scratch = path.with_extension("new");
        let file = private().write(true).create(true).truncate(true).open(&scratch)?;
        let mut manifest = Manifest {
            to: BufWriter::new(file),
            scratch,
            path,
            sum: Crc64::new(),
            files: 0,
            bytes: 0,
        };
        manifest.text(&format!("{HEADER}\n"))?;
        Ok(manifest)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.sum.update(text.as_bytes());
        self.to.write_all(text.as_bytes())
    }

    pub(crate) fn line(&mut self, line: &Line) -> io::Result<()> {
        if let Line::File(entry) = line {
            self.files += 1;
            self.bytes += entry.length;
        }
        self.text(&line.text())
    }

    /// Makes all that was copied durable, then the manifest, and then gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u64)> {
        let (files, bytes) = (self.files, self.bytes);
        self.line(&Line::End { files, bytes })?;
        let check = format!("check {:016x}\n", self.sum.value());
        self.to.write_all(check.as_bytes())?;
        let file = self.to.into_inner().map_err(|error| error.into_error())?;
        rustix::fs::syncfs(&file)?;
        file.sync_all()?;
        fs::rename(&self.scratch, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok((files, bytes))
    }
}

fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.mode(0o600);
    options
}

/// Writes a small file so that it stands whole or not at all, and durably.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = path.with_extension("new");
    let mut file = private().write(true).create(true).truncate(true).open(&scratch)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&scratch, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Copies the first bytes of a file into a new one, durably but for its name; their CRC-64. `moved` rises meanwhile.
pub(crate) fn copy(from: &Path, length: u64, to: &Path, moved: &AtomicU64) -> io::Result<u64> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let mut source = File::open(from).map_err(|error| named(from, error))?.take(length);
    let mut target = private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .map_err(|error| named(to, error))?;
    let (mut sum, mut buffer, mut done) = (Crc64::new(), vec![0; COPY_BYTES], 0);
    let mut unsynced = 0;
    loop {
        let count = source.read(&mut buffer).map_err(|error| named(from, error))?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        sum.update(bytes);
        target.write_all(bytes).map_err(|error| named(to, error))?;
        done += count as u64;
        unsynced += count;
        if unsynced >= SYNC_BYTES {
            // In parts, so that nothing stands still for as long as gigabytes take.
            target.sync_data().map_err(|error| named(to, error))?;
            unsynced = 0;
        }
        moved.fetch_add(1, Ordering::Relaxed);
    }
    if done < length {
        return Err(io::Error::other(format!("{} is shorter than it was", from.display())));
    }
    target.sync_all().map_err(|error| named(to, error))?;
    Ok(sum.value())
}

/// The CRC-64 of a file that must have this length.
pub(crate) fn checksum(path: &Path, length: u64) -> io::Result<u64> {
    let found = fs::metadata(path)?.len();
    if found != length {
        return Err(io::Error::other(format!("it has {found} bytes, not {length}")));
    }
    checksum_of_first(path, length, &AtomicU64::new(0))
}

/// The CRC-64 of so many first bytes of a file. `moved` rises meanwhile.
fn checksum_of_first(path: &Path, length: u64, moved: &AtomicU64) -> io::Result<u64> {
    let mut file = File::open(path)?.take(length);
    let (mut sum, mut buffer, mut done) = (Crc64::new(), vec![0; COPY_BYTES], 0);
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        sum.update(bytes);
        done += count as u64;
        moved.fetch_add(1, Ordering::Relaxed);
    }
    if done == length {
        Ok(sum.value())
    } else {
        Err(io::Error::other(format!("it has {done} bytes, not {length}")))
    }
}
