//! The key file: text, for its owner alone.
//!
//! ```text
//! # comments and empty lines do not count
//! ossia-master-keys 1
//! key <16 hex digits: id> <64 hex digits: key>        once or more, oldest first
//! current <16 hex digits: id>
//! check <16 hex digits: the beginning of the SHA-256 of the lines above that count>
//! ```
//!
//! Written beside and renamed, so that a crash leaves the old file or the new one, and nobody else may read it at any moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use ring::digest;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    keys::{KEYS_MAX, KeyId, MasterKey, Ring},
    seal::SealError,
};

const FIRST: &str = "ossia-master-keys 1";
const COMMENT: &str = "# Ossia's master keys. Who has this file can read what the server has sealed; without it nobody can, \
                       the server included.\n# Keep a copy of it, apart from the data folder and its backups.\n";
/// More than the greatest file takes, comments included.
const BYTES_MAX: u64 = 128 << 10;

/// Why there are no keys. Never shows the contents of the file.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// There is no file.
    #[error("{path}: there is no such key file")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what it should. It is left as it is: it may hold the only copy of a key.
    #[error(
        "{path} is damaged: {reason}. It has been left as it is; bring back a copy of it, since without it nothing that was \
         sealed can be read"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// It was written by a later version.
    #[error("{path} was written by a later version of this program")]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// It holds as many keys as it may.
    #[error("{path} holds {KEYS_MAX} keys, and cannot take another")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Lower-case hex digits, exactly as many as needed.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8], to: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            to.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

fn check_of(lines: &str) -> String {
    let digest = digest::digest(&digest::SHA256, lines.as_bytes());
    let mut text = String::with_capacity(16);
    hex(digest.as_ref().get(..8).unwrap_or_default(), &mut text);
    text
}

pub(crate) fn read(path: &Path) -> Result<Ring, KeyFileError> {
    let opened = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Absent { path: path.to_owned() },
        _ => KeyFileError::File { path: path.to_owned(), source },
    })?;
    of_file(path, opened)
}

fn of_file(path: &Path, file: File) -> Result<Ring, KeyFileError> {
    let mut text = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|source| KeyFileError::File { path: path.to_owned(), source })?;
    let damaged = |reason| KeyFileError::Damaged { path: path.to_owned(), reason };
    if text.len() as u64 > BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    let text = std::str::from_utf8(&text).map_err(|_| damaged("it is no text"))?;
    let first = text.lines().map(str::trim_end).find(|l| !l.is_empty() && !l.starts_with('#'));
    match first {
        Some(FIRST) => {}
        Some(line) if line.starts_with("ossia-master-keys ") => {
            return Err(KeyFileError::Newer { path: path.to_owned() });
        }
        _ => return Err(damaged("it does not begin as a key file does")),
    }
    parse(text).map_err(damaged)
}

fn parse(text: &str) -> Result<Ring, &'static str> {
    let mut counted = Zeroizing::new(String::with_capacity(text.len()));
    let mut lines =
        text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let mut ring = Ring::default();
    let check = loop {
        let line = lines.next().ok_or("its last line is missing")?;
        if let Some(check) = line.strip_prefix("check ") {
            break check;
        }
        counted.push_str(line);
        counted.push('\n');
        if line == FIRST {
            continue;
        }
        if let Some(id) = line.strip_prefix("current ") {
            ring.current = Some(KeyId::parse(id).ok_or("the current key's id is none")?);
            continue;
        }
        let key = line.strip_prefix("key ").ok_or("it has a line that is not known")?;
        let (id, key) = key.split_once(' ').ok_or("a key is missing")?;
        let id = KeyId::parse(id).ok_or("a key's id is none")?;
        let key = unhex(key).ok_or("a key is not 64 hex digits")?;
        if ring.find(id).is_some() {
            return Err("an id stands there twice");
        }
        ring.keys.push(MasterKey::new(id, key));
    };
    if check != check_of(&counted) {
        return Err("its check does not match");
    }
    if lines.next().is_some() {
        return Err("something stands behind its last line");
    }
    if ring.keys.len() > KEYS_MAX {
        return Err("it holds too many keys");
    }
    match ring.current {
        Some(id) if ring.find(id).is_some() => Ok(ring),
        _ => Err("its current key is missing"),
    }
}

