//! The master keys that a process has.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use ring::hkdf;
use zeroize::Zeroizing;

use crate::{
    file::{self, KeyFileError},
    seal::{self, Purpose, SealError, Secret},
};

/// How many keys a file may hold.
pub const KEYS_MAX: usize = 256;

/// What names a master key: random, told to anybody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; KeyId::BYTES]);

impl KeyId {
    /// Its length.
    pub const BYTES: usize = 8;

    /// The id as it is stored in records.
    pub fn bytes(&self) -> [u8; KeyId::BYTES] {
        self.0
    }

    /// An id from a record.
    pub fn from_bytes(bytes: [u8; KeyId::BYTES]) -> KeyId {
        KeyId(bytes)
    }

    /// An id as [`Display`](fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<KeyId> {
        Some(KeyId(*file::unhex::<{ KeyId::BYTES }>(text)?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// One key and what is derived from it once.
#[derive(Clone)]
pub(crate) struct MasterKey {
    pub(crate) id: KeyId,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
    prk: hkdf::Prk,
}

impl MasterKey {
    pub(crate) fn new(id: KeyId, bytes: Zeroizing<[u8; 32]>) -> MasterKey {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"ossia master key").extract(bytes.as_ref());
        MasterKey { id, bytes, prk }
    }

    pub(crate) fn fresh() -> Result<MasterKey, SealError> {
        let bytes = Zeroizing::new(seal::random()?);
        Ok(MasterKey::new(KeyId(seal::random()?), bytes))
    }
}

/// Keys in the order in which they were made; the last one is used for sealing.
#[derive(Clone, Default)]
pub(crate) struct Ring {
    pub(crate) keys: Vec<MasterKey>,
    pub(crate) current: Option<KeyId>,
}

impl Ring {
    pub(crate) fn find(&self, id: KeyId) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// With one more key, which is the current one.
    pub(crate) fn rotated(mut self) -> Result<Ring, SealError> {
        let key = MasterKey::fresh()?;
        self.current = Some(key.id);
        self.keys.push(key);
        Ok(self)
    }
}

/// What reading the file again has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing that was not known.
    Same,
    /// Other keys, or another current one.
    Changed,
    /// As [`Reloaded::Changed`], and the file lacks a key that this process still has. It goes on with it until it ends.
    Lacking {
        /// The first such key.
        id: KeyId,
    },
}

/// The master keys of a server. Shared by reference; everything takes `&self`.
pub struct MasterKeys {
    path: Option<PathBuf>,
    ring: RwLock<Ring>,
}

/// Shows ids only.
impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeys")
            .field("path", &self.path)
            .field("ids", &self.ids())
            .field("current", &self.current())
            .finish()
    }
}

impl MasterKeys {
    /// Reads the keys of a file.
    ///
    /// # Errors
    /// [`KeyFileError::Absent`] if there is none; a damaged file is refused and left as it is.
    pub fn of_file(path: &Path) -> Result<MasterKeys, KeyFileError> {
        Ok(MasterKeys { path: Some(path.to_owned()), ring: RwLock::new(file::read(path)?) })
    }

    /// Reads the keys of a file, or makes it, with one key, if it is absent. When this returns the file is durable.
    ///
    /// # Errors
    /// [`KeyFileError`]. A damaged file is refused and left as it is: it may hold the only copy of a key.
    pub fn open_or_create(path: &Path) -> Result<MasterKeys, KeyFileError> {
        match MasterKeys::of_file(path) {
            Err(KeyFileError::Absent { .. }) => {
                file::create(path, &Ring::default().rotated()?)?;
                // What stands there now, which another process may have made at the same moment.
                MasterKeys::of_file(path)
            }
            other => other,
        }
    }

    /// One key that is gone with the process.
    ///
    /// # Errors
    /// [`SealError::Failed`] if the system gives no random bytes.
    pub fn ephemeral() -> Result<MasterKeys, SealError> {
        Ok(MasterKeys { path: None, ring: RwLock::new(Ring::default().rotated()?) })
    }

    /// No key at all: nothing can be sealed, and opening says which key is missing.
    pub fn none() -> MasterKeys {
        MasterKeys { path: None, ring: RwLock::default() }
    }

    /// The file that the keys are from, if from any.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Encrypts `plain` under the current key. Only the same purpose and the same `context` open it again, which binds what is
    /// sealed to the place where it is kept. The result is [`OVERHEAD`](crate::OVERHEAD) bytes longer.
    ///
    /// # Errors
    /// [`SealError::NoKey`], [`SealError::Failed`].
    pub fn seal(
        &self,
        purpose: Purpose,
        context: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.with(|ring| {
            let key = ring.current.and_then(|id| ring.find(id)).ok_or(SealError::NoKey)?;
            seal::seal(key.id, &key.prk, purpose, context, plain)
        })
    }

