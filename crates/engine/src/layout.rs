//! The data folder: who may use it, and what it is.
//!
//! ```text
//! LOCK                 held by flock while a process has the store open; holds that process's number
//! LAYOUT               text, written last when a store is made, never changed within a format:
//!                        ossia-store
//!                        format 2
//!                        store <32 hex digits>
//!                        shards <1 to 64>
//!                        check <8 hex digits: crc32c of the lines above>
//! shard-0/journal/     segments; shard-1 and so on likewise
//! shard-0/index/       lsm-tree's files
//! shard-0/copies/      copies of the index's `current` and manifest
//! shard-0/values/      files of the value log
//! shard-0/reached      how far the journal is known to reach
//! blobs/<2 hex>/       blobs that the index names
//! staging/             blobs on their way
//! ```
//!
//! Other names in the folder are left alone.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    OpenError,
    disk::{self, Access, Disk, Lock, read_whole, write_whole},
    journal::{
        recover,
        segment::{START_SEGMENT_BYTES, Yard},
    },
    options::SHARDS_MAX,
    tree::Index,
};

/// The format that this version writes, and the newest that it reads. Format 1 knew neither a value log nor more than one shard;
/// opening a store of it makes it one of format 2.
pub(crate) const FORMAT: u32 = 2;
const FORMAT_OLDEST: u32 = 1;
const LAYOUT: &str = "LAYOUT";
const LAYOUT_BYTES_MAX: u64 = 4_096;
const LOCK: &str = "LOCK";

/// Takes the folder for this process.
pub(crate) fn hold(folder: &Path) -> Result<Lock, OpenError> {
    let path = folder.join(LOCK);
    match disk::lock(&path).map_err(OpenError::io(&path))? {
        Ok(lock) => Ok(lock),
        Err(text) => {
            Err(OpenError::Locked { folder: folder.into(), pid: text.trim().parse().ok() })
        }
    }
}

/// What `LAYOUT` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) format: u32,
    pub(crate) store: [u8; 16],
    pub(crate) shards: usize,
}

/// The folder of a shard.
pub(crate) fn shard(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("shard-{number}"))
}

/// Where a shard's value log is.
pub(crate) fn values(shard: &Path) -> PathBuf {
    shard.join("values")
}

/// Where a shard's segments are.
pub(crate) fn yard(disk: &Arc<dyn Disk>, shard: &Path, layout: Layout) -> Yard {
    Yard { disk: Arc::clone(disk), folder: shard.join("journal"), store: layout.store }
}

/// Reads the layout, making the store first where there is none.
pub(crate) fn open_or_make(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    shards: usize,
    segment_bytes: u64,
) -> Result<Layout, OpenError> {
    let path = folder.join(LAYOUT);
    match read_whole(disk.as_ref(), &path, LAYOUT_BYTES_MAX) {
        Ok(bytes) => decode(folder, &path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(disk, folder, shards, segment_bytes)
        }
        // Longer than it can be.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => decode(folder, &path, &[]),
        Err(error) => Err(OpenError::Io { path, error }),
    }
}

/// Reads the layout of a store that stands.
pub(crate) fn read(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Layout, OpenError> {
    let path = folder.join(LAYOUT);
    let bytes = read_whole(disk.as_ref(), &path, LAYOUT_BYTES_MAX).map_err(OpenError::io(&path))?;
    decode(folder, &path, &bytes)
}

/// Makes a store of an older format one of this, durably; what the older format has means the same in this one.
pub(crate) fn upgrade(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    layout: Layout,
) -> Result<(), OpenError> {
    if layout.format == FORMAT {
        return Ok(());
    }
    let path = folder.join(LAYOUT);
    let now = Layout { format: FORMAT, ..layout };
    tracing::info!(from = layout.format, to = FORMAT, "the data folder gets a newer format");
    write_whole(disk.as_ref(), &path, encode(now).as_bytes()).map_err(OpenError::io(&path))
}

fn encode(layout: Layout) -> String {
    let Layout { format, store, shards } = layout;
    let store = u128::from_be_bytes(store);
    let text = format!("ossia-store\nformat {format}\nstore {store:032x}\nshards {shards}\n");
    let check = crc32c::crc32c(text.as_bytes());
    format!("{text}check {check:08x}\n")
}

/// Whether what is taken for a layout says the same when it is written and read again.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let path = Path::new(LAYOUT);
    if let Ok(layout) = decode(path, path, bytes) {
        let again = decode(path, path, encode(layout).as_bytes());
        assert!(again.is_ok_and(|again| encode(again) == encode(layout)));
    }
}