fn text_of(ring: &Ring) -> Zeroizing<String> {
    // As long as it can get, so that no copy of it is left behind while it grows.
    let mut lines = Zeroizing::new(String::with_capacity(128 + 96 * ring.keys.len()));
    lines.push_str(FIRST);
    lines.push('\n');
    for key in &ring.keys {
        lines.push_str("key ");
        hex(&key.id.0, &mut lines);
        lines.push(' ');
        hex(key.bytes.as_ref(), &mut lines);
        lines.push('\n');
    }
    if let Some(current) = ring.current {
        lines.push_str("current ");
        hex(&current.0, &mut lines);
        lines.push('\n');
    }
    let check = check_of(&lines);
    lines.push_str("check ");
    lines.push_str(&check);
    lines.push('\n');
    lines
}

/// Makes the file. One that stands there already, made at the same moment by another process, is left as it is.
pub(crate) fn create(path: &Path, ring: &Ring) -> Result<(), KeyFileError> {
    let wrap = |source| KeyFileError::File { path: path.to_owned(), source };
    let fresh = write_beside(path, ring).map_err(wrap)?;
    // Not a rename: it would replace a file that has come in the meantime, and a key may be in use already.
    let named = match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A medium without hard links.
        Err(_) if !path.exists() => fs::rename(&fresh, path),
        other => other,
    };
    let _ = fs::remove_file(&fresh);
    named.and_then(|()| sync_folder(path)).map_err(wrap)
}

/// Reads the file, changes it and writes it, while no other process does.
pub(crate) fn change(
    path: &Path,
    f: impl FnOnce(Ring) -> Result<Ring, KeyFileError>,
) -> Result<(), KeyFileError> {
    let wrap = |source| KeyFileError::File { path: path.to_owned(), source };
    // Held until the end, on the file that is replaced: who comes second finds that it has been.
    let locked = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Absent { path: path.to_owned() },
        _ => wrap(source),
    })?;
    locked.try_lock().map_err(|error| wrap(error.into()))?;
    if !same_file(&locked, path).map_err(wrap)? {
        return Err(wrap(io::Error::other("another process has just changed it; try again")));
    }
    let ring = f(of_file(path, File::open(path).map_err(wrap)?)?)?;
    let fresh = write_beside(path, &ring).map_err(wrap)?;
    fs::rename(&fresh, path).and_then(|()| sync_folder(path)).map_err(wrap)
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (one, two) = (file.metadata()?, fs::metadata(path)?);
    Ok((one.dev(), one.ino()) == (two.dev(), two.ino()))
}