    /// Opens what [`seal`](Self::seal) gave, under whichever key it was sealed.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::Tampered`], [`SealError::Malformed`].
    pub fn open(
        &self,
        purpose: Purpose,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Secret, SealError> {
        self.with(|ring| {
            seal::open(|id| ring.find(id).map(|key| &key.prk), purpose, context, sealed)
        })
    }

    /// The key that things are sealed under now; none only of [`MasterKeys::none`].
    pub fn current(&self) -> Option<KeyId> {
        self.with(|ring| ring.current)
    }

    /// Whether this key is there.
    pub fn has(&self, id: KeyId) -> bool {
        self.with(|ring| ring.find(id).is_some())
    }

    /// All keys, in the order in which they were made.
    pub fn ids(&self) -> Vec<KeyId> {
        self.with(|ring| ring.keys.iter().map(|key| key.id).collect())
    }

    /// Adds a key and makes it the current one; the others stay, to open what they have sealed. The file is durable before the key
    /// is used.
    ///
    /// # Errors
    /// [`KeyFileError`]; nothing has changed then, or the file alone.
    pub fn rotate(&self) -> Result<KeyId, KeyFileError> {
        match &self.path {
            Some(path) => {
                file::change(path, |ring| {
                    if ring.keys.len() >= KEYS_MAX {
                        return Err(KeyFileError::Full { path: path.clone() });
                    }
                    Ok(ring.rotated()?)
                })?;
                self.reload()?;
            }
            None => {
                let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
                *ring = ring.clone().rotated()?;
            }
        }
        self.current().ok_or(KeyFileError::Seal(SealError::NoKey))
    }

    /// Reads the file again, as after a rotation by another process. Keys that the file has lost stay until this process ends.
    ///
    /// # Errors
    /// [`KeyFileError`]; the keys are then those of before.
    pub fn reload(&self) -> Result<Reloaded, KeyFileError> {
        let Some(path) = &self.path else { return Ok(Reloaded::Same) };
        let mut fresh = file::read(path)?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let lost: Vec<MasterKey> =
            ring.keys.iter().filter(|key| fresh.find(key.id).is_none()).cloned().collect();
        let changed = fresh.current != ring.current || fresh.keys.len() != ring.keys.len();
        let lacking = lost.first().map(|key| key.id);
        fresh.keys.splice(0..0, lost);
        *ring = fresh;
        Ok(match lacking {
            Some(id) => Reloaded::Lacking { id },
            None if changed => Reloaded::Changed,
            None => Reloaded::Same,
        })
    }

    fn with<T>(&self, f: impl FnOnce(&Ring) -> T) -> T {
        f(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OVERHEAD;

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_in_the_same_place_alone() {
        let keys = MasterKeys::ephemeral().unwrap();
        let sealed = keys.seal(Purpose::Secret, b"key A", b"the secret").unwrap();
        assert_eq!(sealed.len(), OVERHEAD + 10);
        assert_eq!(seal::sealed_with(&sealed), keys.current());
        let opened = keys.open(Purpose::Secret, b"key A", &sealed).unwrap();
        assert_eq!(&*opened, b"the secret");
        assert_eq!(format!("{opened:?}"), "Secret");
        let other = keys.open(Purpose::Token, b"key A", &sealed);
        assert_eq!(other.unwrap_err(), SealError::Tampered);
        let moved = keys.open(Purpose::Secret, b"key B", &sealed);
        assert_eq!(moved.unwrap_err(), SealError::Tampered);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused() {
        let keys = MasterKeys::ephemeral().unwrap();
        let sealed = keys.seal(Purpose::Token, b"", b"session").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(Purpose::Token, b"", &bad).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(Purpose::Token, b"", &sealed[..length]).is_err());
        }
        assert_eq!(keys.open(Purpose::Token, b"", b"no").unwrap_err(), SealError::Malformed);
    }

    #[test]
    fn nothing_is_sealed_the_same_way_twice() {
        let keys = MasterKeys::ephemeral().unwrap();
        let seal = || keys.seal(Purpose::DataKey, b"x", &[0; 32]).unwrap();
        let (one, two) = (seal(), seal());
        assert!(one[9..33] != two[9..33] && one[33..] != two[33..]);
    }

    #[test]
    fn after_a_rotation_the_old_key_opens_and_the_new_one_seals() {
        let keys = MasterKeys::ephemeral().unwrap();
        let old = keys.seal(Purpose::Secret, b"", b"old").unwrap();
        let fresh = keys.rotate().unwrap();
        assert_ne!(seal::sealed_with(&old), Some(fresh));
        assert_eq!(&*keys.open(Purpose::Secret, b"", &old).unwrap(), b"old");
        let new = keys.seal(Purpose::Secret, b"", b"new").unwrap();
        assert_eq!(seal::sealed_with(&new), Some(fresh));
    }

    #[test]
    fn a_missing_key_is_named() {
        let sealed = MasterKeys::ephemeral().unwrap().seal(Purpose::Secret, b"", b"plain").unwrap();
        let id = seal::sealed_with(&sealed).unwrap();
        let none = MasterKeys::none();
        let told = none.open(Purpose::Secret, b"", &sealed).unwrap_err();
        assert_eq!(told, SealError::UnknownKey { id });
        assert!(told.to_string().contains(&id.to_string()));
        assert_eq!(none.seal(Purpose::Secret, b"", b"x").unwrap_err(), SealError::NoKey);
        assert_eq!(none.current(), None);
    }

    #[test]
    fn debug_output_shows_ids_and_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let keys = MasterKeys::open_or_create(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let secret = text.lines().find(|l| l.starts_with("key ")).unwrap().split(' ').nth(2);
        let shown = format!("{keys:?}");
        assert!(shown.contains(&keys.current().unwrap().to_string()));
        assert!(!shown.contains(&secret.unwrap()[..16]));
    }
}