fn decode(folder: &Path, path: &Path, bytes: &[u8]) -> Result<Layout, OpenError> {
    let damaged = |what: &str| OpenError::Damaged {
        file: path.into(),
        offset: 0,
        what: what.into(),
        advice: "nothing has been changed; restore the file from a backup of this same folder"
            .into(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let (checked, check) =
        text.trim_end().rsplit_once("check ").ok_or_else(|| damaged("it has no check"))?;
    if u32::from_str_radix(check, 16).ok() != Some(crc32c::crc32c(checked.as_bytes())) {
        return Err(damaged("it does not match its checksum"));
    }
    let mut lines = checked.lines();
    if lines.next() != Some("ossia-store") {
        return Err(damaged("it is not of an Ossia store"));
    }
    let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
    let format = match format {
        Some(format @ FORMAT_OLDEST..=FORMAT) => format,
        Some(found) if found > FORMAT => {
            let folder = folder.into();
            return Err(OpenError::NewerFormat { folder, found, supported: FORMAT });
        }
        _ => return Err(damaged("it names no known format")),
    };
    let store = lines.next().and_then(|line| {
        let digits = line.strip_prefix("store ")?;
        u128::from_str_radix(digits, 16).ok()
    });
    let store = store.ok_or_else(|| damaged("it names no store"))?.to_be_bytes();
    let shards = lines.next().and_then(|line| line.strip_prefix("shards ")?.parse().ok());
    let shards_max = if format == FORMAT_OLDEST { 1 } else { SHARDS_MAX };
    let shards = shards.filter(|shards| (1..=shards_max).contains(shards));
    match shards {
        Some(shards) if lines.next().is_none() => Ok(Layout { format, store, shards }),
        _ => Err(damaged("it has lines that its format does not have")),
    }
}

/// Makes a store. Each step may be the last before a crash: without `LAYOUT` nothing was ever stored, and all is made anew.
fn make(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    shards: usize,
    segment_bytes: u64,
) -> Result<Layout, OpenError> {
    // All are looked at before the first is touched.
    let mut old = Vec::new();
    for number in 0..SHARDS_MAX {
        let shard = shard(folder, number);
        if disk.exists(&shard).map_err(OpenError::io(&shard))? {
            refuse_a_store_without_layout(disk, folder, &shard)?;
            old.push(shard);
        }
    }
    for shard in old {
        disk.remove_folder(&shard).map_err(OpenError::io(&shard))?;
    }
    let mut store = [0; 16];
    getrandom::fill(&mut store).map_err(|error| OpenError::Io {
        path: folder.into(),
        error: io::Error::other(format!("no random bytes: {error}")),
    })?;
    let layout = Layout { format: FORMAT, store, shards };
    for number in 0..shards {
        let shard = shard(folder, number);
        let yard = yard(disk, &shard, layout);
        disk.make_folder(&yard.folder).map_err(OpenError::io(&yard.folder))?;
        let bytes = segment_bytes.min(START_SEGMENT_BYTES);
        yard.prepare(1, bytes).map_err(OpenError::io(&yard.folder))?;
        Index::create(disk, &shard)?;
        disk.sync_folder(&shard).map_err(OpenError::io(&shard))?;
    }
    disk.sync_folder(folder).map_err(OpenError::io(folder))?;
    sync_names_above(disk, folder)?;
    let path = folder.join(LAYOUT);
    write_whole(disk.as_ref(), &path, encode(layout).as_bytes()).map_err(OpenError::io(&path))?;
    Ok(layout)
}

/// Makes the folder's own name durable, and those of the folders above, any of which may have been made along with it. Where they
/// were made by someone else long ago this costs little.
fn sync_names_above(disk: &Arc<dyn Disk>, folder: &Path) -> Result<(), OpenError> {
    for (steps, above) in folder.ancestors().skip(1).enumerate() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_folder(above) {
            // What this process may not even open, or what cannot be synced, it has not made.
            Err(error)
                if steps > 0
                    && matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied
                            | io::ErrorKind::InvalidInput
                            | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                break;
            }
            told => told.map_err(OpenError::io(above))?,
        }
    }
    Ok(())
}