#[cfg(not(unix))]
fn same_file(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Writes a synced file beside `path`, under a name that no other process uses.
fn write_beside(path: &Path, ring: &Ring) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh)?;
    file.write_all(COMMENT.as_bytes())?;
    file.write_all(text_of(ring).as_bytes())?;
    file.sync_all()?;
    Ok(fresh)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MasterKeys, Purpose, Reloaded};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.master-key");
        (folder, path)
    }

    #[test]
    fn the_first_opening_makes_the_file_and_the_second_reads_it() {
        let (folder, path) = place();
        let first = MasterKeys::open_or_create(&path).unwrap();
        let sealed = first.seal(Purpose::Secret, b"", b"kept").unwrap();
        let second = MasterKeys::open_or_create(&path).unwrap();
        assert_eq!(first.current(), second.current());
        assert_eq!(&*second.open(Purpose::Secret, b"", &sealed).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file_after_a_rotation_too() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, path) = place();
        let keys = MasterKeys::open_or_create(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        keys.rotate().unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn an_absent_file_is_told_and_not_made_by_open() {
        let (_folder, path) = place();
        assert!(matches!(MasterKeys::of_file(&path), Err(KeyFileError::Absent { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_neither_used_nor_overwritten_nor_shown() {
        let (_folder, path) = place();
        MasterKeys::open_or_create(&path).unwrap().rotate().unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let key = good.lines().find(|l| l.starts_with("key ")).unwrap();
        let digits = key.split(' ').nth(2).unwrap().to_owned();
        let other: String = digits.chars().rev().collect();
        let without_current =
            good.lines().filter(|l| !l.starts_with("current")).collect::<Vec<_>>().join("\n");
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace(&digits, &other),
            good.replace("check ", "check 0"),
            format!("{good}{key}\n"),
            good.replace(key, &format!("{key}\n{key}")),
            without_current,
            good.replace("ossia-master-keys 1", "keys"),
        ] {
            fs::write(&path, &bad).unwrap();
            let told = MasterKeys::open_or_create(&path).unwrap_err();
            assert!(matches!(told, KeyFileError::Damaged { .. }), "{told}");
            assert!(!format!("{told} {told:?}").contains(&digits[..8]));
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        fs::write(&path, good.replace("master-keys 1", "master-keys 2")).unwrap();
        assert!(matches!(MasterKeys::open_or_create(&path), Err(KeyFileError::Newer { .. })));
    }

    /// A file of these lines, with the check that belongs to them.
    fn checked(lines: &[String]) -> String {
        let counted: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!("{counted}check {}\n", check_of(&counted))
    }

    fn key_line(number: usize) -> String {
        format!("key {number:016x} {:064x}", number + 1)
    }

    fn file_of(keys: std::ops::Range<usize>, current: usize) -> String {
        let mut lines = vec![FIRST.to_owned()];
        lines.extend(keys.map(key_line));
        lines.push(format!("current {current:016x}"));
        checked(&lines)
    }

    #[test]
    fn what_makes_no_sense_is_refused_though_its_check_matches() {
        let (_folder, path) = place();
        let (key, current) = (key_line(0), format!("current {:016x}", 0));
        let of = |lines: &[&str]| {
            checked(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
        };
        for bad in [
            of(&[FIRST, &key]),
            of(&[FIRST, &current]),
            of(&[FIRST, &key, &format!("current {:016x}", 1)]),
            of(&[FIRST, &key, &key, &current]),
            of(&[FIRST, &key, &key.replace("01", "02"), &current]),
            of(&[FIRST, &format!("{key}00"), &current]),
            of(&[FIRST, &key[..key.len() - 2], &current]),
            of(&[FIRST, &key.to_uppercase().replace("KEY", "key").replace("01", "AB"), &current]),
            of(&[FIRST, &key, &format!("{current}00")]),
            of(&[FIRST, &key, &current, "more 1"]),
            file_of(0..KEYS_MAX + 1, 0),
            format!("{}{}", "# long\n".repeat(20_000), file_of(0..1, 0)),
        ] {
            fs::write(&path, &bad).unwrap();
            let told = MasterKeys::of_file(&path).map(|keys| keys.ids());
            assert!(matches!(told, Err(KeyFileError::Damaged { .. })), "{told:?} {bad:.300}");
        }
        fs::write(&path, file_of(0..1, 0)).unwrap();
        assert_eq!(MasterKeys::of_file(&path).unwrap().ids().len(), 1);
    }

    #[test]
    fn a_file_takes_as_many_keys_as_it_may_and_then_no_more() {
        let (_folder, path) = place();
        fs::write(&path, file_of(0..KEYS_MAX - 1, 0)).unwrap();
        let keys = MasterKeys::of_file(&path).unwrap();
        let last = keys.rotate().unwrap();
        let full = fs::read_to_string(&path).unwrap();
        assert!(matches!(keys.rotate(), Err(KeyFileError::Full { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), full);
        let again = MasterKeys::of_file(&path).unwrap();
        assert_eq!((again.ids().len(), again.current()), (KEYS_MAX, Some(last)));
    }

    #[test]
    fn a_key_that_was_added_and_is_not_current_is_seen_as_well() {
        let (_folder, path) = place();
        fs::write(&path, file_of(0..1, 0)).unwrap();
        let keys = MasterKeys::of_file(&path).unwrap();
        fs::write(&path, file_of(0..2, 0)).unwrap();
        assert_eq!(keys.reload().unwrap(), Reloaded::Changed);
        assert_eq!(keys.ids().len(), 2);
    }

    #[test]
    fn a_file_that_came_in_the_meantime_is_not_replaced() {
        let (folder, path) = place();
        let first = MasterKeys::open_or_create(&path).unwrap();
        // As by a process that found none at the same moment.
        create(&path, &Ring::default().rotated().unwrap()).unwrap();
        assert_eq!(MasterKeys::open_or_create(&path).unwrap().ids(), first.ids());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_was_sealed_once_opens_for_good() {
        let (_folder, path) = place();
        fs::write(&path, file_of(0..2, 1)).unwrap();
        let keys = MasterKeys::of_file(&path).unwrap();
        for (purpose, sealed) in [
            (
                Purpose::Secret,
                "010000000000000001000102030405060708090a0b6465666768696a6b6c6d6e6fbff9\
             9ea095b9686dc4bf6650ca993faa6ed7c814fa",
            ),
            (
                Purpose::Token,
                "0100000000000000010102030405060708090a0b0c65666768696a6b6c6d6e6f7090d4\
             4dc1f12ab7eafebdcb5b5a0a1051f927d79b70",
            ),
            (
                Purpose::DataKey,
                "01000000000000000102030405060708090a0b0c0d666768696a6b6c6d6e6f70716323\
             0f5f9754d8398654066e180b344119507b75c8",
            ),
        ] {
            let sealed: Vec<u8> = (0..sealed.len() / 2)
                .map(|at| u8::from_str_radix(&sealed[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            assert_eq!(&*keys.open(purpose, b"place", &sealed).unwrap(), b"plain", "{purpose:?}");
        }
    }

    #[test]
    fn comments_may_be_written_into_the_file() {
        let (_folder, path) = place();
        let keys = MasterKeys::open_or_create(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# of the machine in the cellar\n\n{good}# end\n")).unwrap();
        assert_eq!(MasterKeys::of_file(&path).unwrap().current(), keys.current());
    }

    #[test]
    fn a_rotation_by_another_process_is_seen_by_reading_the_file_again() {
        let (_folder, path) = place();
        let server = MasterKeys::open_or_create(&path).unwrap();
        let old = server.current().unwrap();
        assert_eq!(server.reload().unwrap(), Reloaded::Same);
        let fresh = MasterKeys::of_file(&path).unwrap().rotate().unwrap();
        assert_eq!(server.current(), Some(old));
        assert_eq!(server.reload().unwrap(), Reloaded::Changed);
        assert_eq!((server.current(), server.has(old)), (Some(fresh), true));
        assert_eq!(server.ids(), [old, fresh]);
    }

    #[test]
    fn a_process_keeps_a_key_that_its_file_has_lost_and_says_so() {
        let (folder, path) = place();
        let server = MasterKeys::open_or_create(&path).unwrap();
        let old = server.current().unwrap();
        let other = folder.path().join("other");
        MasterKeys::open_or_create(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(server.reload().unwrap(), Reloaded::Lacking { id: old });
        assert!(server.has(old) && server.current() != Some(old));
        fs::write(&path, "nothing").unwrap();
        assert!(server.reload().is_err());
        assert!(server.has(old));
    }

    #[test]
    fn nothing_is_changed_while_another_process_changes_it() {
        let (_folder, path) = place();
        let keys = MasterKeys::open_or_create(&path).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let other = File::open(&path).unwrap();
        other.lock().unwrap();
        assert!(matches!(keys.rotate(), Err(KeyFileError::File { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        drop(other);
        keys.rotate().unwrap();
    }

    #[test]
    fn two_rotations_at_once_lose_no_key() {
        let (_folder, path) = place();
        MasterKeys::open_or_create(&path).unwrap();
        let rotated: Vec<KeyId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let once = || -> Result<Vec<KeyId>, KeyFileError> {
                            let keys = MasterKeys::of_file(&path)?;
                            let before = keys.ids();
                            keys.rotate()?;
                            let ids = keys.ids().into_iter();
                            Ok(ids.filter(|id| !before.contains(id)).collect())
                        };
                        let done = (0..20).filter_map(|_| once().ok());
                        done.flatten().collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        let kept = MasterKeys::of_file(&path).unwrap();
        assert!(rotated.iter().all(|id| kept.has(*id)));
    }
}
