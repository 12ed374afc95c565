//! What must be true of the tree's own files before its crate may open them.
//!
//! `lsm-tree` opens the manifest that `current` names without looking at the checksum that stands there, too; on an unlucky
//! damage it finds an empty or older tree, reports no error, and deletes every table that this manifest does not name. So both are
//! verified first, and copies of both are kept, renewed after every change of the set of tables.
//!
//! ```text
//! index/current    version 8, checksum 16 (xxh3-128 of the manifest), kind 1 (zero)   as lsm-tree writes it
//! index/vN         the manifest of version N
//! index/tables/    the tables
//! copies/current   the copies; those two files put back into `index` repair a damaged one
//! copies/vN
//! ```

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    OpenError,
    codec::Reader,
    disk::{Access, Disk, read_whole, write_whole},
};

/// lsm-tree's name for the file that says which version holds.
pub(crate) const CURRENT: &str = "current";
/// Tables are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;
/// Manifests are some tens of bytes for each table.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

struct Current {
    version: u64,
    checksum: u128,
}

fn decode_current(bytes: &[u8]) -> Option<Current> {
    let mut reader = Reader(bytes);
    let version = reader.u64()?;
    let checksum = reader.array().map(u128::from_le_bytes)?;
    reader.reserved(1)?;
    reader.is_empty().then_some(Current { version, checksum })
}

/// Whether what is taken for `current` is what lsm-tree writes.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_current(bytes: &[u8]) {
    if let Some(Current { version, checksum }) = decode_current(bytes) {
        let again = [&version.to_le_bytes()[..], &checksum.to_le_bytes(), &[0]].concat();
        assert_eq!(again, bytes);
    }
}

fn manifest_name(version: u64) -> String {
    format!("v{version}")
}

fn checksum(bytes: &[u8]) -> u128 {
    let mut writer = lsm_tree::checksum::ChecksummedWriter::new(io::sink());
    writer.write_all(bytes).expect("a sink takes everything");
    writer.checksum().into_u128()
}

/// The checksum of a whole file, as lsm-tree computes it.
pub(crate) fn file_checksum(disk: &dyn Disk, path: &Path) -> io::Result<u128> {
    let file = disk.open(path, Access::Read)?;
    let mut writer = lsm_tree::checksum::ChecksummedWriter::new(io::sink());
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(writer.checksum().into_u128());
        };
        writer.write_all(bytes)?;
        offset += read as u64;
    }
}

/// What was found wrong: the file, and why.
struct Wrong(PathBuf, String);

/// `current` and the manifest that it names, verified.
struct Pair {
    current: Vec<u8>,
    version: u64,
    manifest: Vec<u8>,
}

/// Reads `current` and its manifest; an error of the disk stays one, anything else that is wrong is named.
fn read_pair(disk: &dyn Disk, folder: &Path) -> io::Result<Result<Pair, Wrong>> {
    let current_path = folder.join(CURRENT);
    let current = match read_whole(disk, &current_path, 4_096) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(Wrong(current_path, "the file is missing".into())));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Err(Wrong(current_path, error.to_string())));
        }
        Err(error) => return Err(error),
    };
    let Some(told) = decode_current(&current) else {
        return Ok(Err(Wrong(current_path, "the file is not of its form".into())));
    };
    let path = folder.join(manifest_name(told.version));
    let manifest = match read_whole(disk, &path, MANIFEST_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("it names {}, which is missing", path.display());
            return Ok(Err(Wrong(current_path, what)));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Err(Wrong(path, error.to_string())));
        }
        Err(error) => return Err(error),
    };
    if checksum(&manifest) != told.checksum {
        let what = format!("it does not match the checksum in {}", current_path.display());
        return Ok(Err(Wrong(path, what)));
    }
    Ok(Ok(Pair { current, version: told.version, manifest }))
}

/// A file's name and its bytes.
pub(crate) type Named = (String, Vec<u8>);

/// `current` and its manifest by their names, if they are those of this version.
pub(crate) fn manifest_of(
    disk: &dyn Disk,
    index: &Path,
    version: u64,
) -> io::Result<Option<Vec<Named>>> {
    Ok(match read_pair(disk, index)? {
        Ok(pair) if pair.version == version => {
            Some(vec![(manifest_name(version), pair.manifest), (CURRENT.to_owned(), pair.current)])
        }
        _ => None,
    })
}

/// A table as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: u64,
    /// Of the whole file.
    pub(crate) checksum: u128,
}