/// A store that has lost its `LAYOUT` must not be taken for one whose making was interrupted.
fn refuse_a_store_without_layout(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    shard: &Path,
) -> Result<(), OpenError> {
    let lost = || OpenError::Damaged {
        file: folder.join(LAYOUT),
        offset: 0,
        what: "it is missing, and the folder holds a store".into(),
        advice: "nothing has been changed; restore the file from a backup of this same folder"
            .into(),
    };
    let journal = shard.join("journal");
    let names = match disk.list(&journal) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::Io { path: journal, error }),
    };
    let mut segments = names.iter().filter(|name| name.ends_with(".seg"));
    let (first, second) = (segments.next(), segments.next());
    if second.is_some() {
        return Err(lost());
    }
    let Some(name) = first else { return Ok(()) };
    let path = journal.join(name);
    // The first frame is written after `LAYOUT`. Its store is not known here, so anything but zeros counts.
    let file = disk.open(&path, Access::Read).map_err(OpenError::io(&path))?;
    let bytes = file.length().map_err(OpenError::io(&path))?;
    let segment = crate::journal::segment::Segment { number: 0, salt: 0, file, bytes };
    let blank = recover::is_blank(&segment).map_err(OpenError::io(&path))?;
    if blank { Ok(()) } else { Err(lost()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { format: FORMAT, store: [0xab; 16], shards: 3 };

    fn told(text: &str) -> Result<Layout, OpenError> {
        decode(Path::new("data"), Path::new("data/LAYOUT"), text.as_bytes())
    }

    #[test]
    fn a_layout_comes_back() {
        assert_eq!(told(&encode(LAYOUT)).unwrap(), LAYOUT);
    }

    #[test]
    fn a_newer_format_is_named_and_not_called_damage() {
        let text = encode(Layout { format: 3, ..LAYOUT });
        let (body, _) = text.split_once("check").unwrap();
        let text = format!("{body}check {:08x}\n", crc32c::crc32c(body.as_bytes()));
        assert!(matches!(told(&text), Err(OpenError::NewerFormat { found: 3, supported: 2, .. })));
    }

    #[test]
    fn the_first_format_is_still_read_and_had_one_shard() {
        let old = Layout { format: 1, shards: 1, ..LAYOUT };
        assert_eq!(told(&encode(old)).unwrap(), old);
        assert!(told(&encode(Layout { shards: 2, ..old })).is_err());
        assert!(told(&encode(Layout { shards: 0, ..LAYOUT })).is_err());
        assert!(told(&encode(Layout { shards: 65, ..LAYOUT })).is_err());
    }

    #[test]
    fn every_changed_byte_of_a_layout_is_damage() {
        let text = encode(LAYOUT);
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let told = decode(Path::new(""), Path::new(""), &bytes);
            assert!(matches!(told, Err(OpenError::Damaged { .. })), "byte {at}: {told:?}");
        }
    }
}