impl Listed {
    fn path(self, index: &Path) -> PathBuf {
        index.join("tables").join(self.id.to_string())
    }
}

/// The tables that a manifest names: its section `tables` has levels, each with runs, each with tables. `None` for another form.
fn tables_of(manifest: &[u8]) -> Option<Vec<Listed>> {
    let reader = sfa::Reader::from_reader(&mut io::Cursor::new(manifest)).ok()?;
    let section = reader.toc().section(b"tables")?;
    let (start, length) =
        (usize::try_from(section.pos()).ok()?, usize::try_from(section.len()).ok()?);
    let mut reader = Reader(manifest.get(start..start.checked_add(length)?)?);
    let mut tables = Vec::new();
    for _level in 0..reader.u8()? {
        for _run in 0..reader.u8()? {
            for _table in 0..reader.u32()? {
                let id = reader.u64()?;
                // The kind of checksum; there is one.
                reader.reserved(1)?;
                let checksum = reader.array().map(u128::from_le_bytes)?;
                let _sequence = reader.u64()?;
                tables.push(Listed { id, checksum });
            }
        }
    }
    Some(tables)
}

/// Refuses tables that are missing or not what was written: the newest ones up to so many bytes are read through. Blocks have
/// checksums of their own that every read compares; this tells what those cannot, an older or another table under a table's name,
/// and it names the file.
pub(crate) fn verify_tables(
    disk: &dyn Disk,
    index: &Path,
    tables: &[Listed],
    bytes_max: u64,
) -> Result<(), OpenError> {
    let damaged = |path: PathBuf, what: &str| {
        OpenError::Damaged {
        file: path,
        offset: 0,
        what: what.into(),
        advice: "nothing has been changed; put this file back as it was, or restore the data folder from a backup".into(),
    }
    };
    let mut tables = tables.to_vec();
    tables.sort_by_key(|table| std::cmp::Reverse(table.id));
    let mut left = bytes_max;
    for table in tables {
        let path = table.path(index);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(path, "it is missing, and the index's manifest names it"));
            }
            Err(error) => return Err(OpenError::Io { path, error }),
        };
        let bytes = file.length().map_err(OpenError::io(&path))?;
        let Some(rest) = left.checked_sub(bytes) else { continue };
        left = rest;
        if file_checksum(disk, &path).map_err(OpenError::io(&path))? != table.checksum {
            return Err(damaged(path, "it does not match its checksum in the index's manifest"));
        }
    }
    Ok(())
}

/// Refuses a tree whose `current` or manifest is not what was written; tells which tables it names.
pub(crate) fn verify(
    disk: &dyn Disk,
    index: &Path,
    copies: &Path,
) -> Result<Vec<Listed>, OpenError> {
    match read_pair(disk, index).map_err(OpenError::io(index))? {
        Ok(Pair { manifest, version, .. }) => tables_of(&manifest).ok_or_else(|| {
            OpenError::Damaged {
                file: index.join(manifest_name(version)),
                offset: 0,
                what: "it is whole, and not of a form that this version knows".into(),
                advice: "nothing has been changed; start the version that wrote it, or restore the data folder from a backup"
                    .into(),
            }
        }),
        Err(Wrong(file, what)) => {
            let advice = match read_pair(disk, copies) {
                Ok(Ok(Pair { version, .. })) => format!(
                    "nothing has been changed; copy {} and {} into {}, and start again",
                    copies.join(CURRENT).display(),
                    copies.join(manifest_name(version)).display(),
                    index.display()
                ),
                _ => {
                    "nothing has been changed, and there is no good copy; restore the data folder \
                      from a backup"
                        .into()
                }
            };
            Err(OpenError::Damaged { file, offset: 0, what, advice })
        }
    }
}

/// Renews the copies. The tree may change its set of tables meanwhile, so a pair that does not match is read again.
pub(crate) fn copy(disk: &dyn Disk, index: &Path, copies: &Path) -> io::Result<()> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        if let Ok(Pair { current, version, manifest }) = read_pair(disk, index)? {
            let name = manifest_name(version);
            // The manifest first: a `current` that stands names one that stands.
            write_whole(disk, &copies.join(&name), &manifest)?;
            write_whole(disk, &copies.join(CURRENT), &current)?;
            for old in disk.list(copies)? {
                if old != name && old != CURRENT {
                    disk.remove(&copies.join(old))?;
                }
            }
            return Ok(());
        }
    }
    Err(io::Error::other("the index changed at each try"))
}
